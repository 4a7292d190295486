"""Moving, deleting, and folders. What happened is asked of the server, not of the mount."""

import errno
import os
import re
import stat
import threading

import pytest

import messages
from messages import message
from mini import MiniServer
from mount import SLOW, in_pid_namespace, refused
from server import encode_utf7, wait_until

pytestmark = pytest.mark.tsan

# What the server can do, by how a move must then be made.
SERVERS = {
    'MOVE': [],
    'UIDPLUS': ['MOVE'],
    'neither': ['MOVE', 'UIDPLUS'],
}


@pytest.fixture(params=SERVERS, ids=SERVERS)
def flavour(request, make_server, make_account, make_proxy, make_mount):
    """(account, proxy that records, a function that mounts) for each kind of server."""
    account = make_account(make_server(without=SERVERS[request.param]))
    proxy = make_proxy(account.server, record=True)
    account.kind = request.param
    return account, proxy, lambda *options: make_mount(account, *options, tls='no', port=proxy.port)


# ---- moving a message ----------------------------------------------------------------------------


def test_move(flavour):
    account, proxy, mount = flavour
    account.fill('INBOX', [message(1), message(2, flags='\\Seen \\Flagged $Label'), message(3)])
    account.fill('Archive', messages.messages(4, first=10))
    mail = mount()
    path = mail.message('INBOX', 2)
    written = mail / 'Archive' / path.name
    proxy.reset_counters()
    os.rename(path, written)

    assert account.uids('INBOX') == [1, 3] or account.kind == 'neither'
    assert account.uids('INBOX', 'UNDELETED') == [1, 3]
    (uid,) = set(account.uids('Archive')) - {1, 2, 3, 4}
    assert account.body('Archive', uid) == message(2).data
    assert account.flags('Archive', uid) == {'\\Seen', '\\Flagged', '$Label'}
    assert account.internaldate('Archive', uid) == '17-Jul-2024 09:33:00 +0000'

    # The mount agrees: gone here, there under its new name and under the name that was written.
    assert len(mail.names('INBOX')) == 2 and not path.exists()
    shown = mail.message('Archive', uid)
    assert shown.read_bytes() == written.read_bytes() == message(2).data
    assert os.path.samefile(shown, written)
    assert len(mail.names('Archive')) == 5

    used = proxy.names()
    assert ('UID MOVE' in used) == (account.kind == 'MOVE')
    assert ('UID EXPUNGE' in used) == (account.kind == 'UIDPLUS')
    assert 'APPEND' not in used and 'CLOSE' not in used


def test_move_with_mv(flavour, sh):
    account, _, mount = flavour
    account.fill('INBOX', messages.messages(12))
    account.fill('Läufer/2024', [])
    mail = mount()
    sh('mv INBOX/*_Message-1.* INBOX/*Message-1[0-2]* Läufer/2024/', mail.path)
    assert account.uids('INBOX', 'UNDELETED') == list(range(2, 10))
    wire = encode_utf7('Läufer/2024').decode()
    assert wire in account.folders()
    assert sorted(account.bodies('Läufer/2024').values()) == sorted(
        message(n).data for n in (1, 10, 11, 12))
    assert len(mail.names('Läufer/2024')) == 4 and len(mail.names('INBOX')) == 8


def test_move_there_and_back(account, mount):
    account.fill('INBOX', messages.messages(2))
    account.fill('Other', [])
    mail = mount()
    first = mail.message('INBOX', 1)
    there = mail / 'Other' / first.name
    os.rename(first, there)
    os.rename(there, first)
    assert account.uids('Other') == []
    bodies = account.bodies('INBOX')
    assert sorted(bodies.values()) == sorted(message(n).data for n in (1, 2))
    assert first.read_bytes() == message(1).data and len(mail.names()) == 2


def test_moved_while_open(account, mount):
    account.fill('INBOX', [message(1, 500_000)])
    account.fill('Other', [])
    mail = mount()
    path = mail.message('INBOX', 1)
    body = account.body('INBOX', 1)
    fd = os.open(path, os.O_RDONLY)
    assert os.pread(fd, 100, 0) == body[:100]
    os.rename(path, mail / 'Other' / path.name)
    rest = b''
    try:
        while chunk := os.pread(fd, 65536, 100 + len(rest)):
            rest += chunk
    except OSError:
        pass  # gone is an honest answer; wrong bytes are not
    finally:
        os.close(fd)
    assert body[100:].startswith(rest)
    assert (mail / 'Other' / path.name).read_bytes() == body


