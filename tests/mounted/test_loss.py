"""The connection breaks, the server goes away and comes back: errors are honest, nothing hangs."""

import errno
import os
import subprocess
import time

import pytest

import messages
from messages import message
from mount import SLOW
from proxy import DOWN
from server import wait_until

pytestmark = pytest.mark.tsan

# What a server that is gone may be called (the contract), by kind of absence.
GONE = {errno.ENOTCONN, errno.EHOSTUNREACH, errno.ECONNREFUSED, errno.ETIMEDOUT}


def eventually(function, deadline=40):
    """Calls until it does not raise OSError any more; returns what it returned."""
    result = []

    def attempt():
        try:
            result.append(function())
        except OSError:
            return False
        return True

    assert wait_until(attempt, deadline * SLOW, interval=0.1), 'never came back'
    return result[0]


@pytest.fixture
def mailbox(account, make_proxy, make_mount):
    """(account, proxy on the plain port, mount) with some mail."""
    account.fill('INBOX', [message(1), message(2, 1_500_000), message(3), message(4), message(5)])
    account.fill('Other', messages.messages(2, first=20))
    proxy = make_proxy(account.server, record=True)
    mail = make_mount(account, 'names=uid', 'timeout=3', tls='no', port=proxy.port)
    assert mail.names() == [f'{n}.eml' for n in (1, 2, 3, 4, 5)]
    return account, proxy, mail


# ---- reading -------------------------------------------------------------------------------------


@pytest.mark.parametrize('after', [1, 100, 70_000, 700_000, 1_400_000])
def test_cut_in_the_middle_of_a_read(mailbox, after):
    account, proxy, mail = mailbox
    proxy.cut_after(DOWN, after)
    assert (mail / 'INBOX/2.eml').read_bytes() == account.body('INBOX', 2)
    assert not proxy.cut_pending(DOWN)


def test_cut_again_and_again(mailbox):
    account, proxy, mail = mailbox
    body = account.body('INBOX', 2)
    fd = os.open(mail / 'INBOX/2.eml', os.O_RDONLY)
    for start in range(0, len(body), 300_000):
        proxy.cut()
        assert eventually(lambda: os.pread(fd, 4096, start)) == body[start:start + 4096]
    os.close(fd)


def test_cut_in_the_middle_of_a_listing(account, make_proxy, make_mount):
    account.fill('INBOX', messages.messages(2000))
    proxy = make_proxy(account.server)
    mail = make_mount(account, 'names=uid', 'timeout=5', port=proxy.port)
    proxy.cut_after(DOWN, 60_000)
    assert len(eventually(mail.names)) == 2000
    assert not proxy.cut_pending(DOWN)


def test_split_into_single_bytes(account, make_proxy, make_mount):
    account.fill('INBOX', messages.messages(10))
    proxy = make_proxy(account.server, record=True, split=True)
    mail = make_mount(account, 'names=uid', tls='no', port=proxy.port)
    for uid in range(1, 11):
        assert (mail / f'INBOX/{uid}.eml').read_bytes() == message(uid).data


def test_server_gone_and_back(mailbox):
    account, proxy, mail = mailbox
    proxy.refuse()
    proxy.cut()
    began = time.monotonic()
    with pytest.raises(OSError) as error:
        (mail / 'INBOX/3.eml').read_bytes()
    assert error.value.errno in GONE, error.value
    assert time.monotonic() - began < 3 + 10 * SLOW  # the timeout option, and room
    proxy.accept()
    assert eventually((mail / 'INBOX/3.eml').read_bytes) == message(3).data
    assert (mail / 'Other/1.eml').read_bytes() == message(20).data


def test_server_stalls(mailbox):
    """The line is dead but nobody says so."""
    account, proxy, mail = mailbox
    proxy.stall()
    began = time.monotonic()
    with pytest.raises(OSError) as error:
        (mail / 'INBOX/3.eml').read_bytes()
    assert error.value.errno in GONE, error.value
    assert time.monotonic() - began < 3 * 3 + 10 * SLOW
    proxy.resume()
    assert eventually((mail / 'INBOX/3.eml').read_bytes) == message(3).data


