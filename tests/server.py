#!/usr/bin/python3
"""A private Dovecot on loopback, for the tests and the demo.

Everything it needs lives in one directory: configuration, certificates, sockets, mail. Nothing of
the system's Dovecot is read or touched. It runs as root (mail then belongs to an unprivileged user,
because Dovecot refuses to open mail as uid 0) and as an ordinary user.

As a command:  server.py start DIRECTORY [USER PASSWORD]   prints the ports, leaves it running
               server.py stop DIRECTORY
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import datetime
import grp
import imaplib
import os
import pwd
import random
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Iterable, Iterator, NamedTuple, Optional, Sequence

HOST = '127.0.0.1'
START_DEADLINE = 20.0
STOP_DEADLINE = 10.0

# What Debian 12's Dovecot says after login. Tests take words away from it; the server still
# understands the command, so a test that must see it refused uses the scripted server.
CAPABILITIES = (
    'IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE SORT SORT=DISPLAY THREAD=REFERENCES '
    'THREAD=REFS THREAD=ORDEREDSUBJECT MULTIAPPEND URL-PARTIAL CATENATE UNSELECT CHILDREN '
    'NAMESPACE UIDPLUS LIST-EXTENDED I18NLEVEL=1 CONDSTORE QRESYNC ESEARCH ESORT SEARCHRES WITHIN '
    'CONTEXT=SEARCH LIST-STATUS BINARY MOVE SNIPPET=FUZZY PREVIEW=FUZZY PREVIEW STATUS=SIZE '
    'SAVEDATE LITERAL+ NOTIFY SPECIAL-USE'
).split()

# imaplib refuses lines above one megabyte; a SEARCH or LIST of ours can be longer.
imaplib._MAXLINE = max(imaplib._MAXLINE, 64 << 20)  # type: ignore[attr-defined]


class Message(NamedTuple):
    """One message to put on the server."""

    data: bytes
    date: Optional[datetime.datetime] = None
    flags: str = ''


class ServerError(Exception):
    """The server could not be started, stopped or filled."""


# ---- names on the wire ---------------------------------------------------------------------------


def encode_utf7(name: str) -> bytes:
    """A mailbox name in modified UTF-7 (RFC 3501 section 5.1.3)."""
    out = bytearray()
    run: list[str] = []

    def flush() -> None:
        if run:
            packed = base64.b64encode(''.join(run).encode('utf-16-be')).rstrip(b'=')
            out.extend(b'&' + packed.replace(b'/', b',') + b'-')
            run.clear()

    for char in name:
        if ' ' <= char <= '~':
            flush()
            out.extend(b'&-' if char == '&' else char.encode())
        else:
            run.append(char)
    flush()
    return bytes(out)


def decode_utf7(wire: bytes) -> str:
    """The inverse of encode_utf7()."""
    out: list[str] = []
    rest = wire
    while rest:
        plain, amp, rest = rest.partition(b'&')
        out.append(plain.decode('ascii'))
        if not amp:
            break
        packed, _, rest = rest.partition(b'-')
        if not packed:
            out.append('&')
        else:
            padded = packed.replace(b',', b'/') + b'=' * (-len(packed) % 4)
            out.append(base64.b64decode(padded).decode('utf-16-be'))
    return ''.join(out)


def quote(name: str) -> str:
    """A mailbox name as imaplib wants it: encoded and quoted."""
    wire = encode_utf7(name).decode('ascii')
    return '"' + wire.replace('\\', '\\\\').replace('"', '\\"') + '"'


# ---- certificates --------------------------------------------------------------------------------


class Authority:
    """A certificate authority of our own. Makes ca.pem and server certificates in a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.directory.mkdir(parents=True, exist_ok=True)
        self.ca = directory / 'ca.pem'
        if not self.ca.exists():
            self._config = self._write_config('ca', 'basicConstraints=critical,CA:TRUE\n'
                                              'keyUsage=critical,keyCertSign,cRLSign\n')
            self._openssl('req', '-x509', *self._new_key('ca'), '-days', '30',
                          '-subj', '/CN=imapfs test authority', '-out', str(self.ca),
                          '-config', str(self._config), '-extensions', 'ext')

    def issue(self, name: str = 'server',
              hosts: Sequence[str] = ('DNS:localhost', 'IP:127.0.0.1', 'IP:::1'),
              expired: bool = False, self_signed: bool = False,
              nameless: bool = False) -> tuple[Path, Path]:
        """Returns (certificate, key). Made once per name. `nameless`: the host is in the subject only."""
        cert, key = self.directory / f'{name}.pem', self.directory / f'{name}.key'
        if cert.exists() and key.exists():
            return cert, key
        config = self._write_config(name, 'basicConstraints=critical,CA:FALSE\n'
                                    'extendedKeyUsage=serverAuth\n'
                                    + ('' if nameless else f'subjectAltName={",".join(hosts)}\n'))
        common = ['-subj', f'/CN={hosts[0].split(":", 1)[1]}', '-config', str(config)]
        if expired:
            # req and x509 of OpenSSL 3.0 cannot make a certificate that ends in the past; ca can.
            request = self.directory / f'{name}.csr'
            self._openssl('req', *self._new_key(name), '-new', '-out', str(request), *common)
            self._openssl('ca', '-batch', '-notext', '-config', str(config), '-name', 'authority',
                          '-extensions', 'ext', '-startdate', '20200101000000Z',
                          '-enddate', '20200201000000Z', '-in', str(request), '-out', str(cert))
            return cert, key
        issuer = [] if self_signed else ['-CA', str(self.ca), '-CAkey',
                                         str(self.directory / 'ca.key')]
        self._openssl('req', '-x509', *self._new_key(name), *issuer, '-days', '30',
                      '-out', str(cert), *common, '-extensions', 'ext')
        return cert, key

    def _new_key(self, name: str) -> list[str]:
        # P-256, not RSA: a key takes milliseconds, and a server is started often.
        return ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes',
                '-keyout', str(self.directory / f'{name}.key')]

    def _write_config(self, name: str, extensions: str) -> Path:
        path = self.directory / f'{name}.cnf'
        index = self.directory / 'index.txt'
        index.touch()
        path.write_text(
            '[req]\ndistinguished_name=dn\n[dn]\n[policy]\ncommonName=supplied\n'
            f'[authority]\ndatabase={index}\nnew_certs_dir={self.directory}\nrand_serial=yes\n'
            f'certificate={self.directory}/ca.pem\nprivate_key={self.directory}/ca.key\n'
            f'default_md=sha256\npolicy=policy\nunique_subject=no\n[ext]\n{extensions}')
        return path

    @staticmethod
    def _openssl(*args: str) -> None:
        done = subprocess.run(['openssl', *args], stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, check=False)
        if done.returncode != 0:
            raise ServerError(f'openssl {args[0]} failed:\n{done.stderr}')


