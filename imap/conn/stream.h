/* A byte stream to a server: TCP, TLS over it, or a command's pipe, and compression over any of
 * them.
 *
 * Sockets never block: every wait is a poll with a deadline, and a readable `stop` descriptor ends
 * it early with -ECANCELED. One thread uses a stream at a time. */
#ifndef IMAP_CONN_STREAM_H
#define IMAP_CONN_STREAM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "imap/base/buf.h"

struct stream;
struct tls_config;

/* What certificates are held against; made once, shared read-only by all connections of an account.
 * `cafile`: PEM file of authorities, NULL for the system's. `fingerprint`: SHA-256 of the server's
 * certificate as 64 hex digits (colons allowed), which then replaces the authorities; or NULL. On
 * failure NULL, and `why` says in one sentence why. Free with tls_config_free(). */
struct tls_config *tls_config_new(const char *cafile, const char *fingerprint, struct buf *why);
void tls_config_free(struct tls_config *c);

/* Connects to the first address of `host` that answers before `deadline` (clock_ms()). On failure
 * -errno, and `why` gets one sentence. */
int stream_connect(struct stream **out, const char *host, const char *port, int stop,
                   int64_t deadline, struct buf *why);

/* Runs `command` with sh(1) and speaks with its standard input and output. */
int stream_tunnel(struct stream **out, const char *command, int stop, struct buf *why);

/* Negotiates TLS 1.2 or newer and verifies the certificate against `host` (a name, or an address
 * when it is one). Bytes that arrived before belong to nobody: the caller checks that it holds
 * none. On failure -errno, and `why` says which of the checks failed. */
int stream_start_tls(struct stream *s, const struct tls_config *c, const char *host,
                     int64_t deadline, struct buf *why);

/* From now on adds the bytes that travel (with compression: compressed; without what TLS adds) to
 * these counters, which must live as long as the stream. */
void stream_count(struct stream *s, atomic_ullong *received, atomic_ullong *sent);

/* Is the peer on this machine? What is behind a tunnel's command is taken to be elsewhere. */
bool stream_is_local(const struct stream *s);

/* From now on everything is compressed, both ways (RFC 4978; over TLS, where there is one). `data`:
 * what was read behind the server's OK and is its first compressed bytes. Once in a stream's life;
 * everything written before must have been sent. */
void stream_start_deflate(struct stream *s, const void *data, size_t len);

/* > 0: bytes read or written; -EAGAIN: wait first; 0 (read): the peer closed; -EPROTO (read): what
 * came cannot be decompressed; else -errno. With compression, what was written is compressed as the
 * end of what there is to send for now, and what of it could not leave yet is kept: see
 * stream_flush(). */
ssize_t stream_read(struct stream *s, void *data, size_t len);
ssize_t stream_write(struct stream *s, const void *data, size_t len);

/* Can something be read that poll(2) does not know of? */
bool stream_pending(const struct stream *s);

/* Sends what stream_write() kept. 0: nothing is left; -EAGAIN: wait first; else -errno. */
int stream_flush(struct stream *s);

/* How many of the bytes written the peer's machine has not yet taken over: while that becomes less,
 * sending goes on. 0 where that cannot be told. */
size_t stream_unsent(const struct stream *s);

int stream_fd(const struct stream *s);

/* The poll(2) events that make the next read (or, with `writing`, also a write) worth trying. */
short stream_events(const struct stream *s, bool writing);

/* "TLSv1.3 TLS_AES_256_GCM_SHA384", or "" without TLS; with compression "TLSv1.3
 * TLS_AES_256_GCM_SHA384, deflate" or "no TLS, deflate". Valid as long as the stream. */
const char *stream_cipher(const struct stream *s);

/* Closes and frees; NULL inside is allowed. Sets *s to NULL. */
void stream_close(struct stream **s);

#endif
