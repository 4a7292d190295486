/* Does this server tell of changes at once while a connection idles? Not every one does: Courier
 * tells once a minute, mailutils never. So what was told is believed for some seconds only, until
 * changes of which it is known when they were made have shown better. Internal to imap/; under the
 * pool's lock. */
#ifndef IMAP_POOL_PROMPT_H
#define IMAP_POOL_PROMPT_H

#include <stdbool.h>
#include <stdint.h>

/* A change that was told so many milliseconds after it cannot have been there yet was told at
 * once. */
enum { PROMPT_AT_ONCE = 5000 };

struct prompt {
    unsigned score;
    int64_t own_at; /* clock_ms(): when this mount last sent a change; 0: never */
};

/* A change was told, at `now`, by IDLE, which had not happened yet at `since` (clock_ms()). */
void prompt_told(struct prompt *p, int64_t since, int64_t now);

/* A question, at `now`, brought a change out that IDLE had not told. */
void prompt_missed(struct prompt *p, int64_t now);

bool prompt_proven(const struct prompt *p);

#endif
