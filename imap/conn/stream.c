#include "imap/conn/stream.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "imap/base/child.h"
#include "imap/base/clock.h"
#include "imap/base/mem.h"
#include "imap/conn/deflate.h"

enum {
    WIRE_CHUNK = 32 * 1024,  /* compressed bytes read at once; a TLS record is half as large */
    PLAIN_CHUNK = 64 * 1024, /* bytes compressed before some of them are sent */
};

struct tls_config {
    SSL_CTX *ctx;
    bool pinned;
    unsigned char pin[32]; /* SHA-256 of the certificate's DER form, when pinned */
};

struct stream {
    int fd;
    int stop;
    bool tcp;
    pid_t child; /* of a tunnel, else 0 */
    SSL *ssl;
    bool nameless;         /* the certificate was refused and has no subjectAltName */
    bool read_wants_write; /* TLS may have to write before it can read, and the reverse */
    bool write_wants_read;
    struct deflate *deflate; /* NULL: bytes go as they are */
    struct buf held;         /* compressed, not yet sent */
    size_t held_at;
    atomic_ullong *received, *sent; /* counters of the caller's; NULL: nobody counts */
    char cipher[80];
};

/* ---- configuration ---- */

static int parse_fingerprint(const char *text, unsigned char pin[32])
{
    size_t n = 0;
    while (*text) {
        if (*text == ':') {
            text++;
            continue;
        }
        if (n == 32 || !isxdigit((unsigned char)text[0]) || !isxdigit((unsigned char)text[1]))
            return -EINVAL;
        char pair[3] = {text[0], text[1], 0};
        pin[n++] = (unsigned char)strtoul(pair, NULL, 16);
        text += 2;
    }
    return n == 32 ? 0 : -EINVAL;
}

/* Does the certificate say nowhere which hosts it is for? */
static bool names_nothing(const X509 *cert)
{
    return cert && X509_get_ext_by_NID(cert, NID_subject_alt_name, -1) < 0;
}

