"""What real servers do and what hostile ones try, each a case in a table.

No mail is hidden, none is lost, nothing stops; see the README's word on servers. The servers here
are mini servers in clear text: the grammar is the same, and nothing needs certificates.
"""

import errno
import itertools
import os
import re
import threading

import pytest

import mount as mounting
from conftest import write_password
from messages import all_readable, message, raw
from mini import Box, MiniServer, Session, fetch_row
from mount import SLOW, refused
from server import wait_until


def is_body(command):
    return re.search(rb'BODY\.PEEK\[\]', command.raw) is not None


# ---- FETCH rows in every shape -------------------------------------------------------------------


def reversed_items(session, seq, mail, pairs):
    return [fetch_row(seq, pairs[::-1])]


def split_rows(session, seq, mail, pairs):
    """Two rows for one message, the UID in both."""
    rest = [p for p in pairs if p[0] != b'UID']
    uid = (b'UID', b'%d' % mail.uid)
    half = len(rest) // 2
    return [fetch_row(seq, [uid, *some]) for some in (rest[:half], rest[half:]) if some]


def noise_between(session, seq, mail, pairs):
    """Unasked rows, without UID, of messages that are not there, and empty ones."""
    return [b'* OK still here\r\n', b'* %d FETCH (FLAGS (\\Seen))\r\n' % seq,
            fetch_row(seq, pairs), b'* %d FETCH (FLAGS ())\r\n' % seq, b'* 0 FETCH (UID 0)\r\n',
            b'* 4000000000 FETCH (FLAGS ())\r\n', b'* %d FETCH ()\r\n' % seq, b'* 3 RECENT\r\n']


def twice(session, seq, mail, pairs):
    return [fetch_row(seq, pairs)] * 2


def odd_spaces(session, seq, mail, pairs):
    return [fetch_row(seq, pairs)[:-2] + b'  \r\n']


def unknown_items(session, seq, mail, pairs):
    return [fetch_row(seq, [(b'X-GM-MSGID', b'1278455344230334865'), *pairs, (b'MODSEQ', b'(-1)'),
                            (b'X-THING', b'(a (b "c)") {3}\r\n)))d)'), (b'EMAILID', b'(M1)')])]


def lower_case(session, seq, mail, pairs):
    return [b'* %d fetch (%s)\r\n' % (seq, b' '.join(k.lower() + b' ' + v for k, v in pairs))]


def quoted_headers(session, seq, mail, pairs):
    """A header or body as a quoted string, where it fits one."""
    def requote(value):
        match = re.match(rb'\{\d+\}\r\n', value)
        data = value[match.end():] if match else b''
        if not match or re.search(rb'[\r\n"\\\0]', data):
            return value
        return b'"' + data + b'"'
    return [fetch_row(seq, [(k, requote(v)) for k, v in pairs])]


def flags_with_junk(session, seq, mail, pairs):
    return [fetch_row(seq, [(k, b'(\\Recent NonJunk $Forwarded \\XStrange)') if k == b'FLAGS'
                            else (k, v) for k, v in pairs])]


ROWS = [reversed_items, split_rows, noise_between, twice, odd_spaces, unknown_items, lower_case,
        quoted_headers, flags_with_junk]


@pytest.mark.parametrize('rows', ROWS, ids=lambda f: f.__name__)
def test_rows(mini, mount_mini, rows):
    mini.fetch_rows = rows
    all_readable(mount_mini(mini, 'names=uid'))


def test_uids_unsorted(mini, mount_mini):
    """Rows may come in any order."""
    def shuffled(session, command):
        held = []
        with mini.lock:  # other sessions must not see the changed row function
            honest, mini.fetch_rows = mini.fetch_rows, lambda *a: held.insert(0, honest(*a)[0]) or []
            reply, session.reply = session.reply, lambda *a: None
            session.execute(command)
            mini.fetch_rows, session.reply = honest, reply
            for row in held:
                session.send(row)
            session.reply('done')
        return True
    mini.on['UID FETCH'] = shuffled
    all_readable(mount_mini(mini, 'names=uid'))