# ---- processes and ports -------------------------------------------------------------------------


def free_port() -> int:
    """A loopback port that nobody listens on.

    Taken from below the range that the kernel gives to outgoing connections, so that none of those
    can take it between this look and the server's bind().
    """
    for _ in range(200):
        port = random.SystemRandom().randrange(20000, 32000)
        with socket.socket() as probe:
            # As servers bind: a port that lingers in TIME_WAIT is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    raise ServerError('no free port on loopback')


def have_ipv6() -> bool:
    """Containers often have no ::1; Dovecot would refuse to start on it."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(('::1', 0))
    except OSError:
        return False
    return True


_libc = ctypes.CDLL(None)  # loaded before any fork: a child of a threaded process must not load


def die_with_parent() -> None:
    """A preexec_fn: the kernel sends SIGTERM when the parent dies, even by SIGKILL."""
    pr_set_pdeathsig = 1
    _libc.prctl(pr_set_pdeathsig, int(signal.SIGTERM), 0, 0, 0)


def wait_until(condition, deadline: float, interval: float = 0.01) -> bool:
    """Polls until the condition holds; says whether it did in time."""
    end = time.monotonic() + deadline
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(interval)
    return True


def cmdline(pid: int) -> list[str]:
    try:
        return Path(f'/proc/{pid}/cmdline').read_bytes().decode(errors='replace').split('\0')
    except OSError:
        return []


def _program(pid: int) -> str:
    try:
        return os.readlink(f'/proc/{pid}/exe')
    except OSError:
        return ''


def _can_enter(directory: Path, uid: int, gid: int) -> bool:
    """Whether that user may walk down to the directory (a checkout below /root: no)."""
    for step in [directory, *directory.parents]:
        info = step.stat()
        bit = 0o100 if info.st_uid == uid else 0o010 if info.st_gid == gid else 0o001
        if not info.st_mode & bit:
            return False
    return True


# ---- the server ----------------------------------------------------------------------------------


class Dovecot:
    """One private server. `with Dovecot(directory) as server:` starts and stops it."""

    # Unix socket addresses hold 107 bytes; Dovecot's longest below base_dir needs about 40.
    _longest_state_path = 60

    def __init__(
        self,
        directory: os.PathLike | str,
        users: Optional[dict[str, str]] = None,
        *,
        mail_location: str = 'maildir:~/Maildir',
        separator: str = '/',
        prefix: str = '',
        without: Iterable[str] = (),
        ssl_mode: str = 'yes',
        certificate: Optional[tuple[Path, Path]] = None,
        disable_plaintext_auth: bool = False,
        auth_mechanisms: str = 'plain login scram-sha-256',
        max_userip_connections: int = 50,
        extra: str = '',
        dies_with_parent: bool = False,
    ) -> None:
        self.directory = Path(directory).resolve()
        self.users = users or {'alice': 'wonderland'}
        self.host = HOST
        self.port = 0  # plain, STARTTLS offered
        self.tls_port = 0  # TLS from the first byte
        self._mail_location = mail_location
        self._separator = separator
        self._prefix = prefix
        self._without = {word.upper() for word in without}
        self._ssl_mode = ssl_mode
        self._certificate = certificate
        self._disable_plaintext_auth = disable_plaintext_auth
        self._auth_mechanisms = auth_mechanisms
        self._max_userip_connections = max_userip_connections
        self._extra = extra
        self._dies_with_parent = dies_with_parent
        self._process: Optional[subprocess.Popen] = None
        self._root = os.geteuid() == 0
        self._mail_user = pwd.getpwnam('nobody') if self._root else pwd.getpwuid(os.geteuid())
        self._link = self.directory / 'state'

    # -- where things are --

    @property
    def state(self) -> Path:
        """The directory with everything in it; elsewhere when `directory` itself will not do."""
        return self._link.resolve()

    @property
    def cafile(self) -> Path:
        return self.state / 'certs' / 'ca.pem'

    @property
    def config(self) -> Path:
        return self.state / 'dovecot.conf'

    @property
    def authority(self) -> Authority:
        return Authority(self.state / 'certs')

    def log(self) -> str:
        path = self.state / 'dovecot.log'
        return path.read_text(errors='replace') if path.exists() else ''

    def home(self, user: Optional[str] = None) -> Path:
        return self.state / 'mail' / (user or self.default_user)

    @property
    def default_user(self) -> str:
        return next(iter(self.users))

    # -- life --

    def __enter__(self) -> Dovecot:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Starts on an empty account; what an interrupted run left in the directory is removed."""
        self.clear()
        self._make_state()
        cert, key = self._certificate or self.authority.issue()
        # Between the choice of a port and bind() somebody else may take it.
        for attempt in range(5):
            self.port, self.tls_port = free_port(), free_port()
            self._write_config(cert, key)
            try:
                self._launch()
                return
            except ServerError:
                self._kill_all()
                if attempt == 4 or 'Address already in use' not in self.log():
                    raise

    def stop(self) -> None:
        """Stops and waits until the last process is gone. The mail stays; clear() removes it."""
        for pid in self._masters():
            send_signal(pid, signal.SIGTERM)
        # A process with a client logged in would wait for the client; told by itself it says BYE.
        for pid in self._alive():
            if _program(pid).endswith('/imap'):
                send_signal(pid, signal.SIGTERM)
        if not wait_until(lambda: not self._alive(), STOP_DEADLINE):
            self._kill_all()
        self._reap()

    def kill(self) -> None:
        """As a crash would: SIGKILL, no goodbye to anybody."""
        self._kill_all()
        self._reap()

    def restart(self) -> None:
        """Same ports, same mail."""
        self.stop()
        self.launch()

    def launch(self) -> None:
        """Starts again after stop() or kill(), on the same ports and the same mail."""
        with contextlib.suppress(FileNotFoundError):
            (self.state / 'run' / 'master.pid').unlink()
        self._launch()

    def clear(self) -> None:
        """Ends what runs from this directory and removes it, wherever its state is."""
        if self._link.is_symlink() or self._link.exists():
            self._kill_all()
            state = self.state
            if self._link.is_symlink():
                self._link.unlink()
                # Only what _make_state() made: in /tmp, by that name, and ours.
                if (state.parent == Path('/tmp') and state.name.startswith('imapfs-server-')
                        and state.exists() and state.stat().st_uid == os.geteuid()):
                    shutil.rmtree(state)
            else:
                shutil.rmtree(state)

    # -- clients --

    def client(self, user: Optional[str] = None, password: Optional[str] = None,
               tls: bool = True) -> imaplib.IMAP4:
        """A connection of imaplib's, logged in: the independent eye on the account."""
        user = user or self.default_user
        if tls:
            context = ssl.create_default_context(cafile=str(self.cafile))
            conn: imaplib.IMAP4 = imaplib.IMAP4_SSL(self.host, self.tls_port, ssl_context=context,
                                                    timeout=60)
        else:
            conn = imaplib.IMAP4(self.host, self.port, timeout=60)
        try:
            conn.login(user, password or self.users[user])
        except BaseException:
            conn.shutdown()
            raise
        return conn

    def fill(self, mailbox: str, messages: Iterable[Message], user: Optional[str] = None,
             create: bool = True) -> int:
        """Appends the messages in order (their UIDs ascend); returns how many there were."""
        conn = self.client(user)
        try:
            if create and mailbox.upper() != 'INBOX':
                conn.create(quote(mailbox))  # NO when it exists, which is fine
            return append(conn, mailbox, messages)
        finally:
            conn.logout()

    # -- inside --

    def _make_state(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        user = self._mail_user
        if (len(str(self.directory / 'state')) <= self._longest_state_path
                and _can_enter(self.directory, user.pw_uid, user.pw_gid)):
            self._link.mkdir()
        else:
            self._link.symlink_to(tempfile.mkdtemp(prefix='imapfs-server-', dir='/tmp'))
        self.state.chmod(0o755)
        for name in ('run', 'lib', 'mail', 'certs'):
            (self.state / name).mkdir()
        for name in self.users:
            self.home(name).mkdir()
            os.chown(self.home(name), user.pw_uid, user.pw_gid)

    def _write_config(self, cert: Path, key: Path) -> None:
        state, user = self.state, self._mail_user
        group = grp.getgrgid(user.pw_gid).gr_name
        passwd = state / 'users'
        passwd.touch(mode=0o600)
        passwd.write_text(''.join(
            # Encoded, so that a password may hold a colon.
            f'{name}:{{PLAIN.b64}}{base64.b64encode(word.encode()).decode()}:'
            f'{user.pw_uid}:{user.pw_gid}::{self.home(name)}::\n'
            for name, word in self.users.items()))
        lines = [
            f'base_dir = {state}/run',
            f'state_dir = {state}/lib',
            f'log_path = {state}/dovecot.log',
            'instance_name = imapfs-test',
            'protocols = imap',
            f'listen = {HOST}' + (', ::1' if have_ipv6() else ''),
            f'ssl = {self._ssl_mode}',
            f'ssl_cert = <{cert}',
            f'ssl_key = <{key}',
            f'disable_plaintext_auth = {"yes" if self._disable_plaintext_auth else "no"}',
            f'auth_mechanisms = {self._auth_mechanisms}',
            # Wrong passwords are part of the tests: no waiting, and no penalty for the next one.
            'auth_failure_delay = 0',
            'service anvil {', '  chroot =', '  unix_listener anvil-auth-penalty {', '    mode = 0',
            '  }', '}',
            f'passdb {{\n  driver = passwd-file\n  args = {passwd}\n}}',
            f'userdb {{\n  driver = passwd-file\n  args = {passwd}\n}}',
            'first_valid_uid = 1',
            'first_valid_gid = 1',
            f'mail_location = {self._mail_location}',
            'mail_fsync = never',
            f'mail_max_userip_connections = {self._max_userip_connections}',
            f'namespace inbox {{\n  inbox = yes\n  separator = {self._separator}\n'
            f'  prefix = {self._prefix}']
        for mailbox in ('Drafts', 'Sent', 'Trash', 'Junk'):
            lines.append(f'  mailbox {mailbox} {{\n    special_use = \\{mailbox}\n  }}')
        lines += [
            '}',
            'service imap-login {', *([] if self._root else ['  chroot =']),
            # One process for all connections: no fork before each greeting.
            '  service_count = 0', '  process_min_avail = 1',
            f'  inet_listener imap {{\n    port = {self.port}\n  }}',
            f'  inet_listener imaps {{\n    port = {self.tls_port}\n    ssl = yes\n  }}',
            '}']
        if self._root:
            lines += ['service auth {\n  user = root\n}']
        else:
            me = pwd.getpwuid(os.geteuid()).pw_name
            lines += [f'default_internal_user = {me}', f'default_login_user = {me}',
                      f'default_internal_group = {group}']
            # An ordinary user can neither chroot nor change to another user.
            lines += [f'service {name} {{\n  chroot =\n}}' for name in
                      ('aggregator', 'director', 'imap-urlauth-login', 'ipc', 'pop3-login',
                       'stats', 'submission-login')]
        if self._without:
            words = [word for word in CAPABILITIES if word.upper() not in self._without]
            lines.append(f'imap_capability = {" ".join(words)}')
        lines.append(self._extra)
        self.config.write_text('\n'.join(lines) + '\n')

    def _launch(self) -> None:
        if not shutil.which('dovecot', path=_PATH):
            raise ServerError('dovecot is not installed (scripts/deps installs it)')
        complaints = self.state / 'stderr.log'
        with open(complaints, 'wb') as stderr:
            self._process = subprocess.Popen(
                ['dovecot', '-F', '-c', str(self.config)], stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=stderr, start_new_session=True,
                env={'PATH': _PATH},
                preexec_fn=die_with_parent if self._dies_with_parent else None)
        process = self._process
        if not wait_until(lambda: process.poll() is not None or self._greets(), START_DEADLINE):
            self._kill_all()
            raise ServerError(f'dovecot did not greet within {START_DEADLINE} s:\n{self.log()}')
        if process.poll() is not None:
            raise ServerError(f'dovecot exited with {process.returncode}:\n'
                              f'{complaints.read_text(errors="replace")}{self.log()}')

    def _greets(self) -> bool:
        try:
            with socket.create_connection((self.host, self.port), timeout=2) as probe:
                return probe.recv(64).startswith(b'* OK')
        except OSError:
            return False

    def _masters(self) -> list[int]:
        """The master process by its pid file, if that pid is a Dovecot with our configuration."""
        try:
            pid = int((self.state / 'run' / 'master.pid').read_text())
        except (OSError, ValueError):
            return [self._process.pid] if self._process and self._process.poll() is None else []
        line = cmdline(pid)
        ours = line and 'dovecot' in line[0] and str(self.config) in line
        return [pid] if ours else []

    def _alive(self) -> list[int]:
        """All our processes: the master, and Dovecots that work inside our state directory.

        A master that was killed leaves children behind that serve their clients to the end.
        """
        if self._process:
            self._process.poll()
        found = set(self._masters())
        inside = str(self.state) + '/'
        for entry in os.listdir('/proc'):
            if entry.isdigit():
                try:
                    where = os.readlink(f'/proc/{entry}/cwd') + '/'
                except OSError:
                    continue
                if where.startswith(inside) and 'dovecot' in _program(int(entry)):
                    found.add(int(entry))
        return sorted(found)

    def _kill_all(self) -> None:
        def killed() -> bool:
            pids = self._alive()
            for pid in pids:
                send_signal(pid, signal.SIGKILL)
            return not pids

        if not wait_until(killed, STOP_DEADLINE):
            raise ServerError(f'could not kill {self._alive()}')

    def _reap(self) -> None:
        if self._process:
            if self._process.poll() is None:
                self._process.wait(STOP_DEADLINE)
            self._process = None


_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'


def send_signal(pid: int, sig: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, sig)


# ---- filling -------------------------------------------------------------------------------------


def append(conn: imaplib.IMAP4, mailbox: str, messages: Iterable[Message],
           batch: int = 1000) -> int:
    """MULTIAPPEND (RFC 3502) without waiting for the server between messages (LITERAL+)."""
    count = 0
    for some in _batches(messages, batch):
        tag = conn._new_tag()  # type: ignore[attr-defined]
        parts = [tag + b' APPEND ' + quote(mailbox).encode()]
        for message in some:
            head = f' ({message.flags})'.encode()
            if message.date:
                head += b' ' + imaplib.Time2Internaldate(message.date).encode()
            parts += [head + b' {%d+}\r\n' % len(message.data), message.data]
            count += 1
        conn.send(b''.join(parts) + b'\r\n')
        status, data = conn._command_complete('APPEND', tag)  # type: ignore[attr-defined]
        if status != 'OK':
            raise ServerError(f'APPEND to {mailbox}: {data}')
    return count


def _batches(messages: Iterable[Message], size: int) -> Iterator[list[Message]]:
    some: list[Message] = []
    total = 0
    for message in messages:
        some.append(message)
        total += len(message.data)
        if len(some) == size or total > 32 << 20:
            yield some
            some, total = [], 0
    if some:
        yield some


def main(argv: list[str]) -> int:
    if len(argv) in (3, 5) and argv[1] == 'start':
        server = Dovecot(argv[2], users={argv[3]: argv[4]} if len(argv) == 5 else None)
        server.start()
        print(f'imap={server.port} imaps={server.tls_port} cafile={server.cafile}')
        return 0
    if len(argv) == 3 and argv[1] == 'stop':
        Dovecot(argv[2]).clear()
        return 0
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == '__main__':
    sys.exit(main(sys.argv))
