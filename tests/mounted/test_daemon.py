"""The process itself: signals, interrupts, secrets, .imapfs/status."""

import base64
import os
import re
import signal
import subprocess
import threading
from pathlib import Path

import pytest

import messages
import mount as mounting
from messages import message
from mini import MiniServer
from mount import SLOW, mount_entry
from server import cmdline, wait_until

pytestmark = pytest.mark.tsan


class Stalling(MiniServer):
    """Answers everything but the text of a message."""

    def __init__(self):
        super().__init__()
        self.box('INBOX').add(message(1, 200_000).data)
        self.box('INBOX').add(message(2).data)
        self.box('Other')
        self.asked = threading.Event()
        self.release = threading.Event()
        self.on['UID FETCH'] = self._fetch

    def _fetch(self, session, command):
        if re.search(rb'BODY\.PEEK\[\]', command.raw):
            self.asked.set()
            while not self.release.wait(0.05) and not self.stopping.is_set():
                pass
        return None


@pytest.mark.parametrize('sig', [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_interrupt_of_a_blocked_cat(mount_mini, sig):
    mini = Stalling()
    mail = mount_mini(mini, 'names=uid')
    assert mail.names() == ['1.eml', '2.eml']
    cat = subprocess.Popen(['cat', str(mail / 'INBOX/1.eml')], stdin=subprocess.DEVNULL,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert mini.asked.wait(20 * SLOW)
        cat.send_signal(sig)
        assert cat.wait(5 * SLOW) == -sig  # the server has not answered yet
        # And the mount goes on, before and after the late answer.
        assert mail.names() == ['1.eml', '2.eml']
        mini.release.set()
        assert (mail / 'INBOX/1.eml').read_bytes() == message(1, 200_000).data
    finally:
        mini.release.set()
        cat.kill()


@pytest.mark.parametrize('sig', [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signal_unmounts(account, make_mount, make_proxy, sig):
    account.fill('INBOX', messages.messages(3))
    proxy = make_proxy(account.server, record=True)
    mail = make_mount(account, tls='no', port=proxy.port)
    assert len(mail.names()) == 3
    os.kill(mail.pid, sig)
    assert mail.wait() == 0
    assert mount_entry(mail.path) is None
    assert proxy.wait_for('LOGOUT')


def test_unmount_logs_out(account, make_mount, make_proxy):
    proxy = make_proxy(account.server, record=True)
    mail = make_mount(account, tls='no', port=proxy.port)
    assert mail.names() == []
    assert mail.unmount() == 0
    assert proxy.wait_for('LOGOUT')
    assert wait_until(lambda: proxy.open == 0, 5)


def test_signal_while_a_read_is_blocked(mount_mini):
    """SIGTERM with a reader inside: it ends all the same, and so does the reader."""
    mini = Stalling()
    mail = mount_mini(mini, 'names=uid', 'timeout=3')
    mail.names()
    cat = subprocess.Popen(['cat', str(mail / 'INBOX/1.eml')], stdin=subprocess.DEVNULL,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert mini.asked.wait(20 * SLOW)
        os.kill(mail.pid, signal.SIGTERM)
        assert mail.wait() == 0
        cat.wait(10 * SLOW)
    finally:
        mini.release.set()
        cat.kill()


def test_lazy_unmount_ends_it(account, mount):
    mail = mount()
    subprocess.run(['fusermount3', '-u', '-z', str(mail.path)], check=True, timeout=20)
    assert mail.wait() == 0


def test_background(account, tmp_path):
    """Without -f: returns when it is mounted, holds no terminal, ends with the mount."""
    account.fill('INBOX', messages.messages(2))
    point = tmp_path / 'point'
    point.mkdir()
    out = tmp_path / 'out'
    with open(out, 'wb') as log:
        done = subprocess.run(
            [str(mounting.BINARY), '-o',
             f'passfile={account.passfile},cafile={account.server.cafile},names=uid',
             f'imaps://{account.user}@localhost:{account.server.tls_port}', str(point)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=30 * SLOW, check=False,
            env=mounting.environment(tmp_path))
    try:
        assert done.returncode == 0, out.read_text()
        assert mount_entry(point) and sorted(os.listdir(point / 'INBOX')) == ['1.eml', '2.eml']
        pids = [int(pid) for pid in os.listdir('/proc') if pid.isdigit()
                and str(point) in cmdline(int(pid))]
        assert len(pids) == 1
        assert os.getsid(pids[0]) != os.getsid(0)
        try:
            links = [os.readlink(f'/proc/{pids[0]}/fd/{fd}') for fd in (0, 1, 2)]
        except PermissionError:
            pass  # not dumpable, and we are not root
        else:
            assert links == ['/dev/null'] * 3
    finally:
        subprocess.run(['fusermount3', '-u', str(point)], check=False, timeout=20)
    assert wait_until(lambda: not os.path.exists(f'/proc/{pids[0]}'), 20 * SLOW)
    assert mount_entry(point) is None


# ---- secrets -------------------------------------------------------------------------------------


def forms(user, password):
    """What a password looks like to someone who reads a log."""
    yield password.encode()
    for text in (password, f'\0{user}\0{password}', f'{user}\0{user}\0{password}'):
        yield base64.b64encode(text.encode()).rstrip(b'=')


def everything_about(pid):
    """What others of the same user can see of a process."""
    about = Path(f'/proc/{pid}/cmdline').read_bytes()
    try:
        about += b'\0' + Path(f'/proc/{pid}/environ').read_bytes()
    except PermissionError:
        pass  # not dumpable, so not even its own user may look: better still
    return about


@pytest.mark.parametrize('mechanism', [None, 'LOGIN', 'PLAIN', 'SCRAM-SHA-256'])
def test_no_password_in_the_debug_log(account, make_mount, mechanism):
    account.fill('INBOX', messages.messages(2))
    options = [f'auth={mechanism}'] if mechanism else []
    mail = make_mount(account, *options, debug=True)
    assert len(mail.names()) == 2
    about = everything_about(mail.pid)
    assert mail.unmount() == 0
    log = mail.log_path.read_bytes()
    assert b'FETCH' in log, 'there is nothing to see in the log: this test tests nothing'
    for form in forms(account.user, account.password):
        assert form not in log and form not in about


def test_password_of_a_command(account, start_mount, tmp_path):
    """passcmd: the password comes over a pipe, and children get nothing in their environment."""
    account.fill('INBOX', messages.messages(1))
    script = tmp_path / 'secret'
    script.write_text(f'#!/bin/sh\nenv > {tmp_path}/env\ncat {account.passfile}\n')
    script.chmod(0o700)
    mail = start_mount(f'imaps://{account.user}@localhost:{account.server.tls_port}',
                       [f'passcmd={script}', f'cafile={account.server.cafile}'])
    assert len(mail.names()) == 1
    assert account.password not in (tmp_path / 'env').read_text()
    assert account.password.encode() not in everything_about(mail.pid)


def test_cannot_be_traced_or_dumped(account, mount):
    mail = mount()
    limits = Path(f'/proc/{mail.pid}/limits').read_text()
    core = re.search(r'Max core file size\s+(\S+)', limits)
    # Not dumpable: the files of /proc/PID belong to root, or there is no core to write.
    undumpable = Path(f'/proc/{mail.pid}/environ').stat().st_uid == 0 and os.getuid() != 0
    assert undumpable or (core and core.group(1) == '0')


def test_mount_flags(account, mount):
    entry = mount_entry(mount().path)
    assert 'nosuid' in entry.options and 'nodev' in entry.options
    assert entry.kind.startswith('fuse')


# ---- .imapfs/status ------------------------------------------------------------------------------


def test_status(account, mount, sh):
    account.fill('INBOX', messages.messages(7))
    mail = mount()
    before = sh('cat .imapfs/status', mail.path).stdout.decode()
    assert before.endswith('\n') and 'localhost' in before and 'IMAP4rev1' in before
    assert account.password not in before
    len(mail.names())
    mail.message('INBOX', 1).read_bytes()
    after = sh('cat .imapfs/status', mail.path).stdout.decode()
    assert after != before, 'what was done since does not show'
    assert 'TLS' in after
    assert (mail / '.imapfs').is_dir() and sorted(os.listdir(mail / '.imapfs')) == ['events', 'status']
    for change in (lambda: (mail / '.imapfs/status').write_text('x'),
                   lambda: os.unlink(mail / '.imapfs/status'),
                   lambda: os.rmdir(mail / '.imapfs'),
                   lambda: os.mkdir(mail / '.imapfs/x'),
                   lambda: os.rename(mail / '.imapfs', mail / 'shown')):
        with pytest.raises(OSError):
            change()


def test_status_does_not_count_its_reader(mount_mini):
    stalling = Stalling()
    mail = mount_mini(stalling, 'names=uid')
    assert len(mail.names()) == 2

    def waiting():
        return re.findall(r'^calls waiting: (.*)$', (mail / '.imapfs/status').read_text(), re.M)

    assert waiting() == ['0']
    reader = threading.Thread(target=(mail / 'INBOX/2.eml').read_bytes)
    reader.start()
    assert wait_until(lambda: waiting() == ['1'], 30 * SLOW)
    stalling.release.set()
    reader.join()
    assert waiting() == ['0']


def test_status_tells_the_last_error(mount_mini):
    mini = MiniServer()
    mini.box('INBOX').add(message(1).data)
    mini.on['UID FETCH'] = lambda session, command: (
        b'BODY.PEEK[]' in command.raw and (session.reply('disk on fire', 'NO') or True))
    mail = mount_mini(mini, 'names=uid')
    with pytest.raises(OSError):
        (mail / 'INBOX/1.eml').read_bytes()
    assert 'UID FETCH refused by the server: disk on fire' in (mail / '.imapfs/status').read_text()


@pytest.mark.parametrize('command, change', [
    ('SELECT', lambda mail: os.listdir(mail / 'Other')),
    ('CREATE', lambda mail: os.mkdir(mail / 'New')),
    ('DELETE', lambda mail: os.rmdir(mail / 'Other')),
    ('RENAME', lambda mail: os.rename(mail / 'Other', mail / 'New')),
    ('UID STORE', lambda mail: os.setxattr(mail / 'INBOX/1.eml', 'user.imap.flags', b'+x'))])
def test_errors_are_told_in_the_words_of_imap(mount_mini, command, change):
    mini = MiniServer()
    mini.box('INBOX').add(message(1).data)
    mini.box('Other')
    mail = mount_mini(mini)
    mail.names()
    mini.on[command] = lambda session, _: session.reply('not today', 'NO') or True
    with pytest.raises(OSError):
        change(mail)
    status = (mail / '.imapfs/status').read_text()
    assert re.search(rf'^last error: .*: {command} refused by the server: not today$', status,
                     re.M), status
