"""Fixtures of the mounted tests: a private Dovecot, mounts, and a watchdog that frees what is stuck.

Every test has an account of its own on one Dovecot for the session; a test that needs the server
itself otherwise asks `make_server` for one. Nothing is left mounted or running, whatever happened:
a mount that does not go is aborted, and every process we start dies with this one.
"""

from __future__ import annotations

import imaplib
import itertools
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Callable, Iterable, Iterator, Optional

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import mount as mounting  # noqa: E402
from messages import message  # noqa: E402
from mini import MiniServer  # noqa: E402
from mount import Mount, SLOW  # noqa: E402
from proxy import Proxy  # noqa: E402
from scripted import ScriptedServer  # noqa: E402
from server import Dovecot, Message, quote  # noqa: E402

ACCOUNTS = 400

pytest_plugins = ['watchdog']  # frees a test that is stuck in a mount


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line('markers', 'tsan: also runs under ThreadSanitizer')


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    why = None
    if not os.access('/dev/fuse', os.R_OK | os.W_OK):
        why = '/dev/fuse is missing or not accessible'
    for item in items:
        if why and item.path.stem != 'test_tools':
            item.add_marker(pytest.mark.skip(reason=why))


@pytest.fixture
def figures(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """figures(text): to be printed when all tests are over, passed or not."""
    return lambda text: record_property('figures', text)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    # Only with the reports do they come here from a process that runs tests for this one.
    for report in (r for reports in terminalreporter.stats.values() for r in reports):
        if getattr(report, 'when', None) == 'call':
            for name, text in report.user_properties:
                if name == 'figures':
                    terminalreporter.section('figures')
                    terminalreporter.write_line(text)


# ---- servers and accounts ------------------------------------------------------------------------


class Account:
    """One user of one server, and how to get at the mail without imapfs."""

    def __init__(self, server: Dovecot, user: str, passfile: Path) -> None:
        self.server = server
        self.user = user
        self.password = server.users[user]
        self.passfile = passfile
        write_password(passfile, self.password)
        self._clients: list[imaplib.IMAP4] = []

    def client(self, select: Optional[str] = None, readonly: bool = True) -> imaplib.IMAP4:
        """An independent connection; closed after the test."""
        conn = self.server.client(self.user)
        self._clients.append(conn)
        if select is not None:
            status, data = conn.select(quote(select), readonly)
            assert status == 'OK', data
        return conn

    def fill(self, mailbox: str, messages: Iterable[Message]) -> int:
        return self.server.fill(mailbox, messages, self.user)

    def close(self) -> None:
        for conn in self._clients:
            try:
                conn.shutdown()
            except OSError:
                pass

    # -- what the server holds, asked afresh --

    def uids(self, mailbox: str = 'INBOX', search: str = 'ALL') -> list[int]:
        conn = self.client(mailbox)
        _, data = conn.uid('SEARCH', search)
        conn.logout()
        return [int(uid) for uid in (data[0] or b'').split()]

    def body(self, mailbox: str, uid: int) -> bytes:
        conn = self.client(mailbox)
        data = fetch_bodies(conn, str(uid))[uid]
        conn.logout()
        return data

    def bodies(self, mailbox: str, uids: str = '1:*') -> dict[int, bytes]:
        conn = self.client(mailbox)
        found = fetch_bodies(conn, uids)
        conn.logout()
        return found

    def flags(self, mailbox: str, uid: int) -> set[str]:
        conn = self.client(mailbox)
        _, data = conn.uid('FETCH', str(uid), '(FLAGS)')
        conn.logout()
        assert data[0], f'no UID {uid} in {mailbox}'
        return {flag.decode() for flag in imaplib.ParseFlags(data[0])} - {'\\Recent'}

    def internaldate(self, mailbox: str, uid: int) -> str:
        conn = self.client(mailbox)
        _, data = conn.uid('FETCH', str(uid), '(INTERNALDATE)')
        conn.logout()
        return data[0].decode().split('INTERNALDATE "')[1].split('"')[0]

    def folders(self) -> list[str]:
        """The wire names."""
        conn = self.client()
        _, data = conn.list()
        conn.logout()
        return sorted(row.decode().split(') ', 1)[1].split(' ', 1)[1].strip('"')
                      for row in data if row)


def write_password(path: Path, password: str) -> Path:
    path.touch(mode=0o600)
    path.write_text(password + '\n')
    return path


def fetch_bodies(conn: imaplib.IMAP4, uids: str) -> dict[int, bytes]:
    _, data = conn.uid('FETCH', uids, '(UID BODY.PEEK[])')
    found = {}
    for row in data:
        if isinstance(row, tuple):
            found[int(row[0].split(b'UID ')[1].split(b' ')[0])] = row[1]
    return found


@pytest.fixture(scope='session')
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dovecot]:
    """The session's Dovecot. Change nothing about it: it is everybody's."""
    users = {f'user{n:03}': f'pass word-{n}' for n in range(ACCOUNTS)}
    dovecot = Dovecot(tmp_path_factory.mktemp('dovecot'), users, dies_with_parent=True)
    try:
        dovecot.start()
        yield dovecot
    finally:
        dovecot.clear()


@pytest.fixture
def make_server(tmp_path: Path) -> Iterator[Callable[..., Dovecot]]:
    """A Dovecot of the test's own: make_server(separator='.', without=['MOVE'], ...)."""
    made: list[Dovecot] = []

    def make(**options) -> Dovecot:
        dovecot = Dovecot(tmp_path / f'dovecot{len(made)}', dies_with_parent=True, **options)
        made.append(dovecot)
        dovecot.start()
        return dovecot

    yield make
    for dovecot in made:
        dovecot.clear()


_fresh_user = itertools.count()


