"""Cases of tests/cases.md that have no older test: one for each line there.

What a server does (or an attacker), against a mount that must neither hide mail, nor lose it, nor
stop, nor tell a secret.
"""

import errno
import os
import re
import select
import stat
import threading

import pytest

from conftest import write_password
from messages import all_readable, message, raw
from mini import MiniServer, Refuse, Session, fetch_row
from mount import SLOW, refused
from scripted import Dropped
from server import wait_until


def use(mail, mini):
    """What people do: list, read, move, delete, make and remove folders."""
    all_readable(mail)
    os.rename(mail / 'INBOX/1.eml', mail / 'Other/1.eml')
    os.unlink(mail / 'INBOX/2.eml')
    os.mkdir(mail / 'New')
    os.rmdir(mail / 'New')
    assert [m.uid for m in mini.boxes['INBOX'].mails if '\\Deleted' not in m.flags] == [3]
    assert [m.data for m in mini.boxes['Other'].mails] == [message(1).data]
    assert mail.names() == ['3.eml']
    assert [p.read_bytes() for p in (mail / 'Other').iterdir()] == [message(1).data]


# ---- what is asked for ---------------------------------------------------------------------------


def test_only_what_every_server_can_answer(mini, mount_mini):
    """No RFC822 (some leave it out), no ENVELOPE or BODYSTRUCTURE (often wrong), no CLOSE (it
    expunges), no `1:*` with VANISHED (Cyrus leaves out the last ones); ID comes before SELECT."""
    mini.capabilities += ['ENABLE', 'CONDSTORE', 'QRESYNC']
    use(mount_mini(mini, 'names=uid'), mini)
    sent = [command.raw for command in mini.commands]
    for wrong in (rb'RFC822[ )]', rb'RFC822\.(TEXT|HEADER)', rb'ENVELOPE', rb'BODYSTRUCTURE',
                  rb'^\S+ CLOSE', rb'1:\*.*VANISHED', rb'^\S+ EXPUNGE'):
        assert not [raw for raw in sent if re.search(wrong, raw)], wrong
    names = mini.names()
    opened = min(names.index(n) for n in ('SELECT', 'EXAMINE') if n in names)
    assert 'ID' in names and names.index('ID') < opened


def test_commands_in_flight_are_bounded(mini, mount_mini):
    """Some hang up on more than fifteen: a server that answers nothing gets no more than that."""
    for number in range(4, 200):
        mini.box('INBOX').add(message(number).data)
    waiting = []

    def count(session, _command):
        if len(waiting) < 3:
            # What the client is willing to send unanswered.
            while select.select([session.peer.sock], [], [], 0.5)[0]:
                session.peer._more()
            waiting.append(1 + session.peer._buffer.count(b'\r\n'))

    mail = mount_mini(mini, 'names=uid', 'timeout=30')
    names = mail.names()
    mini.on['UID FETCH'] = count
    readers = [threading.Thread(target=lambda n=name: (mail / 'INBOX' / n).read_bytes())
               for name in names[::3]]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert waiting and max(waiting) <= 15


# ---- messages ------------------------------------------------------------------------------------


@pytest.mark.parametrize('name', ['UID STORE', 'UID SEARCH', 'UID FETCH'])
def test_expunge_in_the_middle_of_an_answer(mini, mount_mini, name):
    """Forbidden by RFC 3501 section 7.4.1 and done all the same: UIDs are what counts."""
    mini.without('MOVE', 'UIDPLUS')
    mini.box('INBOX').add(message(4).data)
    mail = mount_mini(mini, 'names=uid')
    assert len(mail.names()) == 4
    done = []

    def expunge(session, _command):
        with mini.lock:
            if not done and session.view and session.view[0].uid == 1:
                done.append(session)
                mini.boxes['INBOX'].mails = [m for m in mini.boxes['INBOX'].mails if m.uid != 1]
                del session.view[0]
                session.send(b'* 1 EXPUNGE\r\n')

    mini.on[name] = expunge
    assert (mail / 'INBOX/3.eml').read_bytes() == message(3).data
    os.unlink(mail / 'INBOX/2.eml')
    assert done, f'{name} was not sent'
    assert wait_until(lambda: mail.names() == ['3.eml', '4.eml'], 35 * SLOW)
    all_readable(mail, (3, 4))
    assert [m.uid for m in mini.boxes['INBOX'].mails if '\\Deleted' not in m.flags] == [3, 4]


