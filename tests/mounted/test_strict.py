"""What a server may not do to the login: what it says before TLS, how it uses SCRAM, what it echoes.

The scripted servers here are those of an attacker on the line, or of nobody's ill will.
"""

import base64
import contextlib
import ctypes
import errno
import hashlib
import hmac
import json
import os
import re
import signal
import subprocess

import pytest

import mount as mounting
from conftest import write_password
from messages import message
from mini import MiniServer, text
from mount import SLOW, mount_entry
from server import wait_until

PASSWORD = 'wonderland "by" night'


def mini_server(**kwargs):
    """A server with two folders of one message each; the password needs quoting."""
    server = MiniServer(**kwargs)
    server.users['alice'] = PASSWORD
    for folder in ('INBOX', 'Other'):
        server.box(folder).add(message(1).data)
    return server


@pytest.fixture
def mini():
    return mini_server()


@pytest.fixture
def refuses(tmp_path, serve):
    """refuses(mini, options...): imapfs must not mount; what it says."""
    passfile = write_password(tmp_path / 'password', PASSWORD)
    (tmp_path / 'mnt').mkdir()

    def run(mini, *options, debug=False, password=True):
        serve(mini)
        given = ','.join([*([f'passfile={passfile}'] if password else []), 'tls=no', *options])
        done = mounting.run(['-d' if debug else '-f', '-o', given,
                             f'imap://alice@{mini.host}:{mini.port}', str(tmp_path / 'mnt')],
                            tmp_path)
        assert done.returncode == 1 and mount_entry(tmp_path / 'mnt') is None
        return done.stderr

    yield run
    if mount_entry(tmp_path / 'mnt'):
        subprocess.run(['fusermount3', '-u', '-z', str(tmp_path / 'mnt')], check=False, timeout=30)


# ---- before TLS ----------------------------------------------------------------------------------


def test_nothing_said_before_tls_is_kept(server, serve, start_mount, tmp_path):
    """ENABLED, NAMESPACE and capabilities from whoever is on the line (CVE-2021-29969 and its kin)."""
    mini = mini_server(tls=server.authority.issue())
    mini.capabilities = ['IMAP4rev1', 'UIDPLUS', 'AUTH=PLAIN', 'CONDSTORE', 'NAMESPACE']

    def before_tls(session, _command):
        session.send(b'* ENABLED QRESYNC CONDSTORE\r\n* NAMESPACE (("Evil/" "/")) NIL NIL\r\n'
                     b'* CAPABILITY IMAP4rev1 STARTTLS QRESYNC NOTIFY MOVE AUTH=LOGIN\r\n'
                     b'* OK [NOTIFICATIONOVERFLOW] x\r\n')

    def select(session, command):
        session.send(b'* OK [HIGHESTMODSEQ 77] x\r\n')
        if len(command.args) > 1 and 'QRESYNC' in repr(command.args[1]):
            session.reply('QRESYNC was not enabled', 'BAD')
            return True
        return None

    mini.on['STARTTLS'] = before_tls
    mini.on['SELECT'] = mini.on['EXAMINE'] = select
    serve(mini)
    passfile = write_password(tmp_path / 'password', PASSWORD)
    mail = start_mount(f'imap://alice@localhost:{mini.port}',
                       [f'passfile={passfile}', f'cafile={server.cafile}', 'connections=1'])
    selects = []

    def both_twice():
        for folder in ('INBOX', 'Other'):
            assert len(mail.names(folder)) == 1
        selects[:] = [c for c in mini.commands if c.name in ('SELECT', 'EXAMINE')]
        return len(selects) >= 4  # the later ones know what was there before

    assert wait_until(both_twice, 30 * SLOW)
    assert 'STARTTLS' in mini.names()
    assert not [c for c in selects if b'QRESYNC' in c.raw], selects
    assert mini.names().count('CAPABILITY') >= 2
    assert {'INBOX', 'Other'} <= set(os.listdir(mail.path))


def test_bye_to_starttls_is_one_line(server, serve, tmp_path):
    mini = mini_server(tls=server.authority.issue())

    def bye(session, _command):
        session.send(b'* BYE come back later\r\n')
        session.peer.drop()

    mini.on['STARTTLS'] = bye
    serve(mini)
    passfile = write_password(tmp_path / 'password', PASSWORD)
    (tmp_path / 'mnt').mkdir()
    for background in (False, True):
        done = mounting.run(['-f', '-o', f'passfile={passfile},cafile={server.cafile}',
                             f'imap://alice@localhost:{mini.port}',
                             str(tmp_path / 'mnt')][background:], tmp_path)
        assert done.returncode == 1
        assert re.fullmatch(r'imapfs: .*STARTTLS: come back later\n', done.stderr), done.stderr


