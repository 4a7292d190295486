"""Extended attributes: what is told of a message and of a folder, and what asking costs."""

import errno
import os
import random
import re
import threading

import pytest

import messages
from messages import message, raw
from mini import MiniServer
from mount import SLOW, refused
from server import Message, wait_until

pytestmark = pytest.mark.tsan

MANY = 300
FIELDS = ('from', 'to', 'subject', 'date', 'message-id')


def header_fetches(mini):
    """The commands that ask for the fields of attributes; a listing asks for two of them only."""
    return [c.raw for c in list(mini.commands) if re.search(rb'HEADER\.FIELDS \(FROM TO', c.raw)]


def filled(count, size=300):
    mini = MiniServer()
    for number in range(1, count + 1):
        data = message(number, size).data.replace(
            b'Subject:', b'Date: Wed, 17 Jul 2024 09:31:00 +0000\r\nSubject:', 1)
        mini.box('INBOX').add(data, ['\\Seen'] if number % 2 else ['\\Flagged', 'Work'])
    return mini


def subject(path):
    return os.getxattr(path, 'user.imap.subject').decode()


def test_attributes(account, mount, sh):
    account.fill('INBOX', [Message(raw('=?utf-8?q?Gr=C3=BC=C3=9Fe?=', 'Bob <bob@example.org>'),
                                   messages.EPOCH, '\\Flagged')])
    mail = mount()
    path = mail.message('INBOX', 1)
    values = {name: os.getxattr(path, f'user.imap.{name}').decode() for name in ('uid', *FIELDS)}
    assert values['uid'] == '1' and values['subject'] == 'Grüße'
    assert values['from'] == 'Bob <bob@example.org>'
    assert os.getxattr(path, 'user.imap.flags') == b'\\Flagged'
    done = sh('getfattr -d INBOX/1.eml; getfattr -n user.imap.from INBOX/1.eml', mail.path)
    assert done.stdout.splitlines() == [
        b'# file: INBOX/1.eml', br'user.imap.flags="\\Flagged"', b'',
        b'# file: INBOX/1.eml', b'user.imap.from="Bob <bob@example.org>"', b'']
    assert done.stderr == b''
    assert os.getxattr(mail / 'INBOX', 'user.imap.unseen') == b'1'


def test_named_is_what_makes_sense_in_a_copy(mount_mini, sh):
    mini = filled(2)
    mini.box('Bin', ['\\Trash'])
    mail = mount_mini(mini, 'names=uid')
    for path in ('.', 'INBOX', 'Bin', '.imapfs', '.imapfs/status'):
        assert os.listxattr(mail / path) == []
        assert sh(f'getfattr -d {path}', mail.path).stdout == b''
    for uid in (1, 2):
        path = mail / f'INBOX/{uid}.eml'
        assert os.listxattr(path) == ['user.imap.flags']
        for name in os.listxattr(path):  # what was copied can come back
            os.setxattr(path, name, os.getxattr(path, name))
        assert [m.flags for m in mini.boxes['INBOX'].mails] == [{'\\Seen'}, {'\\Flagged', 'Work'}]
    for name in ('mailbox', 'uidvalidity', 'messages', 'unseen', 'special-use'):
        os.getxattr(mail / 'Bin', f'user.imap.{name}')


def test_flags_that_look_like_a_change(mount_mini):
    mini = filled(1)
    mini.boxes['INBOX'].mails[0].flags = {'+1'}
    path = mount_mini(mini, 'names=uid') / 'INBOX/1.eml'
    os.setxattr(path, 'user.imap.flags', os.getxattr(path, 'user.imap.flags'))
    assert mini.boxes['INBOX'].mails[0].flags == {'+1'}
    os.setxattr(path, 'user.imap.flags', b'+\\Seen')
    assert mini.boxes['INBOX'].mails[0].flags == {'+1', '\\Seen'}


