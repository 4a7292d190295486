"""Twisted's imap4 with an account in memory.  run_twisted.py PORT TLS_PORT CERTIFICATE KEY

Twisted brings the protocol; messages, mailboxes and the account below are the least that it asks for.
"""

import email.utils
import io
import sys
import time
from email.parser import BytesParser

from twisted.cred import checkers, portal
from twisted.internet import defer, protocol, reactor, ssl
from twisted.mail import imap4
from twisted.python import log
from zope.interface import implementer


@implementer(imap4.IMessage, imap4.IMessageFile)
class Message:
    def __init__(self, raw, flags, date, uid):
        self.raw, self.flags, self.date, self.uid = raw, list(flags), date, uid
        head, blank, self.body = raw.partition(b'\r\n\r\n')
        self.head = head + blank
        self.fields = None

    def getHeaders(self, negate, *names):
        if self.fields is None:
            self.fields = BytesParser().parsebytes(self.head, headersonly=True)
        wanted = [(n.decode() if isinstance(n, bytes) else n).lower() for n in names]
        return {k.lower(): str(v) for k, v in self.fields.items()
                if not names or (k.lower() in wanted) != bool(negate)}

    def open(self):
        return io.BytesIO(self.raw)

    def getBodyFile(self):
        return io.BytesIO(self.body)

    def getSize(self):
        return len(self.raw)

    def isMultipart(self):
        return False

    def getSubPart(self, part):
        raise IndexError(part)

    def getUID(self):
        return self.uid

    def getFlags(self):
        return self.flags

    def getInternalDate(self):
        return self.date


def internal_date(date):
    """As FETCH shows it: APPEND hands over what the client said, COPY a date of RFC 2822."""
    if isinstance(date, bytes):
        date = date.decode()
    if hasattr(date, 'strftime'):
        return date.strftime('%d-%b-%Y %H:%M:%S %z')
    if date and ',' in date:
        seconds = email.utils.mktime_tz(email.utils.parsedate_tz(date))
        return time.strftime('%d-%b-%Y %H:%M:%S +0000', time.gmtime(seconds))
    return date or time.strftime('%d-%b-%Y %H:%M:%S +0000', time.gmtime())


@implementer(imap4.IMailbox)
class Mailbox:
    last_validity = int(time.time())

    def __init__(self):
        self.messages, self.next_uid, self.listeners = [], 1, []
        Mailbox.last_validity += 1
        self.validity = Mailbox.last_validity

    def getFlags(self):
        return ['\\Seen', '\\Answered', '\\Flagged', '\\Deleted', '\\Draft']

    def getHierarchicalDelimiter(self):
        return '/'

    def getUIDValidity(self):
        return self.validity

    def getUIDNext(self):
        return self.next_uid

    def getUID(self, number):
        return self.messages[number - 1].uid

    def getMessageCount(self):
        return len(self.messages)

    def getRecentCount(self):
        return 0

    def getUnseenCount(self):
        return sum('\\Seen' not in m.flags for m in self.messages)

    def isWriteable(self):
        return 1

    def destroy(self):
        pass

    def requestStatus(self, names):
        return imap4.statusRequestHelper(self, names)

    def addListener(self, listener):
        self.listeners.append(listener)

    def removeListener(self, listener):
        if listener in self.listeners:
            self.listeners.remove(listener)

    def addMessage(self, message, flags=(), date=None):
        self.messages.append(Message(message.read(), [f for f in flags if f], internal_date(date),
                                     self.next_uid))
        self.next_uid += 1
        for listener in list(self.listeners):
            listener.newMessages(len(self.messages), None)
        return defer.succeed(self.next_uid - 1)

    def expunge(self):
        gone = [n for n, m in enumerate(self.messages, 1) if '\\Deleted' in m.flags]
        self.messages = [m for m in self.messages if '\\Deleted' not in m.flags]
        return [number - before for before, number in enumerate(gone)]

    def _chosen(self, wanted, uid):
        if uid:
            wanted.last = self.messages[-1].uid if self.messages else 0
            return [(n, m) for n, m in enumerate(self.messages, 1) if m.uid in wanted]
        wanted.last = len(self.messages)
        return [(n, m) for n, m in enumerate(self.messages, 1) if n in wanted]

    def fetch(self, wanted, uid):
        return self._chosen(wanted, uid)

    def store(self, wanted, flags, mode, uid):
        told = {}
        for number, message in self._chosen(wanted, uid):
            if mode > 0:
                message.flags = list(dict.fromkeys([*message.flags, *flags]))
            elif mode < 0:
                message.flags = [f for f in message.flags if f not in flags]
            else:
                message.flags = list(flags)
            told[number] = message.flags
        for listener in list(self.listeners):
            listener.flagsChanged(told)
        return told


