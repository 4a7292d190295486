/* Where the account is, how it is reached, and how patiently. */
#ifndef IMAP_CONN_CONFIG_H
#define IMAP_CONN_CONFIG_H

#include <stdbool.h>

struct tls_config;

enum tls_mode { TLS_IMPLICIT, TLS_STARTTLS, TLS_NONE };

/* COMPRESS=DEFLATE (RFC 4978) where the server offers it: to other machines, always, never. */
enum compress_mode { COMPRESS_AUTO, COMPRESS_YES, COMPRESS_NO };

/* Borrowed by the pool until pool_free(). */
struct pool_config {
    const char *host; /* also the name that certificates are held against */
    const char *port;
    const char *tunnel; /* a shell command to speak with instead of host:port, or NULL */
    enum tls_mode tls_mode;
    const struct tls_config *tls;
    enum compress_mode compress;
    const char *user;
    const char *password;
    const char *auth; /* a SASL mechanism, "LOGIN" for the command; NULL: the best one offered */
    int timeout;      /* milliseconds without progress before a wait is given up */
    int settle;       /* milliseconds that a session may be at work on a change after its connection
                       * was lost: so long it is not sent again */
    unsigned connections;
    bool read_only; /* never SELECT, only EXAMINE */
};

#endif
