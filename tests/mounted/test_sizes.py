"""The sizes that a server announces are promises: what is read is what the server has, to the byte,
and what stat says afterwards is what was read.

Each message is read once, by one reader, on a mount that has never seen it: the kernel believes what
was announced. The servers are mini servers in clear text.
"""

import errno
import hashlib
import mmap
import os
import re
import subprocess
import threading

import pytest

from messages import message
from mini import MiniServer, fetch_row, literal
from mount import SLOW, refused
from server import wait_until
from test_prefetch import status

pytestmark = pytest.mark.deadline(300)

KIB = 1024

# Around the borders of a page, of the first window, of the kernel's read-ahead and of what it reads
# at once when it is told of three times as much.
SIZES = [1, 7, 4095, 4096, 4097, 65535, 65536, 65537, 65540, 65848, 100_156, 131_071, 131_072,
         131_073, 327_836, 1_050_000]

LIES = {
    'triple': lambda n: b'%d' % (3 * n),
    'percent': lambda n: b'%d' % (n + n // 100 + 1),
    **{f'less-{k}': (lambda n, k=k: b'%d' % max(n - k, 0)) for k in (1, 2, 7)},
    'zero': lambda n: b'0',
    'one': lambda n: b'1',
    'half': lambda n: b'%d' % (n // 2),
    'missing': lambda n: None,
    'nil': lambda n: b'NIL',
    'minus': lambda n: b'-1',
    'float': lambda n: b'9.3736e+06',
    '2^31': lambda n: b'2147483648',
    '2^32-1': lambda n: b'4294967295',
    '2^63-1': lambda n: b'9223372036854775807',
    '2^63': lambda n: b'9223372036854775808',
    '2^64': lambda n: b'18446744073709551616',
    'honest': lambda n: b'%d' % n,
}


def lying(lie):
    """A MiniServer.fetch_rows that announces what `lie` makes of the true size."""
    def rows(session, seq, mail, pairs):
        shown = []
        for name, value in pairs:
            if name == b'RFC822.SIZE':
                value = lie(len(mail.data))
            if value is not None:
                shown.append((name, value))
        return [fetch_row(seq, shown)]
    return rows


def content(number, size):
    """`size` bytes that are no other message's; a header where there is room for one."""
    data = message(number, size).data[:size] if size > 200 else b'x' * size
    assert len(data) == size
    return data


# ---- readers: each returns the bytes that it got -------------------------------------------------


def tool(*words):
    def read(path):
        done = subprocess.run([*words, str(path)], stdin=subprocess.DEVNULL, check=False,
                              capture_output=True, timeout=60 * SLOW)
        assert not done.stderr, done.stderr
        return done.stdout
    return read


def copy(path):
    target = path.parent.parent.parent / f'copy-{path.name}'  # beside the mount
    subprocess.run(['cp', str(path), str(target)], check=True, timeout=60 * SLOW)
    data = target.read_bytes()
    target.unlink()
    return data


def digest(path):
    """sha256sum: what it says stands for the bytes."""
    return tool('sha256sum')(path).split()[0].decode()


def dd(size):
    def read(path):
        return subprocess.run(['dd', f'bs={size}', f'if={path}', 'status=none'], check=True,
                              capture_output=True, timeout=60 * SLOW).stdout
    return read


def mapped(path):
    """Who maps a file goes by what stat says, and sees zeroes, or is stopped, behind its end: so one
    byte is read first, as who opens a file to see what it is does, and the last one is sought."""
    with open(path, 'rb') as file:
        whole = os.fstat(file.fileno()).st_size
        os.pread(file.fileno(), 1, whole)
        file.read()
        with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as view:
            return bytes(view)


def backwards(path):
    """In pieces, the last one first. What lies behind the announced end cannot be seen before the
    end was: so the second time counts."""
    fd = os.open(path, os.O_RDONLY)
    try:
        end, step = 4 * 1024 * KIB, 250 * KIB
        for _ in range(2):
            parts = [os.pread(fd, step, start) for start in reversed(range(0, end, step))]
        return b''.join(reversed(parts))
    finally:
        os.close(fd)


def middle_first(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        middle = os.pread(fd, 5000, 40_000)
        whole = path.read_bytes()
        assert middle == whole[40_000:40_000 + len(middle)]
        return whole
    finally:
        os.close(fd)


def two_at_once(path):
    got = []
    threads = [threading.Thread(target=lambda: got.append(path.read_bytes())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 2 and got[0] == got[1]
    return got[0]


def beside_stat(path):
    """A loop of stat and ls beside cat, by a name that the kernel asks for again and again."""
    stop = threading.Event()

    def look():
        while not stop.is_set():
            os.stat(path)
            os.scandir(path.parent).close()
            list(os.scandir(path.parent))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        return tool('cat')(path)
    finally:
        stop.set()
        thread.join()


READERS = {
    'cat': tool('cat'), 'cp': copy, 'sha256sum': digest, 'grep': tool('grep', '-a', ''),
    'python': lambda path: path.read_bytes(), 'dd512': dd(512), 'dd64k': dd(65536),
    'tail': tool('tail', '-c', '+1'), 'mmap': mapped, 'backwards': backwards,
    'middle': middle_first, 'two': two_at_once, 'stat': beside_stat,
}


def expected(reader, data):
    if reader == 'sha256sum':
        return hashlib.sha256(data).hexdigest()
    if reader == 'grep':
        return data if data.endswith(b'\n') else data + b'\n'
    return data


def fill(mini, readers=tuple(READERS), sizes=SIZES):
    """A message for each reader and size: {uid: (reader, data)}."""
    table = {}
    for reader in readers:
        for size in sizes:
            data = content(len(table) + 1, size)
            table[mini.box('INBOX').add(data).uid] = (reader, data)
    return table


def same(got, want):
    """Not by ==, whose explanation of megabytes takes longer than the test."""
    if got == want:
        return None
    if isinstance(got, str):
        return 'another digest'
    at = next((n for n, (x, y) in enumerate(zip(got, want)) if x != y), min(len(got), len(want)))
    return f'{len(got)} bytes instead of {len(want)}, other ones from {at} on: {got[at:at + 20]!r}'


def wrong_ones(mail, table):
    wrong = []
    for uid, (reader, data) in table.items():
        path = mail / f'INBOX/{uid}.eml'
        why = same(READERS[reader](path), expected(reader, data))
        if why:
            wrong.append(f'{reader} of {len(data)}: {why}')
            continue
        if not wait_until(lambda: path.stat().st_size == len(data), 5 * SLOW):
            wrong.append(f'{reader} of {len(data)}: stat says {path.stat().st_size}')
        why = same(path.read_bytes(), data)
        if why:
            wrong.append(f'{reader} of {len(data)}, read again: {why}')
    return wrong


CASES = [*((lie, ()) for lie in LIES),
         *((lie, ('prefetch=0',)) for lie in ('triple', 'less-7', 'missing'))]


@pytest.mark.parametrize('lie,options', CASES, ids=['-'.join([a, *b]) for a, b in CASES])
def test_every_byte(mount_mini, lie, options):
    mini = MiniServer()
    table = fill(mini)
    mini.fetch_rows = lying(LIES[lie])
    mail = mount_mini(mini, 'names=uid', *options)
    assert len(mail.names()) == len(table)
    wrong = wrong_ones(mail, table)
    assert not wrong, '\n'.join([f'{len(wrong)} of {len(table)}', *wrong])


def bodies_asked_for(mini):
    return [command.raw for command in list(mini.commands) if b'BODY.PEEK[]' in command.raw]


@pytest.mark.parametrize('lie', ['triple', 'less-7', 'missing'])
def test_listing_asks_for_no_body(mount_mini, sh, lie):
    """ls -l shows what was announced, also of a server that is known to be wrong."""
    mini = MiniServer()
    sizes = [300, 5000, 100_156, 300_000]
    table = fill(mini, ('cat',), sizes)
    mini.fetch_rows = lying(LIES[lie])
    mail = mount_mini(mini, 'names=uid')
    sh('ls -l INBOX; du -a INBOX; find INBOX -size +1M', mail.path)
    assert not bodies_asked_for(mini)
    assert same((mail / 'INBOX/1.eml').read_bytes(), table[1][1]) is None
    asked = len(bodies_asked_for(mini))
    sh('ls -l INBOX; du -a INBOX; find INBOX -size +1M', mail.path)
    assert len(bodies_asked_for(mini)) == asked
    announced = LIES[lie](100_156)
    assert (mail / 'INBOX/3.eml').stat().st_size == int(announced or 65536)


def test_it_is_said_once(mount_mini):
    mini = MiniServer()
    table = fill(mini, ('cat',), [300, 5000, 100_156, 300_000])
    mini.fetch_rows = lying(LIES['triple'])
    mail = mount_mini(mini, 'names=uid')
    mail.names()
    assert not wrong_ones(mail, table)
    assert status(mail)['messages of another size than announced'] == str(len(table))
    assert mail.log().count('the sizes that this server announces') == 1


def test_many_readers(mount_mini):
    """Eight at once, each message by two of them, while others list and stat."""
    mini = MiniServer()
    table = fill(mini, ('cat',), [300, 4096, 5000, 65_536, 100_156, 131_072] * 12)
    mini.fetch_rows = lying(LIES['triple'])
    mail = mount_mini(mini, 'names=uid')
    wrong, stop = [], threading.Event()

    def look():
        while not stop.is_set():
            for name in os.listdir(mail / 'INBOX'):
                os.stat(mail / 'INBOX' / name)

    def read(first):
        for uid in list(table)[first::4]:
            why = same((mail / f'INBOX/{uid}.eml').read_bytes(), table[uid][1])
            wrong.extend([f'{uid}: {why}'] if why else [])

    looker = threading.Thread(target=look)
    readers = [threading.Thread(target=read, args=(n % 4,)) for n in range(8)]
    for thread in (looker, *readers):
        thread.start()
    for thread in readers:
        thread.join()
    stop.set()
    looker.join()
    assert not wrong, '\n'.join(wrong)


class Held:
    """The bodies of some messages come while the test lets them."""

    def __init__(self, mini, *uids):
        self.asked = {uid: threading.Semaphore(0) for uid in uids}
        self.open = {uid: threading.Event() for uid in uids}
        mini.on['UID FETCH'] = self.fetch

    def fetch(self, _session, command):
        words = command.raw.split()
        for uid, gate in self.open.items():
            if b'BODY.PEEK[]' in command.raw and words[3] == b'%d' % uid and not gate.is_set():
                self.asked[uid].release()
                gate.wait(100 * SLOW)

    def wait_for(self, uid):
        assert self.asked[uid].acquire(timeout=60 * SLOW)


def in_background(work):
    """Starts a thread; what it is for is in its `result` once it has ended."""
    def run():
        thread.result = work()
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def test_a_listing_beside_readers(mount_mini):
    """The size of the first message is known, but not to the kernel, since its reader was killed.
    If a listing told it while the message is read again, the kernel would wait for the page in
    which it ends, and take the size of the second message from the same listing afterwards, however
    old it is by then: the second reader's answer would be older still, and not be believed."""
    mini = MiniServer()
    want = [content(1, 5000), content(2, 5000), content(3, 10_000_000)]
    for data in want:
        mini.box('INBOX').add(data)
    mini.fetch_rows = lying(LIES['triple'])
    held = Held(mini, 1, 2)
    mail = mount_mini(mini, 'names=uid', 'prefetch=0', 'cache=8M')
    one, two, three = [mail / 'INBOX' / name for name in mail.names()]
    # From here on the kernel asks for no attributes of these.
    with open(one, 'rb', buffering=0) as first, open(two, 'rb', buffering=0) as second:
        with subprocess.Popen(['cat', str(one)], stdout=subprocess.DEVNULL) as killed:
            held.wait_for(1)
            killed.kill()
        tool('stat', '--cached=never')(one)  # so that the kernel believes no answer, either
        held.open[1].set()
        assert wait_until(lambda: status(mail)['messages of another size than announced'] == '1',
                          60 * SLOW)
        assert not same(three.read_bytes(), want[2])  # which leaves no room for the first in memory
        held.open[1].clear()
        readers = [in_background(lambda: first.read(20_000))]
        held.wait_for(1)
        listing = in_background(mail.names)
        listing.join(20 * SLOW)
        waits = listing.is_alive()
        readers.append(in_background(lambda: second.read(20_000)))
        held.wait_for(2)
        held.open[1].set()
        listing.join()
        held.open[2].set()
        for reader in readers:
            reader.join()
    wrong = [same(reader.result, data) for reader, data in zip(readers, want)]
    assert wrong == [None, None]
    assert not waits


def test_a_message_without_end(mount_mini):
    """Whoever needs its end is told that there is none."""
    mini = MiniServer()
    mini.box('INBOX').add(message(1, 300_000).data)
    mini.box('INBOX').add(message(2).data)

    def rows(session, seq, mail, pairs):
        raw = [c for c in mini.commands if c.tag == session.peer.tag][-1].raw
        count = re.search(rb'BODY\.PEEK\[\]<\d+\.(\d+)>', raw)
        return [fetch_row(seq, [(k, literal(b'x' * int(count.group(1))) if count and mail.uid == 1
                                 and k.startswith(b'BODY[]<') else v) for k, v in pairs])]

    mini.fetch_rows = rows
    mail = mount_mini(mini, 'names=uid', 'prefetch=0')
    mail.names()
    with refused(errno.EIO):
        (mail / 'INBOX/1.eml').read_bytes()
    assert (mail / 'INBOX/2.eml').read_bytes() == message(2).data
    assert len(bodies_asked_for(mini)) < 100
