/* One SASL exchange as base64 in and out (RFC 4422), carried out by libgsasl. */
#ifndef IMAP_SASL_H
#define IMAP_SASL_H

#include "imap/buf.h"

struct sasl;

/* Begins `mech` (e.g. "PLAIN", "SCRAM-SHA-256") for this user. The strings are copied. Returns
 * NULL, with a sentence in `why`, when libgsasl does not know the mechanism. */
struct sasl *sasl_start(const char *mech, const char *user, const char *password, const char *host,
                        struct buf *why);

/* Answers the server's challenge: base64 text, "" for the first message. `out` (a secret: wipe it)
 * gets the response in base64, perhaps empty. 1: this side is content, and the server has proved
 * itself where the mechanism lets it; 0: more is to come; -EPROTO when the challenge makes no sense
 * or the server fails to prove itself. */
int sasl_step(struct sasl *s, const char *challenge, struct buf *out);

/* Does the client speak first in this exchange? Then SASL-IR may carry the first message. */
int sasl_client_first(const char *mech);

void sasl_free(struct sasl *s);

#endif
