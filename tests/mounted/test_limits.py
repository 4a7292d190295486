"""A server that is unwilling: refuses the login, allows few connections, asks to wait.

Passwords that change, connection limits and throttling: what the caller hears, what the status says
and, above all, how often the server is asked.
"""

import errno
import itertools
import math
import os
import re
import resource
import socket
import threading
import time

import pytest

from conftest import write_password
from messages import message
from mini import MiniServer, Session
from mount import SLOW, refused
from server import wait_until


@pytest.fixture
def mini():
    """A server with messages in INBOX and in Other."""
    server = MiniServer()
    for number in range(1, 9):
        server.box('INBOX').add(message(number).data)
    server.box('Other').add(message(20).data)
    return server


def status(mail):
    return (mail / '.imapfs/status').read_text()


def server_line(mail):
    return re.search(r'^server: (.*)$', status(mail), re.M).group(1)


def kill_connections(mini):
    for sock in list(mini._sockets):
        try:
            sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def logins(mini):
    return sum(name in ('LOGIN', 'AUTHENTICATE') for name in mini.names())


def read_all(mail, uids=range(1, 9), folder='INBOX'):
    """Reads them all at once; returns what went wrong."""
    wrong = []

    def read(uid):
        try:
            (mail / folder / f'{uid}.eml').read_bytes()
        except OSError as error:
            wrong.append(error.errno)

    readers = [threading.Thread(target=read, args=(uid,)) for uid in uids]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    return wrong


# ---- what the log says -----------------------------------------------------------------------------


def lines(mail):
    return [line for line in mail.log().splitlines() if 'mounted' not in line]


def close_down(mini, words):
    """No connection is taken or kept any more. Returns what opens again."""
    greeting, mini.greeting = mini.greeting, b'* BYE %s\r\n' % words
    kill_connections(mini)

    def open_again():
        mini.greeting = greeting
    return open_again


@pytest.mark.parametrize('connections', [1, 4])
def test_one_line_when_the_server_goes_and_one_when_it_is_back(mini, mount_mini, connections):
    mail = mount_mini(mini, f'connections={connections}', 'timeout=2', 'names=uid')
    assert not read_all(mail)
    made = itertools.count()

    def works():
        try:
            os.mkdir(mail / f'New{next(made)}')
        except OSError:
            return False
        return True

    for _ in range(2):
        before, had = len(lines(mail)), mini.connections
        open_again = close_down(mini, b'closed for lunch')
        assert wait_until(lambda: not works() and mini.connections > had + 3, 60 * SLOW)
        assert len(lines(mail)) == before + 1, mail.log()
        assert 'lost: the server closed it' in lines(mail)[-1]
        open_again()
        assert wait_until(works, 60 * SLOW)
        assert wait_until(lambda: len(lines(mail)) == before + 2, 10 * SLOW), mail.log()
        assert re.search(r'again, after \d+ s$', lines(mail)[-1])


def test_one_line_when_the_login_is_refused(mini, mount_mini):
    """Once that the connection is lost, once that the login is refused; the status knows the rest."""
    mail = mount_mini(mini, 'names=uid')
    assert not read_all(mail)
    before = len(lines(mail))
    mini.users['alice'] = 'another'
    kill_connections(mini)
    for number in range(10):
        with refused(errno.EACCES):
            os.mkdir(mail / f'New{number}')
    assert [re.search('lost|refused', line).group() for line in lines(mail)[before:]] == [
        'lost', 'refused'], mail.log()


def test_one_line_for_connections_that_cannot_be_had(mini, mount_mini):
    """A server that allows one is asked for a second again and again, and that is told once."""
    first = []
    mini.on['AUTHENTICATE'] = lambda session, command: (
        first.append(session) if not first else session is not first[0] and
        (session.reply('[LIMIT] too many', 'NO') or True))
    mail = mount_mini(mini, 'names=uid', 'cache=0', 'prefetch=0')
    data = message(1, 200_000).data

    def asked_again():
        """Bodies go over another connection where there is one."""
        with mini.lock:
            new = [mini.boxes['INBOX'].add(data).uid for _ in range(4)]
        assert not read_all(mail, new)
        return mini.connections > 4

    assert wait_until(asked_again, 30 * SLOW), mini.connections
    assert sum('too many' in line for line in lines(mail)) == 1, mail.log()


