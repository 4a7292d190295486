"""No memory for what a server sends: that one call fails, and nothing else."""

import contextlib
import errno
import os
import resource

import pytest

from messages import message
from mini import MiniServer, literal
from mount import SLOW
from server import wait_until
from test_sizes import same

pytestmark = [
    pytest.mark.deadline(240),
    pytest.mark.skipif('san' in os.environ.get('IMAPFS', ''), reason='sanitizers need all there is'),
]

MIB = 1024 * 1024
ROOM = 4 * MIB  # less than any of the answers needs


class Tight:
    """No more memory for a process than it has, and a little. What malloc() has reserved counts only
    once it is used, other than with RLIMIT_AS."""

    def __init__(self, pid):
        self.pid = pid
        self.before = resource.prlimit(pid, resource.RLIMIT_DATA)

    def __enter__(self):
        with open(f'/proc/{self.pid}/status', encoding='ascii') as status:
            size = next(int(line.split()[1]) for line in status if line.startswith('VmData'))
        resource.prlimit(self.pid, resource.RLIMIT_DATA, (size * 1024 + ROOM, self.before[1]))

    def __exit__(self, *_):
        resource.prlimit(self.pid, resource.RLIMIT_DATA, self.before)


@pytest.fixture
def mini():
    server = MiniServer()
    server.box('INBOX').add(message(1).data)
    server.box('INBOX').add(message(2, 20 * MIB).data)
    server.box('INBOX').add(message(3).data)
    return server


def all_there(mail, mini, uids=(1, 3)):
    for uid in uids:
        want = next(m for m in mini.box('INBOX').mails if m.uid == uid).data
        assert same((mail / f'INBOX/{uid}.eml').read_bytes(), want) is None


def behind_the_bytes(session, seq, mail, pairs):
    """The UID comes last, so that nobody knows whose bytes they are until all of them are here."""
    pairs = sorted(pairs, key=lambda pair: pair[0] == b'UID')
    return [b'* %d FETCH (' % seq + b' '.join(k + b' ' + v for k, v in pairs) + b')\r\n']


def whole(session, seq, mail, pairs):
    """The whole message for each window."""
    pairs = [(k, literal(mail.data) if k.startswith(b'BODY[]<') else v) for k, v in pairs]
    return [b'* %d FETCH (' % seq + b' '.join(k + b' ' + v for k, v in pairs) + b')\r\n']


@pytest.mark.parametrize('rows', [None, behind_the_bytes, whole],
                         ids=['windows', 'uid-last', 'whole'])
def test_a_large_body(mini, mount_mini, rows):
    if rows:
        mini.fetch_rows = rows
    mail = mount_mini(mini, 'names=uid', 'timeout=10')
    assert len(mail.names()) == 3
    all_there(mail, mini)
    with Tight(mail.pid):
        try:  # what others gave back may be enough
            got = (mail / 'INBOX/2.eml').read_bytes()
            assert same(got, mini.box('INBOX').mails[1].data) is None
        except OSError as error:
            assert error.errno in (errno.ENOMEM, errno.EIO, errno.ENOTCONN)
        assert (mail / 'INBOX').stat() and mail.process.poll() is None

    def again():
        with contextlib.suppress(OSError):  # the connection may have to be made anew
            all_there(mail, mini, (1, 2, 3))
            return True

    assert wait_until(again, 60 * SLOW)
    assert 'out of memory' not in mail.log()


@pytest.mark.parametrize('answer', ['ids', 'line', 'flags'])
def test_a_large_answer(mini, mount_mini, answer):
    """SEARCH with a million UIDs, a line of megabytes, a row of a million flags."""
    mail = mount_mini(mini, 'names=uid', 'timeout=10', 'poll=1')
    assert len(mail.names()) == 3
    large = {'ids': b'* SEARCH' + b''.join(b' %d' % n for n in range(1, 2_000_000, 2)) + b'\r\n',
             'line': b'* OK ' + b'x' * 12 * MIB + b'\r\n',
             'flags': b'* 1 FETCH (UID 1 FLAGS (' + b'a ' * 500_000 + b'b))\r\n'}[answer]
    sent = []

    def noop(session, command):
        sent.append(command)
        session.send(large)
        return False

    with Tight(mail.pid):
        for name in ('NOOP', 'UID SEARCH', 'UID FETCH'):
            mini.on[name] = noop
        mini.box('INBOX').add(message(4).data)

        def looked():
            try:
                os.stat(mail / 'INBOX/4.eml')
            except OSError:
                pass
            return len(sent) > 1 or mail.process.poll() is not None

        assert wait_until(looked, 20 * SLOW)
        mini.on.clear()
    assert mail.process.poll() is None
    assert wait_until(lambda: '4.eml' in mail.names(), 30 * SLOW)
    all_there(mail, mini, (1, 3, 4))


def test_a_large_list(mini, mount_mini):
    """Fifty thousand mailboxes: the list as a whole is not taken, and what was known stays."""
    mail = mount_mini(mini, 'names=uid', 'timeout=10')
    assert len(mail.names()) == 3
    rows = b''.join(b'* LIST () "/" "%050d"\r\n' % n for n in range(50_000))
    sent = []

    def many(session, command):
        sent.append(command)
        session.send(rows)
        return False

    with Tight(mail.pid):
        mini.on['LIST'] = many
        errors = set()

        def listed():
            with pytest.raises(OSError) as error:
                os.stat(mail / 'Unheard')
            errors.add(error.value.errno)
            return sent and errors & {errno.ENOMEM, errno.EIO, errno.ENOTCONN}

        assert wait_until(listed, 20 * SLOW)
        assert mail.process.poll() is None
        mini.on.clear()
    assert wait_until(lambda: len(mail.names()) == 3, 30 * SLOW)

    def known():
        with pytest.raises(OSError) as error:
            os.stat(mail / 'Unheard')
        return error.value.errno == errno.ENOENT

    assert wait_until(known, 30 * SLOW)
    all_there(mail, mini, (1, 3))
    assert 'out of memory for the list' in mail.log()
