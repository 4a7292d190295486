#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>

#include "imap/base/mem.h"
#include "imap/base/utf8.h"
#include "imap/wire/url.h"

/* None of these repeats a part of the URL: it could be a password. */
#define WHY_SCHEME "the source is neither an imaps:// nor an imap:// address"
#define WHY_PASSWORD                                                                               \
    "a password does not belong into the address: give it with passfile, passcmd or ~/.netrc"
#define WHY_QUERY   "'?' and '#' have no place in the address: write them as %3F and %23"
#define WHY_AUTH    "the mechanism does not belong into the address: give it with -o auth="
#define WHY_NO_USER "the user name in front of '@' is empty"
#define WHY_NO_HOST "the address has no host name"
#define WHY_HOST    "the host name holds a character that host names cannot have"
#define WHY_LONG    "the host name is too long"
#define WHY_IPV6    "an IPv6 address goes into brackets, as in imaps://[::1]/"
#define WHY_BRACKET "what is in the brackets is not an IPv6 address"
#define WHY_PORT    "the port is not a number from 1 to 65535"
#define WHY_PERCENT "'%' is not followed by two hexadecimal digits (a percent sign itself is %25)"
#define WHY_CONTROL "the address holds a control character"
#define WHY_UTF8    "the address is not valid UTF-8"

#define HOST_MAX 253 /* RFC 1035 §2.3.4, without the root's dot */

