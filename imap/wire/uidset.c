#include <errno.h>
#include <stdlib.h>

#include "imap/base/mem.h"
#include "imap/wire/uidset.h"

/* The next range of a set in text form, as written: `from` may be the larger. */
struct reader {
    const char *p, *end;
    bool more; /* a range has to follow */
};

static bool read_uid(struct reader *r, uint32_t *uid)
{
    uint64_t value = 0;
    const char *start = r->p;
    for (; r->p < r->end && *r->p >= '0' && *r->p <= '9'; r->p++) {
        value = value * 10 + (uint64_t)(*r->p - '0');
        if (value > UINT32_MAX)
            return false;
    }
    *uid = (uint32_t)value;
    return r->p > start && value > 0;
}

static bool skip(struct reader *r, char want)
{
    if (r->p == r->end || *r->p != want)
        return false;
    r->p++;
    return true;
}

/* 1 for a range, 0 at the end, -EINVAL. */
static int read_range(struct reader *r, uint32_t *from, uint32_t *to)
{
    if (!r->more)
        return 0;
    if (!read_uid(r, from))
        return -EINVAL;
    *to = *from;
    if (skip(r, ':') && !read_uid(r, to))
        return -EINVAL;
    r->more = skip(r, ',');
    return r->more || r->p == r->end ? 1 : -EINVAL;
}

static struct reader reader(const char *text, size_t len)
{
    return (struct reader){text, text + len, true};
}

/* Makes room for `more` ranges. False when there is no memory. */
static bool reserve(struct uidset *s, size_t more)
{
    size_t cap = s->cap ? s->cap : 4;
    while (cap < s->n + more)
        cap *= 2;
    size_t size = cap * sizeof *s->r;
    struct uidrange *r = cap == s->cap ? s->r
                         : size < 4096 ? realloc(s->r, size)
                                       : mem_try(s->r, size);
    if (!r)
        return false;
    s->r = r;
    s->cap = cap;
    return true;
}

/* Puts a range into `s` at index `at`, without merging; there is room. */
static void put(struct uidset *s, size_t at, struct uidrange range)
{
    memmove(s->r + at + 1, s->r + at, (s->n - at) * sizeof(*s->r));
    s->r[at] = range;
    s->n++;
}

static bool insert(struct uidset *s, size_t at, struct uidrange range)
{
    if (!reserve(s, 1))
        return false;
    put(s, at, range);
    return true;
}

/* Whether `b`, which does not begin before `a`, overlaps it or follows without a gap. */
static bool joins(struct uidrange a, struct uidrange b)
{
    return b.lo <= a.hi || b.lo - a.hi == 1;
}

/* The index of the first range that ends at `uid` or later; s->n if none does. */
static size_t lower(const struct uidset *s, uint32_t uid)
{
    size_t a = 0, b = s->n;
    while (a < b) {
        size_t mid = a + (b - a) / 2;
        if (s->r[mid].hi < uid)
            a = mid + 1;
        else
            b = mid;
    }
    return a;
}

bool uidset_try_add(struct uidset *s, uint32_t lo, uint32_t hi)
{
    struct uidrange new = {lo < hi ? lo : hi, lo < hi ? hi : lo};
    if (new.hi == 0)
        return true;
    if (new.lo == 0)
        new.lo = 1;
    if (s->n == 0 || (s->r[s->n - 1].hi < new.lo && !joins(s->r[s->n - 1], new)))
        return insert(s, s->n, new);
    size_t first = lower(s, new.lo - 1); /* also the one that ends right before */
    size_t past = first;
    while (past < s->n && (s->r[past].lo <= new.hi || s->r[past].lo - new.hi == 1))
        past++;
    if (past == first)
        return insert(s, first, new);
    if (s->r[first].lo < new.lo)
        new.lo = s->r[first].lo;
    if (s->r[past - 1].hi > new.hi)
        new.hi = s->r[past - 1].hi;
    s->r[first] = new;
    memmove(s->r + first + 1, s->r + past, (s->n - past) * sizeof(*s->r));
    s->n -= past - first - 1;
    return true;
}

