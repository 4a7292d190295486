"""COMPRESS=DEFLATE (RFC 4978) against Dovecot's own: the same bytes, fewer of them on the way."""

import os
import re
import sys

import pytest

import messages
from messages import message
from mini import MiniServer
from mount import MountError, SLOW
from proxy import DOWN, UP, Proxy
from server import Dovecot, Message, wait_until

ZLIB = 'protocol imap {\n  mail_plugins = $mail_plugins imap_zlib\n}'
LARGE = 5_000_000


@pytest.fixture(scope='module')
def zlib_server(tmp_path_factory):
    """A Dovecot that offers compression, with a user for each test."""
    users = {f'user{n:02}': f'pass-{n}' for n in range(40)}
    dovecot = Dovecot(tmp_path_factory.mktemp('zlib'), users, extra=ZLIB, dies_with_parent=True)
    try:
        dovecot.start()
        yield dovecot
    finally:
        dovecot.clear()


_users = iter(range(40))


@pytest.fixture
def account(zlib_server, make_account):
    return make_account(zlib_server, f'user{next(_users):02}')


@pytest.fixture(params=['yes', 'no'], ids=['TLS', 'clear'])
def tls(request):
    return request.param


@pytest.fixture
def line(zlib_server):
    """line(tls) is a proxy that only counts and cuts; it reads nothing."""
    made = []

    def make(tls, **options):
        port = zlib_server.tls_port if tls == 'yes' else zlib_server.port
        made.append(Proxy(zlib_server.host, port, **options))
        made[-1].start()
        return made[-1]

    yield make
    for proxy in made:
        proxy.stop()


def status(mail):
    return (mail / '.imapfs/status').read_text()


def connections(mail):
    """The lines of those that are up."""
    return re.findall(r'^connection \d+: up, .*', status(mail), re.M)


def counted(mail, what):
    return int(re.search(rf'^bytes {what}: (\d+)$', status(mail), re.M).group(1))


# ---- everything works as without -----------------------------------------------------------------


def test_list_read_move_delete(account, make_mount, tls):
    account.fill('INBOX', messages.messages(300))
    account.fill('Other', messages.messages(2, first=900))
    mail = make_mount(account, 'names=uid', 'compress=yes', tls=tls)
    assert len(mail.names()) == 300
    for uid in range(1, 301, 7):
        assert (mail / f'INBOX/{uid}.eml').read_bytes() == message(uid).data
    up = connections(mail)
    assert up and all(', deflate, ' in one for one in up), up
    assert all((', no TLS, ' in one) == (tls == 'no') for one in up), up
    os.rename(mail / 'INBOX/5.eml', mail / 'Other/5.eml')
    os.unlink(mail / 'INBOX/6.eml')
    os.mkdir(mail / 'Läufer')
    assert (mail / 'Other/5.eml').read_bytes() == message(5).data
    assert len(mail.names()) == 298
    assert message(5).data in account.bodies('Other').values()
    assert not {5, 6} & set(account.uids())
    assert len(account.folders()) == 3