@pytest.fixture
def make_account(tmp_path: Path) -> Iterator[Callable[..., Account]]:
    made: list[Account] = []

    def make(dovecot: Dovecot, user: Optional[str] = None) -> Account:
        user = user or dovecot.default_user
        made.append(Account(dovecot, user, tmp_path / f'password-{user}'))
        return made[-1]

    yield make
    for account in made:
        account.close()


@pytest.fixture
def account(server: Dovecot, make_account: Callable[..., Account]) -> Account:
    """An empty account on the session's server."""
    return make_account(server, f'user{next(_fresh_user):03}')


# ---- mounts --------------------------------------------------------------------------------------


@pytest.fixture
def make_proxy() -> Iterator[Callable[..., Proxy]]:
    """make_proxy(server) in front of the TLS port; with record=True in front of the plain one."""
    made: list[Proxy] = []

    def make(dovecot: Dovecot, **options) -> Proxy:
        port = dovecot.port if options.get('record') else dovecot.tls_port
        made.append(Proxy(dovecot.host, port, **options))
        made[-1].start()
        return made[-1]

    yield make
    for proxy in made:
        proxy.stop()


@pytest.fixture
def serve() -> Iterator[Callable[[ScriptedServer], ScriptedServer]]:
    """Starts a scripted or mini server; a handler's failed expectation fails the test."""
    made: list[ScriptedServer] = []

    def start(scripted: ScriptedServer) -> ScriptedServer:
        made.append(scripted)
        scripted.start()
        return scripted

    yield start
    for scripted in made:
        scripted.stop()
    for scripted in made:
        scripted.check()


@pytest.fixture
def start_mount(tmp_path: Path, make_server: object, make_proxy: object,
                serve: object) -> Iterator[Callable[..., Mount]]:
    """start_mount(source, options): the plain thing that the other two are made of.

    `expect_status` is what the daemon must exit with (None: the test does not care). The servers
    among the arguments are there only so that they outlive the mount.
    """
    made: list[tuple[Mount, Optional[int]]] = []

    def start(source: str, options: Iterable[str], *, debug: bool = False,
              path: Optional[Path] = None, expect_status: Optional[int] = 0,
              binary: Path = mounting.BINARY) -> Mount:
        number = len(made)
        path = path or tmp_path / f'Mail{number}'
        path.mkdir(exist_ok=True)
        mount = Mount(source, path, tmp_path / f'imapfs{number}.log', options, debug,
                      binary=binary)
        made.append((mount, expect_status))
        return mount.start()

    yield start
    problems = []
    for mount, expect_status in made:
        try:
            if mount.process and mount.status is None:
                mount.unmount()
            if expect_status is not None and mount.status != expect_status:
                problems.append(f'{mount.path}: exit status {mount.status}\n{mount.log()[-4000:]}')
        except (mounting.MountError, subprocess.SubprocessError) as error:
            problems.append(str(error)[-4000:])
        finally:
            mount.end()
        if mount.alarms():
            problems.append(mount.alarms())
    assert not problems, '\n'.join(problems)


@pytest.fixture
def make_mount(start_mount: Callable[..., Mount]) -> Callable[..., Mount]:
    """make_mount(account, 'names=uid') mounts an account of a Dovecot over TLS, verified.

    tls='no' goes in clear text to the plain port; `port` leads through a proxy.
    """
    def make(account: Account, *options: str, host: str = 'localhost', port: Optional[int] = None,
             tls: str = 'yes', source_suffix: str = '', **kwargs) -> Mount:
        given = [f'passfile={account.passfile}', f'cafile={account.server.cafile}', *options]
        if tls == 'no':
            given.append('tls=no')
        scheme = 'imaps' if tls == 'yes' else 'imap'
        port = port or (account.server.tls_port if tls == 'yes' else account.server.port)
        return start_mount(f'{scheme}://{account.user}@{host}:{port}{source_suffix}', given,
                           **kwargs)

    return make


@pytest.fixture
def mini() -> MiniServer:
    """A server with three messages in INBOX and an empty mailbox Other."""
    server = MiniServer()
    for number in (1, 2, 3):
        server.box('INBOX').add(message(number).data)
    server.box('Other')
    return server


@pytest.fixture
def mount_mini(start_mount: Callable[..., Mount], serve: Callable, tmp_path: Path
               ) -> Callable[..., Mount]:
    """mount_mini(mini, options...) starts the mini server and mounts it in clear text."""
    def make(mini: MiniServer, *options: str, mailbox: str = '', **kwargs) -> Mount:
        serve(mini)
        passfile = write_password(tmp_path / 'password-mini', mini.users['alice'])
        return start_mount(f'imap://alice@{mini.host}:{mini.port}{mailbox}',
                           [f'passfile={passfile}', 'tls=no', *options], **kwargs)

    return make


@pytest.fixture
def mount(account: Account, make_mount: Callable[..., Mount]) -> Callable[..., Mount]:
    """mount(options...) mounts the test's account. Fill it first."""
    return lambda *options, **kwargs: make_mount(account, *options, **kwargs)


# ---- running commands ----------------------------------------------------------------------------


class Shell:
    """Runs what a user would type."""

    def __call__(self, command: str, cwd: Path, check: bool = True,
                 deadline: float = 40 * SLOW) -> subprocess.CompletedProcess:
        done = subprocess.run(['bash', '-c', command], cwd=cwd, stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=deadline, check=False,
                              env={**os.environ, 'LC_ALL': 'C.UTF-8', 'TZ': 'UTC'})
        if check:
            assert done.returncode == 0, f'{command}: {done.returncode}\n{done.stderr.decode()}'
        return done

    @staticmethod
    def quote(path: os.PathLike | str) -> str:
        return shlex.quote(str(path))


@pytest.fixture
def sh() -> Shell:
    return Shell()
