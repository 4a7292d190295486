/* What is known of a folder and would still be true after a restart: all that could be saved. It
 * points at nothing but memory of its own. */
#ifndef CACHE_FACTS_H
#define CACHE_FACTS_H

#include <stdbool.h>
#include <stdint.h>

#include "cache/keywords.h"
#include "cache/msgtable.h"
#include "imap/wire/uidset.h"

struct folder_facts {
    /* From LIST. */
    char *name; /* the file name */
    char *wire; /* the mailbox name, verbatim */
    char delim; /* 0: NIL */
    bool noselect;
    bool noinferiors;
    char special_use[32];

    /* Of the messages under the current UIDVALIDITY. */
    struct msgtable msgs;
    struct keywords keywords;
    struct uidset own_deleted; /* flagged \Deleted by this mount, not expunged */
    uint32_t uidvalidity;      /* 0: not known yet */
    uint32_t uidnext;          /* UIDs from here on are new */
    bool uidnext_odd;          /* the server was found to announce an UIDNEXT that was not true */
    uint64_t modseq;           /* flag changes up to here are known; 0: no CONDSTORE */
    bool loaded;               /* all messages were listed once */
    uint32_t load_upto;        /* until then: no UID up to here is missing from the load */
    bool late;                 /* there may be messages that are MSG_LATE */
    bool undescribed;          /* there are messages that are listed by their UIDs */

    uint64_t quota_used, quota_limit; /* KiB; limit 0: none */
};

#endif
