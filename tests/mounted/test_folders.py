"""The tree of folders: many of them, names that collide, and a tree that changes while it is read."""

from __future__ import annotations

import base64
import ctypes
import errno
import itertools
import os
import threading
import time

import pytest

from messages import message
from mini import MiniServer
from mount import SLOW
from server import wait_until

SOON = 20 * SLOW


def encoded(text):
    """In modified UTF-7, whether it needs that or not."""
    code = base64.b64encode(text.encode('utf-16-be'), b'+,').decode()
    return f'&{code.rstrip("=")}-'


def listed_anew(mini, mail):
    """Looks into a folder until the server is asked for all of them, and has answered."""
    def lists():
        return mini.names().count('LIST')

    before = lists()
    assert wait_until(lambda: os.listdir(mail / 'INBOX') is not None and lists() > before, SOON)


def test_names_that_show_alike(mount_mini):
    """Each is told apart from those before it and from those that are called like the way to do so."""
    mini = MiniServer()
    # Every folder takes two numbers, so these are the ones that come next.
    for number in range(450, 750):
        mini.box(f'abcd~{number}')
    twins = [''.join(encoded(char) if bit else char for char, bit in zip('abcd', bits))
             for bits in itertools.product((False, True), repeat=4)]
    for name in twins:
        mini.box(name)
    long = 'ü' * 120  # a number does not cut a character in half
    for name in (encoded(long + 'x'), encoded(long) + 'x'):
        mini.box(name)
    mail = mount_mini(mini)
    shown = os.listdir(mail.path)
    assert len(set(shown)) == len(shown)
    assert sum(name.startswith('abcd') for name in shown) == 300 + len(twins)
    assert len([name for name in shown if name.startswith('üüü')]) == 2
    os.fsencode('/'.join(shown)).decode()  # all of it is UTF-8
    for name in shown:
        assert os.path.isdir(mail / name)


def test_too_many_folders(mount_mini):
    """Those beyond the limit are left out; the others stay what they are."""
    mini = MiniServer()
    rows = b'* LIST () "/" INBOX\r\n' + b''.join(
        b'* LIST () "/" "box %06d"\r\n' % number for number in range(100_100))

    def answer(session, _command):
        session.send(rows)
        session.reply('done')
        return True

    mini.on['LIST'] = answer
    mail = mount_mini(mini, 'poll=1', 'timeout=60')
    inode = os.stat(mail / 'box 000007').st_ino
    for _ in range(3):
        listed_anew(mini, mail)
        assert 99_000 < len(os.listdir(mail.path)) <= 100_000
        assert os.stat(mail / 'box 000007').st_ino == inode


def test_the_mounted_mailbox_comes_back(mount_mini):
    mini = MiniServer()
    mini.box('Archive').add(message(1).data)
    mail = mount_mini(mini, 'names=uid', 'poll=1', mailbox='/Archive')
    assert os.listdir(mail.path) == ['1.eml']
    with mini.lock:
        archive = mini.boxes.pop('Archive')

    def names():
        try:
            return os.listdir(mail.path)
        except OSError as error:
            return error.errno

    assert wait_until(lambda: names() in (errno.ESTALE, errno.ENOENT), SOON)
    with mini.lock:
        mini.boxes['Archive'] = archive
    assert wait_until(lambda: names() == ['1.eml'], SOON), names()
    assert (mail / '1.eml').read_bytes() == message(1).data


class Directory:
    """An open directory that can be read again from its beginning."""

    class Entry(ctypes.Structure):
        _fields_ = [('ino', ctypes.c_uint64), ('off', ctypes.c_int64), ('len', ctypes.c_ushort),
                    ('type', ctypes.c_ubyte), ('name', ctypes.c_char * 256)]

    _libc = ctypes.CDLL(None, use_errno=True)
    _libc.opendir.restype = ctypes.c_void_p
    _libc.readdir.restype = ctypes.POINTER(Entry)
    for function in (_libc.readdir, _libc.rewinddir, _libc.closedir):
        function.argtypes = [ctypes.c_void_p]

    def __init__(self, path):
        self._dir = self._libc.opendir(os.fsencode(path))
        assert self._dir, os.strerror(ctypes.get_errno())

    def names(self):
        self._libc.rewinddir(self._dir)
        found = []
        while entry := self._libc.readdir(self._dir):
            found.append(os.fsdecode(entry.contents.name))
        return found

    def close(self):
        self._libc.closedir(self._dir)


def test_read_again_from_the_beginning(mount_mini):
    mini = MiniServer()
    mail = mount_mini(mini)
    opened = Directory(mail.path)
    assert 'New' not in opened.names()
    os.mkdir(mail / 'New')
    assert 'New' in opened.names()
    opened.close()


def test_opened_before_a_change_and_read_after_it(mount_mini):
    """What the kernel keeps of such a reader is not older than what it believes it to be."""
    mini = MiniServer()
    mail = mount_mini(mini)
    os.listdir(mail.path)
    opened = Directory(mail.path)
    os.mkdir(mail / 'New')
    os.close(os.open(mail.path, os.O_RDONLY | os.O_DIRECTORY))
    assert 'New' in opened.names()
    opened.close()
    assert 'New' in os.listdir(mail.path)


@pytest.mark.parametrize('answer', ['OK', 'NO'])
def test_listed_while_renamed(mount_mini, answer):
    """A LIST that is answered between a RENAME and its OK does not make two folders of one."""
    mini = MiniServer()
    for number in (1, 2):
        mini.box('A').add(message(number).data)
    renamed, go_on = threading.Event(), threading.Event()

    def rename(session, command):
        if answer == 'OK':
            with mini.lock:
                session.do_rename(*command.args)
        renamed.set()
        assert go_on.wait(SOON)
        session.reply('so it is', answer)
        return True

    mini.on['RENAME'] = rename
    mail = mount_mini(mini, 'names=uid', 'poll=0', 'timeout=60')
    assert sorted(os.listdir(mail / 'A')) == ['1.eml', '2.eml']
    held = os.open(mail / 'A', os.O_RDONLY | os.O_DIRECTORY)
    inode = os.stat(mail / 'A').st_ino
    results = []

    def move():
        try:
            os.rename(mail / 'A', mail / 'B')
        except OSError as error:
            results.append(error.errno)

    mover = threading.Thread(target=move)
    mover.start()
    assert renamed.wait(SOON)
    # The folders are asked for anew when what is known of them is older than a second.
    reader = threading.Thread(target=lambda: (time.sleep(1.2), os.listdir(mail / 'INBOX')))
    reader.start()
    reader.join(3)
    go_on.set()
    mover.join(SOON)
    reader.join(SOON)
    assert not mover.is_alive() and not reader.is_alive()
    name = 'B' if answer == 'OK' else 'A'
    assert len(results) == (answer == 'NO')
    for _ in range(3):
        listed_anew(mini, mail)
        assert os.listdir(mail.path).count(name) == 1
        assert os.stat(mail / name).st_ino == os.fstat(held).st_ino == inode
        assert sorted(os.listdir(held)) == sorted(os.listdir(mail / name)) == ['1.eml', '2.eml']
    os.close(held)