# ---- SCRAM ---------------------------------------------------------------------------------------


class Scram:
    """An AUTHENTICATE SCRAM-SHA-256 of a server that knows the password (RFC 5802, RFC 7677)."""

    def __init__(self, rounds, password=PASSWORD):
        self.rounds = rounds
        self.password = password
        self.signed = True
        self.tries = 0

    def __call__(self, session, command):
        self.tries += 1
        if command.args[1:]:
            first = base64.b64decode(text(command.args[1])).decode()
        else:
            session.send(b'+ \r\n')
            first = base64.b64decode(session.peer.recv_line()).decode()
        bare = first.split(',', 2)[2]
        nonce = re.search(r'r=([^,]*)', bare).group(1) + 'server'
        challenge = f'r={nonce},s={base64.b64encode(b"salt").decode()},i={self.rounds}'
        session.send(b'+ %s\r\n' % base64.b64encode(challenge.encode()))
        final = base64.b64decode(session.peer.recv_line()).decode()
        without, _, proof = final.rpartition(',p=')
        salted = hashlib.pbkdf2_hmac('sha256', self.password.encode(), b'salt', self.rounds)
        client = hmac.digest(salted, b'Client Key', 'sha256')
        whole = f'{bare},{challenge},{without}'.encode()
        signature = hmac.digest(hashlib.sha256(client).digest(), whole, 'sha256')
        if bytes(a ^ b for a, b in zip(client, signature)) != base64.b64decode(proof):
            session.reply('[AUTHENTICATIONFAILED] wrong', 'NO')
            return True
        server = hmac.digest(hmac.digest(salted, b'Server Key', 'sha256'), whole, 'sha256')
        session.send(b'+ %s\r\n' % base64.b64encode(b'v=' + base64.b64encode(server)))
        session.peer.recv_line()
        session.user = 'alice'
        session.reply('in')
        return True


def scram(mini, rounds, **kwargs):
    mini.capabilities = ['IMAP4rev1', 'UIDPLUS', 'SASL-IR', 'AUTH=PLAIN', 'AUTH=SCRAM-SHA-256']
    mini.on['AUTHENTICATE'] = Scram(rounds, **kwargs)
    return mini.on['AUTHENTICATE']


@pytest.mark.parametrize('rounds', [1, 4096, 60_000, 600_000])
def test_scram_with_many_rounds(mini, mount_mini, rounds):
    scram(mini, rounds)
    assert len(mount_mini(mini, 'connections=1').names()) == 1


def test_scram_with_endless_rounds(mini, refuses):
    """Without a limit the mount would be busy for half an hour."""
    peer = scram(mini, 2_000_000_000)
    assert 'more than 10000000 rounds' in refuses(mini)
    assert peer.tries == 1 and 'LOGIN' not in mini.names()


def test_scram_that_takes_too_long(mini, refuses):
    scram(mini, 10_000_000)
    assert 'longer than the login may' in refuses(mini, 'timeout=1')


def test_scram_without_secrets(mini, refuses, mount_mini):
    """mailutils offers it and has none: once is enough, and the user is told what to do."""
    mini.capabilities = ['IMAP4rev1', 'UIDPLUS', 'AUTH=PLAIN', 'AUTH=SCRAM-SHA-256']

    def authenticate(session, command):
        if text(command.args[0]) == 'PLAIN':
            return None
        session.reply('Authentication failed', 'NO')
        return True

    mini.on['AUTHENTICATE'] = authenticate
    said = refuses(mini)
    assert '-o auth=PLAIN' in said and said.count('\n') == 1
    assert mini.names().count('AUTHENTICATE') == 1 and 'LOGIN' not in mini.names()


def test_what_the_hint_says_works(mini, mount_mini):
    mini.capabilities = ['IMAP4rev1', 'UIDPLUS', 'AUTH=PLAIN', 'AUTH=SCRAM-SHA-256']
    assert len(mount_mini(mini, 'auth=PLAIN').names()) == 1