/* OpenSSL does not keep a certificate that it refuses, so what it lacks is noted here. */
static int on_verified(int ok, X509_STORE_CTX *ctx)
{
    int err = X509_STORE_CTX_get_error(ctx);
    SSL *ssl = X509_STORE_CTX_get_ex_data(ctx, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct stream *s = ssl ? SSL_get_app_data(ssl) : NULL;
    if (!ok && s && (err == X509_V_ERR_HOSTNAME_MISMATCH || err == X509_V_ERR_IP_ADDRESS_MISMATCH))
        s->nameless = names_nothing(X509_STORE_CTX_get0_cert(ctx));
    return ok;
}

struct tls_config *tls_config_new(const char *cafile, const char *fingerprint, struct buf *why)
{
    struct tls_config *c = mem_zalloc(sizeof *c);
    c->ctx = SSL_CTX_new(TLS_client_method());
    if (!c->ctx) {
        buf_adds(why, "cannot set up TLS");
        goto fail;
    }
    SSL_CTX_set_min_proto_version(c->ctx, TLS1_2_VERSION);
    SSL_CTX_set_mode(c->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                 SSL_MODE_RELEASE_BUFFERS);
    /* Gmail among others closes without close_notify; IMAP's own framing tells a cut answer. */
    SSL_CTX_set_options(c->ctx, SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_verify(c->ctx, SSL_VERIFY_PEER, on_verified);
    if (fingerprint) {
        if (parse_fingerprint(fingerprint, c->pin) != 0) {
            buf_adds(why, "fingerprint= is not sha256: and 64 hexadecimal digits");
            goto fail;
        }
        c->pinned = true;
        SSL_CTX_set_verify(c->ctx, SSL_VERIFY_NONE, NULL);
    } else if (cafile) {
        if (SSL_CTX_load_verify_file(c->ctx, cafile) != 1) {
            buf_addf(why, "cannot read certificates from cafile %s", cafile);
            goto fail;
        }
    } else if (SSL_CTX_set_default_verify_paths(c->ctx) != 1) {
        buf_adds(why, "cannot find the system's certificate authorities; give -o cafile=FILE");
        goto fail;
    }
    return c;
fail:
    tls_config_free(c);
    return NULL;
}

void tls_config_free(struct tls_config *c)
{
    if (!c)
        return;
    SSL_CTX_free(c->ctx);
    free(c);
}

/* ---- connecting ---- */

static struct stream *stream_new(int fd, int stop)
{
    struct stream *s = mem_zalloc(sizeof *s);
    s->fd = fd;
    s->stop = stop;
    return s;
}

static int poll_deadline(int fd, short events, int stop, int64_t deadline)
{
    for (;;) {
        struct pollfd p[2] = {{.fd = fd, .events = events}, {.fd = stop, .events = POLLIN}};
        int64_t left = deadline - clock_ms();
        if (left < 0)
            left = 0;
        int n = poll(p, 2, left > 600000 ? 600000 : (int)left);
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0 && p[1].revents)
            return -ECANCELED;
        if (n > 0 && p[0].revents)
            return 0;
        if (clock_ms() >= deadline)
            return -ETIMEDOUT;
    }
}

/* getaddrinfo() knows no deadline, so it has a thread of its own, which one may stop waiting for.
 */
struct lookup {
    atomic_int refs; /* the asker and the thread */
    int done;        /* eventfd: readable when the result is there */
    int gai;         /* the result */
    struct addrinfo *list;
    struct addrinfo hints;
    char host[256], port[16];
};

static void lookup_unref(struct lookup *q)
{
    if (atomic_fetch_sub(&q->refs, 1) > 1)
        return;
    if (q->list)
        freeaddrinfo(q->list);
    if (q->done >= 0)
        close(q->done);
    free(q);
}

static void *lookup_main(void *arg)
{
    struct lookup *q = arg;
    uint64_t one = 1;
    q->gai = getaddrinfo(q->host, q->port, &q->hints, &q->list);
    if (write(q->done, &one, sizeof one) < 0)
        q->gai = EAI_SYSTEM;
    lookup_unref(q);
    return NULL;
}

static int lookup_wait(struct lookup *q, int stop, int64_t deadline)
{
    pthread_t thread;
    uint64_t count;
    q->done = eventfd(0, EFD_CLOEXEC);
    int err = q->done < 0 ? -errno : 0;
    if (!err)
        err = -pthread_create(&thread, NULL, lookup_main, q);
    if (err) {
        atomic_fetch_sub(&q->refs, 1); /* the share of the thread that is not there */
        return err;
    }
    pthread_detach(thread);
    err = poll_deadline(q->done, POLLIN, stop, deadline);
    return err ? err : read(q->done, &count, sizeof count) < 0 ? -errno : 0;
}

/* 0, or -errno when no descriptor can be had (RLIMIT_NOFILE). */
static int no_descriptor(void)
{
    int fd = eventfd(0, EFD_CLOEXEC), err = fd < 0 ? -errno : 0;
    if (fd >= 0)
        close(fd);
    return err;
}

static int resolve(const char *host, const char *port, int stop, int64_t deadline,
                   struct addrinfo **out, struct buf *why)
{
    struct lookup *q = mem_zalloc(sizeof *q);
    struct in6_addr literal;
    bool numeric =
        inet_pton(AF_INET, host, &literal) == 1 || inet_pton(AF_INET6, host, &literal) == 1;
    atomic_init(&q->refs, numeric ? 1 : 2);
    q->done = -1;
    snprintf(q->host, sizeof q->host, "%s", host);
    snprintf(q->port, sizeof q->port, "%s", port);
    q->hints.ai_socktype = SOCK_STREAM;
    q->hints.ai_flags = numeric ? AI_NUMERICHOST : AI_ADDRCONFIG;
    int err = 0;
    if (numeric)
        q->gai = getaddrinfo(q->host, q->port, &q->hints, &q->list);
    else
        err = lookup_wait(q, stop, deadline);
    /* Without a descriptor for /etc/hosts every host is unknown. */
    if (!err && q->gai != 0)
        err = no_descriptor();
    if (err) {
        buf_addf(why, "cannot look up %s: %s", host, strerror(-err));
    } else if (q->gai != 0) {
        buf_addf(why, "cannot find host %s: %s", host, gai_strerror(q->gai));
        err = -EHOSTUNREACH;
    } else {
        *out = q->list;
        q->list = NULL;
    }
    lookup_unref(q);
    return err;
}

/* Keep-alive probes notice a peer that vanished while nobody was asking for anything. */
static void set_socket_options(int fd)
{
    int on = 1, idle = 60, interval = 15, count = 4;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
}

static int try_address(const struct addrinfo *ai, int stop, int64_t deadline, int *out)
{
    int fd = socket(ai->ai_family, ai->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, ai->ai_protocol);
    if (fd < 0)
        return -errno;
    int err = 0;
    if (connect(fd, ai->ai_addr, ai->ai_addrlen) < 0) {
        err = -errno;
        if (err == -EINPROGRESS) {
            err = poll_deadline(fd, POLLOUT, stop, deadline);
            int soerr = 0;
            socklen_t len = sizeof soerr;
            if (!err && getsockopt(fd, SOL_SOCKET, SO_ERROR, &soerr, &len) == 0)
                err = -soerr;
        }
    }
    if (err) {
        close(fd);
        return err;
    }
    set_socket_options(fd);
    *out = fd;
    return 0;
}

int stream_connect(struct stream **out, const char *host, const char *port, int stop,
                   int64_t deadline, struct buf *why)
{
    struct addrinfo *list = NULL;
    int err = resolve(host, port, stop, deadline, &list, why);
    if (err)
        return err;
    err = -EHOSTUNREACH;
    int fd = -1;
    for (const struct addrinfo *ai = list; ai; ai = ai->ai_next) {
        /* One silent address must not eat the time of those behind it. */
        int64_t now = clock_ms();
        int64_t until = ai->ai_next ? now + (deadline - now) / 2 : deadline;
        err = try_address(ai, stop, until, &fd);
        if (!err || err == -ECANCELED)
            break;
    }
    freeaddrinfo(list);
    if (err) {
        buf_addf(why, "cannot connect to %s port %s: %s", host, port, strerror(-err));
        return err;
    }
    *out = stream_new(fd, stop);
    (*out)->tcp = true;
    return 0;
}

int stream_tunnel(struct stream **out, const char *command, int stop, struct buf *why)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        int err = -errno;
        buf_addf(why, "cannot run the tunnel command: %s", strerror(-err));
        return err;
    }
    pid_t pid = fork();
    if (pid == 0) {
        setpgid(0, 0);
        dup2(pair[1], 0);
        dup2(pair[1], 1);
        child_run(command);
    }
    int err = pid < 0 ? -errno : 0;
    if (pid > 0)
        setpgid(pid, pid); /* whoever comes first: stream_close() may be soon */
    close(pair[1]);
    if (err) {
        close(pair[0]);
        buf_addf(why, "cannot run the tunnel command: %s", strerror(-err));
        return err;
    }
    fcntl(pair[0], F_SETFL, O_NONBLOCK);
    *out = stream_new(pair[0], stop);
    (*out)->child = pid;
    return 0;
}

