"""What goes wrong: lines that are cut, a server that restarts, wrong passwords; and the end."""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path
from typing import Iterator

import pytest

from conftest import Mail
from messages import message
from mount import Mount, MountError, mount_entry
from proxy import Proxy
from server import wait_until
from test_changing import MAILS


@contextlib.contextmanager
def ended(mail: Mail, *options: str, **how) -> Iterator[Mount]:
    mount = mail.make_mount(*options, **how)
    try:
        yield mount
    finally:
        status = mount.unmount()
    assert status == 0 and not mount.alarms(), mount.log()


def _cut_move(mail: Mail, pattern: str, when: str) -> None:
    """mv over a line that is cut: whatever it says, the message is there once, whole."""
    here, there = mail.folder(f'cut-{when}-a', *MAILS[:5]), mail.folder(f'cut-{when}-b')
    with Proxy(mail.site.host, mail.site.port, record=True) as proxy, \
            ended(mail, 'timeout=10', port=proxy.port, tls='no') as mount:
        names = sorted(n for n in os.listdir(mount.path / here) if n.endswith('.eml'))
        proxy.cut_at(pattern, when)
        told = subprocess.run(['mv', str(mount.path / here / names[2]), str(mount.path / there)],
                              check=False, capture_output=True, text=True, timeout=50)
        assert not proxy.cut_at_pending(), f'nothing was cut: {proxy.commands}'
        left = mail.eye.bodies(here)
        arrived = mail.eye.bodies(there)
        assert sorted([*left, *arrived]) == MAILS[:5], \
            f'{len(left)} + {len(arrived)}: {told.stderr} {proxy.commands}'
        if told.returncode == 0:
            assert len(arrived) == 1
        mail.soon(lambda: len(os.listdir(mount.path / here)) == len(left), 'another listing')


def test_cut_before_move(mail: Mail) -> None:
    _cut_move(mail, r'\S+ UID (MOVE|COPY)', 'before')


def test_cut_after_move(mail: Mail) -> None:
    _cut_move(mail, r'\S+ UID (MOVE|COPY)', 'reply')


def test_cut_in_reading(mail: Mail) -> None:
    folder = mail.folder('cut-reading', message(1, 400_000).data)
    with Proxy(mail.site.host, mail.site.port) as proxy, \
            ended(mail, 'timeout=10', port=proxy.port, tls='no') as mount:
        name, = (n for n in os.listdir(mount.path / folder) if n.endswith('.eml'))
        proxy.cut_after('down', 150_000)
        assert (mount.path / folder / name).read_bytes() == message(1, 400_000).data
        assert not proxy.cut_pending('down')


def test_starttls(mail: Mail) -> None:
    folder = mail.folder('starttls', *MAILS[:2])
    with ended(mail, tls='starttls') as mount:
        paths = [mount.path / folder / n for n in os.listdir(mount.path / folder)]
        assert sorted(p.read_bytes() for p in paths) == MAILS[:2]


def test_read_only_mount(mail: Mail) -> None:
    folder = mail.folder('read-only', *MAILS[:2])
    with ended(mail, 'ro') as mount:
        path = mount.path / folder / os.listdir(mount.path / folder)[0]
        with pytest.raises(OSError):
            path.unlink()
        with pytest.raises(OSError):
            (mount.path / folder / 'child').mkdir()
        path.read_bytes()
    assert all('\\Seen' not in row.flags for row in mail.eye.rows(folder).values())


def test_wrong_password(mail: Mail, tmp_path: Path) -> None:
    wrong = tmp_path / 'wrong'
    wrong.touch(mode=0o600)
    wrong.write_text('not the password\n')
    with pytest.raises(MountError) as error:
        mail.make_mount(passfile=wrong)
    assert 'exited with' in str(error.value) and 'not the password' not in str(error.value)


def test_events(mail: Mail) -> None:
    folder = mail.folder('events', MAILS[0])
    path, = mail.shown(folder).values()
    path.unlink()
    events = mail.path('.imapfs/events')
    mail.soon(lambda: any(f'"{folder}"' in line and '"expunged"' in line
                          for line in events.read_text().splitlines()), 'no event')


def test_unmount_leaves_nothing(mail: Mail) -> None:
    with ended(mail) as mount:
        os.listdir(mount.path / 'INBOX')
        pid = mount.pid
    assert mount_entry(mount.path) is None and os.listdir(mount.path) == []
    assert wait_until(lambda: not Path(f'/proc/{pid}').exists(), 5)


# Last in this file, so that nobody has to wait for a server that begins anew.
def test_restart(mail: Mail) -> None:
    folder = mail.folder('restart', *MAILS[:3])
    path = list(mail.shown(folder).values())[0]
    data = path.read_bytes()
    mail.site.restart()
    if mail.site.persistent:
        mail.settles(lambda: mail.contents(folder) == MAILS[:3], 'not as before the restart')
        assert path.read_bytes() == data
    else:  # an empty account
        mail.settles(lambda: not mail.path(folder).exists(), 'what went with the server still shows')
        mail.settles(lambda: mail.names('INBOX') == [], 'the INBOX is not empty')
    later = mail.folder('restarted', MAILS[7])
    assert mail.contents(later) == [MAILS[7]]
