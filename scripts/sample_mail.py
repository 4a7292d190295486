"""The mail of the demo account: invented people, always the same bytes.

mailboxes() yields (mailbox name, [Sample]) with '/' between the levels of a name. About 45 messages:
threads, other scripts, HTML, attachments, flags, and one message of 20 MB.
"""

from __future__ import annotations

import base64
import datetime
import random
import struct
import zlib
from email.message import EmailMessage
from email.policy import SMTP
from typing import Iterator, NamedTuple

PEOPLE = {
    'nora': 'Nora Lindqvist <nora.lindqvist@example.org>',
    'ben': 'Ben Okafor <ben@okafor.example>',
    'zoe': 'Zoë Marchand <zoe.marchand@example.net>',
    'juergen': 'Jürgen Weiß <j.weiss@gaertnerei.example>',
    'yuki': '高橋 由紀 <yuki.takahashi@example.jp>',
    'olga': 'Ольга Смирнова <olga@example.net>',
    'eleni': 'Ελένη Παππά <eleni.pappa@example.gr>',
    'samir': 'سمير حداد <samir.haddad@example.net>',
    'mum': 'Mum <ingrid.lindqvist@example.org>',
    'library': 'Harbour Street Library <no-reply@library.example>',
    'allotment': 'Allotment Committee <committee@allotments.example>',
    'bank': 'Northbank Statements <statements@northbank.example>',
    'ci': 'Build Robot <ci@builds.example>',
    'list': 'Priya Raman via runners <runners@lists.example>',
    'railway': 'Night Trains <tickets@nighttrains.example>',
}
ME = 'nora'


class Sample(NamedTuple):
    data: bytes
    date: datetime.datetime
    flags: str


def _when(text: str) -> datetime.datetime:
    return datetime.datetime.strptime(text, '%Y-%m-%d %H:%M').replace(
        tzinfo=datetime.timezone.utc)


def _message_id(who: str, when: datetime.datetime) -> str:
    return f'<{when:%Y%m%d%H%M}.{who}@mail.example.org>'


class _Box:
    """Collects the messages of one mailbox."""

    def __init__(self) -> None:
        self.samples: list[Sample] = []

    def add(self, who: str, date: str, subject: str, text: str, *, to: str = ME, flags: str = '',
            html: str = '', attach: tuple[tuple[str, str, bytes], ...] = (),
            parents: tuple[str, ...] = ()) -> str:
        """Returns the Message-ID. `attach` holds (file name, MIME type, bytes)."""
        when = _when(date)
        ident = _message_id(who, when)
        mail = EmailMessage(policy=SMTP)
        mail['From'] = PEOPLE[who]
        mail['To'] = PEOPLE[to]
        mail['Subject'] = subject
        mail['Date'] = when
        mail['Message-ID'] = ident
        if parents:
            mail['In-Reply-To'] = parents[-1]
            mail['References'] = ' '.join(parents)
        mail.set_content(text.strip() + '\n')
        if html:
            mail.add_alternative(html, subtype='html')
        for name, kind, data in attach:
            main, sub = kind.split('/')
            if main == 'text':
                mail.add_attachment(data.decode(), subtype=sub, filename=name)
            else:
                mail.add_attachment(data, maintype=main, subtype=sub, filename=name)
        # The default boundaries are random.
        for depth, part in enumerate(p for p in mail.walk() if p.is_multipart()):
            part.set_boundary(f'=_{when:%Y%m%d%H%M}_{depth}')
        self.samples.append(Sample(mail.as_bytes(), when, flags))
        return ident

    def thread(self, subject: str, *posts: tuple[str, str, str], flags: str = '\\Seen',
               start: tuple[str, ...] = ()) -> None:
        """Posts of (who, date, text), each an answer to the one before."""
        parents = start
        for who, date, text in posts:
            title = f'Re: {subject}' if parents else subject
            parents += (self.add(who, date, title, text, flags=flags, parents=parents,
                                 to='ben' if who == ME else ME),)


def _png(width: int, height: int, seed: int) -> bytes:
    """A small picture that viewers open: bands of colour with some noise."""
    rng = random.Random(seed)
    rows = bytearray()
    for y in range(height):
        rows.append(0)
        base = (40 + 180 * y // height, 120 + 60 * y // height, 200 - 150 * y // height)
        for _ in range(width):
            rows.extend(min(255, c + rng.randrange(24)) for c in base)

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack('>I', len(body)) + kind + body + struct.pack('>I', zlib.crc32(kind + body))

    return (b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0))
            + chunk(b'IDAT', zlib.compress(bytes(rows), 6)) + chunk(b'IEND', b''))


