"""Eight programs on a mount while somebody else changes the same mail over a connection of his own;
the server may be killed meanwhile, or the mount's connections cut. In the end mount and server must
agree on everything.
"""

from __future__ import annotations

import errno
import imaplib
import os
import random
import re
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Optional

import mount as mounting
from mount import SLOW, Mount
from server import ServerError, append, quote
from torture_base import (DOUBT, GONE, SETTLED, TOKEN, Caller, Eye, Mint, Snapshot,
                          name_of, read_part, read_whole, tokens, uid_of)
from torture_line import DOWN, UP, Fault

if TYPE_CHECKING:
    from torture import Campaign

FOLDERS = ('INBOX', 'One', 'Two', 'Three')
POPULATION = 160
# Known: the step of a listing that asks for what SEARCH has shown and no row described may go to a
# connection that has not heard of the message yet; it is then listed by its UID, with a wrong size.
KNOWN_NAMELESS = False


class Ledger:
    """Who did what to which message; times are those of the beginning and the end."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.put: set[str] = set()  # confirmed by the server
        self.maybe: set[str] = set()  # not confirmed: the server died under it
        self.taken: set[str] = set()  # somebody asked for it to be deleted
        self.removed: dict[str, tuple[float, float]] = {}  # rm said that it is
        self.moves: list[tuple[str, str, float, float]] = []

    def note(self, change: Callable[[], object]) -> None:
        with self._lock:
            change()

    def moved_about(self, token: str, began: float, ended: float) -> bool:
        """Was somebody moving it about then? A listing is at most a second old."""
        with self._lock:
            return any(token == moved and first < ended + 2 and last > began - 2
                       for moved, _, first, last in self.moves)


class Mutator:
    """The other client."""

    def __init__(self, crowd: Crowd) -> None:
        self.crowd = crowd
        self.rng = random.Random(f'{crowd.campaign.seed} mutator')
        self.eye = Eye(crowd.server, crowd.user)
        self.box = 'Box0'
        self.done = 0

    def run(self) -> None:
        deeds = ((self.append, 5), (self.expunge, 2), (self.flag, 6), (self.move, 4),
                 (self.rename, 1))
        names, weights = [d for d, _ in deeds], [w for _, w in deeds]
        while not self.crowd.over.is_set():
            try:
                self.rng.choices(names, weights)[0]()
                self.done += 1
            except (OSError, imaplib.IMAP4.error) as error:
                if not self.crowd.killing:
                    raise
                del error
                self.eye.close()
                self.crowd.over.wait(0.2)
            self.crowd.over.wait(self.rng.uniform(0.002, 0.03))
        self.eye.close()

    def folder(self) -> str:
        return self.rng.choice((*FOLDERS, self.box))

    def pick(self) -> Optional[tuple[str, int, str]]:
        """(folder, UID, token) of some message; the folder is selected."""
        folder = self.folder()
        if not self.eye.select(folder):
            return None
        _, data = self.eye.imap().uid('SEARCH', 'UNDELETED')
        uids = (data[0] or b'').split()
        if not uids:
            return None
        uid = self.rng.choice(uids).decode()
        _, rows = self.eye.imap().uid('FETCH', uid, '(UID BODY.PEEK[HEADER.FIELDS (SUBJECT)])')
        token = TOKEN.search(rows[0][1].decode()) if isinstance(rows[0], tuple) else None
        return (folder, int(uid), token[1]) if token else None

    def append(self) -> None:
        ledger = self.crowd.ledger
        room = POPULATION - len(ledger.put) + len(ledger.taken)
        for _ in range(min(room, self.rng.randrange(1, 4))):
            message = self.crowd.mint.message()
            token = TOKEN.search(message.data.decode())[1]
            ledger.note(lambda: ledger.maybe.add(token))
            try:
                append(self.eye.imap(), self.folder(), [message])
            except ServerError as error:
                if 'TRYCREATE' not in str(error):
                    raise
                continue  # somebody on the mount found the folder empty and removed it
            ledger.note(lambda: (ledger.put.add(token), ledger.maybe.discard(token)))

    def expunge(self) -> None:
        found = self.pick()
        if found:
            self.crowd.ledger.note(lambda: self.crowd.ledger.taken.add(found[2]))
            self.eye.expunge(found[0], found[1])

    def flag(self) -> None:
        found = self.pick()
        if found:
            self.eye.imap().uid('STORE', str(found[1]), self.rng.choice(('+FLAGS', '-FLAGS')),
                                self.rng.choice(('(\\Flagged)', '(\\Seen)', '(urgent)',
                                                 '(\\Answered later)')))

    def move(self) -> None:
        found, to = self.pick(), self.folder()
        if found and to != found[0]:
            began = time.monotonic()
            self.crowd.ledger.note(lambda: self.crowd.ledger.moves.append(
                (found[2], 'the other, begun', began, began + 60)))  # its end is not known if the server dies
            self.eye.imap().uid('MOVE', str(found[1]), quote(to))
            self.crowd.ledger.note(lambda: self.crowd.ledger.moves.append(
                (found[2], 'the other', began, time.monotonic())))

    def rename(self) -> None:
        number = int(self.box[3:])
        new = f'Box{number + 1}'
        if self.eye.imap().state == 'SELECTED':
            self.eye.imap().unselect()
        self.eye.imap().rename(quote(self.box), quote(new))
        have = self.eye.folders()
        if new in have:
            self.box = new


class Program:
    """One of the eight: does its own thing to what it sees on the mount."""

    def __init__(self, crowd: Crowd, number: int) -> None:
        self.crowd = crowd
        self.rng = random.Random(f'{crowd.campaign.seed} program {number}')
        self.caller = Caller(crowd.mount, crowd.figures, crowd.campaign.stuck,
                             crowd.campaign.limit)
        self.legal = DOUBT | (GONE if crowd.broken else set())
        self.deed = (self.list, self.read, self.part, self.stat, self.move, self.remove,
                     self.flag, self.folders)[number]
        self.made = 0
        self.name = self.deed.__name__

    def run(self) -> None:
        while not self.crowd.over.is_set() and self.crowd.mount.process.poll() is None:
            self.caller.history = [f'crowd, {self.name}']
            self.deed()
            self.crowd.over.wait(self.rng.uniform(0, 0.02))

    def call(self, what: str, function: Callable, *args):
        """Of a folder that somebody renamed or removed Dovecot says only NO, which becomes EIO, as
        does a change of a message that somebody expunged at that moment ("Unexpectedly lost uid").
        Of what is only read where it stays there is no such excuse."""
        legal = self.legal
        if re.search(r'\b(Box|Dir)\d|^(mv|rm|flag) ', what):
            legal = legal | {errno.EIO}
        return self.caller.call(what, function, *args, legal=legal)

    def some(self, count: int = 6) -> list[str]:
        """Paths of some messages, as a listing has them."""
        code, folders = self.call('ls /', os.listdir, self.crowd.mount.path)
        folder = self.rng.choice(sorted(folders)) if folders else 'INBOX'
        code, names = self.call(f'ls {folder}', os.listdir, self.crowd.mount / folder)
        names = [] if code else self.crowd.named(folder, names, self.caller)
        return [f'{folder}/{n}' for n in self.rng.sample(names, min(count, len(names)))]

    def list(self) -> None:
        for path in self.some(2):
            folder = path.split('/', maxsplit=1)[0]
            code, entries = self.call(f'ls -l {folder}', lambda: [
                (e.name, e.stat(follow_symlinks=False).st_size)
                for e in os.scandir(self.crowd.mount / folder) if e.name.endswith('.eml')])
            for name, size in [] if code else entries:
                if TOKEN.search(name):
                    self.right_size(f'{folder}/{name}', size)

    def right_size(self, path: str, size: int) -> None:
        known = self.crowd.mint.known.get(TOKEN.search(path)[1], (0, ''))[0]
        if size != known:
            self.caller.problem(f'{path} has {size} bytes, not {known}')

    def read(self) -> None:
        for path in self.some():
            code, data = self.call(f'read {path}', read_whole, self.crowd.mount / path)
            why = '' if code else self.crowd.mint.wrong(TOKEN.search(path)[1], data)
            if why:
                self.caller.problem(f'read {path}: {why}')

    def part(self) -> None:
        for path in self.some(2):
            code, data = self.call(f'read {path} at 100', read_part, self.crowd.mount / path, 100,
                                   64)
            if not code and len(data) != 64:
                self.caller.problem(f'read {path} at 100: {len(data)} bytes')

    def stat(self) -> None:
        for path in self.some():
            code, info = self.call(f'stat {path}', os.stat, self.crowd.mount / path)
            if not code:
                self.right_size(path, info.st_size)

    def move(self) -> None:
        for path in self.some(2):
            self.move_to(path, self.rng.choice(FOLDERS))

    def move_to(self, path: str, folder: str) -> None:
        token = TOKEN.search(path)[1]
        if path.startswith(folder + '/'):
            return
        began = time.monotonic()
        code, _ = self.call(f'mv {path} {folder}', os.rename, self.crowd.mount / path,
                            self.crowd.mount / folder / path.split('/', 1)[1])
        who = f'{self.name} {path.split("/", 1)[0]} to {folder}: {name_of(code) if code else "ok"}'
        self.crowd.ledger.note(lambda: self.crowd.ledger.moves.append(
            (token, who, began, time.monotonic())))

    def remove(self) -> None:
        for path in self.some(1):
            token = TOKEN.search(path)[1]
            self.crowd.ledger.note(lambda: self.crowd.ledger.taken.add(token))
            began = time.monotonic()
            code, _ = self.call(f'rm {path}', os.unlink, self.crowd.mount / path)
            if not code:
                self.crowd.ledger.note(lambda: self.crowd.ledger.removed.__setitem__(
                    token, (began, time.monotonic())))
        self.crowd.over.wait(self.rng.uniform(0, 0.15))

    def flag(self) -> None:
        for path in self.some(2):
            self.call(f'flag {path}', os.setxattr, self.crowd.mount / path, 'user.imap.flags',
                      self.rng.choice((b'+\\Flagged', b'-\\Flagged', b'+\\Seen', b'\\Answered')))
            self.call(f'flags of {path}', os.getxattr, self.crowd.mount / path, 'user.imap.flags')

    def folders(self) -> None:
        self.made += 1
        name = f'Dir{self.made}'
        code, _ = self.call(f'mkdir {name}', os.mkdir, self.crowd.mount / name)
        for path in self.some(1):
            self.move_to(path, name)
        if self.rng.random() < 0.5:
            self.call(f'mv {name} {name}b', os.rename, self.crowd.mount / name,
                      self.crowd.mount / f'{name}b')
        for folder in (name, f'{name}b'):
            code, names = self.call(f'ls {folder}', os.listdir, self.crowd.mount / folder)
            for message in [] if code else self.crowd.named(folder, names, self.caller):
                self.move_to(f'{folder}/{message}', 'INBOX')
            self.call(f'rmdir {folder}', os.rmdir, self.crowd.mount / folder)


class Crowd:
    """The account, the mount, and everybody on it."""

    def __init__(self, campaign: Campaign, what: str) -> None:
        self.campaign, self.what = campaign, what
        self.killing = what == 'kill'
        self.figures = campaign.figures
        self.user = 'crowd'
        # In maildirs Dovecot waits a minute and more for its own locks when a mailbox is renamed
        # under those who have it open, and nobody gets an answer. Rotation of its index logs among so
        # many is a thing that it gets wrong (see confused()): as little of that as can be.
        self.server = campaign.server([self.user], mail_location='sdbox:~/sdbox', extra=(
            'mail_index_log_rotate_min_size = 1 G\nmail_index_log_rotate_max_size = 2 G\n'))
        self.rng = random.Random(f'{campaign.seed} crowd {what}')
        self.mint = Mint(99, self.rng)
        self.ledger = Ledger()
        self.over = threading.Event()
        self.mount: Mount = None  # type: ignore[assignment]
        self.line = campaign.relay.line(self.server.port)
        self.broken = what != 'mutator'

    def fill(self) -> None:
        eye = Eye(self.server, self.user)
        for folder in (*FOLDERS, 'Box0'):
            messages = [self.mint.message() for _ in range(POPULATION // 5)]
            eye.imap().create(quote(folder))
            append(eye.imap(), folder, messages)
        self.ledger.put |= set(self.mint.known)
        eye.close()

    def run(self, seconds: float) -> None:
        self.fill()
        path = self.campaign.directory / f'crowd-{self.what}'
        path.mkdir(exist_ok=True)
        self.mount = Mount(f'imap://{self.user}@localhost:{self.line.port}', path,
                           Path(f'{path}.log'),
                           [f'timeout={self.campaign.timeout}', f'passfile={self.campaign.passfile}',
                            'tls=no'], debug=self.campaign.debug).start()
        mutator = Mutator(self)
        programs = [Program(self, n) for n in range(8)]
        threads = [threading.Thread(target=self.guarded, args=(who,), daemon=True)
                   for who in (mutator, *programs)]
        try:
            for thread in threads:
                thread.start()
            self.pass_time(seconds)
        finally:
            self.over.set()
            self.campaign.join(threads)
        self.figures.add('changes by another client', mutator.done)
        if not mutator.done:
            self.figures.fail('nothing was changed by the other client')
        self.judge()
        self.end()

    def named(self, folder: str, names: list[str], caller: Caller) -> list[str]:
        """The messages among them that tell who they are, which all should."""
        for name in names:
            if name.endswith('.eml') and not TOKEN.search(name):
                self.figures.add('listed without a name')
                if not KNOWN_NAMELESS:
                    caller.problem(f'{folder}/{name} has no name')
        return [name for name in names if name.endswith('.eml') and TOKEN.search(name)]

    def guarded(self, who) -> None:
        try:
            who.run()
        except Exception as error:  # pylint: disable=broad-except
            self.figures.fail(f'{self.what}, {type(who).__name__}: {error!r}')
            self.over.set()

    def pass_time(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        kills = 0
        while time.monotonic() < end and not self.over.is_set():
            # The last stretch is left to recovery, so that mount and server have met again.
            if self.killing and (time.monotonic() < end - 3 or not kills):
                time.sleep(self.rng.uniform(0.5, 3))
                self.server.kill()
                time.sleep(self.rng.choice((0, 0, 0.3, 1.5)))
                self.server.launch()
                self.figures.fault('server killed')
                kills += 1
            elif self.what == 'storm':
                self.line.arm(Fault(self.rng.choice((UP, DOWN)), self.rng.randrange(1, 4000),
                                    self.rng.choice(('cut', 'reset'))))
                self.over.wait(self.rng.uniform(0.05, 0.5))
                for fault in self.line.fired:
                    self.figures.fault(f'{fault.kind} among eight programs')
            else:
                self.over.wait(0.2)
        self.line.disarm()

    # -- what became of it --

    def confused(self) -> bool:
        """Has Dovecot lost its own index of mailboxes? Sessions that it had then LIST from the old one,
        what is gone and not what is new, for as long as they live; only new sessions tell the truth."""
        return bool(re.search('duplicate transaction log sequence|Corrupted mailbox list index',
                              self.server.log()))

    def judge(self) -> None:
        if self.confused():
            self.figures.add('times that Dovecot needed new sessions to LIST what it has')
            self.broken = True
            self.line.drop()
        time.sleep(SETTLED)
        now = Eye(self.server, self.user)
        server, folders = now.snapshot(bodies=True), now.folders()
        now.close()
        have = {token: [(folder, uid) for folder, uid, seen in places if seen.visible]
                for token, places in tokens(server).items()}
        ledger = self.ledger
        for token in ledger.put:
            if not have.get(token) and token not in ledger.taken:
                self.figures.add('lost')
                self.figures.fail(f'{self.what}: tok{token} is lost: '
                                  f'{[m for m in ledger.moves if m[0] == token]}')
        doubled = sum(max(0, len(places) - 1) for places in have.values())
        for token in [token for token, places in have.items() if len(places) > 1]:
            self.campaign.tell(f'doubled: tok{token} in {have[token]}', [
                f'moved by {who} {began % 1000:.3f} to {ended % 1000:.3f}'
                for moved, who, began, ended in ledger.moves if moved == token])
        if doubled:
            self.figures.add('doubled', doubled)
            self.figures.add(f'doubled in the {self.what} part', doubled)
        for token, (began, ended) in ledger.removed.items():
            if have.get(token) and not ledger.moved_about(token, began, ended):
                self.figures.fail(f'{self.what}: rm of tok{token} was told to be done, and it is '
                                  f'in {have[token]}')
            elif have.get(token):
                self.figures.add('rm of what another was moving')
        for folder, rows in server.items():
            for uid, seen in rows.items():
                why = self.mint.wrong(seen.token, seen.data)
                if why:
                    self.figures.fail(f'{self.what}: {folder}/{uid} on the server: {why}')
        self.agree(server, folders)

    def agree(self, server: Snapshot, there: list[str]) -> None:
        """Names, sizes, bytes and flags, of everything."""
        caller = Caller(self.mount, self.figures, self.campaign.stuck, self.campaign.limit)
        end = time.monotonic() + 20 * SLOW
        legal = GONE if self.broken else set()
        while True:
            code, names = caller.call('ls / in the end', os.listdir, self.mount.path, legal=legal)
            if not code or time.monotonic() > end:
                break
            time.sleep(0.2)
        if code or set(names) != set(there):
            caller.problem(f'{self.what}: folders only on the mount '
                           f'{sorted(set(names or ()) - set(there))}, only on the server '
                           f'{sorted(set(there) - set(names or ()))}')
            return
        compared = 0
        for folder, rows in server.items():
            shown = {uid: seen for uid, seen in rows.items() if seen.visible}
            code, names = caller.call(f'ls {folder} in the end', os.listdir, self.mount / folder,
                                      legal=legal)
            names = {uid_of(n): n for n in names or () if n.endswith('.eml')}
            if set(names) != set(shown):
                caller.problem(
                    f'{self.what}: {folder}: only on the mount {sorted(set(names) - set(shown))}, '
                    f'only on the server {sorted(set(shown) - set(names))}')
            nameless = set(names) - {uid_of(n) for n in
                                     self.named(folder, list(names.values()), caller)}
            for uid in (set(names) & set(shown)) - (nameless if KNOWN_NAMELESS else set()):
                self.same(caller, f'{folder}/{names[uid]}', shown[uid])
                compared += 1
        self.figures.add('messages compared in the end', compared)
        if not compared:
            self.figures.fail(f'{self.what}: nothing to compare')

    def same(self, caller: Caller, path: str, seen) -> None:
        file = self.mount / path
        code, info = caller.call(f'stat {path}', os.stat, file)
        code2, data = caller.call(f'read {path}', read_whole, file)
        code3, flags = caller.call(f'flags of {path}', os.getxattr, file, 'user.imap.flags')
        if code or code2 or code3:
            return
        if info.st_size != seen.size or data != seen.data:
            caller.problem(f'{self.what}: {path} differs: {info.st_size} and {len(data)} bytes, '
                           f'{seen.size} on the server')
        if set(flags.decode().split()) != seen.flags:
            caller.problem(f'{self.what}: {path} has the flags {flags.decode()}, on the server '
                           f'{sorted(seen.flags)}')

    def end(self) -> None:
        said: dict[str, int] = {}
        for line in self.server.log().splitlines():
            if 'Error:' in line or 'Panic:' in line:
                what = re.sub(r'\d+|<.*?>|/\S+', '#', line.split('Error:')[-1]).strip()[:150]
                said[what] = said.get(what, 0) + 1
        for what, n in sorted(said.items(), key=lambda item: -item[1])[:4]:
            self.figures.note(f'{self.what}, Dovecot said {n} times: {what}')
        try:
            status = self.mount.unmount()
            if status != 0:
                self.figures.fail(f'{self.what}: exit status {status}\n{self.mount.log()[-3000:]}')
        except (mounting.MountError, OSError) as error:
            self.figures.fail(f'{self.what}: {str(error)[-3000:]}')
        finally:
            self.mount.end()
        if self.mount.alarms():
            self.figures.fail(f'{self.what}: {self.mount.alarms()}')