def test_move_to_a_folder_made_anew(mini, mount_mini):
    """Another client deletes the folder and makes it anew; COPYUID is the first word of that. The
    name that the message was given, and whoever has it open, never get the old folder's bytes."""
    mini.box('Other').add(message(9).data)
    mail = mount_mini(mini, 'names=uid')
    assert mail.names('Other') == ['1.eml']
    assert (mail / 'Other/1.eml').read_bytes() == message(9).data
    assert mail.names() == ['1.eml', '2.eml', '3.eml']
    with mini.lock:
        mini.boxes['Other'] = Box('Other', uidvalidity=2000)
    with open(mail / 'INBOX/2.eml', 'rb') as file:
        (mail / 'INBOX/2.eml').rename(mail / 'Other/x.eml')
        assert [m.data for m in mini.boxes['Other'].mails] == [message(2).data]

        def read(get):
            try:
                data = get()
            except OSError as error:  # not known yet what there is
                assert error.errno in (errno.ESTALE, errno.ENOENT)
                return False
            assert data == message(2).data
            return True
        assert wait_until(lambda: read((mail / 'Other/x.eml').read_bytes), 30 * SLOW)
        assert wait_until(lambda: read(lambda: os.pread(file.fileno(), 10000, 0)), 30 * SLOW)
    assert mail.names('Other') == ['1.eml']
    assert (mail / 'Other/1.eml').read_bytes() == message(2).data


ORDERS = {'two halves swapped': [*range(151, 301), *range(1, 151)],
          'descending': [*range(300, 0, -1)],
          'one late': [*range(1, 100), *range(101, 301), 100],
          'the first ones last': [*range(3, 301), 2, 1]}


@pytest.mark.parametrize('case', ORDERS)
def test_uids_not_ascending(mini, mount_mini, case):
    """Who lists the folder while it is loaded is given all there are, each once (o2.pl)."""
    box = mini.box('Other')
    for uid in ORDERS[case]:
        box.add(message(uid).data, uid=uid)
    half, begun = threading.Event(), threading.Event()

    def paced(session, seq, mail, pairs):
        if seq == 202:  # the rows before it have left, and are read before it comes
            half.set()
            assert begun.wait(60)
        return [fetch_row(seq, pairs)]
    mail = mount_mini(mini, 'names=uid')
    mini.fetch_rows = paced
    with os.scandir(mail / 'Other') as entries:
        first = []
        if case != 'descending':  # there, nothing is certain before the end
            first = [next(entries).name for _ in range(50)]
            assert half.wait(60)
        begun.set()
        names = first + [entry.name for entry in entries]
    assert len(names) == 300 and set(names) == {f'{uid}.eml' for uid in range(1, 301)}
    assert sorted(os.listdir(mail / 'Other')) == sorted(names)
    assert [c.name for c in mini.commands].count('UID SEARCH') == 0
    for uid in (1, 100, 300):
        assert (mail / 'Other' / f'{uid}.eml').read_bytes() == message(uid).data


@pytest.mark.parametrize('date', [
    '00-Jan-0000 00:00:00 +0000', ' 1-Jan-2020 00:00:00 +0000', '01-Jan-2020 00:00:00', '', 'x' * 500,
    '01-Foo-2020 99:99:99 +9999', '32-Dec-9999 00:00:00 -1200', '01-Jan-1901 00:00:00 +0000'])
@pytest.mark.parametrize('names', ['uid', 'pretty'])
def test_dates(mini, mount_mini, date, names):
    mini.boxes['INBOX'].mails[1].date = date
    mail = mount_mini(mini, f'names={names}')
    assert len(mail.names()) == 3
    for uid in (1, 2, 3):
        assert mail.message('INBOX', uid).read_bytes() == message(uid).data
        mail.message('INBOX', uid).stat()


# ---- sizes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize('lie', [lambda n: n - 5, lambda n: n + 5, lambda n: 3 * n, lambda n: 0,
                                 lambda n: n + 200_000, lambda n: n // 2, lambda n: 4294967295],
                         ids=['short', 'long', 'triple', 'zero', 'much', 'half', 'huge'])
@pytest.mark.parametrize('size', [300, 400_000])
def test_size_lies(mini, mount_mini, sh, lie, size):
    """The literal is the truth: cat gives every byte, and then stat agrees."""
    data = message(9, size).data
    mini.boxes['INBOX'].mails[1].data = data
    mini.size_of = lambda mail: lie(len(mail.data)) if mail.uid == 2 else len(mail.data)
    mail = mount_mini(mini, 'names=uid')
    assert mail.names() == ['1.eml', '2.eml', '3.eml']
    for _ in range(2):
        assert sh('cat INBOX/2.eml', mail.path).stdout == data
    path = mail / 'INBOX/2.eml'
    assert wait_until(lambda: path.stat().st_size == len(data), 5)
    assert path.read_bytes() == data and (mail / 'INBOX/3.eml').read_bytes() == message(3).data


