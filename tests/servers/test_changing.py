"""Moving, deleting, folders and flags, as the other client sees what came of it."""

from __future__ import annotations

import errno
import os

import pytest

from conftest import Mail
from messages import message
from mount import refused

MAILS = [message(n, 300 + n).data for n in range(40)]


def deleted_by_another(mail: Mail, folder: str) -> int:
    """Flags the first message as another client does that did not expunge yet."""
    uid = mail.eye.uids(folder)[0]
    mail.eye.store(folder, uid, '+FLAGS', '\\Deleted')
    mail.soon(lambda: uid not in mail.shown(folder), 'a message that is \\Deleted is listed')
    return uid


def test_move(mail: Mail) -> None:
    here, there = mail.folder('move-a', *MAILS[:3], flags='\\Flagged'), mail.folder('move-b')
    uid = mail.eye.uids(here)[1]
    before = mail.eye.rows(here)
    mail.sh(f"mv *.{uid}.eml '{mail.path(there)}'", here)
    after = mail.eye.rows(here)
    assert set(after) == set(before) - {uid}
    (row,) = mail.eye.rows(there).values()
    assert row == before[uid]
    assert mail.contents(there) == [row.data] and sorted(mail.shown(here)) == sorted(after)


def test_move_many(mail: Mail) -> None:
    others = [message(n).data for n in (90, 91)]
    here, there = mail.folder('many-a', *MAILS), mail.folder('many-b', *others)
    mail.sh(f"mv *.eml '{mail.path(there)}'", here)
    assert mail.eye.uids(here) == [] and mail.names(here) == []
    assert mail.eye.bodies(there) == sorted([*MAILS, *others]) == mail.contents(there)


def test_move_there_and_back(mail: Mail) -> None:
    here, there = mail.folder('back-a', *MAILS[:1]), mail.folder('back-b')
    for source, target in ((here, there), (there, here), (here, there)):
        path, = mail.shown(source).values()
        os.rename(path, mail.path(target) / path.name)
        assert (mail.path(target) / path.name).read_bytes() == MAILS[0]
    assert mail.eye.bodies(there) == MAILS[:1] and mail.eye.uids(here) == []


def test_move_from_the_inbox(mail: Mail) -> None:
    mail.eye.append('INBOX', MAILS[4])
    mail.soon(lambda: mail.names('INBOX'), 'nothing in the INBOX')
    there = mail.folder('from-inbox')
    for path in mail.shown('INBOX').values():
        os.rename(path, mail.path(there) / path.name)
    assert mail.eye.bodies(there) == [MAILS[4]] and mail.eye.uids('INBOX') == []


def test_move_beside_deleted(mail: Mail) -> None:
    """Another client's \\Deleted must survive, here and there."""
    here, there = mail.folder('beside-a', *MAILS[:4]), mail.folder('beside-b', *MAILS[4:6])
    theirs, other = deleted_by_another(mail, here), deleted_by_another(mail, there)
    path = list(mail.shown(here).values())[1]
    data = path.read_bytes()
    os.rename(path, mail.path(there) / path.name)
    assert theirs in mail.eye.uids(here, 'DELETED') and other in mail.eye.uids(there, 'DELETED')
    assert data in mail.eye.bodies(there) and data in mail.contents(there)
    assert sorted(mail.contents(here) + [data]) == MAILS[1:4]


def test_delete(mail: Mail) -> None:
    folder = mail.folder('rm', *MAILS[:3])
    uids = mail.eye.uids(folder)
    mail.sh(f'rm *.{uids[1]}.eml', folder)
    assert mail.eye.uids(folder) == [uids[0], uids[2]] == sorted(mail.shown(folder))


def test_delete_many(mail: Mail) -> None:
    folder = mail.folder('rm-many', *MAILS)
    uids = mail.eye.uids(folder)
    mail.sh(f'rm {" ".join(f"*.{uid}.eml" for uid in uids[3:-3])}', folder)
    assert mail.eye.uids(folder) == uids[:3] + uids[-3:] == sorted(mail.shown(folder))


