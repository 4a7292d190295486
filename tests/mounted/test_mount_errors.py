"""What is wrong at mount time is one clear line on stderr and exit status 1, with nothing mounted.

And where going on would tell a secret to the wrong one, nothing secret is sent.
"""

import os
import re
import ssl
import warnings
from pathlib import Path

import pytest

import messages
import mount as mounting
from conftest import write_password
from mini import MiniServer
from mount import mount_entry
from proxy import UP
from scripted import ScriptedServer, drop, expect, play, send, stall, starttls
from server import free_port

PASSWORD = 'wonderland'


@pytest.fixture
def fails(tmp_path, serve):
    """fails(pattern, source, options...): imapfs must refuse, and say so in words like those."""
    (tmp_path / 'mnt').mkdir()
    passfile = write_password(tmp_path / 'password', PASSWORD)

    def run(pattern, source, *options, mountpoint=None, password=True):
        given = ([f'passfile={passfile}'] if password else []) + list(options)
        point = mountpoint or tmp_path / 'mnt'
        arguments = ['-f', *(['-o', ','.join(given)] if given else []), source, str(point)]
        for background in (False, True):
            # With -f and without: the error must come before it goes to the background.
            done = mounting.run(arguments[background:], tmp_path)
            said = done.stderr.strip()
            assert done.returncode == 1, f'{done.returncode}: {done.stderr}'
            assert said and '\n' not in said, f'not one line: {done.stderr!r}'
            assert re.search(pattern, said, re.I), f'{said!r} does not say {pattern!r}'
            assert not re.search(r'[\0-\x1f\x7f]', said), repr(said)
            assert PASSWORD not in said
            if mountpoint is None:
                assert mount_entry(point) is None
        return said

    return run


@pytest.fixture
def tls(server, tmp_path):
    """The session's certificate authority, and the option that trusts it."""
    return server.authority, f'cafile={server.cafile}'


@pytest.fixture
def talk(serve, server):
    """talk(*steps, tls=(cert, key), implicit=...) starts a scripted server."""
    def start(*steps, tls=None, implicit=False):
        return serve(ScriptedServer(play(*steps), tls=tls, implicit_tls=implicit))
    return start


# ---- ordinary mistakes ---------------------------------------------------------------------------


def test_wrong_password(fails, server, tls):
    fails('password|authenticat|log ?in', f'imaps://user000@localhost:{server.tls_port}', tls[1])


def test_wrong_password_over_starttls(fails, server, tls):
    fails('password|authenticat|log ?in', f'imap://user000@localhost:{server.port}', tls[1])


def test_refused_connection(fails):
    fails('refused', f'imaps://alice@127.0.0.1:{free_port()}')


def test_unknown_host(fails):
    fails('not known|unknown|resol|no address|no such host|name', 'imaps://alice@no-such-host.invalid')


def test_missing_mount_point(fails, server, tls, tmp_path):
    fails('nowhere.*(no such|missing|exist)|(no such|missing|exist).*nowhere',
          f'imaps://user000@localhost:{server.tls_port}', tls[1], mountpoint=tmp_path / 'nowhere')


def test_mount_point_that_is_a_file(fails, server, tls, tmp_path):
    (tmp_path / 'file').write_text('x')
    fails('directory', f'imaps://user000@localhost:{server.tls_port}', tls[1],
          mountpoint=tmp_path / 'file')


def test_mount_point_that_is_not_empty(fails, account, mount, tmp_path):
    """What is in it would be hidden, which is done only when it is spelled out."""
    account.fill('INBOX', messages.messages(1))
    point = tmp_path / 'full'
    point.mkdir()
    (point / '.hidden').write_text('kept')
    fails('not empty.*-o nonempty', f'imaps://{account.user}@localhost:{account.server.tls_port}',
          f'passfile={account.passfile}', f'cafile={account.server.cafile}',
          mountpoint=point, password=False)
    mail = mount('nonempty', path=point)
    assert len(mail.names()) == 1 and not (point / '.hidden').exists()
    assert mail.unmount() == 0
    assert (point / '.hidden').read_text() == 'kept'