def test_partial_answer_echoes_the_window(mini, mount_mini):
    data = message(9, 600_000).data
    mini.boxes['INBOX'].mails[1].data = data

    def echo(session, seq, mail, pairs):
        return [re.sub(rb'BODY\[\]<(\d+)>', rb'BODY[]<\1.131072>', fetch_row(seq, pairs)[:200])
                + fetch_row(seq, pairs)[200:]]
    mini.fetch_rows = echo
    assert (mount_mini(mini, 'names=uid') / 'INBOX/2.eml').read_bytes() == data


def test_partial_answer_is_the_wrong_part(mini, mount_mini):
    """An answer for another offset is not taken for the one asked: an error, never wrong bytes."""
    data = message(9, 600_000).data
    mini.boxes['INBOX'].mails[1].data = data

    def wrong(session, seq, mail, pairs):
        return [fetch_row(seq, [(re.sub(rb'<[1-9]\d*>', b'<0>', k), v) for k, v in pairs])]
    mini.fetch_rows = wrong
    mail = mount_mini(mini, 'names=uid', 'timeout=4')
    try:
        assert (mail / 'INBOX/2.eml').read_bytes() == data
    except OSError:
        pass
    assert (mail / 'INBOX/3.eml').read_bytes() == message(3).data


# ---- one message cannot be had, the others can ---------------------------------------------------


def no_for_body(session, command):
    if is_body(command) and str(command.args[0]) == '2':
        session.reply('[SERVERBUG] cannot read it', 'NO')
        return True
    return None


def ok_without_data(session, command):
    if is_body(command) and str(command.args[0]) == '2':
        session.reply('FETCH completed')
        return True
    return None


def row_without_body(session, seq, mail, pairs):
    if mail.uid == 2:
        pairs = [p for p in pairs if not p[0].startswith(b'BODY[]')]
    return [fetch_row(seq, pairs)]


def body_nil(session, seq, mail, pairs):
    return [fetch_row(seq, [(k, b'NIL') if mail.uid == 2 and k.startswith(b'BODY[]') else (k, v)
                            for k, v in pairs])]


@pytest.mark.parametrize('override', [no_for_body, ok_without_data, row_without_body, body_nil],
                         ids=lambda f: f.__name__)
def test_one_body_missing(mini, mount_mini, override):
    if override in (row_without_body, body_nil):
        mini.fetch_rows = override
    else:
        mini.on['UID FETCH'] = override
    mail = mount_mini(mini, 'names=uid', 'timeout=4')
    assert mail.names() == ['1.eml', '2.eml', '3.eml']
    with pytest.raises(OSError):
        (mail / 'INBOX/2.eml').read_bytes()
    for uid in (1, 3):
        assert (mail / f'INBOX/{uid}.eml').read_bytes() == message(uid).data


def broken_row(session, seq, mail, pairs):
    if mail.uid == 2 and any(k == b'INTERNALDATE' for k, _ in pairs):
        return [b'* %d FETCH (UID 2 FLAGS (\\Seen INTERNALDATE RFC822.SIZE 9.3736e+06 BODY[\r\n' % seq]
    return [fetch_row(seq, pairs)]


def absent_row(session, seq, mail, pairs):
    if mail.uid == 2 and any(k == b'INTERNALDATE' for k, _ in pairs):
        return []
    return [fetch_row(seq, pairs)]


def only_uid(session, seq, mail, pairs):
    if mail.uid == 2 and any(k == b'INTERNALDATE' for k, _ in pairs):
        return [fetch_row(seq, [p for p in pairs if p[0] == b'UID'])]
    return [fetch_row(seq, pairs)]


@pytest.mark.parametrize('rows', [broken_row, absent_row, only_uid], ids=lambda f: f.__name__)
def test_every_uid_is_listed(mini, mount_mini, rows):
    """Also one whose FETCH row was missing or could not be parsed."""
    mini.fetch_rows = rows
    mail = mount_mini(mini)
    assert len(mail.names()) == 3
    for uid in (1, 2, 3):
        assert (mail / f'INBOX/{uid}.eml').read_bytes() == message(uid).data


# ---- things that come unasked --------------------------------------------------------------------


def test_expunge_during_fetch(mini, mount_mini):
    """Forbidden and done all the same: sequence numbers shift, UIDs do not."""
    mini.box('INBOX').add(message(4).data)

    def rows(session, seq, mail, pairs):
        if is_body_pairs(pairs) and mail.uid == 3 and mini.boxes['INBOX'].mails[0].uid == 1:
            del mini.boxes['INBOX'].mails[0]
            del session.view[0]
            return [b'* 1 EXPUNGE\r\n', fetch_row(seq - 1, pairs)]
        return [fetch_row(seq, pairs)]

    mini.fetch_rows = rows
    mail = mount_mini(mini, 'names=uid')
    assert len(mail.names()) == 4
    assert (mail / 'INBOX/3.eml').read_bytes() == message(3).data
    for uid in (2, 4):
        assert (mail / f'INBOX/{uid}.eml').read_bytes() == message(uid).data
    assert wait_until(lambda: mail.names() == ['2.eml', '3.eml', '4.eml'], 35)