def test_delete_beside_deleted(mail: Mail) -> None:
    folder = mail.folder('rm-beside', *MAILS[:3])
    theirs = deleted_by_another(mail, folder)
    uid, path = list(mail.shown(folder).items())[0]
    path.unlink()
    assert theirs in mail.eye.uids(folder) and uid not in mail.shown(folder)
    assert uid not in mail.eye.uids(folder) or uid in mail.eye.uids(folder, 'DELETED')


@pytest.mark.only('dovecot-acl')
def test_without_the_right_to_delete(mail: Mail) -> None:
    """RFC 4314: nothing is expunged without the right "e", nor copied to where "i" is missing."""
    here, there = mail.folder('rights', *MAILS[:2]), 'Public/NoDelete'
    mail.eye.append(there, MAILS[2])
    mail.soon(lambda: mail.contents(there) == [MAILS[2]], 'nothing shows')
    path, = mail.shown(there).values()
    with refused(errno.EACCES):
        path.unlink()
    with refused(errno.EACCES):
        os.rename(path, mail.path(here) / path.name)
    path, _ = mail.shown(here).values()
    with refused(errno.EACCES):
        os.rename(path, mail.path('Public/NoInsert') / path.name)
    assert mail.contents(there) == mail.eye.bodies(there) == [MAILS[2]]
    assert mail.eye.uids(there, 'DELETED') == []
    assert mail.contents(here) == mail.eye.bodies(here) == MAILS[:2]


# ---- folders -------------------------------------------------------------------------------------


def test_mkdir(mail: Mail) -> None:
    folder = mail.eye.top + 'made'
    mail.path(folder).mkdir()
    assert folder in mail.eye.folders()
    with refused(errno.EEXIST):
        mail.path(folder).mkdir()
    mail.eye.append(folder, MAILS[0])
    mail.soon(lambda: mail.contents(folder) == MAILS[:1], 'nothing shows in a folder made here')


def test_mkdir_nested(mail: Mail) -> None:
    folder = mail.eye.top + 'outer/middle/inner'
    mail.path(folder).mkdir(parents=True)
    assert folder in mail.eye.folders()
    source = mail.folder('into-nested', *MAILS[:2])
    for path in mail.shown(source).values():
        os.rename(path, mail.path(folder) / path.name)
    assert mail.eye.bodies(folder) == MAILS[:2] == mail.contents(folder)


def test_rmdir(mail: Mail) -> None:
    folder = mail.folder('unmade')
    mail.path(folder).rmdir()
    assert folder not in mail.eye.folders() and not mail.path(folder).exists()


def test_rmdir_of_mail(mail: Mail) -> None:
    """What holds mail or folders is not deleted."""
    folder = mail.folder('full', MAILS[0])
    with refused(errno.ENOTEMPTY):
        mail.path(folder).rmdir()
    assert mail.eye.bodies(folder) == MAILS[:1]


def test_rmdir_of_folders(mail: Mail) -> None:
    folder = mail.eye.top + 'parent'
    (mail.path(folder) / 'child').mkdir(parents=True)
    with refused(errno.ENOTEMPTY):
        mail.path(folder).rmdir()
    assert f'{folder}/child' in mail.eye.folders()


def test_rename_folder(mail: Mail) -> None:
    folder, to = mail.folder('old-name', *MAILS[:2]), mail.eye.top + 'new-name'
    os.rename(mail.path(folder), mail.path(to))
    assert to in mail.eye.folders() and folder not in mail.eye.folders()
    assert mail.eye.bodies(to) == MAILS[:2] == mail.contents(to)
    assert not mail.path(folder).exists()


def test_rename_folder_with_child(mail: Mail) -> None:
    folder, to = mail.eye.top + 'old-parent', mail.eye.top + 'new-parent'
    (mail.path(folder) / 'child').mkdir(parents=True)
    mail.eye.append(f'{folder}/child', MAILS[0])
    os.rename(mail.path(folder), mail.path(to))
    assert {to, f'{to}/child'} <= mail.eye.folders()
    assert mail.eye.bodies(f'{to}/child') == MAILS[:1] == mail.contents(f'{to}/child')