def unescaped(session, seq, mail, pairs):
    """Quotes within a quoted string that are not escaped."""
    if mail.uid == 2 and any(k == b'INTERNALDATE' for k, _ in pairs):
        return [b'* %d FETCH (UID 2 BODY[HEADER.FIELDS (SUBJECT)] "Subject: "hello" there")\r\n' % seq]
    return [fetch_row(seq, pairs)]


def eight_bit(session, seq, mail, pairs):
    """8-bit bytes in a quoted string."""
    return [fetch_row(seq, [(k, b'"Subject: Gr\xc3\xbc\xdfe"') if mail.uid == 2 and b'HEADER' in k
                            else (k, v) for k, v in pairs])]


def numbers_that_are_none(session, seq, mail, pairs):
    return [fetch_row(seq, [*pairs, (b'MODSEQ', b'(-1)'), (b'X-COUNT', b'9.3736e+06')])]


@pytest.mark.parametrize('rows', [unescaped, eight_bit, numbers_that_are_none],
                         ids=lambda f: f.__name__)
def test_rows_that_are_wrong(mini, mount_mini, rows):
    mini.fetch_rows = rows
    mail = mount_mini(mini)
    assert len(mail.names()) == 3
    for uid in (1, 2, 3):
        assert (mail / f'INBOX/{uid}.eml').read_bytes() == message(uid).data


def test_a_message_without_a_header(mini, mount_mini):
    bodies = [b'', b'\r\n', b'\r\nonly a body\r\n', b'no colon at all', b'Subject\r\n\r\n', b': x\r\n\r\n']
    for data in bodies:
        mini.box('Other').add(data)
    mail = mount_mini(mini)
    assert len(mail.names('Other')) == len(bodies)
    for uid, data in enumerate(bodies, 1):
        assert mail.message('Other', uid).read_bytes() == data


def test_names_are_no_options(mini, mount_mini, sh):
    """A subject or a sender that looks like an option does not become one: not even with `*`."""
    for text in ('--help', '-rf', '--', '-', '.', '..', '.hidden', '~root', '@file', '%n', '$(id)'):
        mini.box('Other').add(raw(text, sender=f'{text} <a@example.org>'))
    mini.box('Other').add(raw('x', sender='--x'), date='')
    mail = mount_mini(mini)
    names = mail.names('Other')
    assert len(names) == 12
    assert not [name for name in names if not re.match(r'[0-9A-Za-z]', name)], names
    listed = sh('ls -- * | wc -l; ls * | wc -l', mail / 'Other').stdout.split()
    assert listed == [b'12', b'12']


def test_nothing_but_files_and_directories(mini, mount_mini):
    """Whatever the server says, no link, device or set-user-ID file appears."""
    mini.boxes['INBOX'].mails[0].data = raw('l', extra='Status: RO\r\nX-Mode: 120777\r\n')
    mini.box('link', ['\\HasNoChildren', '\\Symlink'])
    mail = mount_mini(mini)
    seen = 0
    for base, folders, files in os.walk(mail.path):
        for name in folders + files:
            mode = os.lstat(os.path.join(base, name)).st_mode
            assert stat.S_ISREG(mode) or stat.S_ISDIR(mode), name
            assert not mode & 0o7077, f'{name}: {mode:o}'
            seen += 1
    assert seen >= 6


def test_deleting_is_moving_to_the_trash(mini, mount_mini):
    """Gmail archives what is expunged; its \\Trash mailbox is where deleted mail goes."""
    mini.capabilities += ['X-GM-EXT-1', 'SPECIAL-USE', 'LIST-EXTENDED']
    mini.box('[Gmail]', ['\\Noselect'])
    mini.box('[Gmail]/Bin', ['\\Trash'])
    mail = mount_mini(mini, 'names=uid', 'trash=auto')
    os.unlink(mail / 'INBOX/2.eml')
    assert mail.names() == ['1.eml', '3.eml']
    assert [m.data for m in mini.boxes['[Gmail]/Bin'].mails] == [message(2).data]
    assert [m.uid for m in mini.boxes['INBOX'].mails] == [1, 3]
    os.unlink(mail / '[Gmail]/Bin/1.eml')  # there it is expunged
    assert not mini.boxes['[Gmail]/Bin'].mails


# ---- mailboxes -----------------------------------------------------------------------------------


@pytest.mark.parametrize('delimiter', ['|', '.', '^', '\\', '"', ' '])
def test_delimiters(mini, mount_mini, delimiter):
    mini.delimiter = delimiter
    mini.box(f'Work{delimiter}Letters').add(message(9).data)
    mail = mount_mini(mini, 'names=uid')
    assert (mail / 'Work/Letters/1.eml').read_bytes() == message(9).data
    os.mkdir(mail / 'Work/New')
    assert f'Work{delimiter}New' in mini.boxes
    os.rename(mail / 'INBOX/1.eml', mail / 'Work/New/1.eml')
    assert [m.data for m in mini.boxes[f'Work{delimiter}New'].mails] == [message(1).data]


