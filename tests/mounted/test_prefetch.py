"""Read-ahead: who walks a folder gets every byte in few commands, everybody else is left alone.

What is counted is bytes, commands and connections, on a proxy in clear text that records; never
time. A walk reads messages in the order of their UIDs after a listing, as grep -r does.
"""

import errno
import os
import random
import re
import signal
import subprocess
import threading

import pytest

import messages
from messages import message
from mini import MiniServer
from mount import SLOW, mount_entry, mount_entries_below, run
from proxy import DOWN
from server import wait_until
from test_read import quiet

tsan = pytest.mark.tsan

KIB = 1024
FIRST_AHEAD = 128 * KIB  # of a walk just noticed; cache/prefetch.c
FIRST_WINDOW = 64 * KIB  # of one message,
DEEP = 1024 * KIB  # ... for who reads such messages to the end

BODY = re.compile(r'UID FETCH (\S+) \(UID BODY(?:\.PEEK)?\[\]<(\d+)\.(\d+)>\)')


# ---- what all of these need ----------------------------------------------------------------------


def body_commands(proxy):
    """(set, offset, length) of each command for message bytes that went up so far."""
    found = [BODY.search(command) for command in list(proxy.commands)]
    return [(m.group(1), int(m.group(2)), int(m.group(3))) for m in found if m]


def is_set(uids):
    return ',' in uids or ':' in uids


def status(mail):
    """.imapfs/status as a dictionary."""
    lines = (mail / '.imapfs/status').read_text().splitlines()
    return dict(line.split(': ', 1) for line in lines if ': ' in line)


def ahead(mail, what=''):
    """A counter of the status: '', 'in flight' or 'and not read'."""
    return int(status(mail)[f'bytes fetched ahead {what}'.strip()])


def settled(mail, proxy):
    """Waits until nothing is under way any more; returns the bytes that came down so far."""
    def nothing():
        now = status(mail)
        return now['bytes fetched ahead in flight'] == now['body bytes in flight'] == '0'
    assert wait_until(nothing, 20 * SLOW)
    return proxy.bytes[DOWN]


def ready(mail, proxy=None):
    """Waits for the connection that a listing makes, and counts from here."""
    assert wait_until(lambda: status(mail).get('connection 1', 'up').startswith('up'), 20 * SLOW)
    if proxy:
        proxy.reset_counters()


def path_of(mail, uid, folder='INBOX'):
    return mail / folder / f'{uid}.eml'


def read_all(mail, uids, folder='INBOX'):
    """Reads each to its end; what cannot be read is there as its OSError."""
    got = {}
    for uid in uids:
        try:
            got[uid] = path_of(mail, uid, folder).read_bytes()
        except OSError as error:
            got[uid] = error
    return got


def same(got, bodies):
    """All of `got` is what the server has. Says which are not, without printing all the mail."""
    wrong = [uid for uid in got if got[uid] != bodies.get(uid)]
    assert not wrong, {uid: got[uid] if isinstance(got[uid], OSError) else len(got[uid])
                       for uid in wrong}


class Walker(threading.Thread):
    """A walk in a thread of its own."""

    def __init__(self, mail, uids, folder='INBOX'):
        super().__init__(daemon=True)
        self.mail, self.uids, self.folder = mail, uids, folder
        self.got = {}
        self.start()

    def run(self):
        for uid in self.uids:
            self.got.update(read_all(self.mail, [uid], self.folder))

    def result(self):
        self.join(40 * SLOW)
        assert not self.is_alive(), f'stuck behind {len(self.got)} messages'
        return self.got


class Crowd:
    """Walkers who take the messages of one list, each the next `portion` whenever he is done."""

    def __init__(self, mail, uids, readers, portion=1):
        self.uids = list(uids)
        self.portion = portion
        self.lock = threading.Lock()
        self.walkers = [Walker(mail, self.take()) for _ in range(readers)]

    def take(self):
        while True:
            with self.lock:
                mine, self.uids[:self.portion] = self.uids[:self.portion], []
            if not mine:
                return
            yield from mine

    def result(self):
        return {uid: data for walker in self.walkers for uid, data in walker.result().items()}


@pytest.fixture
def listed_mail(account, make_proxy, make_mount):
    """listed_mail(messages, options...): (bodies, proxy, mount), INBOX filled and listed."""
    def make(mails, *options, **proxy_options):
        mails = list(mails)
        account.fill('INBOX', mails)
        proxy = make_proxy(account.server, record=True, **proxy_options)
        mail = make_mount(account, 'names=uid', *options, tls='no', port=proxy.port)
        assert len(mail.names()) == len(mails)
        ready(mail, proxy)
        return account.bodies('INBOX'), proxy, mail
    return make


@pytest.fixture
def walked(listed_mail):
    """walked(number, size, options...): the same, of so many messages of this size."""
    def make(count, size, *options, **proxy_options):
        return listed_mail(messages.messages(count, size), *options, **proxy_options)
    return make


@pytest.fixture
def mini_mount(mount_mini):
    return lambda mini, *options: mount_mini(mini, 'names=uid', *options)


# ---- a walk --------------------------------------------------------------------------------------


