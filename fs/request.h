/* One system call in progress: what it is about, and how it goes on when an answer comes.
 *
 * A request is a step function that tries to answer from what is known. Where that does not suffice
 * it leaves its waiter with the account and returns; woken, it runs again.
 *
 * A signal that ends the caller, or that a person sent (caller.h), answers EINTR at once; the step
 * then still ends, without an audience. Of a caller's signals the kernel tells us the first,
 * whatever it is, and no other one. So from then on a thread looks at the caller now and then,
 * until the answer is there. One that it cannot look at may still have two seconds for the answer,
 * since an answer is what most callers can use, and nobody who was killed may be held for long. */
#ifndef FS_REQUEST_H
#define FS_REQUEST_H

#include <uthash.h>

#include "fs/fs.h"
#include "imap/base/buf.h"

struct request {
    struct waiter w;             /* first, so that a waiter is its request */
    fuse_req_t req;              /* NULL once answered; under requests.lock, as the next line */
    struct interrupt *interrupt; /* of a caller that got a signal, while he is looked after */
    struct fs *fs;
    pid_t tid; /* the thread that made the call; 0: not known here */
    void (*step)(struct request *r);
    int err;       /* what the waiter was woken with */
    bool woken;    /* was woken at least once */
    int phase;     /* the step's own */
    int64_t began; /* clock_ms() */

    /* The arguments, as far as the call has them; names are owned. */
    fuse_ino_t ino;
    char *name;
    struct {
        fuse_ino_t ino;
        char *name;
        fuse_ino_t meant; /* what the name stood for before; 0: nothing */
        bool taken;       /* the name goes on to stand for that */
        bool again;       /* the second attempt (wish.h) */
    } to;                 /* of a rename */
    size_t size;
    off_t off;
    struct fuse_file_info fi;
    bool plus;
    struct buf out;
    struct slices slices;
    struct msg_info msg; /* a message that was found on the way */
    uint32_t id;         /* a folder that was */
    unsigned which;      /* the step's own */
    struct read *read;   /* a READ in progress (reading.h) */
    uint64_t end;        /* where its message ends, if sooner than announced; else UINT64_MAX */

    UT_hash_handle hh;
};

struct requests *requests_new(void);
void requests_free(struct requests *r);

/* Starts the thread that looks after callers who got a signal; 0 or -errno. */
int requests_start(struct requests *r);

/* From now on every new call is answered ENOTCONN. */
void requests_close(struct requests *r);

/* Ends the thread: from now on a signal ends no call. Also where it was never started. */
void requests_stop(struct requests *r);

/* Appends lines for the status. `reader` asks for that and is not counted; NULL: nobody who could
 * be. */
void requests_status(struct requests *r, const struct request *reader, struct buf *out);

/* Makes a request of the call `req`; once its arguments are filled in, request_run() takes the
 * first step, after which the request may have ended. */
struct request *request_new(fuse_req_t req, void (*step)(struct request *));
void request_run(struct request *r);

/* Each of these answers and ends the request. */
void request_err(struct request *r, int err); /* 0 or -errno */
void request_entry(struct request *r, const struct fuse_entry_param *e);
void request_open(struct request *r);
void request_bytes(struct request *r, const void *data, size_t len);
void request_xattr_size(struct request *r, size_t size);
void request_statfs(struct request *r, const struct statvfs *st);

/* With r->slices; false when it was answered before, by an interrupt. */
bool request_slices(struct request *r);

#endif
