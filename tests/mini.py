"""A small IMAP server with its mail in memory.

It is honest unless told otherwise: a test overrides a command (`mini.on['UID FETCH'] = ...`), the
rows of a FETCH (`mini.fetch_rows`), a size, the greeting or the capabilities. Everything that the
client sent is in `mini.commands`.
"""

from __future__ import annotations

import base64
import email
import email.policy
import re
import ssl
import threading
from typing import Callable, Iterable, Optional, Sequence, Union

from scripted import Peer, ScriptedServer

Token = Union[str, bytes, list]  # atom, quoted string or literal, parenthesized list


class Mail:
    def __init__(self, uid: int, data: bytes, flags: Iterable[str] = (),
                 date: str = '17-Jul-2024 09:31:00 +0000') -> None:
        self.uid = uid
        self.data = data
        self.flags = set(flags)
        self.date = date

    def header(self) -> bytes:
        head, blank, _ = self.data.partition(b'\r\n\r\n')
        return head + blank


class Box:
    def __init__(self, name: str, attributes: Sequence[str] = (), uidvalidity: int = 1000) -> None:
        self.name = name  # as on the wire
        self.attributes = list(attributes)
        self.uidvalidity = uidvalidity
        self.uidnext = 1
        self.mails: list[Mail] = []

    def add(self, data: bytes, flags: Iterable[str] = (), uid: Optional[int] = None,
            **kwargs: str) -> Mail:
        mail = Mail(uid or self.uidnext, data, flags, **kwargs)
        self.uidnext = max(self.uidnext, mail.uid + 1)
        self.mails.append(mail)
        return mail


class Command:
    def __init__(self, tag: bytes, name: str, args: list[Token], raw: bytes) -> None:
        self.tag = tag
        self.name = name  # upper case, 'UID FETCH' is one name
        self.args = args
        self.raw = raw  # as sent, literals included

    def __repr__(self) -> str:
        return f'<{self.raw!r}>'


class Refuse(Exception):
    """A handler's tagged NO or BAD."""

    def __init__(self, text: str, word: str = 'NO') -> None:
        super().__init__(text)
        self.word = word


def text(token: Token) -> str:
    return token.decode('latin-1') if isinstance(token, bytes) else str(token)


def quoted(value: str) -> bytes:
    return b'"' + value.replace('\\', '\\\\').replace('"', '\\"').encode('latin-1') + b'"'


def literal(data: bytes) -> bytes:
    return b'{%d}\r\n%s' % (len(data), data)


def uid_set(uids: Iterable[int]) -> str:
    return ','.join(str(uid) for uid in uids)


class MiniServer(ScriptedServer):
    """Change its attributes before or while it runs.

    An override gets (session, command) and returns True when it has answered; otherwise the honest
    answer follows. It may call session.execute(command) itself, to lie before or after.
    """

    def __init__(self, **kwargs) -> None:
        super().__init__(self._session, **kwargs)
        self.users = {'alice': 'wonderland'}
        self.greeting = b'* OK mini ready\r\n'
        self.preauth = False
        self.capabilities = ('IMAP4rev1 UIDPLUS MOVE UNSELECT IDLE NAMESPACE LITERAL+ SASL-IR ID '
                             'AUTH=PLAIN').split()
        self.delimiter: Optional[str] = '/'
        self.prefix = ''
        self.boxes: dict[str, Box] = {'INBOX': Box('INBOX')}
        self.on: dict[str, Callable[[Session, Command], Optional[bool]]] = {}
        self.fetch_rows: Callable[[Session, int, Mail, list[tuple[bytes, bytes]]], list[bytes]] = (
            lambda session, seq, mail, pairs: [fetch_row(seq, pairs)])
        self.size_of: Callable[[Mail], int] = lambda mail: len(mail.data)
        self.list_rows: Callable[[Box], list[bytes]] = self._list_row
        self.commands: list[Command] = []
        self.lock = threading.RLock()

    def box(self, name: str, attributes: Sequence[str] = ()) -> Box:
        """The mailbox of that wire name, made when it is not there."""
        if name not in self.boxes:
            self.boxes[name] = Box(name, attributes, uidvalidity=1000 + len(self.boxes))
        return self.boxes[name]

    def without(self, *words: str) -> None:
        self.capabilities = [c for c in self.capabilities if c.upper() not in words]

    def has(self, word: str) -> bool:
        return word in (c.upper() for c in self.capabilities)

    def names(self) -> list[str]:
        return [command.name for command in list(self.commands)]

    def _list_row(self, box: Box) -> list[bytes]:
        delimiter = b'NIL' if self.delimiter is None else quoted(self.delimiter)
        return [b'* LIST (%s) %s %s\r\n' % (' '.join(box.attributes).encode(), delimiter,
                                            quoted(box.name))]

    def _session(self, peer: Peer) -> None:
        Session(self, peer).run()


