/* The account as the files of cache/ see it. Everything in here is guarded by account.lock, except
 * where it says otherwise. Locks are taken in the order account, then pool. */
#ifndef CACHE_INTERNAL_H
#define CACHE_INTERNAL_H

#include <pthread.h>
#include <time.h>
#include <uthash.h>

#include "cache/account.h"
#include "cache/msgtable.h"
#include "cache/walk.h"
#include "imap/conn/op.h"
#include "imap/wire/flags.h"

/* What a sync still has to do; see sync.c. */
enum sync_todo {
    SYNC_NEW = 1,    /* fetch metadata from sync_from up */
    SYNC_FLAGS = 2,  /* fetch flags */
    SYNC_UIDS = 4,   /* ask which UIDs there are */
    SYNC_HOLES = 8,  /* fetch metadata of UIDs that came without */
    SYNC_PROBE = 16, /* fetch metadata of one UID in a folder that is not loaded */
    SYNC_ROWS = 32,  /* ask in another way which UIDs there are */
    SYNC_DOUBT = 64, /* fetch at least the flags of UIDs of which nothing more is to be had */
};

/* UIDs that came without metadata, as the running sync deals with them; see holes.c. */
struct holes {
    struct uidset todo;  /* not asked for yet */
    struct uidset asked; /* being asked for */
    struct uidset doubt; /* not described: listed by their UIDs */
    uint64_t portion;    /* so many are asked for at once; 0: all */
    unsigned refusals;
    unsigned in_vain; /* of them, since something was described */
    uint32_t upto;    /* the highest of them */
    bool hopeless;    /* those were too many: nothing more is asked */
    bool all;         /* those listed by their UIDs already are asked for, too */
    bool more;        /* there may be more than those */
};

struct folder {
    uint32_t id;
    uint32_t gen; /* of its messages under the current UIDVALIDITY */
    struct folder *parent, *children, *prev, *next;
    char *name; /* the file name */
    char *key;  /* "parent id/name", for by_name */
    char *wire; /* the mailbox name, verbatim */
    char delim; /* 0: NIL */
    bool noselect;
    bool noinferiors;
    bool named;   /* in the LIST being applied */
    bool seen;    /* it, or something below it, is named */
    bool missing; /* it was not named in the LIST before */
    char special_use[32];

    struct msgtable msgs;
    struct keywords keywords;
    uint32_t uidvalidity;      /* 0: not known yet */
    uint32_t uidnext;          /* UIDs from here on are new */
    uint32_t uidnext_said;     /* UIDNEXT as the server said when the load began; 0: nothing */
    bool uidnext_odd;          /* what the server said was not true */
    uint64_t modseq;           /* flag changes up to here are known; 0: no CONDSTORE */
    uint64_t modseq_next;      /* `modseq` once the running sync succeeds */
    struct uidset own_deleted; /* flagged \Deleted by this mount, not expunged */
    uint64_t quota_used, quota_limit;

