"""Servers that are libraries, each started by a script beside this file, all with mail in memory."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import packages
from base import Site, dies_with_parent

HERE = Path(__file__).resolve().parent


class _InMemory(Site):
    persistent = False
    options = ('poll=3',)  # of a mailbox that was made anew they tell nothing
    program: tuple[str, ...] = ()
    package, variable, modules = '', '', ''

    def __init__(self) -> None:
        super().__init__()
        self._env = {'PATH': os.environ['PATH'],
                     self.variable: str(packages.place(self.package) / self.modules)}

    def launch(self) -> None:
        self.spawn([self.program[0], str(HERE / self.program[1]), str(self.port),
                    str(self.tls_port or 0), str(self.cert), str(self.key)], self._env,
                   lambda: dies_with_parent(signal.SIGTERM))


class Twisted(_InMemory):
    """Twisted's imap4, which brings the protocol but no mailboxes: those are ours."""

    name = 'twisted'
    program = ('/usr/bin/python3', 'run_twisted.py')
    package, variable, modules = 'twisted', 'PYTHONPATH', 'usr/lib/python3/dist-packages'


class _Node(_InMemory):
    package, variable, modules = packages.NPM, 'NODE_PATH', 'node_modules'


class Hoodiecrow(_Node):
    name = 'hoodiecrow'
    program = ('node', 'run_hoodiecrow.js')

    def __init__(self) -> None:
        super().__init__()
        self.tls_port = None


class Wildduck(_Node):
    """WildDuck's imap-core over what its own tests use for a store."""

    name = 'wildduck'
    program = ('node', 'run_wildduck.js')
