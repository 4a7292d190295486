#!/usr/bin/python3
"""Breaks the line, the server and the mailbox under a mount, and counts what became of the mail.

    torture.py [--full] [--seconds N] [--seed N] [--lanes N] [--only KIND[,KIND]]

KIND is cut, stall, delay, split (one scripted round of use after the other through a line that
fails at a byte), mutator (eight programs on the mount while somebody else changes the same mail),
storm (the same, and connections are cut all the time) or kill (the same, and the server dies and
comes back). --full cuts at every byte that the round
moves in either direction; otherwise at as many of them, taken at random, as fit in the time.

Whatever happens, every message must be on the server exactly once, what the mount said must be
true, no call may take longer than the timeout allows, and the daemon must not grow.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Callable, Iterator, Optional

sys.path.insert(0, str(Path(__file__).resolve().parent))

import mount as mounting  # noqa: E402
from mount import ROOT, SLOW  # noqa: E402
from server import Dovecot  # noqa: E402
from torture_base import Figures, Stuck  # noqa: E402
from torture_crowd import Crowd  # noqa: E402
from torture_line import DOWN, UP, Fault, Relay  # noqa: E402
from torture_round import Case, Lane  # noqa: E402

ROUNDS = ('cut', 'stall', 'delay', 'split')
CROWDS = ('mutator', 'storm', 'kill')
KINDS = ROUNDS + CROWDS


# ---- the campaign --------------------------------------------------------------------------------


class Campaign:
    """Servers, lanes and figures; `with Campaign(directory, ...) as campaign: campaign.line(...)`"""

    def __init__(self, directory: Path, seed: int, *, timeout: int = 5,
                 say: Callable[[str], None] = print, debug: bool = False) -> None:
        self.directory = directory
        self.timeout = timeout  # -o timeout of the mounts
        self.seed, self.say, self.debug = seed, say, debug
        self.figures = Figures()
        # A rename(2) looks up two names, asks, and looks once more what came of it; a read(2) looks
        # up, opens, and asks again for the one page where asking for several failed. Each may meet
        # a silent server.
        self.limit = 4 * timeout + 3 * SLOW
        self.stuck = Stuck(self.figures, self.limit + 20 * SLOW)
        self.relay = Relay()
        self.passfile = directory / 'password'
        self._servers: list[Dovecot] = []
        self._lanes: list[Lane] = []
        self._stack = contextlib.ExitStack()
        self._users = 0
        self._stop = threading.Event()
        self._told, self._told_lock = 0, threading.Lock()

    def __enter__(self) -> Campaign:
        self.directory.mkdir(parents=True, exist_ok=True)
        self.passfile.touch(mode=0o600)
        self.passfile.write_text('torture\n')
        self._stack.enter_context(self.relay)
        self._stack.callback(self._clear)
        self.stuck.start()
        self._stack.callback(self.stuck.stop)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._stack.close()

    def _clear(self) -> None:
        for live in list(mounting.LIVE):
            if live.path.parent == self.directory:
                live.end()
        for server in self._servers:
            server.clear()

    def server(self, users: list[str], **options) -> Dovecot:
        server = Dovecot(self.directory / f'dovecot{len(self._servers)}',
                         {user: 'torture' for user in users}, dies_with_parent=True, **options)
        self._servers.append(server)
        server.start()
        return server

    def tell(self, what: str, history: list[str]) -> None:
        """Of what is allowed and yet worth a look; the first few of a run."""
        with self._told_lock:
            self._told += 1
            if self._told > 12:
                return
        self.figures.note(f'{what}: ' + '; '.join(history))

    # -- rounds through a failing line --

    def line(self, kinds: list[str], lanes: int, seconds: Optional[float]) -> None:
        """Until the time is over; without one, until every byte had its cut."""
        users = [f'lane{n:02}' for n in range(lanes)]
        servers: dict[str, Dovecot] = {}
        without = {'MOVE': (), 'UIDPLUS': ('MOVE',), 'neither': ('MOVE', 'UIDPLUS')}
        for n in range(lanes):
            # Most lanes go the usual way; two of eight where the server can less, one over TLS.
            kind = {3: 'UIDPLUS', 6: 'neither'}.get(n % 8, 'MOVE')
            if kind not in servers:
                # Without its index of mailboxes, which Dovecot 2.3 loses hold of where sessions die
                # all the time: it then LISTs a part of what there is. With it goes NOTIFY, which the
                # crowd has.
                servers[kind] = self.server(users, without=without[kind],
                                            extra='mailbox_list_index = no\n')
            self._lanes.append(Lane(n, self, servers[kind], kind, tls=n % 8 == 5,
                                    small_cache=n % 2 == 1))
        for lane in self._lanes:
            lane.start()
        cases = self._cases(kinds, seconds)
        lock = threading.Lock()

        def work(lane: Lane) -> None:
            try:
                self._in_lane(lane, cases, lock)
            except Exception as error:  # pylint: disable=broad-except
                if not self._stop.is_set():
                    self.figures.fail(f'{lane.label}: {error!r}\n    after: '
                                      + '; '.join(lane.caller.history[-14:]))

        threads = [threading.Thread(target=work, args=(lane,), daemon=True)
                   for lane in self._lanes]
        for thread in threads:
            thread.start()
        self.join(threads)
        for lane in self._lanes:
            if lane.mount and lane.mount.status is None:
                lane.check_vitals()
            lane.finish()
        self._lanes.clear()

    def crowd(self, what: str, seconds: float) -> None:
        """Eight programs and another client."""
        Crowd(self, what).run(seconds)

    def join(self, threads: list[threading.Thread]) -> None:
        """Waits for their end; says now and then how far things are."""
        last = time.monotonic()
        try:
            for thread in threads:
                while thread.is_alive():
                    thread.join(1)
                    if time.monotonic() - last > 60:
                        last = time.monotonic()
                        self.say('so far: ' + self.figures.text(whole=False))
        except BaseException:
            # Whoever is in a mount is woken, so that every thread ends before its mount is gone.
            self._stop.set()
            for live in list(mounting.LIVE):
                if live.path.parent == self.directory:
                    live.abort()
            for thread in threads:
                thread.join(20)
            raise

    @staticmethod
    def _in_lane(lane: Lane, cases: Iterator[Case], lock: threading.Lock) -> None:
        while True:
            with lock:
                case = next(cases, None)
            if case is None or not lane.round(case):
                return

    def _measure(self) -> dict[tuple[bool, bool], tuple[int, int]]:
        """How many bytes a round moves up and down, by (cold, big); nothing may fail in it."""
        moved: dict[tuple[bool, bool], tuple[int, int]] = {}
        lane = self._lanes[0]
        for cold, big in ((True, False), (False, False), (False, True)):
            lane.round(Case(cold, big, ()))
            moved[cold, big] = (lane.line.moved[UP], lane.line.moved[DOWN])
        self.say('a round moves ' + ', '.join(
            f'{up}+{down} bytes ({"cold" if cold else "warm"}{", big" if big else ""})'
            for (cold, big), (up, down) in moved.items()))
        return moved

    def _cases(self, kinds: list[str], seconds: Optional[float]) -> Iterator[Case]:
        rng = random.Random(self.seed)
        moved = self._measure()
        every = [(cold, big, False, direction, at)
                 for (cold, big), both in moved.items() for direction in (UP, DOWN)
                 # Where the large message was read, or sent ahead of readers, one in 512 stands
                 # for all.
                 for at in range(1, both[direction] + 1,
                                 512 if big or both[direction] > Lane.BIG // 4 else 1)]
        every += [(True, False, True, direction, at) for direction in (UP, DOWN)
                  for at in range(1, self._lanes[0].mounting_moves[direction] + 1)]
        self.say(f'{len(every)} places to cut at')
        rng.shuffle(every)
        end = None if seconds is None else time.monotonic() + seconds

        def cases() -> Iterator[Case]:
            for n, (cold, big, fresh, direction, at) in enumerate(every):
                if self._stop.is_set() or (end and time.monotonic() > end):
                    return
                kind = kinds[n % len(kinds)]
                if kind == 'cut':
                    faults = [Fault(direction, at, rng.choice(('cut', 'reset')))]
                    if n % 4 == 0:  # and what comes back is cut, too
                        faults.append(Fault(rng.choice((UP, DOWN)), rng.randrange(1, 1500),
                                            rng.choice(('cut', 'reset'))))
                    yield Case(cold, big, tuple(faults), mounting=fresh)
                elif kind == 'stall':
                    yield Case(cold, big, (Fault(direction, at,
                                                 rng.choice(('stall', 'stall', 'silence'))),),
                               mounting=fresh)
                elif kind == 'delay':
                    yield Case(cold, big, (Fault(direction, at, 'delay', rng.uniform(0.1, 1.5)),),
                               mounting=fresh)
                else:
                    yield Case(cold, big, (), split=True)
        return cases()


# ---- the command line ----------------------------------------------------------------------------


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n', maxsplit=1)[0])
    parser.add_argument('--full', action='store_true', help='cut at every byte; an hour or more')
    parser.add_argument('--seconds', type=float, default=60, help='for each part (60)')
    parser.add_argument('--seed', type=int, help='repeat a run')
    parser.add_argument('--lanes', type=int, default=8, help='mounts at once (8)')
    parser.add_argument('--only', default=','.join(KINDS), help=f'of {",".join(KINDS)}')
    parser.add_argument('--debug', action='store_true', help='mount with -d, keep the logs')
    args = parser.parse_args()
    kinds = args.only.split(',')
    if set(kinds) - set(KINDS):
        parser.error(f'--only takes {", ".join(KINDS)}')
    seed = args.seed if args.seed is not None else random.SystemRandom().getrandbits(32)
    print(f'seed {seed}', flush=True)
    signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    directory = ROOT / 'build' / 'torture' / str(os.getpid())  # so that two may run
    campaign = Campaign(directory, seed, say=lambda text: print(text, flush=True),
                        debug=args.debug)
    ended = 'ended early: '
    try:
        with campaign:
            rounds = [kind for kind in kinds if kind in ROUNDS]
            if args.full and 'cut' in rounds:
                campaign.line(['cut'], args.lanes, None)
                rounds.remove('cut')
            if rounds:
                campaign.line(rounds, args.lanes, args.seconds)
            for kind in [kind for kind in kinds if kind in CROWDS]:
                campaign.crowd(kind, args.seconds)
        ended = ''
    except KeyboardInterrupt:
        return 130
    finally:
        print(ended + campaign.figures.text(), flush=True)
        if not args.debug:
            shutil.rmtree(directory, ignore_errors=True)
    return 1 if campaign.figures.failures else 0


if __name__ == '__main__':
    sys.exit(main())