def test_deleted_mail_of_others_survives_a_move(flavour):
    account, _, mount = flavour
    account.fill('INBOX', [message(1), message(2, flags='\\Deleted'), message(3)])
    account.fill('Other', [])
    mail = mount()
    path = mail.message('INBOX', 1)
    os.rename(path, mail / 'Other' / path.name)
    assert 2 in account.uids('INBOX') and account.uids('Other') == [1]
    assert account.uids('INBOX', 'UNDELETED') == [3]
    assert len(mail.names()) == 1
    assert mail.unmount() == 0
    assert 2 in account.uids('INBOX')


@pytest.mark.parametrize('reply, code', [
    ('NO [OVERQUOTA] full', errno.EDQUOT), ('NO [NOPERM] not you', errno.EACCES),
    ('NO [TRYCREATE] gone', None), ('NO [LIMIT] too many', errno.EFBIG), ('NO just no', errno.EIO)])
@pytest.mark.parametrize('move', [True, False], ids=['MOVE', 'COPY'])
def test_refused_move_deletes_nothing(mount_mini, move, reply, code):
    mini = MiniServer()
    mini.box('INBOX').add(message(1).data)
    mini.box('Other')
    if not move:
        mini.without('MOVE')
    command = 'UID MOVE' if move else 'UID COPY'
    word, _, words = reply.partition(' ')
    mini.on[command] = lambda session, _: session.reply(words, word) or True
    mail = mount_mini(mini)
    path = mail.message('INBOX', 1)
    with pytest.raises(OSError) as error:
        os.rename(path, mail / 'Other' / path.name)
    assert code is None or error.value.errno == code, error.value
    assert [m.flags for m in mini.box('INBOX').mails] == [set()] and not mini.box('Other').mails
    assert not {'UID EXPUNGE', 'EXPUNGE', 'CLOSE'} & set(mini.names())
    assert path.read_bytes() == message(1).data
    assert mail.names('Other') == []
    # And when the server has changed its mind:
    del mini.on[command]
    os.rename(path, mail / 'Other' / path.name)
    assert not mini.box('INBOX').mails and mini.box('Other').mails[0].data == message(1).data


@pytest.mark.parametrize('move', [True, False], ids=['MOVE', 'COPY'])
def test_move_that_is_not_understood(mount_mini, move):
    """BAD: another way may be tried, but an error must leave everything as it was."""
    mini = MiniServer()
    mini.box('INBOX').add(message(1).data)
    mini.box('Other')
    if not move:
        mini.without('MOVE')
    command = 'UID MOVE' if move else 'UID COPY'
    mini.on[command] = lambda session, _: session.reply('what', 'BAD') or True
    mail = mount_mini(mini)
    path = mail.message('INBOX', 1)
    try:
        os.rename(path, mail / 'Other' / path.name)
    except OSError:
        assert [m.flags for m in mini.box('INBOX').mails] == [set()] and not mini.box('Other').mails
        assert path.read_bytes() == message(1).data
    else:
        assert not mini.box('INBOX').mails
        assert [m.data for m in mini.box('Other').mails] == [message(1).data]


def test_refused_expunge_after_copy(mount_mini):
    """Advertised UIDPLUS and refused UID EXPUNGE (Proton Bridge): nothing of others' is lost."""
    mini = MiniServer()
    mini.without('MOVE')
    mini.box('INBOX').add(message(1).data)
    mini.box('INBOX').add(message(2).data, ['\\Deleted'])
    mini.box('Other')
    mini.on['UID EXPUNGE'] = lambda session, _: session.reply('not supported', 'BAD') or True
    mail = mount_mini(mini)
    path = mail.message('INBOX', 1)
    os.rename(path, mail / 'Other' / path.name)
    assert mini.box('Other').mails[0].data == message(1).data
    assert 2 in [m.uid for m in mini.box('INBOX').mails]
    assert mail.names() == []


def test_flags_of_what_was_just_moved(account, mount):
    """A connection that has not heard of the message yet says OK and sets nothing."""
    account.fill('INBOX', messages.messages(20))
    account.fill('Archive', messages.messages(3, first=50))
    mail = mount('names=uid')
    for folder in ('INBOX', 'Archive', 'INBOX'):
        for name in mail.names(folder):
            os.stat(mail / folder / name)
    for uid in range(1, 21):
        os.rename(mail / f'INBOX/{uid}.eml', mail / f'Archive/moved {uid}')
        os.setxattr(mail / f'Archive/moved {uid}', 'user.imap.flags', b'+\\Flagged')
    assert [account.flags('Archive', uid) >= {'\\Flagged'} for uid in range(4, 24)] == [True] * 20


