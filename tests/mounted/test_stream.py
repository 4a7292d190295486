"""The rest of a large message in one fetch, held while its reader has enough.

What is counted is commands, connections and bytes, on a proxy in clear text that records, and what
.imapfs/status says; never time.
"""

import contextlib
import errno
import hashlib
import os
import signal
import subprocess
import threading

import pytest

from messages import message
from mini import MiniServer
from mount import SLOW
from proxy import DOWN
from server import wait_until
from test_prefetch import body_commands, honest_error, ready, settled, status

KIB, MIB = 1024, 1024 * 1024
LARGE = 30 * MIB
WINDOW = 4 * MIB  # the largest that is no stream; LIMIT_WINDOW
AHEAD = 8 * MIB  # so much may lie ahead of a reader, and a piece
PIECE = 256 * KIB
HELD = AHEAD - 2 * MIB  # what is still ahead of who has come on a little since it was held

pytestmark = pytest.mark.deadline(120)


# ---- what all of these need ----------------------------------------------------------------------


def sha(data):
    return hashlib.sha256(data).hexdigest()


def streams(proxy):
    """(offset, length) of each command for more than a window."""
    return [(off, length) for _, off, length in body_commands(proxy) if length > WINDOW]


def ahead(mail):
    return int(status(mail)['body bytes ahead in a stream'])


def received(mail):
    return int(status(mail)['bytes received'])


class Reader:
    """Reads one message straight on, as far as it is told."""

    def __init__(self, path):
        self.fd = os.open(path, os.O_RDONLY)
        self.data = bytearray()

    def read(self, count):
        end = len(self.data) + count
        while len(self.data) < end:
            data = os.read(self.fd, min(128 * KIB, end - len(self.data)))
            if not data:
                break
            self.data += data
        return self

    def rest(self):
        while data := os.read(self.fd, 128 * KIB):
            self.data += data
        self.close()
        return bytes(self.data)

    def close(self):
        os.close(self.fd)

    def until(self, condition, deadline=20):
        """Comes on a little at a time, so that nobody thinks he has stopped."""
        def step():
            self.read(PIECE)
            return condition()
        return wait_until(step, deadline * SLOW, interval=0.2)


@pytest.fixture
def large(account, make_proxy, make_mount):
    """large(options...): (bytes of message 1, proxy, mount); 2 and Other/1 are small."""
    def make(*options, size=LARGE):
        account.fill('INBOX', [message(1, size), message(2)])
        account.fill('Other', [message(3)])
        proxy = make_proxy(account.server, record=True)
        mail = make_mount(account, 'names=uid', *options, tls='no', port=proxy.port)
        assert mail.names() == ['1.eml', '2.eml'] and mail.names('Other') == ['1.eml']
        if 'connections=1' not in options:
            ready(mail, proxy)
        return account.body('INBOX', 1), proxy, mail
    return make


def path_of(mail, uid=1, folder='INBOX'):
    return mail / folder / f'{uid}.eml'


# ---- reading to the end --------------------------------------------------------------------------


def test_few_commands(large):
    body, proxy, mail = large(size=50 * MIB)
    assert sha(Reader(path_of(mail)).rest()) == sha(body)
    down = settled(mail, proxy)
    commands = body_commands(proxy)
    assert len(commands) <= 6
    (off, length), = streams(proxy)
    assert off < 2 * WINDOW and off + length in (len(body), len(body) + 1)
    assert down < len(body) + 64 * KIB
    assert proxy.accepted <= 2  # since the mount: one to list, one for the bytes
    assert ahead(mail) == 0


@pytest.mark.tsan
@pytest.mark.parametrize('options', [('connections=2',), ('prefetch=0',)])
def test_no_stream(large, options):
    """No connection to spare, or nothing may be asked for ahead: windows, as ever."""
    body, proxy, mail = large(*options)
    assert sha(Reader(path_of(mail)).rest()) == sha(body)
    assert streams(proxy) == []
    assert len(body_commands(proxy)) >= len(body) / WINDOW


