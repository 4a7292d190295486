"""What every part of the campaign uses: the figures, an independent eye on the server, messages that
can be told apart, and calls on a mount that are timed, counted and judged.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import imaplib
import os
import random
import re
import threading
import time
from pathlib import Path
from typing import Callable, Iterator, NamedTuple, Optional

from messages import raw, text_body
from mount import Mount
from server import Dovecot, Message, decode_utf7, quote

SETTLED = 1.15  # s; a listing is at most one second old
TOKEN = re.compile(r'tok(\d+x\d+)')

# What a server that is gone may be called.
GONE = {errno.ENOTCONN, errno.EHOSTUNREACH, errno.ETIMEDOUT}
# What may also come of a thing that an earlier failure, or somebody else, left in doubt.
DOUBT = {errno.ENOENT, errno.EEXIST, errno.ENOTEMPTY, errno.EBUSY, errno.ESTALE}


def name_of(code: int) -> str:
    return errno.errorcode.get(code, str(code)).replace('ENOTSUP', 'EOPNOTSUPP')


# ---- figures -------------------------------------------------------------------------------------


class Figures:
    """What is printed at the end; shared by all lanes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.counts: dict[str, int] = {}
        self.faults: dict[str, int] = {}
        self.errors: dict[str, int] = {}
        self.longest = (0.0, '')
        self.recovery = 0.0
        self.failures: list[str] = []
        self.notes: list[str] = []

    def add(self, what: str, n: int = 1) -> None:
        with self._lock:
            self.counts[what] = self.counts.get(what, 0) + n

    def fault(self, kind: str) -> None:
        with self._lock:
            self.faults[kind] = self.faults.get(kind, 0) + 1

    def called(self, what: str, seconds: float, code: int) -> None:
        with self._lock:
            self.counts['operations'] = self.counts.get('operations', 0) + 1
            if code:
                self.errors[name_of(code)] = self.errors.get(name_of(code), 0) + 1
            if seconds > self.longest[0]:
                self.longest = (seconds, what)

    def recovered(self, seconds: float) -> None:
        with self._lock:
            self.recovery = max(self.recovery, seconds)

    def fail(self, text: str) -> None:
        with self._lock:
            self.failures.append(text)

    def kinds(self) -> list[str]:
        """One failure of each kind, with how many there are of it."""
        like: dict[str, list[str]] = {}
        for text in self.failures:
            line = text.split('\n', 1)[0]
            like.setdefault(re.sub(r'\S*/\S*|[A-Z]\w*\d\w*|\d+', '#', line), []).append(text)
        return [f'{len(texts)} x {texts[0]}' for texts in like.values()]

    def note(self, text: str) -> None:
        with self._lock:
            self.notes.append(text)

    def text(self, whole: bool = True) -> str:
        def table(values: dict[str, int]) -> str:
            return ', '.join(f'{n} {what}' for what, n in sorted(values.items())) or 'none'
        c = self.counts.get
        return '\n'.join([
            f'faults injected: {sum(self.faults.values())} ({table(self.faults)})',
            f'operations done: {c("operations", 0)} (of which failed: {table(self.errors)})',
            f'messages lost: {c("lost", 0)}; doubled: {c("doubled", 0)}',
            *(f'{what}: {n}' for what, n in sorted(self.counts.items())
              if what not in ('operations', 'lost', 'doubled')),
            f'longest stall: {self.longest[0]:.1f} s ({self.longest[1]}); '
            f'longest until the mount answered again: {self.recovery:.1f} s',
            *(self.notes if whole else ()),
            f'failures: {len(self.failures)}', *self.kinds()[:20]])


# ---- the independent eye -------------------------------------------------------------------------


class Seen(NamedTuple):
    """A message as the server has it."""

    token: str
    size: int
    flags: frozenset
    data: Optional[bytes]

    @property
    def visible(self) -> bool:
        return '\\Deleted' not in self.flags


Snapshot = dict[str, dict[int, Seen]]  # by folder (as the mount calls it) and UID


class Eye:
    """A connection of our own to the account, past the line."""

    def __init__(self, server: Dovecot, user: str) -> None:
        self.server, self.user = server, user
        self.conn: Optional[imaplib.IMAP4] = None

    def imap(self) -> imaplib.IMAP4:
        if self.conn is None:
            self.conn = self.server.client(self.user, tls=False)
        return self.conn

    def close(self) -> None:
        if self.conn:
            with contextlib.suppress(OSError, imaplib.IMAP4.error):
                self.conn.shutdown()
        self.conn = None

    def folders(self) -> list[str]:
        _, rows = self.imap().list()
        names = []
        for row in rows:
            if isinstance(row, tuple):  # as a literal
                names.append(decode_utf7(row[1]))
            elif row:
                names.append(decode_utf7(row.split(b') ', 1)[1].split(b' ', 1)[1].strip(b'"')))
        return sorted(names)

    def select(self, folder: str, readonly: bool = False) -> bool:
        return self.imap().select(quote(folder), readonly)[0] == 'OK'

    def snapshot(self, bodies: bool = False) -> Snapshot:
        found: Snapshot = {}
        part = 'BODY.PEEK[]' if bodies else 'BODY.PEEK[HEADER.FIELDS (SUBJECT)]'
        for folder in self.folders():
            if not self.select(folder, readonly=True):
                # Removed since, or a level without messages; or Dovecot, killed in a DELETE, lists
                # what it will not open any more.
                continue
            found[folder] = {}
            _, rows = self.imap().uid('FETCH', '1:*', f'(UID FLAGS RFC822.SIZE {part})')
            for row in rows:
                if not isinstance(row, tuple):
                    continue
                head = row[0].decode('latin-1')
                token = TOKEN.search(row[1].decode('latin-1'))
                flags = re.search(r'FLAGS \(([^)]*)\)', head)
                found[folder][int(re.search(r'UID (\d+)', head)[1])] = Seen(
                    token[1] if token else '?', int(re.search(r'RFC822.SIZE (\d+)', head)[1]),
                    frozenset(flags[1].split()) - {'\\Recent'} if flags else frozenset(),
                    row[1] if bodies else None)
        return found

    def expunge(self, folder: str, uid: int) -> None:
        self.select(folder)
        self.imap().uid('STORE', str(uid), '+FLAGS.SILENT', '(\\Deleted)')
        self.imap().uid('EXPUNGE', str(uid))