def test_move_to_a_level(account, mount):
    """What holds only other folders becomes a mailbox when a message is moved there."""
    account.fill('INBOX', messages.messages(2))
    account.fill('Archive/2020', [])
    mail = mount('names=uid')
    assert mail.names('Archive') == ['2020']
    os.rename(mail / 'INBOX/1.eml', mail / 'Archive/kept')
    assert list(account.bodies('Archive').values()) == [message(1).data]
    assert account.uids('INBOX') == [2]
    assert (mail / 'Archive/kept').read_bytes() == message(1).data
    assert mail.names('Archive') == ['1.eml', '2020']


def test_move_to_a_level_that_stays_one(mount_mini):
    mini = MiniServer()
    mini.box('INBOX').add(message(1).data)
    mini.box('Top', ['\\Noselect', '\\HasChildren'])
    mini.box('Top/Below')
    mail = mount_mini(mini, 'names=uid')
    with refused(errno.EPERM):
        os.rename(mail / 'INBOX/1.eml', mail / 'Top/1.eml')
    assert 'CREATE' in mini.names() and 'UID MOVE' not in mini.names()
    assert mail.names('Top') == ['Below'] and mail.names() == ['1.eml']


def test_a_uid_given_as_a_name(account, mount):
    """It is the name of what was moved there, until a message with that UID has come."""
    account.fill('INBOX', messages.messages(10))
    account.fill('Other', [])
    mail = mount('names=uid')
    os.rename(mail / 'INBOX/5.eml', mail / 'Other/3.eml')
    assert mail.names('Other') == ['1.eml']
    assert (mail / 'Other/3.eml').read_bytes() == message(5).data
    account.fill('Other', messages.messages(2, first=20))
    assert wait_until(lambda: mail.names('Other') == ['1.eml', '2.eml', '3.eml'], 20)
    assert (mail / 'Other/3.eml').read_bytes() == message(21).data
    os.unlink(mail / 'Other/3.eml')
    assert not os.path.exists(mail / 'Other/3.eml')
    with refused(errno.ENOENT):
        os.unlink(mail / 'Other/3.eml')
    assert sorted(account.bodies('Other').values()) == sorted(
        message(n).data for n in (5, 20))


def test_rename_within_a_folder(account, mount):
    account.fill('INBOX', messages.messages(2))
    mail = mount()
    path = mail.message('INBOX', 1)
    for name in ('other.eml', '7.eml', path.name.replace('Message', 'Letter')):
        with refused(errno.EPERM):
            os.rename(path, mail / 'INBOX' / name)
    os.rename(path, path)  # POSIX: nothing to do
    assert path.read_bytes() == message(1).data and len(mail.names()) == 2


def test_rename_onto_a_message_of_the_same_folder(account, mount):
    account.fill('INBOX', messages.messages(2))
    mail = mount()
    for target in (mail.message('INBOX', 2), mail / 'INBOX/2.eml'):
        with refused(errno.EEXIST):
            os.rename(mail.message('INBOX', 1), target)
    assert sorted(account.bodies('INBOX').values()) == [message(1).data, message(2).data]


# What a person or a program types to move the message with UID 2 where another has UID 2.
MOVES = {
    'mv': 'mv {source} Other/',
    'mv -f': 'mv -f {source} Other/',
    'mv -i': 'yes | mv -i {source} Other/',
    'mv to a name': 'mv {source} Other/$(basename {source})',
    'mv of several': 'mv {source} INBOX/*3.eml Other/',
    'python': '/usr/bin/python3 -c \'import os, sys; os.rename(sys.argv[1], "Other/" +'
              ' os.path.basename(sys.argv[1]))\' {source}',
}


