/* The answer to a SEARCH. Internal to imap/. */
#ifndef IMAP_EXEC_SEARCH_H
#define IMAP_EXEC_SEARCH_H

#include "imap/exec/exec.h"
#include "imap/wire/uidset.h"

struct search {
    struct uidset found;
    bool said;        /* the server has said what it found; that may be nothing */
    bool part;        /* of lower UIDs than what was found before, which stays (msglimit.h) */
    uint64_t changes; /* box.changes as of the answer; of several parts, as of the first */
};

/* Before a SEARCH is sent: forgets what an earlier one found. */
void search_begin(struct search *s);

/* After a SEARCH was answered OK: 0, or -EIO when the server said nothing of what it found, which
 * is not the same as having found nothing, or looked at a part of the messages only. */
int search_error(const struct search *s, const struct response *r);

/* ---- for untagged.c ---- */

/* SEARCH and ESEARCH. */
int search_on_search(struct conn *c, const struct response *r);
int search_on_esearch(struct conn *c, const struct response *r);

#endif