ODD_LISTS = {
    'NIL for a name': ([b'* LIST () "/" NIL\r\n'], ['NIL']),  # RFC 3501 section 4.5: it may be one
    'unquoted control characters': ([b'* LIST () "/" a\x01b\r\n'], None),
    'a quoted tab': ([b'* LIST () "/" "a\tb"\r\n'], None),
    'twice': ([b'* LIST () "/" Box\r\n'] * 2, ['Box']),
    'INBOX and Inbox': ([b'* LIST () "/" Inbox\r\n'], []),
    'not there': ([b'* LIST (\\NonExistent) "/" Gone\r\n', b'* LIST () "/" Gone/Box\r\n'], ['Gone']),
    'no children': ([b'* LIST (\\Noinferiors) "/" Leaf\r\n'], ['Leaf']),
}


@pytest.mark.parametrize('case', ODD_LISTS)
def test_odd_lists(mini, mount_mini, case):
    """INBOX is there once, and every mailbox that has a name at all."""
    rows, shown = ODD_LISTS[case]
    honest = mini.list_rows
    mini.list_rows = lambda box: rows if box.name == 'Other' else honest(box)
    mail = mount_mini(mini, 'names=uid')
    listed = sorted(os.listdir(mail.path))
    if shown is not None:
        assert listed == sorted(['INBOX', *shown])
    assert [name for name in listed if name.upper() == 'INBOX'] == ['INBOX']
    assert not [name for name in listed if re.search(r'[\0-\x1f]', name)]
    all_readable(mail)


def test_a_folder_name_the_server_cannot_have(mini, mount_mini):
    """Courier says BAD "Error in IMAP command" to an emoji; the mount goes on, and says why."""
    mini.on['CREATE'] = lambda session, command: (
        session.reply('Error in IMAP command received by server.', 'BAD') or True)
    mail = mount_mini(mini, 'names=uid')
    with refused(errno.EIO, errno.EINVAL):
        os.mkdir(mail / '\N{SNOWMAN}\N{GRINNING FACE}')
    assert 'Error in IMAP command' in mail.log()
    assert sorted(os.listdir(mail.path)) == ['INBOX', 'Other']
    all_readable(mail)


@pytest.mark.parametrize('way', ['NO', 'BAD', 'nothing new'])
def test_status_of_the_selected_mailbox(mini, mount_mini, way):
    """RFC 3501 section 6.3.10: it may be refused, and may tell nothing new. It is asked beside NOOP,
    to find out whether another mailbox has the name by now, and nothing else hangs on it."""
    old = []

    def status(session, command):
        if not session.box or session.box.name.encode() not in command.raw.split(b' ')[2]:
            return None
        old.append((b'* STATUS "INBOX" (UIDVALIDITY %d UIDNEXT 4 MESSAGES 3)\r\n'
                    % session.box.uidvalidity))
        if way == 'nothing new':
            session.send(old[0])
            session.reply('STATUS completed')
        else:
            session.reply('not of the selected mailbox', way)
        return True

    mini.on['STATUS'] = status
    mail = mount_mini(mini, 'names=uid')
    use(mail, mini)
    shown = [3]
    for number in range(4, 9):
        with mini.lock:  # something is told, so that it looks
            mini.box('INBOX').mails[0].flags.add(f'k{number}')
            shown.append(mini.box('INBOX').add(message(number).data).uid)
        assert wait_until(lambda: mail.names() == [f'{uid}.eml' for uid in shown], 35 * SLOW)
        if old:
            break
    assert old


def test_a_mailbox_may_be_selected_once(mini, mount_mini):
    """A second SELECT of a mailbox fails while another connection has it: go on with the one."""
    holders = {}
    honest = Session.do_select

    class Exclusive(Session):
        def do_select(self, name, *parameters, readonly=False):
            wire = name.decode() if isinstance(name, bytes) else str(name)
            for other, held in list(holders.items()):
                if other is not self and held == wire and other.alive:
                    raise Refuse('[INUSE] selected by another session')
            holders[self] = wire
            return honest(self, name, *parameters, readonly=readonly)

        def do_unselect(self):
            holders.pop(self, None)
            super().do_unselect()

    def handler(peer):
        session = Exclusive(mini, peer)
        try:
            session.run()
        finally:
            holders.pop(session, None)

    mini.handler = handler
    mail = mount_mini(mini, 'names=uid', 'timeout=20')
    names = mail.names()
    wrong = []

    def read(name):
        try:
            assert (mail / 'INBOX' / name).read_bytes()
        except OSError as error:
            wrong.append(error)

    readers = [threading.Thread(target=read, args=(name,)) for name in names]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert not wrong
    use(mail, mini)