@pytest.mark.parametrize('names', ['uid', 'pretty'])
@pytest.mark.parametrize('command', MOVES)
def test_a_name_never_stands_in_the_way_of_a_move(account, mount, sh, names, command):
    """The other message stays what it is and where it is, and the one that is moved gets there."""
    account.fill('INBOX', messages.messages(3))
    account.fill('Other', [message(20), message(2), message(21)])  # UID 2: it looks the same
    other = dict(account.bodies('Other'))
    mail = mount(f'names={names}')
    source = mail.message('INBOX', 2)
    for folder in ('INBOX', 'Other'):
        for name in mail.names(folder):
            os.stat(mail / folder / name)
    inode = os.stat(mail / 'Other/2.eml').st_ino
    if names == 'pretty':
        assert mail.message('Other', 2).name == source.name, 'they do not collide'
    with open(mail / 'Other/2.eml', 'rb') as before:
        done = sh(MOVES[command].format(source=f'INBOX/{source.name}'), mail.path)
        assert done.stdout == b'' and done.stderr.replace(b'mv: overwrite', b'').count(b'mv') == 0
        assert before.read() == other[2]
    moved = 2 if command == 'mv of several' else 1
    assert account.bodies('Other').items() >= other.items()
    assert sorted(account.bodies('Other').values()) == sorted(
        [*other.values(), message(2).data, message(3).data][:3 + moved])
    assert len(account.uids('INBOX')) == 3 - moved
    # Every name that is listed means the message with that UID, for the kernel, too.
    assert os.stat(mail / 'Other/2.eml').st_ino == inode
    assert os.stat(mail / 'Other/2.eml').st_nlink == 1
    for uid, data in account.bodies('Other').items():
        assert (mail / f'Other/{uid}.eml').read_bytes() == data
        assert mail.message('Other', uid).read_bytes() == data
    # It stays that message's name, also when that is gone: deleting it twice deletes nothing else.
    os.unlink(mail / 'Other/2.eml')
    with refused(errno.ENOENT):
        os.unlink(mail / 'Other/2.eml')
    assert len(account.uids('Other')) == 2 + moved


@pytest.mark.parametrize('threads', [1, 4])
def test_no_name_means_the_moved_message_for_a_moment(account, mount, threads):
    """Looked at right after each move, by the same program, in turns and by several at once."""
    many = 60
    account.fill('INBOX', messages.messages(many))
    account.fill('Other', messages.messages(many, first=100))
    mail = mount('names=uid')
    inodes = {name: os.stat(mail / 'Other' / name).st_ino for name in mail.names('Other')}
    wrong, failed = [], []

    def move(uids):
        try:
            for uid in uids:
                target = mail / f'Other/{uid}.eml'
                os.rename(mail / f'INBOX/{uid}.eml', target)
                if os.stat(target).st_ino != inodes[target.name]:
                    wrong.append(uid)
        except OSError as error:
            failed.append(error)

    movers = [threading.Thread(target=move, args=(range(1 + n, many + 1, threads),))
              for n in range(threads)]
    for mover in movers:
        mover.start()
    for mover in movers:
        mover.join()
    assert wrong == [] and failed == []
    assert account.uids('INBOX') == [] and len(account.uids('Other')) == 2 * many
    assert [account.body('Other', uid) for uid in (1, many)] == [
        message(100).data, message(99 + many).data]


@pytest.mark.skipif(os.geteuid() != 0, reason='only root may make PID namespaces everywhere')
def test_a_mover_whom_the_mount_cannot_tell_from_others(account, mount, tmp_path):
    account.fill('INBOX', messages.messages(2))
    account.fill('Other', messages.messages(2, first=9))
    mail = mount('names=uid', binary=in_pid_namespace(tmp_path))
    for uid in (1, 2):
        os.rename(mail / f'INBOX/{uid}.eml', mail / f'Other/{uid}.eml')
        assert wait_until(lambda: (mail / f'Other/{uid}.eml').read_bytes() == message(8 + uid).data,
                          20 * SLOW)
    assert account.uids('INBOX') == [] and len(account.uids('Other')) == 4


def test_mv_n_moves_nothing_where_the_name_is_taken(account, mount, sh):
    account.fill('INBOX', messages.messages(2))
    account.fill('Other', messages.messages(1, first=9))
    mail = mount('names=uid')
    sh('mv -n INBOX/1.eml INBOX/2.eml Other/', mail.path)
    assert account.uids('INBOX') == [1]
    assert sorted(account.bodies('Other').values()) == sorted([message(9).data, message(2).data])


