#include "fs/name.h"

#include <gmime/gmime.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fs/header.h"
#include "imap/base/utf8.h"

/* As much of a field as is looked at: several times what fits into a name, however it is encoded.
 */
#define FIELD_MAX 4096

/* A long author leaves room for the subject. */
#define FROM_MAX 80

#define NO_FROM    "unknown"
#define NO_SUBJECT "no-subject"

void name_init(void)
{
    g_mime_init();
    tzset();
}

/* ---- characters ------------------------------------------------------------------------------ */

enum kind {
    KEEP,
    MARK,    /* kept, but only behind what it combines with */
    DROP,    /* left out without a trace */
    REPLACE, /* becomes '-' */
};

static enum kind kind_of_ascii(unsigned char c)
{
    if ((c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z'))
        return KEEP;
    return c != '\0' && strchr("._+@,%", c) ? KEEP : REPLACE;
}

static enum kind kind_of(uint32_t cp)
{
    if (cp < 0x80)
        return kind_of_ascii((unsigned char)cp);
    if (cp == 0x200d) /* joins emoji; without it they stand side by side */
        return DROP;
    /* Letters and symbols that show nothing: the Hangul fillers, the blank Braille cell, and what
     * decoders put for bytes that they could not read. */
    if (cp == 0x115f || cp == 0x1160 || cp == 0x3164 || cp == 0xffa0 || cp == 0x2800 ||
        cp == 0xfffd)
        return REPLACE;
    switch (g_unichar_type(cp)) {
    case G_UNICODE_CONTROL:
    case G_UNICODE_FORMAT:
    case G_UNICODE_UNASSIGNED:
    case G_UNICODE_PRIVATE_USE:
    case G_UNICODE_SURROGATE:
    case G_UNICODE_LINE_SEPARATOR:
    case G_UNICODE_PARAGRAPH_SEPARATOR:
    case G_UNICODE_SPACE_SEPARATOR:
        return REPLACE;
    case G_UNICODE_SPACING_MARK:
    case G_UNICODE_ENCLOSING_MARK:
    case G_UNICODE_NON_SPACING_MARK:
        return MARK;
    default:
        return KEEP;
    }
}

/* Writes what is fit for a name to `out`, at most `room` bytes, no NUL; returns how many. */
static size_t clean(char *out, size_t room, const char *s, size_t len, bool from)
{
    size_t n = 0;       /* written */
    size_t cluster = 0; /* where the last character began that marks may follow */
    bool gap = false;   /* a '-' is due before the next character */

    for (size_t width; len > 0; s += width, len -= width) {
        uint32_t cp;
        width = utf8_next(s, len, &cp);
        enum kind kind = width > 0 ? kind_of(cp) : REPLACE;
        if (width == 0)
            width = 1;
        if (kind == DROP)
            continue;
        if (kind == REPLACE || (from && cp == '_') || (n == 0 && cp == '.') ||
            (kind == MARK && (n == 0 || gap))) {
            gap = n > 0;
            continue;
        }
        if (n + gap + width > room)
            return kind == MARK && cluster > 0 ? cluster : n;
        if (kind == KEEP)
            cluster = n;
        if (gap)
            out[n++] = '-';
        gap = false;
        memcpy(out + n, s, width);
        n += width;
    }
    return n;
}

/* ---- header fields --------------------------------------------------------------------------- */

struct text {
    char s[FIELD_MAX + 1];
    size_t len;
};

static void text_add(struct text *t, char c)
{
    if (t->len < FIELD_MAX)
        t->s[t->len++] = c;
}

/* Adds a byte of a field's body; runs of white space and of bytes that end lines become one space,
 * so that a field of nothing else does not hide what follows it. */
static void text_add_body(struct text *t, char c)
{
    if (c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\0') {
        if (t->len > 0 && t->s[t->len - 1] != ' ')
            text_add(t, ' ');
    } else {
        text_add(t, c);
    }
}

static void text_end(struct text *t)
{
    if (t->len > 0 && t->s[t->len - 1] == ' ')
        t->len--;
    t->s[t->len] = '\0';
}

/* Where the body of the field `name` (lower case) begins on the line `s`, or NULL. */
static const char *field_body(const char *s, const char *end, const char *name)
{
    for (; *name; name++, s++)
        if (s == end || (*s | 0x20) != *name)
            return NULL;
    while (s < end && (*s == ' ' || *s == '\t')) /* RFC 5322 §4.5 */
        s++;
    return s < end && *s == ':' ? s + 1 : NULL;
}

/* Unfolds the first field of that name into `t`; false if there is none. */
static bool field_get(const char *hdr, size_t len, const char *name, struct text *t)
{
    const char *end = hdr + len;
    bool found = false;

    t->len = 0;
    for (const char *line = hdr; line < end;) {
        const char *nl = memchr(line, '\n', (size_t)(end - line));
        const char *next = nl ? nl + 1 : end;
        bool folded = *line == ' ' || *line == '\t';
        bool blank = next - line <= 2 && (*line == '\n' || (*line == '\r' && next[-1] == '\n'));
        if (blank || (found && !folded))
            break;
        const char *body = found ? line : folded ? NULL : field_body(line, next, name);
        found = body != NULL;
        for (; body && body < next && t->len < FIELD_MAX; body++)
            text_add_body(t, *body);
        line = next;
    }
    text_end(t);
    return found;
}

/* ---- encoded words --------------------------------------------------------------------------- */

/* Whether GMime has to look at it: encoded words, or bytes of an unnamed charset. */
static bool is_encoded(const struct text *t)
{
    return strstr(t->s, "=?") || !utf8_valid(t->s, t->len);
}

static size_t clean_decoded(char *out, size_t room, const struct text *t, bool from)
{
    char *decoded = is_encoded(t) ? header_decode(t->s) : NULL;
    size_t n = decoded ? clean(out, room, decoded, strlen(decoded), from)
                       : clean(out, room, t->s, t->len, from);
    free(decoded);
    return n;
}

/* ---- the author ------------------------------------------------------------------------------ */

/* The first mailbox of a From field, still encoded (RFC 5322 §3.4). */
struct author {
    struct text phrase;  /* the display name, or the bare address */
    struct text comment; /* the first one in parentheses */
    struct text addr;    /* what is between < and > */
    bool angle;          /* there was a < */
};

/* Each reads from the opening character at `s` and returns the byte behind the closing one, or NULL
 * if there is none. */

static const char *read_quoted(const char *s, struct text *t)
{
    for (s++; *s && *s != '"'; s++) {
        if (*s == '\\' && s[1])
            s++;
        text_add(t, *s);
    }
    return *s ? s + 1 : NULL;
}

static const char *read_comment(const char *s, struct text *t)
{
    bool wanted = t->len == 0;
    int depth = 0;
    for (; *s; s++) {
        if (*s == '(' && depth++ == 0)
            continue;
        if (*s == ')' && --depth == 0)
            break;
        if (*s == '\\' && s[1])
            s++;
        if (wanted)
            text_add(t, *s);
    }
    return *s ? s + 1 : NULL;
}

static const char *read_angle(const char *s, struct author *a)
{
    a->angle = true;
    for (s++; *s && *s != '>' && *s != '<'; s++)
        text_add(&a->addr, *s);
    return *s == '>' ? s + 1 : NULL;
}

/* An encoded word may hold what would otherwise be syntax, though it should not. Returns its end
 * or, if it is not one, `s`. */
static const char *read_word(const char *s, struct text *t)
{
    const char *p = s + 2;
    for (int marks = 0; marks < 2; p++) {
        if (*p == '\0' || *p == ' ')
            return s;
        marks += *p == '?';
    }
    p += strcspn(p, "? ");
    if (p[0] != '?' || p[1] != '=')
        return s;
    for (p += 2; s < p; s++)
        text_add(t, *s);
    return p;
}

/* Takes the usual forms apart: Name <a@b>, "Name" <a@b>, a@b (Name), a@b. False for the others
 * (groups, what is not closed). */
static bool author_split(const char *s, struct author *a)
{
    a->phrase.len = a->comment.len = a->addr.len = 0;
    a->angle = false;
    while (s && *s && !a->angle) {
        const char *from = s;
        if (s[0] == '=' && s[1] == '?')
            s = read_word(s, &a->phrase);
        if (s > from)
            continue;
        switch (*s) {
        case '"':
            s = read_quoted(s, &a->phrase);
            break;
        case '(':
            s = read_comment(s, &a->comment);
            break;
        case '<':
            s = read_angle(s, a);
            break;
        case ':':
        case ';':
            return false;
        case ',': /* ends a bare address; "Doe, John <a@b>" ought to be quoted */
            if (memchr(a->phrase.s, '@', a->phrase.len)) {
                s = "";
                break;
            }
            /* fall through */
        default:
            text_add(&a->phrase, *s++);
        }
    }
    text_end(&a->phrase);
    text_end(&a->comment);
    text_end(&a->addr);
    return s != NULL;
}

/* The part of an address in front of its '@'. */
static size_t clean_local(char *out, size_t room, const struct text *addr)
{
    const char *at = strrchr(addr->s, '@');
    return clean(out, room, addr->s, at ? (size_t)(at - addr->s) : addr->len, true);
}

/* What author_split() leaves to GMime. */
static size_t clean_odd_locked(char *out, size_t room, const struct text *field)
{
    InternetAddressList *list = internet_address_list_parse(NULL, field->s);
    InternetAddress *first = list ? internet_address_list_get_address(list, 0) : NULL;
    const char *name = first ? internet_address_get_name(first) : NULL;
    size_t n = name ? clean(out, room, name, strlen(name), true) : 0;
    if (n == 0 && first && INTERNET_ADDRESS_IS_MAILBOX(first)) {
        const char *addr = internet_address_mailbox_get_addr(INTERNET_ADDRESS_MAILBOX(first));
        n = addr ? clean(out, room, addr, strcspn(addr, "@"), true) : 0;
    }
    if (list)
        g_object_unref(list);
    return n;
}

static size_t clean_odd(char *out, size_t room, const struct text *field)
{
    size_t n = 0;
    if (header_gmime_begin(field->s)) {
        n = clean_odd_locked(out, room, field);
        header_gmime_end();
    }
    return n > 0 ? n : clean_decoded(out, room, field, true);
}

static size_t from_part(char *out, size_t room, const struct text *field)
{
    struct author a;
    if (!author_split(field->s, &a))
        return clean_odd(out, room, field);

    /* "MAILER-DAEMON (Mail Delivery System)" has no '@' but is no display name either. */
    bool is_addr = !a.angle && memchr(a.phrase.s, '@', a.phrase.len);
    size_t n = clean_decoded(out, room, a.angle ? &a.phrase : &a.comment, true);
    if (n == 0 && !is_addr)
        n = clean_decoded(out, room, a.angle ? &a.comment : &a.phrase, true);
    return n > 0 ? n : clean_local(out, room, a.angle ? &a.addr : &a.phrase);
}

/* ---- names ----------------------------------------------------------------------------------- */

/* `n`, or if nothing was written, as much of `word` as there is room for. */
static size_t or_word(size_t n, const char *word, char *out, size_t room)
{
    if (n > 0)
        return n;
    n = strlen(word) < room ? strlen(word) : room;
    memcpy(out, word, n);
    return n;
}

size_t name_label(const char *hdr, size_t len, char *out, size_t cap)
{
    struct text field;
    size_t max = cap - 1 < NAME_LABEL_MAX ? cap - 1 : NAME_LABEL_MAX;
    size_t room = max < FROM_MAX ? max : FROM_MAX;

    size_t n = field_get(hdr, len, "from", &field) ? from_part(out, room, &field) : 0;
    n = or_word(n, NO_FROM, out, room);
    if (max - n >= 2) {
        out[n++] = '_';
        room = max - n;
        size_t m = field_get(hdr, len, "subject", &field)
                       ? clean_decoded(out + n, room, &field, false)
                       : 0;
        n += or_word(m, NO_SUBJECT, out + n, room);
    }
    out[n] = '\0';
    return n;
}

/* The decimal digits of `n`; returns the place behind them. */
static char *put_number(char *to, uint32_t n)
{
    char digits[10];
    size_t i = sizeof digits;
    do
        digits[--i] = (char)('0' + n % 10);
    while (n /= 10);
    return mempcpy(to, digits + i, sizeof digits - i);
}

/* YYYY-MM-DDTHHMM over the zeroes that are there. */
static void put_date(char date[static 16], const struct tm *tm)
{
    const int fields[] = {tm->tm_year + 1900, tm->tm_mon + 1, tm->tm_mday, tm->tm_hour, tm->tm_min};
    static const int ends[] = {3, 6, 9, 12, 14};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        for (int n = fields[i], at = ends[i]; n > 0; n /= 10)
            date[at--] = (char)('0' + n % 10);
}

size_t name_compose(char out[static 256], int64_t when, const char *label, uint32_t uid)
{
    char date[16] = "0000-00-00T0000";
    time_t t = (time_t)when;
    struct tm tm;

    if (localtime_r(&t, &tm) && tm.tm_year >= -1900 && tm.tm_year <= 9999 - 1900)
        put_date(date, &tm);
    size_t len = strnlen(label, NAME_LABEL_MAX + 1);
    if (len > NAME_LABEL_MAX)
        for (len = NAME_LABEL_MAX; len > 0 && ((unsigned char)label[len] & 0xc0) == 0x80;)
            len--;
    /* By hand: a listing composes each name it shows, and printf(3) would be most of the work. */
    char *p = stpcpy(out, date);
    if (len)
        *p++ = '_';
    p = mempcpy(p, label, len);
    *p++ = '.';
    p = put_number(p, uid);
    p = stpcpy(p, ".eml");
    return (size_t)(p - out);
}

size_t name_uid_only(char out[static 256], uint32_t uid)
{
    return (size_t)snprintf(out, 256, "%u.eml", uid);
}

bool name_parse_uid(const char *name, uint32_t *uid)
{
    size_t len = strlen(name);
    if (len < 5 || name[0] == '.' || strcmp(name + len - 4, ".eml") != 0)
        return false;
    const char *end = name + len - 4, *s = end;
    uint64_t value = 0;
    while (s > name && s[-1] >= '0' && s[-1] <= '9')
        s--;
    if (s == end || *s == '0' || end - s > 10 || (s > name && s[-1] != '.'))
        return false;
    for (const char *p = s; p < end; p++)
        value = value * 10 + (uint64_t)(*p - '0');
    if (value > UINT32_MAX)
        return false;
    *uid = (uint32_t)value;
    return true;
}
