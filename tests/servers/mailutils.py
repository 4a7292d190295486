"""GNU mailutils' imap4d, Debian's, over Maildirs."""

from __future__ import annotations

import signal

import packages
from base import NOBODY, Site, crypted, give_to_nobody

_CONFIG = '''
server "127.0.0.1:{port}" {{ single-process no; tls-mode ondemand; }};
server "127.0.0.1:{tls_port}" {{ single-process no; tls-mode connection; }};
mode daemon;
foreground yes;
max-children 50;
timeout 1800;
tls {{ ssl-certificate-file {cert}; ssl-key-file {key}; }};
mailbox {{ mail-spool {d}/spool; mailbox-type maildir; }};
auth {{ authentication "generic:system"; authorization "system"; }};
logging {{ syslog no; }};
namespace personal {{ prefix "" {{ directory "{d}/home"; delimiter "/"; mailbox-type maildir; }}; }};
'''
_START = '''
mount -t overlay -o lowerdir={root}/usr:/usr overlay /usr
mount -t overlay -o lowerdir={d}/etc:/etc overlay /etc
export LD_LIBRARY_PATH=/usr/lib/x86_64-linux-gnu
exec /usr/sbin/imap4d --config-file={d}/imap4d.conf --foreground
'''


class Mailutils(Site):
    name = 'mailutils'
    # It offers SCRAM without having secrets for it, and tells of nothing by itself.
    options = ('auth=PLAIN', 'poll=3')
    stop_signals = (signal.SIGKILL,)  # the first process of a namespace heeds nothing else

    def __init__(self) -> None:
        super().__init__()
        d, self._root = self.directory, packages.place('mailutils')
        for path in ('home', 'spool', 'etc'):
            (d / path).mkdir()
        inbox = d / 'spool' / self.user
        for path in ('cur', 'new', 'tmp'):
            (inbox / path).mkdir(parents=True)
        passwd = open('/etc/passwd', encoding='utf-8').read()
        (d / 'etc/passwd').write_text(f'{passwd}{self.user}:x:{NOBODY.pw_uid}:{NOBODY.pw_gid}::'
                                      f'{d}/home:/bin/sh\n')
        shadow = d / 'etc/shadow'
        shadow.touch(mode=0o600)
        shadow.write_text(f'{self.user}:{crypted(self.password)}:19000:0:99999:7:::\n')
        (d / 'imap4d.conf').write_text(_CONFIG.format(
            d=d, port=self.port, tls_port=self.tls_port, cert=self.cert, key=self.key))
        give_to_nobody(d / 'home', d / 'spool')

    def launch(self) -> None:
        self.spawn_apart(_START.format(d=self.directory, root=self._root))
