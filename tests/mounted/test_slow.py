"""A slow line is no dead one: what counts is whether something moves, not how long it takes."""

import errno
import os
import threading
import time

import pytest

from messages import message
from mini import MiniServer, Session
from mount import SLOW, refused
from proxy import DOWN
from server import wait_until

pytestmark = pytest.mark.tsan


@pytest.fixture
def mini():
    """60 kB in INBOX, which are one window; a small message in Other."""
    server = MiniServer()
    server.box('INBOX').add(message(1, 60_000).data)
    server.box('Other').add(message(20).data)
    return server


def in_pieces(mini, begun, stall=False, seconds=4.0):
    """UID FETCH of the body, in 40 pieces; or only half of them."""
    def trickle(session, command):
        if b'BODY.PEEK[]' not in command.raw or session.box.name != 'INBOX':
            return None
        sent = []
        session.send, send = sent.append, session.send
        with mini.lock:
            session.execute(command)
        session.send = send
        data = b''.join(sent)
        step = len(data) // 40 + 1
        begun.set()
        for start in range(0, len(data), step):
            if stall and start > len(data) // 2:
                session.peer.stall()
            send(data[start:start + step])
            time.sleep(seconds / 40)  # the line
        return True

    mini.on['UID FETCH'] = trickle


def read_into(result, path):
    try:
        result.append(path.read_bytes())
    except OSError as error:
        result.append(error.errno)


@pytest.mark.parametrize('connections', [1, 2])
def test_who_waits_behind_a_slow_transfer(mini, mount_mini, connections):
    """Neither the reader nor who waits for the only connection runs into the timeout.

    With two, the server allows the mount only one: that the other one fails is no reason either.
    """
    taken = []

    def limited(peer):
        if taken:
            peer.drop()
        taken.append(peer)
        Session(mini, peer).run()

    begun = threading.Event()
    mini.handler = limited
    in_pieces(mini, begun)
    mail = mount_mini(mini, 'names=uid', 'timeout=1', f'connections={connections}')
    assert mail.names() == ['1.eml']
    result = []
    reader = threading.Thread(target=read_into, args=(result, mail / 'INBOX/1.eml'))
    reader.start()
    assert begun.wait(20 * SLOW)
    assert os.listdir(mail / 'Other') == ['1.eml']
    reader.join()
    assert result == [message(1, 60_000).data]


def test_stalled_in_the_middle(mini, mount_mini):
    begun = threading.Event()
    in_pieces(mini, begun, stall=True, seconds=0.4)
    mail = mount_mini(mini, 'names=uid', 'timeout=1')
    assert mail.names() == ['1.eml']
    with refused(errno.ETIMEDOUT):
        (mail / 'INBOX/1.eml').read_bytes()
    mini.on.clear()
    assert (mail / 'INBOX/1.eml').read_bytes() == message(1, 60_000).data


def test_large_body_on_a_slow_line(account, make_proxy, make_mount):
    """4 s for a body, with timeout=1, through TLS; then the same body stalls."""
    account.fill('INBOX', [message(1, 2_400_000), message(2, 2_400_000)])
    account.fill('Other', [message(20)])
    proxy = make_proxy(account.server)
    mail = make_mount(account, 'names=uid', 'timeout=1', 'connections=1', port=proxy.port)
    assert mail.names() == ['1.eml', '2.eml']
    proxy.rate = 600_000
    began, result = time.monotonic(), []
    reader = threading.Thread(target=read_into, args=(result, mail / 'INBOX/1.eml'))
    reader.start()
    assert os.listdir(mail / 'Other') == ['1.eml']
    reader.join()
    assert result == [account.body('INBOX', 1)]
    assert time.monotonic() - began > 3, 'the line was not slow'
    before = proxy.bytes[DOWN]
    reader = threading.Thread(target=read_into, args=(result, mail / 'INBOX/2.eml'))
    reader.start()
    assert wait_until(lambda: proxy.bytes[DOWN] - before > 500_000, 20 * SLOW)
    proxy.stall()
    reader.join()
    proxy.resume()
    assert result[1] == errno.ETIMEDOUT
