#!/usr/bin/python3
"""How fast imapfs is, beside what it could be compared with, measured in the same run.

bench.py [--quick] [--only NAME]... [--runs N] [--messages N] [--limit SECONDS]

Prints the machine and a table in Markdown; progress goes to stderr. Every figure is the median of
the runs, with the fastest and the slowest in brackets. A result that is wrong (other lines found,
files missing) ends the run: its time would mean nothing. Exits 1 then, and 0 when all was measured,
whether the targets are met or not.

A FUSE request that wakes a daemon on another processor can take five times as long as one that stays,
on virtual machines above all, so grep over any FUSE file system varies from run to run. With
`taskset -c 0` in front everything runs on one processor: steadier, and without any overlap.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import math
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Callable, Iterator, Optional, Sequence

sys.path.insert(0, str(Path(__file__).resolve().parent))

import mount as mounting  # noqa: E402
import yardsticks as ys  # noqa: E402
from bench_mail import NEEDLE_EVERY, Writer, fill, large_message, wire  # noqa: E402
from bench_table import (Growth, Row, Sample, number, ratio, ratios, span,  # noqa: E402
                         table, within)
from messages import EPOCH  # noqa: E402
from mount import BINARY, Mount, MountError  # noqa: E402
from server import Dovecot, ServerError, die_with_parent, wait_until  # noqa: E402
from yardsticks import BenchError, Counters, Distance, TooSlow  # noqa: E402

BODY, TINY = 5300, 300  # bytes of a message, about
ROUND_TRIP = 0.050
FIRST_NAME_ALLOWS = (10, 0.200)  # round trips, seconds

# Tells when the first message's name is read. ls would keep the names until it has a buffer full.
FIRST_NAME = '''
import os, sys, time
sys.stdin.readline()
for entry in os.scandir(sys.argv[1]):
    if entry.name.endswith('.eml'):
        break
else:
    sys.exit('no message in ' + sys.argv[1])
print(time.monotonic())
'''


class Bench:
    """The server, its mail and the measurements. Every experiment fills in one or more rows."""

    def __init__(self, options: argparse.Namespace, server: Dovecot, directory: Path) -> None:
        self.runs: int = options.runs
        self.limit: float = options.limit
        self.few: int = options.messages  # with bodies
        self.many: int = 10 * self.few  # to be listed
        self.huge: int = 0 if options.quick else 100 * self.few
        self.large: int = (5 if options.quick else 50) << 20
        self.full_size = self.few == 10_000
        self.server = server
        self.directory = directory
        self.rows: list[Row] = []
        self._mailboxes: set[str] = set()
        self._grep_cold: Optional[Sample] = None
        self._mounts = 0
        (directory / 'password').write_text(server.users[server.default_user] + '\n')
        (directory / 'password').chmod(0o600)

    # -- what the experiments share --

    def row(self, work: str, target: str, ours: object, yardstick: str, ratio_: str,
            met: Optional[bool]) -> None:
        self.rows.append(Row(work, target, str(ours), yardstick, ratio_, met))

    def mailbox(self, count: int, size: int) -> str:
        """A folder with so many messages, made and read once by everybody's commands."""
        name = f'M{count}x{size}'
        if name not in self._mailboxes:
            say(f'filling {name}')
            fill(self.server, name, Writer(1, size).messages(count))
            self.warm_server(name, bodies=size > TINY)
            self._mailboxes.add(name)
        return name

    def warm_server(self, mailbox: str, bodies: bool) -> None:
        """Its index, its cache and the page cache: all clients meet the same server."""
        with wire(self.server) as conn:
            conn.command(b'EXAMINE ' + mailbox.encode())
            for fields in (b'FROM SUBJECT', b'FROM SUBJECT DATE'):
                conn.command(ys.METADATA % fields)
            if bodies:
                conn.command(ys.BODIES)

    @contextlib.contextmanager
    def mounted(self, port: int = 0) -> Iterator[Mount]:
        self._mounts += 1
        path = self.directory / f'mount{self._mounts}'
        path.mkdir()
        mount = Mount(f'imap://{self.server.default_user}@{self.server.host}:'
                      f'{port or self.server.port}', path, self.directory / 'imapfs.log',
                      [f'passfile={self.directory / "password"}', 'tls=no'])
        yield from self._alive(mount, path)

    @contextlib.contextmanager
    def passthrough(self, below: Path) -> Iterator[Mount]:
        self._mounts += 1
        path = self.directory / f'mount{self._mounts}'
        path.mkdir()
        log = self.directory / 'passthrough.log'
        yield from self._alive(ys.Passthrough(below, path, log), path)

    @staticmethod
    def _alive(mount: Mount, path: Path) -> Iterator[Mount]:
        try:
            yield mount.start()
            if mount.unmount() != 0:
                raise BenchError(f'{mount.arguments[0]} ended with {mount.status}:\n{mount.log()}')
        finally:
            mount.end()
            with contextlib.suppress(OSError):  # what is wrong was said already
                path.rmdir()

    def out(self, name: str) -> Path:
        return self.directory / f'{name}.out'

    def list_names(self, mount: Mount, mailbox: str, count: int) -> list[str]:
        ys.timed(['ls', '-f', str(mount / mailbox)], self.out('names'), self.limit * 3, mount)
        names = [name for name in self.out('names').read_text(encoding='utf-8').splitlines()
                 if name.endswith('.eml')]
        if len(names) != count or len(set(names)) != count:
            raise BenchError(f'{mailbox}: {len(names)} names, {len(set(names))} different, '
                             f'instead of {count}')
        return names

    def names(self, mailbox: str, count: int) -> list[str]:
        with self.mounted() as mount:
            return self.list_names(mount, mailbox, count)

    def same_lines(self, expected: list[str], out: Path, directory: Path,
                   names: bool = True) -> None:
        lines = ys.found(out, directory, names)
        if not names:
            expected = sorted(line.rpartition(':')[2] for line in expected)
        if lines != expected:
            raise BenchError(f'grep in {directory} found {len(lines)} lines and not the '
                             f'{len(expected)} of the plain files')

    def plain(self, mailbox: str, count: int) -> tuple[Path, list[str]]:
        """The same mail on the local file system, and what grep finds in it."""
        directory = self.directory / f'plain-{mailbox}'
        if not directory.exists():
            ys.plain_copy(self.server, mailbox, self.names(mailbox, count), directory)
            os.sync()  # what is written back later would be in somebody's time
        ys.grep(directory, self.out('plain'), self.limit)
        return directory, ys.found(self.out('plain'), directory)

    def both_mbsync(self, mailbox: str, expected: list[str], usual: Sample, quick: Sample,
                    port: int = 0) -> None:
        """As it comes, which is what the targets mean, and without waiting for the disk."""
        for sample, fsync in ((usual, True), (quick, False)):
            sample.take(lambda: self.mbsync(mailbox, expected, port, fsync), self.limit)

    def mbsync(self, mailbox: str, expected: list[str], port: int, fsync: bool) -> float:
        """Seconds to fetch the folder and to search it."""
        client = ys.Mbsync(self.server, mailbox, self.directory / 'mbsync', port, fsync)
        client.clear()
        try:
            seconds = client.run(self.limit) + ys.grep(client.maildir, self.out('mbsync'),
                                                       self.limit)
        except TooSlow:
            client.clear()
            raise
        self.same_lines(expected, self.out('mbsync'), client.maildir, names=False)
        client.clear()
        return seconds

    def cold_grep(self, mailbox: str, expected: list[str], cold: Sample,
                  warm: Optional[Sample] = None, port: int = 0,
                  same_as: Optional[Path] = None) -> None:
        with self.mounted(port) as mount:
            def once() -> float:
                seconds = ys.grep(mount / mailbox, self.out('ours'), self.limit, mount)
                self.same_lines(expected, self.out('ours'), mount / mailbox)
                return seconds

            if cold.take(once, self.limit) < math.inf and warm:
                warm.take(once, self.limit)
            if same_as:
                ys.timed(['diff', '-rq', str(same_as), str(mount / mailbox)], self.out('diff'),
                         3 * self.limit, mount)

    # -- grep --

    def grep(self) -> None:
        box = self.mailbox(self.few, BODY)
        plain, expected = self.plain(box, self.few)
        size = sum(entry.stat().st_size for entry in os.scandir(plain))
        ours, ours_warm, pt, pt_warm, disk, wired = (Sample() for _ in range(6))
        sync, quick_sync = Sample(), Sample()
        for turn in range(self.runs):
            say(f'grep, run {turn + 1} of {self.runs}')
            self.cold_grep(box, expected, ours, ours_warm, same_as=plain if turn == 0 else None)
            with self.passthrough(plain) as mount:
                for sample in (pt, pt_warm):
                    sample.take(lambda: ys.grep(mount.path, self.out('pt'), self.limit, mount),
                                self.limit)
                    self.same_lines(expected, self.out('pt'), mount.path)
            disk.take(lambda: ys.grep(plain, self.out('plain'), self.limit), self.limit)
            self.same_lines(expected, self.out('plain'), plain)
            self.both_mbsync(box, expected, sync, quick_sync)
            wired.take(lambda: ys.raw(self.server, box, ys.BODIES, self.limit), self.limit)
        self._grep_cold = ours
        what = f'`grep -r`, {number(self.few)} messages ({size / 1e6:.0f} MB)'
        self.row(f'cold {what}', '≤ 1/3 passthrough_ll, ≤ 1/6 mbsync + grep', ours,
                 f'passthrough_ll {pt}; mbsync + grep {sync}, without fsync {quick_sync}; '
                 f'raw wire {wired}',
                 ratios(ours, pt, sync, quick_sync, wired),
                 within(ours.median, min(pt.median / 3, sync.median / 6)))
        self.row(f'warm {what}', '≤ 1.5 × ext4', ours_warm,
                 f'{file_system(plain)} {disk}; passthrough_ll {pt_warm}',
                 ratios(ours_warm, disk, pt_warm), within(ours_warm.median, 1.5 * disk.median))

    def grep_delay(self) -> None:
        box = self.mailbox(self.few, BODY)
        _, expected = self.plain(box, self.few)
        near = self._grep_cold or Sample()
        ours, sync, quick_sync, wired = (Sample() for _ in range(4))
        with Distance(self.server, ROUND_TRIP) as distance:
            for turn in range(self.runs):
                say(f'grep at 50 ms, run {turn + 1} of {self.runs}')
                if not self._grep_cold:
                    self.cold_grep(box, expected, near)
                self.cold_grep(box, expected, ours, port=distance.port)
                self.both_mbsync(box, expected, sync, quick_sync, distance.port)
                wired.take(lambda: ys.raw(self.server, box, ys.BODIES, self.limit, distance.port),
                           self.limit)
        bound = 3 * near.median + 10 * ROUND_TRIP
        self.row(f'cold `grep -r`, {number(self.few)} messages, 50 ms round trip',
                 '≤ 1/4 mbsync + grep; ≤ 3 × loopback + 10 round trips', ours,
                 f'mbsync + grep {sync}, without fsync {quick_sync}; '
                 f'3 × loopback + 10 round trips {span(bound)}; raw wire {wired}',
                 ratios(ours, sync, quick_sync, bound, wired),
                 within(ours.median, min(sync.median / 4, bound)))

    # -- the same in another order, and by several readers --

    def ripgrep(self) -> None:
        box = self.mailbox(self.few, BODY)
        _, expected = self.plain(box, self.few)
        for round_trip in (0.0, ROUND_TRIP):
            ours, grep = Sample(), Sample()
            with Distance(self.server, round_trip) as distance:
                port = distance.port if round_trip else 0
                for turn in range(self.runs):
                    say(f'rg at {round_trip * 1000:.0f} ms, run {turn + 1} of {self.runs}')
                    self.cold_grep(box, expected, grep, port=port)
                    with self.mounted(port) as mount:
                        seconds = ours.take(lambda: ys.ripgrep(mount / box, self.out('ours'),
                                                               self.limit, mount), self.limit)
                        if seconds < math.inf:
                            self.same_lines(expected, self.out('ours'), mount / box)
            self.row(f'cold `rg`, {number(self.few)} messages, '
                     + ('50 ms round trip' if round_trip else 'loopback'),
                     '≤ 1.5 × cold `grep -r`', ours, f'`grep -r` {grep}', ratios(ours, grep),
                     within(ours.median, 1.5 * grep.median))

    def orders(self) -> None:
        box = self.mailbox(self.few, BODY)
        plain, _ = self.plain(box, self.few)
        size = sum(entry.stat().st_size for entry in os.scandir(plain))
        orders = {'ls': Sample(), 'ls -r': Sample(), 'ls -S': Sample()}
        with Distance(self.server, ROUND_TRIP) as distance:
            for turn in range(self.runs):
                say(f'orders at 50 ms, run {turn + 1} of {self.runs}')
                for order, sample in orders.items():
                    with self.mounted(distance.port) as mount:
                        command = f'cd "$0" && {order} | xargs cat | wc -c'
                        seconds = sample.take(
                            lambda: ys.timed(['sh', '-c', command, str(mount / box)],
                                             self.out('count'), self.limit, mount), self.limit)
                    if seconds < math.inf and int(self.out('count').read_text() or 0) != size:
                        raise BenchError(f'`{order} | xargs cat` did not print {size} bytes')
        first = orders.pop('ls')
        for (order, sample), what in zip(orders.items(), ('newest first', 'the largest first')):
            self.row(f'cold `{order} \\| xargs cat`, {number(self.few)} messages, {what}, '
                     '50 ms round trip', '≤ 1.5 × oldest first', sample, f'oldest first {first}',
                     ratios(sample, first), within(sample.median, 1.5 * first.median))

    def thumbnails(self) -> None:
        count, size = self.few // 50, 300_000
        box = self.mailbox(count, size)
        most = 0
        for order in ('ls', 'ls -r'):
            with Distance(self.server, 0) as distance, self.mounted(distance.port) as mount:
                self.list_names(mount, box, count)
                before = distance.settled()
                ys.timed(['sh', '-c', f'cd "$0" && {order} | xargs head -qc 1000',
                          str(mount / box)], self.out('heads'), self.limit, mount)
                if self.out('heads').stat().st_size != 1000 * count:
                    raise BenchError(f'head did not print 1000 bytes of each of {count} messages')
                moved = distance.settled().since(before)
                most = max(most, moved.up + moved.down)
        self.row(f'the first 1,000 bytes of each of {number(count)} messages of 300 KB, '
                 'bytes on the wire', '≤ 128 KiB each', f'{most / count / 1024:.0f} KiB each',
                 '', '', most <= count * 128 * 1024)

    # -- copying out --

    def copying(self) -> None:
        """With attributes and without: of these each file's are asked for when it was read."""
        count = 3 * self.few // 10
        box = self.mailbox(count, BODY)
        kinds = {'cp -r': Sample(), 'cp -a': Sample()}
        to = self.directory / 'copy'
        with Distance(self.server, ROUND_TRIP) as distance:
            for turn in range(self.runs):
                say(f'copying at 50 ms, run {turn + 1} of {self.runs}')
                for kind, sample in kinds.items():
                    with self.mounted(distance.port) as mount:
                        sample.take(lambda: ys.timed([*kind.split(), str(mount / box), str(to)],
                                                     self.out('copy'), self.limit, mount),
                                    self.limit)
                        ys.timed(['diff', '-rq', str(mount / box), str(to)], self.out('diff'),
                                 self.limit, mount)
                    shutil.rmtree(to)
        plain, ours = kinds['cp -r'], kinds['cp -a']
        self.row(f'cold `cp -a`, {number(count)} messages, 50 ms round trip', '≤ 1.3 × `cp -r`',
                 ours, f'`cp -r` {plain}', ratios(ours, plain),
                 within(ours.median, 1.3 * plain.median))

    # -- ls --

    def ls(self) -> None:
        box = self.mailbox(self.many, TINY)
        files = self.directory / f'names-{box}'
        ys.empty_files(self.names(box, self.many), files)
        os.sync()
        ours, ours_warm, disk, wired = (Sample() for _ in range(4))
        memory = []

        def once(directory: Path, mount: Optional[Mount] = None) -> float:
            seconds = ys.timed(['ls', '-l', str(directory)], self.out('ls'), self.limit, mount)
            with open(self.out('ls'), 'rb') as lines:
                if sum(1 for _ in lines) != self.many + 1:
                    raise BenchError(f'ls -l {directory} printed the wrong number of lines')
            return seconds

        once(files)
        for turn in range(self.runs):
            say(f'ls, run {turn + 1} of {self.runs}')
            with self.mounted() as mount:
                if ours.take(lambda: once(mount / box, mount), self.limit) < math.inf:
                    ours_warm.take(lambda: once(mount / box, mount), self.limit)
                memory.append(resident(mount.pid))
            disk.take(lambda: once(files), self.limit)
            wired.take(lambda: ys.raw_metadata(self.server, box, self.limit), self.limit)
        both = wired.plus(disk)
        what = f'`ls -l`, {number(self.many)} messages'
        self.row(f'cold {what}', '≤ 2 × (raw wire + ext4)', ours,
                 f'raw wire {wired} + {file_system(files)} {disk}',
                 ratio(ours.median, both.median), within(ours.median, 2 * both.median))
        self.row(f'warm {what}', '≤ 1.3 × ext4', ours_warm, f'{file_system(files)} {disk}',
                 ratio(ours_warm.median, disk.median),
                 within(ours_warm.median, 1.3 * disk.median))
        self.row(f'resident memory, {number(self.many)} messages listed with `ls -l`', '≤ 30 MB',
                 f'{max(memory):.1f} MB', '', '', max(memory) <= 30 if self.full_size else None)

    def first_name(self) -> None:
        box = self.mailbox(self.many, TINY)
        trips, extra = FIRST_NAME_ALLOWS
        for round_trip in (0.0, ROUND_TRIP):
            launched, visible = Sample(), Sample()
            with Distance(self.server, round_trip) as distance:
                for turn in range(self.runs):
                    say(f'first name at {round_trip * 1000:.0f} ms, run {turn + 1} of {self.runs}')
                    start, shown, seen = self._first_name(box, distance.port if round_trip else 0)
                    launched.seconds.append(seen - start)
                    visible.seconds.append(seen - shown)
            bound = trips * round_trip + extra
            self.row(f'first name of {number(self.many)}, '
                     + ('50 ms round trip' if round_trip else 'loopback'),
                     f'{trips} round trips + {extra * 1000:.0f} ms', f'{launched} since imapfs was '
                     f'started; {visible} since it was mounted', f'{span(bound)}',
                     ratio(launched.median, bound), within(launched.median, bound))

    def _first_name(self, box: str, port: int) -> tuple[float, float, float]:
        """When imapfs was started, when it was mounted, when a program there read a name."""
        path = self.directory / f'mount{self._mounts + 1}'
        reader = subprocess.Popen([sys.executable, '-ISc', FIRST_NAME, str(path / box)],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                  preexec_fn=die_with_parent)
        try:
            start = time.monotonic()
            with self.mounted(port) as mount:
                shown = time.monotonic()
                try:
                    out, _ = reader.communicate('go\n', timeout=self.limit)
                except BaseException as error:
                    mount.abort()
                    if isinstance(error, subprocess.TimeoutExpired):
                        raise BenchError(f'no name after {self.limit} s') from None
                    raise
        finally:
            reader.kill()
            reader.wait(10)
        if not out:
            raise BenchError(f'no message in {box}')
        return start, shown, float(out)

    # -- one message --

    def single(self) -> None:
        """cat, mv and rm: the first in a folder that was just listed, and three that follow."""
        follow = 3
        kinds = {'cat': ['cat'], 'mv': ['mv'], 'rm': ['rm']}
        seconds = {(kind, first): Sample() for kind in kinds for first in (True, False)}
        flights: dict[tuple[str, bool], list[int]] = {key: [] for key in seconds}
        count = 100 + 2 * self.runs * (follow + 1)
        with wire(self.server) as conn:
            conn.command(b'CREATE There')
        fill(self.server, 'Here', Writer(2, BODY).messages(count))
        self.warm_server('Here', True)
        with Distance(self.server, ROUND_TRIP) as distance:
            for turn in range(self.runs):
                say(f'cat, mv and rm at 50 ms, run {turn + 1} of {self.runs}')
                for kind, command in kinds.items():
                    with self.mounted(distance.port) as mount:
                        names = self.list_names(mount, 'Here', count)
                        for nth in range(follow + 1):
                            key = (kind, nth == 0)
                            before = distance.settled(0.1)
                            arguments = [*command, str(mount / 'Here' / names[nth])]
                            if kind == 'mv':
                                arguments.append(str(mount / 'There'))
                            seconds[key].take(lambda: ys.timed(arguments, self.out(kind),
                                                               self.limit, mount), self.limit)
                            flights[key].append(distance.counters().since(before).flights)
                            count -= kind != 'cat'
                            if kind == 'cat' and not self.out('cat').stat().st_size:
                                raise BenchError('cat printed nothing')
                    self._expect_count('Here', count)
        self._expect_count('There', self.runs * (follow + 1))
        for (kind, first), sample in seconds.items():
            seen = sorted(flights[kind, first])
            usual = statistics.median_low(seen)
            told = f'{usual}' if seen[0] == seen[-1] else f'{usual} ({seen[0]}–{seen[-1]})'
            self.row(f'`{kind}` of a message, {"the first" if first else "the following"}',
                     '1 round trip', f'{told} round trips, {sample} at 50 ms', '50 ms',
                     ratio(sample.median, ROUND_TRIP), usual <= 1)

    def _expect_count(self, mailbox: str, count: int) -> None:
        with wire(self.server) as conn:
            _, answer = conn.command(b'STATUS %s (MESSAGES)' % mailbox.encode(), keep=True)
        if b'(MESSAGES %d)' % count not in answer:
            raise BenchError(f'{mailbox} should hold {count} messages: {answer!r}')

    # -- a large message --

    def large_mail(self) -> None:
        data = large_message(self.large)
        fill(self.server, 'Large', iter([(EPOCH, data)]))
        self.warm_server('Large', True)
        ours, wired = Sample(), Sample()
        heads: list[Counters] = []
        for turn in range(self.runs):
            say(f'a large message, run {turn + 1} of {self.runs}')
            with self.mounted() as mount:
                name = str(mount / 'Large' / self.list_names(mount, 'Large', 1)[0])
                # The raw wire has logged in, too, before its time begins.
                if not wait_until(lambda: 'connection 1: up' in (
                        mount / '.imapfs/status').read_text(encoding='utf-8'), 30, 0.05):
                    raise BenchError('no connection for message bodies')
                # Not into a file: writing would be measured.
                ours.take(lambda: ys.timed(['cat', name], Path('/dev/null'), self.limit, mount),
                          self.limit)
                ys.timed(['sha256sum', name], self.out('sum'), self.limit, mount)
                if not self.out('sum').read_text().startswith(hashlib.sha256(data).hexdigest()):
                    raise BenchError('the large message came out different')
            wired.take(lambda: ys.raw(self.server, 'Large', b'UID FETCH 1 (BODY.PEEK[])',
                                      self.limit), self.limit)
            with Distance(self.server, 0) as distance, self.mounted(distance.port) as mount:
                name = str(mount / 'Large' / self.list_names(mount, 'Large', 1)[0])
                before = distance.settled()
                ys.timed(['head', '-c', '100', name], self.out('head'), self.limit, mount)
                if self.out('head').read_bytes() != data[:100]:
                    raise BenchError('head printed something else')
                heads.append(distance.settled().since(before))
        speed = [len(data) / sample.median / 1e6 for sample in (ours, wired)]
        megabytes = f'{self.large >> 20} MB'
        self.row(f'`cat` of one message of {megabytes}', '≥ 0.8 × raw wire',
                 f'{speed[0]:.0f} MB/s, {ours}', f'raw wire {speed[1]:.0f} MB/s, {wired}',
                 f'{speed[0] / speed[1]:.2f}', speed[0] >= 0.8 * speed[1])
        most = max(head.up + head.down for head in heads)
        self.row(f'`head -c 100` of it, bytes on the wire', '≤ 256 KiB', f'{most / 1024:.0f} KiB',
                 '', '', most <= 256 * 1024)

    # -- growth: per message, at ten times the size each; the largest, 5 GB of mail, once --

    def sizes(self) -> list[int]:
        return [self.few // 10, self.few, self.many] + ([self.huge] if self.huge else [])

    def growth_list(self) -> None:
        ours, wired, memory = Growth(), Growth(), 0.0
        for size in self.sizes():
            box = self.mailbox(size, TINY)
            for turn in range(1 if size == self.huge else self.runs):
                say(f'list {number(size)}, run {turn + 1}')
                with self.mounted() as mount:
                    seconds = ours.of(size).take(
                        lambda: ys.timed(['ls', '-f', str(mount / box)], self.out('list'),
                                         2 * self.limit, mount), 2 * self.limit)
                    memory = resident(mount.pid)
                if seconds < math.inf:
                    with open(self.out('list'), 'rb') as lines:
                        if sum(line.endswith(b'.eml\n') for line in lines) != size:
                            raise BenchError(f'{box}: ls -f printed the wrong number of names')
                wired.of(size).take(lambda: ys.raw_metadata(self.server, box, 2 * self.limit),
                                    2 * self.limit)
        self.growth_row('growth: cold `ls -f`', ours, wired)
        if self.huge:
            self.row(f'resident memory, {number(self.huge)} messages listed with `ls -f`',
                     '≤ 220 MB', f'{memory:.1f} MB', '', '',
                     memory <= 220 if self.full_size else None)

    def growth_grep(self) -> None:
        ours, wired = Growth(), Growth()
        for size in self.sizes():
            expected = size // NEEDLE_EVERY
            if not expected:
                continue
            box = self.mailbox(size, BODY)
            for turn in range(self.runs if size <= self.few else 1):
                say(f'grep {number(size)}, run {turn + 1}')
                with self.mounted() as mount:
                    seconds = ours.of(size).take(
                        lambda: ys.grep(mount / box, self.out('list'), 2 * self.limit, mount),
                        2 * self.limit)
                    if (seconds < math.inf
                            and len(ys.found(self.out('list'), mount / box)) != expected):
                        raise BenchError(f'{box}: grep did not find {expected} messages')
                wired.of(size).take(lambda: ys.raw(self.server, box, ys.BODIES, 2 * self.limit),
                                    2 * self.limit)
        self.growth_row('growth: cold `grep -r`', ours, wired)

    def growth_row(self, work: str, ours: Growth, wired: Growth) -> None:
        # A server that slows down itself is not held against its client.
        bound = 1.5 * max(1.0, wired.factor)
        self.row(work, 'time per message ≤ 1.5 × that at a tenth (more if the wire slows down)',
                 str(ours), f'raw wire {wired}', f'{ours.factor:.2f}; raw wire {wired.factor:.2f}',
                 within(ours.factor, bound))


# ---- the machine ---------------------------------------------------------------------------------


def say(text: str) -> None:
    print(f'[{time.monotonic() - _STARTED:6.1f} s] {text}', file=sys.stderr, flush=True)


_STARTED = time.monotonic()


def resident(pid: int) -> float:
    """Megabytes of 10^6 bytes."""
    for line in Path(f'/proc/{pid}/status').read_text().splitlines():
        if line.startswith('VmRSS:'):
            return int(line.split()[1]) * 1024 / 1e6
    raise BenchError(f'no VmRSS of process {pid}')


def file_system(path: Path) -> str:
    return ys.run(['stat', '-f', '-c', '%T', str(path)]).strip().replace('ext2/ext3', 'ext4')


def work_directory() -> Path:
    """On a disk if there is one: the yardsticks write files there."""
    places = [Path(os.environ.get('TMPDIR', '/var/tmp')), Path('/var/tmp'), Path('/tmp')]
    good = [place for place in places if place.is_dir() and file_system(place) != 'tmpfs']
    path = Path(tempfile.mkdtemp(prefix='imapfs-bench-', dir=(good or places[-1:])[0]))
    path.chmod(0o755)  # Dovecot's user must get in
    return path


def machine(directory: Path) -> str:
    cpu = next((line.split(':', 1)[1].strip() for line in
                Path('/proc/cpuinfo').read_text().splitlines() if line.startswith('model name')),
               platform.machine())
    memory = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9
    packages = ('dovecot-imapd', 'libfuse3-3', 'isync')
    found = ys.run(['dpkg-query', '-W', '-f', '${Package} ${Version}, ', *packages])
    return (f'{os.cpu_count()} cores ({cpu}), {memory:.0f} GB, Linux {platform.release()}, '
            f'{file_system(directory)}, {found.rstrip(", ")}')


# ---- the program ---------------------------------------------------------------------------------

# What --only takes, and the experiment that fills in that row. One may fill in several.
EXPERIMENTS: dict[str, Callable[[Bench], None]] = {
    'grep-cold': Bench.grep, 'grep-warm': Bench.grep, 'grep-50ms': Bench.grep_delay,
    'copy': Bench.copying, 'rg': Bench.ripgrep, 'orders': Bench.orders, 'thumbnails': Bench.thumbnails,
    'ls-cold': Bench.ls, 'ls-warm': Bench.ls, 'memory': Bench.ls, 'first-name': Bench.first_name,
    'single': Bench.single, 'large': Bench.large_mail, 'growth-list': Bench.growth_list,
    'memory-million': Bench.growth_list, 'growth-grep': Bench.growth_grep,
}


def parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog='bench.py', description='imapfs beside its yardsticks')
    parser.add_argument('--quick', action='store_true', help='a tenth of the size')
    parser.add_argument('--only', action='append', choices=EXPERIMENTS, metavar='NAME',
                        help='one of: ' + ', '.join(EXPERIMENTS))
    parser.add_argument('--runs', type=int, help='of everything (5, quick 3)')
    parser.add_argument('--messages', type=int,
                        help='with bodies (10000); ten times as many are listed')
    parser.add_argument('--limit', type=float, help='seconds that one command may take')
    options = parser.parse_args(argv)
    options.runs = options.runs or (3 if options.quick else 5)
    options.messages = options.messages or (1000 if options.quick else 10_000)
    options.limit = options.limit or (10 if options.quick else 60)
    return options


