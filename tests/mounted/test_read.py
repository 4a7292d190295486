"""A file's bytes are the message's bytes, however they are read; reading changes nothing."""

import errno
import mmap
import os
import random
import threading

import pytest

import messages
from messages import message, raw
from mount import SLOW, refused
from proxy import DOWN
from server import Message, wait_until

pytestmark = pytest.mark.tsan

LARGE = 20 << 20


def quiet(proxy, still=0.3):
    """Waits until the line has been silent for a moment; returns the bytes so far."""
    seen = [-1]

    def unchanged():
        before, seen[0] = seen[0], proxy.bytes[DOWN]
        return before == seen[0]

    assert wait_until(unchanged, 20 * SLOW, interval=still)
    return proxy.bytes[DOWN]


def test_cat_gives_every_byte(account, mount, sh):
    sizes = [2, 100, 4094, 4096, 4098, 65536, 131072, 131074, 1 << 20, 3_000_001]
    account.fill('INBOX', [message(n, size) for n, size in enumerate(sizes, 1)])
    account.fill('INBOX', [
        Message(raw(body='Grüße, 8 bit\r\n'.encode('latin-1'))),
        Message(raw(body=b'\r\n'.join([b'x' * 20_000] * 5) + b'\r\n')),
        Message(raw(body=b'no line end')),
        Message(raw(body=b'')),
    ])
    mail = mount()
    bodies = account.bodies('INBOX')
    assert len(bodies) == len(sizes) + 4
    for uid, body in bodies.items():
        path = mail.message('INBOX', uid)
        assert sh(f'cat {sh.quote(path)}', mail.path).stdout == body
        assert path.stat().st_size == len(body)


def test_random_reads(account, mount):
    account.fill('INBOX', [message(1, 2_000_003), message(2, 5000)])
    mail = mount()
    bodies = account.bodies('INBOX')
    rng = random.Random(7)
    for uid, body in bodies.items():
        fd = os.open(mail / f'INBOX/{uid}.eml', os.O_RDONLY)
        try:
            for _ in range(150):
                start, count = rng.randrange(len(body) + 100), rng.choice([1, 10, 511, 4096, 70_000])
                assert os.pread(fd, count, start) == body[start:start + count]
            assert os.pread(fd, 10, len(body)) == b'' == os.pread(fd, 10, 1 << 40)
        finally:
            os.close(fd)


def test_tools_that_read(account, mount, sh, tmp_path):
    account.fill('INBOX', messages.messages(20, size=3000))
    account.fill('INBOX', [Message(raw(body=b'a needle here\r\n'))])
    account.fill('Deep/er', [Message(raw(body=b'another needle\r\n'))])
    mail = mount('names=uid')
    bodies = account.bodies('INBOX')
    hits = sh('grep -r needle .', mail.path).stdout.decode().splitlines()
    assert sorted(hit.split(':')[0] for hit in hits) == ['./Deep/er/1.eml', './INBOX/21.eml']
    assert sh('head -c 50 INBOX/5.eml', mail.path).stdout == bodies[5][:50]
    assert sh('tail -c 50 INBOX/5.eml', mail.path).stdout == bodies[5][-50:]
    assert sh('tail -n 1 INBOX/5.eml', mail.path).stdout == bodies[5].splitlines(True)[-1]
    assert sh('head -n 1 INBOX/5.eml', mail.path).stdout == bodies[5].splitlines(True)[0]
    assert sh('wc -c < INBOX/5.eml', mail.path).stdout.decode().strip() == str(len(bodies[5]))
    sh(f'cp -p INBOX/5.eml {sh.quote(tmp_path)}/copy', mail.path)
    assert (tmp_path / 'copy').read_bytes() == bodies[5]
    assert (tmp_path / 'copy').stat().st_mtime == (mail / 'INBOX/5.eml').stat().st_mtime
    sh(f'cp -r INBOX {sh.quote(tmp_path)}/all', mail.path)
    assert {int(p.stem): p.read_bytes() for p in (tmp_path / 'all').iterdir()} == bodies
    tar = sh('tar cf - INBOX | tar tf - | wc -l', mail.path).stdout
    assert tar == b'22\n'


def test_reading_marks_nothing_read(account, mount, sh):
    account.fill('INBOX', [message(1), message(2, flags='\\Seen'), message(3, 400_000)])
    mail = mount()
    sh('cat INBOX/* > /dev/null; grep -r zzz . ; ls -lR . > /dev/null', mail.path, check=False)
    assert account.uids(search='UNSEEN') == [1, 3] and account.uids(search='SEEN') == [2]
    assert mail.unmount() == 0
    assert account.uids(search='UNSEEN') == [1, 3]