@tsan
def test_walk(walked):
    """Few commands, no byte twice; the second time nothing at all."""
    bodies, proxy, mail = walked(200, 5000, 'connections=2')
    total = sum(map(len, bodies.values()))
    same(read_all(mail, bodies), bodies)
    down = settled(mail, proxy)
    commands = body_commands(proxy)
    assert total <= down <= total * 1.05
    assert len(commands) <= 200 / 4
    assert any(is_set(uids) for uids, _, _ in commands)
    assert ahead(mail, 'and not read') == 0
    assert ahead(mail) > total / 2

    proxy.reset_counters()
    same(read_all(mail, bodies), bodies)
    assert quiet(proxy) < 1000 and body_commands(proxy) == []


def test_connections_of_a_walk(account, make_proxy, make_mount):
    """One that lists and one for the bytes."""
    account.fill('INBOX', messages.messages(200, 5000))
    proxy = make_proxy(account.server, record=True, delay=0.01)
    mail = make_mount(account, 'names=uid', tls='no', port=proxy.port)
    assert len(mail.names()) == 200
    ready(mail, proxy)
    same(read_all(mail, range(1, 101)), account.bodies('INBOX'))
    settled(mail, proxy)
    quiet(proxy)
    assert proxy.accepted == 2


@tsan
def test_a_walk_in_a_listed_folder_that_leaves_some_out(walked):
    """Every third message, as of a filter: still a walk, and what is left out is counted."""
    bodies, proxy, mail = walked(150, 5000)
    wanted = list(bodies)[::3]
    same(read_all(mail, wanted), bodies)
    down = settled(mail, proxy)
    assert len(body_commands(proxy)) <= len(wanted) / 3
    assert down <= sum(map(len, bodies.values())) * 1.05


# ---- a walk in any order -------------------------------------------------------------------------


def by(mail, what):
    """A key to sort UIDs by, as ls does."""
    return lambda uid: getattr(path_of(mail, uid).stat(), what)


# How messages are taken that are listed: (their order, readers at once, messages that each of them
# takes at once).
WALKS = {
    'newest first': (lambda mail, uids: uids[::-1], 1, 1),
    'by size': (lambda mail, uids: sorted(uids, key=by(mail, 'st_size')), 1, 1),
    'the largest first': (lambda mail, uids: sorted(uids, key=by(mail, 'st_size'))[::-1], 1, 1),
    'by date': (lambda mail, uids: sorted(uids, key=by(mail, 'st_mtime')), 1, 1),
    'by name': (lambda mail, uids: sorted(uids, key=str), 1, 1),
    'four at once': (lambda mail, uids: uids, 4, 1),
    'four at once, newest first': (lambda mail, uids: uids[::-1], 4, 1),
    'four at once, by size': (lambda mail, uids: sorted(uids, key=by(mail, 'st_size')), 4, 1),
    'eight with twenty each': (lambda mail, uids: uids, 8, 20),
}


def mixed(count):
    """Messages that arrived in another order than they were written in, of all sizes."""
    numbers = random.Random(1).sample(range(1, count + 1), count)
    return [message(number, 2000 + number * 7919 % 6007) for number in numbers]


@tsan
@pytest.mark.parametrize('walk', WALKS)
def test_walk_in_any_order(listed_mail, walk):
    """Few commands and hardly a byte twice, as for who goes through the UIDs."""
    count = 400
    order, readers, portion = WALKS[walk]
    bodies, proxy, mail = listed_mail(mixed(count))
    got = Crowd(mail, order(mail, list(bodies)), readers, portion).result()
    same(got, bodies)
    assert len(got) == count
    total, down = sum(map(len, bodies.values())), settled(mail, proxy)
    # Two who ask for one another's neighbours before they are known as a walk may do it twice.
    assert total <= down <= total * (1.05 if readers == 1 else 1.2)
    assert len(body_commands(proxy)) <= count / 4
    assert ahead(mail) > total / 2
    assert ahead(mail, 'and not read') <= total / 5


@tsan
@pytest.mark.parametrize('command', ['grep -rc', 'rg -c', 'rg -c -j4', 'find -type f -exec grep -Hc'])
def test_programs_that_walk(account, make_proxy, make_mount, command):
    """In a folder that nobody has listed yet, as they come: few commands, every message."""
    count = 400
    account.fill('INBOX', mixed(count))
    account.fill('Other', [message(1)])
    proxy = make_proxy(account.server, record=True)
    mail = make_mount(account, 'names=uid', tls='no', port=proxy.port)
    assert len(mail.names('Other')) == 1
    ready(mail, proxy)
    end = ['Subject:', '{}', '+'] if 'find' in command else ['Subject:', '.']
    found = subprocess.run([*command.split(), *end], cwd=mail / 'INBOX', stdin=subprocess.DEVNULL,
                           capture_output=True, text=True, timeout=40 * SLOW, check=True)
    assert sorted(line.removeprefix('./') for line in found.stdout.splitlines()) == sorted(
        f'{uid}.eml:1' for uid in range(1, count + 1))
    total, down = sum(map(len, account.bodies('INBOX').values())), settled(mail, proxy)
    assert len(body_commands(proxy)) <= count / 4
    assert total <= down <= total * 1.2 + count * 600