SELECTS = {
    'no UIDNEXT': rb'\* OK \[UIDNEXT \d+\] x\r\n',
    'no flags': rb'\* FLAGS [^\r]*\r\n',
    'no PERMANENTFLAGS': rb'\* OK \[PERMANENTFLAGS [^\r]*\r\n',
}


@pytest.mark.parametrize('case', SELECTS)
def test_answers_to_select_that_leave_things_out(mini, mount_mini, case):
    class Terse(Session):
        def send(self, data):
            super().send(re.sub(SELECTS[case], b'', data))

    mini.handler = lambda peer: Terse(mini, peer).run()
    use(mount_mini(mini, 'names=uid'), mini)


@pytest.mark.parametrize('extra', [
    b'* OK [UIDNEXT 0] x\r\n', b'* OK [UNSEEN 0] x\r\n', b'* OK [PERMANENTFLAGS (\\Answered \\*] x\r\n',
    b'* OK [PERMANENTFLAGS ()]\r\n', b'* OK [PERMANENTFLAGS (\\Seen NIL "a b" ]] x\r\n',
    b'* OK [HIGHESTMODSEQ -1] x\r\n', b'* OK [NOMODSEQ]\r\n', b'* NO\r\n', b'* OK\r\n'])
def test_odd_answers_to_select(mini, mount_mini, extra):
    class Odd(Session):
        def do_select(self, *args, **kwargs):
            code = super().do_select(*args, **kwargs)
            self.send(extra)
            return code

    mini.handler = lambda peer: Odd(mini, peer).run()
    use(mount_mini(mini, 'names=uid'), mini)


# ---- sessions ------------------------------------------------------------------------------------


def test_a_bare_plus(mini, mount_mini):
    """Yandex sends `+` without a space or text: for a literal, for IDLE and for a login."""
    mini.without('LITERAL+', 'SASL-IR')

    class Bare(Session):
        def send(self, data):
            super().send(b'+\r\n' if data.startswith(b'+ ') else data)

    mini.handler = lambda peer: Bare(mini, peer).run()
    mail = mount_mini(mini, 'names=uid')
    os.mkdir(mail / 'a"b\\c')
    assert 'a"b\\c' in mini.boxes
    all_readable(mail)
    assert wait_until(lambda: 'IDLE' in mini.names(), 30 * SLOW)
    mini.box('INBOX').add(message(4).data)
    assert wait_until(lambda: len(mail.names()) == 4, 35 * SLOW)


def test_enable_without_enabled(mini, mount_mini):
    """iCloud answers ENABLE with OK alone."""
    mini.capabilities += ['ENABLE', 'CONDSTORE', 'QRESYNC']
    mini.on['ENABLE'] = lambda session, command: session.reply('ENABLE completed') or True
    use(mount_mini(mini, 'names=uid'), mini)


def test_closed_without_close_notify(mini, start_mount, serve, server, tmp_path):
    """Gmail ends TLS connections without a word: that is a lost connection, no error of TLS."""
    mini = MiniServer(tls=server.authority.issue(), implicit_tls=True)
    for number in (1, 2, 3):
        mini.box('INBOX').add(message(number).data)
    mini.box('Other')
    closed = []

    def close(session, _command):
        if len(closed) < 2:
            closed.append(session)
            session.peer.sock.shutdown(2)  # the TCP connection; nothing is said inside
            raise Dropped

    serve(mini)
    mini.on['UID FETCH'] = close
    passfile = write_password(tmp_path / 'password', mini.users['alice'])
    mail = start_mount(f'imaps://alice@localhost:{mini.port}',
                       [f'passfile={passfile}', f'cafile={server.cafile}', 'names=uid'])
    use(mail, mini)
    assert closed


def test_authenticated_but_not_connected(mini, mount_mini):
    """Office 365 over its limit: BAD to everything on that connection; the others go on."""
    sick = []

    class Limited(Session):
        def execute(self, command):
            if self in sick and command.name not in ('LOGOUT', 'CAPABILITY'):
                self.reply('User is authenticated but not connected.', 'BAD')
                return
            super().execute(command)

    count = []

    def handler(peer):
        session = Limited(mini, peer)
        count.append(session)
        if len(count) == 2:
            sick.append(session)
        session.run()

    mini.handler = handler
    mail = mount_mini(mini, 'names=uid', 'timeout=10')
    for _ in range(3):
        all_readable(mail)
        threads = [threading.Thread(target=os.listdir, args=(mail / folder,))
                   for folder in ('INBOX', 'Other')]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    use(mail, mini)


