"""The independent eye on a server: imaplib, and folders by the names that the mount shows."""

from __future__ import annotations

import contextlib
import imaplib
import re
from typing import Iterator, NamedTuple, Optional

from base import Site
from server import decode_utf7, encode_utf7, wait_until

DATE = '"17-Jul-2024 09:31:00 +0000"'
_LIST = re.compile(rb'\(([^)]*)\) (NIL|"[^"]*") (.*)', re.S)


class Row(NamedTuple):
    """What a server says of one message."""

    flags: frozenset[str]
    date: str
    data: bytes


class Eye:
    def __init__(self, site: Site) -> None:
        self.site = site

    # -- names --

    @property
    def top(self) -> str:
        """The directory in which folders can be made: '' or 'INBOX/'."""
        return self.site.prefix.replace(self.site.separator, '/')

    def wire(self, folder: str) -> str:
        """A folder of the mount as the server calls it, quoted."""
        name = encode_utf7(folder.replace('/', self.site.separator)).decode()
        return '"' + name.replace('\\', '\\\\').replace('"', '\\"') + '"'

    @contextlib.contextmanager
    def session(self, folder: Optional[str] = None, readonly: bool = True
                ) -> Iterator[imaplib.IMAP4]:
        conn = self.site.client()
        try:
            if folder is not None:
                ok(conn.select(self.wire(folder), readonly))
            yield conn
        finally:
            with contextlib.suppress(imaplib.IMAP4.error, OSError):
                conn.logout()

    # -- looking --

    def folders(self) -> set[str]:
        with self.session() as conn:
            rows = ok(conn.list())
        found = set()
        for row in rows:
            if isinstance(row, tuple):  # the name came as a literal
                row = re.sub(rb'\{\d+\}$', b'', row[0]) + row[1]
            match = _LIST.match(row or b'')
            if match and b'nonexistent' not in match[1].lower():
                name = match[3]
                if name.startswith(b'"'):
                    name = re.sub(rb'\\(.)', rb'\1', name[1:-1])
                found.add(decode_utf7(name).replace(self.site.separator, '/'))
        return found

    def uids(self, folder: str, criterion: str = 'ALL') -> list[int]:
        with self.session(folder) as conn:
            return sorted(int(uid) for uid in (ok(conn.uid('SEARCH', criterion))[0] or b'').split())

    def rows(self, folder: str, conn: Optional[imaplib.IMAP4] = None) -> dict[int, Row]:
        """Every message: its flags without \\Recent, its INTERNALDATE, its bytes."""
        if conn is None:
            with self.session(folder) as made:
                return self.rows(folder, made)
        # By number, and each by itself: sets and ranges of UIDs are not every server's strength.
        count = int(ok(conn.select(self.wire(folder), True))[0])
        found = {}
        for number in range(1, count + 1):
            told = ok(conn.fetch(str(number), '(UID FLAGS INTERNALDATE BODY.PEEK[])'))
            pieces = [part for row in told for part in (row if isinstance(row, tuple) else (row,))]
            data = max((row[1] for row in told if isinstance(row, tuple)), key=len, default=b'')
            text = b' '.join(p for p in pieces if p is not data).decode('latin-1')
            flags = frozenset(re.search(r'FLAGS \(([^)]*)\)', text)[1].split()) - {'\\Recent'}
            found[int(re.search(r'\bUID (\d+)', text)[1])] = Row(
                flags, re.search(r'INTERNALDATE "([^"]*)"', text)[1].strip(), data)
        return found

    def bodies(self, folder: str) -> list[bytes]:
        return sorted(row.data for row in self.rows(folder).values())

    def flags(self, folder: str, uid: int) -> set[str]:
        with self.session(folder) as conn:
            told = ok(conn.uid('FETCH', str(uid), '(UID FLAGS)'))
        text = b' '.join(row for row in told if row).decode('latin-1')
        return set(re.search(r'FLAGS \(([^)]*)\)', text)[1].split()) - {'\\Recent'}

    # -- what another client does --

    def create(self, folder: str) -> None:
        with self.session() as conn:
            ok(conn.create(self.wire(folder)))

    def delete(self, folder: str) -> None:
        with self.session() as conn:
            ok(conn.delete(self.wire(folder)))

    def append(self, folder: str, *messages: bytes, flags: str = '') -> None:
        with self.session() as conn:
            for data in messages:
                def appended(data: bytes = data) -> bool:
                    answer = conn.append(self.wire(folder), f'({flags})', DATE, data)
                    return not _passes(answer) and bool(ok(answer))
                assert wait_until(appended, 10, interval=0.1), f'{folder} is still "deleted under us"'

    def store(self, folder: str, uid: int, change: str, flags: str) -> None:
        with self.session(folder, readonly=False) as conn:
            ok(conn.uid('STORE', str(uid), change, f'({flags})'))

    def expunge(self, folder: str, uid: int) -> None:
        """Nothing else there may be \\Deleted."""
        with self.session(folder, readonly=False) as conn:
            ok(conn.uid('STORE', str(uid), '+FLAGS', '(\\Deleted)'))
            ok(conn.expunge())


def _passes(answer: tuple) -> bool:
    """A refusal that soon is none: a session that had a mailbox open which was deleted has not let
    go of it yet, and Dovecot takes the one that was made in its place, over mbox files, for that."""
    return answer[0] == 'NO' and b'deleted under us' in answer[1][0]


def ok(answer: tuple) -> list:
    assert answer[0] == 'OK', f'another client was told {answer}'
    return answer[1]
