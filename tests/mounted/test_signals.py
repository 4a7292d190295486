"""Signals of who waits for an answer: what they may end, and what they must not."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from messages import message
from mini import MiniServer
from mount import SLOW, in_pid_namespace
from server import die_with_parent, wait_until

pytestmark = pytest.mark.tsan

SOON = 20 * SLOW


class Held(MiniServer):
    """Does not answer the commands that match until it is told to."""

    def __init__(self, held):
        super().__init__()
        for number in range(1, 4):
            self.box('INBOX').add(message(number, 200_000).data)
        self.box('Other')
        self.asked = threading.Event()
        self.release = threading.Event()
        for name in ('UID FETCH', 'UID MOVE', 'CREATE', 'NOOP', 'SELECT'):
            self.on[name] = lambda session, command: self._hold(held, command)

    def _hold(self, held, command):
        if re.search(held, command.raw):
            self.asked.set()
            while not self.release.wait(0.02) and not self.stopping.is_set():
                pass
        return None


# What a program does, and the command of ours that it waits for.
CALLS = {
    'stat': ('os.stat("INBOX/1.eml").st_size', rb'UID FETCH'),
    'listdir': ('len(os.listdir(inbox))', rb'UID FETCH'),
    'read': ('len(open("INBOX/1.eml", "rb").read())', rb'BODY\.PEEK\[\]'),
    'getxattr': ('os.getxattr("INBOX/1.eml", "user.imap.subject")', rb'HEADER\.FIELDS \((?!FROM SUBJECT)'),
    'rename': ('os.rename("INBOX/1.eml", "Other/1.eml")', rb'UID MOVE'),
    'mkdir': ('os.mkdir("Other/New")', rb'CREATE'),
}

PROGRAM = '''
import os, signal, sys, threading
caught = []
inbox = os.open('INBOX', os.O_RDONLY)
for number in (signal.SIGHUP, signal.SIGQUIT):  # who runs the tests in the background ignores them
    signal.signal(number, signal.SIG_DFL)
for number in {caught}:
    signal.signal(number, lambda number, _: caught.append(number))
    signal.siginterrupt(number, False)
print('ready', flush=True)
sys.stdin.readline()
try:
    result = {call}
except OSError as error:
    result = error
print('done', result, *map(int, caught), flush=True)
'''


class Caller:
    """A program that makes one call in the mount and says what came of it."""

    def __init__(self, mail, call, caught=()):
        self.process = subprocess.Popen(
            [sys.executable, '-ISc', PROGRAM.format(call=call, caught=[int(s) for s in caught])],
            cwd=mail.path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            preexec_fn=die_with_parent)
        assert self.process.stdout.readline() == 'ready\n'

    def __enter__(self):
        self.process.stdin.write('go\n')
        self.process.stdin.flush()
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait(SOON)

    def has(self, sig):
        """The signal waits for the call to end."""
        status = Path(f'/proc/{self.process.pid}/status').read_text()
        pending = [int(mask, 16) for mask in re.findall(r'(?:SigPnd|ShdPnd):\s*(\w+)', status)]
        return any(mask >> (sig - 1) & 1 for mask in pending)

    def done(self):
        """What the program said of its call, and its exit status."""
        out, _ = self.process.communicate(timeout=SOON)
        return out, self.process.returncode


def count(mail, words):
    return int(re.search(rf'^{words}: (\d+)$', (mail / '.imapfs/status').read_text(), re.M)[1])


def looks(mail):
    return count(mail, 'looks at callers with a signal')


def waits(mini, mail):
    """A call waits for the server's answer."""
    return mini.asked.wait(SOON) and wait_until(lambda: count(mail, 'calls waiting') > 0, SOON)


def looked_at(mail, sig, caller):
    """Waits until the caller has the signal, and imapfs has looked at him since."""
    assert wait_until(lambda: caller.has(sig), SOON)
    before = looks(mail)
    assert wait_until(lambda: looks(mail) >= before + 2, SOON)


CAUGHT = [signal.SIGALRM, signal.SIGCHLD, signal.SIGWINCH, signal.SIGURG, signal.SIGIO,
          signal.SIGUSR1, signal.SIGTSTP, signal.SIGTERM, signal.SIGHUP, signal.SIGRTMIN + 3]


