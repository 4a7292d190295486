#include "cache/waiter.h"

#include <stddef.h>

void waiter_add(struct waiter **list, struct waiter *w)
{
    if (!w)
        return;
    w->next = *list;
    *list = w;
}

struct waiter *waiters_take(struct waiter **list)
{
    struct waiter *taken = *list;
    *list = NULL;
    return taken;
}

void waiters_move(struct waiter **to, struct waiter **from)
{
    while (*from) {
        struct waiter *w = *from;
        *from = w->next;
        waiter_add(to, w);
    }
}

void wake_all(struct waiter *list, int err)
{
    while (list) {
        struct waiter *w = list;
        list = w->next; /* before waking: it may wait again, or be gone */
        w->wake(w, err);
    }
}