    uint64_t version; /* counts what appears in the folder and what vanishes, folders too */
    uint64_t shown;   /* `version` as of the last account_unchanged() */
    uint64_t told;    /* `version` as of the last folder_tell() */
    time_t changed;   /* when folder_tell() last told something */
    bool left_out;    /* a listing has left out what the running sync may yet name */
    bool met;         /* what is in it was known once: only from then on what is new is a change */
    bool loaded;      /* all messages were listed once */
    uint32_t load_upto; /* until it is loaded: up to here no UID is missing from the load */
    uint32_t load_seq;  /* the sequence number of that UID; 0: none yet */
    bool load_gap;      /* a number was left out, so nothing more is certain before the end */
    bool late;          /* there may be messages that are MSG_LATE */
    uint32_t none_from; /* no message had a UID from here on when this mount last moved one here */
    int64_t none_at;    /* when that move was asked for; 0: never */
    uint32_t probe;     /* the UID that the running probe is about */
    bool probe_seen;    /* a row of that message came */
    struct {
        uint32_t uid;
        int64_t at; /* when the probe began */
    } probed[8];    /* the last ones that succeeded */
    unsigned nprobed;
    bool syncing;
    bool loading; /* it is the first one of all messages */
    bool probing; /* it is about one message */
    bool patient; /* nobody has asked for it, so its look waits for a connection */
    struct op
        *look;   /* the pool's, until it is done; NULL: it has not begun with one, or is past it */
    bool polled; /* the next look finds out, too, whether another mailbox has its name */
    unsigned dirty;    /* CHANGE_... bits the server hinted at since the last look */
    unsigned todo;     /* SYNC_... bits of the running sync */
    unsigned restarts; /* how often it was begun anew, as the folder turned out to be another one */
    uint32_t sync_from;
    uint32_t met_upto;   /* the last UID of its rows of new messages */
    bool asking;         /* it asks which UIDs there are */
    uint32_t asked_upto; /* the last UID known when it began to ask that */
    struct uidset went;  /* UIDs that are known to be gone since then */
    unsigned sync_dirty; /* what `dirty` was; given back when the sync fails */
    uint32_t exists;     /* messages there according to the running sync */
    struct holes holes;
    bool counting;         /* which UIDs there are is told by rows */
    struct uidset counted; /* the UIDs of those rows */
    bool undescribed;      /* there are messages that are listed by their UIDs */
    int64_t describe_at;   /* undescribed messages are not asked for before */
    int64_t synced_at;     /* when the last successful look began; 0: never */
    int64_t told_at;       /* then all was known that the server tells as it happens; 0: never */
    int64_t sync_began;
    unsigned arrivals; /* moves into this folder under way */
    bool removing;     /* it is being deleted */
    struct waiter *sync_waiters;
    struct waiter *row_waiters; /* of a listing that overtook the load */
    bool due;                   /* in account.due */
    bool due_twice;             /* it is put there once more after its look */
    struct folder *next_due;
    int64_t due_next; /* not looked at by itself before */
    int64_t used_at;  /* when someone last asked what is in it; see watch.c */
    int64_t promised; /* until then the layer above believes that it hears of what goes */
    bool hungry;      /* in account.hungry */
    struct folder *next_hungry;

    UT_hash_handle by_id, by_gen, by_wire, by_name;
};

/* Questions for header fields, message after message in one folder; see header.c. */
struct header_walk {
    uint32_t gen;   /* of the folder; 0: none */
    uint32_t last;  /* the message asked about last */
    unsigned asked; /* messages so far */
    int64_t at;     /* when that was */
};

struct batch;
struct pending;
struct body;
struct alias;
struct moved;

struct account {
    const struct account_config *config;
    struct account_hooks hooks;
    struct pool *pool;
    pthread_mutex_t lock;

    struct folder *root; /* the account's top, which is no mailbox */
    struct folder *top;  /* what the mount shows as its root; NULL once that is gone */
    struct folder *by_id, *by_gen, *by_wire, *by_name; /* uthash heads */
    size_t nfolders;
    uint32_t next_id;
    struct folder *hungry; /* folders with row_waiters */

    bool listing;
    unsigned renames;      /* RENAMEs under way */
    bool list_due;         /* a LIST waits for their end */
    uint64_t tree_changes; /* counts our own changes, so that a LIST from before them is not used */
    int64_t tree_at;       /* when the last LIST that was used began; 0: never */
    struct waiter *tree_waiters;
    struct waiter *orphans; /* waited for a folder that is gone */
    struct op *doubted;     /* steps of a sync that were refused, until LIST has told; by `next` */

    /* See watch.c. */
    pthread_t watcher;
    pthread_cond_t watch_cond;
    bool watched, watch_stop;
    struct folder *due; /* folders to be looked at */
    bool tree_due, tree_twice;
    int64_t tree_next, poll_next;
    int64_t promise_next; /* before, no more folders can be promised for */
    int64_t followed_at;  /* when someone last looked for what was told upward; 0: never */
    int64_t follow_from;  /* what was used since then stays in use while someone looks for that */
    uint64_t n_watch_wakeups;

