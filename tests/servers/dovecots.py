"""The Dovecot of the other tests, with features taken away, other formats, or other people's folders."""

from __future__ import annotations

import imaplib
from typing import Sequence

from base import Site, give_to_nobody
from server import CAPABILITIES, Dovecot

# Folders of somebody else's, and what we may do there (RFC 4314).
RIGHTS = {'Full': 'lrwstipekxa', 'ReadOnly': 'lr', 'NoDelete': 'lrwsti', 'NoInsert': 'lrwste'}

_PUBLIC = '''mail_plugins = acl
protocol imap {{
  mail_plugins = acl imap_acl
}}
namespace public {{
  type = public
  separator = /
  prefix = Public/
  location = maildir:{home}/public:INDEX={home}/public
  subscriptions = no
  list = yes
}}
plugin {{
  acl = vfile:{home}/acl
}}
'''


class Dove(Site):
    def __init__(self, name: str, *, only: Sequence[str] = (), separator: str = '/',
                 prefix: str = '', public: bool = False,
                 mail_location: str = 'maildir:~/Maildir') -> None:
        super().__init__()
        self.name, self.separator, self.prefix = name, separator, prefix
        self._public = public
        home = self.directory / 'public'
        self._dovecot = Dovecot(
            self.directory / 'dovecot', {self.user: self.password}, separator=separator,
            prefix=prefix, mail_location=mail_location, auth_mechanisms='plain login',
            without=[w for w in CAPABILITIES if w not in only] if only else (),
            extra=_PUBLIC.format(home=home) if public else '', dies_with_parent=True)

    def start(self) -> None:
        if self._dovecot.port:
            self._dovecot.launch()
            return
        self._dovecot.start()
        self.port, self.tls_port = self._dovecot.port, self._dovecot.tls_port
        self.cafile = self._dovecot.cafile
        if self._public:
            self._make_public()

    def _make_public(self) -> None:
        home = self.directory / 'public'
        for name, rights in RIGHTS.items():
            for part in ('cur', 'new', 'tmp'):
                (home / 'public' / f'.{name}' / part).mkdir(parents=True)
            acl = home / 'acl' / 'Public' / name
            acl.parent.mkdir(parents=True, exist_ok=True)
            acl.write_text(f'user={self.user} {rights}\n')
        give_to_nobody(home)

    def stop(self) -> None:
        self._dovecot.stop()

    def close(self) -> None:
        self._dovecot.clear()
        super().close()

    def log(self) -> str:
        return self._dovecot.log()

    def client(self) -> imaplib.IMAP4:
        return self._dovecot.client()
