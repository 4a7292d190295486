"""Mail for the tests: small, deterministic, every message different."""

from __future__ import annotations

import datetime
import random
from typing import Iterable, Iterator

from server import Message

EPOCH = datetime.datetime(2024, 7, 17, 9, 31, tzinfo=datetime.timezone.utc)


def raw(subject: str = 'Hello', sender: str = 'Alice Example <alice@example.org>',
        body: bytes = b'Hello.\r\n', extra: str = '') -> bytes:
    """A message as the wire carries it. `subject` and `sender` go in as they are."""
    head = (f'From: {sender}\r\nTo: Bob <bob@example.org>\r\nSubject: {subject}\r\n'
            f'Message-ID: <{abs(hash_of(subject, body))}@example.org>\r\n{extra}\r\n')
    return head.encode('utf-8', 'surrogateescape') + body


def hash_of(*parts: object) -> int:
    """The same in every run, unlike hash()."""
    return random.Random(repr(parts)).getrandbits(48)


def text_body(seed: int, size: int) -> bytes:
    """Lines of letters, exactly `size` bytes, ending in CRLF."""
    rng = random.Random(seed)
    letters = bytes(rng.choices(b'abcdefghijklmnopqrstuvwxyz ', k=4096))
    line = 72
    out = bytearray()
    while len(out) < size:
        start = rng.randrange(4096 - line)
        out += letters[start:start + line] + b'\r\n'
    del out[size - 2:]
    if out.endswith(b'\r'):  # half of a line end
        out[-1:] = b'x'
    return bytes(out + b'\r\n')


def message(number: int, size: int = 300, flags: str = '', subject: str = '') -> Message:
    return Message(raw(subject or f'Message {number}', body=text_body(number, size)),
                   EPOCH + datetime.timedelta(minutes=number), flags)


def messages(count: int, size: int = 300, first: int = 1) -> Iterator[Message]:
    for number in range(first, first + count):
        yield message(number, size)


def all_readable(mail, uids: Iterable[int] = (1, 2, 3), folder: str = 'INBOX') -> None:
    """The folder of a mount with names=uid shows these, message(UID) each, and no others."""
    assert mail.names(folder) == [f'{uid}.eml' for uid in uids]
    for uid in uids:
        path = mail / folder / f'{uid}.eml'
        data = path.read_bytes()
        assert data == message(uid).data
        assert path.stat().st_size == len(data)