def _make_and_use(mail: Mail, name: str) -> None:
    """mkdir, mail in it, renamed and back, rmdir; the other client sees the very name."""
    folder = mail.eye.top + name
    mail.path(folder).mkdir()
    assert folder in mail.eye.folders()
    mail.eye.append(folder, MAILS[0])
    mail.soon(lambda: mail.contents(folder) == MAILS[:1], f'nothing in {folder}')
    assert name in os.listdir(mail.path(mail.eye.top))
    next(iter(mail.shown(folder).values())).unlink()
    mail.path(folder).rmdir()
    assert folder not in mail.eye.folders()


def test_name_with_blanks(mail: Mail) -> None:
    _make_and_use(mail, 'two  words')


def test_name_with_quotes(mail: Mail) -> None:
    _make_and_use(mail, 'say-"hello"-(now)')


def test_name_with_backslash(mail: Mail) -> None:
    _make_and_use(mail, 'back\\slash')


def test_name_with_wildcards(mail: Mail) -> None:
    _make_and_use(mail, '50%-of-*all*')


def test_name_with_ampersand(mail: Mail) -> None:
    _make_and_use(mail, 'R&D&more')


def test_name_in_utf8(mail: Mail) -> None:
    _make_and_use(mail, 'Entwürfe-友人')


def test_name_with_emoji(mail: Mail) -> None:
    _make_and_use(mail, 'party🎉')


# ---- attributes ----------------------------------------------------------------------------------


def flags_of(path: os.PathLike) -> set[str]:
    return set(os.getxattr(path, 'user.imap.flags').decode().split())


def test_flags_shown(mail: Mail) -> None:
    folder = mail.folder('flags', MAILS[0], flags='\\Seen \\Answered')
    path, = mail.shown(folder).values()
    assert flags_of(path) == {'\\Seen', '\\Answered'}


def test_flags_set(mail: Mail) -> None:
    folder = mail.folder('flags-set', *MAILS[:2], flags='\\Seen')
    uid, path = list(mail.shown(folder).items())[0]
    os.setxattr(path, 'user.imap.flags', b'+\\Flagged')
    os.setxattr(path, 'user.imap.flags', b'-\\Seen')
    assert mail.eye.flags(folder, uid) == {'\\Flagged'}
    # Another connection may be told of the first change behind the second one's answer.
    mail.settles(lambda: flags_of(path) == {'\\Flagged'}, 'the flags are not as they were set')
    os.setxattr(path, 'user.imap.flags', b'\\Answered \\Draft')
    assert mail.eye.flags(folder, uid) == {'\\Answered', '\\Draft'} == flags_of(path)
    assert mail.eye.flags(folder, mail.eye.uids(folder)[1]) == {'\\Seen'}


def test_keyword(mail: Mail) -> None:
    folder = mail.folder('keyword', MAILS[0])
    (uid, path), = mail.shown(folder).items()
    os.setxattr(path, 'user.imap.flags', b'+work')
    assert mail.eye.flags(folder, uid) == {'work'} == flags_of(path)


def test_header_attributes(mail: Mail) -> None:
    folder = mail.folder('attributes', message(1, subject='=?utf-8?q?Gr=C3=BC=C3=9Fe?=').data)
    path, = mail.shown(folder).values()
    assert os.getxattr(path, 'user.imap.subject').decode() == 'Grüße'
    assert os.getxattr(path, 'user.imap.from').decode() == 'Alice Example <alice@example.org>'
    assert os.getxattr(path, 'user.imap.message-id').decode().endswith('@example.org>')


def test_unseen_count(mail: Mail) -> None:
    folder = mail.folder('count', *MAILS[:3])
    mail.eye.append(folder, MAILS[3], flags='\\Seen')
    mail.soon(lambda: len(mail.names(folder)) == 4, 'not all are listed')
    assert os.getxattr(mail.path(folder), 'user.imap.unseen') == b'3'
