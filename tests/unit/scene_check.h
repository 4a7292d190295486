/* Is what an operation brought what the scene wants? For scene.h. */
#ifndef TESTS_UNIT_SCENE_CHECK_H
#define TESTS_UNIT_SCENE_CHECK_H

#include "tests/unit/scene_make.h"

static inline void check_bytes(const char *name, const struct want *w, struct result *r)
{
    if (w->pattern) {
        size_t same = 0;
        while (same < r->bytes.len && r->bytes.data[same] == script_pattern((size_t)w->off + same))
            same++;
        if (same != w->pattern || r->bytes.len != same)
            fail_msg("%s: %zu bytes, of which the first %zu are right", name, r->bytes.len, same);
    } else if (w->bytes && strcmp(buf_str(&r->bytes), w->bytes) != 0) {
        fail_msg("%s: bytes %s", name, buf_str(&r->bytes));
    }
    bool any = w->bytes && (*w->bytes || !is_set(w->kind));
    if (w->pieces ? r->calls < 2 : !is_set(w->kind) && r->calls != (any || w->pattern ? 1 : 0))
        fail_msg("%s: %u times bytes", name, r->calls);
    if (!any && !w->pattern && r->calls)
        fail_msg("%s: bytes out of nowhere: %s", name, buf_str(&r->bytes));
}

/* NULL: whatever. */
static inline void check_set(const char *name, const char *what, const struct uidset *set,
                             const char *want)
{
    struct buf text = {0};
    uidset_text(set, &text);
    if (want && strcmp(buf_str(&text), want) != 0)
        fail_msg("%s: %s %s", name, what, buf_str(&text));
    buf_free(&text);
}

static inline void check_gone(const char *name, const struct want *w, const struct uidset *gone,
                              const struct uidset *flagged)
{
    check_set(name, "gone", gone, w->gone);
    check_set(name, "flagged", flagged, w->flagged);
    if (!w->gone && uidset_has(gone, w->uid ? w->uid : 5) != w->expunged)
        fail_msg("%s: expunged %d", name, !w->expunged);
}

static inline void check_copies(const char *name, const struct want *w, const struct uidmap *copies)
{
    struct buf text = {0};
    for (size_t i = 0; i < copies->n; i++)
        buf_addf(&text, "%u=%u ", copies->pairs[i].from, copies->pairs[i].to);
    if (w->copies && strcmp(w->copies, buf_str(&text)) != 0)
        fail_msg("%s: copies %s", name, buf_str(&text));
    buf_free(&text);
    uint32_t new_uid = uidmap_get(copies, w->uid ? w->uid : 5);
    if (!w->copies && new_uid != w->new_uid)
        fail_msg("%s: new UID %u", name, new_uid);
}

static inline void check_answer(const char *name, const struct want *w, const struct op *op)
{
    switch (op->kind) {
    case OP_CHECK:
        if (op_as_check(op)->state.resynced != w->resynced)
            fail_msg("%s: resynced %d", name, !w->resynced);
        return;
    case OP_SEARCH:
        check_set(name, "found", &op_as_search(op)->found, w->found);
        return;
    case OP_BODIES:
        check_set(name, "left is", &op_as_bodies(op)->uids, w->left);
        return;
    case OP_HEADER:
        check_set(name, "left is", &op_as_header(op)->uids, w->left);
        return;
    case OP_MOVE:
        check_gone(name, w, &op_as_move(op)->gone, &op_as_move(op)->flagged);
        check_copies(name, w, &op_as_move(op)->copies);
        return;
    case OP_COPY:
        check_set(name, "copied", &op_as_copy(op)->copied, w->did);
        check_copies(name, w, &op_as_copy(op)->copies);
        return;
    case OP_DELETE:
        check_gone(name, w, &op_as_delete(op)->gone, &op_as_delete(op)->flagged);
        return;
    case OP_STORE:
        check_set(name, "stored", &op_as_store(op)->stored, w->did);
        return;
    case OP_APPEND:
        if (op_as_append(op)->new_uid != w->new_uid)
            fail_msg("%s: new UID %u", name, op_as_append(op)->new_uid);
        return;
    default:
        return;
    }
}

static inline void check(const char *name, const struct want *w, struct result *r)
{
    const struct op *op = r->op;
    if (!op) {
        fail_msg("%s: an operation is not done", name);
        return;
    }
    if (op->err != -w->err)
        fail_msg("%s: error %d instead of %d", name, -op->err, w->err);
    check_answer(name, w, op);
    check_bytes(name, w, r);
    if (w->list && strcmp(w->list, "*") != 0 && strcmp(buf_str(&r->list), w->list) != 0)
        fail_msg("%s: listed %s", name, buf_str(&r->list));
}

#endif
