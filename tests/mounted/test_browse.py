"""Folders are directories, messages are files: names, sizes, dates, modes."""

import datetime
import errno
import os
import re
import stat
import time

import pytest

import messages
from messages import message, raw
from mini import MiniServer
from mount import refused
from server import Message, decode_utf7, quote, wait_until

FORBIDDEN = re.compile('[/\0-\x1f\x7f\\s\'"`$&|;<>()*?\\[\\]{}!#\\\\\u200e\u200f\u202a-\u202e'
                       '\u2066-\u2069]')


def tree(path):
    """Every directory below, as relative paths."""
    return sorted(os.path.relpath(os.path.join(base, name), path)
                  for base, names, _ in os.walk(path) for name in names)


# ---- messages ------------------------------------------------------------------------------------


@pytest.mark.tsan
def test_stat_agrees_with_the_server(account, mount):
    dates = [datetime.datetime(2021, 2, 28, 23, 59, 1, tzinfo=datetime.timezone.utc),
             datetime.datetime(2024, 7, 17, 9, 31, tzinfo=datetime.timezone.utc),
             datetime.datetime(1999, 12, 31, 0, 0, 0, tzinfo=datetime.timezone.utc)]
    sent = [Message(raw(f'Number {n}', body=messages.text_body(n, 100 + n)), date)
            for n, date in enumerate(dates, 1)]
    account.fill('INBOX', sent)
    mail = mount()
    assert len(mail.names()) == 3
    for uid, (data, date, _) in enumerate(sent, 1):
        info = mail.message('INBOX', uid).stat()
        assert info.st_size == len(data)
        assert info.st_mtime == date.timestamp()
        assert stat.S_IMODE(info.st_mode) == 0o600 and stat.S_ISREG(info.st_mode)
        assert (info.st_uid, info.st_gid) == (os.getuid(), os.getgid())
    for folder in ('', 'INBOX'):
        info = (mail / folder).stat()
        assert stat.S_IMODE(info.st_mode) == 0o700 and stat.S_ISDIR(info.st_mode)
        assert info.st_uid == os.getuid()


def access(path):
    """What access(2) allows, as mode bits."""
    return sum(bit for bit in (os.R_OK, os.W_OK, os.X_OK) if os.access(path, bit))


@pytest.mark.parametrize('options', [(), ('ro',), ('allow_other',), ('allow_other', 'ro'),
                                     ('umask=007',), ('umask=007', 'ro')], ids=','.join)
def test_access_is_what_can_be_done(account, mount, sh, options):
    """No message is a program, and nothing can be written to on a read-only mount."""
    account.fill('INBOX', messages.messages(2))
    mail = mount(*options)
    write = 0 if 'ro' in options else os.W_OK
    assert access(mail / 'INBOX') == access(mail.path) == os.R_OK | os.X_OK | write
    for name in ('INBOX/1.eml', mail.message('INBOX', 1)):
        assert access(mail / name) == os.R_OK | write
    assert access(mail / '.imapfs') & ~os.W_OK == os.R_OK | os.X_OK
    assert access(mail / '.imapfs/status') & ~os.W_OK == os.R_OK
    assert sh('find . -type f -executable', mail.path).stdout == b''
    assert sh('find . -type f -readable | wc -l', mail.path).stdout == b'2\n'
    assert not access(mail / 'INBOX/3.eml')
    if not write:
        done = sh('touch -c INBOX/1.eml; mkdir new; test -w INBOX', mail.path, check=False)
        assert done.returncode == 1 and done.stderr.count(b'Read-only file system') == 2


def test_name_tells_date_sender_and_subject(account, mount):
    account.fill('INBOX', [Message(
        raw('Lunch on Friday'), datetime.datetime(2026, 11, 19, 9, 31, 58,
                                                  tzinfo=datetime.timezone.utc))])
    assert mount().names() == ['2026-11-19T0931_Alice-Example_Lunch-on-Friday.1.eml']


