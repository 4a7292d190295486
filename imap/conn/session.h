/* From a socket to a session that is logged in, and what holds in it. Internal to imap/. */
#ifndef IMAP_CONN_SESSION_H
#define IMAP_CONN_SESSION_H

#include <stdbool.h>

#include "imap/base/buf.h"
#include "imap/conn/secrets.h"
#include "imap/wire/outcome.h"
#include "imap/wire/response.h"

struct conn;

/* The answer to a command of session.c. */
struct reply {
    unsigned tag; /* awaited; 0: none */
    bool done;
    bool go_on; /* "+" came */
    enum resp_cond cond;
    enum resp_code code;
    struct buf text; /* human text; of "+", the challenge */
};

/* How far it has got (session.c). */
enum session_state {
    SESSION_CLOSED,
    SESSION_GREETING, /* the server is to greet, perhaps over TLS */
    SESSION_SETUP,    /* it has greeted: TLS, the login, what it can do */
    SESSION_OPEN,     /* it takes operations, and what waits for it may wake it */
    SESSION_LOGOUT,   /* LOGOUT was sent */
    SESSION_BYE,      /* the server ends it */
};

/* What one session with the server knows; only the connection's own thread touches it. */
struct session {
    enum session_state state; /* by session_become() only */
    enum resp_cond greeting;
    struct reply reply;
    struct secrets secrets; /* what this session's login is made of */
    struct buf words;       /* of conn_words() */
    const char *fault;      /* what the server did that ended the session before login; or NULL */
    unsigned enable_tag;    /* of the ENABLE in flight; 0: none */
    unsigned notify_tag;    /* of the NOTIFY in flight; 0: none */
    bool notified;          /* NOTIFY (RFC 5465) is in force */
    bool qresync;           /* QRESYNC (RFC 7162) is */
    bool no_resync;         /* a SELECT that asked what had changed was refused */
    char personal[256];     /* the personal namespace's prefix */
    bool only_personal;     /* there are no other namespaces */
};

void session_become(struct conn *c, enum session_state state);

/* From nothing to logged in. 0, or -errno with a sentence in `why`; c->stream is then closed. */
int session_open(struct conn *c, struct buf *why);

/* Forgets all that the server has said of itself and that is in force with it, and what it sent and
 * nobody has looked at: when a session begins or ends, and when TLS begins in its middle. */
void session_forget(struct conn *c);

#endif
