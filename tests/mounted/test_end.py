"""The mount ends at the wrong moment: killed, told to end, unmounted; and two of them at once."""

import errno
import hashlib
import os
import signal
import subprocess
import threading

import pytest

import messages
from messages import message
from mount import SLOW, mount_entry, refused, run
from server import wait_until

SOON = 10 * SLOW
LACKS = {'MOVE': [], 'UIDPLUS': ['MOVE'], 'neither': ['MOVE', 'UIDPLUS']}


def call(function, *args):
    """0 or the errno."""
    try:
        function(*args)
    except OSError as error:
        return error.errno
    return 0


# ---- SIGKILL -------------------------------------------------------------------------------------


@pytest.mark.parametrize('when', ['before', 'reply'])
@pytest.mark.parametrize('kind, command, deed', [
    ('MOVE', 'UID MOVE', 'mv'), ('UIDPLUS', 'UID COPY', 'mv'), ('UIDPLUS', 'UID STORE', 'mv'),
    ('UIDPLUS', 'UID EXPUNGE', 'mv'), ('neither', 'UID COPY', 'mv'), ('neither', 'UID STORE', 'mv'),
    ('neither', 'EXPUNGE', 'mv'), ('MOVE', 'UID STORE', 'rm'), ('MOVE', 'UID EXPUNGE', 'rm'),
    ('neither', 'EXPUNGE', 'rm'), ('MOVE', 'CREATE', 'mkdir'), ('MOVE', 'RENAME', 'rename'),
    ('MOVE', 'DELETE', 'rmdir')])
def test_killed_in_the_middle(make_server, make_account, make_proxy, make_mount, kind, command, deed,
                              when):
    """Nothing is half done that the next mount does not show; the dead mount is recognised."""
    account = make_account(make_server(without=LACKS[kind]))
    account.fill('INBOX', messages.messages(5))
    account.fill('Other', messages.messages(2, first=20))
    account.fill('Empty', [])
    proxy = make_proxy(account.server, record=True)
    mail = make_mount(account, 'names=uid', 'timeout=5', tls='no', port=proxy.port,
                      expect_status=-signal.SIGKILL)
    assert len(mail.names('INBOX')) == 5 and len(mail.names('Other')) == 2
    proxy.cut_at(rf'^\S+ {command}\b', when, mail.process.kill)
    code = {'mv': lambda: call(os.rename, mail / 'INBOX/3.eml', mail / 'Other/3.eml'),
            'rm': lambda: call(os.unlink, mail / 'INBOX/3.eml'),
            'mkdir': lambda: call(os.mkdir, mail / 'New'),
            'rename': lambda: call(os.rename, mail / 'Other', mail / 'New'),
            'rmdir': lambda: call(os.rmdir, mail / 'Empty')}[deed]()
    assert not proxy.cut_at_pending(), f'{command} was never sent'
    assert code in (errno.ECONNABORTED, errno.ENOTCONN), os.strerror(code)
    assert mail.wait() == -signal.SIGKILL

    # What the user sees then, and what helps.
    with refused(errno.ENOTCONN):
        os.listdir(mail.path)
    source = f'imap://{account.user}@localhost:{account.server.port}'
    options = f'passfile={account.passfile},tls=no'
    done = run(['-o', options, source, str(mail.path)], mail.path.parent)
    assert done.returncode == 1
    assert f'fusermount3 -u {mail.path}' in done.stderr and len(done.stderr.splitlines()) == 1
    subprocess.run(['fusermount3', '-u', str(mail.path)], check=True, timeout=20)

    again = make_mount(account, 'names=uid', tls='no', path=mail.path)
    shown = {folder: [(again / folder / name).read_bytes() for name in again.names(folder)]
             for folder in {'INBOX', 'Other', 'Empty', 'New'} & set(os.listdir(again.path))}
    where = [folder for folder, bodies in shown.items() if message(3).data in bodies]
    if deed == 'mv':
        assert where in (['INBOX'], ['Other'], ['INBOX', 'Other'], ['Other', 'INBOX'])
        assert len(where) == 1 or kind != 'MOVE'
    else:
        assert where == ['INBOX'] or deed == 'rm' and where == []
    assert sum(len(bodies) for bodies in shown.values()) == 6 + len(where)
    assert {'mkdir': len(shown) in (3, 4), 'rmdir': len(shown) in (2, 3)}.get(deed, len(shown) == 3)
    # And it can be gone on with.
    if where == ['INBOX'] and 'Empty' in shown:
        os.rename(again / 'INBOX/3.eml', again / 'Empty/3.eml')
        assert (again / 'Empty/3.eml').read_bytes() == message(3).data
    assert again.unmount() == 0