/* ---- TLS ---- */

static bool is_address(const char *host)
{
    struct in6_addr a;
    return inet_pton(AF_INET, host, &a) == 1 || inet_pton(AF_INET6, host, &a) == 1;
}

static int set_expected_name(SSL *ssl, const char *host)
{
    if (is_address(host))
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1 ? 0 : -EINVAL;
    /* A host in the certificate's subject (CN) is none (RFC 9525 section 2). */
    SSL_set_hostflags(ssl,
                      X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    if (SSL_set_tlsext_host_name(ssl, host) != 1 || SSL_set1_host(ssl, host) != 1)
        return -EINVAL;
    return 0;
}

static void explain_tls(const struct stream *s, SSL *ssl, const char *host, struct buf *why)
{
    long verify = SSL_get_verify_result(ssl);
    if (verify != X509_V_OK) {
        buf_addf(why, "the certificate of %s is refused: %s", host,
                 X509_verify_cert_error_string(verify));
        if (verify == X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT ||
            verify == X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN ||
            verify == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY)
            buf_adds(why, " (trust it with -o cafile=FILE or -o fingerprint=sha256:HEX)");
        if (s->nameless)
            buf_adds(why, ": it has no subjectAltName, and a host in its subject (CN) does not "
                          "count (trust it with -o fingerprint=sha256:HEX, or have one made that "
                          "names the host)");
        return;
    }
    unsigned long code = ERR_peek_error();
    const char *reason = code ? ERR_reason_error_string(code) : NULL;
    buf_addf(why, "no TLS with %s: %s", host, reason ? reason : "the server closed the connection");
    if (code && ERR_GET_REASON(code) == SSL_R_WRONG_VERSION_NUMBER)
        buf_adds(why, " (is this the port for imap://, with STARTTLS?)");
}

static int check_pin(SSL *ssl, const struct tls_config *c, const char *host, struct buf *why)
{
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    X509 *cert = SSL_get1_peer_certificate(ssl);
    int ok = cert && X509_digest(cert, EVP_sha256(), sum, &len) == 1 && len == sizeof c->pin &&
             CRYPTO_memcmp(sum, c->pin, len) == 0;
    X509_free(cert);
    if (ok)
        return 0;
    buf_addf(why, "the certificate of %s has another fingerprint: sha256:", host);
    for (unsigned i = 0; i < len; i++)
        buf_addf(why, "%02x", sum[i]);
    return -EPERM;
}

/* What OpenSSL says of a call that did not succeed, as -EAGAIN, 0 (closed) or -errno. */
static ssize_t tls_result(struct stream *s, int ret, bool *other_way, int want_other)
{
    int e = SSL_get_error(s->ssl, ret);
    if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE) {
        *other_way = e == want_other;
        return -EAGAIN;
    }
    if (e == SSL_ERROR_ZERO_RETURN)
        return 0;
    if (e == SSL_ERROR_SYSCALL && errno && errno != EAGAIN)
        return -errno;
    return -ECONNRESET;
}