# ---- the login -----------------------------------------------------------------------------------


def test_the_password_is_changed(mini, mount_mini):
    """EACCES at once, one attempt for all connections together, and the status says why."""
    mail = mount_mini(mini, 'names=uid', 'cache=0', 'timeout=5')
    assert server_line(mail) == 'up'
    assert not read_all(mail)
    before = logins(mini)
    mini.users['alice'] = 'another'
    kill_connections(mini)
    began = time.monotonic()
    with refused(errno.EACCES):
        os.mkdir(mail / 'New')
    for number in range(20):
        with refused(errno.EACCES):
            os.mkdir(mail / f'New{number}')
    assert time.monotonic() - began < 5 + 10 * SLOW
    tried = logins(mini)
    assert before < tried <= before + 3  # those that were being made already, side by side
    shown = re.fullmatch(r'login refused: (.*); next attempt in (\d+) s', server_line(mail))
    assert shown and 'wrong user or password' in shown.group(1), status(mail)
    assert 40 <= int(shown.group(2)) <= 70
    # Right again: that shows with the next attempt, which is not to be soon.
    mini.users['alice'] = 'wonderland'
    with refused(errno.EACCES):
        os.mkdir(mail / 'New')
    assert logins(mini) == tried


def test_the_password_is_changed_while_a_connection_lives(mini, mount_mini):
    """What is logged in goes on; what would have to log in does not."""
    mail = mount_mini(mini, 'names=uid')
    mini.users['alice'] = 'another'
    for _ in range(5):
        assert not read_all(mail)
        os.listdir(mail / 'Other')
    assert server_line(mail) == 'up'
    assert logins(mini) <= 1 + 3  # those that were made side by side


def test_the_lane_of_bodies_is_lost_while_the_login_is_refused(mini, mount_mini):
    """What is left carries them, though another one may connect again later."""
    sessions = []

    def two_only(session, _command):
        sessions.append(session)
        if len(sessions) > 2:
            session.reply('[AUTHENTICATIONFAILED] no more', 'NO')
        return len(sessions) > 2

    def down():
        return len(re.findall(r'^connection \d: down', status(mail), re.M))

    large = [mini.box('INBOX').add(message(n, 200_000).data).uid for n in range(30, 122)]
    mini.on['AUTHENTICATE'] = two_only
    mini.on['UID FETCH'] = lambda session, command: time.sleep(0.2)
    mail = mount_mini(mini, 'names=uid', 'prefetch=0', 'connections=3', 'timeout=10')
    while len(sessions) < 3 and len(large) > 9:  # until there are more at once than it likes
        assert not read_all(mail, [large.pop() for _ in range(9)])
    assert wait_until(lambda: len(sessions) == 3 and down() == 1, 10 * SLOW), (
        len(sessions), status(mail))
    mini.on.pop('UID FETCH')
    sessions[1].peer.sock.shutdown(socket.SHUT_RDWR)
    assert wait_until(lambda: down() == 2, 10 * SLOW)
    for uid in large[:2]:
        assert not read_all(mail, [uid])
    assert len(sessions) == 3


def test_server_line(mini, mount_mini):
    mail = mount_mini(mini, 'names=uid', 'timeout=2')
    honest, mini.handler = mini.handler, lambda peer: peer.drop()
    kill_connections(mini)
    assert wait_until(lambda: server_line(mail).startswith('down since 0 s: '), 10 * SLOW)
    with pytest.raises(OSError):
        os.mkdir(mail / 'New')
    assert re.fullmatch(r'down since \d+ s: .*greet; (next attempt in \d+ s|next attempt with the '
                        r'next call|connecting)', server_line(mail)), server_line(mail)
    mini.handler = honest

    def works():
        try:
            os.mkdir(mail / 'New')
        except OSError:
            return False
        return True

    assert wait_until(works, 20 * SLOW)
    assert server_line(mail) == 'up'


# ---- connections ---------------------------------------------------------------------------------


def at_connect(_session, peer):
    peer.drop(reset=True)


def at_greeting(_session, peer):
    peer.send(b'* BYE [UNAVAILABLE] too many connections\r\n')
    peer.drop()


def at_login(session, peer):
    def full(_user, _password):
        session.reply('[LIMIT] too many connections', 'NO')
        peer.drop()
    session._check_password = full
    session.run()