void uidset_add(struct uidset *s, uint32_t lo, uint32_t hi)
{
    if (!uidset_try_add(s, lo, hi))
        mem_gone();
}

static int compare(const void *a, const void *b)
{
    const struct uidrange *x = a, *y = b;
    return x->lo < y->lo ? -1 : x->lo > y->lo;
}

/* Sorts and merges in place. */
static void normalise(struct uidset *s)
{
    qsort(s->r, s->n, sizeof(*s->r), compare);
    size_t n = 0;
    for (size_t i = 1; i < s->n; i++) {
        if (!joins(s->r[n], s->r[i]))
            s->r[++n] = s->r[i];
        else if (s->r[i].hi > s->r[n].hi)
            s->r[n].hi = s->r[i].hi;
    }
    s->n = n + 1;
}

/* Moves what `more` holds into `s`; there is room. */
static void merge(struct uidset *s, struct uidset *more)
{
    if (s->n == 0) {
        uidset_free(s);
        *s = *more;
        return;
    }
    if (more->n <= 8 || more->r[0].lo > s->r[s->n - 1].hi) {
        for (size_t i = 0; i < more->n; i++)
            uidset_add(s, more->r[i].lo, more->r[i].hi);
    } else {
        for (size_t i = 0; i < more->n; i++)
            put(s, s->n, more->r[i]);
        normalise(s);
    }
    uidset_free(more);
}

int uidset_parse(struct uidset *s, const char *text, size_t len)
{
    struct reader r = reader(text, len);
    struct uidset new = {0};
    bool sorted = true;
    uint32_t from, to;
    int rc;

    /* Into a set of its own first, and sorted once: neither an error half way nor a long list in
     * descending order may cost what is there or quadratic time. */
    while ((rc = read_range(&r, &from, &to)) > 0) {
        struct uidrange range = {from < to ? from : to, from < to ? to : from};
        struct uidrange *last = new.n ? &new.r[new.n - 1] : NULL;
        if (last && range.lo >= last->lo && joins(*last, range)) {
            last->hi = range.hi > last->hi ? range.hi : last->hi;
            continue;
        }
        if (new.n == UIDSET_MAX_RANGES) {
            rc = -E2BIG;
            break;
        }
        sorted = sorted && (!last || range.lo > last->hi);
        if (!reserve(&new, 1)) {
            rc = -ENOMEM;
            break;
        }
        put(&new, new.n, range);
    }
    if (rc >= 0 && s->n && !reserve(s, new.n))
        rc = -ENOMEM;
    if (rc < 0) {
        uidset_free(&new);
        return rc;
    }
    if (!sorted)
        normalise(&new);
    merge(s, &new);
    return 0;
}

void uidset_remove(struct uidset *s, uint32_t uid)
{
    size_t at = lower(s, uid);
    if (at == s->n || s->r[at].lo > uid)
        return;
    struct uidrange *r = &s->r[at], above = {uid + 1, r->hi};
    if (r->lo < uid && uid < r->hi) {
        r->hi = uid - 1;
        if (!insert(s, at + 1, above))
            mem_gone();
    } else if (r->lo < uid) {
        r->hi = uid - 1;
    } else if (uid < r->hi) {
        r->lo = uid + 1;
    } else {
        memmove(r, r + 1, (s->n - at - 1) * sizeof *r);
        s->n--;
    }
}

void uidset_join(struct uidset *s, const struct uidset *more)
{
    for (size_t i = 0; i < more->n; i++)
        uidset_add(s, more->r[i].lo, more->r[i].hi);
}

void uidset_keep(struct uidset *s, const struct uidset *only)
{
    struct uidset both = {0};
    for (size_t i = 0, k = 0; i < s->n && k < only->n;) {
        struct uidrange a = s->r[i], b = only->r[k];
        uint32_t lo = a.lo > b.lo ? a.lo : b.lo, hi = a.hi < b.hi ? a.hi : b.hi;
        if (lo <= hi)
            uidset_add(&both, lo, hi);
        i += a.hi <= b.hi;
        k += b.hi <= a.hi;
    }
    uidset_free(s);
    *s = both;
}