def test_moving_away_and_back(account, mount, sh):
    """All of two folders with the same UIDs, by the shell's globs."""
    account.fill('INBOX', messages.messages(12))
    account.fill('Other', messages.messages(12, first=50))
    everything = sorted([*account.bodies('INBOX').values(), *account.bodies('Other').values()])
    mail = mount('names=uid')
    sh('mv INBOX/*.eml Other/', mail.path)
    assert account.uids('INBOX') == [] and sorted(account.bodies('Other').values()) == everything
    assert mail.names() == []
    sh('mv Other/*.eml INBOX', mail.path)
    assert account.uids('Other') == [] and sorted(account.bodies('INBOX').values()) == everything
    for uid, data in account.bodies('INBOX').items():
        assert (mail / f'INBOX/{uid}.eml').read_bytes() == data


def test_a_name_is_given_anew(account, mount):
    """What was moved by that name before keeps its own."""
    account.fill('INBOX', messages.messages(3))
    account.fill('Other', [])
    mail = mount('names=uid')
    for uid in (1, 2, 3):
        os.rename(mail / f'INBOX/{uid}.eml', mail / 'Other/kept')
        assert (mail / 'Other/kept').read_bytes() == message(uid).data
    assert mail.names('Other') == ['1.eml', '2.eml', '3.eml']
    assert [(mail / f'Other/{uid}.eml').read_bytes() for uid in (1, 2, 3)] == [
        message(uid).data for uid in (1, 2, 3)]
    os.unlink(mail / 'Other/kept')
    assert account.bodies('Other') == {1: message(1).data, 2: message(2).data}
    with refused(errno.ENOENT):
        os.unlink(mail / 'Other/kept')


def test_a_message_is_never_moved_onto_a_folder(mount_mini):
    mini = MiniServer()
    for name in ('INBOX', 'Other', 'Other/1.eml'):
        mini.box(name).add(message(1).data)
    mail = mount_mini(mini, 'names=uid')
    with refused(errno.EISDIR, errno.EEXIST):
        os.rename(mail / 'INBOX/1.eml', mail / 'Other/1.eml')
    assert [len(box.mails) for box in mini.boxes.values()] == [1, 1, 1]


def test_move_to_the_root(account, mount):
    """The root is no mailbox: no mail can be in it."""
    account.fill('INBOX', messages.messages(1))
    mail = mount()
    path = mail.message('INBOX', 1)
    with pytest.raises(OSError):
        os.rename(path, mail / path.name)
    with pytest.raises(FileNotFoundError):
        os.rename(path, mail / 'Nowhere' / path.name)
    assert account.uids() == [1] and path.read_bytes() == message(1).data


# ---- deleting a message --------------------------------------------------------------------------


def test_rm(flavour, sh):
    account, proxy, mount = flavour
    account.fill('INBOX', messages.messages(4))
    mail = mount()
    path = mail.message('INBOX', 2)
    done = sh(f'rm {sh.quote(path)}', mail.path)
    assert done.stdout == b'' == done.stderr
    assert account.uids() == [1, 3, 4]
    assert len(mail.names()) == 3 and not path.exists()
    os.unlink(mail / 'INBOX/3.eml')
    assert account.uids() == [1, 4]
    with pytest.raises(FileNotFoundError):
        os.unlink(mail / 'INBOX/3.eml')
    assert ('UID EXPUNGE' in proxy.names()) == (account.kind != 'neither')


def test_deleted_mail_of_others_survives_rm(flavour):
    account, proxy, mount = flavour
    account.fill('INBOX', [message(1), message(2, flags='\\Deleted'), message(3)])
    mail = mount()
    os.unlink(mail.message('INBOX', 1))
    assert 2 in account.uids() and account.uids(search='UNDELETED') == [3]
    assert account.uids() == ([1, 2, 3] if account.kind == 'neither' else [2, 3])
    assert len(mail.names()) == 1 and not (mail / 'INBOX/1.eml').exists()
    assert mail.unmount() == 0
    assert 2 in account.uids()
    assert 'CLOSE' not in proxy.names()


def test_rm_refused(mount_mini):
    mini = MiniServer()
    mini.box('INBOX').add(message(1).data)
    mini.on['UID STORE'] = lambda session, _: session.reply('[NOPERM] read only', 'NO') or True
    mail = mount_mini(mini)
    path = mail.message('INBOX', 1)
    with refused(errno.EACCES):
        os.unlink(path)
    assert len(mini.box('INBOX').mails) == 1 and path.read_bytes() == message(1).data


def test_rm_of_many(account, mount, sh):
    account.fill('INBOX', messages.messages(300))
    mail = mount()
    sh('rm INBOX/*Message-1*', mail.path)
    left = [n for n in range(1, 301) if not str(n).startswith('1')]
    assert account.uids() == left and len(mail.names()) == len(left)


