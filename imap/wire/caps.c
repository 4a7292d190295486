#include "imap/wire/caps.h"

#include <ctype.h>
#include <stdio.h>

static const char *const names[CAP_COUNT] = {
    [CAP_IMAP4REV1] = "IMAP4rev1",
    [CAP_IMAP4REV2] = "IMAP4rev2",
    [CAP_STARTTLS] = "STARTTLS",
    [CAP_LOGINDISABLED] = "LOGINDISABLED",
    [CAP_SASL_IR] = "SASL-IR",
    [CAP_LITERAL_PLUS] = "LITERAL+",
    [CAP_LITERAL_MINUS] = "LITERAL-",
    [CAP_ID] = "ID",
    [CAP_NAMESPACE] = "NAMESPACE",
    [CAP_UIDPLUS] = "UIDPLUS",
    [CAP_MOVE] = "MOVE",
    [CAP_ESEARCH] = "ESEARCH",
    [CAP_CONDSTORE] = "CONDSTORE",
    [CAP_QRESYNC] = "QRESYNC",
    [CAP_ENABLE] = "ENABLE",
    [CAP_IDLE] = "IDLE",
    [CAP_NOTIFY] = "NOTIFY",
    [CAP_UNSELECT] = "UNSELECT",
    [CAP_QUOTA] = "QUOTA",
    [CAP_LIST_EXTENDED] = "LIST-EXTENDED",
    [CAP_SPECIAL_USE] = "SPECIAL-USE",
    [CAP_COMPRESS_DEFLATE] = "COMPRESS=DEFLATE",
};

/* Appends as much of `s` as fits, and a space. */
static void append(char *to, size_t size, struct str s, bool upper)
{
    size_t at = strlen(to);
    if (at + s.n + 2 > size)
        return;
    for (size_t i = 0; i < s.n; i++)
        to[at++] = (char)(upper ? toupper((unsigned char)s.p[i]) : s.p[i]);
    to[at++] = ' ';
    to[at] = '\0';
}

void caps_read(struct caps *c, const struct arg *args)
{
    *c = (struct caps){.known = true, .mechs = " "};
    for (const struct arg *a = args; a; a = a->next) {
        if (a->type != ARG_ATOM)
            continue;
        append(c->text, sizeof c->text, a->s, false);
        if (str_starts(a->s, "AUTH=")) {
            append(c->mechs, sizeof c->mechs, (struct str){a->s.p + 5, a->s.n - 5}, true);
            continue;
        }
        for (unsigned i = 0; i < CAP_COUNT; i++)
            if (str_is(a->s, names[i]))
                c->bits |= 1u << i;
    }
    /* RFC 9051 section 2: these are part of IMAP4rev2 and need not be named. */
    if (caps_has(c, CAP_IMAP4REV2)) {
        static const enum cap rev2[] = {CAP_SASL_IR, CAP_LITERAL_MINUS, CAP_NAMESPACE, CAP_UIDPLUS,
                                        CAP_MOVE,    CAP_ESEARCH,       CAP_UNSELECT};
        for (size_t i = 0; i < sizeof rev2 / sizeof *rev2; i++)
            c->bits |= 1u << rev2[i];
    }
}

bool caps_auth(const struct caps *c, const char *mech)
{
    char want[64];
    int n = snprintf(want, sizeof want, " %s ", mech);
    return n > 0 && (size_t)n < sizeof want && strcasestr(c->mechs, want) != NULL;
}