def test_larger_than_a_literal_may_be(large):
    body, proxy, mail = large(size=70 * MIB)
    assert sha(Reader(path_of(mail)).rest()) == sha(body)
    assert max(length for _, length in streams(proxy)) <= 64 * MIB
    assert len(body_commands(proxy)) <= 12


@pytest.mark.tsan
def test_here_and_there(large):
    """64 KiB at a time from everywhere: windows, and of those no more than the kernel asks for."""
    body, proxy, mail = large()
    fd = os.open(path_of(mail), os.O_RDONLY)
    starts = [n * 3 * MIB for n in (5, 1, 8, 3, 0, 6, 2)]
    for start in starts:
        assert os.pread(fd, 64 * KIB, start) == body[start:start + 64 * KIB]
    os.close(fd)
    assert streams(proxy) == []
    assert settled(mail, proxy) <= len(starts) * 384 * KIB


# ---- a reader who stops --------------------------------------------------------------------------


@pytest.mark.tsan
def test_a_reader_who_stops(large):
    """No more lies ahead of him than may; then his connection is given up, and he comes back."""
    body, proxy, mail = large()
    before = received(mail)
    reader = Reader(path_of(mail)).read(6 * MIB)
    most = 0

    def given_up():
        nonlocal most
        most = max(most, ahead(mail))
        return most > 0 and ahead(mail) == 0

    assert wait_until(given_up, 20 * SLOW)
    assert AHEAD / 2 < most <= AHEAD + PIECE
    assert wait_until(lambda: status(mail)['body bytes in flight'] == '0', 20 * SLOW)
    assert received(mail) - before <= 6 * MIB + AHEAD + 2 * MIB
    # It is no failure, for nobody.
    now = status(mail)
    assert now['server'] == 'up' and now['last error'] == 'none'
    assert [now[f'connection {n}'] for n in range(4)].count('down') == 3
    assert 'lost' not in mail.log()
    assert path_of(mail, 2).read_bytes() == message(2).data
    assert sha(reader.rest()) == sha(body)
    assert len(streams(proxy)) == 1
    # What had come by then was not fetched again.
    assert sum(length for _, off, length in body_commands(proxy)
               if length <= WINDOW and off > 6 * MIB) < len(body) - 6 * MIB - AHEAD + 2 * WINDOW


@pytest.mark.tsan
@pytest.mark.parametrize('limit', [1, 3])
def test_prefetch_bounds_it(large, limit):
    body, proxy, mail = large(f'prefetch={limit}M')
    reader = Reader(path_of(mail)).read(6 * MIB)
    assert reader.until(lambda: ahead(mail) >= limit * MIB / 2)
    assert limit * MIB / 2 <= ahead(mail) <= limit * MIB + PIECE
    assert int(status(mail)['body bytes in flight']) <= limit * MIB + WINDOW
    assert sha(reader.rest()) == sha(body)
    assert len(streams(proxy)) == 1


@pytest.mark.tsan
def test_held_and_resumed(large):
    """Who only takes his time is served by one fetch."""
    body, proxy, mail = large()
    reader = Reader(path_of(mail)).read(6 * MIB)
    assert reader.until(lambda: ahead(mail) >= HELD)
    assert sha(reader.rest()) == sha(body)
    assert len(streams(proxy)) == 1
    assert body_commands(proxy)[-1][1:] == streams(proxy)[0]


# ---- others meanwhile ----------------------------------------------------------------------------