def is_body_pairs(pairs):
    return any(k.startswith(b'BODY[]') for k, _ in pairs)


CHATTER = {
    'alert': b'* OK [ALERT] \x1b[2Jyour quota\r\n',
    'no text': b'* OK [PERMANENTFLAGS ()]\r\n',
    'bare no': b'* NO\r\n',
    'bad': b'* BAD [PARSE] something\r\n',
    'unknown': b'* XYZZY 1 (2 "3" {4}\r\n))))) nothing\r\n',
    'capability': b'* CAPABILITY IMAP4rev1\r\n',
    'exists down': b'* 1 EXISTS\r\n* 3 EXISTS\r\n',
    'exists up': b'* 4294967295 EXISTS\r\n* 3 EXISTS\r\n',
    'expunge of nothing': b'* 0 EXPUNGE\r\n* 99 EXPUNGE\r\n* -1 EXPUNGE\r\n',
    'vanished': b'* VANISHED (EARLIER) 100:4294967295\r\n',
    'search': b'* SEARCH 1 2 3\r\n* ESEARCH (TAG "x") UID ALL 1:4294967295\r\n',
    'status': b'* STATUS INBOX ()\r\n* STATUS "x"\r\n',
    'list': b'* LIST\r\n* LIST ()\r\n* LIST (\\Noselect) "/" ""\r\n',
    'copyuid': b'* OK [COPYUID 1 1:4294967295 1:4294967295] x\r\n* OK [COPYUID 1  ] x\r\n'
               b'* OK [APPENDUID 1 1] x\r\n',
    'long id': b'* ID ("name" "' + b'x' * 60_000 + b'")\r\n',
    'deep': b'* XDEEP ' + b'(' * 60_000 + b')' * 60_000 + b'\r\n',
    'tiny literals': b'* XMANY (' + b'{0}\r\n ' * 5_000 + b')\r\n',
    'quoted braces': b'* XQ "{4294967296}" "\\"{9}"\r\n',
    'numbers': b'* OK [UIDNEXT 0] x\r\n* OK [UNSEEN 0] x\r\n* OK [HIGHESTMODSEQ -1] x\r\n',
    'referral': b'* OK [REFERRAL imap://evil.example.org/] go there\r\n',
    'empty lines': b'* \r\n*\r\n',
}


@pytest.mark.parametrize('case', CHATTER)
def test_chatter(mini, mount_mini, case):
    """In front of every answer after the login; the mount says and does the same as without."""
    def chatty(session, command):
        session.send(CHATTER[case])

    for name in ('SELECT', 'EXAMINE', 'UID FETCH', 'UID SEARCH', 'NOOP', 'LIST', 'STATUS',
                 'UID MOVE', 'CREATE'):
        mini.on[name] = chatty
    mail = mount_mini(mini, 'names=uid', 'timeout=10')
    assert sorted(os.listdir(mail.path)) == ['INBOX', 'Other']
    all_readable(mail)
    os.rename(mail / 'INBOX/1.eml', mail / 'Other/1.eml')
    os.mkdir(mail / 'New')
    assert [m.data for m in mini.boxes['Other'].mails] == [message(1).data]
    assert (mail / 'Other/1.eml').read_bytes() == message(1).data
    assert '\x1b' not in mail.log()


HOSTILE = {
    'huge literal': b'* 1 FETCH (UID 1 BODY[] {4294967296}\r\n',
    'negative literal': b'* 1 FETCH (UID 1 BODY[] {-1}\r\n',
    'overflowing literal': b'* 1 FETCH (UID 1 BODY[] {99999999999999999999}\r\n',
    '2 GB and nothing': b'* 1 FETCH (UID 1 BODY[] {2147483647}\r\nabc',
    'nesting': b'* 1 FETCH (UID 1 X ' + b'(' * 200_000,
    'line without end': b'* OK ' + b'x' * 40_000_000,
    'response without end': b'* 1 FETCH (UID 1 ' + b'FLAGS () ' * 4_000_000,
    'another tag': b'zzzz OK done\r\n',
    'garbage': bytes(range(128, 256)) * 64 + b'\r\n',
    'NUL': b'* 1 FETCH (UID 1\0)\r\n\0\0\0\r\n',
    'continuation': b'+ go on\r\n' * 100,
}


