"""The servers of the battery by name. `catalog.py NAME` starts one until Enter is pressed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Callable

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from base import Site  # noqa: E402
from courier import Courier  # noqa: E402
from cyrus import Cyrus  # noqa: E402
from dovecots import Dove  # noqa: E402
from mailutils import Mailutils  # noqa: E402
from scripts import Hoodiecrow, Twisted, Wildduck  # noqa: E402

SERVERS: dict[str, Callable[[], Site]] = {
    'cyrus-dot': lambda: Cyrus('cyrus-dot', unix=False, alt=False),
    'cyrus-slash': lambda: Cyrus('cyrus-slash', unix=True, alt=True),
    'courier': Courier,
    # Not over mbox files: there two sessions of imap4d overwrite each other's changes, so that no
    # second client can tell what the first one did.
    'mailutils': Mailutils,
    'twisted': Twisted,
    'hoodiecrow': Hoodiecrow,
    'wildduck': Wildduck,
    'dovecot-full': lambda: Dove('dovecot-full'),
    'dovecot-bare': lambda: Dove('dovecot-bare', only=('IMAP4rev1',)),
    'dovecot-nomove': lambda: Dove(
        'dovecot-nomove', only=('IMAP4rev1', 'LITERAL+', 'UIDPLUS', 'NAMESPACE', 'IDLE')),
    'dovecot-nouidplus': lambda: Dove(
        'dovecot-nouidplus',
        only=('IMAP4rev1', 'LITERAL+', 'MOVE', 'NAMESPACE', 'IDLE', 'CONDSTORE')),
    'dovecot-noqresync': lambda: Dove(
        'dovecot-noqresync',
        only=('IMAP4rev1', 'LITERAL+', 'MOVE', 'UIDPLUS', 'NAMESPACE', 'CONDSTORE', 'ENABLE',
              'ESEARCH')),
    'dovecot-prefix': lambda: Dove('dovecot-prefix', separator='.', prefix='INBOX.'),
    'dovecot-mbox': lambda: Dove('dovecot-mbox', mail_location='mbox:~/mail:INBOX=~/inbox'),
    'dovecot-acl': lambda: Dove('dovecot-acl', public=True),
}


def main() -> int:
    if len(sys.argv) != 2 or sys.argv[1] not in SERVERS:
        print(f'{__doc__}\n{" ".join(SERVERS)}', file=sys.stderr)
        return 2
    site = SERVERS[sys.argv[1]]()
    try:
        site.start()
        print(f'imap {site.port} imaps {site.tls_port} user {site.user} password {site.password} '
              f'cafile {site.cafile} log {site.log_path}', flush=True)
        sys.stdin.readline()
    finally:
        site.close()
    return 0


if __name__ == '__main__':
    sys.exit(main())