def test_rm_r(flavour, sh):
    account, _, mount = flavour
    account.fill('INBOX', messages.messages(2))
    account.fill('Old', messages.messages(5))
    account.fill('Old/Deep/er', messages.messages(3))
    mail = mount()
    sh('rm -r Old', mail.path)
    assert account.folders() == ['INBOX'] and account.uids() == [1, 2]
    assert os.listdir(mail.path) == ['INBOX']


# ---- folders -------------------------------------------------------------------------------------


def test_mkdir_and_rmdir(account, mount):
    mail = mount()
    for name in ('Plain', 'Plain/Below', 'Grüße & Küsse', '日本語', 'two words', 'star*', '100%',
                 'quote"d', '🍂'):
        os.mkdir(mail / name)
        assert encode_utf7(name).decode().replace('"', '\\"') in account.folders()
        assert mail.names(name) == []
        info = (mail / name).stat()
        assert stat.S_ISDIR(info.st_mode) and stat.S_IMODE(info.st_mode) == 0o700
        with pytest.raises(FileExistsError):
            os.mkdir(mail / name)
    assert sorted(mail.names('.')) == sorted(
        ['INBOX', 'Plain', 'Grüße & Küsse', '日本語', 'two words', 'star*', '100%', 'quote"d', '🍂'])
    with refused(errno.ENOTEMPTY):
        os.rmdir(mail / 'Plain')
    for name in ('Plain/Below', 'Plain', 'Grüße & Küsse', '日本語', 'two words', 'star*', '100%',
                 'quote"d', '🍂'):
        os.rmdir(mail / name)
        assert not (mail / name).exists()
    assert account.folders() == ['INBOX']
    with pytest.raises(FileNotFoundError):
        os.rmdir(mail / 'Plain')


def test_mkdir_p_and_use(account, mount, sh):
    account.fill('INBOX', messages.messages(3))
    mail = mount()
    sh('mkdir -p A/B/C && mv INBOX/1.eml A/B/C/ && mv INBOX/2.eml A/B/', mail.path)
    assert 'A/B/C' in account.folders()
    assert account.bodies('A/B/C') == {1: message(1).data}
    assert account.bodies('A/B') == {1: message(2).data}
    assert account.uids() == [3]


def test_names_that_never_reach_the_wire(account, make_mount, make_proxy):
    """CR, LF and NUL in a name would be a second command."""
    proxy = make_proxy(account.server, record=True)
    mail = make_mount(account, tls='no', port=proxy.port)
    os.mkdir(mail / 'Good')
    before = account.folders()
    proxy.reset_counters()
    for name in ('x\r\nA1 DELETE Good', 'x\ny', 'x\ry', 'x"\r\nA1 DELETE Good\r\n'):
        with pytest.raises(OSError):
            os.mkdir(mail / name)
        with pytest.raises(OSError):
            os.rename(mail / 'Good', mail / name)
        assert not os.path.exists(mail / name)
    assert account.folders() == before
    assert not {'CREATE', 'DELETE', 'RENAME'} & set(proxy.names())


def test_names_of_any_length(account, mount):
    account.fill('INBOX', messages.messages(1))
    account.fill('Other', [])
    mail = mount()
    assert os.statvfs(mail.path).f_namemax == 255
    path = mail.message('INBOX', 1)
    for name in ('x' * 256, 'ü' * 128, 'x' * 1000, 'x' * 2000):
        with refused(errno.ENAMETOOLONG):
            os.mkdir(mail / name)
        with refused(errno.ENAMETOOLONG):
            os.rename(mail / 'Other', mail / name)
        with refused(errno.ENAMETOOLONG):
            os.rename(path, mail / 'Other' / name)
    assert account.folders() == ['INBOX', 'Other'] and account.uids() == [1]
    os.rename(path, mail / 'Other' / ('x' * 255))
    assert account.uids('Other') == [1]


@pytest.mark.parametrize('flags', ['+\\Flaged', '-\\Sen', '\\Seen \\Important', '+\\Recent', '+\\*',
                                   '+', '+\\', '+a(b'])
def test_flags_that_cannot_be_set(account, make_mount, make_proxy, flags):
    account.fill('INBOX', [message(1, flags='\\Answered')])
    proxy = make_proxy(account.server, record=True)
    mail = make_mount(account, tls='no', port=proxy.port)
    path = mail.message('INBOX', 1)
    with refused(errno.EINVAL):
        os.setxattr(path, 'user.imap.flags', flags.encode())
    assert 'UID STORE' not in proxy.names()
    assert account.flags('INBOX', 1) == {'\\Answered'}
    os.setxattr(path, 'user.imap.flags', b'+\\SEEN $Label')
    assert account.flags('INBOX', 1) == {'\\Answered', '\\Seen', '$Label'}