def mounted(mount_mini, call, **kwargs):
    code, held = CALLS[call]
    mini = Held(held)
    mail = mount_mini(mini, 'names=uid', 'timeout=60', **kwargs)
    if call in ('read', 'getxattr', 'rename'):
        assert mail.names() == ['1.eml', '2.eml', '3.eml'] and mail.names('Other') == []
    return mini, mail, code


@pytest.mark.parametrize('call', CALLS)
def test_a_caught_signal_waits_for_the_answer(mount_mini, call):
    mini, mail, code = mounted(mount_mini, call)
    with Caller(mail, code, CAUGHT) as caller:
        assert waits(mini, mail)
        for sig in CAUGHT:
            caller.process.send_signal(sig)
        assert wait_until(lambda: all(caller.has(sig) for sig in CAUGHT), SOON)
        # Of a page that comes the kernel waits for without telling us of signals.
        if call != 'read':
            looked_at(mail, CAUGHT[0], caller)
        mini.release.set()
        out, status = caller.done()
    words = {'stat': str(len(message(1, 200_000).data)), 'listdir': '3',
             'read': str(len(message(1, 200_000).data)), 'getxattr': "b'Message 1'",
             'rename': 'None', 'mkdir': 'None'}
    assert out.startswith(f'done {words[call]} ') and status == 0
    assert set(out.split()[-len(CAUGHT):]) == {str(int(sig)) for sig in CAUGHT}


# Signals of which the program dies, or that a person sent, and whether it catches them.
ENDS = [(signal.SIGINT, True), (signal.SIGQUIT, True), (signal.SIGINT, False),
        (signal.SIGQUIT, False), (signal.SIGTERM, False), (signal.SIGHUP, False),
        (signal.SIGKILL, False), (signal.SIGALRM, False), (signal.SIGRTMIN + 3, False)]


@pytest.mark.parametrize('before', [(), (signal.SIGCHLD, signal.SIGWINCH)],
                         ids=['alone', 'after others'])
@pytest.mark.parametrize('sig, caught', ENDS, ids=lambda v: str(int(v)))
def test_a_signal_ends_the_call_at_once(mount_mini, sig, caught, before):
    """The kernel tells of the first signal only: those that follow have to be looked for."""
    mini, mail, code = mounted(mount_mini, 'stat')
    if not caught and sig == signal.SIGINT:
        code = f'signal.signal({int(sig)}, signal.SIG_DFL) and {code}'
    with Caller(mail, code, (sig, *before) if caught else before) as caller:
        assert waits(mini, mail)
        for other in before:
            caller.process.send_signal(other)
            looked_at(mail, other, caller)
        caller.process.send_signal(sig)
        out, status = caller.done()  # and the server still says nothing
        assert not mini.release.is_set()
    if caught:
        assert out.startswith('done [Errno 4]') and str(int(sig)) in out.split()
    else:
        assert out == '' and status == -sig
    mini.release.set()
    assert mail.names() == ['1.eml', '2.eml', '3.eml']


def test_an_ignored_signal_waits_for_the_answer(mount_mini):
    mini, mail, code = mounted(mount_mini, 'listdir')
    ignore = ' or '.join(f'signal.signal({int(sig)}, signal.SIG_IGN) is None'
                         for sig in (signal.SIGINT, signal.SIGTERM))
    with Caller(mail, f'({ignore}) or {code}', [signal.SIGCHLD]) as caller:
        assert waits(mini, mail)
        caller.process.send_signal(signal.SIGCHLD)
        looked_at(mail, signal.SIGCHLD, caller)
        before = looks(mail)
        for sig in (signal.SIGINT, signal.SIGTERM):
            caller.process.send_signal(sig)
        assert wait_until(lambda: looks(mail) >= before + 2, SOON)
        mini.release.set()
        assert caller.done() == (f'done 3 {int(signal.SIGCHLD)}\n', 0)