@tsan
@pytest.mark.parametrize('readers', [1, 4])
def test_walk_in_no_order(walked, readers):
    """From an eighth of the folder on whatever is left comes ahead, and nothing comes twice."""
    count = 400
    bodies, proxy, mail = walked(count, 5000)
    uids = random.Random(4).sample(list(bodies), count)
    got = Crowd(mail, uids, readers).result()
    same(got, bodies)
    assert len(got) == count
    total, down = sum(map(len, bodies.values())), settled(mail, proxy)
    assert total <= down <= total * 1.2
    assert len(body_commands(proxy)) <= count / 2
    assert ahead(mail) > total / 2
    assert ahead(mail, 'and not read') <= total / 3


@tsan
def test_large_messages_read_to_the_end(walked):
    count, size = 30, 300_000
    bodies, proxy, mail = walked(count, size)
    same(read_all(mail, bodies), bodies)
    down = settled(mail, proxy)
    commands = body_commands(proxy)
    windows = -(-size // FIRST_WINDOW)
    assert down <= sum(map(len, bodies.values())) * 1.05
    assert len(commands) <= count * windows / 2
    assert any(is_set(uids) for uids, _, _ in commands)


@tsan
@pytest.mark.parametrize('order', ['oldest first', 'newest first', 'in no order'])
def test_a_thumbnailer(walked, order):
    """Of each large message only the first bytes are read, and not much more travels."""
    count = 40
    bodies, proxy, mail = walked(count, 300_000)
    uids = {'oldest first': list(bodies), 'newest first': list(bodies)[::-1],
            'in no order': random.Random(4).sample(list(bodies), count)}[order]
    for uid in uids:
        fd = os.open(path_of(mail, uid), os.O_RDONLY)
        assert os.read(fd, 1024) == bodies[uid][:1024]
        os.close(fd)
    assert settled(mail, proxy) <= count * 2 * FIRST_WINDOW


@tsan
def test_one_after_the_other_by_their_heads(walked):
    """head -c of small messages, in order: a walk like any other."""
    bodies, proxy, mail = walked(100, 5000)
    for uid, body in bodies.items():
        fd = os.open(path_of(mail, uid), os.O_RDONLY)
        assert os.read(fd, 100) == body[:100]
        os.close(fd)
    # A few may be asked for while they are on their way; all of them twice would be 2.
    assert settled(mail, proxy) <= sum(map(len, bodies.values())) * 1.3
    assert len(body_commands(proxy)) <= 100 / 3


# ---- no walk -------------------------------------------------------------------------------------


ORDERS = {
    'one': [300],
    'every twentieth': list(range(1, 601, 20)),
    'any': random.Random(4).sample(range(1, 601, 10), 50),
}


@tsan
@pytest.mark.parametrize('order', ORDERS)
def test_no_walk(walked, order):
    """No read-ahead: on the wire is what was read, a command for each."""
    bodies, proxy, mail = walked(600, 2000)
    uids = ORDERS[order]
    same(read_all(mail, uids), bodies)
    down = quiet(proxy, still=0.1)
    assert ahead(mail) == 0
    assert down <= sum(len(bodies[uid]) + 200 for uid in uids)
    assert [uids for uids, _, _ in body_commands(proxy)] == [str(uid) for uid in uids]


@tsan
def test_a_folder_that_nobody_listed(account, make_proxy, make_mount):
    """Messages that are only named: each is asked for alone, and nothing else is."""
    account.fill('INBOX', messages.messages(60, 3000))
    proxy = make_proxy(account.server, record=True)
    mail = make_mount(account, 'names=uid', tls='no', port=proxy.port)
    bodies = account.bodies('INBOX', '1:20')
    same(read_all(mail, range(1, 21)), bodies)
    settled(mail, proxy)
    assert ahead(mail) == 0
    assert sorted(int(uids) for uids, _, _ in body_commands(proxy)) == list(range(1, 21))
    assert not [c for c in proxy.commands if '1:*' in c]
    assert proxy.bytes[DOWN] <= sum(map(len, bodies.values())) + 20 * 600 + 4000


@tsan
@pytest.mark.parametrize('order', ['oldest first', 'newest first'])
def test_a_walk_that_stops(walked, order):
    """Nobody asks any more, so nothing more is fetched than a small multiple of what was read."""
    bodies, proxy, mail = walked(600, 5000)
    uids = list(bodies) if order == 'oldest first' else list(bodies)[::-1]
    first = uids[:5]
    same(read_all(mail, first), bodies)
    settled(mail, proxy)
    down = quiet(proxy)
    read = sum(len(bodies[uid]) for uid in first)
    assert read < down <= FIRST_AHEAD + 5 * read + 10_000
    fetched, unread = ahead(mail), ahead(mail, 'and not read')
    assert 0 < fetched <= FIRST_AHEAD + 4 * read
    assert fetched - read <= unread <= fetched
    # And goes on where it stopped.
    same(read_all(mail, uids[5:60]), bodies)
    assert settled(mail, proxy) < sum(map(len, bodies.values()))


@tsan
def test_a_walk_in_no_order_that_stops(walked):
    """What was asked for and not read is bounded by what was read, and counted."""
    bodies, proxy, mail = walked(800, 5000)
    uids = random.Random(4).sample(list(bodies), 120)
    same(read_all(mail, uids), bodies)
    settled(mail, proxy)
    quiet(proxy)
    read = sum(len(bodies[uid]) for uid in uids)
    fetched, unread = ahead(mail), ahead(mail, 'and not read')
    assert 0 < fetched <= FIRST_AHEAD + 4 * read
    assert fetched / 2 <= unread <= fetched


@tsan
def test_mark_seen(walked, account):
    """What nobody has read is neither fetched nor marked."""
    bodies, proxy, mail = walked(60, 3000, 'mark_seen')
    same(read_all(mail, range(1, 11)), bodies)
    settled(mail, proxy)
    assert [uids for uids, _, _ in body_commands(proxy)] == [str(uid) for uid in range(1, 11)]
    assert ahead(mail) == 0
    assert account.uids(search='SEEN') == list(range(1, 11))


@tsan
def test_a_walk_marks_nothing_seen(walked, account):
    bodies, proxy, mail = walked(60, 3000)
    same(read_all(mail, bodies), bodies)
    settled(mail, proxy)
    assert account.uids(search='SEEN') == []


# ---- prefetch= -----------------------------------------------------------------------------------


@tsan
def test_prefetch_switched_off(walked):
    bodies, proxy, mail = walked(60, 5000, 'prefetch=0')
    same(read_all(mail, range(1, 31)), bodies)
    down = settled(mail, proxy)
    assert [uids for uids, _, _ in body_commands(proxy)] == [str(uid) for uid in range(1, 31)]
    assert down <= sum(len(bodies[uid]) + 200 for uid in range(1, 31))
    assert ahead(mail) == ahead(mail, 'in flight') == 0


@tsan
def test_prefetch_is_bounded(walked):
    """For all walks together, on a line so slow that as much as may be is under way."""
    limit = 256 * KIB
    bodies, proxy, mail = walked(200, 20_000, 'prefetch=256k')
    proxy.delay = 0.02
    one, two = Walker(mail, range(1, 101)), Walker(mail, range(101, 201))
    most = 0
    while one.is_alive() or two.is_alive():
        most = max(most, ahead(mail, 'in flight'))
    got = {**one.result(), **two.result()}
    same(got, bodies)
    assert len(got) == 200
    assert FIRST_AHEAD / 2 < most <= limit
    # The first walk fetches ahead what the second one had at its beginning.
    assert settled(mail, proxy) <= sum(map(len, bodies.values())) * 1.05 + 2 * limit


@pytest.mark.parametrize('value', ['', 'x', '8Q', '-1', '1.5M', '8M8'])
def test_prefetch_of_no_size(tmp_path, value):
    point = tmp_path / 'point'
    point.mkdir()
    done = run(['-f', '-o', f'prefetch={value}', 'imap://alice@localhost:1', str(point)], tmp_path)
    assert done.returncode == 1 and 'prefetch= is a size such as 8M' in done.stderr


# ---- several at once -----------------------------------------------------------------------------


@tsan
def test_two_walkers(account, make_proxy, make_mount):
    """In two folders, and then two in one."""
    account.fill('INBOX', messages.messages(150, 5000))
    account.fill('Other', messages.messages(150, 6000, first=1000))
    proxy = make_proxy(account.server, record=True, delay=0.003)
    mail = make_mount(account, 'names=uid', tls='no', port=proxy.port)
    inbox, other = account.bodies('INBOX'), account.bodies('Other')
    assert len(mail.names()) == len(mail.names('Other')) == 150
    ready(mail, proxy)
    one, two = Walker(mail, range(1, 76)), Walker(mail, range(1, 151), 'Other')
    same(one.result(), inbox)
    same(two.result(), other)
    one, two = Walker(mail, range(76, 151)), Walker(mail, range(76, 151))
    same(one.result(), inbox)
    same(two.result(), inbox)
    total = sum(map(len, [*inbox.values(), *other.values()]))
    assert settled(mail, proxy) <= total * 1.1
    assert len(body_commands(proxy)) <= 300 / 4


@tsan
def test_what_waits_is_asked_for_together(walked):
    """Many want one message each while the server is silent: what has not left by then is one set."""
    bodies, proxy, mail = walked(400, 3000, 'connections=1')
    uids = list(range(1, 401, 10))
    proxy.stall()
    before = int(status(mail)['reads'])
    readers = [Walker(mail, [uid]) for uid in uids]
    assert wait_until(lambda: int(status(mail)['reads']) >= before + len(uids), 20 * SLOW)
    proxy.resume()
    got = {uid: data for reader in readers for uid, data in reader.result().items()}
    same(got, bodies)
    assert len(got) == len(uids)
    commands = body_commands(proxy)
    assert len(commands) <= len(uids) / 2
    assert any(re.fullmatch(r'[\d,]+', asked) and asked.count(',') > 8 for asked, _, _ in commands)
    assert settled(mail, proxy) <= sum(len(bodies[uid]) + 100 for uid in uids) + 10_000
    assert ahead(mail) == 0


@pytest.mark.parametrize('connections', [1, 2])
def test_few_connections(account, make_proxy, make_mount, connections):
    """Someone reads in another folder while megabytes are under way."""
    account.fill('INBOX', messages.messages(200, 40_000))
    account.fill('Other', messages.messages(3, first=1000))
    proxy = make_proxy(account.server, record=True, delay=0.005)
    mail = make_mount(account, 'names=uid', 'prefetch=1M', f'connections={connections}', tls='no',
                      port=proxy.port)
    bodies = account.bodies('INBOX')
    assert len(mail.names()) == 200 and len(mail.names('Other')) == 3
    proxy.rate = 4_000_000
    walker = Walker(mail, bodies)
    assert wait_until(lambda: ahead(mail, "in flight") > (700 if connections > 1 else 150) * KIB, 20 * SLOW)
    assert path_of(mail, 2, 'Other').read_bytes() == message(1001).data
    assert walker.is_alive()
    proxy.rate = None
    same(walker.result(), bodies)
    assert len(walker.got) == 200
    assert proxy.accepted <= connections


# ---- while messages vanish and lines break -------------------------------------------------------


def honest_error(got):
    return isinstance(got, OSError) and got.errno in (errno.ESTALE, errno.ENOENT)


@tsan
@pytest.mark.parametrize('gone', [3, 12, 40, 119])
def test_expunged_before_it_is_read(walked, account, gone):
    """By another client, with the answers on their way: its bytes or an error, never others'."""
    bodies, proxy, mail = walked(120, 5000)
    same(read_all(mail, range(1, 3)), bodies)
    proxy.stall()
    walker = Walker(mail, range(3, 121))
    conn = account.client('INBOX', readonly=False)
    conn.uid('STORE', str(gone), '+FLAGS', '(\\Deleted)')
    conn.expunge()
    conn.logout()
    proxy.resume()
    got = walker.result()
    assert honest_error(got[gone]) or got[gone] == bodies[gone]
    del got[gone]
    same(got, bodies)
    assert len(got) == 117


@tsan
@pytest.mark.parametrize('after', [1, 3000, 70_000, 150_000, 400_000])
def test_cut_in_the_middle(walked, after):
    bodies, proxy, mail = walked(150, 5000)
    proxy.cut_after(DOWN, after)
    same(read_all(mail, bodies), bodies)
    assert not proxy.cut_pending(DOWN)
    assert wait_until(lambda: ahead(mail, 'in flight') == 0, 20 * SLOW)


@tsan
def test_cut_in_the_middle_of_large_ones(walked):
    bodies, proxy, mail = walked(12, 1_500_000)
    got = {}
    for uid in bodies:
        proxy.cut_after(DOWN, 400_000 + 100_000 * uid)
        got.update(read_all(mail, [uid]))
    same(got, bodies)
    assert wait_until(lambda: ahead(mail, 'in flight') == 0, 20 * SLOW)


# ---- ending in the middle ------------------------------------------------------------------------


@pytest.fixture
def in_full_flight(walked):
    """A walk with more than a megabyte ahead of it, on a line that would take hours for that."""
    bodies, proxy, mail = walked(200, 40_000, 'timeout=600')
    same(read_all(mail, range(1, 31)), bodies)
    proxy.rate = 500
    walker = Walker(mail, range(31, 201))
    assert wait_until(lambda: ahead(mail, 'in flight') > 1 << 20, 20 * SLOW)
    return bodies, mail, walker


def ended(bodies, mail, walker):
    """The daemon is gone before its deadline; who was reading has right bytes or an error."""
    assert mail.wait() == 0
    assert not mount_entries_below(mail.path)
    got = walker.result()
    same({uid: data for uid, data in got.items() if not isinstance(data, OSError)}, bodies)
    assert any(isinstance(data, OSError) for data in got.values())


@tsan
def test_signal_in_the_middle(in_full_flight):
    bodies, mail, walker = in_full_flight
    os.kill(mail.pid, signal.SIGTERM)
    ended(bodies, mail, walker)


@tsan
def test_lazy_unmount_in_the_middle(in_full_flight):
    """The reader keeps the file system alive until he is done with the file he is at."""
    bodies, mail, walker = in_full_flight
    subprocess.run(['fusermount3', '-u', '-z', str(mail.path)], check=True, timeout=20 * SLOW)
    assert mount_entry(mail.path) is None
    os.kill(mail.pid, signal.SIGTERM)
    ended(bodies, mail, walker)


@tsan
def test_unmount_behind_a_walk_that_stopped(walked):
    """Its reader was killed: nobody waits, but much of what was asked for has not come."""
    bodies, proxy, mail = walked(200, 40_000, 'timeout=600')
    same(read_all(mail, range(1, 31)), bodies)
    proxy.rate = 500
    cat = subprocess.Popen(['cat', *(str(path_of(mail, uid)) for uid in range(31, 201))],
                           stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        assert wait_until(lambda: ahead(mail, 'in flight') > 1 << 20, 20 * SLOW)
    finally:
        cat.kill()
        cat.wait(20 * SLOW)
    assert ahead(mail, 'in flight') > 1 << 18  # some of it came meanwhile
    assert mail.unmount() == 0
    assert mount_entry(mail.path) is None


# ---- servers that answer oddly -------------------------------------------------------------------


def box_of(sizes):
    """A mini server with messages of about these sizes in INBOX; 0: no byte at all."""
    mini = MiniServer()
    for number, size in enumerate(sizes, 1):
        mini.box('INBOX').add(message(number, size).data if size else b'')
    return mini


def bodies_of(mini):
    return {mail.uid: mail.data for mail in mini.boxes['INBOX'].mails}


def sets_asked(mini):
    """The commands for the bytes of several messages at once."""
    found = [BODY.search(command.raw.decode('latin-1')) for command in list(mini.commands)]
    return [m.group(1) for m in found if m and is_set(m.group(1))]


def list_all(mini, mail):
    """Lists, and waits for the connection that a walk will need: its bodies, by UID."""
    bodies = bodies_of(mini)
    assert len(mail.names()) == len(bodies)
    ready(mail)
    return bodies


def walk_of(mini, mail):
    """A walk over all of it, in which messages were asked for ahead."""
    bodies = list_all(mini, mail)
    got = read_all(mail, bodies)
    assert sets_asked(mini)
    return got, bodies


@tsan
@pytest.mark.parametrize('size', [300, 5000, 60_000])
def test_wrong_sizes(mini_mount, size):
    """Said to be smaller and larger than they are, by a little and by much."""
    mini = box_of([size] * 40)
    lies = [lambda n: n, lambda n: n - 5, lambda n: n + 5, lambda n: 3 * n, lambda n: 0,
            lambda n: n // 2, lambda n: n + 200_000, lambda n: 1]
    mini.size_of = lambda mail: lies[mail.uid % len(lies)](len(mail.data))
    mail = mini_mount(mini)
    got, bodies = walk_of(mini, mail)
    same(got, bodies)
    same(read_all(mail, bodies), bodies)
    for uid, body in bodies.items():
        assert wait_until(lambda: path_of(mail, uid).stat().st_size == len(body), 5 * SLOW)


@tsan
def test_sizes_about_a_window(mini_mount):
    mini = MiniServer()
    for number, size in enumerate([FIRST_WINDOW + d for d in (-2, -1, 0, 1, 2)] * 6, 1):
        mini.box('INBOX').add(message(number, FIRST_WINDOW).data[:size - 2] + b'\r\n')
    got, bodies = walk_of(mini, mini_mount(mini))
    assert {len(body) - FIRST_WINDOW for body in bodies.values()} == {-2, -1, 0, 1, 2}
    same(got, bodies)


@tsan
@pytest.mark.parametrize('window, wrong', [
    (FIRST_WINDOW, 0), (FIRST_WINDOW, 5), (FIRST_WINDOW, -5), (FIRST_WINDOW, 70_000), (DEEP, 0)])
def test_sizes_about_a_window_and_wrong(mini_mount, window, wrong):
    """Said to end with a window, or nearly so, and a byte longer or shorter."""
    mini = MiniServer()
    for number, size in enumerate([window + d for d in (-1, 0, 1)] * 6, 1):
        mini.box('INBOX').add(message(number, window).data[:size - 2] + b'\r\n')
    mini.size_of = lambda mail: window + wrong if mail.uid % 2 else len(mail.data)
    mail = mini_mount(mini)
    bodies = list_all(mini, mail)
    same(read_all(mail, bodies), bodies)
    assert ahead(mail) > 0


@tsan
def test_longer_than_said_by_a_byte(mini_mount):
    """Without read-ahead, too: the size grows and shrinks again within two answers."""
    mini = MiniServer()
    for number in range(1, 41):
        mini.box('INBOX').add(message(number, FIRST_WINDOW).data[:FIRST_WINDOW - 1] + b'\r\n')
    mini.size_of = lambda mail: FIRST_WINDOW
    mail = mini_mount(mini, 'prefetch=0')
    bodies = bodies_of(mini)
    assert {len(body) for body in bodies.values()} == {FIRST_WINDOW + 1}
    assert len(mail.names()) == 40
    same(read_all(mail, bodies), bodies)


@tsan
def test_messages_of_no_bytes(mini_mount):
    mini = box_of([0 if n % 4 == 1 else 3000 for n in range(40)])
    mail = mini_mount(mini)
    got, bodies = walk_of(mini, mail)
    assert sum(not body for body in bodies.values()) == 10
    same(got, bodies)
    same(read_all(mail, bodies), bodies)


def in_sets(answer):
    """Makes an override of rows that leaves commands for a single message alone."""
    def install(mini):
        def fetch(session, command):
            match = BODY.search(command.raw.decode('latin-1'))
            if not match or not is_set(match.group(1)):
                return None
            with mini.lock:
                honest = mini.fetch_rows
                try:
                    return answer(mini, session, command)
                finally:
                    mini.fetch_rows = honest
        mini.on['UID FETCH'] = fetch
    install.__name__ = answer.__name__
    return install


def with_rows(mini, session, command, rows):
    mini.fetch_rows = rows
    session.execute(command)
    return True


def row(seq, pairs):
    return b'* %d FETCH (%s)\r\n' % (seq, b' '.join(k + b' ' + v for k, v in pairs))


@in_sets
def rows_missing(mini, session, command):
    return with_rows(mini, session, command,
                     lambda _, seq, mail, pairs: [row(seq, pairs)] if mail.uid % 3 else [])


@in_sets
def no_row_at_all(mini, session, command):
    return with_rows(mini, session, command, lambda *_: [])


@in_sets
def only_the_last(mini, session, command):
    last = int(re.split('[,:]', str(command.args[0]))[-1])
    return with_rows(mini, session, command,
                     lambda _, seq, mail, pairs: [row(seq, pairs)] if mail.uid == last else [])


@in_sets
def out_of_order(mini, session, command):
    rows, reply, session.reply = [], session.reply, lambda *_: None
    with_rows(mini, session, command, lambda _, seq, mail, pairs: rows.insert(0, row(seq, pairs)) or [])
    session.reply = reply
    for line in rows:
        session.send(line)
    session.reply('done')
    return True


@in_sets
def repeated(mini, session, command):
    return with_rows(mini, session, command, lambda _, seq, mail, pairs: [row(seq, pairs)] * 2)


@in_sets
def uid_behind(mini, session, command):
    return with_rows(mini, session, command,
                     lambda _, seq, mail, pairs: [row(seq, [*pairs[::-1], (b'FLAGS', b'()')])])


@in_sets
def nil_for_some(mini, session, command):
    return with_rows(mini, session, command, lambda _, seq, mail, pairs: [
        row(seq, [(k, b'NIL') if mail.uid % 3 == 0 and k.startswith(b'BODY') else (k, v)
                  for k, v in pairs])])


@in_sets
def strangers_between(mini, session, command):
    """Rows of messages that were not asked for, and one without a UID."""
    return with_rows(mini, session, command, lambda _, seq, mail, pairs: [
        b'* 1 FETCH (UID 1 BODY[]<0> "stranger")\r\n',
        b'* 9999 FETCH (UID 9999 BODY[]<0> "stranger")\r\n',
        b'* %d FETCH (BODY[]<0> "stranger")\r\n' % seq,
        b'* %d FETCH (UID %d BODY[]<7> "stranger")\r\n' % (seq, mail.uid), row(seq, pairs)])


@in_sets
def refused(mini, session, command):
    session.reply('[LIMIT] not so many', 'NO')
    return True


@in_sets
def half_and_then_refused(mini, session, command):
    reply, session.reply = session.reply, lambda *_: None
    with_rows(mini, session, command,
              lambda _, seq, mail, pairs: [row(seq, pairs)] if mail.uid % 2 else [])
    session.reply = reply
    session.reply('[SERVERBUG] no more', 'NO')
    return True


@in_sets
def hangs_up_once(mini, session, command):
    if not hasattr(mini, 'hung_up'):
        mini.hung_up = True
        session.send(b'* BYE I am tired\r\n')
        session.peer.drop()
    return None


def ignores_windows(mini):
    """Sends all of a message whatever was asked for."""
    def rows(_, seq, mail, pairs):
        return [row(seq, [(b'BODY[]', b'{%d}\r\n%s' % (len(mail.data), mail.data))
                          if k.startswith(b'BODY[]') else (k, v) for k, v in pairs])]
    mini.fetch_rows = rows


def caps_windows(mini):
    """Never sends more than 1000 bytes of a window."""
    def rows(_, seq, mail, pairs):
        def less(value):
            head, _, data = value.partition(b'\r\n')
            return b'{%d}\r\n%s' % (min(len(data), 1000), data[:1000])
        return [row(seq, [(k, less(v) if k.startswith(b'BODY[]<') else v) for k, v in pairs])]
    mini.fetch_rows = rows


ODD = [rows_missing, no_row_at_all, only_the_last, out_of_order, repeated, uid_behind,
       nil_for_some, strangers_between, refused, half_and_then_refused, hangs_up_once,
       ignores_windows, caps_windows]


@tsan
@pytest.mark.parametrize('odd', ODD, ids=lambda f: f.__name__)
def test_odd_answers(mini_mount, odd):
    """What does not come in a set is asked for alone: every byte of every message."""
    mini = box_of([3000] * 60 + [100_000] * 3)
    odd(mini)
    mail = mini_mount(mini)
    got, bodies = walk_of(mini, mail)
    same(got, bodies)
    assert wait_until(lambda: ahead(mail, 'in flight') == 0, 20 * SLOW)


# What a server says of a message that was not asked for cannot be told from an answer to who asks
# for it at the same time.
@tsan
@pytest.mark.parametrize('odd', [odd for odd in ODD if odd is not strangers_between],
                         ids=lambda f: f.__name__)
def test_odd_answers_to_several_readers(mini_mount, odd):
    """They wait for different messages, and are asked for together: every byte of every message."""
    mini = box_of([3000] * 60 + [100_000] * 3)
    odd(mini)
    mail = mini_mount(mini, 'connections=2')
    bodies = list_all(mini, mail)
    uids = random.Random(4).sample(list(bodies), len(bodies))
    got = Crowd(mail, uids, 20).result()
    assert len(got) == len(bodies)
    same(got, bodies)
    assert wait_until(lambda: ahead(mail, 'in flight') == 0, 20 * SLOW)
    assert wait_until(lambda: status(mail)['body bytes in flight'] == '0', 20 * SLOW)


@tsan
def test_expunged_in_the_middle_of_an_answer(mini_mount):
    """Its reader hears that it is gone, if it had not come before; the others have their bytes."""
    mini = box_of([3000] * 60)
    victim = 20

    @in_sets
    def expunge(_, session, command):
        box = mini.boxes['INBOX']
        box.mails = [mail for mail in box.mails if mail.uid != victim]
        session.sync()

    expunge(mini)
    mail = mini_mount(mini)
    bodies = list_all(mini, mail)
    got = read_all(mail, bodies)
    assert sets_asked(mini)
    assert honest_error(got[victim]) or got[victim] == bodies[victim], got[victim]
    del got[victim], bodies[victim]
    same(got, bodies)
    assert len(mail.names()) == 59
    assert not os.path.exists(mail / f'INBOX/{victim}.eml')


@tsan
def test_a_set_that_is_never_answered(mini_mount):
    """The server takes the question and says nothing more: the reader is not left waiting."""
    mini = box_of([3000] * 60)
    asked = threading.Event()

    @in_sets
    def silence(_, session, command):
        if not asked.is_set():
            asked.set()
            session.peer.stall()
            return True

    silence(mini)
    mail = mini_mount(mini, 'timeout=2')
    bodies = list_all(mini, mail)
    got = read_all(mail, bodies)
    assert asked.is_set()
    assert all(isinstance(data, OSError) and data.errno in (errno.ETIMEDOUT, errno.ENOTCONN)
               or data == bodies[uid] for uid, data in got.items())
    same(read_all(mail, bodies), bodies)


# ---- single messages -----------------------------------------------------------------------------


def recorded(proxy, action):
    """The commands that an action waits for, tags and what watches the folder apart."""
    quiet(proxy, still=0.1)
    proxy.reset_counters()
    action()
    sent = [command.partition(' ')[2] for command in proxy.commands if command != 'DONE']
    return [command for command in sent if command != 'IDLE']


@pytest.fixture
def listed(account, make_proxy, make_mount):
    account.fill('INBOX', messages.messages(200, 3000))
    account.fill('Other', messages.messages(3, 3000, first=1000))
    account.fill('Never', messages.messages(3, 3000, first=2000))
    proxy = make_proxy(account.server, record=True)

    def make(*options):
        return account, proxy, make_mount(account, *options, tls='no', port=proxy.port)
    return make


@tsan
def test_connections_made(listed):
    """One until there are bytes to be fetched; a listing makes ready for that."""
    _, proxy, mail = listed('names=uid')
    assert path_of(mail, 7).stat().st_size > 3000
    assert status(mail)['connections made'] == '1' and proxy.accepted == 1
    assert len(mail.names()) == 200
    quiet(proxy)
    assert proxy.accepted == int(status(mail)['connections made']) <= 2


@tsan
def test_cat_is_one_command(listed):
    _, proxy, mail = listed('names=uid')
    assert len(mail.names()) == 200
    path_of(mail, 3).read_bytes()
    for uid in (53, 103, 153):
        assert recorded(proxy, path_of(mail, uid).read_bytes) == [
            f'UID FETCH {uid} (UID BODY.PEEK[]<0.65536>)']


@tsan
def test_rm_and_mv_are_one_flight(listed):
    """Names as they are listed, into a folder that was listed."""
    account, proxy, mail = listed()
    assert len(mail.names()) == 200
    ready(mail)
    assert len(mail.names('Other')) == 3
    for uid in (70, 80):
        path = mail.message('INBOX', uid)
        assert recorded(proxy, path.unlink) == [
            f'UID FETCH {uid} (UID FLAGS)', f'UID STORE {uid} +FLAGS.SILENT (\\Deleted)',
            f'UID EXPUNGE {uid}']
    path = mail.message('INBOX', 50)
    assert recorded(proxy, lambda: os.rename(path, mail / 'Other' / path.name)) == [
        'UID MOVE 50 "Other"']
    assert account.uids('Other') == [1, 2, 3, 4]
    assert account.uids('INBOX') == [n for n in range(1, 201) if n not in (50, 70, 80)]
    assert len(mail.names()) == 197 and len(mail.names('Other')) == 4


@tsan
def test_rm_asks_for_both_before_it_hears_of_one(mini_mount):
    """STORE and EXPUNGE leave in one write: the server has the second before it answers the first."""
    mini = box_of([300] * 3)
    both = []
    mini.on['UID STORE'] = lambda session, _: both.append(session.peer.readable(10 * SLOW)) or None
    mail = mini_mount(mini)
    assert len(mail.names()) == 3
    path_of(mail, 2).unlink()
    assert both == [True]
    assert [m.uid for m in mini.boxes['INBOX'].mails] == [1, 3]
    assert len(mail.names()) == 2


@tsan
def test_a_message_of_a_folder_never_listed(listed):
    """By its name alone: it is looked for, and the folder stays unlisted."""
    account, proxy, mail = listed('names=uid')
    path_of(mail, 1).read_bytes()  # so that the connections are there
    used = recorded(proxy, path_of(mail, 2, 'Never').read_bytes)
    assert used[0].startswith(('SELECT "Never"', 'EXAMINE "Never"'))
    assert [c for c in used if c.startswith('UID FETCH')] == [
        'UID FETCH 2 (UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[HEADER.FIELDS (FROM SUBJECT)])',
        'UID FETCH 2 (UID BODY.PEEK[]<0.65536>)']
    used = recorded(proxy, path_of(mail, 2, 'Never').unlink)
    assert [c for c in used if not c.startswith(('NOOP', 'SELECT'))] == [
        'UID FETCH 2 (UID FLAGS)', 'UID STORE 2 +FLAGS.SILENT (\\Deleted)', 'UID EXPUNGE 2']
    assert account.uids('Never') == [1, 3]
