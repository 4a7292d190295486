"""Rounds of scripted use through a line that fails at a byte, and what must hold after each."""

from __future__ import annotations

import errno
import os
import random
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Optional

import mount as mounting
from mount import SLOW, Mount
from server import Dovecot, append, quote
from torture_base import (DOUBT, GONE, SETTLED, TOKEN, Caller, Eye, Mint, Snapshot,
                          read_part, read_whole, tokens, uid_of)
from torture_line import Fault, Line

if TYPE_CHECKING:
    from torture import Campaign


# Known: the server may still be at a MOVE whose connection was cut when the mount looks, and sends a
# second one; the NO [EXPUNGEISSUED] to that becomes EIO, though the message was moved.
KNOWN_SECOND_MOVE = False


class Where:
    """Where a message may be, after what the mount said of it."""

    def __init__(self, token: str, folder: str) -> None:
        self.token = f'tok{token}-'
        self.folders = {folder}
        self.gone = False
        self.sure = True
        self.new = False  # created in this round, or not

    def moved(self, to: str, code: int) -> None:
        self.folders = self.folders | {to} if code else {to}
        self.sure = self.sure and not code

    def deleted(self, code: int) -> None:
        self.gone = True
        self.folders = self.folders if code else set()
        self.sure = self.sure and not code


class Case(NamedTuple):
    """What one round is to suffer."""

    cold: bool  # the connections are ended first, so that the logins are part of it
    big: bool  # a large message is read, too
    faults: tuple[Fault, ...]
    split: bool = False
    mounting: bool = False  # it is mounting that suffers, of a mount beside the lane's own

    def __str__(self) -> str:
        return ('mounting, ' if self.mounting else '') + (', '.join(map(str, self.faults)) or ('single bytes' if self.split else 'no fault')
                ) + (', cold' if self.cold else '') + (', big' if self.big else '')