def tokens(snapshot: Snapshot) -> dict[str, list[tuple[str, int, Seen]]]:
    found: dict[str, list[tuple[str, int, Seen]]] = {}
    for folder, rows in snapshot.items():
        for uid, seen in rows.items():
            found.setdefault(seen.token, []).append((folder, uid, seen))
    return found


class Mint:
    """Makes messages that can be told apart, and knows what they are."""

    def __init__(self, number: int, rng: random.Random) -> None:
        self._prefix, self._next, self._rng = number, 0, rng
        self.known: dict[str, tuple[int, str]] = {}  # size and hash

    def message(self, size: int = 0) -> Message:
        self._next += 1
        token = f'{self._prefix}x{self._next}'
        size = size or self._rng.choice((200, 300, 400, 500, 900))
        data = raw(f'tok{token} of the lot', body=text_body(self._rng.getrandbits(32), size))
        self.known[token] = (len(data), hashlib.sha256(data).hexdigest())
        return Message(data, None, self._rng.choice(('', '', '\\Seen', '\\Flagged')))

    def wrong(self, token: str, data: bytes) -> str:
        """Why these are not the bytes of that message; empty if they are."""
        size, digest = self.known.get(token, (0, ''))
        if len(data) != size:
            return f'{len(data)} bytes instead of {size}'
        return '' if hashlib.sha256(data).hexdigest() == digest else 'other bytes'


# ---- calls on the mount --------------------------------------------------------------------------


class Stuck(threading.Thread):
    """Frees who waits in a mount for longer than anybody may: kills its daemon, and says so."""

    def __init__(self, figures: Figures, limit: float) -> None:
        super().__init__(name='stuck', daemon=True)
        self._figures, self._limit = figures, limit
        self._lock = threading.Lock()
        self._calls: dict[int, tuple[float, str, Mount]] = {}
        self._end = threading.Event()

    @contextlib.contextmanager
    def watch(self, mount: Mount, what: str) -> Iterator[None]:
        me = threading.get_ident()
        with self._lock:
            self._calls[me] = (time.monotonic(), what, mount)
        try:
            yield
        finally:
            with self._lock:
                self._calls.pop(me, None)

    def run(self) -> None:
        while not self._end.wait(0.5):
            now = time.monotonic()
            with self._lock:
                late = [c for c in self._calls.values() if now - c[0] > self._limit]
            for began, what, mount in late:
                self._figures.fail(f'{what} still blocks after {now - began:.0f} s: mount ended\n'
                                   + mount.log()[-2000:])
                mount.abort()
            if late:
                time.sleep(5)

    def stop(self) -> None:
        self._end.set()
        self.join(10)


def read_whole(path: Path) -> bytes:
    fd = os.open(path, os.O_RDONLY)
    try:
        out = bytearray()
        while data := os.read(fd, 65536):
            out += data
        return bytes(out)
    finally:
        os.close(fd)


def read_part(path: Path, at: int, size: int) -> bytes:
    """From the server again, as far as the kernel's cache goes."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        return os.pread(fd, size, at)
    finally:
        os.close(fd)


def uid_of(name: str) -> int:
    found = re.search(r'(?:^|\.)(\d+)\.eml$', name)
    return int(found[1]) if found else 0


class Caller:
    """One program on the mount: every call is timed, counted and judged."""

    def __init__(self, mount: Mount, figures: Figures, stuck: Stuck, limit: float) -> None:
        self.mount, self.figures, self.stuck, self.limit = mount, figures, stuck, limit
        self.history: list[str] = []

    def call(self, what: str, function: Callable, *args, legal: set[int] = frozenset()):
        """(errno or 0, result)"""
        code, result = 0, None
        began = time.monotonic()
        with self.stuck.watch(self.mount, what):
            try:
                result = function(*args)
            except OSError as error:
                code = error.errno or errno.EIO
        took = time.monotonic() - began
        self.figures.called(what, took, code)
        self.history.append(f'{what}: {name_of(code) if code else "ok"} ({took * 1000:.0f} ms)')
        if took > self.limit:
            self.problem(f'{what} took {took:.1f} s')
        if code and code not in legal:
            self.problem(f'{what}: {name_of(code)} is none of {sorted(map(name_of, legal))}')
        return code, result

    def problem(self, text: str) -> None:
        self.figures.fail(text + '\n    after: ' + '; '.join(self.history[-14:])
                          + f' at {time.strftime("%H:%M:%S")}')