NAMES = [
    # From, Subject, what the name must contain
    ('bob@example.org', 'plain', '_bob_plain.'),
    ('"Bob, the Builder" <bob@example.org>', 'x', '_Bob'),
    ('=?utf-8?q?J=C3=BCrgen_Wei=C3=9F?= <j@example.org>', '=?utf-8?b?w6TDtsO8?=',
     '_Jürgen-Weiß_äöü.'),
    ('=?iso-8859-1?q?Zo=EB?= <z@example.org>', '=?iso-2022-jp?b?GyRCJDMkcxsoQg==?=', '_Zoë_こん.'),
    ('Alice <a@example.org>', 'Re:   two \t blanks ', '_Alice_Re'),
    ('Alice <a@example.org>', '=?utf-8?q?one?=\r\n =?utf-8?q?two?=', '_onetwo.'),
    ('Alice <a@example.org>', '../../etc/passwd', 'etc'),
    ('Alice <a@example.org>', '/etc/passwd', 'etc'),
    ('-rf <a@example.org>', '--no-preserve-root', 'no-preserve-root'),
    ('Alice <a@example.org>', '=?utf-8?b?YQBiDWMKZBtbMzFtZQ==?=', ''),  # NUL, CR, LF, ESC
    ('Alice <a@example.org>', '=?utf-8?b?4oCuZ3BqLmV4ZQ==?=', 'gpj.exe'),  # bidi override
    ('Alice <a@example.org>', '`reboot`; $(reboot) "x" \'y\' & | > <', 'reboot'),
    ('Alice <a@example.org>', 'caf\udce9 \udcff\udcfe', 'caf'),  # not UTF-8
    ('Alice <a@example.org>', 'x' * 4000, 'xxx'),
    ('=?utf-8?q?' + '=E5=8F=8B' * 8 + '?= <a@example.org>',
     '\r\n '.join(['=?utf-8?q?' + '=E5=8F=8B' * 8 + '?='] * 30), '友友友'),
    ('', '', ''),
]


def test_names_are_clean(account, mount):
    account.fill('INBOX', [Message(raw(subject, sender), messages.EPOCH)
                           for sender, subject, _ in NAMES])
    account.fill('INBOX', [Message(b'\r\nno header at all\r\n', messages.EPOCH),
                           Message(b'Subject: header only\r\n\r\n', messages.EPOCH)])
    mail = mount()
    assert len(mail.names()) == len(NAMES) + 2
    for uid, (_, _, part) in enumerate(NAMES + [('', '', ''), ('', '', 'header-only')], 1):
        name = mail.message('INBOX', uid).name
        assert len(os.fsencode(name)) <= 255
        name.encode('utf-8')  # raises for bytes that are not UTF-8
        assert name.endswith(f'.{uid}.eml') and part in name
        assert not FORBIDDEN.search(name) and name[0] not in '.-'
        assert name.startswith('2024-07-17T0931')


@pytest.mark.tsan
def test_uid_name_always_resolves(account, mount):
    account.fill('INBOX', messages.messages(3))
    mail = mount()
    for uid in (3, 1, 2):  # before anything was listed
        assert (mail / f'INBOX/{uid}.eml').read_bytes() == message(uid).data
        assert os.path.samefile(mail / f'INBOX/{uid}.eml', mail.message('INBOX', uid))
    for name in ('4.eml', '0.eml', '01.eml', '1.EML', '1', '-1.eml', '4294967296.eml',
                 '18446744073709551617.eml', 'x.4.eml', ' 1.eml'):
        with pytest.raises(FileNotFoundError):
            (mail / 'INBOX' / name).stat()


def test_names_uid(account, mount):
    account.fill('INBOX', messages.messages(3))
    assert mount('names=uid').names() == ['1.eml', '2.eml', '3.eml']


def test_uid_gaps(account, mount):
    account.fill('INBOX', messages.messages(6))
    conn = account.client('INBOX', readonly=False)
    conn.uid('STORE', '1,3:4', '+FLAGS', '(\\Deleted)')
    conn.expunge()
    conn.logout()
    assert mount('names=uid').names() == ['2.eml', '5.eml', '6.eml']


def test_deleted_by_others_is_gone(account, mount):
    account.fill('INBOX', [message(1), message(2, flags='\\Deleted'), message(3)])
    mail = mount('names=uid')
    assert mail.names() == ['1.eml', '3.eml']
    with pytest.raises(FileNotFoundError):
        (mail / 'INBOX/2.eml').stat()
    assert account.uids() == [1, 2, 3]