def after_login(session, peer):
    """O365 lets in and then refuses everything."""
    def full(*_arguments):
        peer.send(b'* BYE not connected\r\n')
        peer.drop()
    session.do_select = session.do_examine = full
    session.run()


@pytest.mark.parametrize('way, allowed', [(at_connect, 1), (at_greeting, 1), (at_greeting, 2),
                                          (at_login, 1), (after_login, 1)],
                         ids=lambda p: getattr(p, '__name__', p))
def test_fewer_connections(mini, mount_mini, way, allowed):
    """Goes on with those there are; the others are tried ever more rarely."""
    taken = []

    def limited(peer):
        session = Session(mini, peer)
        if len(taken) >= allowed:
            way(session, peer)
            return
        taken.append(session)
        try:
            session.run()
        finally:
            taken.remove(session)

    mini.handler = limited
    data = message(1, 200_000).data
    mail = mount_mini(mini, 'names=uid', 'cache=0', 'timeout=10', 'prefetch=0', 'connections=4')
    began = time.monotonic()
    while time.monotonic() - began < 4:
        with mini.lock:
            new = [mini.boxes['INBOX'].add(data).uid for _ in range(4)]
        assert not read_all(mail, new)
        assert len(os.listdir(mail / 'Other')) == 1
    # All four side by side; one more, since the early death of one may be chance; and then after pauses
    # that double from 250 ms (less a quarter) on, whoever asks meanwhile.
    seconds = time.monotonic() - began
    rounds = math.log2(seconds / 0.1875 + 1)
    assert mini.connections <= 4 + 1 + rounds, (mini.connections, seconds)


def test_turns_in_a_storm_of_reads(mini, mount_mini):
    """What needs a connection that has nothing under way gets one, though the reads do not end.

    They only end when it is done, or when there is nothing left to read.
    """
    supply = [mini.box('INBOX').add(message(n).data).uid for n in range(100, 2100)]
    mail = mount_mini(mini, 'names=uid', 'prefetch=0', 'poll=0', 'connections=3', 'timeout=20')
    assert len(mail.names()) == 8 + len(supply)
    done, wrong = threading.Event(), []

    def read_on():
        while supply and not done.is_set():
            try:
                (mail / f'INBOX/{supply.pop()}.eml').read_bytes()
            except OSError as error:
                wrong.append(error)

    mini.on['UID FETCH'] = lambda session, command: time.sleep(0.02)
    readers = [threading.Thread(target=read_on) for _ in range(20)]
    for reader in readers:
        reader.start()
    try:
        assert wait_until(lambda: status(mail).count(': up, ') == 3, 10 * SLOW)
        assert os.listdir(mail / 'Other') == ['1.eml']
        os.rename(mail / 'Other', mail / 'Another')
        left = len(supply)
    finally:
        done.set()
        for reader in readers:
            reader.join()
    assert left and not wrong


# ---- commands ------------------------------------------------------------------------------------


@pytest.mark.parametrize('code', ['UNAVAILABLE', 'INUSE', 'THROTTLED'])
@pytest.mark.parametrize('command', ['CREATE', 'UID FETCH', 'UID MOVE', 'SELECT', 'UID STORE'])
def test_unwilling_for_a_while(mini, mount_mini, command, code):
    refusals = []

    def unwilling(session, _command):
        if len(refusals) < 2:
            refusals.append(time.monotonic())
            session.reply(f'[{code}] later', 'NO')
            return True
        return None

    mail = mount_mini(mini, 'names=uid')
    mini.on[command] = unwilling
    assert len(mail.names()) == 8
    os.mkdir(mail / 'New')
    os.rename(mail / 'INBOX/1.eml', mail / 'New/1.eml')
    os.unlink(mail / 'INBOX/2.eml')
    assert (mail / 'INBOX/3.eml').read_bytes() == message(3).data
    assert [m.data for m in mini.boxes['New'].mails] == [message(1).data]
    assert [m.uid for m in mini.boxes['INBOX'].mails] == [3, 4, 5, 6, 7, 8]
    assert len(refusals) == 2 and refusals[1] - refusals[0] > 0.15


