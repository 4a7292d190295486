"""The tests' own tools, checked with imaplib: no mount here."""

import imaplib
import re
import ssl
import time
from pathlib import Path

import pytest

import messages
from messages import message
from mini import MiniServer
from mount import mount_entry
from proxy import DOWN
from scripted import ScriptedServer, expect, play, send, stall
from server import Dovecot, decode_utf7, encode_utf7, quote


@pytest.mark.parametrize('name', ['INBOX', 'Läufer & Freunde', '友人/京都', 'a&b', '&', '🍂', '~ é'])
def test_utf7_both_ways(name):
    assert decode_utf7(encode_utf7(name)) == name


def test_messages_are_stored_as_they_are(account):
    sent = [message(n, size=1000 + n, flags='\\Flagged') for n in range(1, 6)]
    account.fill('Box', sent)
    assert list(account.bodies('Box').values()) == [m.data for m in sent]
    assert account.flags('Box', 3) == {'\\Flagged'}
    assert account.internaldate('Box', 3) == '17-Jul-2024 09:34:00 +0000'


def test_server_survives_a_crash_and_a_stale_directory(make_server, tmp_path):
    server = make_server()
    server.fill('INBOX', messages.messages(3))
    port = server.port
    server.kill()
    with pytest.raises(OSError):
        server.client()
    server.launch()
    assert server.port == port and server.client().select('INBOX')[1] == [b'3']
    # A second start in the same directory ends the first server and begins anew.
    again = Dovecot(server.directory, dies_with_parent=True)
    again.start()
    assert again.client().select('INBOX')[1] == [b'0']
    again.clear()
    assert not (server.directory / 'state').exists()


def test_capabilities_can_be_taken_away(make_server):
    server = make_server(without=['MOVE', 'UIDPLUS'])
    _, words = server.client().capability()
    assert b' MOVE' not in words[-1] and b'UIDPLUS' not in words[-1] and b'ESEARCH' in words[-1]


@pytest.mark.parametrize('options, wire', [
    ({'separator': '.', 'prefix': 'INBOX.'}, 'INBOX.Sub.Deep'),
    ({'separator': '|'}, 'Sub|Deep'),
    ({'mail_location': 'maildir:~/Maildir:LAYOUT=fs'}, 'Sub/Deep'),
    ({'mail_location': 'mdbox:~/mdbox'}, 'Sub/Deep'),
    ({'mail_location': 'sdbox:~/sdbox'}, 'Sub/Deep'),
])
def test_other_layouts(make_server, make_account, options, wire):
    account = make_account(make_server(**options))
    account.fill(wire, messages.messages(2))
    assert wire in account.folders() and account.uids(wire) == [1, 2]


def test_certificates_fail_as_they_should(make_server, tmp_path):
    authority = make_server().authority
    for name, options, reason in (('old', {'expired': True}, 'expired'),
                                  ('other', {'hosts': ['DNS:mail.example.org']}, 'mismatch'),
                                  ('self', {'self_signed': True}, 'self-signed')):
        tls = authority.issue(name, **options)
        with ScriptedServer(play(send(b'* OK hi\r\n')), tls=tls, implicit_tls=True) as scripted:
            context = ssl.create_default_context(cafile=str(authority.ca))
            with pytest.raises(ssl.SSLCertVerificationError, match=reason):
                imaplib.IMAP4_SSL('localhost', scripted.port, ssl_context=context)


def test_proxy_counts_cuts_and_comes_back(account, make_proxy):
    account.fill('INBOX', [message(1, size=300_000)])
    proxy = make_proxy(account.server, record=True)

    def connect():
        conn = imaplib.IMAP4(proxy.host, proxy.port, timeout=20)
        conn.login(account.user, account.password)
        conn.select('INBOX')
        return conn

    conn = connect()
    proxy.reset_counters()
    conn.uid('FETCH', '1', '(BODY.PEEK[])')
    assert 300_000 < proxy.bytes[DOWN] < 310_000 and proxy.names() == ['UID FETCH']
    proxy.split = True
    assert conn.noop()[0] == 'OK'
    proxy.split = False
    proxy.delay = 0.05
    began = time.monotonic()
    conn.noop()
    assert time.monotonic() - began >= 0.1
    proxy.delay = 0
    proxy.cut_after(DOWN, 100_000)
    with pytest.raises((imaplib.IMAP4.abort, OSError)):
        conn.uid('FETCH', '1', '(BODY.PEEK[])')
    conn = connect()
    proxy.cut_at('STORE', 'before')
    with pytest.raises((imaplib.IMAP4.abort, OSError)):
        conn.uid('STORE', '1', '+FLAGS', '(\\Seen)')
    assert account.flags('INBOX', 1) == set()
    conn = connect()
    conn.select('INBOX', readonly=False)
    proxy.cut_at('STORE', 'reply')
    with pytest.raises((imaplib.IMAP4.abort, OSError)):
        conn.uid('STORE', '1', '+FLAGS', '(\\Seen)')
    assert account.flags('INBOX', 1) == {'\\Seen'}
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        imaplib.IMAP4(proxy.host, proxy.port)
    proxy.accept()
    assert connect().noop()[0] == 'OK'