    struct body *bodies; /* see body.c */
    size_t body_bytes, body_inflight;
    enum { PIECES_UNKNOWN, PIECES_YES, PIECES_NO } pieces; /* do large windows come in pieces? */
    bool windows;           /* the server was seen to send the window that was asked for */
    size_t longest_window;  /* bytes of the longest answer to one */
    uint64_t n_wrong_sizes; /* messages that were not as long as was announced */
    bool streaming;         /* a message is being streamed */
    uint64_t stream_ahead;  /* bytes of that message that lie ahead of its reader */
    struct walks walks;     /* see walk.h */
    struct batch *batches;  /* see prefetch.c */
    size_t ahead_inflight;  /* bytes asked for ahead, until they are here and stored */
    struct header *headers; /* see header.c */
    size_t header_bytes;
    struct header_walk header_walk;
    struct pending *pending; /* messages being moved or deleted; see change.c */
    struct alias *aliases;   /* see moved.c */
    struct moved *moved;

    uint64_t n_loaded, n_reads, n_read_hits, n_fetches; /* counters for the status */
    uint64_t n_ahead_bytes;
};

/* ---- account.c ---- */

void account_lock(struct account *a);
void account_unlock(struct account *a);

/* Puts `w` (NULL allowed) on a list; wake_all() wakes a list that was taken off, lock not held. */
void waiter_add(struct waiter **list, struct waiter *w);
struct waiter *waiters_take(struct waiter **list);
void waiters_move(struct waiter **to, struct waiter **from);
void wake_all(struct waiter *list, int err);

/* An operation for this account: `done` finds the account in op->ctx. */
struct op *account_op(struct account *a, enum op_kind kind, const char *mailbox,
                      uint32_t uidvalidity, void (*done)(struct op *));

/* ---- tree.c ---- */

/* The id by which the folder is known outside; the other way, NULL when there is none. */
uint32_t folder_id(const struct account *a, const struct folder *f);
struct folder *folder_by_id(struct account *a, uint32_t id);
struct folder *folder_by_gen(struct account *a, uint32_t gen);
struct folder *folder_by_wire(struct account *a, const char *wire);

int tree_init(struct account *a);
void tree_free(struct account *a);

/* Begins a LIST unless one newer than `since` was used. */
void tree_refresh(struct account *a, int64_t since);

/* Sees to it that a LIST is asked for after now; with its answer every account.doubted is handed to
 * sync_refused(). */
void tree_doubt(struct account *a);

/* Around a RENAME of this mount's. */
void tree_rename_begin(struct account *a);
void tree_rename_end(struct account *a);

/* It is only a level above others, or a mailbox: what it was changes when others delete or create
 * it. */
void tree_noselect(struct account *a, struct folder *f, bool noselect);

/* Inserts a folder that was just created as `wire` below `parent`. */
struct folder *tree_insert(struct account *a, struct folder *parent, const char *wire, char delim);
void tree_remove(struct account *a, struct folder *f);

/* The folder was renamed on the server: it and all below it get their new wire names. */
void tree_rename(struct account *a, struct folder *f, struct folder *parent, const char *wire);

/* The wire name that a child `name` of `parent` would have; -EINVAL and others. */
int tree_child_wire(struct account *a, const struct folder *parent, const char *name,
                    struct buf *wire);

/* Looks up a path of file names from the top of the account ("Archive/2025"). */
struct folder *tree_path(struct account *a, const char *path);

/* A new generation: the folder's messages are numbered anew, the old numbers are stale. */
void folder_renumber(struct account *a, struct folder *f);

/* ---- messages.c ---- */

