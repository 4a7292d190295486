/* Sets of UIDs as sorted, merged ranges (RFC 3501 §9, sequence-set): "1:4294967295" is one range
 * and is never expanded. */
#ifndef IMAP_WIRE_UIDSET_H
#define IMAP_WIRE_UIDSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "imap/base/buf.h"

/* The most ranges that uidset_parse() takes from a server. */
#define UIDSET_MAX_RANGES ((size_t)1 << 20)

struct uidrange {
    uint32_t lo, hi; /* both belong to the range; lo <= hi */
};

/* Zero-initialise ({0}) before first use. Not thread-safe. */
struct uidset {
    struct uidrange *r; /* ascending, with a gap of at least one UID between neighbours; owned */
    size_t n, cap;
};

/* Adds the UIDs of a sequence-set such as "1:5,7,9:3" to `s`; order and overlap do not matter.
 * Time is n log n in the number of ranges, whatever their order. On an error `s` is unchanged:
 * -EINVAL for what is not a set of UIDs (empty, 0, '*', over 32 bits), -E2BIG for more than
 * UIDSET_MAX_RANGES ranges, -ENOMEM. */
int uidset_parse(struct uidset *s, const char *text, size_t len);

/* Adds lo..hi (either order; 0 is no UID and is left out). At the end of the set this is constant
 * time, elsewhere linear. Of uidset_add() the caller bounds how many ranges come together; where a
 * server decides that it is uidset_try_add(): false when there is no memory. */
bool uidset_try_add(struct uidset *s, uint32_t lo, uint32_t hi);
void uidset_add(struct uidset *s, uint32_t lo, uint32_t hi);

/* Takes one UID out. Linear. */
void uidset_remove(struct uidset *s, uint32_t uid);

bool uidset_has(const struct uidset *s, uint32_t uid);

/* Adds all of `more`; takes out all of `less`; takes out all that is not in `only`. `s` and `more`
 * are short, the other two may be a server's. Linear, but for the first where it adds in the
 * middle. */
void uidset_join(struct uidset *s, const struct uidset *more);
void uidset_cut(struct uidset *s, const struct uidset *less);
void uidset_keep(struct uidset *s, const struct uidset *only);

/* Is each UID of `s`, which may be a server's, in one of the other two? */
bool uidset_within(const struct uidset *s, const struct uidset *a, const struct uidset *b);

/* Would it be added without another range? */
bool uidset_touches(const struct uidset *s, uint32_t uid);

/* The number of UIDs, not of ranges. */
uint64_t uidset_count(const struct uidset *s);

/* Appends the set as a command takes it, "1:5,7"; nothing for the empty set. */
void uidset_text(const struct uidset *s, struct buf *out);

/* Frees the ranges and empties the set. */
void uidset_free(struct uidset *s);

/* COPYUID (RFC 4315 §3): the UID in `dst` at the position that `uid` has in `src`. Both are sets in
 * text form, in the order written; "9:3" counts down. Nothing is expanded. -ENOENT if `src` does
 * not hold `uid`, -EINVAL if either is malformed or they differ in size; `mapped` is then
 * unchanged. */
int uidset_map(const char *src, size_t slen, const char *dst, size_t dlen, uint32_t uid,
               uint32_t *mapped);

#endif
