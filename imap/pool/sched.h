/* Who takes what: the decision, over plain structs. It knows no threads, locks or clocks;
 * dispatch.c takes the picture of the lanes that it is made from. Internal to imap/. */
#ifndef IMAP_POOL_SCHED_H
#define IMAP_POOL_SCHED_H

#include <stdbool.h>
#include <stdint.h>

enum { SCHED_LANES = 32 };

/* One lane at the moment of the decision. */
struct sched_lane {
    enum sched_is { SCHED_DOWN, SCHED_COMING, SCHED_UP } is;
    bool usable;   /* of one that is down: it may connect now */
    bool expected; /* it is up or about to be, with nothing gone wrong that it would wait for */
    bool stalled;  /* its server has been silent for a while though something is awaited */
    bool asking;   /* it waits until its server accepts IDLE, which may be long */
    bool barrier;  /* nothing is begun behind what it has under way */
    bool emptying; /* it begins nothing before what it has under way is finished */
    bool box;      /* it has a mailbox selected */
    bool in_use;   /* that was needed just now */
    unsigned load, searches, ahead; /* operations under way: all, such as search, read-ahead */
    int64_t taken_at;               /* when it last took one */
};

/* All lanes. Lane 0 carries no message bodies as long as there is another that can, so that a
 * listing never waits behind an attachment. */
struct sched_view {
    unsigned n;
    bool stopping; /* no more lanes are connected */
    bool restless; /* someone goes back and forth between mailboxes */
    struct sched_lane lanes[SCHED_LANES];
};

/* What an operation needs. */
struct sched_need {
    bool select;     /* a mailbox */
    bool body;       /* it moves message bytes, */
    bool small;      /* so few that lane 0 may carry them rather than have them wait */
    bool searches;   /* it may send SEARCH: one at a time on a lane */
    bool alone;      /* nothing else is under way on its lane */
    bool background; /* it is read-ahead */
    bool patient;    /* nobody waits for it */
    bool waited;     /* so long that it is unfair to let others pass */
    bool only;       /* nothing else is in the queue */
    uint32_t has;    /* a bit for each lane that has its mailbox selected, in the way it needs */
    uint32_t opens;  /* a bit for each lane that is selecting its mailbox */
};

/* What a lane does about an operation. */
enum sched_verdict {
    SCHED_LEAVE,
    SCHED_TAKE,    /* it takes it now */
    SCHED_EMPTY,   /* it begins nothing before what is under way is finished, to take it then */
    SCHED_CONNECT, /* no lane that is up will take it soon: one that is down connects if it may */
};
enum sched_verdict sched_decide(const struct sched_view *v, const struct sched_need *need,
                                unsigned self);

/* Whom an operation in the queue is told of: */
struct sched_call {
    int lane;     /* this one; -1: none */
    bool connect; /* which is to connect for it */
    bool warm;    /* one that may carry bodies is to be made ready for the next */
    bool first;   /* lane 0 as well: it connects, or says that nobody can */
};

/* `anyone`: if no lane would start it at once, one that has other work under way and perhaps room
 * is told; else it waits until that one has an answer. */
struct sched_call sched_call(const struct sched_view *v, const struct sched_need *need,
                             bool anyone);

/* Is there another lane than `self` for it (NULL: for anything) that is not stalled, or can one be
 * had? */
bool sched_others(const struct sched_view *v, const struct sched_need *need, unsigned self);

#endif