# ---- what one types ------------------------------------------------------------------------------


def test_ls_find_and_globs(account, mount, sh):
    account.fill('INBOX', [message(1, subject='Lunch on Friday'), message(2, size=5000),
                           message(3, subject='Re: Lunch on Friday')])
    account.fill('Work/Reports', messages.messages(2))
    mail = mount()
    # mode links owner group size date time name
    rows = [line.split() for line in
            sh('ls -l --time-style=+%FT%H%M INBOX', mail.path).stdout.decode().splitlines()[1:]]
    bodies = account.bodies('INBOX')
    assert [int(row[4]) for row in rows] == [len(bodies[uid]) for uid in (1, 2, 3)]
    assert [row[5] for row in rows] == ['2024-07-17T0932', '2024-07-17T0933', '2024-07-17T0934']
    assert all(row[0].startswith('-rw-------') for row in rows)
    assert sh('ls -d INBOX/*Lunch*', mail.path).stdout.count(b'\n') == 2
    assert sh('find . -name "*.eml" -size +4k', mail.path).stdout.count(b'\n') == 1
    assert sh('find . -type f', mail.path).stdout.count(b'\n') == 5
    assert b'./Work/Reports\n' in sh('find . -type d', mail.path).stdout
    assert sh('find . -newermt "2024-07-17 09:33:30" -name "*.eml" | wc -l',
              mail.path).stdout == b'1\n'
    assert sh('stat -c %s INBOX/2.eml', mail.path).stdout.decode().strip() == str(len(bodies[2]))
    assert sh('ls nowhere', mail.path, check=False).returncode == 2


def times(path):
    info = os.stat(path)
    return info.st_mtime_ns, info.st_ctime_ns


