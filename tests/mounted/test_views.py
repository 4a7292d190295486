"""FOLDER/.unread and FOLDER/.flagged: which messages they show, and what can be done there."""

import contextlib
import errno
import os
import stat

import pytest

import messages
from messages import message
from mini import MiniServer
from mount import SLOW, refused
from server import quote, wait_until

pytestmark = pytest.mark.tsan

SOON = 10 * SLOW

UNREAD, FLAGGED = '.unread', '.flagged'

# UID 1 is neither, 2 unread, 3 flagged, 4 both.
FLAGS = {1: '\\Seen', 2: '', 3: '\\Seen \\Flagged', 4: '\\Flagged'}


def fill(account, *mailboxes):
    for mailbox in mailboxes or ['INBOX']:
        account.fill(mailbox, [message(n, flags=flags) for n, flags in FLAGS.items()])


def uids(path):
    return sorted(int(name.split('.')[-2]) for name in os.listdir(path))


def store(account, mailbox, uid, change, flags):
    """As another client does it."""
    conn = account.client(mailbox, readonly=False)
    status, data = conn.uid('STORE', str(uid), f'{change}FLAGS', f'({flags})')
    assert status == 'OK', data


def exists(path):
    try:
        os.stat(path)
        return True
    except FileNotFoundError:
        return False


# ---- what is in them -----------------------------------------------------------------------------


@pytest.mark.parametrize('options', [(), ('names=uid',), ('ro',)], ids=['pretty', 'uid', 'ro'])
def test_listed_and_read(account, mount, options):
    fill(account)
    mail = mount(*options)
    inbox = {uid: mail.message('INBOX', uid) for uid in FLAGS}
    for view, expected in ((UNREAD, [2, 4]), (FLAGGED, [3, 4])):
        assert uids(mail / 'INBOX' / view) == expected
        for uid, path in inbox.items():
            there = mail / 'INBOX' / view / path.name
            if uid in expected:
                assert there.stat() == path.stat()  # also the inode
                assert there.read_bytes() == message(uid).data
                assert (mail / 'INBOX' / view / f'{uid}.eml').stat().st_ino == path.stat().st_ino
                assert os.getxattr(there, 'user.imap.uid') == str(uid).encode()
            else:
                assert not exists(there)
                assert not exists(mail / 'INBOX' / view / f'{uid}.eml')
    # Nobody was marked read by all this.
    assert account.uids('INBOX', 'UNSEEN') == [2, 4]


def test_found_without_a_listing(account, mount):
    """One message of a folder that nobody has listed is asked for alone."""
    fill(account)
    mail = mount('names=uid')
    for view, expected in ((UNREAD, [2, 4]), (FLAGGED, [3, 4])):
        for uid in (1, 2, 3, 4, 5):
            assert exists(mail / f'INBOX/{view}/{uid}.eml') == (uid in expected)
    assert (mail / 'INBOX/.unread/2.eml').read_bytes() == message(2).data


def test_directories(account, mount, sh):
    """Of a folder's kind, with its time; what is not in a view is not in it."""
    fill(account)
    mail = mount('names=uid')
    mail.names()
    for view in (UNREAD, FLAGGED):
        path = mail / 'INBOX' / view
        st, parent = os.stat(path), os.stat(mail / 'INBOX')
        assert stat.S_IMODE(st.st_mode) == 0o700 and stat.S_ISDIR(st.st_mode)
        assert st.st_nlink == 2 and st.st_mtime == parent.st_mtime
        assert os.stat(path / '..').st_ino == parent.st_ino
        dots = sh('ls -ai', path).stdout.split()
        assert dots[dots.index(b'..') - 1] == str(parent.st_ino).encode()
        assert os.listxattr(path) == []
        with refused(errno.ENODATA):
            os.getxattr(path, 'user.imap.messages')
        with refused(errno.EOPNOTSUPP):
            os.setxattr(path, 'user.imap.flags', b'\\Seen')
        for name in (UNREAD, FLAGGED, '.imapfs', 'INBOX', '5.eml'):
            assert not exists(path / name)
        os.chdir(path)
        os.chdir('/')
        assert os.statvfs(path).f_namemax == 255
    inodes = {os.stat(mail / 'INBOX' / v).st_ino for v in ('.', UNREAD, FLAGGED)}
    assert len(inodes) == 3