def test_a_folder_of_many_keywords(account, mount):
    """However many there are, none is left out: not of a message that has them all, nor of one that
    others came before, nor where it was moved."""
    account.fill('INBOX', [Message(raw(f'm{n}'), flags=f'tag{n}') for n in range(40)])
    account.fill('INBOX', [Message(raw('all'), flags=' '.join(f'tag{n}' for n in range(40)))])
    account.fill('Archive', [])
    mail = mount('names=uid')

    def flags(name):
        return set(os.getxattr(mail / name, 'user.imap.flags').decode().split())

    everything = {f'tag{n}' for n in range(40)}
    assert len(mail.names()) == 41
    assert [flags(f'INBOX/{n + 1}.eml') for n in range(40)] == [{f'tag{n}'} for n in range(40)]
    assert flags('INBOX/41.eml') == everything
    os.setxattr(mail / 'INBOX/41.eml', 'user.imap.flags', b'+one more')
    assert flags('INBOX/41.eml') == account.flags('INBOX', 41) == everything | {'one', 'more'}
    os.setxattr(mail / 'INBOX/41.eml', 'user.imap.flags', b'-tag39')
    os.rename(mail / 'INBOX/41.eml', mail / 'Archive/41.eml')
    assert flags('Archive/41.eml') == everything - {'tag39'} | {'one', 'more'}
    assert account.flags('Archive', 1) == everything - {'tag39'} | {'one', 'more'}


@pytest.mark.parametrize('copy', ['cp -a INBOX {to}',
                                  'tar cf - --xattrs INBOX | tar xf - --xattrs -C {to}',
                                  'mv INBOX/*.eml {to}/INBOX/'])
def test_copying_out_costs_what_reading_costs(mount_mini, sh, tmp_path, copy):
    """Attributes are copied along, and not one command asks for them."""
    out = tmp_path / 'out'
    (out / 'INBOX').mkdir(parents=True)
    try:
        os.setxattr(out, 'user.test', b'x')
    except OSError:
        pytest.skip('no extended attributes on this disk')
    mini = filled(MANY, 3000)
    data = [mail.data for mail in mini.boxes['INBOX'].mails]
    mail = mount_mini(mini, 'names=uid')
    done = sh(copy.format(to=out), mail.path)
    assert done.stderr == b''
    assert [(out / f'INBOX/{n}.eml').read_bytes() for n in range(1, MANY + 1)] == data
    assert os.getxattr(out / 'INBOX/1.eml', 'user.imap.flags') == b'\\Seen'
    assert os.getxattr(out / 'INBOX/2.eml', 'user.imap.flags') == b'\\Flagged Work'
    assert os.listxattr(out / 'INBOX') == []
    assert os.listxattr(out / 'INBOX/7.eml') == ['user.imap.flags']
    assert header_fetches(mini) == []
    # A walk over so many messages takes some sets, and a message that is not in one now and then.
    fetches = [c for c in mini.commands if c.name == 'UID FETCH' and b'BODY' in c.raw]
    assert len(fetches) < MANY / 5, fetches


ORDERS = {
    'ascending': list(range(1, MANY + 1)),
    'descending': list(range(MANY, 0, -1)),
    'as text': sorted(range(1, MANY + 1), key=str),
    'in no order': random.Random(3).sample(range(1, MANY + 1), MANY),
}


@pytest.mark.parametrize('order', ORDERS)
def test_all_headers_of_a_folder(mount_mini, order):
    """All attributes of all messages, in any order: some commands, not some for each."""
    mini = filled(MANY)
    mail = mount_mini(mini, 'names=uid')
    assert len(mail.names()) == MANY
    for uid in ORDERS[order]:
        path = mail / f'INBOX/{uid}.eml'
        assert subject(path) == f'Message {uid}'
        for name in FIELDS:
            assert os.getxattr(path, f'user.imap.{name}')
    assert 1 < len(header_fetches(mini)) <= 12, len(header_fetches(mini))
    # Nothing was asked for twice.
    asked = [uid for raw_ in header_fetches(mini) for uid in uids(raw_)]
    assert sorted(asked) == list(range(1, MANY + 1))


def uids(command):
    for part in re.search(rb'FETCH (\S+)', command)[1].split(b','):
        low, _, high = part.partition(b':')
        yield from range(int(low), int(high or low) + 1)