int stream_start_tls(struct stream *s, const struct tls_config *c, const char *host,
                     int64_t deadline, struct buf *why)
{
    SSL *ssl = SSL_new(c->ctx);
    if (!ssl || set_expected_name(ssl, host) != 0 || SSL_set_fd(ssl, s->fd) != 1) {
        buf_addf(why, "cannot set up TLS for %s", host);
        SSL_free(ssl);
        return -EIO;
    }
    s->ssl = ssl;
    SSL_set_app_data(ssl, s);
    for (;;) {
        ERR_clear_error();
        int ret = SSL_connect(ssl);
        if (ret == 1)
            break;
        int e = SSL_get_error(ssl, ret);
        if (e != SSL_ERROR_WANT_READ && e != SSL_ERROR_WANT_WRITE) {
            explain_tls(s, ssl, host, why);
            return -EPROTO;
        }
        short events = e == SSL_ERROR_WANT_WRITE ? POLLOUT : POLLIN;
        int err = poll_deadline(s->fd, events, s->stop, deadline);
        if (err) {
            buf_addf(why, "no TLS with %s: %s", host, strerror(-err));
            return err;
        }
    }
    snprintf(s->cipher, sizeof s->cipher, "%s %s", SSL_get_version(ssl), SSL_get_cipher(ssl));
    return c->pinned ? check_pin(ssl, c, host, why) : 0;
}

/* ---- bytes ---- */

void stream_count(struct stream *s, atomic_ullong *received, atomic_ullong *sent)
{
    s->received = received;
    s->sent = sent;
}

/* What has come is acknowledged now. Courier, Cyrus and mailutils send an answer in two parts, and
 * their sockets keep the second until the first is acknowledged (Nagle), which Linux puts off by
 * 40 ms and more, in the hope of a command to send that with. Each command that is sent makes the
 * kernel hope again. */