def fetch_row(seq: int, pairs: list[tuple[bytes, bytes]]) -> bytes:
    return b'* %d FETCH (%s)\r\n' % (seq, b' '.join(name + b' ' + value for name, value in pairs))


class Session:
    """One connection to a MiniServer."""

    def __init__(self, mini: MiniServer, peer: Peer) -> None:
        self.mini = mini
        self.peer = peer
        self.user: Optional[str] = 'alice' if mini.preauth else None
        self.box: Optional[Box] = None
        self.readonly = False
        self.view: list[Mail] = []  # the messages as the client numbers them
        self.alive = True

    def send(self, data: bytes) -> None:
        self.peer.send(data)

    def run(self) -> None:
        self.send(self.mini.greeting)
        while self.alive:
            command = self._read()
            self.mini.commands.append(command)
            self.peer.tag = command.tag
            special = self.mini.on.get(command.name)
            # Without the lock: an override may stall, and other sessions must go on.
            if special and special(self, command):
                continue
            with self.mini.lock:
                self.execute(command)

    def execute(self, command: Command) -> None:
        """Carries out the command honestly and answers it."""
        method = getattr(self, 'do_' + command.name.replace(' ', '_').lower(), None)
        try:
            if not method:
                raise Refuse(f'unknown command {command.name}', 'BAD')
            if self.user is None and command.name not in (
                    'CAPABILITY', 'NOOP', 'LOGOUT', 'ID', 'STARTTLS', 'LOGIN', 'AUTHENTICATE'):
                raise Refuse('log in first', 'BAD')
            code = method(*command.args) or ''
        except Refuse as refusal:
            self.reply(str(refusal), refusal.word)
        except (TypeError, ValueError, KeyError, IndexError) as error:
            self.reply(f'cannot do that: {error!r}', 'BAD')
        else:
            if command.name not in ('FETCH', 'STORE', 'SEARCH'):
                self.sync()
            if command.name != 'STARTTLS':
                self.reply(f'{code}{command.name} completed')

    def reply(self, words: str, status: str = 'OK') -> None:
        self.send(b'$TAG ' + f'{status} {words}\r\n'.encode('latin-1'))

    def sync(self) -> None:
        """Tells the client what became of the selected mailbox."""
        if not self.box:
            return
        for seq in range(len(self.view), 0, -1):
            if self.view[seq - 1] not in self.box.mails:
                del self.view[seq - 1]
                self.send(b'* %d EXPUNGE\r\n' % seq)
        new = [mail for mail in self.box.mails if mail not in self.view]
        if new:
            self.view += new
            self.send(b'* %d EXISTS\r\n' % len(self.view))

    # -- reading a command --

    def _read(self) -> Command:
        raw = b''
        while True:
            line = self.peer.recv_line()
            raw += line
            announced = re.search(rb'\{(\d+)(\+?)\}$', line)
            if not announced:
                break
            if not announced.group(2):
                self.send(b'+ go on\r\n')
            raw += b'\r\n' + self.peer.recv_exact(int(announced.group(1)))
        tag, _, rest = raw.partition(b' ')
        args = _parse(rest)
        name = text(args.pop(0)).upper() if args else ''
        if name == 'UID' and args:
            name += ' ' + text(args.pop(0)).upper()
        return Command(tag, name, args, raw)

    # -- any state --

    def do_capability(self) -> None:
        words = self.mini.capabilities
        if self.mini.tls_context and not isinstance(self.peer.sock, ssl.SSLSocket):
            words = [*words, 'STARTTLS']
        self.send(b'* CAPABILITY %s\r\n' % ' '.join(words).encode())

    def do_noop(self) -> None:
        pass

    do_check = do_noop

    def do_logout(self) -> None:
        self.send(b'* BYE see you\r\n')
        self.alive = False

    def do_id(self, _fields: Token = 'NIL') -> None:
        self.send(b'* ID ("name" "mini")\r\n')

    def do_starttls(self) -> None:
        if not self.mini.tls_context:
            raise Refuse('no TLS here', 'BAD')
        self.reply('begin TLS')
        self.peer.starttls()

    def do_login(self, user: Token, password: Token) -> str:
        self._check_password(text(user), text(password))
        return ''

    def do_authenticate(self, mechanism: Token, initial: Token = '') -> str:
        if text(mechanism).upper() != 'PLAIN':
            raise Refuse('PLAIN only')
        if not initial:
            self.send(b'+ \r\n')
            initial = self.peer.recv_line()
        _, user, password = base64.b64decode(text(initial)).split(b'\0')
        self._check_password(user.decode(), password.decode())
        return ''

    def _check_password(self, user: str, password: str) -> None:
        if self.mini.users.get(user) != password:
            raise Refuse('[AUTHENTICATIONFAILED] wrong user or password')
        self.user = user

    def do_enable(self, *_words: Token) -> None:
        self.send(b'* ENABLED\r\n')

    # -- mailboxes --

    def do_namespace(self) -> None:
        delimiter = (b'NIL' if self.mini.delimiter is None else quoted(self.mini.delimiter))
        self.send(b'* NAMESPACE ((%s %s)) NIL NIL\r\n' % (quoted(self.mini.prefix), delimiter))

    def do_list(self, reference: Token, pattern: Token) -> None:
        if isinstance(reference, list) or isinstance(pattern, list):
            raise Refuse('no LIST-EXTENDED here', 'BAD')
        wanted = text(reference) + text(pattern)
        if not wanted:
            delimiter = b'NIL' if self.mini.delimiter is None else quoted(self.mini.delimiter)
            self.send(b'* LIST (\\Noselect) %s ""\r\n' % delimiter)
            return
        level = f'[^{re.escape(self.mini.delimiter)}]*' if self.mini.delimiter else '.*'
        regex = ''.join('.*' if c == '*' else level if c == '%' else re.escape(c) for c in wanted)
        for box in list(self.mini.boxes.values()):
            if re.fullmatch(regex, box.name, re.S):
                for row in self.mini.list_rows(box):
                    self.send(row)

    do_lsub = do_list

    def _find(self, name: Token) -> Box:
        wire = text(name)
        if wire.upper() == 'INBOX':
            wire = 'INBOX'
        if wire not in self.mini.boxes or '\\Noselect' in self.mini.boxes[wire].attributes:
            raise Refuse('[NONEXISTENT] no such mailbox')
        return self.mini.boxes[wire]

    def do_select(self, name: Token, *_parameters: Token, readonly: bool = False) -> str:
        self.box, self.view = None, []
        box = self._find(name)
        self.box, self.readonly, self.view = box, readonly, list(box.mails)
        self.send(b'* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)\r\n'
                  b'* OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft \\*)] x\r\n'
                  b'* %d EXISTS\r\n* 0 RECENT\r\n* OK [UIDVALIDITY %d] x\r\n* OK [UIDNEXT %d] x\r\n'
                  % (len(self.view), box.uidvalidity, box.uidnext))
        return '[READ-ONLY] ' if readonly else '[READ-WRITE] '

    def do_examine(self, name: Token, *parameters: Token) -> str:
        return self.do_select(name, *parameters, readonly=True)

    def do_status(self, name: Token, items: Token) -> None:
        box = self._find(name)
        values = {'MESSAGES': len(box.mails), 'UIDNEXT': box.uidnext, 'RECENT': 0,
                  'UIDVALIDITY': box.uidvalidity,
                  'UNSEEN': sum('\\Seen' not in mail.flags for mail in box.mails)}
        shown = ' '.join(f'{text(i).upper()} {values[text(i).upper()]}' for i in items)
        self.send(b'* STATUS %s (%s)\r\n' % (quoted(box.name), shown.encode()))

    def do_create(self, name: Token) -> None:
        wire = text(name)
        if self.mini.delimiter:
            wire = wire.removesuffix(self.mini.delimiter)
        if wire in self.mini.boxes:
            raise Refuse('[ALREADYEXISTS] it is there')
        self.mini.box(wire)

    def do_delete(self, name: Token) -> None:
        box = self._find(name)
        if box.name == 'INBOX':
            raise Refuse('not INBOX')
        del self.mini.boxes[box.name]

    def do_rename(self, old: Token, new: Token) -> None:
        source, target = text(old), text(new)
        if source not in self.mini.boxes:
            raise Refuse('[NONEXISTENT] no such mailbox')
        if target in self.mini.boxes:
            raise Refuse('[ALREADYEXISTS] it is there')
        for name in list(self.mini.boxes):
            inside = self.mini.delimiter and name.startswith(source + self.mini.delimiter)
            if name == source or inside:
                box = self.mini.boxes.pop(name)
                box.name = target + name[len(source):]
                self.mini.boxes[box.name] = box

    def do_subscribe(self, _name: Token) -> None:
        pass

    do_unsubscribe = do_subscribe

    def do_getquotaroot(self, _name: Token) -> None:
        raise Refuse('no quota')

    def do_append(self, name: Token, *args: Token) -> str:
        data = args[-1]
        assert isinstance(data, bytes)
        flags = next(([text(f) for f in arg] for arg in args if isinstance(arg, list)), [])
        dates = [text(arg) for arg in args[:-1] if isinstance(arg, bytes)]
        try:
            box = self._find(name)
        except Refuse:
            raise Refuse('[TRYCREATE] no such mailbox') from None
        mail = box.add(data, flags, **({'date': dates[0].strip()} if dates else {}))
        return f'[APPENDUID {box.uidvalidity} {mail.uid}] ' if self.mini.has('UIDPLUS') else ''

    def do_idle(self) -> None:
        self.send(b'+ idling\r\n')
        # Other sessions must run while this one idles.
        self.mini.lock.release()
        try:
            while not self.peer.readable(0.05):
                with self.mini.lock:
                    self.sync()
            self.peer.recv_line()
        finally:
            self.mini.lock.acquire()

    # -- messages --

    def do_close(self) -> None:
        if self.box and not self.readonly:
            self.box.mails = [m for m in self.box.mails if '\\Deleted' not in m.flags]
        self.do_unselect()

    def do_unselect(self) -> None:
        self.box, self.view = None, []

    def _chosen(self, numbers: Token, by_uid: bool) -> list[tuple[int, Mail]]:
        """The messages of a sequence set, in the client's order."""
        if not self.box:
            raise Refuse('select first', 'BAD')
        top = (max((m.uid for m in self.view), default=0) if by_uid else len(self.view))
        ranges = []
        for part in text(numbers).split(','):
            low, _, high = part.partition(':')
            ends = sorted(top if end == '*' else int(end) for end in (low, high or low))
            ranges.append(ends)
        return [(seq, mail) for seq, mail in enumerate(self.view, 1)
                if any(low <= (mail.uid if by_uid else seq) <= high for low, high in ranges)]

    def do_fetch(self, numbers: Token, items: Token, by_uid: bool = False) -> None:
        names = [text(i) for i in items] if isinstance(items, list) else [text(items)]
        if by_uid and 'UID' not in [n.upper() for n in names]:
            names.insert(0, 'UID')
        for seq, mail in self._chosen(numbers, by_uid):
            pairs = [self._item(mail, name) for name in names]
            for row in self.mini.fetch_rows(self, seq, mail, pairs):
                self.send(row)

    def do_uid_fetch(self, numbers: Token, items: Token, *_modifiers: Token) -> None:
        self.do_fetch(numbers, items, by_uid=True)

    def _item(self, mail: Mail, name: str) -> tuple[bytes, bytes]:
        upper = name.upper()
        if upper == 'UID':
            return b'UID', b'%d' % mail.uid
        if upper == 'FLAGS':
            return b'FLAGS', b'(%s)' % ' '.join(sorted(mail.flags)).encode()
        if upper == 'INTERNALDATE':
            return b'INTERNALDATE', quoted(mail.date)
        if upper == 'RFC822.SIZE':
            return b'RFC822.SIZE', b'%d' % self.mini.size_of(mail)
        if upper == 'BODYSTRUCTURE':
            return b'BODYSTRUCTURE', (b'("TEXT" "PLAIN" NIL NIL NIL "7BIT" %d %d)'
                                      % (len(mail.data), mail.data.count(b'\n')))
        match = re.fullmatch(r'BODY(\.PEEK)?\[(.*)\](?:<(\d+)\.(\d+)>)?', name, re.I | re.S)
        if not match:
            raise Refuse(f'cannot fetch {name}', 'BAD')
        peek, section, start, count = match.groups()
        if not peek and not self.readonly:
            mail.flags.add('\\Seen')
        data = _section(mail, section)
        shown = b'BODY[%s]' % section.encode()
        if start is not None:
            data = data[int(start):int(start) + int(count)]
            shown += b'<%d>' % int(start)
        return shown, literal(data)

    def do_store(self, numbers: Token, what: Token, *flags: Token, by_uid: bool = False) -> None:
        if self.readonly:
            raise Refuse('[READ-ONLY] opened by EXAMINE')
        action = text(what).upper()
        given = {text(f) for f in (flags[0] if isinstance(flags[0], list) else flags)}
        for seq, mail in self._chosen(numbers, by_uid):
            if action.startswith('+'):
                mail.flags |= given
            elif action.startswith('-'):
                mail.flags -= given
            else:
                mail.flags = set(given)
            if not action.endswith('.SILENT'):
                pairs = [self._item(mail, 'FLAGS')]
                self.send(fetch_row(seq, ([self._item(mail, 'UID')] if by_uid else []) + pairs))

    def do_uid_store(self, numbers: Token, *args: Token) -> None:
        self.do_store(numbers, *args, by_uid=True)

    def do_copy(self, numbers: Token, name: Token, by_uid: bool = False) -> str:
        try:
            target = self._find(name)
        except Refuse:
            raise Refuse('[TRYCREATE] no such mailbox') from None
        mails = [mail for _, mail in self._chosen(numbers, by_uid)]
        new = [target.add(m.data, m.flags, date=m.date) for m in mails]
        if not self.mini.has('UIDPLUS') or not mails:
            return ''
        return (f'[COPYUID {target.uidvalidity} {uid_set(m.uid for m in mails)} '
                f'{uid_set(m.uid for m in new)}] ')

    def do_uid_copy(self, numbers: Token, name: Token) -> str:
        return self.do_copy(numbers, name, by_uid=True)

    def do_move(self, numbers: Token, name: Token, by_uid: bool = False) -> str:
        if not self.mini.has('MOVE'):
            raise Refuse('no MOVE here', 'BAD')
        mails = [mail for _, mail in self._chosen(numbers, by_uid)]
        code = self.do_copy(numbers, name, by_uid)
        if code:
            self.send(b'* OK %s moved\r\n' % code.strip().encode())
        assert self.box
        self.box.mails = [m for m in self.box.mails if m not in mails]
        return ''

    def do_uid_move(self, numbers: Token, name: Token) -> str:
        return self.do_move(numbers, name, by_uid=True)

    def do_expunge(self) -> None:
        self._expunge(lambda mail: True)

    def do_uid_expunge(self, numbers: Token) -> None:
        if not self.mini.has('UIDPLUS'):
            raise Refuse('no UIDPLUS here', 'BAD')
        chosen = [mail for _, mail in self._chosen(numbers, True)]
        self._expunge(lambda mail: mail in chosen)

    def _expunge(self, which: Callable[[Mail], bool]) -> None:
        if not self.box or self.readonly:
            raise Refuse('[READ-ONLY] cannot expunge')
        self.box.mails = [m for m in self.box.mails
                          if not ('\\Deleted' in m.flags and which(m))]

    def do_search(self, *keys: Token, by_uid: bool = False) -> None:
        words = list(keys)
        if words and text(words[0]).upper() == 'CHARSET':
            words = words[2:]
        found = set(range(1, len(self.view) + 1))
        while words:
            found &= self._key(words)
        shown = [self.view[s - 1].uid if by_uid else s for s in sorted(found)]
        self.send(b'* SEARCH' + b''.join(b' %d' % n for n in shown) + b'\r\n')

    def do_uid_search(self, *keys: Token) -> None:
        self.do_search(*keys, by_uid=True)

    def _key(self, words: list[Token]) -> set[int]:
        """Takes one search key off the list; returns the sequence numbers it matches."""
        word = words.pop(0)
        everything = set(range(1, len(self.view) + 1))
        if isinstance(word, list):
            some = everything
            while word:
                some = some & self._key(word)
            return some
        name = text(word).upper()
        if name == 'NOT':
            return everything - self._key(words)
        if name == 'OR':
            return self._key(words) | self._key(words)
        if name == 'ALL':
            return everything
        if name == 'UID':
            return {seq for seq, _ in self._chosen(words.pop(0), True)}
        if re.match(r'[\d*]', name):
            return {seq for seq, _ in self._chosen(name, False)}
        positive = name.removeprefix('UN')
        if positive in ('DELETED', 'SEEN', 'FLAGGED', 'ANSWERED', 'DRAFT'):
            flag = '\\' + positive.capitalize()
            return {seq for seq in everything
                    if (flag in self.view[seq - 1].flags) == (name == positive)}
        if name in ('TEXT', 'BODY', 'SUBJECT', 'FROM', 'TO'):
            wanted = text(words.pop(0)).lower().encode('latin-1')
            return {seq for seq in everything
                    if wanted in _searched(self.view[seq - 1], name).lower()}
        raise Refuse(f'cannot search {name}', 'BAD')