def test_options_of_mount(account, mount):
    """What mount(8) and fstab say to others is no mistake; of what is lost here a word is said."""
    account.fill('INBOX', messages.messages(1))
    mail = mount('_netdev', 'noauto', 'nofail', 'user', 'defaults', 'comment=mine', 'relatime',
                 'x-gvfs-show', 'x-systemd.automount', 'X-mount.mkdir')
    assert len(mail.names()) == 1
    told = [line for line in mail.log().splitlines() if 'no effect' in line]
    assert [line.split()[1] for line in told] == [
        'x-gvfs-show', 'x-systemd.automount', 'X-mount.mkdir'], mail.log()


def test_busy_mount_point(fails, account, mount):
    account.fill('INBOX', messages.messages(1))
    mail = mount()
    fails('mount|busy|use', f'imaps://{account.user}@localhost:{account.server.tls_port}',
          f'passfile={account.passfile}', f'cafile={account.server.cafile}',
          mountpoint=mail.path, password=False)
    assert mail.names() and len([e for e in mounting.mount_entries_below(mail.path)]) == 1


def test_no_password_source(fails, server, tls):
    fails('password', f'imaps://user000@localhost:{server.tls_port}', tls[1], password=False)


def test_missing_passfile(fails, server, tls, tmp_path):
    fails('absent', f'imaps://user000@localhost:{server.tls_port}', tls[1],
          f'passfile={tmp_path}/absent', password=False)


def test_empty_passfile(fails, server, tls, tmp_path):
    (tmp_path / 'empty').touch(mode=0o600)
    fails('password|empty', f'imaps://user000@localhost:{server.tls_port}', tls[1],
          f'passfile={tmp_path}/empty', password=False)


def test_missing_cafile(fails, server, tmp_path):
    fails('absent|certificate', f'imaps://user000@localhost:{server.tls_port}',
          f'cafile={tmp_path}/absent.pem')


@pytest.mark.parametrize('source', [
    'imaps://', 'http://alice@localhost', 'imaps://alice@', 'imaps://alice@localhost:0',
    'imaps://alice@localhost:99999', 'imaps://alice@localhost:x', 'imaps://alice@loc alhost',
    'imaps://alice@localhost/%0d%0aA1', 'imaps://alice@[::1'])
def test_bad_source(fails, source):
    fails('.', source)


@pytest.mark.parametrize('option', ['nosuchoption=1', 'timeout=x', 'connections=0', 'names=nice',
                                    'tls=maybe', 'fingerprint=sha256:zz'])
def test_bad_option(fails, server, option):
    fails(option.split('=')[0], f'imaps://user000@localhost:{server.tls_port}', option)


@pytest.mark.parametrize('arguments', [[], ['imaps://alice@localhost'], ['-f']])
def test_usage(tmp_path, arguments):
    done = mounting.run(arguments, tmp_path)
    assert done.returncode in (1, 2) and done.stderr


def test_help_and_version(tmp_path):
    done = mounting.run(['-h'], tmp_path)
    assert done.returncode == 0 and 'passfile' in done.stdout + done.stderr
    done = mounting.run(['-V'], tmp_path)
    assert done.returncode == 0 and 'imapfs' in done.stdout + done.stderr


# ---- certificates --------------------------------------------------------------------------------


CERTIFICATES = [
    ('expired', {'expired': True}, 'localhost', 'expired'),
    ('otherhost', {'hosts': ['DNS:mail.example.org']}, 'localhost', 'host ?name|match'),
    ('otherip', {'hosts': ['DNS:localhost']}, '127.0.0.1', 'IP|host ?name|match'),
    ('nameless', {'nameless': True}, 'localhost', 'no subjectAltName.*fingerprint='),
    ('namelessip', {'nameless': True, 'hosts': ['IP:127.0.0.1']}, '127.0.0.1',
     'no subjectAltName.*fingerprint='),
    ('selfsigned', {'self_signed': True}, 'localhost', 'self[- ]signed'),
]


