"""IMAP servers that play a transcript, step by step, to each connection:

    ScriptedServer(play(send(b'* OK hi\\r\\n'), expect('CAPABILITY'), send(b'$TAG BAD no\\r\\n'), drop()))
"""

from __future__ import annotations

import contextlib
import re
import select
import socket
import ssl
import struct
import threading
from typing import Callable, Optional


class Dropped(Exception):
    """The connection is over, by either side."""


class Peer:
    """The server's end of one connection."""

    def __init__(self, sock: socket.socket, owner: ScriptedServer) -> None:
        self.sock = sock
        self.owner = owner
        self.tag = b'*'
        self.line = b''
        self._buffer = b''

    def send(self, data: bytes) -> None:
        try:
            self.sock.sendall(data.replace(b'$TAG', self.tag))
        except OSError as error:
            raise Dropped from error

    def recv_line(self) -> bytes:
        """One line without its CRLF."""
        while b'\n' not in self._buffer:
            self._more()
        line, _, self._buffer = self._buffer.partition(b'\n')
        return line.rstrip(b'\r')

    def recv_exact(self, count: int) -> bytes:
        while len(self._buffer) < count:
            self._more()
        data, self._buffer = self._buffer[:count], self._buffer[count:]
        return data

    def readable(self, seconds: float) -> bool:
        if self._buffer or (isinstance(self.sock, ssl.SSLSocket) and self.sock.pending()):
            return True
        try:
            return bool(select.select([self.sock], [], [], seconds)[0])
        except (OSError, ValueError) as error:
            raise Dropped from error

    def starttls(self) -> None:
        self._buffer = b''
        assert self.owner.tls_context
        try:
            self.sock = self.owner.adopt(self.owner.tls_context.wrap_socket(
                self.sock, server_side=True), self.sock)
        except OSError as error:
            raise Dropped from error

    def drop(self, reset: bool = False) -> None:
        if reset:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        self.sock.close()
        raise Dropped

    def stall(self) -> None:
        """Says nothing more, for as long as the client stays or the server lives."""
        self.sock.settimeout(0.1)
        while not self.owner.stopping.is_set():
            try:
                if not self.sock.recv(65536):
                    break
            except (TimeoutError, ssl.SSLWantReadError):
                continue
            except OSError:
                break
        raise Dropped

    def _more(self) -> None:
        try:
            data = self.sock.recv(65536)
        except OSError as error:
            raise Dropped from error
        if not data:
            raise Dropped
        self._buffer += data


class ScriptedServer:
    """Listens on loopback and runs `handler(peer)` in a thread for each connection."""

    def __init__(self, handler: Callable[[Peer], None], *,
                 tls: Optional[tuple[str, str]] = None, implicit_tls: bool = False) -> None:
        """`tls` is (certificate, key); `implicit_tls` starts it with the first byte."""
        self.handler = handler
        self.host = '127.0.0.1'
        self.errors: list[BaseException] = []
        self.connections = 0
        self.stopping = threading.Event()
        self.tls_context: Optional[ssl.SSLContext] = None
        if tls:
            self.tls_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls_context.load_cert_chain(str(tls[0]), str(tls[1]))
        self._implicit_tls = implicit_tls
        self._listener = socket.create_server((self.host, 0), backlog=64)
        self.port = self._listener.getsockname()[1]
        self._sockets: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()

    def __enter__(self) -> ScriptedServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        thread = threading.Thread(target=self._accept, name='scripted', daemon=True)
        self._threads.append(thread)
        thread.start()

    def stop(self) -> None:
        self.stopping.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            sockets = list(self._sockets)
        for sock in sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)

    def check(self) -> None:
        """Raises what went wrong in a handler, such as an expect() that was not met."""
        if self.errors:
            raise self.errors[0]

    def adopt(self, new: socket.socket, old: socket.socket) -> socket.socket:
        with self._lock:
            self._sockets.discard(old)
            self._sockets.add(new)
        return new

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._sockets.add(sock)
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(sock,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        peer = Peer(sock, self)
        try:
            if self._implicit_tls:
                peer.starttls()
            self.handler(peer)
        except Dropped:
            pass
        except Exception as error:  # the test asks for it with check()
            if not self.stopping.is_set():
                self.errors.append(error)
        finally:
            with self._lock:
                self._sockets.discard(peer.sock)
            peer.sock.close()


# ---- transcripts ---------------------------------------------------------------------------------

Step = Callable[[Peer], None]


def expect(pattern: str) -> Step:
    """The next line matches (after its tag). Remembers the tag for $TAG."""
    def step(peer: Peer) -> None:
        peer.line = peer.recv_line()
        tag, _, rest = peer.line.partition(b' ')
        if not re.match(pattern, rest.decode('latin-1'), re.I):
            raise AssertionError(f'expected {pattern!r}, got {peer.line!r}')
        peer.tag = tag
    return step


def send(data: bytes) -> Step:
    return lambda peer: peer.send(data)


def starttls() -> Step:
    return lambda peer: peer.starttls()


def drop(reset: bool = False) -> Step:
    return lambda peer: peer.drop(reset)


def stall() -> Step:
    return lambda peer: peer.stall()


def play(*steps: Step) -> Callable[[Peer], None]:
    """A handler that plays the steps, then closes."""
    def handler(peer: Peer) -> None:
        for step in steps:
            step(peer)
    return handler
