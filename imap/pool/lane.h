/* One connection of an account, and what the others need to know of it. Internal to imap/.
 *
 * Under the pool's lock, but for `conn`, which is its own thread's (conn/conn.h says what of it
 * others may touch), and `thread`, which is that of whoever opens and closes the pool. */
#ifndef IMAP_POOL_LANE_H
#define IMAP_POOL_LANE_H

#include <pthread.h>

#include "imap/conn/conn.h"

/* Whether it is connected. The session, which its own thread knows better, is OPEN while it is UP.
 */
enum lane_state { LANE_DOWN, LANE_CONNECTING, LANE_UP };

/* The mailbox that it has selected, as its thread publishes it. */
struct lane_box {
    char *name;          /* wire name; NULL: none */
    char *opening;       /* the mailbox being selected; NULL: none */
    uint32_t validity;   /* UIDVALIDITY of `name` */
    bool write;          /* SELECT, not EXAMINE */
    int64_t selected_at; /* clock_ms() */
    int64_t own_at;      /* when another one last sent a change of it, while it was watched; or 0 */
};

/* The operations that it has taken and that are not finished. */
struct lane_work {
    unsigned load;            /* all of them */
    unsigned searches;        /* of these, such as may send SEARCH */
    unsigned ahead;           /* of these, read-ahead */
    unsigned changes;         /* of these, such as are not to be broken off */
    const struct op *barrier; /* of these, the one behind which nothing is begun; NULL: none */
    bool emptying;            /* nothing more is begun until they are finished */
    int64_t taken_at;         /* clock_ms(): when it last took an operation */
};

/* When it was connected, and when it is to be. */
struct lane_line {
    bool wanted;       /* asked to connect, though others could do what there is to do */
    bool warm;         /* asked to connect before there is anything to do */
    bool notify_lost;  /* it carried NOTIFY, and is to connect until it does so again */
    int64_t tried_at;  /* when it was last told to connect */
    int64_t up_since;  /* clock_ms() */
    bool before_brief; /* it was up when another one was lost soon after its login */
    int64_t retry_at;  /* no new attempt before */
    int64_t backoff;   /* ms, without jitter; 0: no reason to wait */
};

/* How it is told of changes. */
struct lane_watch {
    bool on;       /* of those in its mailbox as they happen (IDLE) */
    bool notified; /* of those in all mailboxes, by and by (NOTIFY) */
    bool heard;    /* either was so at any time since it was connected */
    bool asking;   /* it waits until its server accepts IDLE */
};

/* What others ask of its thread, which does it with its next turn. */
struct lane_asked {
    bool unselect; /* to let go of its mailbox */
    bool reselect; /* its mailbox was found under another UIDVALIDITY */
    bool watch;    /* another one that was told of changes in the same mailbox has left it */
};

/* What is told of its session. */
struct lane_facts {
    char cipher[80];
    char caps[1024]; /* caps.text */
    /* Of lane 0: session.personal and session.only_personal of its first session. */
    char personal[256];
    bool only_personal;
};

struct lane {
    struct conn conn;
    pthread_t thread;
    enum lane_state state; /* by lane_become_locked() only */
    struct lane_box box;
    struct lane_work work;
    struct lane_line line;
    struct lane_watch watch;
    struct lane_asked asked;
    struct lane_facts facts;
};

#endif
