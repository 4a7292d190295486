/* TLS over a socket that does not block: what stream.h is made of. The one file that knows OpenSSL.
 * One thread uses a struct tls at a time. Internal to imap/. */
#ifndef IMAP_CONN_TLS_H
#define IMAP_CONN_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "imap/base/buf.h"
#include "imap/conn/stream.h"

struct tls;

/* As stream_start_tls(), over the socket `fd`. *out is set where the handshake was begun, also when
 * it failed; it goes with tls_close(). */
int tls_start(struct tls **out, int fd, int stop, const struct tls_config *c, const char *host,
              int64_t deadline, struct buf *why);

/* As stream_read() and stream_write(). */
ssize_t tls_read(struct tls *t, void *data, size_t len);
ssize_t tls_write(struct tls *t, const void *data, size_t len);

/* Can something be read that poll(2) does not know of? */
bool tls_pending(const struct tls *t);

/* The poll(2) events that make the next read (or, with `writing`, also a write) worth trying: TLS
 * may have to write before it can read, and the reverse. */
short tls_events(const struct tls *t, bool writing);

/* Writes "TLSv1.3 TLS_AES_256_GCM_SHA384". */
void tls_cipher(const struct tls *t, char *out, size_t size);

/* Says close_notify and frees; NULL is allowed. The socket stays open. */
void tls_close(struct tls *t);

#endif
