"""What a server may not do to the login: what it says before TLS, how it uses SCRAM, what it echoes.

The scripted servers here are those of an attacker on the line, or of nobody's ill will.
"""

import base64
import contextlib
import errno
import hashlib
import hmac
import os
import re
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

    def run(mini, *options, debug=False):
        serve(mini)
        given = ','.join([f'passfile={passfile}', 'tls=no', *options])
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
