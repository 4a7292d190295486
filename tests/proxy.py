"""A TCP proxy between the mount and its server: it counts, delays, cuts, stalls and records.

It runs in a thread of its own, so a test calls it like any object. One-way delay is half of the
round trip that the client sees. On a connection in clear text (tls=no) it can also record IMAP
commands and cut the connection at a chosen one.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
import threading
import time
from typing import Callable, Optional

UP, DOWN = 'up', 'down'  # client to server, server to client
_CHUNK = 65536


class _Commands:
    """Cuts the client's bytes into commands. Literals are passed over, shown as {n}."""

    _literal = re.compile(rb'\{(\d+)\+?\}\r\n$')
    _client_hello = b'\x16\x03'

    def __init__(self) -> None:
        self._line = b''
        self._skip = 0  # bytes of a literal still to come
        self._shown = b''  # the lines of the current command so far
        self._tls = False  # since STARTTLS: nothing to be seen

    def feed(self, data: bytes) -> list[tuple[bytes, Optional[str], Optional[str]]]:
        """Pieces to forward, as (bytes, line that starts a command, command that is complete).

        An unfinished line is held back, so that a hook can stop a command before its first byte.
        """
        pieces: list[tuple[bytes, Optional[str], Optional[str]]] = []
        while data:
            if not self._line and data.startswith(self._client_hello):
                self._tls = True
            if self._tls:
                pieces.append((data, None, None))
                break
            if self._skip:
                part, data = data[:self._skip], data[self._skip:]
                self._skip -= len(part)
                pieces.append((part, None, None))
                continue
            line, newline, data = data.partition(b'\n')
            self._line += line + newline
            if not newline:
                break
            first = None if self._shown else self._text(self._line)
            self._shown += self._line
            literal = self._literal.search(self._line)
            done = None
            if literal:
                self._skip = int(literal.group(1))
            else:
                done, self._shown = self._text(self._shown), b''
            pieces.append((self._line, first, done))
            self._line = b''
        return pieces

    @staticmethod
    def _text(line: bytes) -> str:
        return line.decode('latin-1').replace('\r\n', ' ').strip()