def test_flagged_deleted_by_hand(account, mount):
    """As when another client does it: not seen any more, but still mail."""
    account.fill('Box', [message(1)])
    mail = mount()
    path = mail.message('Box', 1)
    os.setxattr(path, 'user.imap.flags', b'+\\Deleted')
    assert wait_until(lambda: not mail.names('Box'), 10 * SLOW)
    assert '"event":"expunged","folder":"Box","uid":1' in (mail / '.imapfs/events').read_text()
    for name in (path, mail / 'Box/1.eml'):
        with refused(errno.ENOENT):
            os.setxattr(name, 'user.imap.flags', b'-\\Deleted')
    with refused(errno.ENOTEMPTY):
        os.rmdir(mail / 'Box')
    assert account.uids('Box') == [1]
    other = account.client('Box', readonly=False)
    other.store('1', '-FLAGS', '\\Deleted')
    assert wait_until(lambda: mail.names('Box') == [path.name], 10 * SLOW)
    other.store('1', '+FLAGS', '\\Deleted')
    other.expunge()
    os.rmdir(mail / 'Box')
    assert account.folders() == ['INBOX']


def test_a_name_that_the_server_does_not_allow(mount_mini):
    mini = MiniServer()
    mini.on['CREATE'] = lambda session, _: session.reply('[CANNOT] no names in X', 'NO') or True
    mail = mount_mini(mini)
    with refused(errno.EPERM):
        os.mkdir(mail / 'X')
    assert re.search('^last error: .*no names in X$', (mail / '.imapfs/status').read_text(), re.M)


def test_rmdir_of_what_holds_anything(account, mount):
    account.fill('Mail', messages.messages(1))
    account.fill('Parent/Child', [])
    account.fill('OthersDeleted', [message(1, flags='\\Deleted')])
    mail = mount()
    for name in ('Mail', 'Parent', 'OthersDeleted'):
        with refused(errno.ENOTEMPTY):
            os.rmdir(mail / name)
    assert set(account.folders()) >= {'Mail', 'Parent/Child', 'OthersDeleted'}
    assert account.uids('Mail') == [1] == account.uids('OthersDeleted')


def test_rmdir_sees_mail_that_just_came(account, mount):
    """What the mount has listed is not what the server holds by now."""
    account.fill('Box', [])
    mail = mount()
    assert mail.names('Box') == []
    account.fill('Box', messages.messages(1))
    with refused(errno.ENOTEMPTY):
        os.rmdir(mail / 'Box')
    assert account.uids('Box') == [1]


def test_rmdir_after_rm_without_uidplus(make_server, make_account, make_mount, sh):
    """What this mount deleted is not mail, even where it cannot be expunged yet."""
    account = make_account(make_server(without=['UIDPLUS', 'MOVE']))
    account.fill('Box', messages.messages(3))
    mail = make_mount(account)
    sh('rm Box/*', mail.path)
    assert mail.names('Box') == []
    os.rmdir(mail / 'Box')
    assert account.folders() == ['INBOX']


def test_rename_a_folder_with_children(account, mount):
    account.fill('Work', [message(1)])
    account.fill('Work/2024', [message(2)])
    account.fill('Work/2024/Q1', [message(3)])
    account.fill('Else', [message(4)])
    mail = mount()
    for base, _, names in os.walk(mail.path):  # everything is known before
        for name in names:
            os.stat(os.path.join(base, name))
    os.rename(mail / 'Work', mail / 'Arbeit é')
    wire = encode_utf7('Arbeit é').decode()
    assert account.folders() == sorted(['INBOX', 'Else', wire, f'{wire}/2024', f'{wire}/2024/Q1'])
    assert not (mail / 'Work').exists()
    for name, number in (('Arbeit é', 1), ('Arbeit é/2024', 2), ('Arbeit é/2024/Q1', 3)):
        assert (mail / name / '1.eml').read_bytes() == message(number).data
    os.rename(mail / 'Arbeit é/2024', mail / 'Else/Year')
    assert account.folders() == sorted(['INBOX', 'Else', 'Else/Year', 'Else/Year/Q1', wire])
    assert (mail / 'Else/Year/Q1/1.eml').read_bytes() == message(3).data
    assert account.bodies('Else/Year/Q1') == {1: message(3).data}


