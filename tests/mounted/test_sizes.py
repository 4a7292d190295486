"""The sizes that a server announces are promises: what is read is what the server has, to the byte,
and what stat says afterwards is what was read.

Each message is read once, by one reader, on a mount that has never seen it: the kernel believes what
was announced. The servers are mini servers in clear text.
"""

import contextlib
import hashlib
import mmap
import os
import re
import subprocess
import threading

import pytest

from messages import message
from mini import MiniServer, fetch_row
from mount import SLOW
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


@pytest.mark.parametrize('options', [(), ('prefetch=0',)], ids=['ahead', 'alone'])
@pytest.mark.parametrize('lie', LIES.values(), ids=LIES.keys())
def test_every_byte(mount_mini, lie, options):
    mini = MiniServer()
    table = fill(mini)
    mini.fetch_rows = lying(lie)
    mail = mount_mini(mini, 'names=uid', *options)
    assert len(mail.names()) == len(table)
    wrong = wrong_ones(mail, table)
    assert not wrong, '\n'.join([f'{len(wrong)} of {len(table)}', *wrong])
