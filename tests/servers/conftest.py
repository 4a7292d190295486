"""The battery: every step on every server, over one mount a server, checked by another client.

A step is a test. It works in a folder of its own, so that what it leaves behind is nobody's trouble.
What a server itself does wrong stands in faults.py: such a step must go as that table says.
"""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Callable, Iterable, Iterator, Optional

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import mount as mounting  # noqa: E402
from base import Site  # noqa: E402
from catalog import SERVERS  # noqa: E402
from eye import Eye  # noqa: E402
from faults import Fault, fault_of  # noqa: E402
from mount import SLOW, Mount, mount_entries_below  # noqa: E402
from server import wait_until  # noqa: E402

pytest_plugins = ['watchdog']

# Within this time a change by another client must show to who looks again and again.
SOON = 20 * SLOW


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line('markers', 'only(name...): a step that means something there only')


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if 'site' in metafunc.fixturenames:
        # The very keys: a fixture is kept for the same object only.
        chosen = os.environ.get('SERVERS', '').split() or SERVERS
        wanted = [name for name in SERVERS if name in chosen]
        assert len(wanted) == len(chosen), f'unknown among {chosen}; there are {list(SERVERS)}'
        for marker in metafunc.definition.iter_markers('only'):
            wanted = [name for name in wanted if name in marker.args]
        metafunc.parametrize('site', [pytest.param(name, marks=pytest.mark.xdist_group(name))
                                      for name in wanted], indirect=True, scope='session')


class Mail:
    """A server with a mount of it and the other client's view."""

    def __init__(self, site: Site, directory: Path) -> None:
        self.site = site
        self.eye = Eye(site)
        self.directory = directory
        self.passfile = directory / 'password'
        self.passfile.touch(mode=0o600)
        self.passfile.write_text(site.password + '\n')
        self.mount: Optional[Mount] = None
        self._made: list[Mount] = []
        self._numbers = itertools.count()

    def make_mount(self, *options: str, port: Optional[int] = None, tls: Optional[str] = None,
                   passfile: Optional[Path] = None, debug: bool = False) -> Mount:
        """Another mount of the account; the caller ends it, or finish() does."""
        site = self.site
        number = next(self._numbers)
        path = self.directory / f'Mail{number}'
        path.mkdir()
        tls = tls or ('yes' if site.tls_port else 'starttls')
        port = port or (site.tls_port if tls == 'yes' else site.port)
        given = [f'passfile={passfile or self.passfile}', f'cafile={site.cafile}', f'tls={tls}',
                 *site.options, *options]
        mount = Mount(f'imap://{site.user}@localhost:{port}', path,
                      self.directory / f'imapfs{number}.log', given, debug)
        self._made.append(mount)
        return mount.start()

    def ensure_mounted(self) -> None:
        mount = self.mount
        if mount and mount.process and mount.process.poll() is None and mount.mounted():
            return
        if mount:
            mount.end()
        self.mount = self.make_mount(debug=bool(os.environ.get('SERVERS_DEBUG')))

    def finish(self) -> list[str]:
        problems = []
        for mount in self._made:
            if mount.process and mount.status is None:
                try:
                    mount.unmount()
                except (mounting.MountError, subprocess.SubprocessError) as error:
                    problems.append(str(error)[-3000:])
                finally:
                    mount.end()
                if mount.status != 0:
                    problems.append(f'exit status {mount.status}\n{mount.log()[-3000:]}')
            if mount.alarms():
                problems.append(mount.alarms())
        return problems + [f'still mounted: {e.path}' for e in mount_entries_below(self.directory)]

    # -- what steps do all the time --

    def folder(self, name: str, *messages: bytes, flags: str = '') -> str:
        """A folder made here, which shows at once, and filled by the other client."""
        path = self.eye.top + name
        self.path(path).mkdir()
        self.eye.append(path, *messages, flags=flags)
        self.soon(lambda: len(self.names(path)) == len(messages), f'{path} is not filled')
        return path

    def path(self, folder: str) -> Path:
        assert self.mount
        return self.mount.path / folder

    def names(self, folder: str) -> list[str]:
        """The messages that are listed there."""
        return sorted(n for n in os.listdir(self.path(folder)) if n.endswith('.eml'))

    def shown(self, folder: str) -> dict[int, Path]:
        """By UID, as the names say."""
        found = {}
        for name in self.names(folder):
            uid = int(re.search(r'(\d+)\.eml$', name)[1])
            assert uid not in found, f'UID {uid} twice: {self.names(folder)}'
            found[uid] = self.path(folder) / name
        return found

    def contents(self, folder: str) -> list[bytes]:
        return sorted(path.read_bytes() for path in self.shown(folder).values())

    @staticmethod
    def soon(condition: Callable[[], object], complaint: str) -> None:
        """Looks again and again, as a person does."""
        assert wait_until(condition, SOON, interval=0.2), complaint

    def settles(self, condition: Callable[[], object], complaint: str) -> None:
        """Likewise, where a look may fail meanwhile."""
        def holds() -> bool:
            try:
                return bool(condition())
            except OSError:
                return False
        self.soon(holds, complaint)

    def sh(self, command: str, folder: str = '', check: bool = True
           ) -> subprocess.CompletedProcess:
        done = subprocess.run(['bash', '-c', command], cwd=self.path(folder), check=False,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=40 * SLOW,
                              env={**os.environ, 'LC_ALL': 'C.UTF-8', 'TZ': 'UTC'})
        if check:
            assert done.returncode == 0, f'{command}: {done.returncode} {done.stderr.decode()}'
        return done


@pytest.fixture(scope='session')
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    made = SERVERS[request.param]()
    made.start()
    yield made
    made.close()


@pytest.fixture(scope='session')
def account(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mail]:
    made = Mail(site, tmp_path_factory.mktemp(site.name))
    yield made
    problems = made.finish()
    assert not problems, '\n'.join(problems)


@pytest.fixture
def mail(account: Mail) -> Mail:
    account.ensure_mounted()
    return account


# ---- what servers do wrong -----------------------------------------------------------------------


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """A step on which its server is at fault must fail, and as the table says."""
    outcome = yield
    report = outcome.get_result()
    callspec = getattr(item, 'callspec', None)
    fault = fault_of(callspec.params['site'], item.originalname) if callspec else None
    if report.when != 'call' or not fault:
        return
    if report.passed and fault.always:
        report.outcome = 'failed'
        report.longrepr = f'worked, although the table of faults says: {fault.reason}'
    elif report.failed and re.search(fault.instead, str(report.longrepr), re.S):
        report.outcome, report.wasxfail = 'skipped', fault.reason
    elif report.failed:
        report.longrepr = f'{report.longrepr}\n\nexpected was only: {fault.instead}'


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The rows of the table that were met."""
    rows: list[tuple[str, str, str]] = []
    for report in terminalreporter.stats.get('xfailed', []):
        match = re.search(r'::test_(\w+)\[([^\]@]+)', report.nodeid)
        rows.append((match[2], match[1], report.wasxfail))
    if rows:
        terminalreporter.section('what the servers do wrong')
        for server, step, reason in sorted(rows):
            terminalreporter.write_line(f'{server:18} {step:28} {reason}')