@pytest.mark.parametrize('case', HOSTILE)
def test_hostile(mini, mount_mini, case):
    """Capped: an error or a new connection, within the deadline, in little memory."""
    once = threading.Event()

    def hostile(session, command):
        if is_body(command) and not once.is_set():
            once.set()
            session.send(HOSTILE[case])
            return True  # and nothing more: the client must not wait for ever
        return None

    mini.on['UID FETCH'] = hostile
    mail = mount_mini(mini, 'names=uid', 'timeout=2')
    assert mail.names() == ['1.eml', '2.eml', '3.eml']
    try:
        assert (mail / 'INBOX/1.eml').read_bytes() == message(1).data
    except OSError:
        pass

    def again():
        try:
            return (mail / 'INBOX/1.eml').read_bytes() == message(1).data
        except OSError:
            return False

    assert wait_until(again, 30 * SLOW, interval=0.1)
    peak = int(re.search(r'VmHWM:\s+(\d+)', open(f'/proc/{mail.pid}/status').read()).group(1))
    if SLOW == 1:  # a sanitizer's shadow is not ours
        assert peak < 160 * 1024, f'{peak} kB resident'


def on_and_on(row):
    """An override that sends rows until the client is gone."""
    def override(session, _command):
        for number in itertools.count(1):
            session.send(b''.join(row(number + n) for n in range(500)))
    return override


ENDLESS = {
    'other mailboxes': lambda n: b'* LIST () "/" "m%d"\r\n' % n,
    'the same mailbox': lambda n: b'* LIST () "/" "INBOX"\r\n',
    'chatter': lambda n: b'* OK still at it\r\n',
}


@pytest.mark.parametrize('case', ENDLESS)
def test_list_without_end(mini, serve, tmp_path, case):
    """Mounting ends, and says why."""
    mini.on['LIST'] = on_and_on(ENDLESS[case])
    serve(mini)
    passfile = write_password(tmp_path / 'password', mini.users['alice'])
    (tmp_path / 'mnt').mkdir()
    done = mounting.run(['-f', '-o', f'passfile={passfile},tls=no',
                         f'imap://alice@{mini.host}:{mini.port}', str(tmp_path / 'mnt')], tmp_path)
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert re.search('does not list its mailboxes: its answer has no end', lines[-1]), lines
    assert len(lines) < 6, lines
    assert mini.names().count('LIST') == 1


def test_rows_without_end(mini, mount_mini):
    """One folder cannot be listed; the others can, and this one once the server has come to."""
    rows = on_and_on(lambda n: b'* %d FETCH (UID %d FLAGS ())\r\n' % (n, n))
    mini.on['UID FETCH'] = lambda session, command: (
        rows(session, command) if session.box and session.box.name == 'INBOX' else None)
    mini.box('Other').add(message(1).data)
    mail = mount_mini(mini, 'names=uid')
    with refused(errno.EPROTO):
        mail.names()
    assert mail.names('Other') == ['1.eml']
    assert re.search('INBOX: the answer to UID FETCH has no end', mail.log())
    del mini.on['UID FETCH']
    assert wait_until(lambda: mail.names() == ['1.eml', '2.eml', '3.eml'], 10 * SLOW)


# ---- sessions ------------------------------------------------------------------------------------


def test_bye_now_and_then(mini, mount_mini):
    """A connection ends after a few commands, again and again."""
    counts = {}

    def tired(session, command):
        counts[session] = counts.get(session, 0) + 1
        if counts[session] > 2:
            session.send(b'* BYE time to rest\r\n')
            session.peer.drop()

    mini.on['UID FETCH'] = tired
    mail = mount_mini(mini, 'names=uid')
    for _ in range(4):
        all_readable(mail)


