"""A body that never comes holds up nobody but who reads it."""

import errno
import os
import subprocess
import threading

import pytest

import messages
from mini import MiniServer, text
from mount import SLOW
from server import wait_until

pytestmark = pytest.mark.tsan

STUCK = 5


def is_of(command, uid):
    """Does it ask for this message's body, alone or among others?"""
    if b'BODY.PEEK[]' not in command.raw:
        return False
    for part in text(command.args[0]).split(','):
        low, _, high = part.partition(':')
        if int(low) <= uid <= int(high or low):
            return True
    return False


class Reader(threading.Thread):
    def __init__(self, path):
        super().__init__(daemon=True)
        self.path, self.data, self.error = path, None, None
        self.start()

    def run(self):
        try:
            self.data = self.path.read_bytes()
        except OSError as error:
            self.error = error


@pytest.fixture
def stuck(mount_mini):
    """stuck(options...): a mount whose server never answers for the body of one message."""
    def make(*options):
        mini = MiniServer()
        for n in range(1, 41):
            mini.box('INBOX').add(messages.message(n).data)

        def fetch(session, command):
            if not is_of(command, STUCK):
                return False
            if command.args[0] != str(STUCK):  # those in front of it in a set come
                for mail in session.view:
                    if mail.uid < STUCK and is_of(command, mail.uid):
                        session.do_uid_fetch(str(mail.uid), command.args[1])
            session.peer.stall()
            return True

        mini.on['UID FETCH'] = fetch
        mail = mount_mini(mini, 'names=uid', *options)
        assert len(mail.names()) == 40
        return mini, mail

    return make


@pytest.mark.parametrize('options', [['prefetch=0'], []], ids=['one by one', 'with read-ahead'])
def test_others_come_meanwhile(stuck, options):
    """All others are read before it gives up, and unmounting does not wait for it."""
    mini, mail = stuck('timeout=300', *options)
    first = subprocess.Popen(['cat', mail / f'INBOX/{STUCK}.eml'], stdout=subprocess.DEVNULL)
    assert wait_until(lambda: any(is_of(c, STUCK) for c in list(mini.commands)), 20 * SLOW)
    others = {n: Reader(mail / f'INBOX/{n}.eml') for n in range(1, 41) if n != STUCK}
    for n, reader in others.items():
        reader.join(20 * SLOW)
        assert reader.data == messages.message(n).data, (n, reader.error)
    assert first.poll() is None
    first.kill()
    first.wait()
    assert mail.unmount() == 0


def test_in_a_walk(stuck):
    """Who reads message after message is held up by the one that does not come, and by no other."""
    mini, mail = stuck('timeout=4')
    came = []
    for n in range(1, 41):
        try:
            assert (mail / f'INBOX/{n}.eml').read_bytes() == messages.message(n).data
            came.append(n)
        except OSError as error:
            assert error.errno == errno.ETIMEDOUT and n == STUCK, (n, error)
    assert came == [n for n in range(1, 41) if n != STUCK]
    assert os.listdir(mail / 'INBOX') and (mail / 'INBOX/40.eml').stat().st_size


def test_with_one_connection_only(stuck):
    """Nobody else can be asked: what waits behind it is read once it has given up."""
    mini, mail = stuck('timeout=4', 'connections=1', 'prefetch=0')
    first = Reader(mail / f'INBOX/{STUCK}.eml')
    assert wait_until(lambda: any(is_of(c, STUCK) for c in list(mini.commands)), 20 * SLOW)
    assert (mail / 'INBOX/9.eml').read_bytes() == messages.message(9).data
    first.join(20 * SLOW)
    assert first.error and first.error.errno == errno.ETIMEDOUT