def test_a_little_of_a_large_message_is_a_little_traffic(account, mount, make_proxy):
    account.fill('INBOX', [message(1, LARGE), message(2)])
    proxy = make_proxy(account.server)
    mail = mount(port=proxy.port)
    assert mail.message('INBOX', 1).stat().st_size > LARGE
    assert quiet(proxy) < 256 * 1024
    body = account.body('INBOX', 1)
    for start in (0, 10_000_000, len(body) - 100):
        proxy.reset_counters()
        fd = os.open(mail.message('INBOX', 1), os.O_RDONLY)
        assert os.pread(fd, 100, start) == body[start:start + 100]
        os.close(fd)
        assert quiet(proxy) <= 256 * 1024, f'at {start}'


@pytest.mark.deadline(120)
def test_a_large_message(account, mount, tmp_path, sh):
    account.fill('INBOX', [message(1, LARGE)])
    body = account.body('INBOX', 1)
    mail = mount()
    sh(f'cp INBOX/1.eml {sh.quote(tmp_path)}/copy', mail.path, deadline=90 * SLOW)
    assert (tmp_path / 'copy').read_bytes() == body


@pytest.mark.deadline(240)
def test_ten_thousand_messages(account, mount):
    count = 10_000
    account.fill('INBOX', (message(n, 200 + n % 700) for n in range(1, count // 2 + 1)))
    account.fill('Archive/2024', (message(n, 200 + n % 900)
                                  for n in range(count // 2 + 1, count + 1)))
    mail = mount()
    compared = 0
    for folder in ('INBOX', 'Archive/2024'):
        bodies = account.bodies(folder)
        names = mail.names(folder)
        assert len(names) == len(bodies) == count // 2
        for name in names:
            body = bodies[int(name.split('.')[-2])]
            path = mail.path / folder / name
            assert path.stat().st_size == len(body)
            assert path.read_bytes() == body
            compared += 1
    assert compared == count
    assert account.uids(search='SEEN') == []


def test_many_readers_of_one_message(account, mount, make_proxy):
    """Concurrent readers share one fetch: the body travels about once."""
    size = 2_000_000
    account.fill('INBOX', [message(1, size)])
    body = account.body('INBOX', 1)
    proxy = make_proxy(account.server, delay=0.02)
    mail = mount(port=proxy.port)
    path = mail.message('INBOX', 1)
    quiet(proxy)
    proxy.reset_counters()
    got = []
    readers = [threading.Thread(target=lambda: got.append(path.read_bytes())) for _ in range(8)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert len(got) == 8 and all(data == body for data in got)
    assert proxy.bytes[DOWN] < 2 * size


def test_message_that_vanishes(account, mount):
    """Expunged by another client: an error for that file, or what was cached; never wrong bytes."""
    account.fill('INBOX', messages.messages(3))
    mail = mount('names=uid')
    assert mail.names() == ['1.eml', '2.eml', '3.eml']
    conn = account.client('INBOX', readonly=False)
    conn.uid('STORE', '2', '+FLAGS', '(\\Deleted)')
    conn.expunge()
    conn.logout()
    try:
        data = (mail / 'INBOX/2.eml').read_bytes()
    except OSError:
        pass
    else:
        assert data == message(2).data
    assert (mail / 'INBOX/1.eml').read_bytes() == message(1).data
    assert (mail / 'INBOX/3.eml').read_bytes() == message(3).data


def test_messages_cannot_be_written(account, mount):
    account.fill('INBOX', messages.messages(1))
    mail = mount()
    path = mail.message('INBOX', 1)
    # The kernel opens without asking, so that is not where it fails.
    for flags in (os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_APPEND):
        with open(path, 'rb') as reader:
            reader.read()  # is in the page cache now
        fd = os.open(path, flags)
        with refused(errno.EPERM):
            os.write(fd, b'scribble')
        os.close(fd)
        assert path.read_bytes() == message(1).data
    with refused(errno.EPERM):
        os.open(path, os.O_WRONLY | os.O_TRUNC)
    with refused(errno.EPERM):
        os.truncate(path, 10)
    assert path.read_bytes() == account.body('INBOX', 1) == message(1).data


def test_what_is_written_through_a_mapping_does_not_stay(account, mount):
    account.fill('INBOX', messages.messages(1))
    mail = mount()
    path = mail.message('INBOX', 1)
    fd = os.open(path, os.O_RDWR)
    view = mmap.mmap(fd, 0)
    view[0:8] = b'scribble'
    with refused(errno.EPERM, errno.EIO):
        view.flush()
    view.close()
    os.close(fd)
    assert wait_until(lambda: path.read_bytes() == message(1).data, 10)
    assert account.body('INBOX', 1) == message(1).data
