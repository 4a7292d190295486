"""The line between a mount and its server, with faults at exact bytes.

One thread serves every line of a campaign. Unlike proxy.py's, a fault here is told by the number of
bytes that the client sent or received since it was armed, over all connections, and a next one may
follow the first: so that what is cut is also cut while it comes back.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import threading
import time
from typing import NamedTuple, Optional

UP, DOWN = 0, 1  # client to server, server to client
_CHUNK = 65536
_HIGH = 262144  # bytes waiting for a receiver before no more is taken for it


class Fault(NamedTuple):
    """After byte `at` in `direction`, counted since the one before it."""

    direction: int
    at: int
    kind: str  # 'cut': orderly end; 'reset'; 'stall': this connection goes deaf and dumb;
    #            'silence': so do all and every new one, until disarm(); 'delay'
    seconds: float = 0.0  # of a delay

    def __str__(self) -> str:
        return f'{self.kind} at byte {self.at} {("up", "down")[self.direction]}'


class _Link:
    """One connection: [client, server]."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.socks = [client, server]
        self.out = [bytearray(), bytearray()]  # waits for client, for server
        self.eof = [False, False]
        self.shut = [False, False]
        self.frozen = False
        self.pause = 0.0  # nothing moves before
        self.dead = False


class Line:
    """Made by Relay.line(). Every method may be called from any thread."""

    def __init__(self, relay: Relay, port: int) -> None:
        self.target = ('127.0.0.1', port)
        self.split = False
        self.accepted = 0
        self.moved = [0, 0]  # bytes since arm()
        self.fired: list[Fault] = []
        self._relay = relay
        self._faults: list[Fault] = []
        self._counted = [0, 0]  # since the last fault
        self._silent = False
        self._links: set[_Link] = set()
        self._listener = socket.create_server(('127.0.0.1', 0), backlog=64)
        self._listener.setblocking(False)
        self.port = self._listener.getsockname()[1]

    def arm(self, *faults: Fault) -> None:
        with self._relay.lock:
            self._faults = list(faults)
            self._counted, self.moved = [0, 0], [0, 0]
            self.fired = []

    def disarm(self) -> None:
        """No more faults; what was stalled is closed, as by a router that forgot it."""
        with self._relay.lock:
            self._faults = []
            self._silent = False
            for link in [link for link in self._links if link.frozen]:
                self._end(link, True)
        self._relay.wake()

    def drop(self) -> None:
        """Ends every connection now."""
        with self._relay.lock:
            for link in list(self._links):
                self._end(link, False)
        self._relay.wake()

    # ---- the relay's thread, with its lock held ----

    def accept(self) -> None:
        client, _ = self._listener.accept()
        self.accepted += 1
        try:
            server = socket.create_connection(self.target, timeout=5)
        except OSError:
            _close(client, True)
            return
        for sock in (client, server):
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link = _Link(client, server)
        link.frozen = self._silent
        self._links.add(link)

    def _end(self, link: _Link, reset: bool) -> None:
        link.dead = True
        self._links.discard(link)
        for sock in link.socks:
            self._relay.forget(sock)
            _close(sock, reset)

    def take(self, link: _Link, side: int) -> None:
        """Bytes came from that side."""
        try:
            data = link.socks[side].recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            self._end(link, True)
            return
        if not data:
            link.eof[side] = True
            self._flush(link)
            return
        direction = UP if side == 0 else DOWN
        while data and not link.dead:
            part = data
            due = self._faults[0] if self._faults else None
            if due and due.direction == direction:
                part = data[:max(due.at - self._counted[direction], 0)]
            self._pass_on(link, 1 - side, part)
            self._counted[direction] += len(part)
            self.moved[direction] += len(part)
            data = data[len(part):]
            if due and due.direction == direction and self._counted[direction] >= due.at:
                self._fire(link, self._faults.pop(0), 1 - side, data)
                return

    def _fire(self, link: _Link, fault: Fault, to: int, rest: bytes) -> None:
        self.fired.append(fault)
        self._counted = [0, 0]
        if fault.kind in ('cut', 'reset'):
            self._end(link, fault.kind == 'reset')
        elif fault.kind == 'stall':
            link.frozen = True
        elif fault.kind == 'silence':
            self._silent = True
            for each in self._links:
                each.frozen = True
        elif fault.kind == 'delay':
            link.pause = time.monotonic() + fault.seconds
            link.out[to] += rest
            self.moved[fault.direction] += len(rest)

    def _pass_on(self, link: _Link, to: int, data: bytes) -> None:
        link.out[to] += data
        self._flush(link)

    def _flush(self, link: _Link) -> None:
        if link.frozen or link.pause > time.monotonic():
            return
        for to in (0, 1):
            try:
                while link.out[to]:
                    sent = link.socks[to].send(link.out[to][:1] if self.split else link.out[to])
                    del link.out[to][:sent]
            except BlockingIOError:
                continue
            except OSError:
                self._end(link, True)
                return
            if link.eof[1 - to] and not link.shut[to] and not link.out[to]:
                link.shut[to] = True
                with contextlib.suppress(OSError):
                    link.socks[to].shutdown(socket.SHUT_WR)
        if all(link.shut):
            self._end(link, False)

    def interests(self) -> list[tuple[socket.socket, int, Optional[_Link], int]]:
        found: list[tuple[socket.socket, int, Optional[_Link], int]] = [
            (self._listener, selectors.EVENT_READ, None, 0)]
        now = time.monotonic()
        for link in list(self._links):
            if not link.frozen and 0 < link.pause <= now:
                link.pause = 0
                self._flush(link)
            if link.dead or link.frozen:
                continue
            for side in (0, 1):
                wants = 0
                if not link.eof[side] and len(link.out[1 - side]) < _HIGH and not link.pause:
                    wants |= selectors.EVENT_READ
                if link.out[side] and not link.pause:
                    wants |= selectors.EVENT_WRITE
                if wants:
                    found.append((link.socks[side], wants, link, side))
        return found

    def paused(self) -> bool:
        return any(link.pause for link in self._links)

    def close(self) -> None:
        for link in list(self._links):
            self._end(link, True)
        self._listener.close()


