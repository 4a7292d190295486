"""What servers themselves do wrong: the steps of the battery that cannot go as on the others.

Each row says how the step must fail instead. A step that works after all fails the battery (unless the
row says that it may), and so does one that fails in another way. What every client would see differently is a fault of the server's; what
imapfs could do better is none and does not belong here.
"""

from __future__ import annotations

import fnmatch
from typing import NamedTuple, Optional


class Fault(NamedTuple):
    servers: str  # names, with * as in the shell, separated by blanks
    step: str  # the test's name without test_
    reason: str
    instead: str  # a regular expression: what the failure says
    always: bool = True  # else the step may work, as it happens


CYRUS_NAME = 'only some characters may be in the name of a mailbox'
MBOX = 'a mailbox is a file, and holds messages or folders, not both'
STATUS = 'STATUS answers with a name in which nothing is quoted'
QUOTED = 'a quoted string with a quote in it is a syntax error'
MAILDIR_FLAGS = 'a flag is not kept: other sessions do not see it'
RENUMBERED = 'a message that was copied gets another UID from each session that comes across it'

FAULTS: tuple[Fault, ...] = (
    Fault('cyrus-*', 'name_with_quotes', CYRUS_NAME, 'Invalid argument'),
    Fault('cyrus-*', 'name_with_backslash', CYRUS_NAME, 'Invalid argument'),
    Fault('cyrus-*', 'name_with_wildcards', CYRUS_NAME, 'Invalid argument'),
    Fault('courier', 'name_with_emoji', 'CREATE of a name beyond the basic plane of Unicode is an '
          '"Error in IMAP command"', 'Input/output error'),
    Fault('dovecot-mbox', 'mkdir_nested', MBOX, 'Operation not permitted'),
    Fault('dovecot-mbox', 'rmdir_of_folders', MBOX, 'Operation not permitted'),
    Fault('dovecot-mbox', 'rename_folder_with_child', MBOX, 'Operation not permitted'),
    Fault('twisted', 'name_with_blanks', STATUS, 'Input/output error'),
    Fault('twisted', 'name_with_quotes', QUOTED, 'Input/output error'),
    Fault('twisted', 'name_with_backslash', 'a backslash that is quoted stays two',
          r"assert 'back.{1,4}slash' in"),
    Fault('hoodiecrow', 'name_with_quotes', 'LIST does not quote the quotes in a name',
          'assert .say-"hello"'),
    Fault('mailutils', 'name_with_blanks', STATUS, 'Input/output error'),
    Fault('mailutils', 'name_with_quotes', QUOTED, 'Input/output error'),
    Fault('mailutils', 'dates', 'APPEND does not keep the date that it is given',
          r'assert 17\d{8}\.0 == 17'),
    Fault('mailutils', 'names_tell_date_sender_subject',
          'APPEND does not keep the date that it is given', r"AssertionError: \['20"),
    Fault('mailutils', 'flags_shown', MAILDIR_FLAGS, r'assert set\(\) =='),
    Fault('mailutils', 'flags_set', MAILDIR_FLAGS, r'assert set\(\) =='),
    Fault('mailutils', 'unseen_count', MAILDIR_FLAGS, "assert b'4' == b'3'"),
    Fault('mailutils', 'keyword', 'there are no keywords (PERMANENTFLAGS without \\*)',
          'Input/output error'),
    Fault('mailutils', 'delete_beside_deleted', MAILDIR_FLAGS,
          r'is .{1,2}Deleted is listed|in \[1'),
    Fault('mailutils', 'move', 'COPY does not keep the date', r"Differing attributes:\nE? *\['date'\]",
          always=False),
    Fault('mailutils', 'move_many', RENUMBERED, 'cannot stat', always=False),
    Fault('mailutils', 'move_there_and_back', RENUMBERED,
          'No such file or directory|Stale file handle|Input/output error', always=False),
    Fault('mailutils', 'mkdir_nested', RENUMBERED, r'== \[\]', always=False),
    Fault('mailutils', 'folder_remade', RENUMBERED, 'made anew do not show', always=False),
    Fault('mailutils', 'cut_after_move', RENUMBERED + ', so that nobody can tell whether it came',
          r'5 \+ 1: .*Input/output error', always=False),
)


def fault_of(server: str, test: str) -> Optional[Fault]:
    step = test.removeprefix('test_')
    return next((f for f in FAULTS if f.step == step
                 and any(fnmatch.fnmatch(server, s) for s in f.servers.split())), None)
