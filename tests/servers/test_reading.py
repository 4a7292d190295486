"""Folders, listings and bytes, as the other client sees them."""

from __future__ import annotations

import calendar
import imaplib
import os
import subprocess
import time

import pytest

from conftest import Mail
from messages import message, raw, text_body
from mount import refused

import errno

KIB = 1024
# Below, at and above the windows in which a large message is asked for.
SIZES = (64 * KIB - 1, 64 * KIB, 64 * KIB + 1, 100_000, 128 * KIB, 128 * KIB + 1, 327_836)

ODD = (
    raw('8-bit body', body='Grüße, 友人\r\n'.encode()),
    raw('=?utf-8?q?Gr=C3=BC=C3=9Fe?= "quoted" \\back/slash', body=b'names\r\n'),
    raw('no newline at the end', body=b'the last line'),
    raw('empty body', body=b''),
    raw('From in the body', body=b'one\r\n\r\nFrom here on\r\n>From there\r\n'),
    raw('dots', body=b'.\r\n..\r\n.\r\n'),
    raw('long line', body=b'x' * 20_000 + b'\r\n'),
    raw('blank lines', body=b'\r\n\r\n\r\n'),
    raw('braces {5}', body=b'{5}\r\n* 1 FETCH (FLAGS ())\r\nA1 OK done\r\n'),
    raw('attachment', extra='MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="=b"\r\n',
        body=b'--=b\r\n\r\nHello\r\n--=b\r\nContent-Type: application/pdf; name="a.pdf"\r\n\r\n'
             + text_body(7, 5000) + b'--=b--\r\n'),
    raw('many fields', extra=''.join(f'X-Field-{n}: {n}\r\n' for n in range(300))),
    raw('folded\r\n subject', body=b'folded\r\n'),
)


@pytest.fixture(scope='session')
def library(account: Mail) -> str:
    """A folder for who only reads."""
    account.ensure_mounted()
    small = [message(n, 200 + 97 * n).data for n in range(1, 21)]
    return account.folder('library', *small, *ODD)


def test_folders(mail: Mail, library: str) -> None:
    told = {f for f in mail.eye.folders() if f}
    shown = set()
    for top, directories, _ in os.walk(mail.path('')):
        shown |= {os.path.relpath(os.path.join(top, d), mail.path('')) for d in directories}
    assert {f for f in told if f.upper() != 'INBOX'} | {'INBOX'} <= shown, f'{told} {shown}'


def test_listing(mail: Mail, library: str) -> None:
    assert list(mail.shown(library)) == mail.eye.uids(library) or \
        sorted(mail.shown(library)) == mail.eye.uids(library)


def test_names_tell_date_sender_subject(mail: Mail, library: str) -> None:
    names = mail.names(library)
    assert any(n.startswith('2024-07-17T0931_Alice-Example_Message-1.') for n in names), names
    assert any('Grüße' in n for n in names), names


def test_uid_names(mail: Mail, library: str) -> None:
    for uid, path in mail.shown(library).items():
        assert (path.parent / f'{uid}.eml').stat().st_ino == path.stat().st_ino


def test_sizes(mail: Mail, library: str) -> None:
    rows = mail.eye.rows(library)
    for uid, path in mail.shown(library).items():
        path.read_bytes()
        assert path.stat().st_size == len(rows[uid].data), path


def test_dates(mail: Mail, library: str) -> None:
    for uid, row in mail.eye.rows(library).items():
        day = time.strptime(row.date, '%d-%b-%Y %H:%M:%S %z')
        said = calendar.timegm(day) - day.tm_gmtoff
        assert mail.shown(library)[uid].stat().st_mtime == said, row.date


def test_empty_folder(mail: Mail) -> None:
    assert mail.names(mail.folder('nothing')) == []


def test_bytes(mail: Mail, library: str) -> None:
    rows = mail.eye.rows(library)
    for uid, path in mail.shown(library).items():
        assert path.read_bytes() == rows[uid].data, path