class Lane:
    """One account, its mount and the line between them; rounds of use, each looked after."""

    BIG = 150_000

    def __init__(self, number: int, campaign: Campaign, server: Dovecot, kind: str,
                 tls: bool = False, small_cache: bool = False) -> None:
        self.number, self.campaign, self.server, self.kind, self.tls = (number, campaign, server,
                                                                        kind, tls)
        self.user = f'lane{number:02}'
        self.rng = random.Random(f'{campaign.seed} {number}')
        self.mint = Mint(number, self.rng)
        self.eye = Eye(server, self.user)
        self.figures = campaign.figures
        self.line: Line = campaign.relay.line(server.tls_port if tls else server.port)
        self.options = [f'timeout={campaign.timeout}', f'passfile={campaign.passfile}']
        self.options += [f'cafile={server.cafile}'] if tls else ['tls=no']
        self.options += ['cache=256K'] if small_cache else []
        self.scheme = 'imaps' if tls else 'imap'
        self.mount: Optional[Mount] = None
        self.caller: Optional[Caller] = None
        self.before: Snapshot = {}
        self.quiet_since = 0.0
        self.rounds = 0
        self.can_create: Optional[bool] = None
        self.shape: Optional[tuple[int, int, int]] = None
        self.mounting_moves = (0, 0)  # bytes

    @property
    def label(self) -> str:
        return f'lane {self.number} ({self.kind}{", TLS" if self.tls else ""})'

    @property
    def ways(self) -> str:
        return {'MOVE': 'MOVE', 'UIDPLUS': 'COPY and UIDPLUS', 'neither': 'COPY alone'}[self.kind]

    # -- life --

    def fill(self) -> None:
        imap = self.eye.imap()
        imap.create(quote('Work'))
        append(imap, 'INBOX', [self.mint.message() for _ in range(6)])
        append(imap, 'INBOX', [self.mint.message(self.BIG)])
        append(imap, 'Work', [self.mint.message() for _ in range(3)])
        self.look()

    def make_mount(self, suffix: str = '') -> Mount:
        path = self.campaign.directory / f'mail{self.number}{suffix}'
        path.mkdir(exist_ok=True)
        return Mount(f'{self.scheme}://{self.user}@localhost:{self.line.port}', path,
                     self.campaign.directory / f'imapfs{self.number}{suffix}.log', self.options,
                     debug=self.campaign.debug)

    def start(self) -> None:
        self.fill()
        self.line.arm()
        self.mount = self.make_mount().start()
        self.mounting_moves = (self.line.moved[0], self.line.moved[1])
        self.caller = Caller(self.mount, self.figures, self.campaign.stuck, self.campaign.limit)

    def finish(self) -> None:
        """Unmounts, and judges the daemon's end."""
        self.eye.close()
        if not self.mount:
            return
        gone = self.mount.status is not None
        self.end_mount(self.mount, self.caller, int(gone))

    def vitals(self) -> tuple[int, int, int]:
        """(descriptors, threads, resident KiB) of the daemon."""
        proc = Path(f'/proc/{self.mount.pid}')
        status = dict(line.split(':', 1) for line in (proc / 'status').read_text().splitlines())
        return (len(os.listdir(proc / 'fd')), int(status['Threads']),
                int(status['VmRSS'].split()[0]))

    def check_vitals(self) -> None:
        """Sockets and workers come and go; more than a handful above the warm-up is a leak."""
        if not self.shape or self.mount.process.poll() is not None:
            return
        fds, threads, rss = self.vitals()
        then = self.shape
        if self.rounds >= 5:
            self.figures.note(f'{self.label}: {self.rounds} rounds; descriptors {then[0]} to {fds},'
                              f' threads {then[1]} to {threads}, resident {then[2]} to {rss} KiB')
        if fds > then[0] + 6 or threads > then[1] + 10:
            self.figures.fail(f'{self.label}: descriptors {then[0]} to {fds}, '
                              f'threads {then[1]} to {threads}')
        # Under the sanitizer freed memory is kept back, and its own leak check is the better judge.
        if SLOW == 1 and rss > then[2] + 12_000 + 40 * self.rounds:
            self.figures.fail(f'{self.label}: resident {then[2]} to {rss} KiB in '
                              f'{self.rounds} rounds')

    # -- looking --

    def look(self, bodies: bool = False) -> Snapshot:
        self.eye.close()  # a session of Dovecot's that lasts may LIST what was
        self.before = self.eye.snapshot(bodies)
        self.quiet_since = time.monotonic()
        return self.before

    def visible(self, folder: str) -> set[int]:
        return {uid for uid, seen in self.before.get(folder, {}).items() if seen.visible}

    # -- the round --

    def round(self, case: Case) -> bool:
        """False when the lane cannot go on. Each fault that struck is counted."""
        if case.mounting:
            return self.mount_round(case)
        assert self.caller
        wait = self.quiet_since + SETTLED - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        self.rounds += 1
        caller = self.caller
        caller.history = [f'{self.label} round {self.rounds} [{case}]']
        caller.limit = self.campaign.limit
        if case.cold:
            self.line.drop()
        self.line.split = case.split
        self.line.arm(*case.faults)
        script = Script(self, case)
        script.run()
        fired = list(self.line.fired)
        self.line.disarm()
        self.line.split = False
        for fault in fired:
            self.figures.fault(fault.kind)
        if case.split:
            self.figures.fault('split')
        if self.mount.process.poll() is not None:
            caller.problem(f'the daemon is gone, status {self.mount.process.returncode}: '
                           f'{self.mount.log()[-3000:]}')
            return False
        self.recover(caller)
        self.judge(script)
        self.repair()
        if self.rounds == 6:
            self.shape = self.vitals()
        self.figures.add('rounds')
        return True

    def mount_round(self, case: Case) -> bool:
        """A mount either comes about and works, or fails with a sentence and exit status 1."""
        self.line.arm(*case.faults)
        mount = self.make_mount('-fresh')
        caller = Caller(mount, self.figures, self.campaign.stuck, self.campaign.limit)
        caller.history = [f'{self.label} [{case}]']
        began = time.monotonic()
        try:
            mount.start()
        except mounting.MountError as error:
            if mount.status != 1 or 'imapfs' not in mount.log() or mount.mounted():
                caller.problem(f'mounting failed with status {mount.status}: {error}')
            code = errno.ENOTCONN
        else:
            code = 0
        self.figures.called('mount', time.monotonic() - began, code)
        for fault in self.line.fired:
            self.figures.fault(f'{fault.kind} while mounting')
        self.line.disarm()
        if not code:
            self.recover(caller)
        self.end_mount(mount, caller, code)
        return True

    def end_mount(self, mount: Mount, caller: Caller, code: int) -> None:
        try:
            if not code and mount.unmount() != 0:
                caller.problem(f'exit status {mount.status}: {mount.log()[-3000:]}')
        except mounting.MountError as error:
            caller.problem(str(error)[-3000:])
        finally:
            mount.end()
        if mount.alarms():
            caller.problem(mount.alarms())

    def recover(self, caller: Caller) -> None:
        """With the line whole again the mount must answer."""
        began = time.monotonic()
        while time.monotonic() - began < 20 * SLOW:
            codes = [caller.call(f'ls {folder} afterwards', os.listdir, caller.mount / folder,
                                 legal=GONE)[0] for folder in ('', 'INBOX')]
            if not any(codes):
                self.figures.recovered(time.monotonic() - began)
                return
            time.sleep(0.1)
        caller.problem('the mount does not answer any more')

    def judge(self, script: Script) -> None:
        """Compares the server with what the mount said; what is still under way gets some time."""
        end = time.monotonic() + 5 * SLOW
        bodies = self.rounds % 10 == 0
        while True:
            wrong, doubled, undone = script.verdict(self.look(bodies))
            if not (wrong or doubled) or time.monotonic() > end:
                break
            time.sleep(0.2)
        for kind, text in wrong:
            self.figures.add(kind)
            self.caller.problem(f'{kind}: {text}')
        if doubled:
            self.figures.add('doubled', doubled)
            self.figures.add(f'doubled where the server has {self.ways}', doubled)
        if undone:
            self.figures.add('failed and yet done', undone)
        if doubled or undone:
            self.campaign.tell('doubled' if doubled else 'failed and yet done', self.caller.history)
        if bodies:
            for folder, rows in self.before.items():
                for uid, seen in rows.items():
                    why = self.mint.wrong(seen.token, seen.data)
                    if why:
                        self.caller.problem(f'{folder}/{uid} on the server: {why}')

    def repair(self) -> None:
        """Brings the account back to its size; the next round waits until the mount may know."""
        imap = self.eye.imap()
        for places in tokens(self.before).values():
            shown = [(folder, uid) for folder, uid, seen in places if seen.visible]
            for folder, uid in shown[1:]:
                self.eye.expunge(folder, uid)
            for folder, uid, seen in places:
                if not seen.visible:
                    self.eye.expunge(folder, uid)
        for folder in self.before:
            if folder.startswith('Tmp'):
                self.eye.select(folder)
                imap.uid('COPY', '1:*', quote('INBOX'))
                imap.unselect()
                imap.delete(quote(folder))
        inbox, work = len(self.visible('INBOX')), len(self.visible('Work'))
        append(imap, 'INBOX', [self.mint.message() for _ in range(max(0, 7 - inbox))])
        append(imap, 'Work', [self.mint.message() for _ in range(max(0, 3 - work))])
        self.look()


