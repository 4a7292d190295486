"""Starts imapfs on a directory, and gets rid of it again whatever it does."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import subprocess
from pathlib import Path
from typing import Iterable, Iterator, Optional, Sequence

from server import die_with_parent, wait_until

ROOT = Path(__file__).resolve().parent.parent
BINARY = Path(os.environ.get('IMAPFS', ROOT / 'build' / 'imapfs')).resolve()
# The sanitized builds are several times slower; every deadline of a test grows with this.
SLOW = float(os.environ.get('IMAPFS_SLOW', '1'))
MOUNT_DEADLINE = 30 * SLOW
EXIT_DEADLINE = 20 * SLOW

# What the daemon's log must never say.
ALARMING = re.compile(r'AddressSanitizer|LeakSanitizer|ThreadSanitizer|UndefinedBehavior|'
                      r'runtime error:|Assertion|Segmentation fault|stack smashing|GLib-CRITICAL|'
                      r'GMime-CRITICAL|GLib-GObject-CRITICAL')

LIVE: list[Mount] = []  # every mount that was started and not yet ended


class MountError(Exception):
    """imapfs did not do what it was told."""


@contextlib.contextmanager
def refused(*codes: int) -> Iterator[None]:
    """The block must fail with an OSError with one of these codes."""
    expected = [errno.errorcode[code] for code in codes]
    try:
        yield
    except OSError as error:
        assert error.errno in codes, f'{error!r}, not {expected}'
    else:
        raise AssertionError(f'worked, and should have failed with {expected}')


class MountEntry:
    """One line of /proc/self/mountinfo."""

    def __init__(self, line: str) -> None:
        left, _, right = line.partition(' - ')
        fields = left.split(' ')
        self.minor = int(fields[2].split(':')[1])
        self.path = re.sub(rb'\\([0-7]{3})', lambda m: bytes([int(m.group(1), 8)]),
                           os.fsencode(fields[4])).decode(errors='surrogateescape')
        self.options = fields[5].split(',')
        self.kind, self.source = right.split(' ')[:2]


def mount_entry(path: os.PathLike | str) -> Optional[MountEntry]:
    """What is mounted there. Asks the kernel's list: stat() of a stuck mount would block."""
    with open('/proc/self/mountinfo', encoding='utf-8', errors='surrogateescape') as table:
        entries = [MountEntry(line) for line in table]
    return next((e for e in reversed(entries) if e.path == str(path)), None)


def mount_entries_below(path: os.PathLike | str) -> list[MountEntry]:
    with open('/proc/self/mountinfo', encoding='utf-8', errors='surrogateescape') as table:
        entries = [MountEntry(line) for line in table]
    return [e for e in entries if e.path == str(path) or e.path.startswith(f'{path}/')]


def environment(home: Path) -> dict[str, str]:
    """A clean one: no configuration of the user's, a known time zone, sanitizers that talk."""
    return {
        'PATH': os.environ.get('PATH', '/usr/sbin:/usr/bin:/sbin:/bin'),
        'HOME': str(home),
        'LC_ALL': 'C.UTF-8',
        'TZ': 'UTC',
        'ASAN_OPTIONS': 'detect_leaks=1:exitcode=99',
        'UBSAN_OPTIONS': 'print_stacktrace=1',
        'TSAN_OPTIONS': os.environ.get('TSAN_OPTIONS', 'exitcode=66'),
        'LSAN_OPTIONS': os.environ.get('LSAN_OPTIONS', ''),
    }


def run(arguments: Sequence[str], home: Path, deadline: float = MOUNT_DEADLINE,
        binary: Path = BINARY) -> subprocess.CompletedProcess:
    """Runs imapfs to its end, for what must fail; stdout and stderr as text."""
    process = subprocess.Popen([str(binary), *arguments], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               errors='replace', env=environment(home),
                               preexec_fn=die_with_parent)
    try:
        out, err = process.communicate(timeout=deadline)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise MountError(f'still running after {deadline} s: {arguments}\n{err}') from None
    return subprocess.CompletedProcess(arguments, process.returncode, out, err)


def in_pid_namespace(directory: Path) -> Path:
    """A program that runs imapfs in a PID namespace of its own, where its callers have no number."""
    wrapper = directory / 'imapfs'
    wrapper.write_text(f'#!/bin/sh\nexec unshare --pid --fork --kill-child {BINARY} "$@"\n')
    wrapper.chmod(0o700)
    return wrapper


