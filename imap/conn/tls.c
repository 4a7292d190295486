/* TLS over a socket, by OpenSSL. */
#include "imap/conn/tls.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "imap/base/mem.h"
#include "imap/base/wait.h"

struct tls_config {
    SSL_CTX *ctx;
    bool pinned;
    unsigned char pin[32]; /* SHA-256 of the certificate's DER form, when pinned */
};

struct tls {
    SSL *ssl;
    bool nameless;         /* the certificate was refused and has no subjectAltName */
    bool read_wants_write; /* TLS may have to write before it can read, and the reverse */
    bool write_wants_read;
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
    struct tls *t = ssl ? SSL_get_app_data(ssl) : NULL;
    if (!ok && t && (err == X509_V_ERR_HOSTNAME_MISMATCH || err == X509_V_ERR_IP_ADDRESS_MISMATCH))
        t->nameless = names_nothing(X509_STORE_CTX_get0_cert(ctx));
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

/* ---- the handshake ---- */

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

static void explain(const struct tls *t, const char *host, struct buf *why)
{
    long verify = SSL_get_verify_result(t->ssl);
    if (verify != X509_V_OK) {
        buf_addf(why, "the certificate of %s is refused: %s", host,
                 X509_verify_cert_error_string(verify));
        if (verify == X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT ||
            verify == X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN ||
            verify == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY)
            buf_adds(why, " (trust it with -o cafile=FILE or -o fingerprint=sha256:HEX)");
        if (t->nameless)
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

int tls_start(struct tls **out, int fd, int stop, const struct tls_config *c, const char *host,
              int64_t deadline, struct buf *why)
{
    SSL *ssl = SSL_new(c->ctx);
    if (!ssl || set_expected_name(ssl, host) != 0 || SSL_set_fd(ssl, fd) != 1) {
        buf_addf(why, "cannot set up TLS for %s", host);
        SSL_free(ssl);
        return -EIO;
    }
    struct tls *t = *out = mem_zalloc(sizeof *t);
    t->ssl = ssl;
    SSL_set_app_data(ssl, t);
    for (;;) {
        ERR_clear_error();
        int ret = SSL_connect(ssl);
        if (ret == 1)
            break;
        int e = SSL_get_error(ssl, ret);
        if (e != SSL_ERROR_WANT_READ && e != SSL_ERROR_WANT_WRITE) {
            explain(t, host, why);
            return -EPROTO;
        }
        short events = e == SSL_ERROR_WANT_WRITE ? POLLOUT : POLLIN;
        int err = wait_fd(fd, events, stop, deadline);
        if (err) {
            buf_addf(why, "no TLS with %s: %s", host, strerror(-err));
            return err;
        }
    }
    return c->pinned ? check_pin(ssl, c, host, why) : 0;
}

/* ---- bytes ---- */

/* What OpenSSL says of a call that did not succeed, as -EAGAIN, 0 (closed) or -errno. */
static ssize_t result(struct tls *t, int ret, bool *other_way, int want_other)
{
    int e = SSL_get_error(t->ssl, ret);
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

ssize_t tls_read(struct tls *t, void *data, size_t len)
{
    t->read_wants_write = false;
    ERR_clear_error();
    errno = 0;
    size_t n = 0;
    int ret = SSL_read_ex(t->ssl, data, len, &n);
    return ret == 1 ? (ssize_t)n : result(t, ret, &t->read_wants_write, SSL_ERROR_WANT_WRITE);
}

ssize_t tls_write(struct tls *t, const void *data, size_t len)
{
    t->write_wants_read = false;
    ERR_clear_error();
    errno = 0;
    size_t n = 0;
    int ret = SSL_write_ex(t->ssl, data, len, &n);
    if (ret == 1)
        return (ssize_t)n;
    ssize_t r = result(t, ret, &t->write_wants_read, SSL_ERROR_WANT_READ);
    return r == 0 ? -EPIPE : r;
}

bool tls_pending(const struct tls *t)
{
    return SSL_pending(t->ssl) > 0;
}

short tls_events(const struct tls *t, bool writing)
{
    return (writing && !t->write_wants_read) || t->read_wants_write ? POLLIN | POLLOUT : POLLIN;
}

void tls_cipher(const struct tls *t, char *out, size_t size)
{
    snprintf(out, size, "%s %s", SSL_get_version(t->ssl), SSL_get_cipher(t->ssl));
}

void tls_close(struct tls *t)
{
    if (!t)
        return;
    SSL_shutdown(t->ssl); /* says close_notify; nobody waits for the answer */
    SSL_free(t->ssl);
    free(t);
}
