"""What a deletion and a move cost, and what they do where they may not or the server is strange."""

import contextlib
import errno
import os
import re

import pytest

import messages
from messages import message
from mini import MiniServer, Session, text
from mount import SLOW, refused
from server import wait_until

pytestmark = pytest.mark.tsan


# ---- round trips ---------------------------------------------------------------------------------


@pytest.mark.parametrize('without, rm, mv', [
    (['QRESYNC'], 1, 1), (['QRESYNC', 'MOVE'], 1, 2), (['QRESYNC', 'MOVE', 'UIDPLUS'], 2, 4),
    (['MOVE'], 1, 2)], ids=['noqresync', 'nomove', 'nouidplus', 'nomove-qresync'])
def test_round_trips(make_server, make_account, make_proxy, make_mount, without, rm, mv):
    """What leaves at once is one of them. Dovecot 2.3 sometimes has to be asked once more."""
    account = make_account(make_server(without=['IDLE', 'NOTIFY', *without]))
    account.fill('INBOX', messages.messages(30))
    account.fill('Archive', messages.messages(2, first=50))
    proxy = make_proxy(account.server, record=True)
    mail = make_mount(account, 'names=uid', 'poll=0', 'connections=1', tls='no', port=proxy.port)
    assert len(mail.names()) == 30 and len(mail.names('Archive')) == 2

    def taken(deed, uids):
        counts = []
        for uid in uids:
            os.stat(mail / f'INBOX/{uid}.eml')
            proxy.reset_counters()
            deed(mail / f'INBOX/{uid}.eml')
            counts.append(sum(not re.fullmatch(rb'\S+ NOOP\r\n', w) for w in list(proxy.writes)))
        return counts

    os.unlink(mail / 'INBOX/30.eml')  # what the server does with UIDs is known
    counts = taken(os.unlink, range(1, 10))
    assert sorted(counts)[4] == rm, counts
    os.rename(mail / 'INBOX/29.eml', mail / 'Archive/29.eml')
    counts = taken(lambda path: os.rename(path, mail / 'Archive' / f'new-{path.name}'), range(10, 19))
    assert sorted(counts)[4] == mv, counts
    assert account.uids('INBOX', 'UNDELETED') == list(range(19, 29))
    assert sorted(account.bodies('Archive').values()) == sorted(
        message(n).data for n in (50, 51, 29, *range(10, 19)))


# ---- rights --------------------------------------------------------------------------------------


def test_rm_without_the_right_to_expunge(make_server, make_account, make_mount, tmp_path):
    """Dovecot says OK to the EXPUNGE that it ignores: the message stays mail."""
    rights = tmp_path / 'acl'
    rights.write_text('Kept owner lrwstipxa\n')
    account = make_account(make_server(extra=f'''
mail_plugins = acl
plugin {{
  acl = vfile:{rights}
}}'''))
    rights.chmod(0o644)
    for parent in rights.parents[:3]:
        parent.chmod(parent.stat().st_mode | 0o011)
    account.fill('Kept', messages.messages(3))
    mail = make_mount(account)
    path = mail.message('Kept', 2)
    with refused(errno.EACCES):
        os.unlink(path)
    assert account.flags('Kept', 2) == set()
    assert path.read_bytes() == message(2).data and len(mail.names('Kept')) == 3
    assert account.uids('Kept') == [1, 2, 3]


def test_rm_where_expunge_is_forbidden(mount_mini):
    """Cyrus says NO, and tells of the flag although it is not to."""
    mini = MiniServer()
    box = mini.box('INBOX')
    for n in (1, 2, 3):
        box.add(message(n).data)

    def store(session, command):
        session.execute(command)
        session.send(b'* 2 FETCH (FLAGS (%s) UID 2)\r\n' % ' '.join(box.mails[1].flags).encode())
        return True

    mini.on['UID EXPUNGE'] = lambda session, _: session.reply('Permission denied', 'NO') or True
    mini.on['UID STORE'] = store
    mail = mount_mini(mini)
    path = mail.message('INBOX', 2)
    with refused(errno.EACCES):
        os.unlink(path)
    assert [m.flags for m in box.mails] == [set()] * 3
    assert path.read_bytes() == message(2).data and len(mail.names()) == 3
    assert 'EXPUNGE' not in mini.names()


def test_rm_of_what_another_has_flagged_where_expunge_is_forbidden(mount_mini):
    """The flag is the other client's: it stays, and the mount learns of it."""
    mini = MiniServer()
    mini.without('IDLE')
    box = mini.box('INBOX')
    for n in (1, 2, 3):
        box.add(message(n).data)
    mini.on['UID EXPUNGE'] = lambda session, _: session.reply('Permission denied', 'NO') or True
    mail = mount_mini(mini, 'names=uid', 'poll=0')
    assert len(mail.names()) == 3
    box.mails[1].flags.add('\\Deleted')
    with refused(errno.EACCES):
        os.unlink(mail / 'INBOX/2.eml')
    assert 'UID EXPUNGE' in mini.names()
    assert [m.flags for m in box.mails] == [set(), {'\\Deleted'}, set()]
    assert wait_until(lambda: mail.names() == ['1.eml', '3.eml'], 30 * SLOW)


def test_rm_where_the_next_message_is_taken_for_one_that_is_gone(mount_mini, monkeypatch):
    """mailutils: UID STORE of a UID that is gone flags the message behind it."""
    mini = MiniServer()
    mini.without('UIDPLUS', 'MOVE', 'IDLE')
    box = mini.box('INBOX')
    for n in range(1, 7):
        box.add(message(n).data)
    honest = Session._chosen

    def nearest(session, numbers, by_uid):
        found = honest(session, numbers, by_uid)
        if found or not by_uid or ':' in text(numbers) or not session.view:
            return found
        behind = [(s, m) for s, m in enumerate(session.view, 1) if m.uid > int(text(numbers))]
        return [behind[0] if behind else (len(session.view), session.view[-1])]

    def another_is_quicker(session, command):
        """The mount finds out with the first thing that it asks of the message."""
        if text(command.args[0]) in ('2', '4294967295') and len(box.mails) == 6:
            session.view.remove(box.mails.pop(1))
            session.send(b'* 2 EXPUNGE\r\n')

    monkeypatch.setattr(Session, '_chosen', nearest)
    mail = mount_mini(mini, 'poll=0', 'names=uid')
    assert len(mail.names()) == 6
    mini.on['UID STORE'] = mini.on['UID FETCH'] = another_is_quicker
    with contextlib.suppress(FileNotFoundError):
        os.unlink(mail / 'INBOX/2.eml')
    assert len(box.mails) == 5
    os.unlink(mail / 'INBOX/4.eml')
    assert [(m.uid, m.flags) for m in box.mails] == [(n, set()) for n in (1, 3, 5, 6)]