class _Link:
    """One proxied connection."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.client = client
        self.server = server
        self.commands = _Commands()
        self.replies = b''  # the end of what the server said, while a hook waits for a tag
        self.await_tag: Optional[bytes] = None  # cut as soon as the server has answered this
        self.then: Callable[[], None] = lambda: None  # but do this before

    def cut(self, reset: bool) -> None:
        for writer in (self.client, self.server):
            if reset:
                sock = writer.get_extra_info('socket')
                with contextlib.suppress(OSError, AttributeError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
            writer.transport.abort()


class Proxy:
    """`with Proxy(host, port) as proxy:` then connect to 127.0.0.1:proxy.port."""

    def __init__(self, host: str, port: int, *, delay: float = 0.0, record: bool = False,
                 split: bool = False) -> None:
        self.target = (host, port)
        self.host = '127.0.0.1'
        self.port = 0
        self.delay = delay  # seconds, each way; may be changed at any time
        self.split = split  # forward byte by byte
        self.rate: Optional[float] = None  # bytes per second towards the client, per connection
        self.bytes = {UP: 0, DOWN: 0}
        self.accepted = 0
        self.commands: list[str] = []  # complete commands, "TAG NAME ARGUMENTS"
        self.writes: list[bytes] = []  # ... and what came of them at once, with record=True
        self._record = record
        self._links: set[_Link] = set()
        self._cuts = 0
        self._cut_after: dict[str, Optional[int]] = {UP: None, DOWN: None}
        self._hooks: list[tuple[re.Pattern[str], str]] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name='proxy', daemon=True)
        self._gate: asyncio.Event
        self._listener: Optional[asyncio.AbstractServer] = None

    # -- life --

    def __enter__(self) -> Proxy:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        self._thread.start()
        self._call(self._listen)

    def stop(self) -> None:
        if not self._thread.is_alive():
            return

        async def finish() -> None:
            if self._listener:
                self._listener.close()
            for link in list(self._links):
                link.cut(False)
            rest = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
            for task in rest:
                task.cancel()
            await asyncio.gather(*rest, return_exceptions=True)

        self._call(finish)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    # -- what a test does to the line --

    def reset_counters(self) -> None:
        self.bytes = {UP: 0, DOWN: 0}
        self.commands.clear()
        self.writes.clear()

    def stall(self) -> None:
        """Nothing moves any more in either direction, as when a cable is pulled."""
        self._soon(lambda: self._gate.clear())

    def resume(self) -> None:
        self._soon(lambda: self._gate.set())

    def cut(self, reset: bool = True) -> None:
        """Ends every connection now."""
        def all_of_them() -> None:
            self._cuts += 1
            for link in list(self._links):
                link.cut(reset)
        self._soon(all_of_them)

    def cut_after(self, direction: str, count: int) -> None:
        """Ends the connection that carries the count-th byte from now on, after that byte. Once."""
        self._soon(lambda: self._cut_after.__setitem__(direction, count))

    def cut_pending(self, direction: str) -> bool:
        """Whether a cut_after() is still to come."""
        return self._cut_after[direction] is not None

    def cut_at(self, pattern: str, when: str = 'before',
               then: Callable[[], None] = lambda: None) -> None:
        """Cuts once, at the first command that matches, after `then` was called. `when`:

        'before'  the server never sees the command
        'reply'   the server carries it out, the client never hears
        """
        assert self._record and when in ('before', 'reply')
        self._soon(lambda: self._hooks.append((re.compile(pattern, re.I), when, then)))

    def cut_at_pending(self) -> bool:
        return bool(self._hooks)

    def refuse(self) -> None:
        """New connections are refused; those that exist live on."""
        async def close() -> None:
            if self._listener:
                self._listener.close()
                self._listener = None
        self._call(close)

    def accept(self) -> None:
        """Listens again, on the same port."""
        self._call(self._listen)

    @property
    def open(self) -> int:
        return len(self._links)

    def names(self) -> list[str]:
        """The recorded commands by name, e.g. 'UID FETCH'."""
        out = []
        for command in list(self.commands):
            words = command.split()[1:3]
            if words:
                name = words[0].upper()
                out.append(f'UID {words[1].upper()}' if name == 'UID' and len(words) > 1 else name)
        return out

    def wait_for(self, pattern: str, deadline: float = 20.0) -> str:
        """Waits for a recorded command that matches, and returns it."""
        regex = re.compile(pattern, re.I)
        end = time.monotonic() + deadline
        while time.monotonic() < end:
            for command in list(self.commands):
                if regex.search(command):
                    return command
            time.sleep(0.005)
        raise AssertionError(f'no command like {pattern!r} in {self.commands}')

    # -- inside: all of this runs in the loop's thread --

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._gate = asyncio.Event()
        self._gate.set()
        self._loop.run_forever()

    def _call(self, coroutine: Callable) -> None:
        asyncio.run_coroutine_threadsafe(coroutine(), self._loop).result(10)

    def _soon(self, function: Callable) -> None:
        async def run() -> None:
            function()
        self._call(run)

    async def _listen(self) -> None:
        self._listener = await asyncio.start_server(self._connected, self.host, self.port)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        cuts = self._cuts
        try:
            upstream = await asyncio.open_connection(*self.target)
        except OSError:
            writer.transport.abort()
            return
        if cuts != self._cuts:  # everything was cut meanwhile, and so is this
            upstream[1].transport.abort()
            writer.transport.abort()
            return
        link = _Link(writer, upstream[1])
        for end in (writer, upstream[1]):
            sock = end.get_extra_info('socket')
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._links.add(link)
        ways = [asyncio.ensure_future(self._pump(link, UP, reader, upstream[1])),
                asyncio.ensure_future(self._pump(link, DOWN, upstream[0], writer))]
        try:
            await asyncio.gather(*ways)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            for way in ways:
                way.cancel()
            link.cut(False)
            self._links.discard(link)

    async def _pump(self, link: _Link, direction: str, reader: asyncio.StreamReader,
                    writer: asyncio.StreamWriter) -> None:
        """One direction of one connection: bytes wait in a queue until they are due."""
        queue: asyncio.Queue = asyncio.Queue(maxsize=512)

        async def read() -> None:
            while True:
                data = await reader.read(_CHUNK)
                self.bytes[direction] += len(data)
                await queue.put((self._loop.time() + self.delay, data))
                if not data:
                    return

        async def write() -> None:
            while True:
                due, data = await queue.get()
                wait = due - self._loop.time()
                if wait > 0:
                    await asyncio.sleep(wait)
                if not data:
                    await self._gate.wait()
                    if writer.can_write_eof():  # half closed, as the peer did
                        writer.write_eof()
                    return
                if direction == UP and self._record:
                    await self._forward_commands(link, data, writer)
                elif not self._swallow_reply(link, direction, data):
                    await self._forward(link, direction, data, writer)

        tasks = [asyncio.ensure_future(read()), asyncio.ensure_future(write())]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

    async def _forward(self, link: _Link, direction: str, data: bytes,
                       writer: asyncio.StreamWriter) -> None:
        limit = self._cut_after[direction]
        if limit is not None:
            data, self._cut_after[direction] = data[:limit], limit - len(data)
        step = 1 if self.split else len(data)
        for start in range(0, len(data), max(step, 1)):
            await self._gate.wait()
            writer.write(data[start:start + step])
            await writer.drain()
            if self.split:
                await asyncio.sleep(0)
        if limit is not None and limit <= len(data):
            self._cut_after[direction] = None
            # What was written must leave before the connection is torn down.
            await asyncio.sleep(0.05)
            link.cut(False)
            raise ConnectionAbortedError
        if direction == DOWN and self.rate:
            await asyncio.sleep(len(data) / self.rate)

    async def _forward_commands(self, link: _Link, data: bytes,
                                writer: asyncio.StreamWriter) -> None:
        self.writes.append(data)
        for piece, first, done in link.commands.feed(data):
            for hook in list(self._hooks) if first else []:
                if not hook[0].search(first):
                    continue
                self._hooks.remove(hook)
                if hook[1] == 'before':
                    hook[2]()
                    link.cut(True)
                    raise ConnectionAbortedError
                link.await_tag, link.then = first.split()[0].encode('latin-1'), hook[2]
                break
            await self._forward(link, UP, piece, writer)
            if done:
                self.commands.append(done)

    def _swallow_reply(self, link: _Link, direction: str, data: bytes) -> bool:
        """For cut_at(..., 'reply'): the client hears nothing more; cut when the answer is there."""
        if direction != DOWN or link.await_tag is None:
            return False
        link.replies = (link.replies + data)[-65536 - len(data):]
        if re.search(rb'(^|\n)' + re.escape(link.await_tag) + rb' [^\n]*\n', link.replies):
            link.then()
            link.cut(True)
            raise ConnectionAbortedError
        return True