def test_not_listed(account, mount, sh):
    """What walks over the folder does not come into them, also once they are known."""
    fill(account)
    mail = mount('names=uid')
    assert uids(mail / 'INBOX/.unread') == [2, 4]
    assert mail.names() == [f'{uid}.eml' for uid in FLAGS]
    assert sh('ls -A INBOX', mail.path).stdout.split() == [b'1.eml', b'2.eml', b'3.eml', b'4.eml']
    assert sh('find . -name .unread', mail.path).stdout == b''
    inode = os.stat(mail / 'INBOX/2.eml').st_ino
    assert sh(f'find . -inum {inode}', mail.path).stdout == b'./INBOX/2.eml\n'
    assert len(sh('grep -rl Message-ID .', mail.path).stdout.splitlines()) == 4
    assert sh('du -a INBOX | wc -l', mail.path).stdout == b'5\n'
    assert sh('tar c INBOX | tar t | wc -l', mail.path).stdout == b'5\n'
    # Inside of one they walk as everywhere.
    assert sorted(sh('grep -rl Message-ID INBOX/.unread', mail.path).stdout.split()) == [
        b'INBOX/.unread/2.eml', b'INBOX/.unread/4.eml']


def test_where_they_are(make_server, make_account, make_mount):
    """In each folder that can hold messages, at whatever depth; where none can be is no view."""
    account = make_account(make_server(separator='/'))
    fill(account, 'INBOX', 'Deep/Below/There')
    mail = make_mount(account, 'names=uid')
    assert uids(mail / 'Deep/Below/There/.unread') == [2, 4]
    for path in ('.unread', '.imapfs/.unread', 'INBOX/1.eml/.unread'):
        with refused(errno.ENOENT, errno.ENOTDIR):
            os.stat(mail / path)
    mounted = make_mount(account, 'names=uid', source_suffix='/INBOX')
    assert uids(mounted / '.unread') == [2, 4]
    assert os.stat(mounted / '.unread/..').st_ino == os.stat(mounted.path).st_ino
    assert '.unread' not in os.listdir(mounted.path)


def test_a_level_without_messages(mount_mini):
    """A level that only holds others has no view, and gets no mailbox by such a name."""
    mini = MiniServer()
    mini.box('INBOX').add(message(1).data)
    mini.box('Level', ['\\Noselect'])
    mini.box('Level/Box').add(message(2).data)
    mail = mount_mini(mini, 'names=uid')
    assert not exists(mail / 'Level/.unread')
    assert uids(mail / 'Level/Box/.unread') == [1]
    with refused(errno.EPERM):
        os.mkdir(mail / 'Level/.unread')
    with refused(errno.EPERM):
        os.mkdir(mail / '.flagged')
    with refused(errno.EPERM):
        os.rename(mail / 'Level/Box', mail / 'Level/.unread')
    assert sorted(mini.boxes) == ['INBOX', 'Level', 'Level/Box']


def test_many(account, mount, sh):
    """More than fit into one answer, in a folder of which most are not in the view."""
    account.fill('INBOX', [message(n, flags='' if n % 7 == 0 else '\\Seen')
                           for n in range(1, 2001)])
    mail = mount()
    expected = [n for n in range(1, 2001) if n % 7 == 0]
    assert uids(mail / 'INBOX/.unread') == expected  # while the folder is loaded
    assert uids(mail / 'INBOX/.unread') == expected
    assert len(os.listdir(mail / 'INBOX')) == 2000
    assert uids(mail / 'INBOX/.flagged') == []
    done = sh('grep -l Message-ID INBOX/.unread/* | wc -l', mail.path)
    assert int(done.stdout) == len(expected)


