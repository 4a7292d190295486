#!/usr/bin/python3
"""The software of other IMAP servers, unpacked into a directory of its own: $SERVERS_DIR or build/servers.

Debian's servers conflict with each other and with Dovecot (all provide imap-server), so their packages
are fetched and unpacked, never installed: nothing of the system changes, and none of their daemons
starts. What comes from npm is installed there, too, without running its scripts.

packages.py [SERVER...]    fetches what these (names of catalog.py) lack, or all
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
DIRECTORY = Path(os.environ.get('SERVERS_DIR') or HERE.parent.parent / 'build' / 'servers').resolve()

# The servers, and those of the libraries they need that a system with a desktop or a Dovecot may lack.
DEBIAN = {
    'cyrus': '''cyrus-common cyrus-imapd sasl2-bin libsasl2-2 libsasl2-modules libsasl2-modules-db db-util
        db5.3-util libclamav12 libical3 libmspack0 libxapian30 libzephyr4''',
    'courier': '''courier-base courier-imap courier-authlib courier-authdaemon
        courier-authlib-userdb libcourier-unicode4 libltdl7 gamin libgamin0''',
    'mailutils': '''mailutils-common mailutils-imap4d libmailutils9 libltdl7 libmariadb3
        guile-3.0-libs''',
    'twisted': '''python3-twisted python3-attr python3-automat python3-bcrypt python3-cffi-backend
        python3-constantly python3-cryptography python3-hamcrest python3-hyperlink python3-idna
        python3-incremental python3-openssl python3-pyasn1 python3-pyasn1-modules
        python3-service-identity python3-six python3-typing-extensions python3-zope.interface''',
}
NPM = 'npm'
NAMES = (*DEBIAN, NPM)


class PackageError(Exception):
    """Something could not be fetched or unpacked."""


def place(name: str) -> Path:
    """Where it is unpacked; fetched first if it is not there yet."""
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    target = DIRECTORY / name
    with open(DIRECTORY / f'{name}.lock', 'w', encoding='ascii') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test processes may want the same
        done, wanted = target / '.complete', _wanted(name)
        if not done.exists() or done.read_text() != wanted:
            shutil.rmtree(target, ignore_errors=True)
            target.mkdir()
            print(f'{Path(sys.argv[0]).name}: fetching {name}', file=sys.stderr, flush=True)
            _npm(target) if name == NPM else _debian(name, target)
            done.write_text(wanted)
    return target


def _wanted(name: str) -> str:
    return (HERE / 'package.json').read_text() if name == NPM else DEBIAN[name]


def _debian(name: str, target: Path) -> None:
    debs = target / '.debs'
    debs.mkdir()
    if _download(name, debs).returncode != 0:  # no package lists yet, or old ones
        subprocess.run(['apt-get', '-qq', 'update'], check=False, capture_output=True, timeout=300)
        again = _download(name, debs)
        if again.returncode != 0:
            raise PackageError(f'apt-get download, for {name}:\n{again.stderr}')
    for deb in sorted(debs.glob('*.deb')):
        subprocess.run(['dpkg-deb', '--extract', str(deb), str(target)], check=True, timeout=120)
    shutil.rmtree(debs)


def _download(name: str, debs: Path) -> subprocess.CompletedProcess:
    # As root, apt would fetch as a user of its own, who cannot write here.
    return subprocess.run(['apt-get', '-q', '-o', 'APT::Sandbox::User=root', 'download',
                           *DEBIAN[name].split()], cwd=debs, check=False, text=True,
                          capture_output=True, timeout=300)


def _npm(target: Path) -> None:
    if not shutil.which('npm'):
        raise PackageError('npm is not installed (the package npm, or nodejs of another source)')
    shutil.copy(HERE / 'package.json', target)
    done = subprocess.run(['npm', 'install', '--ignore-scripts', '--no-audit', '--no-fund'],
                          cwd=target, check=False, text=True, capture_output=True, timeout=300)
    if done.returncode != 0:
        raise PackageError(f'npm install:\n{done.stderr}')


def needs(server: str) -> list[str]:
    """What a server of catalog.py is made of; a Dovecot is installed already."""
    kind = server.split('-')[0]
    return [NPM] if kind in ('hoodiecrow', 'wildduck') else [n for n in DEBIAN if n == kind]


def main() -> int:
    failed = False
    wanted = [n for server in sys.argv[1:] for n in needs(server)] if sys.argv[1:] else NAMES
    for name in dict.fromkeys(wanted):
        try:
            place(name)
        except (PackageError, subprocess.SubprocessError) as error:
            print(f'packages.py: {name}: {error}', file=sys.stderr)
            failed = True
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
