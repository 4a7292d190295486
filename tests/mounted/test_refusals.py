"""A folder is listed whole, whatever a server will not say of a message in it.

The servers here are mini servers: server-quirks.md says which real ones do so.
"""

import errno
import re

import pytest

from messages import message
from mini import MiniServer, Refuse
from mount import SLOW, refused
from server import wait_until

UIDS = [*range(1, 30), *range(100, 140, 3), 500]


@pytest.fixture
def mini():
    """A server with messages in INBOX whose UIDs have gaps, and a mailbox Other with one."""
    server = MiniServer()
    for uid in UIDS:
        server.box('INBOX').add(message(uid).data, uid=uid)
    server.box('Other').add(message(1).data)
    return server


def is_meta(pairs):
    return any(name == b'RFC822.SIZE' for name, _ in pairs)


def not_described(doubt, word='NO'):
    """The answer breaks off where such a message is."""
    def rows(session, seq, mail, pairs):
        if mail.uid in doubt and is_meta(pairs):
            raise Refuse('[SERVERBUG] Internal error occurred', word)
        return [b'* %d FETCH (%s)\r\n' % (seq, b' '.join(b' '.join(p) for p in pairs))]
    return rows


def left_out(mini, doubt):
    """The answer is whole but for such a message, and then NO (Gmail)."""
    honest = mini.fetch_rows

    def rows(session, seq, mail, pairs):
        if mail.uid not in doubt or not is_meta(pairs):
            return honest(session, seq, mail, pairs)
        session.flawed = True
        return []

    def fetch(session, command):
        session.flawed = False
        with mini.lock:
            session.do_uid_fetch(*command.args)
            session.sync()
        if session.flawed:
            session.reply('Some messages could not be FETCHed (Failure)', 'NO')
        else:
            session.reply('done')
        return True
    mini.fetch_rows = rows
    mini.on['UID FETCH'] = fetch


def refuse_search(word):
    def search(session, _command):
        session.reply('not now', word)
        return True
    return search


def all_there(mail, doubt, uids=UIDS):
    """Every message is listed, those in doubt by their UIDs; all can be read."""
    names = mail.names()
    assert len(names) == len(uids)
    assert {name for name in names if re.fullmatch(r'\d+\.eml', name)} == {f'{u}.eml' for u in doubt}
    for uid in {*doubt, uids[0], uids[-1]}:
        assert mail.message('INBOX', uid).read_bytes() == message(uid).data
        assert (mail / 'INBOX' / f'{uid}.eml').stat().st_size == len(message(uid).data)


DOUBTS = {'one': {17}, 'the first': {1}, 'the last': {500}, 'some': {1, 2, 29, 130, 500}}


@pytest.mark.parametrize('case', DOUBTS)
@pytest.mark.parametrize('word', ['NO', 'BAD'])
def test_fetch_breaks_off(mini, mount_mini, case, word):
    mini.fetch_rows = not_described(DOUBTS[case], word)
    all_there(mount_mini(mini), DOUBTS[case])


@pytest.mark.parametrize('case', DOUBTS)
def test_fetch_leaves_out(mini, mount_mini, case):
    left_out(mini, DOUBTS[case])
    all_there(mount_mini(mini), DOUBTS[case])


def test_nothing_described(mini, mount_mini):
    """Not asked for one by one, which might be many."""
    mini.fetch_rows = not_described(set(UIDS))
    mail = mount_mini(mini)
    all_there(mail, set(UIDS))
    asked = [c for c in mini.commands if c.name == 'UID FETCH' and b'RFC822.SIZE' in c.raw]
    assert len(asked) < 40
    commands = len(mini.commands)
    mail.names()  # and not again
    assert not [c for c in mini.commands[commands:] if b'RFC822.SIZE' in c.raw]


@pytest.mark.parametrize('word', ['NO', 'BAD'])
def test_search_refused(mini, mount_mini, word):
    """Which UIDs there are is asked in another way."""
    mini.on['UID SEARCH'] = refuse_search(word)
    mini.fetch_rows = not_described({17, 500})
    mail = mount_mini(mini)
    all_there(mail, {17, 500})
    assert 'UID SEARCH' in mini.names()

    # What others delete, without a word of which it was.
    with mini.lock:
        mini.boxes['INBOX'].mails = [m for m in mini.boxes['INBOX'].mails if m.uid not in (5, 17)]
    left = [uid for uid in UIDS if uid not in (5, 17)]
    assert wait_until(lambda: len(mail.names()) == len(left), 30 * SLOW)
    all_there(mail, {500}, left)