class Account(imap4.MemoryAccount):
    """Twisted's own puts every name into upper case."""

    def __init__(self, name):
        imap4.MemoryAccount.__init__(self, name)
        self.mailboxes = {'INBOX': Mailbox()}

    def _named(self, name):
        return 'INBOX' if name.upper() == 'INBOX' else name

    def addMailbox(self, name, mbox=None):
        name = self._named(name)
        if name in self.mailboxes:
            raise imap4.MailboxCollision(name)
        self.mailboxes[name] = mbox or Mailbox()
        return 1

    def select(self, name, rw=1):
        return self.mailboxes.get(self._named(name))

    def delete(self, name):
        if name not in self.mailboxes:
            raise imap4.MailboxException('No such mailbox')
        if any(other.startswith(f'{name}/') for other in self.mailboxes):
            raise imap4.MailboxException('It has children')
        del self.mailboxes[name]

    def rename(self, oldname, newname):
        if oldname not in self.mailboxes:
            raise imap4.NoSuchMailbox(oldname)
        if newname in self.mailboxes:
            raise imap4.MailboxCollision(newname)
        for name in list(self.mailboxes):
            if name == oldname or name.startswith(f'{oldname}/'):
                self.mailboxes[newname + name[len(oldname):]] = self.mailboxes.pop(name)

    def isSubscribed(self, name):
        return name in self.subscriptions

    def subscribe(self, name):
        self.subscriptions.append(name)

    def unsubscribe(self, name):
        if name not in self.subscriptions:
            raise imap4.MailboxException('not subscribed')
        self.subscriptions.remove(name)

    def listMailboxes(self, ref, wildcard):
        pattern = imap4.wildcardToRegexp(ref + wildcard, '/')
        return [(name, box) for name, box in self.mailboxes.items() if pattern.match(name)]


class Server(imap4.IMAP4Server):
    def capabilities(self):
        """With logins in clear text, which a recording proxy in front needs."""
        said = imap4.IMAP4Server.capabilities(self)
        said.pop(b'LOGINDISABLED', None)
        return said


ACCOUNT = Account('bob')


@implementer(portal.IRealm)
class Realm:
    def requestAvatar(self, avatar, mind, *interfaces):
        return imap4.IAccount, ACCOUNT, lambda: None


def main():
    port, tls_port, certificate, key = sys.argv[1:]
    context = ssl.DefaultOpenSSLContextFactory(key, certificate)
    users = checkers.InMemoryUsernamePasswordDatabaseDontUse()
    users.addUser(b'bob', b'secret')

    class Factory(protocol.Factory):
        def buildProtocol(self, address):
            server = Server(chal={b'LOGIN': imap4.LOGINCredentials,
                                  b'PLAIN': imap4.PLAINCredentials}, contextFactory=context)
            server.portal = portal.Portal(Realm(), [users])
            server.factory = self
            return server

    reactor.listenTCP(int(port), Factory(), interface='127.0.0.1')
    reactor.listenSSL(int(tls_port), Factory(), context, interface='127.0.0.1')
    log.startLogging(sys.stdout, setStdout=False)
    reactor.run()


main()