def _close(sock: socket.socket, reset: bool) -> None:
    with contextlib.suppress(OSError):
        if reset:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        sock.close()


class Relay:
    """`with Relay() as relay: line = relay.line(port)`"""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._lines: list[Line] = []
        self._waker, self._woken = socket.socketpair()
        self._woken.setblocking(False)
        self._stopping = False
        self._selector = selectors.EpollSelector()
        self._registered: dict[socket.socket, int] = {}
        self._thread = threading.Thread(target=self._run, name='relay', daemon=True)

    def __enter__(self) -> Relay:
        self._selector.register(self._woken, selectors.EVENT_READ, None)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping = True
        self.wake()
        self._thread.join(10)

    def line(self, port: int) -> Line:
        line = Line(self, port)
        with self.lock:
            self._lines.append(line)
        self.wake()
        return line

    def wake(self) -> None:
        with contextlib.suppress(OSError):
            self._waker.send(b'x')

    def forget(self, sock: socket.socket) -> None:
        if self._registered.pop(sock, None) is not None:
            self._selector.unregister(sock)

    def _register(self) -> None:
        """Brings what is waited for up to date; few sockets, so all are looked at each time."""
        wanted = {}
        for line in self._lines:
            for sock, events, link, side in line.interests():
                wanted[sock] = (events, (line, link, side))
        for sock in [s for s in self._registered if s not in wanted]:
            self.forget(sock)
        for sock, (events, data) in wanted.items():
            known = self._registered.get(sock)
            if known is None:
                self._selector.register(sock, events, data)
            elif known != events:
                self._selector.modify(sock, events, data)
            self._registered[sock] = events

    def _run(self) -> None:
        while not self._stopping:
            with self.lock:
                self._register()
                patience = 0.01 if any(line.paused() for line in self._lines) else 1.0
            for key, events in self._selector.select(patience):
                with self.lock:
                    self._handle(key, events)
        with self.lock:
            for line in self._lines:
                line.close()

    def _handle(self, key: selectors.SelectorKey, events: int) -> None:
        if key.data is None:
            with contextlib.suppress(BlockingIOError):
                self._woken.recv(4096)
            return
        line, link, side = key.data
        if link is None:
            with contextlib.suppress(BlockingIOError):
                line.accept()
            return
        if link.dead or link.frozen:
            return
        if events & selectors.EVENT_WRITE:
            line._flush(link)
        if events & selectors.EVENT_READ and not link.dead and not link.pause:
            line.take(link, side)