/* The locale has no say in these. */
static bool is_alnum(char c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* Whether `s` begins with `prefix` (lower case) in any case. */
static bool begins(const char *s, const char *prefix)
{
    for (; *prefix; s++, prefix++)
        if (*s != *prefix && !(*prefix >= 'a' && *prefix <= 'z' && *s == (*prefix ^ 0x20)))
            return false;
    return true;
}

/* The functions below return NULL or the reason for which the URL is refused. */

static const char *check_text(const char *s, size_t len)
{
    while (len > 0) {
        uint32_t cp;
        size_t n = utf8_next(s, len, &cp);
        if (n == 0)
            return WHY_UTF8;
        if (utf8_is_control(cp))
            return WHY_CONTROL;
        s += n;
        len -= n;
    }
    return NULL;
}

/* Decodes %XX into `out`. */
static const char *decode(const char *s, size_t len, struct buf *out)
{
    for (size_t i = 0; i < len; i++) {
        if (s[i] != '%') {
            buf_addc(out, s[i]);
            continue;
        }
        int high = i + 2 < len ? hex(s[i + 1]) : -1;
        int low = i + 2 < len ? hex(s[i + 2]) : -1;
        if (high < 0 || low < 0)
            return WHY_PERCENT;
        buf_addc(out, (char)(high << 4 | low));
        i += 2;
    }
    return check_text(out->data, out->len);
}

static const char *parse_user(const char *s, size_t len, struct url *out)
{
    struct buf user = {0};
    if (len == 0)
        return WHY_NO_USER;
    for (size_t i = 0; i < len; i++)
        if (begins(s + i, ";auth="))
            return WHY_AUTH;
    const char *why = decode(s, len, &user);
    if (why)
        buf_free(&user);
    else
        out->user = buf_steal(&user);
    return why;
}

static const char *parse_port(const char *s, size_t len, struct url *out)
{
    unsigned port = 0;
    for (size_t i = 0; i < len; i++) {
        if (s[i] < '0' || s[i] > '9')
            return WHY_PORT;
        port = port * 10 + (unsigned)(s[i] - '0');
        if (port > 65535)
            return WHY_PORT;
    }
    if (port == 0)
        return WHY_PORT;
    struct buf text = {0};
    buf_addf(&text, "%u", port);
    out->port = buf_steal(&text);
    return NULL;
}

/* A name or an IPv4 address. A leading '-' is refused so that it cannot become an option. */
static const char *check_name(const char *s, size_t len)
{
    if (len == 0)
        return WHY_NO_HOST;
    if (len > HOST_MAX)
        return WHY_LONG;
    for (size_t i = 0; i < len; i++)
        if (!is_alnum(s[i]) && !(i > 0 && strchr("-._", s[i])))
            return WHY_HOST;
    return NULL;
}

/* What stands in the brackets; "%25eth0" (RFC 6874) and plain "%eth0" name a link. */
static const char *parse_ipv6(const char *s, size_t len, struct url *out)
{
    struct in6_addr ignored;
    char addr[INET6_ADDRSTRLEN];
    const char *zone = memchr(s, '%', len);
    size_t n = zone ? (size_t)(zone - s) : len;

    if (n >= sizeof(addr))
        return WHY_BRACKET;
    memcpy(addr, s, n);
    addr[n] = '\0';
    if (inet_pton(AF_INET6, addr, &ignored) != 1)
        return WHY_BRACKET;
    struct buf host = {0};
    buf_adds(&host, addr);
    if (zone) {
        size_t skip = len - n >= 3 && memcmp(zone, "%25", 3) == 0 ? 3 : 1;
        const char *why = check_name(zone + skip, len - n - skip);
        if (why) {
            buf_free(&host);
            return WHY_BRACKET;
        }
        buf_addc(&host, '%');
        buf_add(&host, zone + skip, len - n - skip);
    }
    out->host = buf_steal(&host);
    return NULL;
}

static const char *parse_host(const char *s, size_t len, struct url *out)
{
    const char *end = s + len, *port, *why;

    if (len > 0 && s[0] == '[') {
        const char *close = memchr(s, ']', len);
        why = close ? parse_ipv6(s + 1, (size_t)(close - s - 1), out) : WHY_BRACKET;
        if (why)
            return why;
        port = close + 1;
        if (port < end && *port != ':')
            return WHY_BRACKET;
    } else {
        port = memchr(s, ':', len);
        if (port && memchr(port + 1, ':', (size_t)(end - port - 1)))
            return WHY_IPV6;
        if (!port)
            port = end;
        why = check_name(s, (size_t)(port - s));
        if (why)
            return why;
        out->host = mem_strndup(s, (size_t)(port - s));
    }
    if (port < end)
        return parse_port(port + 1, (size_t)(end - port - 1), out);
    out->port = mem_strdup(out->tls ? "993" : "143");
    return NULL;
}

static const char *parse_mailbox(const char *s, struct url *out)
{
    struct buf name = {0};
    const char *why = decode(s, strlen(s), &name);
    if (!why) {
        size_t lead = 0;
        while (lead < name.len && name.data[lead] == '/')
            lead++;
        buf_shift(&name, lead);
        while (name.len > 0 && name.data[name.len - 1] == '/')
            name.len--;
        if (name.len > 0)
            out->mailbox = buf_steal(&name);
    }
    buf_free(&name);
    return why;
}

static const char *parse(const char *text, struct url *out)
{
    out->tls = begins(text, "imaps://");
    if (!out->tls && !begins(text, "imap://"))
        return WHY_SCHEME;
    const char *s = strchr(text, '/') + 2;
    size_t len = strcspn(s, "/");
    const char *path = s + len;
    const char *at = memrchr(s, '@', len);

    /* First of all, and before any reason that a slip elsewhere would give. A password with a '/'
     * ends the host early, which then looks like a bad port. */
    const char *colon = memchr(s, ':', len);
    if (at && colon && colon < at)
        return WHY_PASSWORD;
    if (strpbrk(s, "?#"))
        return WHY_QUERY;
    if (at) {
        const char *why = parse_user(s, (size_t)(at - s), out);
        if (why)
            return why;
        len -= (size_t)(at + 1 - s);
        s = at + 1;
    }
    const char *why = parse_host(s, len, out);
    if (why)
        return !at && colon && *s != '[' && strchr(path, '@') ? WHY_PASSWORD : why;
    return parse_mailbox(path, out);
}

int url_parse(const char *text, struct url *out, struct buf *why)
{
    buf_reset(why);
    *out = (struct url){0};
    const char *reason = parse(text, out);
    if (!reason)
        return 0;
    url_free(out);
    buf_adds(why, reason);
    return -EINVAL;
}

void url_free(struct url *u)
{
    free(u->user);
    free(u->host);
    free(u->port);
    free(u->mailbox);
    *u = (struct url){0};
}