def test_server_restarts(make_server, make_account, make_mount):
    account = make_account(make_server())
    account.fill('INBOX', [message(1), message(2, 300_000)])
    mail = make_mount(account, 'names=uid', 'timeout=3')
    assert mail.names() == ['1.eml', '2.eml']
    account.server.kill()
    account.server.launch()
    assert eventually((mail / 'INBOX/2.eml').read_bytes) == account.body('INBOX', 2)


def test_changes_while_the_server_is_gone_fail(mailbox):
    account, proxy, mail = mailbox
    proxy.refuse()
    proxy.cut()
    for change in (lambda: os.unlink(mail / 'INBOX/3.eml'),
                   lambda: os.rename(mail / 'INBOX/3.eml', mail / 'Other/3.eml'),
                   lambda: os.mkdir(mail / 'New'),
                   lambda: os.rename(mail / 'Other', mail / 'Another')):
        with pytest.raises(OSError) as error:
            change()
        assert error.value.errno in GONE, error.value
    proxy.accept()
    eventually(lambda: (mail / 'INBOX/3.eml').read_bytes())
    assert account.uids() == [1, 2, 3, 4, 5] and account.folders() == ['INBOX', 'Other']


def test_unmount_while_the_server_is_gone(mailbox):
    _, proxy, mail = mailbox
    proxy.refuse()
    proxy.cut()
    assert mail.unmount() == 0


def test_unmount_while_the_server_stalls(mailbox):
    _, proxy, mail = mailbox
    proxy.stall()
    assert mail.unmount() == 0
    proxy.resume()


# ---- changing ------------------------------------------------------------------------------------


def settled(account, mail, worked, source, target):
    """After a move that was cut: never lost, and what the mount said and shows is true."""
    bodies = {folder: list(account.bodies(folder).values()) for folder in ('INBOX', 'Other')}
    here = bodies['INBOX'].count(message(3).data)
    there = bodies['Other'].count(message(3).data)
    visible = 3 in account.uids('INBOX', 'UNDELETED')
    assert here + there >= 1, 'the message is lost'
    if worked:
        assert there == 1 and not visible
    else:
        assert here == 1 and visible, 'said that it failed, and moved it'
    assert there <= 1, 'copied twice'
    assert eventually(lambda: len(mail.names('INBOX'))) == (4 if worked else 5)
    assert wait_until(lambda: source.exists() == (not worked), 20 * SLOW)
    if worked:
        assert target.read_bytes() == message(3).data
    else:
        assert source.read_bytes() == message(3).data


@pytest.mark.parametrize('when', ['before', 'reply'])
@pytest.mark.parametrize('kind, command', [
    ('MOVE', 'UID MOVE'), ('UIDPLUS', 'UID COPY'), ('UIDPLUS', 'UID STORE'),
    ('UIDPLUS', 'UID EXPUNGE'), ('neither', 'UID COPY'), ('neither', 'UID STORE')])
def test_cut_in_the_middle_of_a_move(make_server, make_account, make_proxy, make_mount, kind,
                                     command, when):
    without = {'MOVE': [], 'UIDPLUS': ['MOVE'], 'neither': ['MOVE', 'UIDPLUS']}[kind]
    account = make_account(make_server(without=without))
    account.fill('INBOX', messages.messages(5))
    account.fill('Other', messages.messages(2, first=20))
    proxy = make_proxy(account.server, record=True)
    mail = make_mount(account, 'names=uid', 'timeout=5', tls='no', port=proxy.port)
    assert len(mail.names('INBOX')) == 5 and len(mail.names('Other')) == 2
    proxy.cut_at(rf'^\S+ {command} ', when)
    source, target = mail / 'INBOX/3.eml', mail / 'Other/3.eml'
    try:
        os.rename(source, target)
        worked = True
    except OSError:
        worked = False
    assert not proxy.cut_at_pending(), f'{command} was never sent'
    assert worked or command != 'UID COPY', 'the copy could have been looked for'
    settled(account, mail, worked, source, target)