def test_a_thread_that_waits_does_not_hold_up_the_end_of_its_process(mount_mini):
    mini, mail, code = mounted(mount_mini, 'stat')
    code = (f'[threading.Thread(target=lambda: {code}).start(), '
            'print("waiting", flush=True), sys.stdin.readline(), os._exit(3)]')
    with Caller(mail, code) as caller:
        assert waits(mini, mail)
        caller.process.stdin.write('end\n')
        assert caller.done() == ('waiting\n', 3)
    mini.release.set()


def test_children_of_a_shell_that_globs(mount_mini, tmp_path):
    """SIGCHLD comes while bash lists the directory."""
    mini = Held(rb'UID FETCH')
    mail = mount_mini(mini, 'names=uid', 'timeout=60')
    fifo = tmp_path / 'fifo'
    os.mkfifo(fifo)
    bash = subprocess.Popen(['bash', '-c', f'read x <{fifo} & echo INBOX/*.eml'], cwd=mail.path,
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                            preexec_fn=die_with_parent)
    try:
        assert waits(mini, mail)
        fifo.write_text('end\n')
        assert wait_until(lambda: looks(mail) >= 2, SOON)
        mini.release.set()
        assert bash.communicate(timeout=SOON)[0] == 'INBOX/1.eml INBOX/2.eml INBOX/3.eml\n'
    finally:
        bash.kill()


def test_timeout_of_a_command(mount_mini, sh):
    """timeout(1), and after its SIGTERM was caught its SIGKILL."""
    mini, mail, code = mounted(mount_mini, 'stat')
    done = sh('timeout 0.5 cat INBOX/1.eml', mail.path, check=False, deadline=SOON)
    assert done.returncode == 124 and done.stdout == b''
    program = PROGRAM.format(call=code, caught=[int(signal.SIGTERM)])
    done = sh(f'timeout -k 0.5 0.5 {sys.executable} -ISc {sh.quote(program)} </dev/null', mail.path,
              check=False, deadline=SOON)
    assert done.returncode == 137 and done.stdout == b'ready\n'
    assert mini.asked.is_set() and not mini.release.is_set()
    mini.release.set()
    assert sh('timeout 20 wc -c <INBOX/1.eml', mail.path).stdout.strip().isdigit()


def test_strace_attaches_to_who_waits(mount_mini):
    """It stops the caller for a moment, by a signal that is none."""
    mini, mail, code = mounted(mount_mini, 'listdir')
    with Caller(mail, code) as caller:
        assert waits(mini, mail)
        strace = subprocess.Popen(['strace', '-c', '-p', str(caller.process.pid)],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.PIPE, preexec_fn=die_with_parent)
        with contextlib.ExitStack() as stack:
            stack.callback(strace.kill)
            assert wait_until(lambda: looks(mail) >= 2, SOON)
            mini.release.set()
            assert caller.done() == ('done 3\n', 0)
            strace.communicate(timeout=SOON)


@pytest.mark.skipif(os.geteuid() != 0, reason='only root may make PID namespaces everywhere')
@pytest.mark.parametrize('sig', [signal.SIGALRM, signal.SIGTERM])
def test_a_caller_who_cannot_be_looked_at(mount_mini, tmp_path, sig):
    mini, mail, code = mounted(mount_mini, 'stat', binary=in_pid_namespace(tmp_path))
    with Caller(mail, code, [signal.SIGALRM]) as caller:
        assert waits(mini, mail)
        caller.process.send_signal(sig)
        out, status = caller.done()  # the server says nothing
        assert not mini.release.is_set()
    assert count(mail, 'calls ended by a signal') == 1
    if sig == signal.SIGALRM:
        assert out == f'done [Errno 4] Interrupted system call: \'INBOX/1.eml\' {int(sig)}\n'
    else:
        assert out == '' and status == -sig
    mini.release.set()
    assert mail.names() == ['1.eml', '2.eml', '3.eml']


def test_nobody_is_looked_at_without_a_signal(mount_mini):
    mini, mail, code = mounted(mount_mini, 'listdir')
    with Caller(mail, code) as caller:
        assert waits(mini, mail)
        mini.release.set()
        assert caller.done() == ('done 3\n', 0)
    assert looks(mail) == 0
