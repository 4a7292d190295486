/* Message bytes, as the rest of the cache has to do with them. */
#ifndef CACHE_BODY_H
#define CACHE_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "imap/base/blob.h"
#include "imap/base/str.h"

struct account;
struct folder;
struct kept;

enum { BODY_FIRST_WINDOW = 64 * 1024 };

struct bodies {
    struct kept *all; /* a hash table, in the order of use */
    size_t bytes;     /* of bodies that are here */
    size_t n_chunks;  /* that these came in */
    size_t inflight;  /* bytes that somebody waits for and are under way */
    enum { PIECES_UNKNOWN, PIECES_YES, PIECES_NO } pieces; /* do large windows come in pieces? */
    bool windows;           /* the server was seen to send the window that was asked for */
    size_t longest_window;  /* bytes of the longest answer to the question for a window */
    bool streaming;         /* a message is being streamed */
    uint64_t stream_ahead;  /* bytes of that message that lie ahead of its reader */
    uint64_t n_wrong_sizes; /* messages that were not as long as was announced */
    uint64_t n_reads, n_read_hits, n_fetches;
};

void body_forget(struct account *a, uint32_t gen, uint32_t uid);

/* Gives back the memory of a body that nobody is waiting for. */
void body_release(struct account *a, uint32_t gen, uint32_t uid);

/* Are the first bytes of the message here, or under way for it alone? */
bool body_known(struct account *a, uint32_t gen, uint32_t uid);

/* A set of messages came without this one: it is asked for alone from now on. */
void body_apart(struct account *a, uint32_t gen, uint32_t uid);

/* The first bytes of the message, as far as they are here; they last as long as the lock is held.
 */
struct str body_begin(struct account *a, uint32_t gen, uint32_t uid);

/* Keeps the first bytes of a message, of which `len` were asked for; shares `bytes`. Learns from
 * them how long the message is. */
void body_take(struct account *a, const struct folder *f, uint32_t uid, struct blob *bytes,
               size_t len);
void bodies_free(struct account *a);

#endif
