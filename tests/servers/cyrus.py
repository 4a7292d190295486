"""Cyrus IMAP, Debian's, with one user and an administrator."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import packages
from base import NOBODY, Site, dies_with_parent, give_to_nobody
from server import _can_enter, free_port

_CONFIG = '''configdirectory: {d}/conf
partition-default: {d}/spool
defaultpartition: default
cyrus_user: nobody
cyrus_group: nogroup
admins: admin
servername: localhost
sasl_pwcheck_method: auxprop
sasl_auxprop_plugin: sasldb
sasl_sasldb_path: {d}/sasldb2
sasl_mech_list: PLAIN LOGIN
allowplaintext: yes
unixhierarchysep: {unix}
altnamespace: {alt}
virtdomains: off
tls_server_cert: {cert}
tls_server_key: {key}
idlesocket: {d}/conf/socket/idle
maxlogins_per_user: 0
skiplist_unsafe: yes
'''
_SERVICES = '''START {{
 recover cmd="{bin}/ctl_cyrusdb -C {d}/imapd.conf -r"
}}
SERVICES {{
 imap cmd="{bin}/imapd -C {d}/imapd.conf" listen="127.0.0.1:{port}" prefork=1 maxchild=100
 imaps cmd="{bin}/imapd -C {d}/imapd.conf -s" listen="127.0.0.1:{tls_port}" prefork=1 maxchild=100
}}
DAEMON {{
 idled cmd="{bin}/idled -C {d}/imapd.conf"
}}
'''


class Cyrus(Site):
    """unix: the separator is a slash, else a dot; alt: folders are beside INBOX, not below it."""

    def __init__(self, name: str, *, unix: bool, alt: bool) -> None:
        super().__init__()
        self.name = name
        self.separator = '/' if unix else '.'
        self.prefix = '' if alt else f'INBOX{self.separator}'
        root, d = packages.place('cyrus'), self.directory
        if not _can_enter(root, NOBODY.pw_uid, NOBODY.pw_gid):
            root = Path(shutil.copytree(root, d / 'software', symlinks=True))
        self._bin = root / 'usr/lib/cyrus/bin'
        lib = root / 'usr/lib/x86_64-linux-gnu'
        self._env = {'PATH': os.environ['PATH'], 'LD_LIBRARY_PATH': str(lib), 'CYRUS_USER': 'nobody',
                     'SASL_PATH': str(lib / 'sasl2')}
        for name_ in ('conf/socket', 'conf/log', 'conf/db', 'conf/proc', 'conf/msg', 'spool'):
            (d / name_).mkdir(parents=True)
        self.tls_port = free_port()
        (d / 'imapd.conf').write_text(_CONFIG.format(
            d=d, unix='yes' if unix else 'no', alt='yes' if alt else 'no', cert=self.cert,
            key=self.key))
        (d / 'cyrus.conf').write_text(_SERVICES.format(
            d=d, bin=self._bin, port=self.port, tls_port=self.tls_port))
        for user in (self.user, 'admin'):
            subprocess.run([str(root / 'usr/sbin/saslpasswd2'), '-c', '-p', '-f', f'{d}/sasldb2',
                            '-u', 'localhost', user], input=self.password.encode(),
                           env=self._env, check=True, stderr=subprocess.DEVNULL, timeout=30)
        give_to_nobody(d)

    def launch(self) -> None:
        d = self.directory
        self.spawn([str(self._bin / 'master'), '-C', f'{d}/imapd.conf', '-M', f'{d}/cyrus.conf',
                    '-p', f'{d}/pid', '-D'], self._env, lambda: dies_with_parent(signal.SIGTERM))

    def prepare(self) -> None:
        self.user, user = 'admin', self.user
        conn = self.client()
        self.user = user
        mailbox = f'user{self.separator}{user}'
        conn.create(mailbox)
        conn.setquota(mailbox, '(STORAGE 4000000)')
        conn.logout()