static void acknowledge(const struct stream *s)
{
    int on = 1;
    if (s->tcp)
        setsockopt(s->fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
}

static ssize_t wire_read(struct stream *s, void *data, size_t len)
{
    s->read_wants_write = false;
    acknowledge(s);
    if (s->ssl) {
        ERR_clear_error();
        errno = 0;
        size_t n = 0;
        int ret = SSL_read_ex(s->ssl, data, len, &n);
        return ret == 1 ? (ssize_t)n
                        : tls_result(s, ret, &s->read_wants_write, SSL_ERROR_WANT_WRITE);
    }
    ssize_t n = read(s->fd, data, len);
    if (n < 0)
        return errno == EINTR || errno == EWOULDBLOCK ? -EAGAIN : -errno;
    return n;
}

static ssize_t counted_read(struct stream *s, void *data, size_t len)
{
    ssize_t n = wire_read(s, data, len);
    if (n > 0 && s->received)
        *s->received += (unsigned long long)n;
    return n;
}

static ssize_t wire_write(struct stream *s, const void *data, size_t len)
{
    s->write_wants_read = false;
    if (s->ssl) {
        ERR_clear_error();
        errno = 0;
        size_t n = 0;
        int ret = SSL_write_ex(s->ssl, data, len, &n);
        if (ret == 1)
            return (ssize_t)n;
        ssize_t r = tls_result(s, ret, &s->write_wants_read, SSL_ERROR_WANT_READ);
        return r == 0 ? -EPIPE : r;
    }
    ssize_t n = send(s->fd, data, len, MSG_NOSIGNAL);
    if (n < 0)
        return errno == EINTR || errno == EWOULDBLOCK ? -EAGAIN : -errno;
    return n;
}

static ssize_t counted_write(struct stream *s, const void *data, size_t len)
{
    ssize_t n = wire_write(s, data, len);
    if (n > 0 && s->sent)
        *s->sent += (unsigned long long)n;
    return n;
}

bool stream_is_local(const struct stream *s)
{
    struct sockaddr_storage a = {0};
    socklen_t len = sizeof a;
    if (s->child || getpeername(s->fd, (struct sockaddr *)&a, &len) < 0)
        return false;
    const struct in6_addr *in6 = &((const struct sockaddr_in6 *)&a)->sin6_addr;
    switch (a.ss_family) {
    case AF_UNIX:
        return true;
    case AF_INET:
        return ntohl(((const struct sockaddr_in *)&a)->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    case AF_INET6:
        return IN6_IS_ADDR_LOOPBACK(in6) ||
               (IN6_IS_ADDR_V4MAPPED(in6) && in6->s6_addr[12] == IN_LOOPBACKNET);
    default:
        return false;
    }
}

void stream_start_deflate(struct stream *s, const void *data, size_t len)
{
    s->deflate = deflate_new();
    if (len)
        memcpy(deflate_room(s->deflate, len), data, len);
    deflate_filled(s->deflate, len);
    size_t at = strlen(s->cipher);
    snprintf(s->cipher + at, sizeof s->cipher - at, "%s, deflate", at ? "" : "no TLS");
}

/* What was read may be a part of something that makes no byte of output yet. Then the caller waits
 * for more, as its deadline demands, instead of reading on for as long as the peer likes. */
static ssize_t inflated_read(struct stream *s, void *data, size_t len)
{
    ssize_t n = deflate_read(s->deflate, data, len);
    if (n != -EAGAIN)
        return n;
    n = counted_read(s, deflate_room(s->deflate, WIRE_CHUNK), WIRE_CHUNK);
    if (n <= 0)
        return n;
    deflate_filled(s->deflate, (size_t)n);
    return deflate_read(s->deflate, data, len);
}

ssize_t stream_read(struct stream *s, void *data, size_t len)
{
    return s->deflate ? inflated_read(s, data, len) : counted_read(s, data, len);
}

bool stream_pending(const struct stream *s)
{
    return (s->deflate && deflate_pending(s->deflate)) || (s->ssl && SSL_pending(s->ssl) > 0);
}

int stream_flush(struct stream *s)
{
    while (s->held_at < s->held.len) {
        ssize_t n = counted_write(s, s->held.data + s->held_at, s->held.len - s->held_at);
        if (n < 0)
            return (int)n;
        s->held_at += (size_t)n;
    }
    buf_reset(&s->held);
    s->held_at = 0;
    return 0;
}

static ssize_t deflated_write(struct stream *s, const void *data, size_t len)
{
    int err = stream_flush(s);
    if (err)
        return err;
    size_t n = len < PLAIN_CHUNK ? len : PLAIN_CHUNK;
    deflate_write(s->deflate, data, n, n == len, &s->held);
    err = stream_flush(s);
    return err && err != -EAGAIN ? err : (ssize_t)n;
}

ssize_t stream_write(struct stream *s, const void *data, size_t len)
{
    return s->deflate ? deflated_write(s, data, len) : counted_write(s, data, len);
}

size_t stream_unsent(const struct stream *s)
{
    int n = 0;
    return ioctl(s->fd, SIOCOUTQ, &n) == 0 && n > 0 ? (size_t)n : 0;
}

int stream_fd(const struct stream *s)
{
    return s->fd;
}

short stream_events(const struct stream *s, bool writing)
{
    short events = POLLIN;
    writing |= s->held_at < s->held.len;
    if ((writing && !s->write_wants_read) || s->read_wants_write)
        events |= POLLOUT;
    return events;
}

const char *stream_cipher(const struct stream *s)
{
    return s->cipher;
}

/* Ends a tunnel's processes; one that does not listen is killed. */
static void reap(pid_t child)
{
    kill(-child, SIGTERM);
    int fd = (int)syscall(SYS_pidfd_open, child, 0);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    if (fd < 0 || poll(&p, 1, 2000) <= 0)
        kill(-child, SIGKILL);
    if (fd >= 0)
        close(fd);
    waitpid(child, NULL, 0);
}

void stream_close(struct stream **sp)
{
    struct stream *s = *sp;
    if (!s)
        return;
    if (s->ssl) {
        SSL_shutdown(s->ssl); /* says close_notify; nobody waits for the answer */
        SSL_free(s->ssl);
    }
    close(s->fd);
    if (s->child > 0)
        reap(s->child);
    deflate_free(s->deflate);
    buf_free(&s->held);
    free(s);
    *sp = NULL;
}
