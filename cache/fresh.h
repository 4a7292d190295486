/* How old what is known of a folder is. Times are clock_ms(). */
#ifndef CACHE_FRESH_H
#define CACHE_FRESH_H

#include <stdbool.h>
#include <stdint.h>

enum { FRESH_PROBES = 8 };

struct freshness {
    int64_t synced_at;   /* when the last successful look began; 0: never */
    int64_t heard_at;    /* then all was known that the server tells as it happens; 0: never */
    uint32_t none_from;  /* no message had a UID from here on when this mount last moved one here */
    int64_t none_at;     /* when that move was asked for; 0: never */
    int64_t describe_at; /* undescribed messages are not asked for before */
    struct {
        uint32_t uid;
        int64_t at;         /* when the probe began */
    } probes[FRESH_PROBES]; /* the last ones that succeeded, a ring */
    unsigned n_probes;      /* probes that succeeded so far */
};

/* What is known is not to be believed before the next look. */
void fresh_expire(struct freshness *fr);

/* As fresh_expire(); and what was found out of single UIDs is forgotten. */
void fresh_forget(struct freshness *fr);

/* A probe that began then has told whether this message is there. */
void fresh_probed(struct freshness *fr, uint32_t uid, int64_t at);
bool fresh_was_probed(const struct freshness *fr, uint32_t uid, int64_t since);

/* No message had a UID from here on then, or later. */
void fresh_none_from(struct freshness *fr, uint32_t uid, int64_t at);

/* Is this UID one that no message had at a time not before `since`; or the last one before those?
 */
bool fresh_is_none(const struct freshness *fr, uint32_t uid, int64_t since);
bool fresh_is_last(const struct freshness *fr, uint32_t uid, int64_t since);

#endif