@pytest.mark.parametrize('scheme', ['imaps', 'imap'])
@pytest.mark.parametrize('name, options, host, pattern', CERTIFICATES, ids=lambda v: str(v)[:12])
def test_bad_certificate(fails, talk, tls, scheme, name, options, host, pattern):
    authority, cafile = tls
    pair = authority.issue(f'{name}', **options)
    if scheme == 'imaps':
        server = talk(send(b'* OK hi\r\n'), expect('NOTHING'), tls=pair, implicit=True)
    else:
        server = talk(*START, starttls(), expect('NOTHING'), tls=pair)
    fails(pattern, f'{scheme}://alice@{host}:{server.port}', cafile)
    assert not server.errors  # not a line was sent to a stranger


def test_tls_below_1_2(fails, serve, server, tls):
    """RFC 8996: refused, whatever the certificate."""
    mini = MiniServer(tls=server.authority.issue(), implicit_tls=True)
    mini.tls_context.set_ciphers('ALL:@SECLEVEL=0')
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', DeprecationWarning)
        mini.tls_context.minimum_version = ssl.TLSVersion.TLSv1
        mini.tls_context.maximum_version = ssl.TLSVersion.TLSv1_1
    serve(mini)
    fails('TLS.*(version|protocol)', f'imaps://alice@localhost:{mini.port}', tls[1])
    assert not mini.commands


def test_unknown_authority(fails, server):
    """The system's authorities do not know ours."""
    fails('issuer|authority|self[- ]signed|verif', f'imaps://user000@localhost:{server.tls_port}')


def test_no_tls_where_tls_was_expected(fails, server, tls):
    fails('TLS|SSL', f'imaps://user000@localhost:{server.port}', tls[1], 'timeout=3')


def test_tls_where_none_was_expected(fails, server, tls):
    for options in ((), ('tls=no',)):
        fails(r'no answer .* \(is this the port for imaps://\?\)',
              f'imap://user000@localhost:{server.tls_port}', tls[1], 'timeout=1', *options)


def test_half_a_greeting_is_no_tls(fails, talk):
    server = talk(send(b'* OK'), stall())
    said = fails('no answer', f'imap://alice@127.0.0.1:{server.port}', 'tls=no', 'timeout=1')
    assert 'imaps' not in said


# ---- STARTTLS and the time before it -------------------------------------------------------------


CAPABILITY = b'* CAPABILITY IMAP4rev1 AUTH=PLAIN%s\r\n$TAG OK done\r\n'
# Whether the client asks for the capabilities when the greeting told them is its own affair, so
# the greeting does not; then it must ask.
START = (send(b'* OK hi\r\n'), expect('CAPABILITY'), send(CAPABILITY % b' STARTTLS'),
         expect('STARTTLS'), send(b'$TAG OK begin\r\n'))

BEFORE_TLS = {
    'no STARTTLS': ('STARTTLS', [send(b'* OK hi\r\n'), expect('CAPABILITY'), send(CAPABILITY % b'')]),
    'PREAUTH': ('PREAUTH', [send(b'* PREAUTH welcome\r\n')]),
    'STARTTLS says NO': ('STARTTLS|TLS', [*START[:-1], send(b'$TAG NO not now\r\n')]),
    'STARTTLS says BAD': ('STARTTLS|TLS', [*START[:-1], send(b'$TAG BAD what\r\n')]),
    'STARTTLS says +': ('STARTTLS|TLS|unexpected|protocol', [*START[:-1], send(b'+ go on\r\n')]),
    'bytes after the OK': ('STARTTLS|TLS', [
        *START[:-1], send(b'$TAG OK begin\r\n* CAPABILITY IMAP4rev1 AUTH=LOGIN\r\n')]),
    'silence after the OK': ('time|TLS|no answer', [*START]),
    'a greeting that is none': ('.', [send(b'HTTP/1.1 400 Bad Request\r\n\r\n')]),
    'BYE': ('closed for lunch', [send(b'* BYE closed for lunch\r\n')]),
    'nothing': ('close|connection|lost|end', [drop()]),
    'an answer to nothing': ('.', [send(b'* OK hi\r\na1 OK done\r\nA0001 OK done\r\n')]),
    'a line without end': ('.', [send(b'* OK ' + b'x' * 3_000_000)]),
    'a literal of 4 GB': ('.', [send(b'* OK hi\r\n* LIST () "/" {4294967296}\r\n')]),
    'silence': ('time|no answer', []),
}


