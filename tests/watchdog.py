"""A pytest plugin: a watchdog that frees a test that is stuck in a mount, and the end of what is left.

Every conftest.py of tests that mount names it in its pytest_plugins.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading
import time
from typing import Iterator, Optional

import pytest

import mount as mounting
from mount import SLOW

TEST_DEADLINE = 60 * SLOW


class Timeout(Exception):
    """The test took longer than it may."""


class Watchdog(threading.Thread):
    """Frees a test that is stuck.

    A signal alone does not do: a read() in a FUSE mount whose daemon hangs only returns when the
    connection is aborted. So this thread aborts the mounts, then interrupts the main thread.
    """

    def __init__(self) -> None:
        super().__init__(name='watchdog', daemon=True)
        self._deadline: Optional[float] = None
        self.strikes = 0
        self._wake = threading.Condition()

    def arm(self, seconds: float) -> None:
        with self._wake:
            self._deadline = time.monotonic() + seconds
            self.strikes = 0
            self._wake.notify()

    def disarm(self) -> None:
        with self._wake:
            self._deadline = None

    def run(self) -> None:
        with self._wake:
            while True:
                left = None if self._deadline is None else self._deadline - time.monotonic()
                if left is None or left > 0:
                    self._wake.wait(left)
                    continue
                self.strikes += 1
                self._deadline = time.monotonic() + 15
                self._bite(self.strikes)

    @staticmethod
    def _bite(strikes: int) -> None:
        stderr = sys.__stderr__ or sys.stderr
        print(f'\nwatchdog: the test is over its deadline ({strikes})', file=stderr)
        faulthandler.dump_traceback(file=stderr)
        for live in list(mounting.LIVE):
            live.abort()
        if strikes > 2:
            for live in list(mounting.LIVE):
                live.end()
            os._exit(70)  # the kernel then ends our children
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGALRM)


WATCHDOG = Watchdog()


def _alarm(_signal: int, _frame: object) -> None:
    raise Timeout('the test is over its deadline')


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line('markers', 'deadline(seconds): instead of the usual one')
    signal.signal(signal.SIGALRM, _alarm)
    # A shell's background job, which this may be, ignores SIGINT, and so would what it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # SIGTERM unwinds like Ctrl-C, so that fixtures are torn down.
    signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    WATCHDOG.start()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    marker = item.get_closest_marker('deadline')
    WATCHDOG.arm(marker.args[0] * SLOW if marker else TEST_DEADLINE)
    yield
    WATCHDOG.disarm()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport() -> Iterator[None]:
    """A test over its deadline has failed, wherever the exception of _alarm() went."""
    outcome = yield
    report = outcome.get_result()
    if WATCHDOG.strikes and report.outcome == 'passed':
        report.outcome, report.longrepr = 'failed', 'the test is over its deadline'


def pytest_unconfigure() -> None:
    for live in list(mounting.LIVE):
        live.end()