def test_a_mailbox_of_that_name(mount_mini):
    """What is really there wins, and stays what it was."""
    mini = MiniServer()
    for number, flags in FLAGS.items():
        mini.box('INBOX').add(message(number).data, flags.split())
    mini.box('INBOX/.unread').add(message(9).data)
    mail = mount_mini(mini, 'names=uid', 'poll=1')
    assert '.unread' in mail.names()
    assert uids(mail / 'INBOX/.unread') == [1]
    assert (mail / 'INBOX/.unread/1.eml').read_bytes() == message(9).data
    assert os.getxattr(mail / 'INBOX/.unread', 'user.imap.messages') == b'1'
    assert uids(mail / 'INBOX/.flagged') == [3, 4]
    assert uids(mail / 'INBOX/.unread/.unread') == [1]
    os.rename(mail / 'INBOX/.unread/1.eml', mail / 'INBOX/new.eml')
    os.rmdir(mail / 'INBOX/.unread')
    assert wait_until(lambda: uids(mail / 'INBOX/.unread') == [2, 4, 5], SOON)
    assert '.unread' not in mail.names()
    mini.box('INBOX/.unread').add(message(8).data)  # as another client makes one
    assert wait_until(lambda: '.unread' in mail.names(), SOON)
    assert wait_until(lambda: uids(mail / 'INBOX/.unread') == [1], SOON)


# ---- what changes --------------------------------------------------------------------------------


def test_flags_set_here(account, mount):
    """At once, also where the kernel has seen the names a moment ago."""
    fill(account)
    mail = mount('names=uid')
    unread, flagged = mail / 'INBOX/.unread', mail / 'INBOX/.flagged'
    assert uids(unread) == [2, 4] and uids(flagged) == [3, 4]
    os.setxattr(unread / '2.eml', 'user.imap.flags', b'+\\Seen')
    assert not exists(unread / '2.eml') and uids(unread) == [4]
    os.setxattr(mail / 'INBOX/1.eml', 'user.imap.flags', b'+\\Flagged')
    assert exists(flagged / '1.eml') and uids(flagged) == [1, 3, 4]
    os.setxattr(flagged / '4.eml', 'user.imap.flags', b'-\\Flagged')
    assert not exists(flagged / '4.eml') and uids(flagged) == [1, 3]
    with refused(errno.ENOENT):
        os.setxattr(flagged / '4.eml', 'user.imap.flags', b'+\\Answered')
    assert uids(unread) == [4]
    os.setxattr(mail / 'INBOX/3.eml', 'user.imap.flags', b'-\\Seen')
    assert exists(unread / '3.eml')
    assert account.uids('INBOX', 'UNSEEN') == [3, 4]
    assert account.uids('INBOX', 'FLAGGED') == [1, 3]
    assert mail.names() == [f'{uid}.eml' for uid in FLAGS]


@pytest.mark.parametrize('listed', [True, False], ids=['listed', 'unlisted'])
def test_flags_set_elsewhere(account, mount, listed):
    fill(account)
    mail = mount('names=uid')
    unread = mail / 'INBOX/.unread'
    if listed:
        assert uids(unread) == [2, 4]
    assert exists(unread / '2.eml') and not exists(unread / '1.eml')
    store(account, 'INBOX', 2, '+', '\\Seen')
    store(account, 'INBOX', 1, '-', '\\Seen')
    assert wait_until(lambda: not exists(unread / '2.eml'), SOON)
    assert wait_until(lambda: exists(unread / '1.eml'), SOON)
    assert uids(unread) == [1, 4]


def test_a_server_that_tells_nothing(make_server, make_account, make_mount):
    """Nobody lists the view meanwhile: who asks for a name has the flags looked at."""
    account = make_account(make_server(without=['IDLE', 'NOTIFY']))
    fill(account)
    mail = make_mount(account, 'names=uid', 'poll=0')
    unread = mail / 'INBOX/.unread'
    assert uids(unread) == [2, 4]
    store(account, 'INBOX', 2, '+', '\\Seen')
    store(account, 'INBOX', 1, '-', '\\Seen')
    assert wait_until(lambda: not exists(unread / '2.eml'), SOON)
    assert exists(unread / '1.eml') and uids(unread) == [1, 4]