def test_a_few_headers_cost_a_few(mount_mini):
    """What is asked for ahead is in proportion to what was asked about, and nothing with prefetch=0."""
    mini = filled(MANY)
    mail = mount_mini(mini, 'names=uid')
    assert len(mail.names()) == MANY
    for count, uid in enumerate((150, 7, 290), 1):
        assert subject(mail / f'INBOX/{uid}.eml') == f'Message {uid}'
        asked = [uid for raw_ in header_fetches(mini) for uid in uids(raw_)]
        assert len(asked) <= 1 + 4 * (1 + 2 + 3) and (count > 1 or asked == [150])


def test_no_header_ahead(mount_mini):
    mini = filled(9)
    mail = mount_mini(mini, 'names=uid', 'prefetch=0')
    for uid in range(1, 10):
        assert subject(mail / f'INBOX/{uid}.eml') == f'Message {uid}'
    assert [list(uids(raw_)) for raw_ in header_fetches(mini)] == [[uid] for uid in range(1, 10)]


def test_the_header_of_what_was_read_is_known(mount_mini):
    mini = filled(1, 100_000)
    path = mount_mini(mini, 'names=uid') / 'INBOX/1.eml'
    assert len(path.read_bytes()) == len(mini.boxes['INBOX'].mails[0].data)
    before = len(mini.commands)
    assert subject(path) == 'Message 1'
    for name in ('uid', *FIELDS):
        assert os.getxattr(path, f'user.imap.{name}')
    assert [c for c in mini.commands[before:] if c.name != 'NOOP'] == []


def test_reading_and_asking_by_turns(mount_mini):
    """The kernel has what was read, and we have the header that somebody may ask for."""
    mini = filled(MANY)
    mail = mount_mini(mini, 'names=uid')
    for uid in range(1, MANY + 1):
        path = mail / f'INBOX/{uid}.eml'
        assert path.read_bytes() and subject(path) == f'Message {uid}'
    assert len(header_fetches(mini)) <= 12


def test_one_flight_for_all_who_ask(mount_mini):
    mini = filled(3)
    mail = mount_mini(mini, 'names=uid')
    assert len(mail.names()) == 3
    asked, release = threading.Event(), threading.Event()

    def hold(_session, command):
        if b'FROM TO' in command.raw:
            asked.set()
            release.wait(20 * SLOW)

    mini.on['UID FETCH'] = hold
    got = []
    threads = [threading.Thread(target=lambda name=name: got.append(
        os.getxattr(mail / 'INBOX/2.eml', f'user.imap.{name}'))) for name in FIELDS * 3]
    for thread in threads:
        thread.start()
    assert asked.wait(20 * SLOW)
    assert wait_until(lambda: f'calls waiting: {len(threads)}\n' in (
        mail / '.imapfs/status').read_text(), 20 * SLOW)
    release.set()
    for thread in threads:
        thread.join(20 * SLOW)
    assert len(got) == len(threads) and got.count(b'Message 2') == 3
    assert len(header_fetches(mini)) == 1


def test_what_is_no_attribute_of_ours_costs_nothing(mount_mini):
    mini = filled(1)
    path = mount_mini(mini, 'names=uid') / 'INBOX/1.eml'
    path.stat()
    before = len(mini.commands)
    for name in ('security.capability', 'security.selinux', 'system.posix_acl_access', 'trusted.x'):
        with refused(errno.EOPNOTSUPP, errno.ENODATA):
            os.getxattr(path, name)
    for name in ('user.x', 'user.imap.x', 'user.mime_type'):
        with refused(errno.ENODATA):
            os.getxattr(path, name)
    assert len(mini.commands) == before


def test_headers_of_a_message_that_is_gone(mount_mini):
    mini = filled(3)
    mail = mount_mini(mini, 'names=uid', 'poll=0')
    assert len(mail.names()) == 3
    with open(mail / 'INBOX/2.eml', 'rb') as open_file:
        mini.on['UID FETCH'] = lambda session, command: (
            b'FROM TO' in command.raw and (session.reply('done') or True))
        with refused(errno.ESTALE):
            os.getxattr(open_file.fileno(), 'user.imap.to')
        assert len(header_fetches(mini)) == 2, 'asked once more'
        del mini.on['UID FETCH']
        assert os.getxattr(open_file.fileno(), 'user.imap.subject') == b'Message 2'
