"""Courier IMAP, Debian's. Its paths are compiled in: it runs where they lead to a directory of ours."""

from __future__ import annotations

import os
import signal
import subprocess

import packages
from base import NOBODY, Site, crypted, give_to_nobody

_START = '''
mount -t overlay -o lowerdir={root}/usr:/usr overlay /usr
export LD_LIBRARY_PATH=/usr/lib/courier-authlib:/usr/lib:/usr/lib/x86_64-linux-gnu
/usr/sbin/makeuserdb -f {d}/etc/courier/userdb
mount -t overlay -o lowerdir={d}/etc:{root}/etc:/etc overlay /etc
mount -t overlay -o lowerdir={d}/runtree:/run overlay /run
mount --bind {d}/run /run/courier
[ -d {d}/mail/Maildir ] ||
    setpriv --reuid {uid} --regid {gid} --clear-groups /usr/bin/maildirmake.courier {d}/mail/Maildir
/usr/lib/courier/courier-authlib/authdaemond &
until [ -S /run/courier/authdaemon/socket ]; do sleep 0.02; done
IMAP_STARTTLS=YES {tcpd} {port} {login} &
IMAP_TLS=1 {tcpd} {tls_port} /usr/bin/couriertls -server -tcpd -user=nobody {login} &
wait
'''


class Courier(Site):
    name = 'courier'
    separator, prefix = '.', 'INBOX.'
    stop_signals = (signal.SIGKILL,)  # the first process of a namespace heeds nothing else

    def __init__(self) -> None:
        super().__init__()
        d, self._root = self.directory, packages.place('courier')
        for name in ('etc/courier', 'runtree/courier', 'run/authdaemon', 'mail'):
            (d / name).mkdir(parents=True)
        both = d / 'both.pem'
        both.write_bytes(self.key.read_bytes() + self.cert.read_bytes())
        daemon = (self._root / 'etc/courier/authdaemonrc').read_text()
        (d / 'etc/courier/authdaemonrc').write_text(
            daemon.replace('authmodulelist="authpam"', 'authmodulelist="authuserdb"'))
        userdb = d / 'etc/courier/userdb'
        userdb.touch(mode=0o600)
        userdb.write_text(f'{self.user}\tuid={NOBODY.pw_uid}|gid={NOBODY.pw_gid}|home={d}/mail|'
                          f'mail={d}/mail/Maildir|systempw={crypted(self.password)}\n')
        passwd = open('/etc/passwd', encoding='utf-8').read()
        (d / 'etc/passwd').write_text(
            f'{passwd}courier:x:{NOBODY.pw_uid}:{NOBODY.pw_gid}::/var/lib/courier:/bin/false\n')
        give_to_nobody(d / 'mail', both)

    def launch(self) -> None:
        d, root = self.directory, self._root
        tcpd = ('/usr/sbin/couriertcpd -address=127.0.0.1 -maxprocs=100 -maxperip=100 '
                '-nodnslookup -noidentlookup')
        login = '/usr/lib/courier/courier/imaplogin /usr/bin/imapd Maildir'
        env = {**self._settings(), 'PATH': os.environ['PATH'], 'TLS_CERTFILE': f'{d}/both.pem',
               'TLS_CACHEFILE': '', 'TLS_DHPARAMS': '', 'IMAP_TLS_REQUIRED': '0'}
        self.spawn_apart(_START.format(d=d, root=root, uid=NOBODY.pw_uid, gid=NOBODY.pw_gid,
                                       tcpd=tcpd, login=login, port=self.port,
                                       tls_port=self.tls_port), env)

    def _settings(self) -> dict[str, str]:
        """What Debian's configuration files, which are shell scripts, set."""
        etc = self._root / 'etc/courier'
        out = subprocess.run(['sh', '-c', f'set -a; . {etc}/imapd; . {etc}/imapd-ssl; env'],
                             env={'PATH': os.environ['PATH']}, check=True, capture_output=True,
                             text=True).stdout
        pairs = (line.partition('=') for line in out.splitlines())
        return {key: value for key, _, value in pairs if key not in ('PWD', '_', 'SHLVL')}
