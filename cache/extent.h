/* Where a message ends, as far as the bytes of it tell that were asked for. What a server announces
 * (RFC822.SIZE) is a promise: the end is known once bytes came up to it and none behind it. */
#ifndef CACHE_EXTENT_H
#define CACHE_EXTENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zero-initialise: nothing is known. */
struct extent {
    uint64_t seen;  /* behind the last byte that came */
    uint64_t bound; /* if `bounded`: no byte came from here on */
    uint64_t leap;  /* while there is no bound: so far behind `seen` is looked next */
    bool bounded;
    bool tapers;     /* the answer that ended at `seen` was shorter than what was asked for */
    unsigned probes; /* questions that were only about the end */
};

/* Of `len` bytes asked for at `off`, `got` came; `last`: it is certain that nothing is behind. */
void extent_learn(struct extent *e, uint64_t off, size_t got, size_t len, bool last);

/* Is the end known? Then it is `seen`. */
bool extent_known(const struct extent *e);

/* Where to look for the end next, with a question of EXTENT_STEP bytes: behind `seen`, ever farther
 * as long as there is something, and then by halves. False when the end is not found by an honest
 * number of questions, or lies behind LIMIT_MESSAGE. */
enum { EXTENT_STEP = 64 * 1024 };
bool extent_probe(const struct extent *e, uint64_t *off);

/* The question that extent_probe() proposed was sent. */
void extent_asked(struct extent *e);

#endif
