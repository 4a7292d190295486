"""What imapfs is measured against: the bare wire, mbsync, plain files, libfuse's passthrough_ll."""

from __future__ import annotations

import contextlib
import gzip
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Iterator, NamedTuple, Optional, Sequence

from bench_mail import NEEDLE, wire
from mount import ROOT, Mount, environment
from server import Dovecot, die_with_parent, wait_until

BUILD = ROOT / 'build' / 'bench'
EXAMPLES = Path('/usr/share/doc/libfuse3-dev/examples')
METADATA = b'UID FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[HEADER.FIELDS (%s)])'
BODIES = b'FETCH 1:* (UID BODY.PEEK[])'


class BenchError(Exception):
    """Something did not work, or its result is wrong: then its time means nothing."""


class TooSlow(BenchError):
    """A measured command ran into the limit."""


# ---- commands ------------------------------------------------------------------------------------


def timed(arguments: Sequence[str], out: Path, limit: float, mount: Optional[Mount] = None,
          home: Path = Path('/')) -> float:
    """Seconds that the command takes; its output goes to a file.

    Not to /dev/null: GNU grep notices that and ends at the first match.
    """
    with open(out, 'wb') as stdout:
        start = time.monotonic()
        process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=stdout,
                                   stderr=subprocess.PIPE, start_new_session=True,
                                   env={**environment(home), 'LC_ALL': 'C'})
        try:
            _, complaint = process.communicate(timeout=limit)
            seconds = time.monotonic() - start
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)  # a shell's children, too
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=5)
            if process.poll() is None and mount:
                mount.abort()  # it waits for an answer that will not come
                process.communicate(timeout=10)
            if isinstance(error, subprocess.TimeoutExpired):
                raise TooSlow(f'{arguments[0]} took longer than {limit:.0f} s') from None
            raise
    if process.returncode != 0:
        raise BenchError(f'{" ".join(arguments)} exited with {process.returncode}: '
                         f'{complaint.decode(errors="replace")[:500]}')
    return seconds


def grep(directory: Path, out: Path, limit: float, mount: Optional[Mount] = None) -> float:
    return timed(['grep', '-r', NEEDLE, str(directory)], out, limit, mount)


def ripgrep(directory: Path, out: Path, limit: float, mount: Optional[Mount] = None) -> float:
    return timed(['rg', NEEDLE, str(directory)], out, limit, mount)


def found(out: Path, directory: Path, names: bool = True) -> list[str]:
    """What grep wrote, to be compared with what it wrote elsewhere."""
    lines = out.read_text(errors='surrogateescape').replace('\r', '').splitlines()
    start = f'{directory}/'
    if not all(line.startswith(start) for line in lines):
        raise BenchError(f'{out}: not the output of a grep in {directory}')
    return sorted(line[len(start):] if names else line.rpartition(':')[2] for line in lines)


def run(arguments: Sequence[str], timeout: float = 120) -> str:
    done = subprocess.run(arguments, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          errors='replace', check=False, timeout=timeout)
    if done.returncode != 0:
        raise BenchError(f'{" ".join(arguments)} failed:\n{done.stdout}{done.stderr}')
    return done.stdout + done.stderr


# ---- what is compiled ----------------------------------------------------------------------------


def compiled(name: str, source: Path, flags: Sequence[str] = ()) -> Path:
    """build/bench/NAME, made again when its source is newer."""
    program = BUILD / name
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        BUILD.mkdir(parents=True, exist_ok=True)
        run(['cc', '-std=gnu17', '-D_GNU_SOURCE', '-O2', '-o', str(program), str(source), *flags])
    return program


def passthrough_program() -> Path:
    """libfuse's example as Debian ships it, plain or compressed."""
    places = [EXAMPLES, BUILD / f'package{EXAMPLES}']
    if not any((place / f'passthrough_ll.c{end}').exists() for place in places
               for end in ('', '.gz')):
        # Small systems install packages without their documentation; the package still has it.
        package = BUILD / 'package'
        package.mkdir(parents=True, exist_ok=True)
        run(['sh', '-c', 'cd "$1" && apt-get -qq download libfuse3-dev && dpkg-deb -x *.deb .',
             'sh', str(package)])
    for name in ('passthrough_ll.c', 'passthrough_helpers.h'):
        target = BUILD / name
        for place in places:
            for source, opener in ((place / name, open), (place / f'{name}.gz', gzip.open)):
                if source.exists() and not target.exists():
                    BUILD.mkdir(parents=True, exist_ok=True)
                    with opener(source, 'rb') as packed:
                        target.write_bytes(packed.read())
    flags = run(['pkg-config', '--cflags', '--libs', 'fuse3']).split()
    return compiled('passthrough_ll', BUILD / 'passthrough_ll.c', ['-w', *flags, '-pthread'])


class Passthrough(Mount):
    """passthrough_ll over a directory, with its own defaults."""

    def __init__(self, below: Path, path: Path, log: Path) -> None:
        super().__init__('', path, log)
        self.arguments = [str(passthrough_program()), '-f', '-o', f'source={below}', str(path)]


