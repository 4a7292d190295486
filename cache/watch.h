/* Which folders are to be looked at when nobody asks, and the thread that does it. */
#ifndef CACHE_WATCH_H
#define CACHE_WATCH_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "imap/base/str.h"

struct account;
struct folder;
struct mailbox_state;

/* A folder's place among what the thread looks at. Times are clock_ms(), but for the last two,
 * which stand still while the machine sleeps. */
struct watch_entry {
    unsigned hints; /* CHANGE_... bits: what the server hinted at since the last look */
    bool thorough;  /* the next look finds out, too, whether another mailbox has its name */
    bool due;       /* it is in watch.due */
    bool twice;     /* it is put there once more after its look */
    struct folder *next_due;
    int64_t not_before;     /* it is not looked at by itself before */
    int64_t used_at;        /* when someone last asked what is in it */
    int64_t promised_until; /* till then the layer above believes that it hears of what goes */
};

struct watch {
    pthread_t thread;
    pthread_cond_t cond; /* with the account's lock */
    bool started, stop;
    struct folder *due; /* folders to be looked at, by watch_entry.next_due */
    bool tree_due, tree_twice;
    int64_t tree_not_before, poll_at;
    int64_t promises_full_until; /* before, no more folders can be promised for */
    int64_t followed_at;         /* when someone last looked for what was told upward; 0: never */
    int64_t follow_from; /* what was used since then stays in use while someone looks for that */
    uint64_t n_wakeups;
};

void watch_init(struct account *a);
int watch_start(struct account *a); /* 0 or -errno */
void watch_stop(struct account *a);
void watch_free(struct account *a);

/* Someone asks what is in the folder. */
void watch_used(struct folder *f);

/* All messages of the folder were told to be gone: no more was promised (account_promise()). */
void watch_unpromise(struct account *a, struct folder *f);

/* A load of the folder has broken off: what was promised of its messages is taken back. */
void watch_withdraw(struct account *a, struct folder *f);

/* Has a folder with hints looked at soon. */
void watch_folder(struct account *a, struct folder *f);

/* A sync of the folder is over: if the folder is to be looked at once more, that may begin. */
void watch_synced(struct account *a, const struct folder *f);

/* Has the folder looked at soon, and also whether another mailbox has its name by now: a connection
 * that has the one before selected may see nothing of that. */
void watch_poll(struct account *a, struct folder *f);
void watch_forget(struct account *a, struct folder *f);

/* Has LIST asked soon. */
void watch_tree(struct account *a);

void watch_on_folders(void *account);
void watch_on_status(void *account, struct str mailbox, const struct mailbox_state *now);
void watch_on_deaf(void *account);

#endif
