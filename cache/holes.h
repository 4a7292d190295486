/* UIDs that the server has named and not described, as the running sync deals with them. */
#ifndef CACHE_HOLES_H
#define CACHE_HOLES_H

#include <stdbool.h>
#include <stdint.h>

#include "imap/wire/uidset.h"

struct sync;

struct holes {
    struct uidset todo;        /* not asked for yet */
    struct uidset asked;       /* being asked for */
    struct uidset undescribed; /* not described: listed by their UIDs */
    uint64_t portion;          /* so many are asked for at once; 0: all */
    unsigned refusals;
    unsigned in_vain; /* refusals since something was described */
    uint32_t upto;    /* the highest UID that the last question for all UIDs found here */
    bool hopeless;    /* the refusals were too many: nothing more is asked */
    bool all;         /* UIDs by which messages are listed already are asked for, too */
    bool more;        /* there may be more of them than LIMIT_HOLES */
};

/* What a folder is found to hold: notes what is not described, and has the sync ask for it. */
void holes_find(struct sync *s, const struct uidset *found);

/* Is it time to ask again for what was not described? Then holes_find() will. */
bool holes_due(struct sync *s);

/* The next UIDs to ask for, as a command takes them: to free. When that was answered, what came is
 * in the table. `refused`: not all of it may have come. */
char *holes_ask(struct holes *h);
void holes_answered(struct sync *s, bool refused);

/* The UIDs that messages are listed by since the last call, as a command takes them: to free. */
char *holes_take_undescribed(struct holes *h);

/* Frees what there is, when the sync is over. */
void holes_end(struct holes *h);

#endif