def _pdf(title: str) -> bytes:
    """A one-page PDF with a line of text."""
    stream = f'BT /F1 18 Tf 72 720 Td ({title}) Tj ET'.encode()
    objects = [
        b'<</Type/Catalog/Pages 2 0 R>>', b'<</Type/Pages/Kids[3 0 R]/Count 1>>',
        b'<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents 4 0 R'
        b'/Resources<</Font<</F1 5 0 R>>>>>>',
        b'<</Length %d>>stream\n%s\nendstream' % (len(stream), stream),
        b'<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>']
    out, offsets = bytearray(b'%PDF-1.4\n'), []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b'%d 0 obj%s endobj\n' % (number, body)
    xref = len(out)
    out += b'xref\n0 6\n0000000000 65535 f \n' + b''.join(b'%010d 00000 n \n' % o for o in offsets)
    return bytes(out + b'trailer<</Size 6/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n' % xref)


def _large(who: str, date: str, subject: str, text: str, name: str, size: int,
           flags: str) -> Sample:
    """A message of about `size` bytes. By hand: email's generator takes seconds for so much."""
    when = _when(date)
    raw = random.Random(size).randbytes(size * 57 // 78)
    body = base64.encodebytes(raw).replace(b'\n', b'\r\n')
    head = (f'From: {PEOPLE[who]}\r\nTo: {PEOPLE[ME]}\r\nSubject: {subject}\r\n'
            f'Date: {when:%a, %d %b %Y %H:%M:%S} +0000\r\nMessage-ID: {_message_id(who, when)}\r\n'
            'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="=_film"\r\n\r\n'
            '--=_film\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n'
            f'{text}\r\n\r\n--=_film\r\nContent-Type: video/mp4; name="{name}"\r\n'
            f'Content-Disposition: attachment; filename="{name}"\r\n'
            'Content-Transfer-Encoding: base64\r\n\r\n')
    return Sample(head.encode() + body + b'--=_film--\r\n', when, flags)


def _inbox() -> list[Sample]:
    box = _Box()
    box.thread(
        'Lunch on Friday',
        ('ben', '2025-11-03 09:31', 'Hi Nora,\n\nthe noodle place by the canal has opened again. '
         'Friday at half past twelve?\n\nBen'),
        ('nora', '2025-11-03 10:02', 'Yes! Shall I ask Zoë as well?\n\nNora'),
        ('ben', '2025-11-03 10:15', 'Please do. I will book a table for three.\n\nBen'),
        ('zoe', '2025-11-04 08:02', 'Count me in. I may be ten minutes late: the ferry.\n\nZoë'))
    box.add('juergen', '2025-11-04 16:20', 'Angebot: Obstbäume für den Gemeinschaftsgarten',
            'Liebe Frau Lindqvist,\n\nanbei unser Angebot über sechs Apfelbäume, zwei Quitten und '
            'eine Mispel.\nDie Preise gelten bis Ende November, Lieferung frei Gartentor.\n\n'
            'Mit freundlichen Grüßen\nJürgen Weiß', flags='\\Flagged',
            attach=(('Angebot Obstbäume.pdf', 'application/pdf', _pdf('Angebot 2025-118')),))
    box.add('yuki', '2025-11-05 07:45', '来週の打ち合わせについて',
            'ノラさん\n\nお世話になっております。来週火曜日の打ち合わせですが、\n'
            '午後三時からでよろしいでしょうか。資料は前日までにお送りします。\n\n高橋', flags='\\Seen')
    box.add('library', '2025-11-06 06:00', 'Two of your loans are due on Monday',
            'The following items are due on 10 November:\n\n'
            '  The Lighthouse Keepers of the Northern Isles\n  Pruning for Beginners\n\n'
            'You can renew them once, at the desk or online.')
    box.add('railway', '2025-11-07 18:12', 'Your booking: sleeper to Vienna, 19 December',
            'Booking NT-48213\n\nDeparture 20:44, platform 9\nCoach 21, compartment 5, lower berth\n',
            html='<html><body><h1>Booking NT-48213</h1><p>Departure <b>20:44</b>, platform 9<br>'
                 'Coach 21, compartment 5, lower berth</p><p><i>Bring slippers.</i></p>'
                 '</body></html>',
            attach=(('ticket-NT-48213.pdf', 'application/pdf', _pdf('Sleeper to Vienna')),),
            flags='\\Seen \\Flagged')
    box.add('olga', '2025-11-08 19:30', 'Рецепт борща, как обещала',
            'Нора, привет!\n\nВот бабушкин рецепт: свёклу запекай целиком, капусту клади последней,\n'
            'и никогда не спеши. Сметана обязательна.\n\nОльга', flags='\\Seen \\Answered')
    box.add('bank', '2025-11-10 03:05', 'Your statement for October is ready',
            'Dear customer,\n\nyour statement for October 2025 is attached.\n\nNorthbank',
            attach=(('statement-2025-10.csv', 'text/csv',
                     b'date,payee,amount\n2025-10-02,Harbour Street Bakery,-14.20\n'
                     b'2025-10-09,Allotment rent,-62.00\n2025-10-28,Salary,2810.55\n'),))
    box.add('eleni', '2025-11-11 12:40', 'Καλημέρα από τη Σύρο',
            'Αγαπητή Νόρα,\n\nο καιρός είναι ακόμα ζεστός και η θάλασσα ήρεμη.\n'
            'Σου στέλνω μια φωτογραφία από το λιμάνι.\n\nΜε αγάπη,\nΕλένη',
            attach=(('λιμάνι.png', 'image/png', _png(96, 64, 1)),), flags='\\Seen')
    box.add('mum', '2025-11-12 20:10', 'Sunday', 'Roast at one. Bring the big dish back, please.')
    box.add('samir', '2025-11-13 09:00', 'مواعيد دروس العود',
            'مرحبا نورا،\n\nالدرس القادم يوم الأربعاء في الساعة السادسة مساءً.\n'
            'لا تنسي إحضار الأوتار الجديدة.\n\nسمير')
    box.add('ci', '2025-11-13 23:59', 'FAILED: seedbank/main #2291 (test_frost_dates)',
            'seedbank/main, build 2291: 1 failed, 418 passed\n\n'
            'test_frost_dates: expected 2026-04-12, got 2026-04-11\n\n'
            'First failure since build 2287. Log: https://builds.example/seedbank/2291')
    box.add('zoe', '2025-11-14 10:25', 'Photos from the canal walk 🍂',
            'The heron is on the second one, if you squint.\n\nZoë',
            attach=(('canal-01.png', 'image/png', _png(120, 80, 2)),
                    ('canal-02.png', 'image/png', _png(120, 80, 3))))
    box.samples.append(_large(
        'ben', '2025-11-15 17:55', 'Time-lapse of the allotment, the whole summer',
        'Four months in two minutes. It is large, sorry!\r\n\r\nBen',
        'allotment-timelapse.mp4', 20 << 20, '\\Seen'))
    box.add('allotment', '2025-11-16 11:00', 'Water off from 1 December',
            'Dear members,\n\nthe water on the site will be turned off on 1 December and on again\n'
            'in the first frost-free week of March. Please empty your hoses.\n\nThe committee')
    box.add('juergen', '2025-11-17 08:15', 'Re: Angebot: Obstbäume für den Gemeinschaftsgarten',
            'Liebe Frau Lindqvist,\n\nder Liefertermin am 29. November passt uns gut.\n\nJ. Weiß',
            parents=('<202511041620.juergen@mail.example.org>',))
    return box.samples


def _projects() -> tuple[list[Sample], list[Sample]]:
    garden, seedbank = _Box(), _Box()
    garden.thread(
        'Planting plan for the east bed',
        ('zoe', '2025-09-02 10:00', 'First draft: currants along the fence, rhubarb in the corner, '
         'strawberries between.\n\nZoë'),
        ('nora', '2025-09-02 12:40', 'The corner is wet in spring. Would the rhubarb mind?\n\nNora'),
        ('juergen', '2025-09-03 07:20', 'Rhabarber mag es feucht, aber nicht nass. Eine Handbreit '
         'Kies unter die Wurzeln.\n\nJW'),
        ('nora', '2025-09-03 18:05', 'Gravel it is. I have two bags left.\n\nNora'),
        ('zoe', '2025-09-05 09:15', 'Then we dig on Saturday at ten. Tea is on me.\n\nZoë'))
    garden.add('zoe', '2025-09-06 21:30', 'Map of the beds', 'As measured today.\n',
               attach=(('beds.png', 'image/png', _png(160, 100, 4)),
                       ('beds.csv', 'text/csv', b'bed,length_m,width_m\neast,6.4,1.2\n'
                        b'west,5.9,1.2\nfence,11.0,0.6\n')), flags='\\Seen \\Flagged')
    seedbank.thread(
        'Frost dates by region',
        ('ben', '2025-10-20 14:00', 'The table is off by one in leap years. Patch below.\n\n'
         '-    day = start + offset\n+    day = start + offset - leap(start)\n\nBen'),
        ('nora', '2025-10-20 15:30', 'Looks right. Can you add 2028 to the test?\n\nNora'),
        ('ben', '2025-10-21 09:10', 'Done, and 2100, which is not a leap year.\n\nBen'))
    seedbank.add('ci', '2025-10-21 09:45', 'OK: seedbank/main #2274', '419 passed\n', flags='\\Seen')
    return garden.samples, seedbank.samples


def _archive() -> tuple[list[Sample], list[Sample]]:
    older, newer = _Box(), _Box()
    older.add('railway', '2024-06-11 08:30', 'Your booking: Oslo, 2 July',
              'Booking NT-30977. Departure 22:10, platform 3.\n', flags='\\Seen')
    older.add('allotment', '2024-09-01 10:00', 'Plot 17 is yours',
              'Welcome! The key is at the gate house, the compost is shared.\n',
              flags='\\Seen \\Flagged')
    older.thread(
        'Who has the ladder?',
        ('ben', '2024-10-05 09:00', 'The long one. The pears are out of reach.'),
        ('zoe', '2024-10-05 09:20', 'In my shed. Come by any evening.'))
    older.add('bank', '2024-12-31 03:05', 'Your statement for 2024 is ready',
              'Dear customer,\n\nyour yearly statement is attached.\n',
              attach=(('statement-2024.csv', 'text/csv', b'month,in,out\n2024-12,2790.10,1840.66\n'),),
              flags='\\Seen')
    newer.add('library', '2025-02-14 06:00', 'A book you asked for has arrived',
              'Compost: A Love Story\n\nWe keep it for seven days.\n', flags='\\Seen')
    newer.thread(
        'Ferry times',
        ('zoe', '2025-05-19 16:00', 'Does the 7:40 run on Sundays?'),
        ('nora', '2025-05-19 16:12', 'Only until September.'))
    newer.add('olga', '2025-07-30 21:15', 'С днём рождения!',
              'Нора, поздравляю! Здоровья, солнца и хорошего урожая.\n\nОльга', flags='\\Seen')
    return older.samples, newer.samples


def _others() -> Iterator[tuple[str, list[Sample]]]:
    box = _Box()
    box.add('yuki', '2025-08-12 05:20', '京都の写真', 'お約束の写真です。とても暑い一日でした。\n\n由紀',
            attach=(('京都.png', 'image/png', _png(100, 75, 5)),), flags='\\Seen')
    box.add('yuki', '2025-10-01 22:05', '秋のご予定は？', '十一月にそちらへ参ります。ご都合はいかがですか。\n\n由紀')
    yield '友人/京都', box.samples

    box = _Box()
    box.thread(
        'Sunday long run: river or hills?',
        ('list', '2025-11-06 18:00', 'Sixteen kilometres either way. Vote by Saturday noon.\n\nPriya'),
        ('ben', '2025-11-06 18:20', 'Hills. My shoes are new.'),
        ('list', '2025-11-08 12:05', 'Hills, by seven votes to six. 8:30 at the mill.\n\nPriya'),
        flags='')
    yield 'Lists/Läufer', box.samples

    box = _Box()
    box.add('nora', '2025-11-05 09:00', 'Re: 来週の打ち合わせについて',
            '高橋様\n\n火曜日の午後三時で大丈夫です。よろしくお願いいたします。\n\nノラ', to='yuki',
            flags='\\Seen', parents=('<202511050745.yuki@mail.example.org>',))
    box.add('nora', '2025-11-12 20:45', 'Re: Sunday', 'I will, and pudding too. x\n', to='mum',
            flags='\\Seen', parents=('<202511122010.mum@mail.example.org>',))
    yield 'Sent', box.samples

    box = _Box()
    box.add('library', '2025-10-30 06:00', 'Opening hours next week',
            'We close at five on Tuesday.\n', flags='\\Seen')
    yield 'Trash', box.samples


def mailboxes() -> Iterator[tuple[str, list[Sample]]]:
    """Every mailbox of the account, in the order in which to make them."""
    garden, seedbank = _projects()
    older, newer = _archive()
    yield 'INBOX', _inbox()
    yield 'Projects/Garden', garden
    yield 'Projects/Seedbank', seedbank
    yield 'Archive/2024', older
    yield 'Archive/2025', newer
    yield from _others()