@pytest.mark.parametrize('case', BEFORE_TLS)
def test_before_tls(fails, talk, tls, server, case):
    pattern, steps = BEFORE_TLS[case]
    peer = talk(*steps, nothing_secret, stall(), tls=server.authority.issue())
    fails(pattern, f'imap://alice@localhost:{peer.port}', tls[1], 'timeout=2')


def nothing_secret(peer):
    """Reads what else the client says before it leaves; a login is a failure of the test."""
    from scripted import Dropped
    while True:
        try:
            line = peer.recv_line()
        except Dropped:
            return
        assert not re.search(rb' (LOGIN|AUTHENTICATE)', line, re.I), line


def test_login_disabled(fails, serve, server, tls):
    """LOGINDISABLED and no mechanism that we have: refused without sending the password."""
    mini = MiniServer(tls=server.authority.issue(), implicit_tls=True)
    mini.capabilities = ['IMAP4rev1', 'LOGINDISABLED', 'AUTH=XNONE']
    serve(mini)
    fails('login|authenticat|mechanism', f'imaps://alice@localhost:{mini.port}', tls[1])
    assert not {'LOGIN', 'AUTHENTICATE'} & set(mini.names())


def test_login_refused_says_why(fails, serve, server, tls):
    mini = MiniServer(tls=server.authority.issue(), implicit_tls=True)
    text = 'Your account \x1b[31mexpired\x07 yesterday'
    mini.on['LOGIN'] = mini.on['AUTHENTICATE'] = lambda session, command: session.reply(
        f'[AUTHENTICATIONFAILED] {text}', 'NO') or True
    serve(mini)
    said = fails('yesterday', f'imaps://alice@localhost:{mini.port}', tls[1])
    assert '\x1b' not in said and '\x07' not in said
    # Twice by this test, but never repeated by the program itself.
    assert sum(name in ('LOGIN', 'AUTHENTICATE') for name in mini.names()) == 2


def test_clear_text_only_when_spelled_out(fails, server, make_proxy, tls):
    """imap:// alone means STARTTLS: no LOGIN in clear, even where the server would take it."""
    proxy = make_proxy(server, record=True)
    fails('certificate|verif|self[- ]signed|issuer', f'imap://user000@localhost:{proxy.port}')
    assert 'LOGIN' not in proxy.names() and 'AUTHENTICATE' not in proxy.names()
    assert proxy.bytes[UP] > 0


def test_stays_silent_for_ever(fails, talk):
    """Accepts and says nothing: the deadline is the timeout option's."""
    server = talk(stall())
    fails('time|no answer', f'imap://alice@127.0.0.1:{server.port}', 'tls=no', 'timeout=1')


def test_nothing_is_left_after_a_refusal(server, tmp_path):
    passfile = write_password(tmp_path / 'password', 'wrong')
    before = set(os.listdir('/proc'))
    (tmp_path / 'mnt').mkdir()
    mounting.run(['-o', f'passfile={passfile},cafile={server.cafile}',
                  f'imaps://user000@localhost:{server.tls_port}', str(tmp_path / 'mnt')], tmp_path)
    for pid in set(os.listdir('/proc')) - before:
        if pid.isdigit():
            try:
                assert os.fsencode(tmp_path) not in Path(f'/proc/{pid}/cmdline').read_bytes()
            except OSError:
                pass