def test_script_is_played_and_checked(serve):
    script = serve(ScriptedServer(play(
        send(b'* OK hi\r\n'), expect('CAPABILITY'),
        send(b'* CAPABILITY IMAP4rev1\r\n$TAG OK done\r\n'), expect('LOGIN'), stall())))
    conn = imaplib.IMAP4(script.host, script.port, timeout=1)
    with pytest.raises(OSError):
        conn.login('a', 'b')
    conn.shutdown()
    wrong = ScriptedServer(play(send(b'* OK hi\r\n'), expect('NOOP')))
    with wrong:
        with pytest.raises(imaplib.IMAP4.abort):
            imaplib.IMAP4(wrong.host, wrong.port, timeout=5)
    with pytest.raises(AssertionError, match='expected'):
        wrong.check()


def test_mini_server_is_honest_until_told_otherwise(serve):
    mini = MiniServer()
    for number in (1, 2, 3):
        mini.box('INBOX').add(message(number).data)
    mini.box('Sub/Deep')
    mini.on['COPY'] = lambda session, command: session.reply('[LIMIT] no', 'NO') or True
    serve(mini)
    conn = imaplib.IMAP4(mini.host, mini.port, timeout=20)
    conn.login('alice', 'wonderland')
    assert conn.select('INBOX')[1] == [b'3']
    _, rows = conn.uid('FETCH', '2', '(BODY.PEEK[]<5.10> RFC822.SIZE)')
    assert rows[0][1] == message(2).data[5:15]
    assert conn.copy('1', quote('Sub/Deep')) == ('NO', [b'[LIMIT] no'])
    assert conn.uid('MOVE', '1', quote('Sub/Deep'))[0] == 'OK'
    assert conn.uid('SEARCH', 'ALL')[1] == [b'2 3']
    assert conn.append('Sub/Deep', '(\\Seen)', None, b'Subject: x\r\n\r\n')[0] == 'OK'
    assert [m.uid for m in mini.box('Sub/Deep').mails] == [1, 2]
    conn.uid('STORE', '2', '+FLAGS', '(\\Deleted)')
    conn.uid('EXPUNGE', '3')
    assert [m.uid for m in mini.box('INBOX').mails] == [2, 3]
    conn.expunge()
    assert [m.uid for m in mini.box('INBOX').mails] == [3]


def test_mount_table_is_read_without_touching_the_mount():
    entry = mount_entry('/proc')
    assert entry and entry.kind == 'proc' and mount_entry('/no/such/place') is None


# ---- the list of cases ---------------------------------------------------------------------------


def test_every_case_has_its_test():
    """tests/cases.md names tests that are there, and at least one in each line."""
    here = Path(__file__).resolve().parent
    lines = [line for line in (here.parent / 'cases.md').read_text().splitlines()
             if line.startswith('| ') and not line.startswith('| what is met')]
    assert len(lines) > 60
    missing = []
    for line in lines:
        named = re.findall(r'`(test_\w+\.(?:py|c))::([^`]+)`', line.replace('\\|', '|'))
        if not named:
            missing.append(line)
        for file, name in named:
            path = (here if file.endswith('.py') else here.parent / 'unit') / file
            source = path.read_text() if path.is_file() else ''
            if not re.search(r'''def %s\(|["']%s["']|\b%s\b *[=(]''' % ((re.escape(name),) * 3), source):
                missing.append(f'{file}::{name}')
    assert not missing, '\n'.join(missing)
