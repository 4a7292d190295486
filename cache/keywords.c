#include "cache/keywords.h"

#include <stdlib.h>
#include <uthash.h>

#include "imap/base/buf.h"
#include "imap/base/limits.h"
#include "imap/base/mem.h"

struct keyword_set {
    UT_hash_handle hh;
    uint32_t number;
    char text[];
};

static int compare_names(const void *a, const void *b)
{
    const struct str *x = a, *y = b;
    size_t n = x->n < y->n ? x->n : y->n;
    int order = strncasecmp(x->p, y->p, n);
    if (order)
        return order;
    if (x->n != y->n)
        return x->n < y->n ? -1 : 1;
    return memcmp(x->p, y->p, n); /* of two spellings always the same one comes first */
}

static bool same_name(struct str a, struct str b)
{
    return a.n == b.n && strncasecmp(a.p, b.p, a.n) == 0;
}

/* Room for a set of so many bytes; NULL when there is no memory. */
static struct keyword_set *make_room(struct keywords *k, size_t size)
{
    if (k->n == k->cap) {
        uint32_t cap = k->cap ? 2 * k->cap : 4;
        struct keyword_set **sets = mem_try(k->sets, cap * sizeof(struct keyword_set *));
        if (!sets)
            return NULL;
        k->sets = sets;
        k->cap = cap;
    }
    struct keyword_set *set = mem_try(NULL, size);
    k->bytes += set ? size : 0;
    return set;
}

static uint32_t add_set(struct keywords *k, const char *text, size_t len)
{
    size_t size = sizeof(struct keyword_set) + len + 1;
    if (k->n == (1u << KEYWORDS_BITS) - 1 || k->bytes + size > LIMIT_KEYWORD_SETS) {
        k->full = true;
        return 0;
    }
    struct keyword_set *set = make_room(k, size);
    if (!set) {
        k->failed = true;
        return 0;
    }
    memcpy(set->text, text, len + 1);
    k->sets[k->n++] = set;
    set->number = k->n;
    HASH_ADD_KEYPTR(hh, k->by_text, set->text, len, set);
    return set->number;
}

uint32_t keywords_number_of_text(struct keywords *k, const char *text)
{
    struct keyword_set *set;
    size_t len = strlen(text);
    if (!len)
        return 0;
    HASH_FIND(hh, k->by_text, text, len, set);
    return set ? set->number : add_set(k, text, len);
}

uint32_t keywords_number(struct keywords *k, struct str *names, size_t n)
{
    if (!n)
        return 0;
    struct buf text = {0};
    qsort(names, n, sizeof *names, compare_names);
    for (size_t i = 0; i < n; i++) {
        if (i && same_name(names[i - 1], names[i]))
            continue;
        if (text.len)
            buf_addc(&text, ' ');
        buf_add(&text, names[i].p, names[i].n);
    }
    uint32_t number = keywords_number_of_text(k, buf_str(&text));
    buf_free(&text);
    return number;
}

const char *keywords_text(const struct keywords *k, uint32_t number)
{
    return number && number <= k->n ? k->sets[number - 1]->text : "";
}

void keywords_clear(struct keywords *k)
{
    HASH_CLEAR(hh, k->by_text);
    for (uint32_t i = 0; i < k->n; i++)
        free(k->sets[i]);
    free(k->sets);
    *k = (struct keywords){0};
}
