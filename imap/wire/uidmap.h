/* Which UID a message has in another mailbox (COPYUID, RFC 4315 section 3). */
#ifndef IMAP_WIRE_UIDMAP_H
#define IMAP_WIRE_UIDMAP_H

#include "imap/base/str.h"
#include "imap/wire/uidset.h"

/* Zero-initialise ({0}) before first use. */
struct uidmap {
    struct uidpair {
        uint32_t from, to;
    } * pairs; /* owned; in the order they were put in */
    size_t n, cap;
};

/* The UID that `from` has there; 0: it is not known. */
uint32_t uidmap_get(const struct uidmap *m, uint32_t from);

/* What is put in later is what counts. */
void uidmap_put(struct uidmap *m, uint32_t from, uint32_t to);

/* Takes out what is said of these UIDs. */
void uidmap_cut(struct uidmap *m, const struct uidset *uids);

/* Puts in what the two sets of a COPYUID say of the UIDs `wanted`. Returns whether they say
 * anything of them; where the two do not fit each other they say nothing. */
bool uidmap_read(struct uidmap *m, const struct uidset *wanted, struct str from, struct str to);

void uidmap_free(struct uidmap *m);

#endif
