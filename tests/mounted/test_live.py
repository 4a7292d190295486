"""What others change shows by itself: IDLE, NOTIFY, looking now and then, and .imapfs/events.

Nobody lists a folder between a change and the look whether it shows, unless the test says so.
"""

import contextlib
import ctypes
import errno
import json
import os
import re
import select
import socket
import struct
import subprocess
import threading
import time

import pytest

import messages
from messages import message
from mini import MiniServer, fetch_row
from mount import SLOW, refused, run
from proxy import Proxy
from scripted import Dropped
from server import Dovecot, die_with_parent, quote, wait_until

pytestmark = pytest.mark.tsan

# What the server lacks, and the options of the mount.
FLAVOURS = {
    'NOTIFY': ([], ()),
    'IDLE': (['NOTIFY'], ()),
    'IDLE-no-QRESYNC': (['NOTIFY', 'QRESYNC'], ()),
    'IDLE-no-CONDSTORE': (['NOTIFY', 'QRESYNC', 'CONDSTORE'], ()),
    'poll': (['NOTIFY', 'IDLE', 'QRESYNC', 'CONDSTORE'], ('poll=1',)),
}

SOON = 10 * SLOW


@pytest.fixture(scope='module')
def servers(tmp_path_factory):
    """servers(flavour): one Dovecot for each, with an account for each test."""
    made = {}

    def get(name):
        if name not in made:
            users = {f'user{n:02}': 'password' for n in range(30)}
            dovecot = Dovecot(tmp_path_factory.mktemp('live'), users, dies_with_parent=True,
                              without=FLAVOURS[name][0])
            made[name] = dovecot, iter(users)
            dovecot.start()
        return made[name][0], next(made[name][1])

    yield get
    for dovecot, _ in made.values():
        dovecot.clear()


class Live:
    """An account on a server of some flavour, and a mount of it."""

    def __init__(self, account, make_mount, options):
        self.account = account
        self._make_mount = make_mount
        self._options = options
        self.mail = None

    def mount(self, *options, **kwargs):
        self.mail = self._make_mount(self.account, 'names=uid', *self._options, *options, **kwargs)
        return self.mail

    def listed(self, *folders):
        """Lists the folders, each on a connection of its own as far as there are any."""
        for number, folder in enumerate(folders):
            for name in self.mail.names(folder):
                os.stat(self.mail / folder / name)
            if number == 0:
                assert wait_until(lambda: 'connection 1: up' in status_text(self.mail), SOON)
        self.settle(folders)

    def settle(self, folders):
        """Waits until the server tells of changes, where it does at all."""
        if not self._options:
            told = 1 if has_notify(self.account) else min(len(folders), 2)
            assert wait_until(lambda: status_text(self.mail).count('told of changes') >= told,
                              SOON), status_text(self.mail)

    def other(self, folder='INBOX'):
        """Another client, with that folder open."""
        return self.account.client(folder, readonly=False)


def has_notify(account):
    return 'NOTIFY' not in account.server._without


@pytest.fixture
def live(request, servers, make_account, make_mount):
    name = getattr(request, 'param', 'NOTIFY')
    server, user = servers(name)
    return Live(make_account(server, user), make_mount, FLAVOURS[name][1])


def flavours(*names):
    names = names or list(FLAVOURS)
    return pytest.mark.parametrize('live', names, ids=names, indirect=True)


# ---- what the mount says -------------------------------------------------------------------------


def status_text(mail):
    return (mail / '.imapfs/status').read_text()


def status(mail, name):
    return int(re.search(rf'^{name}: (\d+)', status_text(mail), re.M)[1])


def events(mail, *, folder=None, event=None):
    """The events so far; every line must be JSON and complete."""
    text = (mail / '.imapfs/events').read_text()
    assert not text or text.endswith('\n')
    found = [json.loads(line) for line in text.splitlines()]
    return [e for e in found if folder in (None, e['folder']) and event in (None, e['event'])]


def told(mail, **which):
    """The UIDs of some events, in the order told."""
    return [e['uid'] for e in events(mail, **which)]


def flags(path):
    return set(os.getxattr(path, 'user.imap.flags').decode().split())


def shows(condition, what=None):
    assert wait_until(condition, SOON, interval=0.02), what and what()


