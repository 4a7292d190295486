/* A thread with a queue, for calls that may block: whoever has such a call to make leaves it there
 * as an item, and goes on. Items are run one after the other in the order in which they were put,
 * each not before it is due. The queue has no bound of its own: who puts has to have one.
 *
 * What is run here tells the kernel something, and the kernel may keep a thread that does so
 * waiting until a request is answered that it has sent before. Hence:
 * - no lock is held while an item is run;
 * - no answer to a request may wait for a worker that could be waiting for that answer;
 * - requests are answered until the last worker has ended. */
#ifndef FS_WORKER_H
#define FS_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The first member of an item. */
struct work {
    struct work *prev, *next; /* the worker's own */
    int64_t due;              /* clock_ms(): not before, and nothing behind it before; 0: at once */
};

struct worker;

/* `run` is called on the thread, `drop` by worker_stop() for what was not run: each with no lock
 * held, and either owns the item from then on. */
struct worker *worker_new(void (*run)(void *ctx, struct work *work),
                          void (*drop)(void *ctx, struct work *work), void *ctx);

/* 0 or -errno. Nothing is taken before. */
int worker_start(struct worker *w);

/* Takes the item over and never waits. False when the worker does not run: the item stays the
 * caller's. */
bool worker_put(struct worker *w, struct work *work);

/* Is an item waiting or being run? */
bool worker_has_work(struct worker *w);

/* As worker_put(), but only if worker_has_work(): false when all is done. */
bool worker_put_behind(struct worker *w, struct work *work);

/* Takes no more; the thread ends after the item it is at. Returns at once. */
void worker_close(struct worker *w);

/* worker_close(), waits for the thread, and drops what is queued. Also of one that never ran. */
void worker_stop(struct worker *w);

/* After worker_stop(), or when it never ran; NULL is allowed. */
void worker_free(struct worker *w);

/* How many items were run, and how many wait. */
struct worker_counts {
    unsigned long long run;
    size_t waiting;
};
struct worker_counts worker_counts(struct worker *w);

#endif
