#include "cache/body_size.h"

#include <inttypes.h>

#include "cache/folder.h"
#include "cache/messages.h"
#include "cache/state.h"
#include "imap/base/log.h"

/* Says, once for a mount in the log, that announced sizes are not to be relied on. */
static void note_wrong(struct account *a, const struct folder *f, const struct msg *m, uint64_t was)
{
    if (!a->bodies.n_wrong_sizes++)
        log_warn("%s: UID %u has %" PRIu64 " bytes, not the %" PRIu64 " announced; the sizes that "
                 "this server announces are shown until a message was read",
                 f->facts.wire, m->uid, m->size, was);
    else
        log_debug("%s: UID %u has %" PRIu64 " bytes, not the %" PRIu64 " announced", f->facts.wire,
                  m->uid, m->size, was);
}

static void tell_size(struct account *a, uint64_t n)
{
    a->hooks.msg_size(a->hooks.ctx, (uint32_t)(n >> 32), (uint32_t)n);
}

/* Now it is certain. That the message is longer the kernel must know before a reader comes to what
 * it takes for the end. That it is shorter the readers' own answers say: see account_read(). */
static void settle(struct account *a, const struct body *b, const struct folder *f, struct msg *m,
                   uint64_t size)
{
    uint64_t was = msg_size(m);
    bool announced = m->size && m->size != MSG_UNKNOWN_SIZE;
    m->size = size;
    m->flags |= MSG_SIZED;
    m->resized = (int8_t)(size < was ? -1 : size > was);
    if (size == was)
        return;
    if (announced)
        note_wrong(a, f, m, was);
    if (size < was)
        return;
    tell_size(a, b->number);
    if (msg_number(f->gen, m->uid) != b->number) /* moved meanwhile */
        tell_size(a, msg_number(f->gen, m->uid));
    if (b->asked)
        tell_size(a, b->asked);
}

/* A window that comes short does not prove the end by itself, since some servers cap windows: one
 * does that ends where the end was announced, or is shorter than others were that this server
 * sent. */
void body_learn(struct account *a, struct body *b, uint64_t off, size_t got, size_t len, bool whole)
{
    struct folder *f;
    struct msg *m = msg_by_number(a, (uint32_t)(b->number >> 32), (uint32_t)b->number, &f);
    if (!m)
        return;
    if (off == 0 && got == len && !whole)
        b->first = len;
    if (b->first && msg_size(m) > b->first && (whole ? got > b->first : m->size > b->first))
        a->bodies.windows = true;
    if (m->flags & MSG_SIZED)
        return;
    if (whole) {
        settle(a, b, f, m, got);
        return;
    }
    bool last = got && got < len && (off + got == m->size || got < a->bodies.longest_window);
    if (got > a->bodies.longest_window)
        a->bodies.longest_window = got;
    extent_learn(&b->extent, off, got, len, last);
    if (!extent_known(&b->extent))
        return;
    settle(a, b, f, m, b->extent.seen);
    b->extent = (struct extent){0};
}