def measure(options: argparse.Namespace, directory: Path) -> None:
    print(f'{machine(directory)}; {options.runs} runs, medians (fastest–slowest)\n', flush=True)
    if os.getloadavg()[0] > 0.3:
        say(f'the machine is busy (load {os.getloadavg()[0]:.1f}): figures will be worse')
    # mdbox: it is what fills 1,000,000 messages quickly. The cache file of so many does not fit into
    # the 256 MB that Dovecot allows itself. All clients use the same server.
    server = Dovecot(directory / 'server', mail_location='mdbox:~/mail', dies_with_parent=True,
                     extra='mdbox_rotate_size = 64M\ndefault_vsz_limit = 4G')
    try:
        server.start()
        bench = Bench(options, server, directory)
        done = set()
        for name in options.only or EXPERIMENTS:
            experiment = EXPERIMENTS[name]
            if experiment not in done:
                done.add(experiment)
                experiment(bench)
        print(table(bench.rows))
        for line in server.log().splitlines():
            if ' Error: ' in line or ' Warning: ' in line:
                raise BenchError(f'the server was not well: {line}')
    finally:
        for live in list(mounting.LIVE):
            live.end()
        server.clear()


def main(argv: Sequence[str]) -> int:
    options = parse(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if not BINARY.exists():
        sys.exit(f'bench.py: {BINARY} is not built')
    directory = work_directory()
    try:
        measure(options, directory)
    except (BenchError, MountError, ServerError, OSError, subprocess.TimeoutExpired) as error:
        print(f'bench.py: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        # Removing files through a mount would be removing mail.
        if mounting.mount_entries_below(directory):
            print(f'bench.py: still mounted below {directory}', file=sys.stderr)
        else:
            shutil.rmtree(directory, ignore_errors=True)
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