void uidset_cut(struct uidset *s, const struct uidset *less)
{
    struct uidset left = {0};
    size_t first = 0;
    for (size_t i = 0; i < s->n; i++) {
        uint64_t lo = s->r[i].lo, hi = s->r[i].hi;
        while (first < less->n && less->r[first].hi < lo)
            first++;
        for (size_t k = first; k < less->n && less->r[k].lo <= hi; k++) {
            if (less->r[k].lo > lo)
                uidset_add(&left, (uint32_t)lo, less->r[k].lo - 1);
            lo = (uint64_t)less->r[k].hi + 1;
        }
        if (lo <= hi)
            uidset_add(&left, (uint32_t)lo, (uint32_t)hi);
    }
    uidset_free(s);
    *s = left;
}

bool uidset_within(const struct uidset *s, const struct uidset *a, const struct uidset *b)
{
    for (size_t i = 0; i < s->n; i++)
        for (uint64_t uid = s->r[i].lo; uid <= s->r[i].hi;) {
            size_t in_a = lower(a, (uint32_t)uid), in_b = lower(b, (uint32_t)uid);
            if (in_a < a->n && a->r[in_a].lo <= uid)
                uid = (uint64_t)a->r[in_a].hi + 1;
            else if (in_b < b->n && b->r[in_b].lo <= uid)
                uid = (uint64_t)b->r[in_b].hi + 1;
            else
                return false;
        }
    return true;
}

bool uidset_has(const struct uidset *s, uint32_t uid)
{
    size_t i = lower(s, uid);
    return i < s->n && s->r[i].lo <= uid;
}

bool uidset_touches(const struct uidset *s, uint32_t uid)
{
    size_t i = lower(s, uid ? uid - 1 : 0); /* also the one that ends right before */
    return i < s->n && (s->r[i].lo <= uid || s->r[i].lo - uid == 1);
}

uint64_t uidset_count(const struct uidset *s)
{
    uint64_t count = 0;
    for (size_t i = 0; i < s->n; i++)
        count += (uint64_t)s->r[i].hi - s->r[i].lo + 1;
    return count;
}

void uidset_text(const struct uidset *s, struct buf *out)
{
    for (size_t i = 0; i < s->n; i++) {
        buf_addf(out, "%s%u", i ? "," : "", s->r[i].lo);
        if (s->r[i].hi > s->r[i].lo)
            buf_addf(out, ":%u", s->r[i].hi);
    }
}

void uidset_free(struct uidset *s)
{
    free(s->r);
    *s = (struct uidset){0};
}

static uint64_t span(uint32_t from, uint32_t to)
{
    return (from < to ? (uint64_t)to - from : (uint64_t)from - to) + 1;
}

int uidset_map(const char *src, size_t slen, const char *dst, size_t dlen, uint32_t uid,
               uint32_t *mapped)
{
    uint64_t slots = 0, seen = 0, place = 0;
    uint32_t from, to, found = 0;
    bool have = false;
    int rc;

    struct reader r = reader(src, slen);
    while ((rc = read_range(&r, &from, &to)) > 0) {
        bool inside = from < to ? uid >= from && uid <= to : uid >= to && uid <= from;
        if (inside && !have) {
            have = true;
            place = slots + span(from, uid) - 1;
        }
        slots += span(from, to);
    }
    if (rc < 0)
        return rc;
    r = reader(dst, dlen);
    while ((rc = read_range(&r, &from, &to)) > 0) {
        uint64_t n = span(from, to);
        if (place >= seen && place - seen < n) {
            uint32_t off = (uint32_t)(place - seen);
            found = from < to ? from + off : from - off;
        }
        seen += n;
    }
    if (rc < 0 || seen != slots)
        return -EINVAL;
    if (!have)
        return -ENOENT;
    *mapped = found;
    return 0;
}