def test_subscriptions_follow(account, mount):
    mail = mount()
    eye = account.client()

    def subscribed():
        _, rows = eye.lsub()
        return sorted(row.split()[-1].decode() for row in rows if row)

    os.mkdir(mail / 'Old')
    os.mkdir(mail / 'Kept')
    assert wait_until(lambda: subscribed() == ['Kept', 'Old'], 5 * SLOW), subscribed()
    os.rename(mail / 'Old', mail / 'New')
    assert wait_until(lambda: subscribed() == ['Kept', 'New'], 5 * SLOW), subscribed()
    os.rmdir(mail / 'New')
    assert wait_until(lambda: subscribed() == ['Kept'], 5 * SLOW), subscribed()


def test_rename_a_folder_onto_another(account, mount):
    account.fill('A', [message(1)])
    account.fill('B', [message(2)])
    account.fill('A/Sub', [])
    mail = mount()
    with refused(errno.ENOTEMPTY, errno.EEXIST):
        os.rename(mail / 'A', mail / 'B')
    with refused(errno.EINVAL):
        os.rename(mail / 'A', mail / 'A/Sub/Below')
    assert account.bodies('A') == {1: message(1).data}
    assert account.bodies('B') == {1: message(2).data}


def test_inbox_stays(account, mount):
    account.fill('INBOX', messages.messages(1))
    mail = mount()
    with pytest.raises(OSError):
        os.rename(mail / 'INBOX', mail / 'Other')
    with pytest.raises(OSError):
        os.rmdir(mail / 'INBOX')
    os.unlink(mail / 'INBOX/1.eml')
    with pytest.raises(OSError):
        os.rmdir(mail / 'INBOX')
    with pytest.raises(OSError):
        os.mkdir(mail / 'inbox')
    assert account.folders() == ['INBOX'] and os.listdir(mail.path) == ['INBOX']


@pytest.mark.parametrize('layout', [{'separator': '.'}, {'separator': '|'},
                                    {'separator': '.', 'prefix': 'INBOX.'}], ids=str)
def test_change_under_other_delimiters(make_server, make_account, make_mount, layout):
    account = make_account(make_server(**layout))
    delimiter, prefix = layout['separator'], layout.get('prefix', '')
    account.fill('INBOX', messages.messages(2))
    account.fill(f'{prefix}Work', [])
    mail = make_mount(account)
    work = mail / ('INBOX/Work' if os.path.isdir(mail / 'INBOX/Work') else 'Work')
    os.mkdir(work / 'New')
    os.rename(mail / 'INBOX/1.eml', work / 'New/1.eml')
    assert account.bodies(f'{prefix}Work{delimiter}New') == {1: message(1).data}
    os.rename(work / 'New', work / 'Newer')
    assert account.bodies(f'{prefix}Work{delimiter}Newer') == {1: message(1).data}
    # The delimiter in a name would be another level.
    with pytest.raises(OSError):
        os.mkdir(work / f'a{delimiter}b')
    os.unlink(work / 'Newer/1.eml')
    os.rmdir(work / 'Newer')
    assert account.folders() == sorted(['INBOX', f'{prefix}Work'])


def test_read_only_mount(account, mount):
    account.fill('INBOX', messages.messages(1))
    account.fill('Other', [])
    mail = mount('ro')
    path = mail.message('INBOX', 1)
    for change in (lambda: os.unlink(path), lambda: os.mkdir(mail / 'New'),
                   lambda: os.rmdir(mail / 'Other'),
                   lambda: os.rename(path, mail / 'Other' / path.name)):
        with refused(errno.EROFS):
            change()
    assert path.read_bytes() == message(1).data
    assert account.uids() == [1] and account.folders() == ['INBOX', 'Other']


def test_two_mounts_of_one_account(account, mount):
    account.fill('INBOX', messages.messages(5))
    account.fill('Other', [])
    one, two = mount(), mount()
    assert one.names() == two.names()
    os.rename(one.message('INBOX', 3), one / 'Other/3.eml')
    os.unlink(two.message('INBOX', 4))
    assert account.uids() == [1, 2, 5] and account.uids('Other') == [1]
    # Each learns of the other's changes.
    assert wait_until(lambda: len(one.names()) == 3 and len(two.names()) == 3, 35)