def _searched(mail: Mail, key: str) -> bytes:
    if key == 'TEXT':
        return mail.data
    if key == 'BODY':
        return mail.data.partition(b'\r\n\r\n')[2]
    return _fields(mail.header(), [key])


def _fields(header: bytes, names: Iterable[str]) -> bytes:
    """The named fields with their continuation lines."""
    wanted = {name.lower().encode() for name in names}
    out, keep = b'', False
    for line in header.splitlines(keepends=True):
        if line[:1] not in b' \t':
            keep = line.partition(b':')[0].strip().lower() in wanted
        if keep:
            out += line
    return out


def _section(mail: Mail, section: str) -> bytes:
    upper = section.upper()
    if not section:
        return mail.data
    if upper == 'HEADER':
        return mail.header()
    if upper == 'TEXT' or upper == '1':
        return mail.data.partition(b'\r\n\r\n')[2]
    match = re.fullmatch(r'HEADER\.FIELDS \((.*)\)', section, re.I)
    if match:
        return _fields(mail.header(), match.group(1).replace('"', '').split()) + b'\r\n'
    part = email.message_from_bytes(mail.data, policy=email.policy.SMTP)
    mime = upper.endswith('.MIME')
    for number in upper.removesuffix('.MIME').split('.'):
        part = part.get_payload(int(number) - 1)  # type: ignore[assignment]
    if mime:
        return b''.join(f'{k}: {v}\r\n'.encode() for k, v in part.items()) + b'\r\n'
    return part.get_payload().encode()