def test_mail_that_comes_and_goes(account, mount):
    fill(account)
    mail = mount('names=uid')
    unread = mail / 'INBOX/.unread'
    assert uids(unread) == [2, 4]
    account.fill('INBOX', [message(5), message(6, flags='\\Seen')])
    assert wait_until(lambda: uids(unread) == [2, 4, 5], SOON)
    store(account, 'INBOX', 4, '+', '\\Deleted')
    conn = account.client('INBOX', readonly=False)
    assert conn.expunge()[0] == 'OK'
    assert wait_until(lambda: not exists(unread / '4.eml'), SOON)
    assert uids(unread) == [2, 5]


def test_a_file_that_is_open_stays(account, mount):
    fill(account)
    mail = mount('names=uid')
    with open(mail / 'INBOX/.unread/2.eml', 'rb') as file:
        os.setxattr(mail / 'INBOX/2.eml', 'user.imap.flags', b'+\\Seen')
        assert not exists(mail / 'INBOX/.unread/2.eml')
        assert file.read() == message(2).data


def test_marked_by_reading(account, mount):
    fill(account)
    mail = mount('names=uid', 'mark_seen')
    assert (mail / 'INBOX/.unread/2.eml').read_bytes() == message(2).data
    assert wait_until(lambda: uids(mail / 'INBOX/.unread') == [4], SOON)


# ---- what can be done there ----------------------------------------------------------------------


def test_rm(account, mount, sh):
    fill(account)
    mail = mount('names=uid')
    assert mail.names() == [f'{uid}.eml' for uid in FLAGS]
    os.unlink(mail / 'INBOX/.unread/2.eml')
    assert account.uids() == [1, 3, 4]
    assert not exists(mail / 'INBOX/.unread/2.eml')
    assert wait_until(lambda: not exists(mail / 'INBOX/2.eml'), SOON)
    assert mail.names() == ['1.eml', '3.eml', '4.eml']
    with refused(errno.ENOENT):
        os.unlink(mail / 'INBOX/.unread/1.eml')  # there, but read
    sh('rm INBOX/.flagged/*', mail.path)
    assert account.uids() == [1] and uids(mail / 'INBOX/.flagged') == []
    done = sh('rm -r INBOX/.unread', mail.path, check=False)
    assert b'Operation not permitted' in done.stderr
    assert account.uids() == [1]


def test_mv_out(account, mount, sh):
    fill(account)
    account.fill('Archive', [message(9)])
    mail = mount('names=uid')
    assert uids(mail / 'INBOX/.unread') == [2, 4] and mail.names('Archive') == ['1.eml']
    sh('mv INBOX/.unread/2.eml Archive/kept.eml', mail.path)
    assert (mail / 'Archive/kept.eml').read_bytes() == message(2).data
    assert account.uids() == [1, 3, 4] and account.uids('Archive') == [1, 2]
    assert not exists(mail / 'INBOX/.unread/2.eml')
    assert wait_until(lambda: not exists(mail / 'INBOX/2.eml'), SOON)
    assert uids(mail / 'Archive/.unread') == [1, 2]
    # A name that is another message's: both stay.
    os.rename(mail / 'INBOX/.flagged/3.eml', mail / 'Archive/1.eml')
    assert sorted(account.bodies('Archive').values()) == sorted(
        message(n).data for n in (9, 2, 3))
    assert (mail / 'Archive/1.eml').read_bytes() == message(9).data
    assert uids(mail / 'Archive/.flagged') == [3] and account.uids() == [1, 4]


def test_renamed_into_its_own_folder(account, mount):
    """A name comes from the message, by whichever way it is asked for another one."""
    fill(account)
    mail = mount('names=uid')
    with refused(errno.EPERM):
        os.rename(mail / 'INBOX/.unread/2.eml', mail / 'INBOX/other.eml')
    with refused(errno.EEXIST):
        os.rename(mail / 'INBOX/.unread/2.eml', mail / 'INBOX/1.eml')
    with refused(errno.EPERM):
        os.rename(mail / 'INBOX/.unread/2.eml', mail / 'INBOX/.unread/other.eml')
    os.rename(mail / 'INBOX/.unread/2.eml', mail / 'INBOX/2.eml')  # the same file: nothing to do
    assert account.uids() == [1, 2, 3, 4]
    assert uids(mail / 'INBOX/.unread') == [2, 4] and len(mail.names()) == 4


