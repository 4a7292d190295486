/* The named bounds on everything a server can size. Each is generous for honest servers and small
 * enough that a hostile one cannot exhaust the machine. */
#ifndef IMAP_BASE_LIMITS_H
#define IMAP_BASE_LIMITS_H

/* One response without its literals. A SEARCH answer of a million UIDs is 8 MB on one line. */
#define LIMIT_LINE (16u * 1024 * 1024)

/* One literal. Bodies are asked for in windows of at most LIMIT_WINDOW bytes, so only a server that
 * ignores the window comes near this, and a stream (op.h), which is handed on while it comes.
 * Memory grows as bytes arrive, not as they are announced. */
#define LIMIT_LITERAL (64u * 1024 * 1024)

/* One response with its literals. */
#define LIMIT_RESPONSE (96u * 1024 * 1024)

/* A greeting or an answer before login: nobody has business sending more. */
#define LIMIT_LOGIN_LINE (64u * 1024)

/* How often SCRAM's server may have the password hashed: 0.3 to 0.5 s a million on a processor of
 * 2020. Servers use 4,096 to 1,300,000. */
#define LIMIT_SCRAM_ROUNDS 10000000u

/* Parentheses within parentheses. */
#define LIMIT_NESTING 64

/* Tokens in one response: what a line of LIMIT_LINE bytes of single digits would need is refused.
 */
#define LIMIT_TOKENS (4u * 1024 * 1024)

/* Messages of which something is kept or being asked for, however short they are. */
#define LIMIT_BODIES 65536u

/* The pieces that what is kept of them came in, however short those are. */
#define LIMIT_CHUNKS (4u * LIMIT_BODIES)

/* One message. RFC822.SIZE had 32 bits in IMAP4rev1; a larger one is no size. */
#define LIMIT_MESSAGE 0xffffffffull

/* Messages in one mailbox that are loaded; the table costs some 100 bytes each. */
#define LIMIT_MESSAGES 10000000u

/* How many more messages SEARCH may name than EXISTS said before it is not believed: those that
 * arrived between the two. */
#define LIMIT_SEARCH_SLACK 10000u

/* Messages that SEARCH names and no FETCH row describes: so many of them are dealt with at a time.
 */
#define LIMIT_HOLES 100000u

/* How often in a row a server may refuse to describe some of them, and none of what is asked for is
 * described, before the others are shown by their UIDs alone: enough to find one in a mailbox by
 * halves. And how often at all. */
#define LIMIT_REFUSALS_IN_VAIN 32u
#define LIMIT_REFUSALS         1000u

/* Mailboxes in one account. */
#define LIMIT_MAILBOXES 100000u

/* Untagged responses in front of the answer to one command, beyond those that its mailbox accounts
 * for, and the list of all mailboxes for LIMIT_MAILBOXES. */
#define LIMIT_UNTAGGED 100000u

/* So many times the timeout= an answer may take while responses come that bring nothing new. Honest
 * servers say "* OK still searching" for minutes. */
#define LIMIT_TIMEOUTS_WITHOUT_NEWS 10u

/* Parts in which a server may answer about the messages of a mailbox (msglimit.h). RFC 9738 has a
 * thousand messages in each. */
#define LIMIT_PARTS (LIMIT_MESSAGES / 1000)

/* Levels of a mailbox name. */
#define LIMIT_LEVELS 64

/* A mailbox name on the wire. */
#define LIMIT_MAILBOX_NAME 4096u

/* A keyword (a flag that is not the system's); a longer one is passed over, and not set. */
#define LIMIT_KEYWORD 127u

/* Keywords of one message; those behind are passed over. All of them fit into an extended
 * attribute (64 KiB). */
#define LIMIT_KEYWORDS 256u

/* Bytes of memory for the different sets of keywords that messages of one mailbox have. */
#define LIMIT_KEYWORD_SETS (4u * 1024 * 1024)

/* The header fields kept for one message while they are turned into a name. */
#define LIMIT_HEADER (1024u * 1024)

/* The largest window of a body asked for at once, but for streams. */
#define LIMIT_WINDOW (4u * 1024 * 1024)

/* A command line, literals apart (RFC 7162 section 4 asks for 8192; Yahoo takes 1000). */
#define LIMIT_COMMAND 1000u

/* A literal that may be sent unasked where the server says LITERAL- (RFC 7888 section 5). */
#define LIMIT_LITERAL_MINUS 4096u

/* A message that is sent unasked where the server says LITERAL+; a larger one is announced first,
 * so that it can be refused before it travels (RFC 7888 section 4). */
#define LIMIT_LITERAL_PLUS (100u * 1024)

/* How long, in ms, a call waits because the server asks for it; for more it is refused at once. */
#define LIMIT_THROTTLE 60000

/* How long, in ms, the server is left alone because it asks for it; then it may ask again. */
#define LIMIT_THROTTLE_LONGEST (60 * 60 * 1000)

/* Commands in flight on one connection. */
#define LIMIT_PIPELINE 12

#endif