def _parse(data: bytes) -> list[Token]:
    """The arguments of a command line with its literals."""
    stack: list[list[Token]] = [[]]
    at = 0
    while at < len(data):
        char = data[at:at + 1]
        if char == b' ':
            at += 1
        elif char == b'(':
            stack.append([])
            at += 1
        elif char == b')':
            done = stack.pop()
            stack[-1].append(done)
            at += 1
        elif char == b'"':
            match = re.compile(rb'"((?:[^"\\]|\\.)*)"', re.S).match(data, at)
            if not match:
                raise AssertionError(f'the client sent an unfinished string: {data!r}')
            stack[-1].append(re.sub(rb'\\(.)', rb'\1', match.group(1), flags=re.S))
            at = match.end()
        elif char == b'{':
            match = re.compile(rb'\{(\d+)\+?\}\r\n').match(data, at)
            if not match:
                raise AssertionError(f'the client sent a broken literal: {data!r}')
            end = match.end() + int(match.group(1))
            stack[-1].append(data[match.end():end])
            at = end
        else:
            # An atom; the brackets of BODY[HEADER.FIELDS (FROM)] belong to it.
            match = re.compile(rb'(?:[^\s()\[\]"]|\[[^\]]*\])+').match(data, at)
            if not match:
                raise AssertionError(f'the client sent nonsense at {at}: {data!r}')
            stack[-1].append(match.group().decode('latin-1'))
            at = match.end()
    return stack[0]