@pytest.mark.parametrize('view', [UNREAD, FLAGGED])
def test_nothing_goes_in(account, mount, view):
    fill(account)
    account.fill('Archive', [message(8, flags='\\Flagged'), message(9, flags='\\Flagged')])
    mail = mount('names=uid')
    there = mail / 'INBOX' / view
    names = uids(there)
    for source, target in (('Archive/1.eml', '1.eml'), ('Archive/1.eml', 'new.eml'),
                           ('Archive/1.eml', '4.eml'), ('INBOX/1.eml', '1.eml'),
                           ('Archive', 'Archive'), ('Archive', 'new'),
                           (f'INBOX/{view}', '../other'), (f'INBOX/{view}', '../../other')):
        with refused(errno.EPERM):
            os.rename(mail / source, there / target)
    for make in (os.mkdir, os.mknod, lambda path: os.symlink('x', path),
                 lambda path: os.link(mail / 'INBOX/1.eml', path),
                 lambda path: open(path, 'xb')):
        with refused(errno.EPERM):
            make(there / 'new')
    with refused(errno.EPERM):
        os.rmdir(there)
    with refused(errno.EISDIR):
        os.unlink(there)
    with refused(errno.EEXIST):
        os.mkdir(there)
    with refused(errno.EPERM), open(there / '4.eml', 'ab', buffering=0) as file:
        file.write(b'x')
    assert uids(there) == names and account.uids() == [1, 2, 3, 4]
    assert account.uids('Archive') == [1, 2]
    assert set(account.folders()) == {'INBOX', 'Archive'}


def test_read_only(account, mount):
    fill(account)
    mail = mount('names=uid', 'ro')
    there = mail / 'INBOX/.unread'
    for deed in (lambda: os.unlink(there / '2.eml'), lambda: os.rmdir(there),
                 lambda: os.mkdir(there / 'new'),
                 lambda: os.setxattr(there / '2.eml', 'user.imap.flags', b'+\\Seen'),
                 lambda: os.rename(there / '2.eml', mail / 'INBOX/new.eml')):
        with refused(errno.EROFS):
            deed()
    assert uids(there) == [2, 4] and account.uids() == [1, 2, 3, 4]


def test_a_folder_with_views_goes(account, mount):
    """That somebody is in a view keeps no folder, and the view goes with it."""
    fill(account)
    conn = account.client()
    assert conn.create('Gone')[0] == 'OK'
    mail = mount('names=uid')
    assert uids(mail / 'Gone/.unread') == []
    handle = os.open(mail / 'Gone/.unread', os.O_RDONLY)
    try:
        os.rmdir(mail / 'Gone')
        assert not exists(mail / 'Gone/.unread')
        with contextlib.suppress(OSError):
            assert os.listdir(handle) == []
        with refused(errno.ESTALE, errno.ENOENT):
            os.stat('1.eml', dir_fd=handle)
    finally:
        os.close(handle)


# ---- what it costs -------------------------------------------------------------------------------


def test_nothing_is_asked_for_a_view_of_what_is_known(account, make_proxy, make_mount, sh):
    """While the server tells of changes, a listing and names of a view are answered from what is
    known."""
    account.fill('INBOX', messages.messages(50))
    proxy = make_proxy(account.server, record=True)
    mail = make_mount(account, 'names=uid', 'connections=1', tls='no', port=proxy.port)
    assert len(mail.names()) == 50

    def quiet():
        before = len(proxy.writes)
        sh('ls -l .unread/ > /dev/null && stat .unread/7.eml && test ! -e .flagged/7.eml',
           mail / 'INBOX')
        return len(proxy.writes) == before
    assert wait_until(quiet, SOON)
