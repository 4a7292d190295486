"""Mail for the benchmark: the same in every run, quick to make, and put on the server quickly."""

from __future__ import annotations

import datetime
import random
import socket
from typing import Iterator

from messages import EPOCH
from server import Dovecot, ServerError, quote

NEEDLE = 'quillwort'  # in one message of NEEDLE_EVERY, and in no other text
NEEDLE_EVERY = 500

_FIRST = ('Nora Ben Zoë Jürgen Ada Ivo Marta Søren Lena Tomás Ruth Olga Paul Ines Karim Mei Otto '
          'Eva Luca Ana Émile Hana Jonas Priya').split()
_LAST = ('Lindqvist Okafor Marchand Weiß Novák Haddad Ferreira Björk Tanaka Smith Kowalska Duarte '
         'Meyer Rossi Ivanova Çelik Brown Nguyen').split()
_WORDS = ('about after again allotment along already also answer asked autumn before began '
          'below between board book both bring budget build call canal change city close cold '
          'comes could country dinner draft early earth either end every family few figures '
          'first follow found friday from garden given going great green group hand harvest '
          'heard help here house idea include invoice keep kind know large last later learn '
          'leave letter light line list little long look made many meeting might minutes monday '
          'month morning most mother move much must name near need never next night noodle '
          'notes often only open order other over page paper part people place plan plant '
          'please point press project quick rain read release report right river room same seed '
          'sentence set ship should show side since small some sound spell stand start state '
          'still story study such sunday take talk tell thank their there thing think those '
          'three through ticket time together train travel tree turn under until upon value '
          'very vienna wait walk want water week well were what when where which while white '
          'whole why winter with without word work world would write year').split()
_ACCENTED = 'Obstbäume Grüße déjà vu Århus mañana Łódź übermorgen naïve'.split()


def _encoded(text: str) -> str:
    """An RFC 2047 word when the text needs one."""
    if text.isascii():
        return text
    packed = ''.join(chr(b) if chr(b).isalnum() and b < 128 else f'={b:02X}'
                     for b in text.encode())
    return f'=?utf-8?Q?{packed}?='


class Writer:
    """Makes messages from one seed; the same seed and size give the same mail."""

    def __init__(self, seed: int, size: int) -> None:
        self._rng = random.Random(f'{seed}:{size}')
        self._size = size
        self._senders = [(f'{_encoded(f"{first} {last}")} '
                          f'<{number}.{"".join(filter(str.isascii, last)).lower()}@example.org>')
                         for number, (first, last) in enumerate(
                             (f, l) for f in _FIRST for l in _LAST)]
        # Lines are drawn from a pool: choosing words one by one would take longer than the bench.
        self._lines = [self._line().encode() for _ in range(4000)]

    def _line(self) -> str:
        words = self._rng.choices(_WORDS, k=16)
        return ' '.join(words)[:self._rng.randrange(40, 74)].rstrip() + '\r\n'

    def _subject(self) -> str:
        rng = self._rng
        words = rng.choices(_WORDS, k=rng.randrange(2, 8))
        if rng.random() < 0.15:
            words.insert(rng.randrange(len(words)), rng.choice(_ACCENTED))
        return rng.choice(('', '', 'Re: ', 'Fwd: ')) + _encoded(' '.join(words).capitalize())

    def message(self, number: int) -> tuple[datetime.datetime, bytes]:
        rng = self._rng
        date = EPOCH + datetime.timedelta(minutes=7 * (number % 500_000))
        needle = f'{NEEDLE} {number}\r\n' if number % NEEDLE_EVERY == 0 else ''
        head = (f'From: {rng.choice(self._senders)}\r\nTo: Bob Example <bob@example.org>\r\n'
                f'Subject: {self._subject()}\r\n'
                f'Date: {date:%a, %d %b %Y %H:%M:%S} +0000\r\n'
                f'Message-ID: <{number}.{rng.getrandbits(48):x}@mail.example.org>\r\n')
        if self._size < 1000:
            return date, f'{head}\r\n{needle or "See you then."}\r\n'.encode()
        head += (f'Received: from mail.example.org (mail.example.org [192.0.2.{number % 250}])\r\n'
                 f'\tby mx.example.net (Postfix) with ESMTPS id {rng.getrandbits(40):X}\r\n'
                 f'\tfor <bob@example.org>; {date:%a, %d %b %Y %H:%M:%S} +0000 (UTC)\r\n'
                 'MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n'
                 'Content-Transfer-Encoding: 8bit\r\n')
        # Between half and one and a half of the size, like mail and unlike a test file.
        lines = int((self._size - 560) * rng.uniform(0.5, 1.5) / 57.5)
        body = b''.join(rng.choices(self._lines, k=lines))
        return date, head.encode() + b'\r\n' + needle.encode() + body

    def messages(self, count: int) -> Iterator[tuple[datetime.datetime, bytes]]:
        return (self.message(number) for number in range(1, count + 1))


