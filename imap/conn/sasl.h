/* One SASL exchange as base64 in and out (RFC 4422), carried out by libgsasl. */
#ifndef IMAP_CONN_SASL_H
#define IMAP_CONN_SASL_H

#include <stdint.h>

#include "imap/base/buf.h"

struct sasl;

/* Begins `mech` (e.g. "PLAIN", "SCRAM-SHA-256") for this user, to be over by `deadline`
 * (clock_ms()). The strings are copied. Returns NULL, with a sentence in `why`, when libgsasl does
 * not know the mechanism. */
struct sasl *sasl_start(const char *mech, const char *user, const char *password, const char *host,
                        int64_t deadline, struct buf *why);

/* Answers the server's challenge: base64 text, "" for the first message. `out` (a secret: wipe it)
 * gets the response in base64, perhaps empty. 1: this side is content, and the server has proved
 * itself where the mechanism lets it; 0: more is to come. With a sentence in `why`: -EPROTO when
 * the challenge makes no sense, the server fails to prove itself or wants more hashing than may be
 * asked for (LIMIT_SCRAM_ROUNDS) or can be done by the deadline; -EACCES when it refuses the login.
 * Hashing takes up to seconds of this thread's time. */
int sasl_step(struct sasl *s, const char *challenge, struct buf *out, struct buf *why);

/* Base64 (RFC 4648 section 4): appended to `out`, with a NUL behind it that is not counted. 0, or
 * -EPROTO when `base64` is none. */
int sasl_encode(const char *bytes, size_t len, struct buf *out);
int sasl_decode(const char *base64, struct buf *out);

/* Does the client speak first in this exchange? Then SASL-IR may carry the first message. */
int sasl_client_first(const char *mech);

void sasl_free(struct sasl *s);

#endif
