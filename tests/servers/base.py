"""What every server of these tests has in common: a private instance on loopback, and its eye.

A server lives in a directory of its own below /tmp (socket addresses are short, and an unprivileged
user must reach it); its mail belongs to `nobody`. start() and stop() may alternate; close() leaves
nothing. Whatever it starts dies with this process.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import imaplib
from pathlib import Path
from typing import Callable, Optional, Sequence

from server import HOST, Authority, ServerError, _libc, free_port, wait_until

NOBODY = pwd.getpwnam('nobody')
START_DEADLINE = 30.0
STOP_DEADLINE = 10.0

# A copy of a FUSE mount in another mount namespace keeps it alive after its fusermount3 -u.
DETACH_FUSE = ('''awk '$3 ~ /^fuse/ {print $2}' /proc/mounts |
while read -r where; do umount -l "$(printf '%b' "$where")"; done
''')


class Site:
    """One server. The fields are what a test may ask of it."""

    name = ''
    user, password = 'bob', 'secret'
    separator = '/'
    prefix = ''  # of all folders but INBOX, as on the wire
    persistent = True  # its mail outlives a restart
    options: Sequence[str] = ()  # what a mount of it needs
    stop_signals: Sequence[int] = (signal.SIGTERM, signal.SIGKILL)

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix='imapfs-server-', dir='/tmp'))
        self.directory.chmod(0o755)
        self.host = HOST
        self.port = free_port()  # clear text, STARTTLS offered
        self.tls_port: Optional[int] = free_port()
        self.log_path = self.directory / 'server.log'
        self.cert, self.key = Authority(self.directory / 'certs').issue()
        self.cafile = self.directory / 'certs' / 'ca.pem'
        self._processes: list[subprocess.Popen] = []

    # -- what a server fills in --

    def launch(self) -> None:
        """Starts it, with spawn(); it need not answer yet."""
        raise NotImplementedError

    def prepare(self) -> None:
        """What is done once, after the first start."""

    # -- life --

    def start(self) -> None:
        first = not self.log_path.exists()
        try:
            self.launch()
            if not wait_until(self._greets, START_DEADLINE, interval=0.03):
                raise ServerError(f'{self.name} does not greet:\n{self.log()[-3000:]}')
            if first:
                self.prepare()
        except BaseException:
            self.close()
            raise

    def stop(self) -> None:
        for process in self._processes:
            self._end(process)
        self._processes = []

    def restart(self) -> None:
        self.stop()
        self.start()

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def log(self) -> str:
        return self.log_path.read_text(errors='replace') if self.log_path.exists() else ''

    def client(self) -> imaplib.IMAP4:
        """A connection of imaplib's, logged in."""
        context = ssl.create_default_context(cafile=str(self.cafile))
        if self.tls_port:
            conn: imaplib.IMAP4 = imaplib.IMAP4_SSL(self.host, self.tls_port, timeout=60,
                                                    ssl_context=context)
        else:
            conn = imaplib.IMAP4(self.host, self.port, timeout=60)
        try:
            conn.login(self.user, self.password)
        except BaseException:
            conn.shutdown()
            raise
        return conn

    # -- for those that fill it in --

    def spawn(self, arguments: Sequence[str], env: Optional[dict[str, str]] = None,
              dying: Callable[[], None] = lambda: None) -> None:
        """Starts a process, the leader of a group, with the log as its output."""
        with open(self.log_path, 'ab') as log:
            self._processes.append(subprocess.Popen(
                arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env, cwd='/',
                start_new_session=True, preexec_fn=dying))

    def spawn_apart(self, script: str, env: Optional[dict[str, str]] = None) -> None:
        """Runs a shell script as the first process of namespaces for mounts and processes.

        What it mounts and starts ends with it, and it with the unshare that is our child.
        """
        path = self.directory / 'start.sh'
        path.write_text('set -e\n' + DETACH_FUSE + script)
        self.spawn(['unshare', '--mount', '--pid', '--fork', '--mount-proc', '--kill-child', 'sh',
                    str(path)], env, lambda: dies_with_parent(signal.SIGKILL))

    def _greets(self) -> bool:
        for process in self._processes:
            if process.poll() is not None:
                raise ServerError(f'{self.name} ended, status {process.returncode}:\n'
                                  f'{self.log()[-3000:]}')
        try:
            with socket.create_connection((self.host, self.port), timeout=5) as probe:
                return probe.recv(16).startswith(b'* OK')
        except OSError:
            return False

    def _end(self, process: subprocess.Popen) -> None:
        """The whole group, which is ours: its leader is our child and was not waited for yet."""
        for sig in self.stop_signals:
            if _gone(process.pid):
                break
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, sig)
            wait_until(lambda: _gone(process.pid), STOP_DEADLINE)
        process.wait(STOP_DEADLINE)


def _gone(group: int) -> bool:
    """Whether no process of the group runs any more; its leader may be a zombie, being ours."""
    for entry in os.listdir('/proc'):
        if entry.isdigit():
            try:
                stat = Path(f'/proc/{entry}/stat').read_text(errors='replace')
            except OSError:
                continue
            state, _, pgrp = stat.rsplit(') ', 1)[1].split(' ')[:3]
            if int(pgrp) == group and state not in 'ZX':
                return False
    return True


def dies_with_parent(sig: int) -> None:
    """A preexec_fn, like server.die_with_parent() with a signal of choice."""
    _libc.prctl(1, int(sig), 0, 0, 0)  # PR_SET_PDEATHSIG


def give_to_nobody(*paths: Path) -> None:
    for top in paths:
        for path in [top, *top.rglob('*')]:
            os.chown(path, NOBODY.pw_uid, NOBODY.pw_gid)


def crypted(password: str) -> str:
    """For passwd files; crypt(3) with MD5, which every server still reads."""
    return subprocess.run(['openssl', 'passwd', '-1', '-salt', 'abcdefgh', password], check=True,
                          capture_output=True, text=True).stdout.strip()