def large_message(size: int) -> bytes:
    """One message of exactly this size whose body looks like a base64 attachment."""
    rng = random.Random(size)
    head = (b'From: Film Club <film@example.org>\r\nTo: Bob <bob@example.org>\r\n'
            b'Subject: The whole summer\r\nMIME-Version: 1.0\r\n'
            b'Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n')
    alphabet = b'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
    block = b''.join(bytes(rng.choices(alphabet, k=76)) + b'\r\n' for _ in range(2048))
    left = size - len(head)
    body = (block * (left // len(block) + 1))[:left - 2] + b'\r\n'
    return head + body.replace(b'\r\r\n', b'x\r\n')


class Wire:
    """A bare IMAP connection in clear text: what reading from this server costs at least."""

    def __init__(self, host: str, port: int, user: str, password: str, timeout: float) -> None:
        self._sock = socket.create_connection((host, port), timeout=timeout)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._space = bytearray(1 << 20)
        self._number = 0
        if not self._sock.recv(4096).startswith(b'* OK'):
            raise ServerError('no greeting')
        self.command(f'LOGIN {user} {password}'.encode())

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self._sock.close()

    def send(self, data: bytes) -> None:
        self._sock.sendall(data)

    def command(self, text: bytes, keep: bool = False) -> tuple[int, bytes]:
        """Sends one command and reads to its end; how many bytes came, and they, if they matter."""
        self._number += 1
        tag = b'w%d' % self._number
        self.send(tag + b' ' + text + b'\r\n')
        return self.finish(tag, keep)

    def finish(self, tag: bytes, keep: bool = False) -> tuple[int, bytes]:
        # The tagged line is the last thing that comes, so only the end of what came is looked at.
        space = memoryview(self._space)
        total, tail, kept = 0, b'', []
        while True:
            got = self._sock.recv_into(space)
            if not got:
                raise ServerError('the server hung up')
            total += got
            if keep:
                kept.append(bytes(space[:got]))
            tail = (tail + bytes(space[max(0, got - 512):got]))[-512:]
            if not tail.endswith(b'\r\n'):
                continue
            last = tail[:-2].rpartition(b'\r\n')[2]
            if last.startswith(tag + b' '):
                if not last.startswith(tag + b' OK'):
                    raise ServerError(last.decode(errors='replace'))
                return total, b''.join(kept)


def wire(server: Dovecot, port: int = 0, timeout: float = 300) -> Wire:
    user = server.default_user
    return Wire(server.host, port or server.port, user, server.users[user], timeout)


def fill(server: Dovecot, mailbox: str, messages: Iterator[tuple[datetime.datetime, bytes]],
         batch: int = 4 << 20) -> int:
    """MULTIAPPEND without TLS, megabytes at a time; returns how many there were."""
    name = quote(mailbox).encode()
    count = 0
    with wire(server) as conn:
        conn.command(b'CREATE ' + name)
        parts: list[bytes] = []
        size = 0

        def flush() -> None:
            conn.command(b''.join([b'APPEND ', name, *parts]))
            parts.clear()

        for date, data in messages:
            parts.append(b' "%s" {%d+}\r\n' % (
                f'{date:%d-%b-%Y %H:%M:%S} +0000'.encode(), len(data)))
            parts.append(data)
            count += 1
            size += len(data)
            if size > batch:
                flush()
                size = 0
        if parts:
            flush()
    return count