def test_flags_refused(mini, mount_mini):
    """Flags that cannot be had hide nothing that is new."""
    mail = mount_mini(mini)
    all_there(mail, set())

    def flags(session, command):
        if b'RFC822.SIZE' in command.raw or b'BODY' in command.raw:
            return False
        session.reply('[SERVERBUG] Internal error occurred', 'NO')
        return True
    mini.on['UID FETCH'] = flags
    mini.boxes['INBOX'].add(message(501).data)
    assert wait_until(lambda: len(mail.names()) == len(UIDS) + 1, 30 * SLOW)
    all_there(mail, set(), [*UIDS, 501])


def test_all_refused(mini, mount_mini):
    """Nothing can be known of the folder: an error, and of the others all is known."""
    def fetch(session, _command):
        if session.box and session.box.name == 'INBOX':
            session.reply('no', 'NO')
            return True
        return False
    mini.on['UID FETCH'] = fetch
    mini.on['UID SEARCH'] = refuse_search('NO')
    mail = mount_mini(mini)
    with refused(errno.EIO):
        mail.names()
    assert len(mail.names('Other')) == 1
    del mini.on['UID FETCH']
    all_there(mail, set())


JUNK = {'blank': b'\r\n', 'spaces': b'   \r\n', 'words': b'what am I doing here\r\n',
        'no row': b'* FETCH FETCH (\r\n', 'bytes': b'\x80\xff) 5 (\x01\r\n', 'a row without *':
        b'5 FETCH (FLAGS ())\r\n'}


@pytest.mark.parametrize('case', JUNK)
def test_junk_between_rows(mini, mount_mini, case):
    """It costs a line in the log and nothing else. Around a body only what is blank is put up with:
    the rest of one that is longer than was announced might answer in the server's place."""
    honest = mini.fetch_rows

    def rows(session, seq, mail, pairs):
        row = honest(session, seq, mail, pairs)
        junk = JUNK[case] if is_meta(pairs) or not JUNK[case].strip() else b''
        return [junk, *row, junk]
    mini.fetch_rows = rows
    mail = mount_mini(mini, 'connections=1')
    all_there(mail, set())
    assert mini.connections == 1
    lines = [line for line in mail.log().splitlines() if 'cannot be understood' in line]
    assert 1 <= len(lines) <= 10
    assert mail.unmount() == 0
    assert re.search(r'^imapfs: \d+ more lines that cannot be understood were left out here$',
                     mail.log(), re.M)


def test_junk_in_a_change(mini, mount_mini):
    """Then the connection is not believed any more, and the move is settled on another one."""
    def move(session, command):
        if b'UID MOVE 5 ' in command.raw:
            session.send(b'and so it was moved\r\n')
            mini.on.pop('UID MOVE')
    mini.on['UID MOVE'] = move
    mail = mount_mini(mini, 'connections=1')
    mail.message('INBOX', 5).rename(mail / 'Other' / 'x.eml')
    assert mini.connections == 2
    assert [m.uid for m in mini.boxes['INBOX'].mails if m.uid < 7] == [1, 2, 3, 4, 6]
    assert [m.data for m in mini.boxes['Other'].mails] == [message(1).data, message(5).data]


def test_floods(mini, mount_mini):
    """Words of the server of any number are some lines in the log, and how many there were."""
    doubt = set(range(1000, 3000))
    for uid in doubt:
        mini.box('Many').add(message(1).data, uid=uid)
    left_out(mini, doubt)

    def alerts(session, command):
        session.send(b'* OK [ALERT] the disk is on fire\r\n' * 5000)
    mini.on['SELECT'] = alerts
    mail = mount_mini(mini)
    assert sorted(mail.names('Many')) == sorted(f'{uid}.eml' for uid in doubt)
    assert mail.unmount() == 0
    log = mail.log().splitlines()
    assert len([line for line in log if 'the disk is on fire' in line]) == 10
    assert any(re.search(r'[45]\d\d\d more alerts of the server were left out here', line)
               for line in log)
    assert len(log) < 40, log
