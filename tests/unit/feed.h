/* Feeds a stream of responses to the parser, however cut, and says as text what was understood.
 * Include cmocka.h first. */
#ifndef TESTS_UNIT_FEED_H
#define TESTS_UNIT_FEED_H

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "imap/base/buf.h"
#include "imap/base/limits.h"
#include "imap/wire/fetch.h"
#include "imap/wire/flags.h"
#include "imap/wire/frame.h"
#include "imap/wire/response.h"

/* ---- what was understood, as text ---- */

static inline void dump_bytes(struct buf *out, struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c < ' ' || c == 0x7f)
            buf_addf(out, "\\x%02x", c);
        else
            buf_addc(out, (char)c);
    }
}

static inline void dump_args(struct buf *out, const struct arg *a)
{
    for (; a; a = a->next) {
        buf_addc(out, ' ');
        if (a->type == ARG_NIL) {
            buf_adds(out, "NIL");
        } else if (a->type == ARG_LIST) {
            buf_addc(out, '(');
            dump_args(out, a->child);
            buf_adds(out, " )");
        } else {
            buf_adds(out, a->type == ARG_STRING ? "\"" : "");
            dump_bytes(out, a->s);
            buf_adds(out, a->type == ARG_STRING ? "\"" : "");
        }
    }
}

static inline void dump_bits(struct buf *out, uint32_t flags)
{
    struct buf text = {0};
    flags_text(flags, &text);
    buf_addf(out, " flags(%s)", buf_str(&text));
    buf_free(&text);
}

static inline void dump_row(struct buf *out, const struct response *r)
{
    struct fetch_row row;
    int err = fetch_decode(r, &row);
    buf_adds(out, " =>");
    if (err) {
        buf_addf(out, " error %d", err == -EPROTO ? 0 : err);
        return;
    }
    assert_int_equal(row.seq, r->number);
    if (row.uid)
        buf_addf(out, " uid %" PRIu32, row.uid);
    if (row.has & FETCH_FLAGS)
        dump_bits(out, row.flags);
    if (row.has & FETCH_DATE)
        buf_addf(out, " date %" PRId64, row.date);
    if (row.has & FETCH_SIZE)
        buf_addf(out, " size %" PRIu64, row.size);
    if (row.has & FETCH_MODSEQ)
        buf_addf(out, " modseq %" PRIu64, row.modseq);
    if (row.has & FETCH_HEADER) {
        buf_adds(out, " header <");
        dump_bytes(out, row.header);
        buf_addc(out, '>');
    }
    if (row.has & FETCH_BODY) {
        buf_adds(out, " body <");
        dump_bytes(out, row.body);
        buf_addc(out, '>');
        if (row.body_window)
            buf_addf(out, "@%" PRIu64, row.body_off);
    }
}

static inline void dump_status(struct buf *out, const struct response *r)
{
    if (r->code.n) {
        buf_adds(out, " [");
        dump_bytes(out, r->code);
        dump_args(out, r->code_args);
        buf_addc(out, ']');
    }
    if (r->text.n) {
        buf_adds(out, " |");
        dump_bytes(out, r->text);
    }
}

/* One line of text for one response. */
static inline void dump(struct buf *out, const struct response *r)
{
    static const char *const conds[] = {"", "OK", "NO", "BAD", "BYE", "PREAUTH"};
    if (r->kind == RESP_CONTINUE) {
        buf_addc(out, '+');
        dump_status(out, r);
    } else if (r->kind == RESP_TAGGED || r->cond != COND_NONE) {
        dump_bytes(out, r->tag);
        buf_addf(out, " %s", conds[r->cond]);
        assert_true(str_is(r->name, conds[r->cond]));
        dump_status(out, r);
    } else {
        buf_addc(out, '*');
        if (r->has_number)
            buf_addf(out, " %" PRIu32, r->number);
        buf_addc(out, ' ');
        dump_bytes(out, r->name);
        dump_args(out, r->args);
        if (r->has_number && str_is(r->name, "FETCH"))
            dump_row(out, r);
    }
    buf_addc(out, '\n');
}

/* ---- feeding ---- */

struct feed {
    struct frame frame;
    struct arena arena;
    struct buf in; /* not yet understood */
    struct buf out;
    bool bad;
};

static inline void feed_init(struct feed *f, size_t max_line)
{
    *f = (struct feed){.frame = {.max_line = max_line}};
}

static inline void feed_free(struct feed *f)
{
    arena_free(&f->arena);
    buf_free(&f->in);
    buf_free(&f->out);
}

static inline void feed_response(struct feed *f, size_t len)
{
    /* Copies of just that size: a sanitizer sees the first byte read too many. */
    char *exact = malloc(len);
    assert_non_null(exact);
    memcpy(exact, f->in.data, len);
    struct response r;
    arena_reset(&f->arena);
    int err = response_parse(&f->arena, exact, len, &r);
    if (err) {
        assert_int_equal(err, -EPROTO);
        buf_adds(&f->out, "?\n");
    } else {
        dump(&f->out, &r);
    }
    free(exact);
}

static inline void feed(struct feed *f, const char *data, size_t len)
{
    buf_add(&f->in, data, len);
    while (!f->bad && f->in.len) {
        size_t end = 0;
        const char *why = NULL;
        char *exact = malloc(f->in.len);
        assert_non_null(exact);
        memcpy(exact, f->in.data, f->in.len);
        enum parse_result p = frame_scan(&f->frame, exact, f->in.len, &end, &why);
        free(exact);
        if (p == PARSE_MORE)
            return;
        if (p == PARSE_BAD) {
            f->bad = true;
            buf_addf(&f->out, "! %s\n", why);
            return;
        }
        assert_in_range(end, 1, f->in.len);
        feed_response(f, end);
        buf_shift(&f->in, end);
    }
}

static const char *feed_end(struct feed *f)
{
    if (!f->bad && f->in.len)
        buf_adds(&f->out, "...\n");
    return buf_str(&f->out);
}

/* Feeds a stream whole, byte by byte, and in two pieces cut at every place. */
static inline void check_stream(const char *data, size_t len, size_t max_line, const char *want)
{
    struct feed f;
    feed_init(&f, max_line);
    feed(&f, data, len);
    assert_string_equal(feed_end(&f), want);
    feed_free(&f);

    feed_init(&f, max_line);
    for (size_t i = 0; i < len; i++)
        feed(&f, data + i, 1);
    assert_string_equal(feed_end(&f), want);
    feed_free(&f);

    for (size_t cut = 1; cut < len; cut++) {
        feed_init(&f, max_line);
        feed(&f, data, cut);
        feed(&f, data + cut, len - cut);
        assert_string_equal(feed_end(&f), want);
        feed_free(&f);
    }
}

struct row {
    const char *in;
    size_t len;
    const char *want;
};

#define ROW(in, want)                                                                              \
    {                                                                                              \
        in, sizeof(in) - 1, want                                                                   \
    }

static inline void check_rows(const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++)
        check_stream(rows[i].in, rows[i].len, LIMIT_LOGIN_LINE, rows[i].want);
}

#define CHECK_ROWS(rows) check_rows(rows, sizeof(rows) / sizeof *(rows))

#endif