def a_second_after(path):
    """Waits until a change would show in the times of the directory."""
    assert wait_until(lambda: time.time() >= os.stat(path).st_ctime // 1 + 1, 5)


@pytest.mark.tsan
def test_listing_is_no_change(account, mount, sh, tmp_path):
    """tar(1) says that a directory changed as it was read if its times are others then."""
    account.fill('Archive', messages.messages(50))
    account.fill('Archive/Sub', messages.messages(3))
    mail = mount()
    folders = [mail.path, mail / 'INBOX', mail / 'Archive', mail / 'Archive/Sub']
    before = [times(folder) for folder in folders]
    (mail / 'Archive/7.eml').stat()
    a_second_after(mail / 'Archive')
    for _ in range(2):
        done = sh(f'tar cf {tmp_path}/a.tar .', mail.path)
        assert done.stderr == b''
        assert sh(f'tar tf {tmp_path}/a.tar | grep -c eml', tmp_path).stdout == b'53\n'
        assert [times(folder) for folder in folders] == before
    # What does change a folder shows at once, and then nothing more.
    for folders, change in (
            (['INBOX', 'Archive'], lambda: os.rename(mail / 'Archive/1.eml', mail / 'INBOX/x')),
            (['Archive'], lambda: os.unlink(mail / 'Archive/2.eml')),
            (['Archive/Sub'], lambda: os.mkdir(mail / 'Archive/Sub/New')),
            (['Archive', 'Archive/Sub'],
             lambda: os.rename(mail / 'Archive/Sub/New', mail / 'Archive/New')),
            (['Archive'], lambda: os.rmdir(mail / 'Archive/New'))):
        before = [times(mail / folder) for folder in folders]
        for folder in folders:
            a_second_after(mail / folder)
        change()
        now = [times(mail / folder) for folder in folders]
        assert all(was < is_now for was, is_now in zip(before, now)), folders
        a_second_after(mail / folders[0])
        assert sh(f'tar cf {tmp_path}/a.tar .', mail.path).stderr == b''
        assert [times(mail / folder) for folder in folders] == now, folders


# ---- folders -------------------------------------------------------------------------------------


LAYOUTS = [
    {},
    {'separator': '.'},
    {'separator': '|'},
    {'mail_location': 'maildir:~/Maildir:LAYOUT=fs'},
    {'mail_location': 'mdbox:~/mdbox'},
]


@pytest.mark.parametrize('layout', LAYOUTS, ids=str)
def test_folders_are_directories(make_server, make_account, make_mount, layout):
    server = make_server(**layout)
    account = make_account(server)
    delimiter = layout.get('separator', '/')
    names = ['INBOX', 'Work', 'Work/Reports', 'Work/Reports/2025', 'Läufer', '友人/京都',
             'Caf\u00e9 & Bar', 'two words', '100%', 'Ωμέγα/Архив', '🍂', 'a~b']
    for number, name in enumerate(names, 1):
        account.fill(name.replace('/', delimiter), [message(number)])
    mail = make_mount(account)
    assert tree(mail.path) == sorted([*names, 'Ωμέγα', '友人'])
    for number, name in enumerate(names, 1):
        assert (mail / name / '1.eml').read_bytes() == message(number).data
    # Parents that only exist because of their children hold no mail.
    assert mail.names('友人') == ['京都']


def test_prefix(make_server, make_account, make_mount):
    account = make_account(make_server(separator='.', prefix='INBOX.'))
    account.fill('INBOX', [message(1)])
    account.fill('INBOX.Archive', [message(2)])
    account.fill('INBOX.Archive.2025', [message(3)])
    mail = make_mount(account)
    (archive,) = [d for d in tree(mail.path) if d.endswith('Archive')]
    assert archive in ('Archive', 'INBOX/Archive')
    assert (mail / archive / '1.eml').read_bytes() == message(2).data
    assert (mail / archive / '2025/1.eml').read_bytes() == message(3).data
    assert (mail / 'INBOX/1.eml').read_bytes() == message(1).data
    os.mkdir(mail / os.path.dirname(archive) / 'Neu é')
    assert 'INBOX.Neu &AOk-' in account.folders()


def test_parent_without_a_mailbox(account, mount):
    """Maildir++ makes A/B/C without A: A is a directory all the same."""
    account.fill('A/B/C', [message(1)])
    mail = mount()
    assert tree(mail.path) == ['A', 'A/B', 'A/B/C', 'INBOX']
    assert mail.names('A') == ['B']


def test_empty_account(account, mount):
    mail = mount()
    assert os.listdir(mail.path) == ['INBOX'] and mail.names() == []
    with pytest.raises(FileNotFoundError):
        os.stat(mail / 'Nowhere')


def test_mailbox_in_the_source_is_the_root(account, make_mount):
    account.fill('Work/Reports', [message(1)])
    account.fill('Work/Reports/Old', [message(2)])
    mail = make_mount(account, source_suffix='/Work/Reports')
    assert (mail / '1.eml').read_bytes() == message(1).data
    assert (mail / 'Old/1.eml').read_bytes() == message(2).data


def test_hidden_directories_are_not_listed(account, mount, sh):
    account.fill('INBOX', messages.messages(2))
    mail = mount()
    assert '.imapfs' not in os.listdir(mail.path)
    assert (mail / '.imapfs/status').is_file()
    assert not any(name.startswith('.') for name in mail.names())
    assert b'.imapfs' not in sh('find .', mail.path).stdout


# Names that a server may say and that cannot be file names, or are not what they seem.
ODD_NAMES = ['..', '.', '.imapfs', 'a/b', '/etc', 'x%2Fy', '%2E%2E', '100%', 'dir\\sub', 'qu"ote',
             '-rf', 'sp ace ', 'tab\there', '&AC8-', 'bad&utf7', '&ZeVnLIqe-', 'n' * 300, '~', '.search',
             '.parts', 'cr\x01']


def test_odd_mailbox_names(mount_mini):
    mini = MiniServer()
    mini.delimiter = '^'  # in none of the names: all are on one level
    for number, name in enumerate(ODD_NAMES, 1):
        mini.box(name).add(message(number).data)
    mail = mount_mini(mini)
    shown = os.listdir(mail.path)
    assert len(shown) == len(set(shown)) == len(ODD_NAMES) + 1
    found = set()
    for name in shown:
        assert '/' not in name and name not in ('.', '..') and '\0' not in name
        if name != 'INBOX':
            found.add((mail / name / '1.eml').read_bytes())
    assert found == {message(number).data for number in range(1, len(ODD_NAMES) + 1)}
    assert '日本語' in shown
    assert (mail / '.imapfs/status').is_file()


def test_no_hierarchy(mount_mini):
    mini = MiniServer()
    mini.delimiter = None
    mini.box('a/b').add(message(1).data)
    mini.box('c.d').add(message(2).data)
    mail = mount_mini(mini)
    shown = sorted(os.listdir(mail.path))
    assert len(shown) == 3 and 'c.d' in shown and 'INBOX' in shown
    assert (mail / 'c.d/1.eml').read_bytes() == message(2).data
    (encoded,) = set(shown) - {'c.d', 'INBOX'}
    assert (mail / encoded / '1.eml').read_bytes() == message(1).data


def test_inbox_in_any_case(mount_mini):
    mini = MiniServer()
    mini.box('INBOX').add(message(1).data)
    mini.list_rows = lambda box: [b'* LIST () "/" inbox\r\n'] if box.name == 'INBOX' else []
    mail = mount_mini(mini)
    assert os.listdir(mail.path) == ['INBOX']
    assert (mail / 'INBOX/1.eml').read_bytes() == message(1).data


def test_inbox_is_one_folder_however_it_is_typed(mount_mini):
    """RFC 3501 section 5.1. Only as the first level: below it "inbox" is a name like any other."""
    mini = MiniServer()
    mini.box('INBOX').add(message(1).data)
    mini.box('INBOX/Sub').add(message(2).data)
    mini.box('Work').add(message(3).data)
    mail = mount_mini(mini, 'names=uid')
    for name in ('inbox', 'Inbox', 'INBOX', 'iNbOx'):
        assert os.path.samefile(mail / name, mail / 'INBOX')
        assert sorted(os.listdir(mail / name)) == ['1.eml', 'Sub']
        assert (mail / name / '1.eml').read_bytes() == message(1).data
        assert (mail / name / 'Sub/1.eml').read_bytes() == message(2).data
        for refusal in (lambda: os.mkdir(mail / name), lambda: os.rename(mail / 'Work', mail / name)):
            with refused(errno.EEXIST, errno.ENOTEMPTY):
                refusal()
        with refused(errno.EPERM):
            os.rmdir(mail / name)
    assert os.listdir(mail.path) == ['INBOX', 'Work'] or os.listdir(mail.path) == ['Work', 'INBOX']
    os.rename(mail / 'Work/1.eml', mail / 'inbox/3.eml')
    assert [m.data for m in mini.boxes['INBOX'].mails] == [message(1).data, message(3).data]
    os.mkdir(mail / 'inbox/New')
    os.mkdir(mail / 'Work/inbox')
    for name in ('INBOX', 'Inbox'):
        with refused(errno.ENOENT):
            os.stat(mail / 'Work' / name)
    assert set(mini.boxes) == {'INBOX', 'INBOX/Sub', 'INBOX/New', 'Work', 'Work/inbox'}


def test_a_mailbox_below_the_root_of_the_mount_is_no_inbox(mount_mini):
    mini = MiniServer()
    mini.box('Work/inbox').add(message(1).data)
    mail = mount_mini(mini, mailbox='/Work')
    assert os.listdir(mail.path) == ['inbox']
    with refused(errno.ENOENT):
        os.stat(mail / 'INBOX')
    assert (mail / 'inbox/1.eml').read_bytes() == message(1).data


def test_noselect_is_a_directory_without_mail(mount_mini):
    mini = MiniServer()
    mini.box('Top', ['\\Noselect', '\\HasChildren'])
    mini.box('Top/Sub').add(message(1).data)
    mini.box('Gone', ['\\NonExistent'])
    mail = mount_mini(mini)
    assert mail.names('Top') == ['Sub']
    assert (mail / 'Top/Sub/1.eml').read_bytes() == message(1).data
    with refused(errno.ENOENT):
        (mail / 'Top/1.eml').read_bytes()


def test_many_folders(mount_mini):
    mini = MiniServer()
    for number in range(1000):
        mini.box(f'Level{number % 10}/Folder {number}')
    mail = mount_mini(mini)
    assert len(tree(mail.path)) == 1000 + 10 + 1


def test_decoded_names_match_the_wire(account, mount):
    for name in ('Entwürfe', '日本語', 'A&B'):
        account.client().create(quote(name))
    shown = set(os.listdir(mount().path))
    assert shown == {decode_utf7(wire.encode()) for wire in account.folders()}
