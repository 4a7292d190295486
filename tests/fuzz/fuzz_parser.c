/* Responses mean the same in one piece and in two, and whatever was understood lies in what was
 * sent. The first two bytes say where to cut. */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdlib.h>

#include "imap/base/buf.h"
#include "imap/base/limits.h"
#include "imap/wire/fetch.h"
#include "imap/wire/frame.h"
#include "imap/wire/response.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_LINE = 2000 };

/* The response at hand, and what was understood so far, as text. */
struct trace {
    const char *from, *to;
    struct buf text;
};

static void put_str(struct trace *t, struct str s)
{
    assert(s.n == 0 || (s.p >= t->from && s.p <= t->to && s.n <= (size_t)(t->to - s.p)));
    buf_addf(&t->text, "%zu:", s.n);
    buf_add(&t->text, s.p, s.n);
}

static void put_args(struct trace *t, const struct arg *a, unsigned depth)
{
    assert(depth <= LIMIT_NESTING);
    for (; a; a = a->next) {
        buf_addf(&t->text, " %d", a->type);
        assert(a->type == ARG_LIST || !a->child);
        put_str(t, a->s);
        uint64_t n;
        if (arg_number(a, UINT32_MAX, &n)) {
            assert(a->type == ARG_ATOM && n <= UINT32_MAX);
            buf_addf(&t->text, "=%" PRIu64, n);
        }
        put_args(t, a->child, depth + 1);
    }
    buf_addc(&t->text, '.');
}

static void put_row(struct trace *t, const struct response *r)
{
    struct fetch_row row;
    int err = fetch_decode(r, &row);
    assert(err == 0 || err == -EPROTO);
    assert(row.seq == r->number);
    assert(row.has & FETCH_BODY || (!row.body.n && !row.body_off));
    assert(row.has & FETCH_HEADER || !row.header.n);
    buf_addf(&t->text, " %d %x %u %x %" PRId64 " %" PRIu64 " %" PRIu64 " %d %" PRIu64, err, row.has,
             row.uid, row.flags, row.date, row.size, row.modseq, row.body_window, row.body_off);
    put_args(t, row.flag_list, 0);
    put_str(t, row.header);
    put_str(t, row.body);
}

static void put_response(struct trace *t, const struct response *r)
{
    buf_addf(&t->text, "%d %d %d %" PRIu32, r->kind, r->cond, r->has_number, r->number);
    assert(r->kind != RESP_TAGGED || r->cond != COND_NONE);
    assert(r->kind == RESP_CONTINUE || r->name.n > 0);
    assert(!r->args || r->cond == COND_NONE);
    assert(!r->code_args || r->code.n > 0 || r->cond != COND_NONE || r->kind == RESP_CONTINUE);
    put_str(t, r->tag);
    put_str(t, r->name);
    put_str(t, r->code);
    put_str(t, r->text);
    put_args(t, r->args, 0);
    put_args(t, r->code_args, 0);
    put_row(t, r);
    buf_addc(&t->text, '\n');
}

/* A connection as far as the parser is concerned. */
struct feed {
    struct frame frame;
    struct arena arena;
    struct buf in;
    struct trace trace;
    bool bad;
};

static void feed(struct feed *f, const uint8_t *data, size_t len)
{
    buf_add(&f->in, data, len);
    while (!f->bad && f->in.len) {
        size_t end = 0;
        const char *why = NULL;
        /* A copy of just that size, so that a sanitizer sees the first byte read too many. */
        char *exact = malloc(f->in.len);
        memcpy(exact, f->in.data, f->in.len);
        enum parse_result p = frame_scan(&f->frame, exact, f->in.len, &end, &why);
        if (p == PARSE_DONE) {
            struct response r;
            assert(end > 0 && end <= f->in.len);
            assert(f->frame.pos == 0 && f->frame.max_line == MAX_LINE);
            exact = realloc(exact, end);
            f->trace.from = exact;
            f->trace.to = exact + end;
            arena_reset(&f->arena);
            int err = response_parse(&f->arena, exact, end, &r);
            assert(err == 0 || err == -EPROTO);
            /* A tree costs at most an argument for each byte. */
            assert(f->arena.total <= end * 64);
            if (err)
                buf_adds(&f->trace.text, "?\n");
            else
                put_response(&f->trace, &r);
            buf_shift(&f->in, end);
        }
        free(exact);
        if (p == PARSE_MORE)
            return;
        if (p == PARSE_BAD) {
            assert(why && *why);
            buf_addf(&f->trace.text, "! %s\n", why);
            f->bad = true;
        }
    }
}

static void feed_end(struct feed *f)
{
    if (!f->bad)
        buf_addf(&f->trace.text, "%zu left\n", f->in.len);
}

static void feed_free(struct feed *f)
{
    arena_free(&f->arena);
    buf_free(&f->in);
    buf_free(&f->trace.text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    size_t len = size - 2;
    size_t cut = (data[0] * 256u + data[1]) % (len + 1);
    struct feed whole = {.frame = {.max_line = MAX_LINE}};
    struct feed pieces = whole;
    feed(&whole, data + 2, len);
    feed_end(&whole);
    feed(&pieces, data + 2, cut);
    feed(&pieces, data + 2 + cut, len - cut);
    feed_end(&pieces);
    assert(whole.trace.text.len == pieces.trace.text.len);
    assert(memcmp(whole.trace.text.data, pieces.trace.text.data, whole.trace.text.len) == 0);
    feed_free(&whole);
    feed_free(&pieces);
    return 0;
}