# ---- told to end while something is under way ----------------------------------------------------


@pytest.mark.parametrize('deed', ['mv', 'rm'])
def test_sigterm_with_a_change_under_way(account, make_proxy, make_mount, deed):
    """The change is answered, and the answer is true; then the daemon ends as it should."""
    account.fill('INBOX', messages.messages(5))
    account.fill('Other', [])
    proxy = make_proxy(account.server, record=True)
    mail = make_mount(account, 'names=uid', 'timeout=5', tls='no', port=proxy.port)
    assert len(mail.names('INBOX')) == 5 and not mail.names('Other')
    proxy.delay = 0.3
    told = []
    changer = threading.Thread(target=lambda: told.append(
        call(os.rename, mail / 'INBOX/3.eml', mail / 'Other/3.eml') if deed == 'mv' else
        call(os.unlink, mail / 'INBOX/3.eml')))
    changer.start()
    proxy.wait_for('UID MOVE' if deed == 'mv' else 'UID STORE')
    mail.process.terminate()
    changer.join(30 * SLOW)
    assert not changer.is_alive()
    assert mail.wait() == 0
    assert mount_entry(mail.path) is None
    here = list(account.bodies('INBOX').values()).count(message(3).data)
    there = list(account.bodies('Other').values()).count(message(3).data)
    if deed == 'mv':
        assert here + there == 1
    if told[0] == 0:
        assert (here, there) == (0, 1 if deed == 'mv' else 0)


# ---- unmounted while somebody reads --------------------------------------------------------------


def test_unmount_while_reading(account, make_proxy, make_mount):
    """Refused as long as the file is open; with -z the reader gets every byte, and that ends it."""
    account.fill('INBOX', [message(1, 3_000_000)])
    body = account.body('INBOX', 1)
    proxy = make_proxy(account.server, record=True)
    mail = make_mount(account, 'names=uid', tls='no', port=proxy.port)
    digest = hashlib.sha256()
    with open(mail / 'INBOX/1.eml', 'rb', buffering=0) as held:
        digest.update(held.read(1000))
        busy = subprocess.run(['fusermount3', '-u', str(mail.path)], check=False,
                              capture_output=True, text=True, timeout=20)
        assert busy.returncode != 0 and 'busy' in busy.stderr
        subprocess.run(['fusermount3', '-u', '-z', str(mail.path)], check=True, timeout=20)
        assert mount_entry(mail.path) is None
        while data := held.read(100_000):
            digest.update(data)
        assert mail.process.poll() is None
    assert digest.digest() == hashlib.sha256(body).digest()
    assert mail.wait() == 0


# ---- two mounts of one account -------------------------------------------------------------------


def test_two_mounts(account, make_mount):
    """What one does the other shows by itself; what one took away the other does not find."""
    account.fill('INBOX', messages.messages(20))
    account.fill('Other', [])
    one, two = (make_mount(account, 'names=uid', 'timeout=5') for _ in range(2))
    assert len(one.names()) == len(two.names()) == 20
    assert one.names('Other') == two.names('Other') == []
    os.rename(one / 'INBOX/1.eml', one / 'Other/1.eml')
    assert call(os.rename, two / 'INBOX/1.eml', two / 'Other/again.eml') in (errno.ENOENT, 0)
    os.unlink(two / 'INBOX/2.eml')
    os.mkdir(two / 'New')
    assert wait_until(lambda: not (one / 'INBOX/2.eml').exists() and (one / 'New').is_dir(), SOON)
    assert wait_until(lambda: len(one.names('Other')) == len(two.names('Other')) == 1, SOON)
    # Both take from the same heap, each message goes to whoever comes first.
    got = {one: [], two: []}

    def take(mail):
        for uid in range(3, 21):
            if not call(os.rename, mail / f'INBOX/{uid}.eml', mail / f'New/{uid}.eml'):
                got[mail].append(uid)

    takers = [threading.Thread(target=take, args=(mail,)) for mail in (one, two)]
    for taker in takers:
        taker.start()
    for taker in takers:
        taker.join(60 * SLOW)
        assert not taker.is_alive()
    assert set(got[one]) | set(got[two]) == set(range(3, 21))
    for mail in (one, two):
        assert wait_until(lambda m=mail: m.names() == [], SOON)
    # Dovecot may carry out two MOVEs of one message that come at the same moment; none is lost.
    bodies = list(account.bodies('New').values())
    assert {hashlib.sha256(b).digest() for b in bodies} == {
        hashlib.sha256(message(n).data).digest() for n in range(3, 21)}
    assert wait_until(lambda: len(one.names('New')) == len(two.names('New')) == len(bodies), SOON)