def test_grep(mail: Mail, library: str) -> None:
    rows = mail.eye.rows(library)
    wanted = sorted(uid for uid, row in rows.items() if b'o w' in row.data)
    found = mail.sh("grep -rlF 'o w' . | sed 's/.*[./]\\([0-9]*\\).eml$/\\1/' | sort -n", library)
    assert [int(uid) for uid in found.stdout.split()] == wanted


def test_windows(mail: Mail) -> None:
    """Sizes around the windows, by tools that read in different ways."""
    folder = mail.folder('windows', *(raw(f'Size {size}', body=text_body(size, size - 160))
                                      for size in SIZES))
    rows = mail.eye.rows(folder)
    for uid, path in mail.shown(folder).items():
        expected = rows[uid].data
        assert mail.sh(f"cat '{path}'").stdout == expected, path
        copy = mail.directory / 'copy'
        mail.sh(f"cp '{path}' '{copy}'")
        assert copy.read_bytes() == expected, path
        copy.unlink()
        assert path.read_bytes() == expected, path


def test_parts(mail: Mail) -> None:
    folder = mail.folder('parts', raw('Parts', body=text_body(3, 700_000)))
    (uid, row), = mail.eye.rows(folder).items()
    data, path = row.data, mail.shown(folder)[uid]
    for command, expected in (
            (f"tail -c 1000 '{path}'", data[-1000:]),
            (f"head -c 1000 '{path}'", data[:1000]),
            (f"dd if='{path}' bs=1000 skip=400 count=3", data[400_000:403_000]),
            (f"dd if='{path}' bs=4096 skip=16 count=1", data[65536:69632]),
            (f"dd if='{path}' iflag=skip_bytes bs=9 skip=131067 count=1", data[131067:131076]),
            (f"tail -c +{len(data) - 5} '{path}'", data[-6:]),
            (f"dd if='{path}' bs=64k skip=100", b'')):
        assert mail.sh(command).stdout == expected, command


def test_big_message(mail: Mail) -> None:
    data = raw('Big', body=text_body(5, 6_000_000))
    folder = mail.folder('big', data)
    uid = mail.eye.uids(folder)[0]
    assert mail.sh(f"cat {uid}.eml | cmp - <(cat {uid}.eml)", folder).returncode == 0
    assert mail.shown(folder)[uid].read_bytes() == mail.eye.rows(folder)[uid].data


def test_readers_together(mail: Mail) -> None:
    folder = mail.folder('crowd', *(message(n, 3000 + 131 * n).data for n in range(40)))
    told = mail.sh('ls | shuf --random-source=/bin/ls | xargs -P 8 -n 3 sha256sum', folder).stdout
    import hashlib
    wanted = {uid: hashlib.sha256(r.data).hexdigest() for uid, r in mail.eye.rows(folder).items()}
    found = {int(line.split('.')[-2]): line.split()[0] for line in told.decode().splitlines()}
    assert found == wanted


def test_reading_marks_nothing(mail: Mail) -> None:
    folder = mail.folder('unseen', *(message(n).data for n in range(3)))
    for path in mail.shown(folder).values():
        path.read_bytes()
        os.listxattr(path)
    assert all('\\Seen' not in row.flags for row in mail.eye.rows(folder).values())


def test_many_messages(mail: Mail) -> None:
    folder = mail.folder('many', *(message(n, 100).data for n in range(300)))
    assert sorted(mail.shown(folder)) == mail.eye.uids(folder)
    assert int(mail.sh('cat *.eml | wc -c', folder).stdout) == sum(
        len(row.data) for row in mail.eye.rows(folder).values())


def test_no_writing(mail: Mail) -> None:
    folder = mail.folder('written', message(1).data)
    path = next(iter(mail.shown(folder).values()))
    with refused(errno.EPERM, errno.EACCES, errno.EOPNOTSUPP):
        with open(path, 'r+b', buffering=0) as file:
            file.write(b'x')
    with refused(errno.EPERM, errno.EACCES, errno.EOPNOTSUPP):
        (path.parent / 'new').write_bytes(b'x')
    assert mail.eye.bodies(folder) == [message(1).data]


def test_space(mail: Mail, library: str) -> None:
    assert mail.sh('df .', library).returncode == 0
