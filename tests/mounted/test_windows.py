"""Servers that do not answer the window of a message that was asked for: what is read is what the
server has, to the byte, or an error.

Each lie changes the rows of a mini server in clear text.
"""

import os
import re
import subprocess

import pytest

from messages import message
from mini import MiniServer, fetch_row, literal
from mount import SLOW
from server import wait_until
from test_prefetch import status
from test_sizes import same

pytestmark = pytest.mark.deadline(240)

KIB, MIB = 1024, 1024 * 1024
SIZES = [300, 4096, 65_535, 65_536, 65_537, 100_350, 131_072, 300_000, 5_000_339]


def bodies(answer):
    """MiniServer.fetch_rows with another answer for each window: `answer(mail, start, count)` is what
    stands behind BODY[] and the bytes, or None for no item at all."""
    def rows(session, seq, mail, pairs):
        shown = []
        for name, value in pairs:
            if name.startswith(b'BODY[]<'):
                start = int(name[7:-1])
                count = asked(session)
                item = answer(mail, start, count)
                if item is not None:
                    shown.append((b'BODY[]' + item[0], literal(item[1])))
            else:
                shown.append((name, value))
        return [fetch_row(seq, shown)]
    return rows


def asked(session):
    """The length of the window in the command being answered."""
    raw = [c for c in session.mini.commands if c.tag == session.peer.tag][-1].raw
    return int(re.search(rb'BODY\.PEEK\[\]<\d+\.(\d+)>', raw).group(1))


def window(mail, start, count):
    return mail.data[start:start + count]


LIES = {
    # Twisted: the window is echoed, and all of the message sent.
    'echoed': lambda mail, start, count: (b'<%d.%d>' % (start, count), mail.data),
    'called-window': lambda mail, start, count: (b'<%d>' % start, mail.data),
    'called-whole': lambda mail, start, count: (b'', mail.data),
    # The window is right, and its origin missing or another.
    'no-origin': lambda mail, start, count: (b'', window(mail, start, count)),
    'origin-0': lambda mail, start, count: (b'<0>', window(mail, start, count)),
    'origin-1': lambda mail, start, count: (b'<%d>' % (start + 1), window(mail, start, count)),
    # hMailServer: another part than was asked for, and said to be that.
    'wrong-part': lambda mail, start, count:
        (b'<%d>' % (start // 2), window(mail, start // 2, count)),
    # Nothing of what does not begin at the beginning.
    'only-first': lambda mail, start, count: (b'<0>', window(mail, 0, count)),
    'empty': lambda mail, start, count: (b'<%d>' % start, b''),
    'none': lambda mail, start, count: None if start else (b'<0>', window(mail, 0, count)),
    'capped': lambda mail, start, count: (b'<%d>' % start, window(mail, start, min(count, 10_000))),
    'honest': lambda mail, start, count: (b'<%d>' % start, window(mail, start, count)),
}


def fill(mini, sizes=SIZES):
    for number, size in enumerate(sizes, 1):
        mini.box('INBOX').add(message(number, size).data[:max(size, 200)])
    return {mail.uid: mail.data for mail in mini.box('INBOX').mails}


def cat(path):
    done = subprocess.run(['cat', str(path)], stdin=subprocess.DEVNULL, capture_output=True,
                          check=False, timeout=120 * SLOW)
    assert not done.stderr, done.stderr
    return done.stdout


@pytest.mark.parametrize('lie', LIES.values(), ids=LIES.keys())
@pytest.mark.parametrize('order', ['small-first', 'large-first', 'from-the-end'])
def test_every_byte(mount_mini, lie, order):
    mini = MiniServer()
    table = fill(mini)
    mini.fetch_rows = bodies(lie)
    mail = mount_mini(mini, 'names=uid')
    assert len(mail.names()) == len(table)
    wrong = []
    for uid in sorted(table, reverse=order == 'large-first'):
        path, data = mail / f'INBOX/{uid}.eml', table[uid]
        if order == 'from-the-end':
            fd = os.open(path, os.O_RDONLY)
            for start in (len(data) - 100, len(data) // 2, len(data) // 3):
                why = same(os.pread(fd, 50, start), data[start:start + 50])
                wrong += [f'{len(data)} at {start}: {why}'] if why else []
            os.close(fd)
        why = same(cat(path), data)
        wrong += [f'{len(data)}: {why}'] if why else []
        assert path.stat().st_size == len(data)
    assert not wrong, '\n'.join(wrong)


def test_once_for_each_message(mount_mini):
    """Who ignores windows is asked for each message whole, once, and it is said so once."""
    mini = MiniServer()
    table = fill(mini, [5_000_339] * 4)
    mini.fetch_rows = bodies(LIES['echoed'])
    mail = mount_mini(mini, 'names=uid')
    mail.names()
    for uid, data in table.items():
        assert same(cat(mail / f'INBOX/{uid}.eml'), data) is None
    asked_for = [c.raw for c in mini.commands if b'BODY.PEEK[]' in c.raw]
    assert len(asked_for) <= 2 * len(table)
    for uid in list(table)[1:]:  # of the first, it was found out
        whole = [raw for raw in asked_for if re.search(rb'FETCH %d \(UID BODY\.PEEK\[\]\)' % uid, raw)]
        assert len(whole) == 1
    assert status(mail)['partial fetches'] == 'ignored by the server'
    assert mail.log().count('each message is fetched as a whole') == 1


def empty_in_sets(session, seq, mail, pairs):
    """hoodiecrow: of a set with a window only the first message has bytes."""
    raw = session.mini.commands[-1].raw
    many = re.search(rb'FETCH \d+[:,]', raw)
    first = getattr(session, 'first', None)
    if not many or first is None or first[0] != raw:
        session.first = first = (raw, seq)
    return [fetch_row(seq, [(name, literal(b'') if name.startswith(b'BODY[]<') and many
                             and seq != first[1] else value) for name, value in pairs])]


def missing_in_sets(session, seq, mail, pairs):
    many = re.search(rb'FETCH \d+[:,]', session.mini.commands[-1].raw)
    return [fetch_row(seq, [p for p in pairs if not (p[0].startswith(b'BODY[]<') and many)])]


@pytest.mark.parametrize('rows', [empty_in_sets, missing_in_sets], ids=['empty', 'missing'])
def test_an_empty_body_in_a_set(mount_mini, rows):
    """It is asked for alone before it is believed."""
    mini = MiniServer()
    table = fill(mini, [300 + 10 * n for n in range(100)])
    mini.fetch_rows = rows
    mail = mount_mini(mini, 'names=uid')
    mail.names()
    wrong = [uid for uid, data in table.items() if cat(mail / f'INBOX/{uid}.eml') != data]
    assert not wrong, f'{len(wrong)} of {len(table)}'
    assert any(re.search(rb'FETCH \d+[:,].*BODY\.PEEK\[\]<', c.raw) for c in mini.commands)


def test_an_empty_message(mount_mini):
    """One that is: whatever was announced."""
    mini = MiniServer()
    for size in (0, 1, 300):
        mini.box('INBOX').add(b'').announced = size
    mini.size_of = lambda mail: mail.announced
    mail = mount_mini(mini, 'names=uid')
    for name in mail.names():
        assert cat(mail / f'INBOX/{name}') == b''
        assert wait_until(lambda: (mail / f'INBOX/{name}').stat().st_size == 0, 5 * SLOW)