def test_connection_limit(mini, mount_mini):
    """More connections than the server allows: go on with fewer."""
    open_sessions = set()

    def limited(peer):
        session = Session(mini, peer)
        if len(open_sessions) >= 1:
            peer.send(b'* OK mini ready\r\n')
            while True:
                line = peer.recv_line()
                peer.tag = line.split(b' ')[0]
                if b'CAPABILITY' in line:
                    peer.send(b'* CAPABILITY IMAP4rev1\r\n$TAG OK x\r\n')
                else:
                    peer.send(b'$TAG NO [UNAVAILABLE] Maximum number of connections exceeded\r\n')
        open_sessions.add(session)
        try:
            session.run()
        finally:
            open_sessions.discard(session)

    mini.handler = limited
    mail = mount_mini(mini, 'names=uid', 'timeout=5')
    readers = [threading.Thread(target=lambda n=n: (mail / f'INBOX/{n}.eml').read_bytes())
               for n in (1, 2, 3)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    all_readable(mail)


def test_no_capability_to_speak_of(mini, mount_mini):
    """IMAP4rev1 and nothing else: no LITERAL+, no SASL-IR, no NAMESPACE, no ID."""
    mini.capabilities = ['IMAP4rev1']
    mail = mount_mini(mini, 'names=uid')
    all_readable(mail)
    os.mkdir(mail / 'Grüße')
    os.rename(mail / 'INBOX/1.eml', mail / 'Grüße/1.eml')
    os.unlink(mail / 'INBOX/2.eml')
    os.rmdir(mail / 'Other')
    assert [m.uid for m in mini.boxes['INBOX'].mails] == [3]
    assert mini.boxes['Gr&APwA3w-e'].mails[0].data == message(1).data
    assert not {'ID', 'NAMESPACE', 'UID MOVE', 'UID EXPUNGE', 'ENABLE'} & set(mini.names())
    assert not any(re.search(rb'\{\d+\+\}', command.raw) for command in mini.commands)


def test_capability_changes_at_login(mini, mount_mini):
    """What was said before the login counts for nothing after it."""
    words = list(mini.capabilities)

    def capability(session, command):
        shown = ['IMAP4rev1', 'LITERAL+', 'AUTH=PLAIN', 'MOVE'] if session.user is None else [
            word for word in words if word not in ('LITERAL+', 'MOVE')]
        session.send(b'* CAPABILITY %s\r\n' % ' '.join(shown).encode())
        session.reply('done')
        return True

    mini.on['CAPABILITY'] = capability
    mini.without('MOVE')
    mail = mount_mini(mini, 'names=uid')
    os.rename(mail / 'INBOX/1.eml', mail / 'Other/1.eml')
    assert 'UID MOVE' not in mini.names() and len(mini.boxes['Other'].mails) == 1
    after = next(n for n, name in enumerate(mini.names()) if name in ('LOGIN', 'AUTHENTICATE'))
    assert not any(re.search(rb'\{\d+\+\}', c.raw) for c in mini.commands[after + 1:])


@pytest.mark.parametrize('name', ['ID', 'NAMESPACE', 'ENABLE', 'COMPRESS'])
@pytest.mark.parametrize('way', ['BAD', 'NO', 'drop'])
def test_optional_command_fails(mini, mount_mini, name, way):
    """Advertised and broken: fall back, also when the server hangs up (Exchange 2003)."""
    mini.capabilities += ['ENABLE', 'CONDSTORE', 'QRESYNC', 'COMPRESS=DEFLATE']
    dropped = []

    def fail(session, command):
        if way == 'drop':
            if len(dropped) < 3:
                dropped.append(session)
                session.peer.drop()
            return None
        session.reply('no such thing', way)
        return True

    mini.on[name] = fail
    all_readable(mount_mini(mini, 'names=uid'))


def test_uidvalidity_changes(mini, mount_mini):
    """A mailbox made anew has other messages under the same numbers: never mix them up."""
    mail = mount_mini(mini, 'names=uid', 'timeout=5')
    assert mail.names() == ['1.eml', '2.eml', '3.eml']
    assert (mail / 'INBOX/1.eml').read_bytes() == message(1).data
    with mini.lock:
        box = mini.boxes['INBOX']
        box.uidvalidity += 1
        box.mails = []
        box.uidnext = 1
        for number in (11, 12):
            box.add(message(number).data)
    for session_socket in list(mini._sockets):  # the change shows at the next SELECT
        session_socket.shutdown(2)
    try:
        data = (mail / 'INBOX/2.eml').read_bytes()
        assert data in (message(2).data, message(12).data)
    except OSError as error:
        assert error.errno in (errno.ESTALE, errno.ENOENT, errno.ENOTCONN, errno.EIO), error
    assert wait_until(lambda: mail.names() == ['1.eml', '2.eml'], 35 * SLOW, interval=0.2)
    assert wait_until(lambda: (mail / 'INBOX/1.eml').read_bytes() == message(11).data, 10)
    # A deletion after the change hits what the user sees.
    os.unlink(mail / 'INBOX/2.eml')
    assert [m.data for m in mini.boxes['INBOX'].mails] == [message(11).data]


COPYUID_LIES = ['', '[COPYUID 1000  ] ', '[COPYUID 1 1:4294967295 1:4294967295] ',
                '[COPYUID 1001 1 0] ', '[COPYUID 1001 7 8] ']


@pytest.mark.parametrize('code', COPYUID_LIES)
@pytest.mark.parametrize('move', [True, False], ids=['MOVE', 'COPY'])
def test_copyuid_lies(mini, mount_mini, code, move):
    """Empty, absent or absurd. After MOVE the message has moved all the same.

    After COPY it may be that nothing was copied (OK for a UID that is gone), so to delete nothing
    and say so is right, too.
    """
    if not move:
        mini.without('MOVE')
    honest = Session.do_copy

    class Lying(Session):
        def do_copy(self, *args, **kwargs):
            honest(self, *args, **kwargs)
            return code

    mini.handler = lambda peer: Lying(mini, peer).run()
    mail = mount_mini(mini, 'names=uid')
    assert mail.names() == ['1.eml', '2.eml', '3.eml']
    try:
        os.rename(mail / 'INBOX/2.eml', mail / 'Other/2.eml')
    except OSError:
        assert not move
        all_readable(mail)
        assert [m.flags for m in mini.boxes['INBOX'].mails] == [set()] * 3
        return
    assert [m.uid for m in mini.boxes['INBOX'].mails] == [1, 3]
    assert [m.data for m in mini.boxes['Other'].mails] == [message(2).data]
    assert mail.names() == ['1.eml', '3.eml']
    assert wait_until(lambda: mail.names('Other') == ['1.eml'], 10)
    assert (mail / 'Other/1.eml').read_bytes() == message(2).data


def test_silent_store_is_not_silent(mini, mount_mini):
    mini.without('MOVE')
    honest = Session.do_store

    class Loud(Session):
        def do_store(self, numbers, what, *flags, by_uid=False):
            honest(self, numbers, str(what).replace('.SILENT', ''), *flags, by_uid=by_uid)

    mini.handler = lambda peer: Loud(mini, peer).run()
    mail = mount_mini(mini, 'names=uid')
    os.rename(mail / 'INBOX/2.eml', mail / 'Other/2.eml')
    os.unlink(mail / 'INBOX/3.eml')
    assert mail.names() == ['1.eml'] and [m.uid for m in mini.boxes['INBOX'].mails] == [1]


def test_store_on_an_expunged_message(mini, mount_mini):
    """Someone else was faster: OK without any effect (Gmail), and the file is gone."""
    mail = mount_mini(mini, 'names=uid')
    assert mail.names() == ['1.eml', '2.eml', '3.eml']
    with mini.lock:
        del mini.boxes['INBOX'].mails[1]
    try:
        os.unlink(mail / 'INBOX/2.eml')
    except FileNotFoundError:
        pass
    assert wait_until(lambda: mail.names() == ['1.eml', '3.eml'], 35)


# ---- mailboxes -----------------------------------------------------------------------------------


LIST_ROWS = {
    'literal name': (b'* LIST () "/" {5}\r\nBox e\r\n', 'Box e'),
    'atom': (b'* LIST () "/" Box\r\n', 'Box'),
    'double spaces': (b'* LIST  ()  "/"  "Box" \r\n', 'Box'),
    'raw UTF-8': ('* LIST () "/" "Größe"\r\n'.encode(), 'Größe'),
    'broken UTF-7': (b'* LIST () "/" "Jobs & Co"\r\n', None),
    'escaped': (b'* LIST () "/" "a\\"b\\\\c"\r\n', 'a"b\\c'),
    'attributes': (b'* LIST (\\HasNoChildren \\X \\Subscribed "\\Y") "/" Box\r\n', None),
    'lower case': (b'* list (\\hasnochildren) "/" Box\r\n', 'Box'),
    'childinfo': (b'* LIST () "/" Box ("CHILDINFO" ("SUBSCRIBED"))\r\n', 'Box'),
}


@pytest.mark.parametrize('case', LIST_ROWS)
def test_list_rows(mini, mount_mini, case):
    row, shown = LIST_ROWS[case]
    honest = mini.list_rows
    mini.list_rows = lambda box: [row] if box.name == 'Other' else honest(box)
    mail = mount_mini(mini, 'names=uid')
    listed = os.listdir(mail.path)
    assert 'INBOX' in listed
    if shown:
        assert sorted(listed) == sorted(['INBOX', shown])
    all_readable(mail)


def test_list_leaves_a_mailbox_out(mini, mount_mini):
    """Once, as Dovecot does under load: it is there all the same. Twice: it is gone."""
    mail = mount_mini(mini, 'names=uid')
    mini.box('Other').add(message(1).data)
    lists, rows = [], mini.list_rows

    def forgetful(session, command):
        lists.append(command)
        left_out = 'Other' if len(lists) == 1 or mini.gone else None
        mini.list_rows = lambda box: [] if box.name == left_out else rows(box)

    mini.gone = False
    assert mail.names('Other') == ['1.eml']
    with open(mail / 'Other/1.eml', 'rb') as held:
        mini.on['LIST'] = forgetful
        # A folder that is not known makes it look, at the latest when its last look is a second old.
        assert wait_until(lambda: not os.path.exists(mail / 'Nowhere') and lists, 5 * SLOW)
        assert held.read() == message(1).data
    assert os.path.isdir(mail / 'Other')
    assert mail.names('Other') == ['1.eml']
    mini.gone = True
    assert wait_until(lambda: not os.path.exists(mail / 'Nowhere') and
                      not os.path.exists(mail / 'Other'), 5 * SLOW)


def test_wire_names_are_kept_verbatim(mount_mini):
    """A name that the server encodes against the RFC is sent back as it came."""
    mini = MiniServer()
    wires = ['Jobs & Co', 'Gr\xc3\xb6\xc3\x9fe', '&AGEAYg-', 'a&-b']
    for number, wire in enumerate(wires, 1):
        mini.box(wire).add(message(number).data)
    mail = mount_mini(mini, 'names=uid')
    found = sorted((mail / name / '1.eml').read_bytes() for name in os.listdir(mail.path)
                   if name != 'INBOX')
    assert found == sorted(message(number).data for number in range(1, 5))


def test_create_of_what_it_has_made_itself(mini, mount_mini):
    """Dovecot 2.3 now and then says that the mailbox exists already which it has just made."""
    def create(session, _):
        mini.box('New')
        return session.reply('[ALREADYEXISTS] Mailbox already exists', 'NO') or True

    mini.on['CREATE'] = create
    mail = mount_mini(mini)
    os.mkdir(mail / 'New')
    assert sorted(os.listdir(mail.path)) == ['INBOX', 'New', 'Other']


def test_create_of_what_another_has_made(mini, mount_mini):
    """Also where the mount has not heard of it yet when it asks for it."""
    def create(session, _):
        return session.reply('[ALREADYEXISTS] Mailbox already exists', 'NO') or True

    def other(session, command):
        if b'"*"' not in command.raw and b'New' in command.raw:
            mini.box('New')  # in the very moment before
        return False

    mini.on['CREATE'], mini.on['LIST'] = create, other
    mail = mount_mini(mini)
    with refused(errno.EEXIST):
        os.mkdir(mail / 'New')
    assert 'CREATE' in mini.names()
    assert sorted(os.listdir(mail.path)) == ['INBOX', 'New', 'Other']


def test_delete_that_leaves_noselect(mini, mount_mini):
    """rmdir of a folder with children must never reach DELETE."""
    mini.box('Other/Child')
    mail = mount_mini(mini)
    with refused(errno.ENOTEMPTY):
        os.rmdir(mail / 'Other')
    assert 'DELETE' not in mini.names() and 'Other' in mini.boxes


@pytest.mark.parametrize('reply, code', [
    ('NO [ALREADYEXISTS] x', errno.EEXIST), ('NO [NOPERM] x', errno.EACCES),
    ('NO [OVERQUOTA] x', errno.EDQUOT), ('NO [CANNOT] x', errno.EIO), ('NO', errno.EIO),
    ('BAD syntax', errno.EIO), ('NO [NONEXISTENT] x', errno.ENOENT)])
def test_answers_have_one_errno_each(mini, mount_mini, reply, code):
    word, _, words = reply.partition(' ')
    mini.on['CREATE'] = lambda session, command: session.reply(words, word) or True
    mail = mount_mini(mini)
    with refused(code, *([errno.EPERM, errno.EINVAL] if 'CANNOT' in reply else [])):
        os.mkdir(mail / 'New')
    assert sorted(os.listdir(mail.path)) == ['INBOX', 'Other']


def test_command_lines_are_bounded(mount_mini):
    """8,000 octets at most, however scattered the UIDs are."""
    mini = MiniServer()
    for uid in range(1, 6001, 2):
        mini.box('INBOX').add(raw(f'{uid}', body=b'x\r\n'), uid=uid)
    mail = mount_mini(mini, 'names=uid')
    names = mail.names()
    assert len(names) == 3000
    for name in names[::50]:
        (mail / 'INBOX' / name).read_bytes()
    assert max(len(command.raw) for command in mini.commands) <= 8000
    # Batches matter: not one command for each message of the listing.
    assert len([n for n in mini.names() if n == 'UID FETCH']) < 1000


def test_mailbox_full_of_nothing(mini, mount_mini):
    """EXISTS says millions; there are three."""
    def select(session, command):
        session.send(b'* 4000000 EXISTS\r\n')

    mini.on['SELECT'] = mini.on['EXAMINE'] = select
    all_readable(mount_mini(mini, 'names=uid'))
