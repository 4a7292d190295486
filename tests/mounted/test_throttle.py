"""A server that wants to be left alone for a while."""

import errno
import os
import re
import signal
import subprocess

import pytest

import messages
from mini import MiniServer
from mount import SLOW, refused
from server import wait_until

pytestmark = pytest.mark.tsan

GMAIL = ('[OVERQUOTA] Account exceeded command or bandwidth limits.', 'NO')
OFFICE = 'Request is throttled. Suggested Backoff Time: {} milliseconds'


def reads_of(mini):
    return [c for c in list(mini.commands) if c.name == 'UID FETCH' and b'BODY.PEEK[]' in c.raw]


@pytest.fixture
def put_off(mount_mini):
    """put_off(answers): a mount whose server gives these (words, status) to as many reads."""
    def make(answers):
        mini = MiniServer()
        for n in range(1, 4):
            mini.box('INBOX').add(messages.message(n).data)
        left = list(answers)

        def fetch(session, command):
            if b'BODY.PEEK[]' in command.raw and left:
                session.reply(*left.pop(0))
                return True
            return False

        mini.on['UID FETCH'] = fetch
        mail = mount_mini(mini, 'names=uid', 'prefetch=0')
        assert len(mail.names()) == 3
        return mini, mail

    return make


@pytest.mark.parametrize('answers', [[GMAIL] * 3, [(OFFICE.format(300), 'BAD')] * 2],
                         ids=['Gmail', 'Office 365'])
def test_it_is_waited_for(put_off, answers):
    mini, mail = put_off(answers)
    assert (mail / 'INBOX/2.eml').read_bytes() == messages.message(2).data
    assert len(reads_of(mini)) == len(answers) + 1
    assert len(re.findall('asks to wait|refused by the server', mail.log())) == 1
    assert (mail / 'INBOX/3.eml').read_bytes() == messages.message(3).data
    assert 'server: up\n' in (mail / '.imapfs/status').read_text()


def test_who_waits_can_be_interrupted(put_off):
    mini, mail = put_off([(OFFICE.format(55000), 'BAD')])
    reader = subprocess.Popen(['cat', mail / 'INBOX/2.eml'], stdout=subprocess.DEVNULL,
                              preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    assert wait_until(lambda: 'asks to wait' in mail.log(), 20 * SLOW)
    status = (mail / '.imapfs/status').read_text()
    assert re.search(r'server: up, but asks to wait for \d+ s: Request is throttled', status), status
    reader.send_signal(signal.SIGINT)
    assert reader.wait(20 * SLOW) == -signal.SIGINT
    assert len(reads_of(mini)) == 1


def test_what_is_too_long_is_refused(put_off):
    mini, mail = put_off([(OFFICE.format(299961), 'BAD')])
    for uid in (2, 3):
        with refused(errno.EBUSY):
            (mail / f'INBOX/{uid}.eml').read_bytes()
    with refused(errno.EBUSY):
        os.unlink(mail / 'INBOX/1.eml')
    assert len(reads_of(mini)) == 1 and len(mini.box('INBOX').mails) == 3
    assert re.search('asks to wait for (300.0|299.9) s, and until then nothing is asked', mail.log())