class Mount:
    """imapfs in the foreground, with its log in a file."""

    def __init__(self, source: str, path: Path, log: Path, options: Iterable[str] = (),
                 debug: bool = False, env: Optional[dict[str, str]] = None,
                 binary: Path = BINARY) -> None:
        self.source = source
        self.path = path
        self.log_path = log
        self.arguments = [str(binary), '-d' if debug else '-f']
        if options:
            self.arguments += ['-o', ','.join(options)]
        self.arguments += [source, str(path)]
        self.env = env or environment(log.parent)
        self.process: Optional[subprocess.Popen] = None
        self.status: Optional[int] = None  # the exit status, once there is one

    # -- life --

    def start(self) -> Mount:
        LIVE.append(self)
        with open(self.log_path, 'wb') as log:
            self.process = subprocess.Popen(
                self.arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.env,
                preexec_fn=die_with_parent)
        process = self.process
        wait_until(lambda: process.poll() is not None or self.mounted(), MOUNT_DEADLINE)
        if process.poll() is not None:
            self.end()
            raise MountError(f'imapfs exited with {process.returncode}:\n{self.log()}')
        if not self.mounted():
            self.end()
            raise MountError(f'not mounted after {MOUNT_DEADLINE} s:\n{self.log()}')
        return self

    def mounted(self) -> bool:
        return mount_entry(self.path) is not None

    @property
    def pid(self) -> int:
        assert self.process
        return self.process.pid

    def unmount(self) -> int:
        """As a user does; returns the daemon's exit status."""
        assert self.process
        # A file that a test just closed may still be busy for a moment.
        done = None

        def unmounted() -> bool:
            nonlocal done
            if not self.mounted():
                return True
            done = subprocess.run(['fusermount3', '-u', str(self.path)], check=False,
                                  capture_output=True, text=True, timeout=EXIT_DEADLINE)
            return done.returncode == 0

        if not wait_until(unmounted, 5, interval=0.1):
            self.end()
            raise MountError(f'cannot unmount: {done.stderr if done else ""}\n{self.log()}')
        return self.wait()

    def wait(self) -> int:
        """The exit status of a daemon that was told to end."""
        assert self.process
        try:
            self.status = self.process.wait(EXIT_DEADLINE)
        except subprocess.TimeoutExpired:
            self.end()
            raise MountError(f'still running {EXIT_DEADLINE} s after it was unmounted:\n'
                             f'{self.log()}') from None
        if self in LIVE:
            LIVE.remove(self)
        return self.status

    def end(self) -> None:
        """Ends it whatever state it is in; nothing stays mounted or blocked."""
        if self.process and self.process.poll() is None:
            self.abort()
            self.process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(10)
        if self.process:
            self.status = self.process.returncode
        for _ in range(3):
            if not self.mounted():
                break
            subprocess.run(['fusermount3', '-u', '-z', str(self.path)], check=False,
                           capture_output=True, timeout=30)
        if self.mounted() and os.geteuid() == 0:
            subprocess.run(['umount', '-l', str(self.path)], check=False, capture_output=True,
                           timeout=30)
        if self in LIVE:
            LIVE.remove(self)

    def abort(self) -> None:
        """Wakes everybody who is blocked in the mount, with an error."""
        entry = mount_entry(self.path)
        if entry:
            with contextlib.suppress(OSError):
                Path(f'/sys/fs/fuse/connections/{entry.minor}/abort').write_text('1')
        # Where that file system is not mounted: the kernel aborts when /dev/fuse is closed.
        if self.process and self.process.poll() is None:
            self.process.kill()

    # -- what it says --

    def log(self) -> str:
        return self.log_path.read_text(errors='replace') if self.log_path.exists() else ''

    def alarms(self) -> str:
        """The part of the log that no test may cause; empty when there is none."""
        lines = self.log().splitlines()
        hits = [n for n, line in enumerate(lines) if ALARMING.search(line)]
        return '\n'.join(lines[hits[0]:hits[0] + 60]) if hits else ''

    # -- shortcuts for tests --

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def names(self, folder: str = 'INBOX') -> list[str]:
        return sorted(os.listdir(self.path / folder))

    def message(self, folder: str, uid: int) -> Path:
        """The message by the name that listings show."""
        found = [n for n in self.names(folder)
                 if n == f'{uid}.eml' or n.endswith(f'.{uid}.eml')]
        assert len(found) == 1, f'UID {uid} in {folder}: {found} of {self.names(folder)}'
        return self.path / folder / found[0]
