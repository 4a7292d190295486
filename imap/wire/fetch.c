#include "imap/wire/fetch.h"

#include <errno.h>

#include "imap/base/limits.h"
#include "imap/wire/date.h"
#include "imap/wire/flags.h"

static void take_flags(struct fetch_row *row, const struct arg *v)
{
    if (v->type != ARG_LIST)
        return;
    row->flag_list = v->child;
    row->flags = 0;
    for (const struct arg *f = v->child; f; f = f->next)
        if (f->type == ARG_ATOM)
            row->flags |= flag_from_name(f->s);
    row->has |= FETCH_FLAGS;
}

static void take_uid(struct fetch_row *row, const struct arg *v)
{
    uint64_t n;
    if (arg_number(v, UINT32_MAX, &n))
        row->uid = (uint32_t)n;
}

static void take_size(struct fetch_row *row, const struct arg *v)
{
    uint64_t n;
    if (arg_number(v, LIMIT_MESSAGE, &n)) {
        row->size = n;
        row->has |= FETCH_SIZE;
    }
}

static void take_date(struct fetch_row *row, const struct arg *v)
{
    if (v->type == ARG_STRING && date_parse(v->s.p, v->s.n, &row->date) == 0)
        row->has |= FETCH_DATE;
}

static void take_modseq(struct fetch_row *row, const struct arg *v)
{
    if (v->type == ARG_LIST && arg_number(v->child, INT64_MAX, &row->modseq))
        row->has |= FETCH_MODSEQ;
}

static const struct {
    const char *name;
    void (*take)(struct fetch_row *, const struct arg *);
} items[] = {
    {"UID", take_uid},           {"FLAGS", take_flags},   {"RFC822.SIZE", take_size},
    {"INTERNALDATE", take_date}, {"MODSEQ", take_modseq},
};

/* BODY[section]<off> "bytes": NIL is an empty string to the servers that send it. */
static void take_section(struct fetch_row *row, struct str key, const struct arg *v)
{
    if (v->type != ARG_STRING && v->type != ARG_NIL)
        return;
    struct str bytes = v->type == ARG_STRING ? v->s : (struct str){"", 0};
    if (str_starts(key, "BODY[HEADER") || str_is(key, "RFC822.HEADER")) {
        row->header = bytes;
        row->has |= FETCH_HEADER;
        return;
    }
    uint64_t off = 0;
    bool window = str_starts(key, "BODY[]<");
    if (window) {
        /* "<0>", and "<0.1024>" from servers that echo the question. */
        struct arg n = {.type = ARG_ATOM, .s = {key.p + 7, 0}};
        while (7 + n.s.n < key.n && n.s.p[n.s.n] >= '0' && n.s.p[n.s.n] <= '9')
            n.s.n++;
        if (!arg_number(&n, INT64_MAX, &off))
            return;
    } else if (!str_is(key, "BODY[]") && !str_is(key, "RFC822")) {
        return;
    }
    row->body = bytes;
    row->body_nil = v->type == ARG_NIL;
    row->body_window = window;
    row->body_off = off;
    row->has |= FETCH_BODY;
}

int fetch_decode(const struct response *r, struct fetch_row *row)
{
    *row = (struct fetch_row){.seq = r->number};
    if (!r->args || r->args->type != ARG_LIST)
        return -EPROTO;
    for (const struct arg *key = r->args->child; key && key->next; key = key->next->next) {
        const struct arg *value = key->next;
        if (key->type != ARG_ATOM)
            continue;
        size_t i = 0;
        while (i < sizeof items / sizeof *items && !str_is(key->s, items[i].name))
            i++;
        if (i < sizeof items / sizeof *items)
            items[i].take(row, value);
        else
            take_section(row, key->s, value);
    }
    return 0;
}