class Script:
    """What a user does in one round, with what is to be believed of it afterwards."""

    def __init__(self, lane: Lane, case: Case) -> None:
        self.lane, self.case = lane, case
        self.caller, self.mount = lane.caller, lane.mount
        self.where: dict[str, Where] = {}
        self.size: dict[str, int] = {}
        for folder, rows in lane.before.items():
            for seen in rows.values():
                if seen.visible:
                    self.where[seen.token] = Where(seen.token, folder)
        self.folders = {folder: True for folder in lane.before}  # False: in doubt
        self.flagged: dict[str, bool] = {}
        # A line that is only slow must not be felt but by its time; where the connections of a line
        # that failed before are cut first, the next one may have to wait.
        broken = any(f.kind != 'delay' for f in case.faults) or (case.split and case.cold)
        self.sure: set[int] = set(GONE) if broken else set()
        self.doubt = self.sure | DOUBT if broken else set()
        # Of a COPY whose connection was cut the fate is unknown, so it is left.
        excused = broken and (lane.kind != 'MOVE' or KNOWN_SECOND_MOVE)
        self.of_mv = self.sure | ({errno.EIO} if excused else set())

    # -- steps --

    def ls(self, folder: str, exact: bool = True) -> list[str]:
        code, names = self.caller.call(f'ls {folder or "/"}', os.listdir, self.mount / folder,
                                       legal=self.sure if exact else self.doubt)
        if code:
            return []
        if not folder:
            if exact and set(names) != set(self.lane.before):
                self.caller.problem(f'ls / shows {sorted(names)}, the server has '
                                    f'{sorted(self.lane.before)}')
            return names
        names = [name for name in names if name.endswith('.eml')]
        if exact and {uid_of(name) for name in names} != self.lane.visible(folder):
            self.caller.problem(f'ls {folder} shows {sorted(map(uid_of, names))}, the server has '
                                f'{sorted(self.lane.visible(folder))}')
        return names

    def read(self, path: str) -> None:
        token = TOKEN.search(path)[1]
        code, data = self.caller.call(f'read {path}', read_whole, self.mount / path,
                                      legal=self.sure)
        why = '' if code else self.lane.mint.wrong(token, data)
        if why:
            self.caller.problem(f'read {path}: {why}')

    def read_part(self, path: str) -> None:
        size = self.lane.mint.known[TOKEN.search(path)[1]][0]
        at = self.lane.rng.randrange(size - 4096)
        code, data = self.caller.call(f'read {path} at {at}', read_part, self.mount / path, at,
                                      4096, legal=self.sure)
        if not code and len(data) != 4096:
            self.caller.problem(f'read {path} at {at}: {len(data)} bytes')

    def mv(self, path: str, folder: str) -> str:
        """Returns the new path, if it worked."""
        target = f'{folder}/{path.split("/", 1)[1]}'
        code, _ = self.caller.call(f'mv {path} {folder}', os.rename, self.mount / path,
                                   self.mount / target, legal=self.of_mv)
        where = self.where[TOKEN.search(path)[1]]
        where.moved(folder, code)
        if code:
            return ''
        if self.lane.kind != 'neither':  # without COPYUID nobody knows where it went
            code, info = self.caller.call(f'stat {target}', os.stat, self.mount / target,
                                          legal=self.doubt if self.sure else set())
            if not code and info.st_size != self.lane.mint.known[TOKEN.search(path)[1]][0]:
                self.caller.problem(f'{target} has {info.st_size} bytes')
            if code == errno.ENOENT:
                # The answer with the new UID was cut off; the message is there by its own name.
                self.lane.figures.add('moved, but not found by the name that was given')
                found = [n for n in self.ls(folder, exact=False) if where.token in n]
                return f'{folder}/{found[0]}' if found else ''
            if code:
                return ''
        return target

    def rm(self, path: str) -> None:
        code, _ = self.caller.call(f'rm {path}', os.unlink, self.mount / path, legal=self.sure)
        self.where[TOKEN.search(path)[1]].deleted(code)

    def flag(self, path: str) -> None:
        code, _ = self.caller.call(f'flag {path}', os.setxattr, self.mount / path,
                                   'user.imap.flags', b'+\\Answered', legal=self.sure)
        if not code:
            self.flagged[TOKEN.search(path)[1]] = True
        self.caller.call(f'message-id of {path}', os.getxattr, self.mount / path,
                         'user.imap.message-id', legal=self.sure)

    def folder_change(self, what: str, name: str, to: str = '') -> bool:
        path = self.mount / name
        call = {'mkdir': (os.mkdir, path), 'rmdir': (os.rmdir, path),
                'rename': (os.rename, path, self.mount / to)}[what]
        # Dovecot, when slow, now and then makes a mailbox and then finds that it exists already.
        legal = self.doubt | ({errno.EEXIST} if what == 'mkdir' else set())
        code, _ = self.caller.call(f'{what} {name} {to}'.rstrip(), *call, legal=legal)
        if what == 'mkdir':
            self.folders[name] = not code
            if code == errno.EEXIST:
                self.figures.add('mkdir of what Dovecot said exists already')
                if f'{name}: CREATE refused by the server' not in self.mount.log():
                    self.caller.problem(f'mkdir {name}: EEXIST, and the server has not said so')
        elif what == 'rename':
            if code:
                self.folders[name] = self.folders[to] = False
            else:
                self.folders.pop(name)
                self.folders[to] = True
            for where in self.where.values():
                if name in where.folders:
                    where.folders |= {to}
                    if not code:
                        where.folders.discard(name)
        elif code:
            self.folders[name] = False
        else:
            self.folders.pop(name)
            for where in self.where.values():
                where.folders.discard(name)
        return not code

    def create(self) -> None:
        """A new file, as soon as the mount can take one: it must arrive exactly once or fail."""
        lane = self.lane
        if lane.can_create is False:
            return
        message = lane.mint.message()
        token = TOKEN.search(message.data.decode())[1]
        path = self.mount / f'Work/tok{token}.eml'

        def put() -> None:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                os.write(fd, message.data)
            finally:
                os.close(fd)
        code, _ = self.caller.call('append to Work', put,
                                   legal=self.sure | {errno.EOPNOTSUPP})
        if code == errno.EOPNOTSUPP:
            lane.can_create = False
            return
        lane.can_create = True
        self.where[token] = Where(token, 'Work')
        if code:
            where = self.where[token]
            where.gone, where.sure, where.new = True, False, True

    # -- the whole --

    def run(self) -> None:
        rng = self.lane.rng
        self.ls('')
        inbox = self.ls('INBOX')
        work = self.ls('Work')
        small = [n for n in inbox if self.lane.mint.known[TOKEN.search(n)[1]][0] < Lane.BIG]
        big = [n for n in inbox if n not in small]
        if len(small) >= 3:
            read, drop, mark = rng.sample(sorted(small)[-4:] if len(small) > 3 else small, 3)
            self.read(f'INBOX/{read}')
            self.mv(f'INBOX/{read}', 'Work')
            self.flag(f'INBOX/{mark}')
            self.rm(f'INBOX/{drop}')
        if big and self.case.big:
            self.read_part(f'INBOX/{big[0]}')
        self.create()
        tmp = f'Tmp{self.lane.rounds}'
        if self.folder_change('mkdir', tmp) and self.folder_change('rename', tmp, tmp + 'b'):
            tmp += 'b'
        if work and self.folders.get(tmp):
            back = self.mv(f'Work/{rng.choice(work)}', tmp)
            if back and self.lane.kind == 'neither':
                shown = self.ls(tmp, exact=False)
                back = f'{tmp}/{shown[0]}' if shown else ''
            if back:
                self.mv(back, 'INBOX')
        if tmp in self.folders:
            self.folder_change('rmdir', tmp)

    # -- what became of it --

    def verdict(self, now: Snapshot) -> tuple[list[tuple[str, str]], int, int]:
        """What is wrong, as (kind, text); how many copies too many; how much failed and yet was
        done."""
        wrong: list[tuple[str, str]] = []
        doubled = undone = 0
        have = tokens(now)
        for token, where in self.where.items():
            places = have.get(token, [])
            shown = [folder for folder, _, seen in places if seen.visible]
            told = f'tok{token} is in {shown}, of {sorted(where.folders)}'
            if not shown:
                if not where.gone:
                    wrong.append(('lost', told + (f', flagged {places}' if places else '')))
                elif where.folders and not where.new:
                    undone += 1
                continue
            if set(shown) - where.folders:
                wrong.append(('misplaced', told))
            if len(shown) > 1:
                doubled += len(shown) - 1
                if where.sure:
                    wrong.append(('untrue', told + ', and no call had failed'))
            if self.flagged.get(token) and not any('\\Answered' in s.flags for _, _, s in places):
                wrong.append(('untrue', f'tok{token} is not flagged'))
        for token in set(have) - set(self.where):
            if any(seen.visible for _, _, seen in have[token]):
                wrong.append(('untrue', f'tok{token} was deleted before, and is back'))
        for folder, sure in self.folders.items():
            if sure and folder not in now:
                wrong.append(('untrue', f'there is no folder {folder}'))
        for folder in now:
            if folder not in self.folders:
                wrong.append(('untrue', f'there is a folder {folder}'))
        return wrong, doubled, undone