# As these servers said of themselves after the login; sources in cases.md.
PROVIDERS = {
    'Gmail': 'IMAP4rev1 UNSELECT IDLE NAMESPACE QUOTA ID XLIST CHILDREN X-GM-EXT-1 UIDPLUS '
             'COMPRESS=DEFLATE ENABLE MOVE CONDSTORE ESEARCH UTF8=ACCEPT LIST-EXTENDED LIST-STATUS '
             'LITERAL- SPECIAL-USE APPENDLIMIT=35651584',
    'Outlook': 'IMAP4 IMAP4rev1 AUTH=PLAIN AUTH=XOAUTH2 SASL-IR UIDPLUS MOVE ID UNSELECT CHILDREN '
               'IDLE NAMESPACE LITERAL+',
    'Yahoo': 'IMAP4rev1 ID MOVE NAMESPACE XYMHIGHESTMODSEQ UIDPLUS LITERAL+ CHILDREN UNSELECT '
             'X-MSG-EXT OBJECTID IDLE ENABLE PARTIAL UIDONLY MESSAGELIMIT=1000',
    'Exchange 2003': 'IMAP4 IMAP4rev1 IDLE LITERAL+ NAMESPACE CHILDREN',
    'Courier': 'IMAP4rev1 UIDPLUS CHILDREN NAMESPACE THREAD=ORDEREDSUBJECT THREAD=REFERENCES SORT '
               'QUOTA IDLE',
    'nothing': 'IMAP4rev1',
    'IMAP4rev2': 'IMAP4rev2',
}


@pytest.mark.parametrize('provider', PROVIDERS)
def test_capabilities_of_providers(mini, mount_mini, provider):
    words = PROVIDERS[provider].split()
    mini.capabilities = ['IMAP4rev1', 'AUTH=PLAIN', *words]
    mini.on['COMPRESS'] = lambda session, command: session.reply('not now', 'NO') or True
    if provider == 'IMAP4rev2':  # the mini server has these when they are named
        mini.has = lambda word: True
    use(mount_mini(mini, 'names=uid'), mini)


@pytest.mark.parametrize('limited', ['UID FETCH', 'all'])
def test_no_more_than_so_many_messages_a_command(mount_mini, limited):
    """RFC 9738: the highest UIDs are dealt with, the lowest of them is told, nothing is hidden."""
    mini = MiniServer()
    for number in range(1, 48):
        mini.box('INBOX').add(message(number).data)
    told = []

    class Limited(Session):
        def _chosen(self, numbers, by_uid):
            return self._cut(super()._chosen(numbers, by_uid), lambda pair: pair[1].uid)

        def send(self, data):
            if data.startswith(b'* SEARCH') and limited == 'all':
                uids = self._cut([int(uid) for uid in data.split()[2:]], lambda uid: uid)
                data = b'* SEARCH' + b''.join(b' %d' % uid for uid in uids) + b'\r\n'
            super().send(data)

        def _cut(self, chosen, uid):
            if len(chosen) > 10:
                chosen = chosen[-10:]
                self.lowest = uid(chosen[0])
                told.append(self.lowest)
            return chosen

        def execute(self, command):
            self.lowest = 0
            super().execute(command)

        def reply(self, words, status='OK'):
            if self.lowest and status == 'OK':
                words = f'[MESSAGELIMIT 10 {self.lowest}] {words}'
            super().reply(words, status)

    mini.handler = lambda peer: Limited(mini, peer).run()
    mail = mount_mini(mini, 'names=uid')
    assert sorted(mail.names(), key=lambda name: int(name[:-4])) == [f'{n}.eml' for n in range(1, 48)]
    assert told
    for uid in (1, 9, 28, 47):
        assert (mail / f'INBOX/{uid}.eml').read_bytes() == message(uid).data
    # Another client takes some away, so that all UIDs are asked for: the others stay.
    with mini.lock:
        mini.boxes['INBOX'].mails = [m for m in mini.boxes['INBOX'].mails if m.uid not in (3, 40)]
    left = [f'{n}.eml' for n in range(1, 48) if n not in (3, 40)]
    assert wait_until(lambda: sorted(mail.names(), key=lambda name: int(name[:-4])) == left,
                      35 * SLOW)