@pytest.mark.parametrize('when', ['before', 'reply'])
@pytest.mark.parametrize('command', ['UID STORE', 'UID EXPUNGE'])
def test_cut_in_the_middle_of_a_delete(mailbox, command, when):
    account, proxy, mail = mailbox
    proxy.cut_at(rf'^\S+ {command} ', when)
    try:
        os.unlink(mail / 'INBOX/3.eml')
        worked = True
    except OSError:
        worked = False
    assert not proxy.cut_at_pending(), f'{command} was never sent'
    left = account.uids('INBOX', 'UNDELETED')
    assert left == ([1, 2, 4, 5] if worked else [1, 2, 3, 4, 5])
    assert eventually(mail.names) == [f'{uid}.eml' for uid in left]
    if worked:  # for good, not only hidden
        assert wait_until(lambda: account.uids('INBOX') == left, 20 * SLOW, interval=0.2)


@pytest.mark.parametrize('when', ['before', 'reply'])
@pytest.mark.parametrize('what', ['CREATE', 'DELETE', 'RENAME'])
def test_cut_in_the_middle_of_a_folder_change(mailbox, what, when):
    account, proxy, mail = mailbox
    account.fill('Empty', [])
    eventually(lambda: mail.names('Empty') and None if os.path.isdir(mail / 'Empty')
               else os.stat(mail / 'Empty'))
    change = {'CREATE': lambda: os.mkdir(mail / 'New'), 'DELETE': lambda: os.rmdir(mail / 'Empty'),
              'RENAME': lambda: os.rename(mail / 'Other', mail / 'Another')}[what]
    proxy.cut_at(rf'^\S+ {what} ', when)
    try:
        change()
        worked = True
    except OSError:
        worked = False
    assert not proxy.cut_at_pending(), f'{what} was never sent'
    folders = account.folders()
    done = {'CREATE': 'New' in folders, 'DELETE': 'Empty' not in folders,
            'RENAME': 'Another' in folders}[what]
    assert worked == done, folders
    assert wait_until(lambda: sorted(os.listdir(mail.path)) == folders, 30 * SLOW, interval=0.2)


# ---- while it is slow ----------------------------------------------------------------------------


def test_ls_does_not_wait_for_large_bodies(account, make_proxy, make_mount, sh):
    """Twenty cats of large messages through a slow line, and an ls that comes in between."""
    account.fill('INBOX', [message(n, 1_000_000) for n in range(1, 21)])
    account.fill('Small', messages.messages(50))
    bodies = account.bodies('INBOX')
    proxy = make_proxy(account.server, delay=0.01)
    mail = make_mount(account, 'names=uid', port=proxy.port)
    assert len(mail.names()) == 20
    proxy.rate = 1_500_000
    cats = [subprocess.Popen(['cat', str(mail / f'INBOX/{uid}.eml')], stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE) for uid in bodies]
    try:
        before = proxy.bytes[DOWN]
        assert wait_until(lambda: proxy.bytes[DOWN] - before > 500_000, 20 * SLOW)
        assert len(mail.names('Small')) == 50
        left = 20 * 1_000_000 - (proxy.bytes[DOWN] - before)
        assert left > 5_000_000, 'the ls waited for the bodies'
        assert (mail / 'Small/7.eml').read_bytes() == message(7).data
        assert 20 * 1_000_000 - (proxy.bytes[DOWN] - before) > 2_000_000, 'the read of a small one waited'
        proxy.rate = None
        for uid, cat in zip(bodies, cats):
            assert cat.communicate(timeout=40 * SLOW)[0] == bodies[uid]
            assert cat.returncode == 0
    finally:
        for cat in cats:
            cat.kill()
