"""What another client does meanwhile shows within bounded time to who looks again and again."""

from __future__ import annotations

import os

from conftest import Mail
from messages import message
from test_changing import MAILS, flags_of


def listed(mail: Mail, name: str, count: int = 3) -> str:
    """A folder with so many messages that was listed here and is watched from now on."""
    folder = mail.folder(name, *MAILS[:count])
    assert len(mail.names(folder)) == count
    return folder


def test_new_mail(mail: Mail) -> None:
    folder = listed(mail, 'new-mail')
    mail.eye.append(folder, MAILS[10])
    mail.soon(lambda: len(mail.names(folder)) == 4, 'new mail does not show')
    assert mail.contents(folder) == sorted([*MAILS[:3], MAILS[10]])


def test_new_mail_in_inbox(mail: Mail) -> None:
    before = set(mail.names('INBOX'))
    mail.eye.append('INBOX', MAILS[11])
    mail.soon(lambda: len(set(mail.names('INBOX')) - before) == 1, 'new mail does not show')
    name, = set(mail.names('INBOX')) - before
    path = mail.path('INBOX') / name
    assert path.read_bytes() == MAILS[11]
    path.unlink()


def test_new_mail_in_empty_folder(mail: Mail) -> None:
    folder = listed(mail, 'was-empty', 0)
    mail.eye.append(folder, MAILS[10])
    mail.soon(lambda: mail.contents(folder) == [MAILS[10]], 'new mail does not show')


def test_expunged(mail: Mail) -> None:
    folder = listed(mail, 'expunged')
    uids = mail.eye.uids(folder)
    mail.eye.expunge(folder, uids[1])
    mail.soon(lambda: sorted(mail.shown(folder)) == [uids[0], uids[2]], 'still listed')


def test_all_expunged(mail: Mail) -> None:
    folder = listed(mail, 'all-expunged')
    for uid in mail.eye.uids(folder):
        mail.eye.expunge(folder, uid)
    mail.soon(lambda: mail.names(folder) == [], 'still listed')
    mail.eye.append(folder, MAILS[9])
    mail.soon(lambda: mail.contents(folder) == [MAILS[9]], 'new mail does not show')


def test_flagged(mail: Mail) -> None:
    folder = listed(mail, 'flagged')
    uid, path = list(mail.shown(folder).items())[1]
    mail.eye.store(folder, uid, '+FLAGS', '\\Flagged')

    def shows() -> bool:
        mail.names(folder)
        return '\\Flagged' in flags_of(path)
    mail.soon(shows, 'a flag set elsewhere does not show')


def test_moved(mail: Mail) -> None:
    folder, there = listed(mail, 'moved-a'), mail.folder('moved-b')
    assert mail.names(there) == []
    uid = mail.eye.uids(folder)[0]
    data = mail.eye.rows(folder)[uid].data
    with mail.eye.session(folder, readonly=False) as conn:
        assert conn.uid('COPY', str(uid), mail.eye.wire(there))[0] == 'OK'
        assert conn.uid('STORE', str(uid), '+FLAGS', '(\\Deleted)')[0] == 'OK'
        assert conn.expunge()[0] == 'OK'
    mail.soon(lambda: mail.contents(there) == [data], 'does not show where it went')
    mail.soon(lambda: uid not in mail.shown(folder), 'still shows where it was')


def test_folder_made(mail: Mail) -> None:
    folder = mail.eye.top + 'appears'
    assert not mail.path(folder).exists()
    mail.eye.create(folder)
    mail.soon(lambda: 'appears' in os.listdir(mail.path(mail.eye.top)), 'not listed')


def test_folder_deleted(mail: Mail) -> None:
    folder = mail.folder('disappears')
    mail.eye.delete(folder)
    mail.soon(lambda: 'disappears' not in os.listdir(mail.path(mail.eye.top)), 'still listed')
    mail.soon(lambda: not mail.path(folder).exists(), 'still resolves')


def test_folder_remade(mail: Mail) -> None:
    """Deleted and made anew while it is selected here: other messages, perhaps of the same UIDs."""
    folder = listed(mail, 'remade')
    assert mail.contents(folder) == MAILS[:3]
    mail.eye.delete(folder)
    mail.eye.create(folder)
    new = [message(n, 250).data for n in range(50, 54)]
    mail.eye.append(folder, *new)

    mail.settles(lambda: mail.contents(folder) == sorted(new),
                 'the messages of a folder made anew do not show')
    assert sorted(mail.shown(folder)) == mail.eye.uids(folder)


def test_folder_remade_empty(mail: Mail) -> None:
    folder = listed(mail, 'remade-empty')
    mail.eye.delete(folder)
    mail.eye.create(folder)
    mail.settles(lambda: mail.names(folder) == [], 'the messages of a deleted folder are listed')