def wait_for_next_second(mail, folder):
    """The time of a folder counts seconds."""
    assert wait_until(lambda: time.time() >= os.stat(mail / folder).st_mtime // 1 + 1, 5)


# ---- changes made elsewhere ----------------------------------------------------------------------


@flavours()
def test_everything_in_one_folder(live):
    """Appended, flagged, expunged: entries, attributes, events and counters, without a listing."""
    account = live.account
    account.fill('INBOX', [message(n, 200_000 if n == 3 else 300) for n in range(1, 7)])
    body = account.body('INBOX', 3)
    mail = live.mount()
    live.listed('INBOX')
    known = status(mail, 'messages known')
    wait_for_next_second(mail, 'INBOX')
    before = os.stat(mail / 'INBOX').st_mtime
    with open(mail / 'INBOX/3.eml', 'rb', buffering=0) as held:
        assert held.read(100) == body[:100]

        other = live.other()
        account.fill('INBOX', [message(7), message(8)])
        other.uid('STORE', '1', '+FLAGS', '(\\Flagged $Later Sprout)')
        other.uid('STORE', '4', '+FLAGS', '(\\Seen)')
        other.uid('STORE', '2:3', '+FLAGS', '(\\Deleted)')
        other.expunge()
        shows(lambda: told(mail, event='new') == [7, 8], lambda: events(mail))
        shows(lambda: flags(mail / 'INBOX/1.eml') == {'\\Flagged', '$Later', 'Sprout'} and
              flags(mail / 'INBOX/4.eml') == {'\\Seen'})
        shows(lambda: not os.path.exists(mail / 'INBOX/2.eml') and
              not os.path.exists(mail / 'INBOX/3.eml'))
        shows(lambda: os.stat(mail / 'INBOX').st_mtime > before)
        shows(lambda: status(mail, 'messages known') == known)  # two came, two went
        assert sorted(told(mail, event='expunged')) == [2, 3]
        found = {e['uid']: set(e['flags'].split()) for e in events(mail, event='flags')}
        assert found == {1: {'\\Flagged', '$Later', 'Sprout'}, 4: {'\\Seen'}}
        assert {(e['folder'], e['name']) for e in events(mail) if e['uid'] == 2} == {
            ('INBOX', '2.eml')}
        try:
            rest = held.read(1 << 20)
            assert body[100:].startswith(rest)
        except OSError as error:
            assert error.errno == errno.ESTALE
    assert mail.names() == [f'{uid}.eml' for uid in (1, 4, 5, 6, 7, 8)]
    assert (mail / 'INBOX/7.eml').read_bytes() == message(7).data
    other.uid('STORE', '1', '-FLAGS', '(\\Flagged $Later)')
    shows(lambda: flags(mail / 'INBOX/1.eml') == {'Sprout'})
    assert told(mail, event='new') == [7, 8] and sorted(told(mail, event='expunged')) == [2, 3]
    # Thought better of: what is \\Deleted is not listed, and is again when that is taken back.
    other.uid('STORE', '5', '+FLAGS', '(\\Deleted)')
    shows(lambda: not os.path.exists(mail / 'INBOX/5.eml') and 5 in told(mail, event='expunged'))
    other.uid('STORE', '5', '-FLAGS', '(\\Deleted)')
    shows(lambda: told(mail, event='new') == [7, 8, 5], lambda: events(mail))
    assert os.path.exists(mail / 'INBOX/5.eml')


@flavours('NOTIFY', 'IDLE', 'IDLE-no-CONDSTORE')
def test_two_folders(live):
    """Both are heard of, one on each connection if need be; moved from the one to the other."""
    account = live.account
    account.fill('INBOX', messages.messages(3))
    account.fill('Other', messages.messages(2, first=10))
    mail = live.mount()
    live.listed('INBOX', 'Other')
    account.fill('Other', [message(20)])
    account.fill('INBOX', [message(4)])
    shows(lambda: told(mail, folder='Other') == [3] and told(mail, folder='INBOX') == [4],
          lambda: events(mail))
    live.other().uid('MOVE', '2', 'Other')
    shows(lambda: not os.path.exists(mail / 'INBOX/2.eml'))
    shows(lambda: told(mail, folder='Other', event='new') == [3, 4])
    assert told(mail, event='expunged') == [2]
    assert mail.names('Other') == ['1.eml', '2.eml', '3.eml', '4.eml']
    assert mail.names('INBOX') == ['1.eml', '3.eml', '4.eml']
    assert (mail / 'Other/4.eml').read_bytes() == message(2).data


@flavours('NOTIFY', 'poll')
def test_many_folders(live):
    account = live.account
    folders = ['INBOX', 'A', 'A/B', 'Grüße', '日本語', 'say "x"']
    for folder in folders:
        account.fill(folder, messages.messages(2))
    mail = live.mount()
    live.listed(*folders)
    for folder in folders:
        account.fill(folder, [message(30)])
        other = live.other(folder)
        other.uid('STORE', '1', '+FLAGS', '(\\Answered)')
        other.uid('STORE', '2', '+FLAGS', '(\\Deleted)')
        other.expunge()
    for folder in folders:
        shows(lambda: told(mail, folder=folder, event='new') == [3] and
              told(mail, folder=folder, event='expunged') == [2] and
              [e['flags'] for e in events(mail, folder=folder, event='flags')] == ['\\Answered'],
              lambda: (folder, events(mail, folder=folder)))
        assert not os.path.exists(mail / folder / '2.eml')
        assert mail.names(folder) in (['1.eml', '3.eml'], ['1.eml', '3.eml', 'B'])


@flavours('NOTIFY')
def test_folders(live):
    account = live.account
    account.fill('Old', messages.messages(1))
    account.fill('Gone', [])
    mail = live.mount()
    live.listed('Old', 'Gone')
    count = status(mail, 'folders')
    other = account.client()
    other.create(quote('Neu & öffentlich'))
    shows(lambda: status(mail, 'folders') == count + 1)
    assert os.path.isdir(mail / 'Neu & öffentlich')
    other.rename('Old', 'New')
    # A name that is known resolves without the server being asked.
    shows(lambda: not os.path.exists(mail / 'Old'))
    assert (mail / 'New/1.eml').read_bytes() == message(1).data
    other.delete('Gone')
    shows(lambda: not os.path.exists(mail / 'Gone'))
    other.delete(quote('Neu & öffentlich'))
    shows(lambda: status(mail, 'folders') == count - 1)
    live.listed('New')
    account.fill('New', [message(2)])
    shows(lambda: told(mail, folder='New', event='new') == [2])


@flavours('poll')
@pytest.mark.parametrize('loaded', [False, True])
def test_folder_gone_before_anybody_told(live, loaded):
    """The name is known, the mailbox is not there any more: that is ENOENT, and no I/O error."""
    for folder in ('One', 'Two'):
        live.account.fill(folder, messages.messages(2))
    mail = live.mount()
    assert {'One', 'Two'} <= set(os.listdir(mail.path))
    if loaded:
        assert mail.names('One') == mail.names('Two') == ['1.eml', '2.eml']
    other = live.account.client()
    other.rename('One', 'Else')
    other.delete('Two')
    for folder in ('One', 'Two'):
        def gone():
            try:  # what was just listed may be shown for a second
                mail.names(folder)
            except FileNotFoundError:
                return True
            return False

        shows(gone)
        with refused(errno.ENOENT):
            os.stat(mail / folder)
    assert mail.names('Else') == ['1.eml', '2.eml']


@flavours('NOTIFY', 'poll')
def test_mailbox_becomes_a_level(live):
    """Deleted by another client, while there are mailboxes below it."""
    account = live.account
    account.fill('Box', messages.messages(2))
    account.fill('Box/Below', messages.messages(1))
    mail = live.mount()
    live.listed('Box', 'Box/Below')
    assert mail.names('Box') == ['1.eml', '2.eml', 'Below']
    other = account.client()
    other.delete('Box')

    def names():
        try:
            return mail.names('Box')
        except OSError:  # until it is known
            return None

    shows(lambda: names() == ['Below'], names)
    shows(lambda: not os.path.exists(mail / 'Box/1.eml'))
    assert (mail / 'Box/Below/1.eml').read_bytes() == message(1).data
    account.fill('Box', [message(3)])
    shows(lambda: names() == ['1.eml', 'Below'], names)
    assert (mail / 'Box/1.eml').read_bytes() == message(3).data


@flavours('NOTIFY', 'IDLE')
def test_mailbox_made_anew(live):
    """Nothing of the old one is taken for the new one's."""
    account = live.account
    account.fill('Box', [message(n, 100_000) for n in (1, 2)])
    body = account.body('Box', 1)
    mail = live.mount()
    live.listed('INBOX', 'Box')
    with open(mail / 'Box/1.eml', 'rb', buffering=0) as held:
        assert held.read(10) == body[:10]
        other = account.client()
        other.delete('Box')
        shows(lambda: 'Box' not in mail.names('.'))
        account.fill('Box', [message(n) for n in (11, 12, 13)])
        shows(lambda: 'Box' in mail.names('.') and
              mail.names('Box') == ['1.eml', '2.eml', '3.eml'])
        with refused(errno.ESTALE):
            os.fstat(held.fileno()), held.seek(90_000), held.read(100)
    for uid in (1, 2, 3):
        assert (mail / f'Box/{uid}.eml').read_bytes() == message(10 + uid).data
    live.settle(['Box'])
    account.fill('Box', [message(14)])
    shows(lambda: told(mail, folder='Box', event='new') == [4])


@flavours('NOTIFY', 'IDLE')
def test_mailbox_made_anew_at_once(live):
    """Dovecot goes on with the one that is gone, and says NO, untagged, where it tells of changes."""
    account = live.account
    account.fill('Box', [message(n) for n in (1, 2)])
    mail = live.mount('poll=0')
    live.listed('Box')
    known = status(mail, 'messages known')
    account.client().delete('Box')
    account.fill('Box', [message(n) for n in (11, 12, 13)])
    shows(lambda: status(mail, 'messages known') == known + 1)
    assert mail.names('Box') == ['1.eml', '2.eml', '3.eml']
    assert (mail / 'Box/1.eml').read_bytes() == message(11).data
    account.fill('Box', [message(14)])
    shows(lambda: told(mail, folder='Box', event='new') == [4], lambda: events(mail))


def remake(mini, name, numbers):
    """Deletes the mailbox and makes another one; who has it selected goes on with the old one."""
    with mini.lock:
        old = mini.boxes.pop(name)
        new = mini.box(name)
        new.uidvalidity = old.uidvalidity + 1
        for number in numbers:
            new.add(message(number).data)
    return old


def remake_emptied(mini, name, numbers):
    """Cyrus: all that was there is expunged, and then there is silence."""
    remake(mini, name, numbers).mails.clear()


def remake_swapped(mini, name, numbers):
    """Courier: it goes on with the new one, as if its messages were the old ones."""
    old = mini.boxes[name]
    remake(mini, name, numbers)

    def swap(session, _command):
        with mini.lock:
            if session.box is old:
                for _ in range(len(session.view) - len(numbers)):
                    session.send(b'* %d EXPUNGE\r\n' % len(session.view))
                session.box = mini.boxes[name]
                session.view = list(session.box.mails)
                session.send(b'* %d EXISTS\r\n' % len(session.view))
                for number in range(len(session.view)):
                    session.send(b'* %d FETCH (FLAGS ())\r\n' % (number + 1))

    mini.on['NOOP'] = mini.on['UID FETCH'] = swap


@pytest.mark.parametrize('how, options', [
    (remake_emptied, ['poll=0']),
    (remake_emptied, ['poll=0', 'connections=1']),
    (remake_swapped, ['poll=1']),
    (remake_swapped, ['poll=1', 'connections=1']),
    (remake, ['poll=1']),
    (remake, ['poll=1', 'connections=1']),
])
@pytest.mark.parametrize('numbers', [(11, 12), (11, 12, 13, 14)], ids=['fewer', 'more'])
def test_mailbox_made_anew_in_silence(mini, mount_mini, how, options, numbers):
    """The server says nothing of it to those who have the old one selected."""
    if how is not remake_emptied:
        mini.without('IDLE')
    mail = mount_mini(mini, 'names=uid', *options)
    assert mail.names() == ['1.eml', '2.eml', '3.eml']
    assert (mail / 'INBOX/1.eml').read_bytes() == message(1).data
    how(mini, 'INBOX', numbers)
    names = [f'{uid + 1}.eml' for uid in range(len(numbers))]

    def true():
        try:
            return mail.names() == names and [
                (mail / 'INBOX' / name).read_bytes() for name in names] == [
                message(number).data for number in numbers]
        except OSError as error:
            assert error.errno in (errno.ESTALE, errno.ENOENT), error

    shows(true, lambda: (mail.names(), commands_since(mini, 0)))
    assert true()


def test_two_views_of_a_mailbox(mini, mount_mini):
    """One connection lists the old mailbox, another one has found the new one when it was read."""
    mini.without('IDLE')
    mini.box('INBOX').add(message(4, 300_000).data)
    mail = mount_mini(mini, 'names=uid', 'poll=0')
    assert mail.names() == ['1.eml', '2.eml', '3.eml', '4.eml']
    assert wait_until(lambda: 'connection 1: up' in status_text(mail), SOON)
    remake(mini, 'INBOX', [11])
    with refused(errno.ESTALE):
        (mail / 'INBOX/4.eml').read_bytes()  # what is large goes over the other one
    # Nobody has to ask.
    shows(lambda: not os.path.exists(mail / 'INBOX/2.eml'), lambda: commands_since(mini, 0))
    assert mail.names() == ['1.eml']
    assert (mail / 'INBOX/1.eml').read_bytes() == message(11).data


# ---- what nobody tells of -------------------------------------------------------------------------


@pytest.mark.parametrize('idle', [True, False])
def test_a_message_of_a_folder_that_nobody_listed(mini, mount_mini, idle):
    """It is asked for alone, and again when that was a while ago."""
    if not idle:
        mini.without('IDLE')
    mail = mount_mini(mini, 'names=uid', 'poll=0', 'connections=1')
    flagged, gone = mail / 'INBOX/1.eml', mail / 'INBOX/3.eml'
    assert flags(flagged) == set() and os.path.exists(gone)
    assert mail.names('Other') == []
    with mini.lock:
        mini.box('INBOX').mails[0].flags.add('\\Seen')
        del mini.box('INBOX').mails[2]
    shows(lambda: flags(flagged) == {'\\Seen'})
    shows(lambda: not os.path.exists(gone))
    with refused(errno.ENOENT, errno.ESTALE):
        os.getxattr(gone, 'user.imap.flags')
    assert flags(flagged) == {'\\Seen'} and b'1:*' not in b''.join(commands_since(mini, 0))


def test_a_single_message_is_heard_of(mini, mount_mini):
    """As long as the server tells of changes there is nothing to ask."""
    speech = saying(mini)
    mail = mount_mini(mini, 'names=uid', 'poll=0')
    path = mail / 'INBOX/2.eml'

    def quiet():
        time.sleep(1.1)  # what is a second old is given away
        before = len(mini.commands)
        return flags(path) == set() and len(mini.commands) == before

    assert flags(path) == set()
    shows(lambda: idles(mail))
    shows(quiet, lambda: commands_since(mini, 0))
    with mini.lock:
        mini.box('INBOX').mails[1].flags.add('\\Flagged')
        speech.append(b'* 2 FETCH (FLAGS (\\Flagged))\r\n')
    shows(lambda: flags(path) == {'\\Flagged'})
    with mini.lock:
        del mini.box('INBOX').mails[1]
    shows(lambda: not os.path.exists(path))


def test_a_name_in_a_listed_folder_that_nobody_tells_of(mini, mount_mini):
    """The answer is at once what is known, and the next one what is true."""
    mini.without('IDLE')
    mail = mount_mini(mini, 'poll=0')
    assert len(mail.names()) == 3
    with mini.lock:
        del mini.box('INBOX').mails[1]
    shows(lambda: not os.path.exists(mail / 'INBOX/2.eml'))
    assert told(mail, event='expunged') == [2]


# ---- .imapfs/events ------------------------------------------------------------------------------


def telling(mini, every):
    """The server tells who idles of changes every so many seconds only; None: never."""
    def idle(session, _command):
        session.send(b'+ idling\r\n')
        began = time.monotonic()
        while not session.peer.readable(0.02):
            if every is not None and time.monotonic() - began >= every:
                with mini.lock:
                    session.sync()
                began = time.monotonic()
        session.peer.recv_line()
        session.reply('IDLE completed')
        return True

    mini.on['IDLE'] = idle


class EachSecond:
    """Lists a folder each second, and counts what is asked for that."""

    def __init__(self, mini, mail):
        self.mini, self.mail = mini, mail
        self.began, self.count = time.monotonic(), len(mini.commands)

    def names(self):
        time.sleep(1)
        return self.mail.names()

    def commands(self):
        """How often each was sent, and how often every five seconds is."""
        names = [command.name for command in self.mini.commands[self.count:]]
        most = (time.monotonic() - self.began) / 4 + 2
        return {name: names.count(name) for name in set(names)}, most


@pytest.mark.parametrize('every', [None, 60], ids=['never', 'once a minute'])
def test_idle_that_tells_late(mini, mount_mini, every):
    """Who lists the folder each second sees new mail within seconds, and asks no more than that."""
    telling(mini, every)
    mail = mount_mini(mini, 'names=uid', 'poll=0')
    assert mail.names() == ['1.eml', '2.eml', '3.eml']
    shows(lambda: idles(mail))
    look = EachSecond(mini, mail)
    for uid in (4, 5):
        with mini.lock:
            mini.box('INBOX').add(message(uid).data)
        assert wait_until(lambda: f'{uid}.eml' in look.names(), SOON), look.commands()
    with mini.lock:
        del mini.box('INBOX').mails[0]
    assert wait_until(lambda: '1.eml' not in look.names(), SOON), look.commands()
    counts, most = look.commands()
    assert counts['NOOP'] <= 3 * most and counts.get('LIST', 0) <= most, (counts, most)
    assert 'changes told at once: not known' in status_text(mail)


@pytest.mark.parametrize('every', [None, 60], ids=['never', 'once a minute'])
def test_idle_that_tells_late_is_polled(mini, mount_mini, every):
    """Nobody looks: it shows by itself all the same."""
    telling(mini, every)
    mail = mount_mini(mini, 'names=uid', 'poll=2')
    path = mail / 'INBOX/1.eml'
    assert mail.names() == ['1.eml', '2.eml', '3.eml'] and os.path.exists(path)
    shows(lambda: idles(mail))
    with mini.lock:
        mini.box('INBOX').add(message(4).data)
        del mini.box('INBOX').mails[0]
    shows(lambda: told(mail) and not os.path.exists(path), lambda: events(mail))
    shows(lambda: sorted(told(mail)) == [1, 4], lambda: events(mail))


def test_idle_that_tells_at_once(mini, mount_mini):
    """It is believed once it has shown that: then nothing is asked, and there is one LIST now and then."""
    telling(mini, 0)
    mail = mount_mini(mini, 'names=uid', 'poll=0')
    assert len(mail.names()) == 3
    shows(lambda: idles(mail))

    def proven():
        with mini.lock:
            mini.box('INBOX').add(message(7).data)
        wanted = f'{mini.box("INBOX").mails[-1].uid}.eml'
        time.sleep(1)
        assert wait_until(lambda: wanted in mail.names(), SOON)
        return 'changes told at once: yes' in status_text(mail)

    assert wait_until(proven, 2 * SOON)
    shows(lambda: idles(mail))
    look = EachSecond(mini, mail)
    for _ in range(12):
        look.names()
    counts, most = look.commands()
    assert 'NOOP' not in counts and counts.get('LIST', 0) <= most, (counts, most)


def test_names_in_many_folders(mini, mount_mini):
    """In whichever folder: what is gone is not found for long, though nobody tells of it."""
    mini.without('IDLE')
    boxes = [mini.box(f'Box{number:02}') for number in range(40)]
    for box in boxes:
        box.add(message(1).data)
        box.add(message(2).data)
    mail = mount_mini(mini, 'names=uid', 'poll=1')
    gone = [mail / box.name / '1.eml' for box in boxes]
    stays = [mail / box.name / '2.eml' for box in boxes]
    for box in boxes:
        assert [os.stat(mail / box.name / name) for name in mail.names(box.name)]
    with mini.lock:
        for box in boxes:
            del box.mails[0]
    shows(lambda: not [path for path in gone if os.path.exists(path)])
    assert all(os.path.exists(path) for path in stays)


def test_a_name_that_is_promised(mini, mount_mini):
    """Where what goes is told, a name costs nothing however often it is asked for."""
    mini.without('IDLE')
    mail = mount_mini(mini, 'names=uid')
    names = mail.names()
    for name in names:
        os.stat(mail / 'INBOX' / name)
    time.sleep(1.5)  # longer than what nobody tells of is believed
    before = len(mini.commands)
    for name in names:
        os.stat(mail / 'INBOX' / name)
    assert commands_since(mini, before) == []


class Tail:
    """tail -f of the events."""

    def __init__(self, mail, out):
        self._out = out
        with open(out, 'wb') as file:
            self.process = subprocess.Popen(
                ['tail', '-s', '0.1', '-n', '+1', '-f', str(mail / '.imapfs/events')],
                stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.DEVNULL,
                preexec_fn=die_with_parent)

    def events(self):
        *whole, rest = self._out.read_bytes().split(b'\n')
        assert not rest or self.process.poll() is None
        return [json.loads(line) for line in whole]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def test_tail(live, sh, tmp_path):
    account = live.account
    folder = 'Grüße "und" \\Küsse'
    account.fill(folder, messages.messages(2))
    mail = live._make_mount(account)
    live.mail = mail
    live.listed(folder)
    assert events(mail) == []
    with Tail(mail, tmp_path / 'tail') as tail:
        account.fill(folder, [message(3, subject='=?utf-8?q?Caf=C3=A9_=22quoted=22_=5C_=07?=')])
        shows(lambda: len(tail.events()) == 1)
        account.fill(folder, [message(n) for n in range(4, 40)])
        shows(lambda: len(tail.events()) == 37)
        assert tail.events() == events(mail)
        (first,) = [e for e in tail.events() if e['uid'] == 3]
        assert first['folder'] == folder and first['event'] == 'new'
        assert first['name'] == mail.message(folder, 3).name and 'Café' in first['name']
        assert abs(first['time'] - time.time()) < 60 * SLOW
    whole = sh('cat .imapfs/events && wc -c < .imapfs/events', mail.path).stdout
    text, _, count = whole.rstrip().rpartition(b'\n')
    assert len(text) + 1 == int(count)


def test_events_are_read_only(live, sh):
    mail = live.mount()
    path = mail / '.imapfs/events'
    for change in (lambda: path.write_text('x'), lambda: os.truncate(path, 0),
                   lambda: os.unlink(path), lambda: os.rename(path, mail / 'INBOX/events'),
                   lambda: os.setxattr(path, 'user.imap.flags', b'x')):
        with pytest.raises(OSError):
            change()
    assert sh('echo x >> .imapfs/events', mail.path, check=False).returncode != 0
    assert sh('cat .imapfs/events', mail.path).stdout == b''


def test_events_begin_anew(live, tmp_path):
    """What is kept is bounded; a reader that follows goes on."""
    account = live.account
    account.fill('INBOX', [message(n, 100, subject=f'{n} ' + 'long ' * 60) for n in range(600)])
    mail = live._make_mount(account)
    live.mail = mail
    live.listed('INBOX')
    other = live.other()
    path = mail / '.imapfs/events'
    last = mail.message('INBOX', 600)
    with Tail(mail, tmp_path / 'tail') as tail:
        size = 0
        for turn in range(20):
            before = size
            other.uid('STORE', '1:*', f'{"+-"[turn % 2]}FLAGS.SILENT', '(\\Flagged)')
            # Dovecot tells in order: all of it has come when the last message shows it. A change
            # undone before it was told would make no event at all.
            wanted = set() if turn % 2 else {'\\Flagged'}
            shows(lambda: flags(last) == wanted, lambda: (turn, status_text(mail)))
            shows(lambda: os.stat(path).st_size not in (0, before))
            size = os.stat(path).st_size
            assert size < 1 << 21
            if size < before:
                break
        assert size < before
        account.fill('INBOX', [message(1)])
        shows(lambda: tail.events()[-1]['event'] == 'new')


@flavours('NOTIFY', 'IDLE-no-CONDSTORE', 'poll')
def test_own_changes(live):
    """What this mount does is told as well, once each."""
    account = live.account
    account.fill('INBOX', messages.messages(4))
    account.fill('Other', [])
    mail = live.mount()
    live.listed('INBOX', 'Other')
    os.setxattr(mail / 'INBOX/1.eml', 'user.imap.flags', b'+\\Flagged')
    shows(lambda: told(mail, event='flags') == [1])
    os.unlink(mail / 'INBOX/2.eml')
    shows(lambda: told(mail, event='expunged') == [2])
    os.rename(mail / 'INBOX/3.eml', mail / 'Other/3.eml')
    shows(lambda: told(mail, folder='Other', event='new') == [1])
    assert told(mail, folder='INBOX', event='expunged') == [2, 3]
    # A later change has been heard of, so these were not told twice meanwhile.
    account.fill('INBOX', [message(5)])
    account.fill('Other', [message(6)])
    shows(lambda: told(mail, folder='INBOX', event='new') == [5] and
          told(mail, folder='Other', event='new') == [1, 2], lambda: events(mail))
    assert told(mail, folder='INBOX') == [1, 2, 3, 5]
    assert told(mail, folder='Other') == [1, 2]
    assert events(mail, event='flags')[0]['flags'] == '\\Flagged'


# ---- inotify -------------------------------------------------------------------------------------


class Inotify:
    """Watches on directories and files; what fired since the last look."""

    MASKS = {0x002: 'MODIFY', 0x004: 'ATTRIB', 0x040: 'MOVED_FROM', 0x080: 'MOVED_TO',
             0x100: 'CREATE', 0x200: 'DELETE', 0x400: 'DELETE_SELF', 0x800: 'MOVE_SELF'}
    IGNORED = 0x8000
    _libc = ctypes.CDLL(None, use_errno=True)

    def __init__(self, root, *paths):
        self._fd = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        self._names = {}
        for path in paths:
            watch = self._libc.inotify_add_watch(self._fd, os.fsencode(root / path),
                                                 sum(self.MASKS))
            assert watch > 0, os.strerror(ctypes.get_errno())
            self._names[watch] = path

    def fired(self):
        """As "INBOX DELETE 3.eml"."""
        out = []
        while select.select([self._fd], [], [], 0)[0]:
            data = os.read(self._fd, 65536)
            while data:
                watch, mask, _, size = struct.unpack_from('iIII', data)
                name = data[16:16 + size].rstrip(b'\0').decode()
                data = data[16 + size:]
                if not mask & self.IGNORED:
                    what = '|'.join(v for k, v in self.MASKS.items() if mask & k)
                    out.append(f'{self._names[watch]} {what} {name}'.strip())
        return out

    def close(self):
        os.close(self._fd)


def test_who_watches_a_file_hears_nothing_of_its_namesake(account, mount):
    """A message moves to where another one is called so, which goes on to be."""
    account.fill('INBOX', messages.messages(1))
    account.fill('Other', messages.messages(1, first=9))
    mail = mount('names=uid')
    watch = Inotify(mail.path, 'Other/1.eml')
    os.rename(mail / 'INBOX/1.eml', mail / 'Other/1.eml')
    assert (mail / 'Other/1.eml').read_bytes() == message(9).data
    assert watch.fired() == []
    os.unlink(mail / 'Other/1.eml')
    assert wait_until(lambda: 'Other/1.eml DELETE_SELF' in watch.fired(), SOON)
    watch.close()


def test_inotify(live, sh):
    """The kernel tells of what is done through the mount; of what others do, only that a file that is
    watched itself is gone."""
    account = live.account
    account.fill('INBOX', messages.messages(9))
    account.fill('Other', [])
    mail = live.mount()
    live.listed('INBOX', 'Other')
    watch = Inotify(mail.path, '.', 'INBOX', 'Other', '.imapfs/events',
                    *(f'INBOX/{uid}.eml' for uid in (3, 4, 5, 6, 7)))
    with contextlib.closing(watch):
        sh('rm INBOX/1.eml INBOX/3.eml', mail.path)
        assert watch.fired() == ['INBOX DELETE 1.eml', 'INBOX/3.eml ATTRIB',
                                 'INBOX/3.eml DELETE_SELF', 'INBOX DELETE 3.eml']
        sh('mv INBOX/4.eml Other/', mail.path)
        assert watch.fired() == ['INBOX MOVED_FROM 4.eml', 'Other MOVED_TO 4.eml',
                                 'INBOX/4.eml MOVE_SELF']
        os.setxattr(mail / 'INBOX/5.eml', 'user.imap.flags', b'+\\Flagged')
        assert watch.fired() == ['INBOX ATTRIB 5.eml', 'INBOX/5.eml ATTRIB']
        sh('mkdir New && mv New Newer && rmdir Newer', mail.path)
        assert watch.fired() == ['. CREATE New', '. MOVED_FROM New', '. MOVED_TO Newer',
                                 '. DELETE Newer']
        other = live.other()
        other.uid('STORE', '5', '+FLAGS', '(\\Seen)')
        other.uid('STORE', '6', '+FLAGS', '(\\Deleted)')
        other.expunge()
        other.uid('MOVE', '7', 'Other')
        account.fill('INBOX', [message(10)])
        other.create('Elsewhere')
        shows(lambda: told(mail, folder='INBOX')[-3:] == [6, 7, 10] and
              told(mail, folder='Other') == [1, 2] and 'Elsewhere' in mail.names('.'),
              lambda: events(mail))
        assert not os.path.exists(mail / 'INBOX/6.eml')
        assert watch.fired() == ['INBOX/6.eml DELETE_SELF', 'INBOX/7.eml DELETE_SELF']


# ---- the wire while idling -----------------------------------------------------------------------


def idles(mail, connection=0):
    return re.search(rf'^connection {connection}: .*told of changes', status_text(mail), re.M)


@flavours('NOTIFY', 'IDLE')
def test_done_goes_with_the_next_command(live, make_proxy, make_mount):
    account = live.account
    account.fill('INBOX', messages.messages(5))
    account.fill('Other', [])
    proxy = make_proxy(account.server, record=True)
    mail = live.mail = make_mount(account, tls='no', port=proxy.port)
    # Nothing is looked at again on another connection while this one tells of changes.
    assert wait_until(lambda: mail.names() and idles(mail), SOON)
    paths = {uid: mail.message('INBOX', uid) for uid in range(1, 6)}
    for path in paths.values():
        os.stat(path)

    def accepted():
        return re.search(r'^connection 0: .*told of changes .*\(IDLE\)', status_text(mail), re.M)

    def once(change, *commands):
        """One flight up: DONE and the commands."""
        assert wait_until(lambda: proxy.writes and re.search(rb'IDLE\r\n$', proxy.writes[-1]) and
                          accepted(), SOON), proxy.writes
        proxy.reset_counters()
        change()
        writes = [w for w in list(proxy.writes) if w.startswith(b'DONE')]
        assert len(writes) == 1, list(proxy.writes)
        assert re.fullmatch('DONE\r\n' + ''.join(rf'A\d+ {c}\r\n' for c in commands),
                            writes[0].decode()), writes

    assert wait_until(lambda: 'connection 1: up' in status_text(mail), SOON)
    once(lambda: paths[1].read_bytes(), r'UID FETCH 1 .*BODY\.PEEK.*')
    once(lambda: os.setxattr(paths[2], 'user.imap.flags', b'+\\Flagged'), 'UID STORE 2 .*')
    once(lambda: os.unlink(paths[3]), 'UID FETCH 3 .*', 'UID STORE 3 .*', 'UID EXPUNGE 3')
    once(lambda: os.rename(paths[4], mail / 'Other' / paths[4].name), 'UID MOVE 4 .*')
    assert account.uids() == [1, 2, 5] and account.uids('Other') == [1]


# ---- the connection lost -------------------------------------------------------------------------

GONE = (errno.ENOTCONN, errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.EIO, errno.ECONNREFUSED)


@flavours('NOTIFY', 'IDLE-no-CONDSTORE')
def test_cut_while_idling(live, make_proxy):
    """What happened while the connection was away shows without being asked for."""
    account = live.account
    account.fill('INBOX', messages.messages(4))
    proxy = make_proxy(account.server)
    mail = live.mount('timeout=5', port=proxy.port)
    live.listed('INBOX')
    other = live.other()
    proxy.refuse()
    proxy.cut()
    account.fill('INBOX', [message(5)])
    other.uid('STORE', '1', '+FLAGS', '(\\Flagged)')
    other.uid('STORE', '2', '+FLAGS', '(\\Deleted)')
    other.expunge()
    shows(lambda: 'connection 0: down' in status_text(mail))
    began = time.monotonic()

    def fails():
        """A look that is a second old is given away; then there is none."""
        try:
            mail.names()
        except OSError as error:
            assert error.errno in GONE, error
            return True
        return False

    shows(fails)
    assert time.monotonic() - began < 5 + 5 * SLOW
    assert told(mail) == []
    proxy.accept()
    shows(lambda: sorted(told(mail)) == [1, 2, 5], lambda: events(mail))
    shows(lambda: not os.path.exists(mail / 'INBOX/2.eml'))  # the kernel is told after the reader
    assert flags(mail / 'INBOX/1.eml') == {'\\Flagged'}
    live.settle(['INBOX'])
    account.fill('INBOX', [message(6)])
    shows(lambda: told(mail, event='new') == [5, 6])


def test_server_killed_and_restarted(make_server, make_account, make_mount):
    account = make_account(make_server())
    account.fill('INBOX', messages.messages(2))
    mail = make_mount(account, 'names=uid', 'timeout=5', 'poll=0')
    assert mail.names() == ['1.eml', '2.eml']
    shows(lambda: idles(mail))
    account.server.kill()
    shows(lambda: 'connection 0: down' in status_text(mail))
    account.server.launch()
    account.fill('INBOX', [message(3)])
    shows(lambda: told(mail, event='new') == [3])


# ---- left alone ----------------------------------------------------------------------------------


def test_left_alone(make_account, make_mount, mount_mini, servers):
    """Nobody wakes up without a reason, and poll=0 never looks."""
    mounts = []
    for flavour in ('NOTIFY', 'IDLE'):
        live = Live(make_account(*servers(flavour)), make_mount, ())
        live.account.fill('INBOX', messages.messages(2))
        live.account.fill('Other', messages.messages(2))
        live.account.fill('Level/Box', [])  # the level is \NonExistent
        mounts.append(live.mount())
        live.listed('INBOX', 'Other')
    mini = MiniServer()
    mini.without('IDLE')
    mini.box('INBOX')
    mounts.append(mount_mini(mini, 'names=uid', 'poll=0'))
    assert mounts[-1].names() == []
    mini.box('INBOX').add(message(1).data)

    counters = ('wake-ups of connections', 'wake-ups of the watcher', 'commands sent')

    def counts():
        return [[status(mail, name) for name in counters] for mail in mounts]

    def settled():
        before = counts()
        time.sleep(0.5)
        return before == counts()

    shows(settled)
    before = counts()
    time.sleep(4)
    for mail, was, now in zip(mounts, before, counts()):
        assert all(new - old <= 3 for old, new in zip(was, now)), (mail.source, was, now)
    for _ in range(20):
        for mail in mounts:
            status_text(mail), (mail / '.imapfs/events').read_text()
    for was, now in zip(before, counts()):
        assert all(new - old <= 3 for old, new in zip(was, now)), (was, now)
    assert events(mounts[-1]) == []
    assert mounts[-1].names() == ['1.eml']


# ---- servers of all sorts ------------------------------------------------------------------------


def saying(mini):
    """Returns a list: what is put into it is said to the next client that idles."""
    speech = []

    def idle(session, command):
        session.send(b'+ idling\r\n')
        while not session.peer.readable(0.02):
            if speech:
                session.send(speech.pop(0))
            with mini.lock:
                session.sync()
        session.peer.recv_line()
        session.reply('IDLE completed')
        return True

    mini.on['IDLE'] = idle
    return speech


def commands_since(mini, count):
    return [c.raw for c in mini.commands[count:]]


@pytest.mark.parametrize('word', ['NO', 'BAD'])
def test_idle_refused(mini, mount_mini, word):
    mini.on['IDLE'] = lambda session, _: session.reply('not here', word) or True
    mail = mount_mini(mini, 'names=uid', 'poll=1')
    assert mail.names() == ['1.eml', '2.eml', '3.eml']
    shows(lambda: 'IDLE' in mini.names())
    mini.box('INBOX').add(message(4).data)
    shows(lambda: told(mail, event='new') == [4])
    os.setxattr(mail / 'INBOX/4.eml', 'user.imap.flags', b'+\\Flagged')
    assert mini.names().count('IDLE') <= 2  # once on each connection
    assert 'told of changes' not in status_text(mail)


def test_idle_without_an_answer(mini, mount_mini):
    """Nobody waits behind it while another connection is free. The one that sent it is given up, and
    when that has happened once more, the server is polled."""
    mini.on['IDLE'] = lambda session, _: True
    mail = mount_mini(mini, 'names=uid', 'timeout=5', 'poll=1')
    assert mail.names() == ['1.eml', '2.eml', '3.eml']
    shows(lambda: 'IDLE' in mini.names() and 'connection 1: up' in status_text(mail))
    os.setxattr(mail / 'INBOX/1.eml', 'user.imap.flags', b'+\\Flagged')
    assert 'does not answer IDLE' not in mail.log()
    assert wait_until(lambda: 'does not answer IDLE' in mail.log(), 40 * SLOW)
    mini.box('INBOX').add(message(4).data)
    shows(lambda: told(mail, event='new') == [4])
    asked = mini.names().count('IDLE')
    for uid in (2, 3):
        os.setxattr(mail / f'INBOX/{uid}.eml', 'user.imap.flags', b'+\\Flagged')
        looks = mini.names().count('NOOP')
        shows(lambda: mini.names().count('NOOP') > looks)
    assert mini.names().count('IDLE') == asked
    assert 2 <= asked <= 4  # each time on one or both of two connections
    assert mail.log().count('does not answer IDLE') == 1
    assert 'told of changes' not in status_text(mail)


def test_always_in_trouble(mini, mount_mini):
    """A server that says NO whenever it is asked what is new is believed all the same, by and by."""
    def noop(session, _command):
        session.send(b'* NO trouble\r\n')

    mini.on['NOOP'] = mini.on['IDLE'] = noop
    mail = mount_mini(mini, 'names=uid', 'poll=1')
    assert mail.names() == ['1.eml', '2.eml', '3.eml']
    began = time.monotonic()
    for uid in (4, 5, 6):
        mini.box('INBOX').add(message(uid).data)
        # The mailbox is selected anew every ten seconds at most.
        assert wait_until(lambda: mail.names()[-1] == f'{uid}.eml', 3 * SOON)
        assert wait_until(lambda: mail.names() and 'told of changes' in status_text(mail), 3 * SOON), (
            status_text(mail), mini.names()[-40:])
    selects = [n for n in mini.names() if n in ('SELECT', 'EXAMINE')]
    assert len(selects) <= 4 + 2 * (time.monotonic() - began) / 10, selects


def test_changes_without_uids(mini, mount_mini):
    speech = saying(mini)
    mail = mount_mini(mini, 'names=uid', 'poll=0')
    assert mail.names() == ['1.eml', '2.eml', '3.eml']
    shows(lambda: idles(mail))
    inbox = mini.box('INBOX')
    with mini.lock:
        inbox.mails[1].flags |= {'\\Flagged', '$Later'}
        speech.append(b'* 2 FETCH (FLAGS (\\Flagged $Later))\r\n')
    shows(lambda: flags(mail / 'INBOX/2.eml') == {'\\Flagged', '$Later'})
    with mini.lock:
        del inbox.mails[0]
        inbox.add(message(4).data)
    shows(lambda: told(mail, event='expunged') == [1] and told(mail, event='new') == [4])
    assert told(mail, event='flags') == [2]
    assert not os.path.exists(mail / 'INBOX/1.eml')
    assert mail.names() == ['2.eml', '3.eml', '4.eml']


def test_idle_ended_by_the_server(mini, mount_mini):
    """A tagged answer nobody asked for: idles again, and not without a pause."""
    def idle_or_done(session, command):
        session.send(b'+ idling\r\n')
        if session.peer.readable(0.05):
            session.peer.recv_line()
        session.reply('that was enough')
        return True

    mini.on['IDLE'] = idle_or_done
    mini.on['DONE'] = lambda session, command: True
    mail = mount_mini(mini, 'names=uid', 'poll=1')
    assert mail.names() == ['1.eml', '2.eml', '3.eml']
    shows(lambda: mini.names().count('IDLE') >= 3)
    began, count = time.monotonic(), len(mini.commands)
    mini.box('INBOX').add(message(4).data)
    shows(lambda: told(mail, event='new') == [4])
    assert len(mini.commands) - count < 20 + 10 * (time.monotonic() - began)


def test_still_here(mini, mount_mini):
    """What keeps the connection alive keeps nobody busy."""
    speech = saying(mini)
    mail = mount_mini(mini, 'names=uid', 'timeout=1')
    assert mail.names() == ['1.eml', '2.eml', '3.eml']
    shows(lambda: idles(mail))
    count, connections = len(mini.commands), mini.connections
    speech += [b'* OK Still here\r\n'] * 60
    shows(lambda: not speech)
    assert len(mini.commands) - count <= 2, commands_since(mini, count)
    assert mini.connections == connections
    mini.box('INBOX').add(message(4).data)
    shows(lambda: told(mail, event='new') == [4])


@pytest.mark.parametrize('word', ['OK', 'NO', 'BAD'])
def test_notify(mini, mount_mini, word):
    mini.capabilities.append('NOTIFY')
    mini.on['NOTIFY'] = lambda session, _: session.reply('NOTIFY, hm', word) or True
    speech = saying(mini)
    mail = mount_mini(mini, 'names=uid')
    assert mail.names() == ['1.eml', '2.eml', '3.eml']
    shows(lambda: idles(mail))
    assert ('(NOTIFY)' in status_text(mail)) == (word == 'OK')
    mini.box('INBOX').add(message(4).data)
    shows(lambda: told(mail, event='new') == [4])
    if word == 'OK':
        speech.append(b'* OK [NOTIFICATIONOVERFLOW] too much\r\n')
        shows(lambda: '(NOTIFY)' not in status_text(mail))
        mini.box('INBOX').add(message(5).data)
        shows(lambda: told(mail, event='new') == [4, 5])
    assert mini.names().count('NOTIFY') == 1


def is_gone(path):
    """Not so if the server cannot be asked."""
    try:
        os.stat(path)
    except OSError as error:
        return error.errno == errno.ENOENT
    return False


def test_deleted_while_a_first_listing_breaks_off(mini, mount_mini):
    """What that has named is found no longer than it is there, though NOTIFY tells of all folders."""
    named, broken = threading.Event(), threading.Event()

    def break_off(session, command):
        pairs = [session._item(session.view[0], item) for item in command.args[1]]
        if not named.is_set():
            session.send(fetch_row(1, pairs))
            named.wait(SOON)
        broken.set()
        raise Dropped

    mini.capabilities.append('NOTIFY')
    mini.on['NOTIFY'] = lambda session, _: session.reply('NOTIFY done') or True
    mini.on['UID FETCH'] = break_off
    mail = mount_mini(mini, 'names=uid', 'poll=0', 'connections=1')
    assert '(NOTIFY)' in status_text(mail)
    with os.scandir(mail / 'INBOX') as entries:
        assert next(entries).name == '1.eml'
        with os.scandir(mail / 'INBOX') as others:  # of which the first answer brings it at once
            assert next(others).name == '1.eml'
        assert os.stat(mail / 'INBOX/1.eml').st_size == len(message(1).data)
        named.set()
        with pytest.raises(OSError):
            list(entries)
    assert broken.is_set()
    del mini.on['UID FETCH'], mini.boxes['INBOX'].mails[0]
    shows(lambda: is_gone(mail / 'INBOX/1.eml'))
    assert mail.names() == ['2.eml', '3.eml']


def has_selected(mail, connection, mailbox):
    return re.search(rf'^connection {connection}: up, .*, mailbox {mailbox},', status_text(mail),
                     re.M)


def test_notify_without_idle(mini, mount_mini):
    """A server that promises to tell and does not is asked."""
    def list_only(session, command):
        session.do_list(*command.args)
        session.reply('LIST completed')  # and not a word on INBOX
        return True

    mini.without('IDLE')
    mini.on['LIST'] = list_only
    mini.capabilities.append('NOTIFY')
    mini.on['NOTIFY'] = lambda session, _: session.reply('I will') or True
    mail = mount_mini(mini, 'names=uid', 'poll=0')
    assert mail.names() == ['1.eml', '2.eml', '3.eml']
    shows(lambda: '(NOTIFY)' in status_text(mail))
    shows(lambda: mail.names() and 'NOOP' in mini.names())  # a look since INBOX was selected
    mini.box('INBOX').add(message(4).data)
    shows(lambda: mail.names() == ['1.eml', '2.eml', '3.eml', '4.eml'])


def test_idle_is_taken_over(mini, mount_mini):
    """Two connections have INBOX, of which one idles; that one moves on."""
    mini.box('INBOX').add(message(4, 1_000_000).data)
    mail = mount_mini(mini, 'names=uid', 'poll=0', 'connections=2')
    assert len(mail.names()) == 4
    shows(lambda: 'connection 1: up' in status_text(mail))
    assert len((mail / 'INBOX/4.eml').read_bytes()) > 1_000_000
    shows(lambda: has_selected(mail, 0, 'INBOX') and has_selected(mail, 1, 'INBOX'))
    shows(lambda: mini.names()[-1] == 'IDLE' and
          bool(idles(mail, 0)) + bool(idles(mail, 1)) == 1)
    idling = 0 if idles(mail, 0) else 1
    time.sleep(0.6)  # so that the other one has had its moment to think of it
    assert not idles(mail, 1 - idling)
    shows(lambda: mail.names('Other') == [] and has_selected(mail, idling, 'Other'),
          lambda: status_text(mail))
    shows(lambda: idles(mail, 1 - idling))
    mini.box('INBOX').add(message(5).data)
    shows(lambda: told(mail, folder='INBOX', event='new') == [5])


def test_notify_comes_back(mini, mount_mini):
    """Only the connection that carried it is lost, and cannot be made anew for a while."""
    folders = ['INBOX', 'Other', 'Third']
    mini.box('Third')
    mini.capabilities.append('NOTIFY')
    carriers = []

    def notify(session, _command):
        carriers.append(session)
        session.reply('NOTIFY completed')
        return True

    mini.on['NOTIFY'] = notify
    mail = mount_mini(mini, 'names=uid', 'poll=0', 'connections=2')
    for folder in folders:
        mail.names(folder)
    shows(lambda: 'connection 1: up' in status_text(mail) and idles(mail))
    greeting, mini.greeting = mini.greeting, b'* BYE too many\r\n'
    before, looks = mini.connections, [n for n in mini.names() if n in ('SELECT', 'NOOP')]
    carriers[0].peer.sock.shutdown(socket.SHUT_RDWR)
    shows(lambda: mini.connections >= before + 2)
    shows(lambda: len([n for n in mini.names() if n in ('SELECT', 'NOOP')]) >= len(looks) + 3)
    assert 'connection 1: up' in status_text(mail)
    for folder in folders:
        mini.box(folder).add(message(9).data)
    mini.greeting = greeting
    shows(lambda: '(NOTIFY)' in status_text(mail))
    for folder in folders:
        shows(lambda: len(told(mail, folder=folder, event='new')) == 1)
    assert len(carriers) == 2


def test_look_refused(mini, mount_mini):
    """What was told and could not be looked at is looked at when somebody asks."""
    mail = mount_mini(mini, 'names=uid', 'poll=0')
    assert len(mail.names()) == 3
    shows(lambda: idles(mail))
    mini.box('INBOX').add(message(4).data)
    shows(lambda: told(mail, event='new') == [4])  # so there was a look since INBOX was selected
    refused_looks = []

    def noop(session, command):
        if refused_looks:
            return False
        refused_looks.append(command)
        session.reply('not now', 'NO')
        return True

    mini.on['NOOP'] = noop
    mini.box('INBOX').add(message(5).data)
    shows(lambda: refused_looks and mini.names()[-1] == 'IDLE' and idles(mail))
    time.sleep(1.2)  # a look that is a second old is given away
    assert mail.names() == ['1.eml', '2.eml', '3.eml', '4.eml', '5.eml']


def test_moved_here_during_a_look(mini, mount_mini):
    """The message is on the server, though the answer that says which are left does not have it:
    that connection has not heard of it. Like Dovecot, the server takes no notice of what is new
    before a command that came in one go with the NOOP."""
    mini.box('Other').add(message(9).data)
    asked, moved = threading.Event(), threading.Event()

    def noop(session, _command):
        if session.peer.readable(0):
            session.reply('NOOP completed')
            return True
        return False

    def fetch(session, command):
        if b' 4:*' not in command.raw or moved.is_set():
            return False
        asked.set()
        moved.wait(SOON)
        session.do_uid_fetch(*command.args)
        session.reply('FETCH completed')
        return True

    mini.on.update({'NOOP': noop, 'UID FETCH': fetch})
    mail = mount_mini(mini, 'names=uid', 'poll=0')
    assert mail.names('Other') == ['1.eml'] and mail.names() == ['1.eml', '2.eml', '3.eml']
    shows(lambda: idles(mail, 0) or idles(mail, 1))
    inbox = mini.box('INBOX')
    with mini.lock:
        del inbox.mails[0]
        inbox.add(message(4).data)
    assert asked.wait(SOON)
    os.rename(mail / 'Other/1.eml', mail / 'INBOX/moved.eml')
    moved.set()
    shows(lambda: mail.names() == ['2.eml', '3.eml', '4.eml', '5.eml'])
    assert told(mail, folder='INBOX', event='expunged') == [1]
    assert sorted(told(mail, folder='INBOX', event='new')) == [4, 5]


def test_read_during_a_slow_move(mini, mount_mini):
    """The kernel cannot be told of a name in Dest as long as the rename there waits for the server.
    Who reads elsewhere does not wait for that."""
    mini.box('Other').add(message(9).data)
    for number in (10, 11):
        mini.box('Dest').add(message(number).data)
    asked, go = threading.Event(), threading.Event()

    def move(_session, _command):
        asked.set()
        go.wait(60 * SLOW)
        return False

    mini.without('IDLE')
    mini.on['UID MOVE'] = move
    mail = mount_mini(mini, 'names=uid', 'poll=1', 'timeout=60')
    for folder in ('Other', 'Dest', 'INBOX'):
        for name in mail.names(folder):
            os.stat(mail / folder / name)
    mover = threading.Thread(target=os.rename, args=(mail / 'INBOX/3.eml', mail / 'Dest/3.eml'))
    result = []
    reader = threading.Thread(target=lambda: result.append((mail / 'Other/1.eml').read_bytes()))
    mover.start()
    try:
        assert asked.wait(SOON)
        with mini.lock:
            del mini.box('Dest').mails[1]
        shows(lambda: told(mail, event='expunged') == [2], lambda: events(mail))
        reader.start()
        reader.join(SOON)
        assert result == [message(9).data] and mover.is_alive()
    finally:
        go.set()
        mover.join()
    assert mail.names('Dest') == ['1.eml', '3.eml'] and mail.names() == ['1.eml', '2.eml']


FLOODS = {
    'EXISTS': b'* 4 EXISTS\r\n* 3 EXISTS\r\n' * 50_000 + b'* 1 EXPUNGE\r\n* 3 EXISTS\r\n' * 25_000,
    'FETCH': b'* 1 FETCH (FLAGS (\\Seen))\r\n* 2 FETCH (UID 2 FLAGS (\\Flagged))\r\n' * 50_000,
    'FETCH of strangers': b''.join(b'* 9 FETCH (UID %d FLAGS ())\r\n' % n
                                   for n in range(100, 50_100)),
    'VANISHED': b'* VANISHED 4000:4294967295\r\n* VANISHED (EARLIER) 5:4294967295\r\n' * 30_000,
    'STATUS': b'* STATUS INBOX (MESSAGES 4000000000 UIDNEXT 4294967295 UIDVALIDITY 9'
              b' HIGHESTMODSEQ 9223372036854775807)\r\n' * 30_000 +
              b''.join(b'* STATUS "M%d" (MESSAGES 4 UIDNEXT 9)\r\n' % n for n in range(50_000)),
    'LIST': b''.join(b'* LIST () "/" "M%d"\r\n' % n for n in range(50_000)) +
            b'* OK [NOTIFICATIONOVERFLOW] x\r\n' * 50_000,
}


def rss(mail):
    with open(f'/proc/{mail.pid}/status', encoding='ascii') as file:
        return int(re.search(r'VmRSS:\s+(\d+)', file.read())[1]) * 1024


@pytest.mark.parametrize('flood', FLOODS, ids=FLOODS)
def test_flood(mini, mount_mini, flood):
    """Whatever a server says unasked: few questions, little memory, and the truth in the end."""
    mini.capabilities += ['NOTIFY']
    mini.on['NOTIFY'] = lambda session, _: session.reply('OK') or True
    speech = saying(mini)
    mail = mount_mini(mini, 'names=uid')
    assert mail.names() == ['1.eml', '2.eml', '3.eml']
    shows(lambda: idles(mail))
    began, count, memory = time.monotonic(), len(mini.commands), rss(mail)
    speech += [FLOODS[flood], b'* OK that was it\r\n']
    while speech:
        assert len(status_text(mail)) > 100
        assert time.monotonic() - began < 20 * SLOW
    assert (mail / 'INBOX/2.eml').read_bytes() == message(2).data
    mini.box('INBOX').add(message(5).data, uid=5)
    shows(lambda: 5 in told(mail, event='new'))
    assert (mail / 'INBOX/5.eml').read_bytes() == message(5).data
    shows(lambda: mail.names() == ['1.eml', '2.eml', '3.eml', '5.eml'])
    shows(lambda: mail.names('.') == ['INBOX', 'Other'])
    # Per second: a look of some commands at the folder, a LIST, IDLE, and this test's own.
    assert len(mini.commands) - count < 30 + 20 * (time.monotonic() - began), \
        commands_since(mini, count)
    if SLOW == 1:
        # Rows behind a LIST of ours are taken for its answer: 50,000 folders for a while.
        assert rss(mail) - memory < (80 if flood == 'LIST' else 24) << 20


@pytest.mark.parametrize('gone', ['1:3', '1:4294967295'])
def test_vanished_that_is_not_true(mini, mount_mini, gone):
    """They are gone, says the server, and then how many there are: it is asked which."""
    speech = saying(mini)
    mail = mount_mini(mini, 'names=uid')
    assert mail.names() == ['1.eml', '2.eml', '3.eml']
    shows(lambda: idles(mail))
    speech += [f'* VANISHED {gone}\r\n'.encode(), b'* OK [ALERT] gone, all of them\r\n']
    shows(lambda: 'gone, all of them' in mail.log())
    mail.names()
    shows(lambda: idles(mail))
    speech.append(b'* 3 EXISTS\r\n')
    shows(lambda: mail.names() == ['1.eml', '2.eml', '3.eml'])
    assert (mail / 'INBOX/2.eml').read_bytes() == message(2).data


# ---- the option ----------------------------------------------------------------------------------


@pytest.mark.parametrize('value', ['', 'x', '-1', '1s', '86401', '99999999999999999999', '1.5'])
def test_bad_poll(tmp_path, value):
    done = run(['-f', '-o', f'poll={value}', 'imap://alice@127.0.0.1:1', str(tmp_path)], tmp_path)
    assert done.returncode != 0 and 'poll= is a number of seconds' in done.stderr