/* Generation and UID in one number: the key to what is kept of a message. */
static inline uint64_t msg_number(uint32_t gen, uint32_t uid)
{
    return (uint64_t)gen << 32 | uid;
}

void msg_describe(const struct account *a, const struct folder *f, const struct msg *m,
                  struct msg_info *out);

/* As msgtable_add(); what is new changes the folder's version. A message that comes behind its time
 * to a folder that is being loaded, so that who lists it may have passed its place already, is
 * MSG_LATE. */
struct msg *folder_add(struct folder *f, uint32_t uid);

/* As msgtable_revive(), likewise. */
void folder_revive(struct folder *f, struct msg *m);

/* The message that follows in a listing: those that came in time in the order of their UIDs, and
 * then, once the folder is loaded, those that are late. So a listing that overtakes the load has
 * all, and each once, in whatever order they come. */
struct msg *folder_next(const struct folder *f, uint64_t place);
uint64_t msg_place(const struct msg *m);

/* May it be seen: there, and not flagged \Deleted? */
bool msg_visible(const struct msg *m);

/* What is known is not to be believed before the next look. */
void folder_doubt(struct folder *f);

/* Says upward that the folder has changed, if it has. */
void folder_tell(struct account *a, struct folder *f);

/* The same after all of it has become known: the first time that is no change. */
void folder_meet(struct account *a, struct folder *f);

/* Says upward what became of a message. */
void folder_event(struct account *a, const struct folder *f, const struct msg *m,
                  enum account_event what);

/* Takes a message out of the folder and says so upward. */
void msg_drop(struct account *a, struct folder *f, struct msg *m);

/* Forgets all messages and begins a new generation; the folder must be loaded anew. A sync that is
 * under way, unless it is the caller's own, is ended with folder_reset(). */
void folder_forget(struct account *a, struct folder *f);
void folder_reset(struct account *a, struct folder *f);

void messages_on_row(void *account, const char *mailbox, uint32_t uidvalidity,
                     const struct fetch_row *row);
void messages_on_change(void *account, const char *mailbox, uint32_t uidvalidity, unsigned what);
void messages_on_vanished(void *account, const char *mailbox, uint32_t uidvalidity,
                          const struct uidset *uids);

/* ---- sync.c ---- */

/* The server had nothing to say of this message: finds out whether it is gone, and wakes the
 * waiters then. */
void folder_recheck(struct account *a, struct folder *f, uint32_t uid, struct waiter *waiters);

/* The generation that the running sync is about, if there is one, has ended, and so does the sync:
 * what is still to come of it counts for nothing, and who waits for it waits for another. */
void sync_outdated(struct account *a, struct folder *f);

/* Ends a sync whose step was refused, now that LIST has told whether the mailbox is there. Takes
 * the account's lock. */
void sync_refused(struct account *a, struct op *op);

void sync_on_batch(void *account);

/* A connection has found the mailbox of `op`, which ended with -ESTALE, under another UIDVALIDITY:
 * what is known of it is not shown any more before it was looked at. */
void folder_contradicted(struct account *a, const struct op *op);

/* Looks at what is new in the folder, without anyone waiting for it. */
void sync_due(struct account *a, struct folder *f);

/* ---- holes.c: UIDs that came without metadata ---- */

/* What a folder is found to hold: notes what is not described, and has the sync ask for it. */
void holes_find(struct folder *f, const struct uidset *found);

/* Is it time to ask again for what was not described? Then holes_find() will. */
bool holes_due(struct folder *f);

/* The next UIDs to ask for, as a command takes them: to free. When that was answered, what came is
 * in the table. `refused`: not all of it may have come. */
char *holes_ask(struct folder *f);
void holes_answered(struct folder *f, bool refused);

/* Those that are listed by their UIDs alone since it was last asked, likewise. */
char *holes_doubt(struct folder *f);

/* The sync is over. */
void holes_end(struct folder *f);

/* ---- watch.c: changes that others make ---- */

int watch_start(struct account *a);
void watch_stop(struct account *a);