@contextlib.contextmanager
def dawdling(reader):
    """The reader comes on slowly, so that his stream lasts."""
    stop = threading.Event()

    def dawdle():
        while not stop.wait(0.3):
            reader.read(PIECE)

    thread = threading.Thread(target=dawdle, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.mark.tsan
def test_others_meanwhile(large, account):
    """Small messages, listings, another large message and a seek, all while the stream is held."""
    account.fill('Second', [message(5, 3 * MIB)])
    body, proxy, mail = large()
    other = account.body('Second', 1)
    reader = Reader(path_of(mail)).read(6 * MIB)
    assert reader.until(lambda: ahead(mail) >= HELD)
    with dawdling(reader):
        links = proxy.open
        assert path_of(mail, 2).read_bytes() == message(2).data
        assert path_of(mail, 1, 'Other').read_bytes() == message(3).data
        assert sha(path_of(mail, 1, 'Second').read_bytes()) == sha(other)
        (mail / 'New').mkdir()
        fd = os.open(path_of(mail), os.O_RDONLY)
        for start in (len(body) - 100_000, 20 * MIB, 25 * MIB + 7, 100, 16 * MIB):
            assert os.pread(fd, 70_000, start) == body[start:start + 70_000]
        os.close(fd)
        assert proxy.open >= links  # the stream is there as before
        assert status(mail)['body bytes ahead in a stream'] != '0'
    assert sha(reader.rest()) == sha(body)
    assert len(streams(proxy)) == 1


@pytest.mark.tsan
def test_two_readers_of_one_message(large):
    """One is far ahead of the other, and both get every byte."""
    body, proxy, mail = large()
    first = Reader(path_of(mail)).read(6 * MIB)
    second = Reader(path_of(mail))
    os.lseek(second.fd, 15 * MIB, os.SEEK_SET)
    got = []
    thread = threading.Thread(target=lambda: got.append(second.rest()))
    thread.start()
    assert sha(first.rest()) == sha(body)
    thread.join()
    assert sha(got[0]) == sha(body[15 * MIB:])


@pytest.mark.tsan
def test_two_large_messages(account, make_proxy, make_mount):
    """One stream at a time."""
    account.fill('INBOX', [message(1, LARGE), message(2, LARGE)])
    bodies = account.bodies('INBOX')
    proxy = make_proxy(account.server, record=True)
    mail = make_mount(account, 'names=uid', tls='no', port=proxy.port)
    assert len(mail.names()) == 2
    ready(mail, proxy)
    one, two = Reader(path_of(mail)).read(6 * MIB), Reader(path_of(mail, 2))
    with dawdling(one):
        assert sha(two.rest()) == sha(bodies[2])
    assert sha(one.rest()) == sha(bodies[1])
    assert [uid for uid, _, length in body_commands(proxy) if length > WINDOW] == ['1']


# ---- lines that break, messages that go, ends ----------------------------------------------------


@pytest.mark.tsan
@pytest.mark.parametrize('after', [1, PIECE + 1, 5 * MIB + 333, 14 * MIB])
def test_cut(large, after):
    """It goes on where it ended, over another connection."""
    body, proxy, mail = large()
    reader = Reader(path_of(mail)).read(3 * MIB)
    assert wait_until(lambda: streams(proxy), 20 * SLOW)
    proxy.cut_after(DOWN, after)
    assert sha(reader.rest()) == sha(body)
    assert not proxy.cut_pending(DOWN)
    first, *others = streams(proxy)
    assert len(others) <= 1
    for off, length in others:
        assert off + length == first[0] + first[1]
        # What had come was not fetched again. A window may have been on its way before it.
        assert off >= first[0] + max(0, after - 2 * MIB)


@pytest.mark.tsan
def test_cut_again_and_again(large):
    body, proxy, mail = large()
    reader = Reader(path_of(mail)).read(3 * MIB)
    for _ in range(4):
        proxy.cut_after(DOWN, 2 * MIB)
        while proxy.cut_pending(DOWN):
            reader.read(MIB)
    assert sha(reader.rest()) == sha(body)


@pytest.mark.tsan
def test_expunged_meanwhile(large, account):
    """By another client: all of its bytes, or an error; never others'."""
    body, proxy, mail = large()
    reader = Reader(path_of(mail)).read(6 * MIB)
    assert reader.until(lambda: ahead(mail) >= HELD)
    conn = account.client('INBOX', readonly=False)
    conn.uid('STORE', '1', '+FLAGS', '(\\Deleted)')
    conn.expunge()
    conn.logout()
    try:
        assert sha(reader.rest()) == sha(body)
    except OSError as error:
        assert error.errno in (errno.ESTALE, errno.ENOENT, errno.EIO)
        assert body.startswith(bytes(reader.data))
        reader.close()
    assert path_of(mail, 2).read_bytes() == message(2).data


@pytest.fixture
def mini():
    server = MiniServer()
    server.box('INBOX').add(message(1, 20 * MIB).data)
    server.size_of = lambda mail: len(mail.data)
    return server


def is_stream(command):
    return b'.PEEK[]<' in command.raw and int(command.raw.split(b'>')[0].split(b'.')[-1]) > WINDOW


@pytest.mark.tsan
def test_another_uidvalidity_meanwhile(mini, mount_mini):
    """The line breaks in mid-stream, and behind it is another mailbox of that name."""
    body = mini.box('INBOX').mails[0].data
    begun = []

    def breaks(session, command):
        if not is_stream(command) or begun:
            return None
        begun.append(command)
        off, length = map(int, command.raw.split(b'<')[1].split(b'>')[0].split(b'.'))
        data = body[off:off + length]
        session.send(b'* 1 FETCH (UID 1 BODY[]<%d> {%d}\r\n' % (off, len(data)) + data[:4 * MIB])
        with mini.lock:
            box = mini.box('INBOX')
            box.uidvalidity += 1
            box.mails[:] = []
            box.add(message(9, 20 * MIB).data, uid=1)
        session.peer.drop()

    mini.on['UID FETCH'] = breaks
    mail = mount_mini(mini, 'names=uid')
    assert mail.names() == ['1.eml']
    reader = Reader(path_of(mail))
    with pytest.raises(OSError) as raised:
        reader.rest()
    assert begun and honest_error(raised.value)
    assert body.startswith(bytes(reader.data)) and len(reader.data) > 4 * MIB
    reader.close()


@pytest.mark.tsan
@pytest.mark.parametrize('lie', [1, 5000, 100_000, -1, -5000, -100_000])
def test_size_lies(mini, mount_mini, lie):
    body = mini.box('INBOX').mails[0].data
    mini.size_of = lambda mail: len(mail.data) + lie
    mail = mount_mini(mini, 'names=uid')
    assert mail.names() == ['1.eml']
    assert sha(Reader(path_of(mail)).rest()) == sha(body)
    assert [c for c in mini.commands if is_stream(c)]
    assert wait_until(lambda: path_of(mail).stat().st_size == len(body), 5 * SLOW)


@pytest.mark.tsan
def test_a_server_that_names_the_message_last(mini, mount_mini):
    """Its literals cannot be handed on while they come, so it is not asked for so much."""
    body = mini.box('INBOX').mails[0].data
    honest = mini.fetch_rows
    mini.fetch_rows = lambda session, seq, mail, pairs: honest(session, seq, mail, pairs[::-1])
    mail = mount_mini(mini, 'names=uid')
    assert mail.names() == ['1.eml']
    assert sha(Reader(path_of(mail)).rest()) == sha(body)
    assert not [c for c in mini.commands if is_stream(c)]


@pytest.mark.tsan
def test_unmounted_meanwhile(large):
    _, proxy, mail = large()
    reader = Reader(path_of(mail)).read(6 * MIB)
    assert reader.until(lambda: ahead(mail) >= HELD)
    reader.close()
    assert mail.unmount() == 0
    assert wait_until(lambda: proxy.open == 0, 5 * SLOW)


@pytest.mark.tsan
def test_interrupted(large, tmp_path):
    """Ctrl-C while nothing comes any more; the next one reads on."""
    body, proxy, mail = large()
    with open(tmp_path / 'out', 'wb') as out:
        proxy.rate = 20_000_000
        process = subprocess.Popen(['cat', str(path_of(mail))], stdout=out)
        try:
            assert wait_until(lambda: streams(proxy), 20 * SLOW)
            proxy.stall()
            process.send_signal(signal.SIGINT)
            assert process.wait(10 * SLOW) == -signal.SIGINT
        finally:
            process.kill()
            process.wait()
            proxy.rate = None
            proxy.resume()
    assert body.startswith((tmp_path / 'out').read_bytes())
    assert sha(Reader(path_of(mail)).rest()) == sha(body)