def test_unwilling_for_good(mini, mount_mini):
    """EBUSY when the time is up, after a handful of attempts; others are served meanwhile."""
    mail = mount_mini(mini, 'names=uid', 'timeout=2', 'connections=1')
    assert len(mail.names()) == 8
    mini.on['CREATE'] = lambda session, _: session.reply('[UNAVAILABLE] no', 'NO') or True
    result = []

    def make():
        try:
            os.mkdir(mail / 'New')
        except OSError as error:
            result.append(error.errno)

    thread = threading.Thread(target=make)
    thread.start()
    assert wait_until(lambda: 'CREATE' in mini.names(), 10 * SLOW)
    assert (mail / 'INBOX/3.eml').read_bytes() == message(3).data
    assert not result, 'the one that waits was not waiting any more'
    thread.join()
    assert result == [errno.EBUSY]
    assert 3 <= mini.names().count('CREATE') <= 8


def test_unmount_while_it_waits(mini, mount_mini):
    mail = mount_mini(mini, 'names=uid', 'timeout=2')
    assert len(mail.names()) == 8
    asked = threading.Event()

    def unwilling(session, command):
        if b'BODY.PEEK[]' not in command.raw:
            return None
        asked.set()
        session.reply('[UNAVAILABLE] no', 'NO')
        return True

    mini.on['UID FETCH'] = unwilling
    reader = threading.Thread(target=lambda: read_all(mail, [1]))
    reader.start()
    assert asked.wait(10 * SLOW)
    mail.process.terminate()
    reader.join()
    assert mail.wait() == 0


# ---- the daemon's own limits ---------------------------------------------------------------------


# The leak check of the sanitizer opens files itself, and that build has loaded libgcc_s anyway.
@pytest.mark.skipif('asan' in os.environ.get('IMAPFS', ''), reason='not under AddressSanitizer')
def test_unmount_without_descriptors(mini, serve, start_mount, tmp_path):
    """Threads are cancelled at the end, and nothing may have to be loaded for that by then."""
    serve(mini)
    passfile = write_password(tmp_path / 'password', mini.users['alice'])
    mail = start_mount(f'imap://alice@127.0.0.1:{mini.port}', [f'passfile={passfile}', 'tls=no'])
    limits = resource.prlimit(mail.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(mail.pid, resource.RLIMIT_NOFILE, (3, limits[1]))
    assert mail.unmount() == 0


@pytest.mark.parametrize('host', ['127.0.0.1', 'localhost'])
def test_no_descriptors_left(mini, serve, start_mount, tmp_path, host):
    """A clear error and no hang; everything works again when there are descriptors again."""
    serve(mini)
    passfile = write_password(tmp_path / 'password', mini.users['alice'])
    mail = start_mount(f'imap://alice@{host}:{mini.port}',
                       [f'passfile={passfile}', 'tls=no', 'names=uid', 'timeout=5', 'prefetch=0'])
    assert not read_all(mail, [1, 2])
    assert wait_until(lambda: 'connection 1: up' in status(mail), 10 * SLOW)
    limits = resource.prlimit(mail.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(mail.pid, resource.RLIMIT_NOFILE, (3, limits[1]))
    kill_connections(mini)
    assert wait_until(lambda: server_line(mail).startswith('down'), 10 * SLOW)
    began = time.monotonic()
    # The attempt that failed last, before any descriptor was missing, may be what is told at first.
    def noticed():
        with refused(errno.ENFILE, errno.ENOTCONN):
            (mail / 'INBOX/3.eml').read_bytes()
        return 'Too many open files' in server_line(mail)

    assert wait_until(noticed, 10 * SLOW)
    for _ in range(10):
        with refused(errno.ENFILE):
            (mail / 'INBOX/3.eml').read_bytes()
        with refused(errno.ENFILE):
            os.mkdir(mail / 'New')
    assert time.monotonic() - began < 5 + 10 * SLOW
    assert 'Too many open files' in server_line(mail)
    assert (mail / 'INBOX/1.eml').read_bytes() == message(1).data  # what is known stays
    resource.prlimit(mail.pid, resource.RLIMIT_NOFILE, limits)

    def works():
        try:
            return (mail / 'INBOX/3.eml').read_bytes() == message(3).data
        except OSError:
            return False

    assert wait_until(works, 20 * SLOW)
    os.mkdir(mail / 'New')
    assert len(mail.log().splitlines()) < 60, mail.log()