# ---- the distance --------------------------------------------------------------------------------


class Counters(NamedTuple):
    """What went through a proxy so far."""

    connections: int
    up: int
    down: int
    flights: int  # what a client sent after an answer had reached it: one round trip each

    def since(self, before: Counters) -> Counters:
        return Counters(*(a - b for a, b in zip(self, before)))


class Distance:
    """bench_proxy between the clients and the server."""

    def __init__(self, server: Dovecot, round_trip: float) -> None:
        self._process = subprocess.Popen(
            [str(compiled('bench_proxy', ROOT / 'tests' / 'bench_proxy.c')), str(server.port),
             str(round_trip * 1000 / 2)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent)
        self.round_trip = round_trip
        assert self._process.stdout
        self.port = int(self._process.stdout.readline())

    def __enter__(self) -> Distance:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(5)

    def counters(self) -> Counters:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write('\n')
        self._process.stdin.flush()
        return Counters(*map(int, self._process.stdout.readline().split()))

    def settled(self, quiet: float = 0.3) -> Counters:
        """The counters when nothing has moved for a while."""
        last, since = self.counters(), time.monotonic()

        def still() -> bool:
            nonlocal last, since
            now = self.counters()
            if now != last:
                last, since = now, time.monotonic()
            return time.monotonic() - since > quiet + self.round_trip

        wait_until(still, 30)
        return last


# ---- the bare wire -------------------------------------------------------------------------------


def raw(server: Dovecot, mailbox: str, command: bytes, limit: float, port: int = 0) -> float:
    """Seconds from EXAMINE to the last byte of the answer; the bytes are thrown away."""
    with wire(server, port, limit) as conn:
        start = time.monotonic()
        conn.command(b'EXAMINE ' + mailbox.encode())
        conn.command(command)
        return time.monotonic() - start


def raw_metadata(server: Dovecot, mailbox: str, limit: float) -> float:
    return raw(server, mailbox, METADATA % b'FROM SUBJECT DATE', limit)


_FETCHED = re.compile(rb'\* \d+ FETCH \((?:UID (\d+) )?BODY\[\] \{(\d+)\}\r\n')


def bodies(server: Dovecot, mailbox: str) -> Iterator[tuple[int, bytes]]:
    """All messages by UID, as the server says them."""
    with wire(server) as conn:
        conn.command(b'EXAMINE ' + mailbox.encode())
        _, data = conn.command(BODIES, keep=True)
    at = 0
    while match := _FETCHED.match(data, at):
        end = match.end() + int(match[2])
        yield int(match[1]), data[match.end():end]
        at = end + len(b')\r\n')


# ---- plain files ---------------------------------------------------------------------------------


def uid_of(name: str) -> int:
    return int(name.rsplit('.', 2)[-2])


def plain_copy(server: Dovecot, mailbox: str, names: Sequence[str], directory: Path) -> None:
    """The mail of a folder as files with the names that imapfs gives them."""
    directory.mkdir()
    by_uid = {uid_of(name): name for name in names}
    written = 0
    for uid, data in bodies(server, mailbox):
        (directory / by_uid[uid]).write_bytes(data)
        written += 1
    if written != len(names):
        raise BenchError(f'{mailbox}: {len(names)} names, but {written} messages on the server')


def empty_files(names: Sequence[str], directory: Path) -> None:
    """Files without content: ls -l does not look at it."""
    directory.mkdir()
    for number, name in enumerate(names):
        path = directory / name
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
        os.truncate(path, 300)
        os.utime(path, (1.7e9 + number, 1.7e9 + number))


# ---- mbsync --------------------------------------------------------------------------------------


class Mbsync:
    """One folder to a fresh Maildir; removing the last one is not part of the time."""

    def __init__(self, server: Dovecot, mailbox: str, directory: Path, port: int = 0,
                 fsync: bool = True) -> None:
        self.maildir = directory / 'maildir'
        self._config = directory / 'mbsyncrc'
        user = server.default_user
        directory.mkdir(exist_ok=True)
        self._config.write_text(
            f'FSync {"yes" if fsync else "no"}\n\n'
            f'IMAPStore far\nHost {server.host}\nPort {port or server.port}\nUser {user}\n'
            f'Pass {server.users[user]}\nSSLType None\nAuthMechs PLAIN\n\n'
            f'MaildirStore near\nPath {self.maildir}/\nInbox {self.maildir}/INBOX\n\n'
            f'Channel bench\nFar :far:{mailbox}\nNear :near:{mailbox}\nCreate Near\nSync Pull\n'
            'SyncState *\n')

    def clear(self) -> None:
        shutil.rmtree(self.maildir, ignore_errors=True)
        self.maildir.mkdir()
        os.sync()

    def run(self, limit: float) -> float:
        return timed(['mbsync', '-q', '-c', str(self._config), 'bench'],
                     self._config.with_suffix('.out'), limit)