@pytest.mark.tsan
def test_large_message(account, make_mount, tls):
    """One that compresses well, and one that does not."""
    noise = Message(messages.raw('Noise', body=os.urandom(LARGE // 2).hex().encode()
                                          + b'\r\n'))
    account.fill('INBOX', [message(1, LARGE), noise])
    mail = make_mount(account, 'names=uid', 'compress=yes', tls=tls)
    assert (mail / 'INBOX/1.eml').read_bytes() == message(1, LARGE).data
    assert (mail / 'INBOX/2.eml').read_bytes() == noise.data
    assert counted(mail, 'received') < len(message(1, LARGE).data)
    with open(mail / 'INBOX/1.eml', 'rb') as file:
        file.seek(-100, os.SEEK_END)
        assert file.read() == message(1, LARGE).data[-100:]


def test_split_into_single_bytes(account, make_mount, line):
    account.fill('INBOX', messages.messages(10))
    proxy = line('no', split=True)
    mail = make_mount(account, 'names=uid', 'compress=yes', tls='no', port=proxy.port)
    for uid in range(1, 11):
        assert (mail / f'INBOX/{uid}.eml').read_bytes() == message(uid).data
    assert ', deflate, ' in connections(mail)[0]


def test_starttls(account, make_mount):
    account.fill('INBOX', messages.messages(3))
    mail = make_mount(account, 'names=uid', 'compress=yes', tls='starttls')
    assert (mail / 'INBOX/3.eml').read_bytes() == message(3).data
    assert re.search(r': up, TLSv1\.\d \S+, deflate, ', connections(mail)[0])


# ---- fewer bytes ---------------------------------------------------------------------------------


def test_fewer_bytes_on_the_wire(account, make_mount, line, tls):
    account.fill('INBOX', [message(n, 20_000) for n in range(1, 51)])
    used = {}
    for compress in ('yes', 'no'):
        proxy = line(tls)
        mail = make_mount(account, 'names=uid', f'compress={compress}', tls=tls, port=proxy.port)
        assert len(mail.names()) == 50
        for uid in range(1, 51):
            assert (mail / f'INBOX/{uid}.eml').read_bytes() == message(uid, 20_000).data
        told = counted(mail, 'received'), counted(mail, 'sent')
        assert mail.unmount() == 0
        used[compress] = proxy.bytes[DOWN], proxy.bytes[UP]
        # The status tells what travels, apart from what TLS adds to it and the goodbye.
        for mine, seen in zip(told, used[compress]):
            assert 0.6 * seen - 8000 < mine <= seen, (told, used)
    assert used['yes'][0] < used['no'][0] / 1.5, used


# ---- when it is not used -------------------------------------------------------------------------


@pytest.mark.parametrize('options', [[], ['compress=auto'], ['compress=no']])
def test_not_on_this_machine(account, make_mount, options):
    account.fill('INBOX', messages.messages(3))
    mail = make_mount(account, 'names=uid', *options)
    assert (mail / 'INBOX/3.eml').read_bytes() == message(3).data
    assert 'COMPRESS=DEFLATE' in status(mail) and 'deflate' not in connections(mail)[0]


def test_auto_through_a_tunnel(account, start_mount, zlib_server):
    """Nobody knows where a tunnel leads."""
    account.fill('INBOX', messages.messages(3))
    relay = ("import os,socket,sys,threading\n"
             "s=socket.create_connection((sys.argv[1],int(sys.argv[2])))\n"
             "def up():\n"
             " while (d:=os.read(0,65536)): s.sendall(d)\n"
             " s.shutdown(1)\n"
             "threading.Thread(target=up,daemon=True).start()\n"
             "while (d:=s.recv(65536)): os.write(1,d)\n")
    script = account.passfile.parent / 'relay.py'
    script.write_text(relay)
    mail = start_mount(f'imap://{account.user}@localhost', [
        f'passfile={account.passfile}', 'names=uid',
        f'tunnel=exec {sys.executable} {script} {zlib_server.host} {zlib_server.port}'])
    assert (mail / 'INBOX/3.eml').read_bytes() == message(3).data
    assert ': up, no TLS, deflate, ' in connections(mail)[0]


def test_not_offered(make_server, make_account, make_mount):
    account = make_account(make_server())
    account.fill('INBOX', messages.messages(3))
    mail = make_mount(account, 'names=uid', 'compress=yes')
    assert (mail / 'INBOX/3.eml').read_bytes() == message(3).data
    assert 'deflate' not in connections(mail)[0]


@pytest.mark.parametrize('answer', ['NO', 'BAD'])
def test_refused(mount_mini, answer):
    mini = MiniServer()
    mini.capabilities.append('COMPRESS=DEFLATE')
    mini.on['COMPRESS'] = lambda session, command: session.reply(
        '[COMPRESSIONACTIVE] not again', answer) or True
    mail = mount_mini(mini, 'compress=yes')
    assert mail.names('INBOX') is not None and 'COMPRESS' in mini.names()
    assert 'deflate' not in connections(mail)[0]


# ---- when it breaks ------------------------------------------------------------------------------


@pytest.mark.tsan
@pytest.mark.parametrize('after', [1, 1000, 30_000, 70_000])
def test_cut_in_the_middle(account, make_mount, line, tls, after):
    account.fill('INBOX', [message(1), message(2, 1_500_000)])
    body = message(2, 1_500_000).data
    proxy = line(tls)
    mail = make_mount(account, 'names=uid', 'compress=yes', 'timeout=5', tls=tls, port=proxy.port)
    assert mail.names() == ['1.eml', '2.eml']
    proxy.cut_after(DOWN, after)
    assert (mail / 'INBOX/2.eml').read_bytes() == body
    assert not proxy.cut_pending(DOWN)
    assert wait_until(lambda: all(', deflate, ' in one for one in connections(mail)), 5 * SLOW)
    assert (mail / 'INBOX/1.eml').read_bytes() == message(1).data


def test_bytes_that_are_no_deflate(mount_mini):
    """The server says OK and goes on in clear text: a clear word, and no hang."""
    def compress(session, command):
        session.reply('from here on')
        session.send(b'* OK in clear text\r\n')
        session.peer.stall()

    mini = MiniServer()
    mini.capabilities.append('COMPRESS=DEFLATE')
    mini.on['COMPRESS'] = compress
    with pytest.raises(MountError, match=r'sends what cannot be decompressed \(see compress=no\)'):
        mount_mini(mini, 'compress=yes', 'timeout=5', expect_status=None)


@pytest.mark.parametrize('value', ['', 'maybe', 'deflate', 'YES'])
def test_bad_value(account, make_mount, value):
    with pytest.raises(MountError, match='compress= is auto, yes or no'):
        make_mount(account, f'compress={value}', expect_status=None)