/* Someone asks what is in the folder. */
void watch_used(struct folder *f);

/* It was told of all messages of the folder that they are gone: nothing else was promised. */
void watch_unpromise(struct account *a, struct folder *f);

/* Has a folder that is dirty looked at soon. */
void watch_folder(struct account *a, struct folder *f);

/* Has the folder looked at soon, and also whether another mailbox has its name by now: a connection
 * that has the one before selected may see nothing of that. */
void watch_poll(struct account *a, struct folder *f);
void watch_forget(struct account *a, struct folder *f);

void watch_on_folders(void *account);
void watch_on_status(void *account, struct str mailbox, const struct mailbox_state *now);
void watch_on_deaf(void *account);

/* ---- change.c ---- */

/* Is the message, which has vanished, being moved or deleted by this mount? */
bool change_vanished(struct account *a, uint32_t gen, uint32_t uid);

/* Is there a folder for deleted mail, if one is asked for? */
bool account_has_trash(struct account *a);

/* ---- body.c ---- */

enum { BODY_FIRST_WINDOW = 64 * 1024 };

void body_forget(struct account *a, uint32_t gen, uint32_t uid);

/* Gives back the memory of a body that nobody is waiting for. */
void body_release(struct account *a, uint32_t gen, uint32_t uid);

/* Are first bytes of it here or, each alone, under way? */
bool body_known(struct account *a, uint32_t gen, uint32_t uid);

/* A set of messages came without this one: it is asked for alone from now on. */
void body_apart(struct account *a, uint32_t gen, uint32_t uid);

/* The first bytes of it that are here, as long as the lock is held. */
struct str body_begin(struct account *a, uint32_t gen, uint32_t uid);

/* Keeps the first bytes of a message, of which `len` were asked for; shares `bytes`. Learns from
 * them how long the message is. */
void body_take(struct account *a, const struct folder *f, uint32_t uid, struct blob *bytes,
               size_t len);
void bodies_free(struct account *a);

/* ---- prefetch.c: bodies asked for before they are read ---- */

/* Someone reads `len` bytes at `off` of the message. Returns where that shows a walk to go on:
 * prefetch_more() then asks for what lies there. */
struct walk_lead prefetch_read(struct account *a, const struct folder *f, struct msg *m,
                               uint64_t off, size_t len);
void prefetch_more(struct account *a, const struct folder *f, const struct walk_lead *lead);

/* If byte `off` of the message is about to come in a batch, has `w` woken then: true. */
bool prefetch_await(struct account *a, const struct folder *f, const struct msg *m, uint64_t off,
                    struct waiter *w);

/* If others are being waited for, asks for the whole of a small message together with those of them
 * that no connection has begun with yet, and has `w` woken when it is here, or is to be asked for
 * alone: true. */
bool prefetch_join(struct account *a, const struct folder *f, const struct msg *m,
                   struct waiter *w);

/* ---- header.c: header fields of messages ---- */

void header_forget(struct account *a, uint32_t gen, uint32_t uid);
void headers_free(struct account *a);

/* The message's first bytes, which are here, are about to be given up: keeps its fields if such
 * have been asked for lately. */
void header_keep(struct account *a, const struct folder *f, const struct msg *m);

/* ---- moved.c: where messages went that this mount moved ---- */

/* The message was moved to `dest`, as the answer to `op` says (COPYUID), where it is to be found by
 * `name` (NULL: by none that was given). */
void moved_note(struct account *a, uint32_t gen, uint32_t uid, const struct folder *dest,
                const struct op *op, const char *name);
bool moved_follow(struct account *a, uint32_t *gen, uint32_t *uid);
uint32_t moved_alias(struct account *a, const struct folder *f, const char *name);
void moved_free(struct account *a);

/* The message by number, moves followed; NULL when it is gone. */
struct msg *msg_by_number(struct account *a, uint32_t gen, uint32_t uid, struct folder **f);

#endif