def test_no_password_after_bad_to_scram(mini, refuses):
    mini.capabilities = ['IMAP4rev1', 'UIDPLUS', 'AUTH=PLAIN', 'AUTH=SCRAM-SHA-256']
    mini.on['AUTHENTICATE'] = lambda session, command: session.reply('what?', 'BAD') or True
    refuses(mini)
    assert 'LOGIN' not in mini.names()
    assert not [c for c in mini.commands if b'PLAIN' in c.raw]


# ---- what a server repeats -----------------------------------------------------------------------


def said(mail):
    """All that a user or a log can see of it."""
    return mail.log() + (mail / '.imapfs/status').read_text()


def forms():
    """What the login is made of, as a server may repeat it."""
    escaped = PASSWORD.replace('\\', '\\\\').replace('"', '\\"')
    yield from (PASSWORD, escaped)
    for plain in (PASSWORD, f'\0alice\0{PASSWORD}', f'alice\0alice\0{PASSWORD}'):
        yield base64.b64encode(plain.encode()).decode().rstrip('=')


def assert_secret(seen, sent):
    assert 'repeats:' in seen, 'nothing of it was seen: this test tests nothing'
    for form in (*forms(), *(line.decode('latin-1') for line in sent)):
        # Cut where the server cuts it, too: no half of it is seen.
        assert form not in seen and form[:len(form) // 2 + 1] not in seen, form


class Parrot:
    """Repeats what it heard during the login, in each kind of answer, and lets nobody in."""

    def __init__(self, how):
        self.how = how
        self.heard = []

    def __call__(self, session, command):
        heard = [b' '.join(command.raw.split(b' ')[2:])] if command.name == 'LOGIN' else []
        if command.name == 'AUTHENTICATE':
            if not command.args[1:]:
                session.send(b'+ \r\n')
            heard.append(text(command.args[1]).encode() if command.args[1:] else
                         session.peer.recv_line())
            if text(command.args[0]) != 'PLAIN':
                nonce = base64.b64decode(heard[0]).rpartition(b'r=')[2]
                session.send(b'+ ' + base64.b64encode(b'r=%ss,s=c2FsdA==,i=1' % nonce) + b'\r\n')
                heard.append(session.peer.recv_line())
        self.heard += heard
        words = f'repeats: {command.raw.decode("latin-1")} {PASSWORD}'.encode('latin-1')
        words += b''.join(b' ' + line for line in heard)
        for line in (self.how if isinstance(self.how, list) else [self.how]):
            session.send(line.replace(b'WORDS', words).replace(b'CUT', words[:-5]))
        if b'BYE' in line:
            session.peer.drop()
        return True


ANSWERS = {
    'NO': b'$TAG NO WORDS\r\n', 'BAD': b'$TAG BAD WORDS\r\n', 'BYE': b'* BYE WORDS\r\n',
    'cut': b'$TAG NO CUT\r\n',
    'alert': [b'* OK [ALERT] WORDS\r\n', b'* NO [ALERT] WORDS\r\n', b'$TAG NO repeats: no\r\n'],
    'nonsense': [b'* LIST (((WORDS\r\n', b'* CAPABILITY IMAP4rev1 WORDS\r\n',
                 b'$TAG NO repeats: no\r\n'],
    'a long line': b'$TAG NO ' + b'x' * 590 + b' repeats: WORDS\r\n',
}


@pytest.mark.parametrize('answer', ANSWERS)
@pytest.mark.parametrize('mechanism', ['LOGIN', 'PLAIN', 'SCRAM-SHA-256'])
@pytest.mark.parametrize('debug', [False, True], ids=['log', 'debug'])
def test_a_server_that_repeats_the_login(mini, refuses, mechanism, answer, debug):
    mini.capabilities = ['IMAP4rev1', 'UIDPLUS', 'SASL-IR', 'AUTH=PLAIN', 'AUTH=SCRAM-SHA-256']
    parrot = mini.on['LOGIN'] = mini.on['AUTHENTICATE'] = Parrot(ANSWERS[answer])
    seen = refuses(mini, f'auth={mechanism}', debug=debug)
    assert '[secret]' in seen or answer in ('alert', 'nonsense')
    assert_secret(seen, parrot.heard)


def test_a_server_that_repeats_the_login_later(mini, mount_mini):
    """After the login, and to what else is asked; the status and its last error, too."""
    mini.capabilities.remove('AUTH=PLAIN')

    def login(session, command):
        session.user = 'alice'
        words = f'repeats:{PASSWORD}'.replace('"', '').replace(' ', '-')
        session.send(f'* CAPABILITY IMAP4rev1 UIDPLUS X={words}\r\n'.encode())
        session.reply(f'[ALERT] repeats: welcome {command.raw.decode()}')
        return True

    def select(session, command):
        if 'Other' in repr(command.args):
            session.reply(f'repeats: user alice, password "{PASSWORD}"', 'NO')
            return True
        return None

    mini.on['LOGIN'] = login
    mini.on['SELECT'] = mini.on['EXAMINE'] = select
    mail = mount_mini(mini, debug=True)
    assert len(mail.names()) == 1
    with mounting.refused(errno.EIO, errno.EACCES, errno.ENOENT):
        os.listdir(mail / 'Other')
    seen = said(mail)
    assert 'last error' in seen
    assert_secret(seen, [])


BODIES = {
    'a window': b'BODY[]<%d> "%s"', 'all of it': b'BODY[] "%s"', 'two spaces': b'BODY[]<%d>  "%s"',
    'small letters': b'body[]<%d> "%s"', 'by another name': b'RFC822 "%s"',
    'quotes inside': b'BODY[]<%d> "\\"%s"', 'no quotes': b'BODY[]<%d> %s',
    'behind a NIL': b'BODY[TEXT] NIL BODY[]<%d> "%s"', 'unfinished': b'BODY[ "%s"',
    'junk': b'BODY[]<%d> "%s',
}


@pytest.mark.parametrize('body', BODIES)
def test_no_message_bytes_in_the_debug_log(mini, mount_mini, body):
    """Also where a server sends them as a quoted string; nor where it makes no sense."""
    form = BODIES[body]
    secret = b'Subject: x SECRET-OF-THE-BODY'

    def fetch(session, command):
        if b'BODY.PEEK[]' not in command.raw:
            return None
        filled = form % ((0, secret) if b'%d' in form else (secret,))
        session.send(b'* 1 FETCH (UID 1 %s)\r\n' % filled)
        return None

    mini.on['UID FETCH'] = fetch
    mail = mount_mini(mini, debug=True)
    with contextlib.suppress(OSError):
        (mail / 'INBOX/1.eml').read_bytes()
    assert mail.unmount() == 0
    log = mail.log()
    assert re.search(r'< \* 1 FETCH \(UID 1 (BODY|RFC822)', log, re.I)
    assert 'SECRET-OF' not in log


# ---- flags, attributes, directories --------------------------------------------------------------


def stores(mini):
    return [command.raw for command in mini.commands if command.name == 'UID STORE']


def says_flags(mini, flags):
    """After each STORE the server tells these flags, whatever they are."""
    def store(session, _command):
        session.send(b'* 1 FETCH (UID 1 FLAGS (%s))\r\n' % flags)
        session.reply('done')
        return True

    mini.on['UID STORE'] = store


def flag_events(mail):
    """The flags of the events so far. They are UTF-8 and JSON, whatever the server says."""
    lines = (mail / '.imapfs/events').read_bytes().decode('utf-8').splitlines()
    found = [json.loads(line) for line in lines]
    return [event['flags'] for event in found if event['event'] == 'flags']


def test_events_are_utf8(mini, mount_mini):
    says_flags(mini, b'\\Seen caf\xe9 na\xc3\xafve \xff\xfe\x9f tab\\x')
    mail = mount_mini(mini)
    assert len(mail.names()) == 1
    os.setxattr(mail / 'INBOX/1.eml', 'user.imap.flags', b'+\\Seen')
    assert flag_events(mail) == ['\\Seen caf\xe9 na\xefve tab\\x \xff\xfe\x9f']


def test_keywords_are_bounded(mini, mount_mini):
    """Neither sent nor shown without an end."""
    mail = mount_mini(mini)
    path = mail / 'INBOX/1.eml'
    assert len(mail.names()) == 1
    for flags, code in ((b'x' * 5000, errno.EINVAL), (b'+' + b'x' * 128, errno.EINVAL),
                        (b' '.join(b'%04d' % n + b'x' * 60 for n in range(20)), errno.E2BIG)):
        with mounting.refused(code):
            os.setxattr(path, 'user.imap.flags', flags)
    assert not stores(mini)
    os.setxattr(path, 'user.imap.flags', b'+' + b'x' * 127)
    assert len(stores(mini)) == 1
    says_flags(mini, b'\\Flagged ' + b'y' * 5000 + b' z')
    os.setxattr(path, 'user.imap.flags', b'+z')
    assert os.getxattr(path, 'user.imap.flags') == b'\\Flagged z'
    assert flag_events(mail)[-1] == '\\Flagged z'


def test_create_and_replace(mini, mount_mini):
    """XATTR_CREATE makes what is not there, XATTR_REPLACE what is; every message has flags."""
    mail = mount_mini(mini)
    path = mail / 'INBOX/1.eml'
    for name, flag, code in (('flags', os.XATTR_CREATE, errno.EEXIST),
                             ('uid', os.XATTR_CREATE, errno.EEXIST),
                             ('uid', os.XATTR_REPLACE, errno.EPERM),
                             ('none', os.XATTR_REPLACE, errno.ENODATA),
                             ('none', os.XATTR_CREATE, errno.EOPNOTSUPP)):
        with mounting.refused(code):
            os.setxattr(path, f'user.imap.{name}', b'\\Seen', flag)
    with mounting.refused(errno.ENODATA):
        os.setxattr(path, 'user.other', b'x', os.XATTR_REPLACE)
    assert not stores(mini)
    os.setxattr(path, 'user.imap.flags', b'\\Flagged', os.XATTR_REPLACE)
    assert os.getxattr(path, 'user.imap.flags') == b'\\Flagged'


class Dirent(ctypes.Structure):
    _fields_ = [('ino', ctypes.c_uint64), ('off', ctypes.c_int64), ('reclen', ctypes.c_uint16),
                ('type', ctypes.c_uint8), ('name', ctypes.c_char * 256)]


def inodes(path):
    """Each name in a directory with the inode number that readdir(3) tells."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.opendir.restype = ctypes.c_void_p
    libc.readdir.restype = ctypes.POINTER(Dirent)
    stream = ctypes.c_void_p(libc.opendir(os.fsencode(path)))
    assert stream.value
    found = {}
    while entry := libc.readdir(stream):
        found[entry.contents.name] = entry.contents.ino
    libc.closedir(stream)
    return found


def test_dots(mini, mount_mini):
    mini.box('Archive/2024/May').add(message(2).data)
    mail = mount_mini(mini)
    for path in ('INBOX', 'Archive', 'Archive/2024', 'Archive/2024/May', '.imapfs'):
        found = inodes(mail / path)
        assert found[b'.'] == (mail / path).stat().st_ino, path
        assert found[b'..'] == (mail / path).parent.stat().st_ino, path
    assert inodes(mail.path)[b'.'] == mail.path.stat().st_ino


# ---- the command that knows the password ---------------------------------------------------------


def test_passcmd_is_run_as_from_a_shell(mini, serve, start_mount, tmp_path):
    """SIGPIPE, which imapfs ignores, ends what writes to a pipe that nobody reads."""
    script = tmp_path / 'secret'
    script.write_text(f'grep -E "Sig(Ign|Blk)" /proc/self/status > {tmp_path}/signals\n'
                      f"yes '{PASSWORD}' | head -n 1\n"
                      f'exec 2> {tmp_path}/errors; yes | :\n')
    serve(mini)
    mail = start_mount(f'imap://alice@{mini.host}:{mini.port}',
                       [f'passcmd=sh {script}', 'tls=no'])
    assert len(mail.names()) == 1
    masks = dict(re.findall(r'(Sig\w+):\s*([0-9a-f]+)', (tmp_path / 'signals').read_text()))
    assert int(masks['SigBlk'], 16) == 0
    assert not int(masks['SigIgn'], 16) >> signal.SIGPIPE - 1 & 1
    assert (tmp_path / 'errors').read_text() == ''


def test_passcmd_that_never_ends(mini, serve, refuses):
    """It prints more than a password, and is ended by that."""
    said = refuses(mini, 'passcmd=yes', password=False)
    assert 'passcmd' in said and said.count('\n') == 1


@pytest.mark.parametrize('command, written', [
    ('printf a,b', r'printf a\,b'), (r"printf 'a\134b,c'", r"printf 'a\\134b\,c'")])
def test_commas_in_passcmd(mini, serve, start_mount, command, written):
    """As in every FUSE file system: a backslash takes away what a comma or a backslash means."""
    mini.users['alice'] = subprocess.check_output(['sh', '-c', command], text=True)
    assert ',' in mini.users['alice']
    serve(mini)
    mail = start_mount(f'imap://alice@{mini.host}:{mini.port}', [f'passcmd={written}', 'tls=no'])
    assert len(mail.names()) == 1
