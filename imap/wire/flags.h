/* The flags of a message: system flags as bits, keywords by name (RFC 3501 section 2.3.2). */
#ifndef IMAP_WIRE_FLAGS_H
#define IMAP_WIRE_FLAGS_H

#include <stdint.h>

#include "imap/base/buf.h"
#include "imap/base/str.h"

enum {
    FLAG_SEEN = 1u << 0,
    FLAG_ANSWERED = 1u << 1,
    FLAG_FLAGGED = 1u << 2,
    FLAG_DELETED = 1u << 3,
    FLAG_DRAFT = 1u << 4,
    FLAG_RECENT = 1u << 5,
    FLAG_SYSTEM = (1u << 6) - 1,
};

/* The bit of a system flag in any case, or 0 for a keyword. */
uint32_t flag_from_name(struct str name);

/* Appends the names of the system flags in `bits`, a space between two, and one in front when
 * `out` is not empty. */
void flags_text(uint32_t bits, struct buf *out);

/* Can this be sent as a flag: a backslash and an atom, or an atom (RFC 3501 section 9, "flag")? */
bool flag_valid(struct str name);

/* A change of flags, as STORE makes it (RFC 3501 section 6.4.6). Zero-initialise. */
enum flag_how { FLAGS_REPLACE, FLAGS_ADD, FLAGS_REMOVE };
struct flag_change {
    enum flag_how how;
    uint32_t bits;       /* system flags */
    struct buf keywords; /* their names, a space between two */
};

/* Puts a flag into the change; once more is once. 0; -EINVAL for what is no flag, or none that a
 * client may set, or is longer than LIMIT_KEYWORD; -E2BIG for more than a command may have. */
int flag_change_add(struct flag_change *change, struct str name);

/* Appends the change as STORE takes it: "+FLAGS (\Seen $Junk)". */
void flag_change_text(const struct flag_change *change, struct buf *out);

/* `to` is a change of nothing. */
void flag_change_copy(struct flag_change *to, const struct flag_change *from);

void flag_change_free(struct flag_change *change);

/* Reads a change as a user writes it: "+\Flagged", "-\Seen $Junk", or the whole list. 0; else as
 * flag_change_add(), and -EINVAL for "+" of nothing. `change` is to be freed in any case. */
int flag_change_read(struct flag_change *change, const char *value, size_t len);

#endif
