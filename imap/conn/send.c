/* What goes out: commands that were written, and the literal behind them. */
#include "imap/conn/send.h"

#include <errno.h>

#include "imap/base/clock.h"
#include "imap/conn/conn.h"

void conn_secret(struct conn *c, const char *data, size_t len)
{
    secrets_add(&c->session.secrets, data, len);
    buf_add(&c->wire.out, data, len);
}

void conn_literal(struct conn *c, struct blob *bytes)
{
    c->wire.literal = (struct outgoing){.bytes = blob_ref(bytes), .pos = c->wire.out.len};
}

void send_drop_literal(struct conn *c)
{
    blob_unref(c->wire.literal.bytes);
    c->wire.literal = (struct outgoing){0};
}

bool send_pending(const struct conn *c)
{
    return c->wire.out_at < c->wire.out.len || c->wire.literal.bytes;
}

/* Writes once from where sending has come to, in `out` or in the literal. */
static ssize_t write_some(struct conn *c)
{
    struct outgoing *l = &c->wire.literal;
    if (l->bytes && c->wire.out_at == l->pos) {
        size_t left = l->bytes->len - l->at;
        ssize_t n = left ? stream_write(c->wire.stream, l->bytes->data + l->at, left) : 0;
        l->at += n > 0 ? (size_t)n : 0;
        if (l->at == l->bytes->len)
            send_drop_literal(c);
        return n;
    }
    size_t end = l->bytes ? l->pos : c->wire.out.len;
    ssize_t n =
        stream_write(c->wire.stream, c->wire.out.data + c->wire.out_at, end - c->wire.out_at);
    c->wire.out_at += n > 0 ? (size_t)n : 0;
    return n;
}

/* A command that is slow to leave is no silence of the server's. What write(2) took may be
 * megabytes that take their time, so it is asked how many are left. */
void send_note(struct conn *c)
{
    size_t left = c->wire.unsent ? stream_unsent(c->wire.stream) : 0;
    if (left < c->wire.unsent) {
        c->clocks.progress_at = clock_ms();
        endless_news(c);
    }
    c->wire.unsent = left;
}

int send_flush(struct conn *c)
{
    send_note(c);
    int err = stream_flush(c->wire.stream);
    if (err)
        return err == -EAGAIN ? 0 : err;
    while (send_pending(c)) {
        ssize_t n = write_some(c);
        if (n == -EAGAIN)
            return 0;
        if (n < 0)
            return (int)n;
        if (n > 0) {
            c->clocks.progress_at = clock_ms();
            endless_news(c);
            c->wire.unsent = stream_unsent(c->wire.stream);
        }
    }
    if (c->wire.out.len)
        explicit_bzero(c->wire.out.data, c->wire.out.len); /* a password may have been in it */
    buf_reset(&c->wire.out);
    c->wire.out_at = 0;
    return 0;
}
