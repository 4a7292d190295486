#include "imap/wire/flags.h"

#include <errno.h>

#include "imap/base/limits.h"

enum { COMMAND_REST = 64 }; /* bytes of a STORE beside the flags: tag, command, UID */

static const struct {
    const char *name;
    uint32_t bit;
} table[] = {
    {"\\Seen", FLAG_SEEN},       {"\\Answered", FLAG_ANSWERED}, {"\\Flagged", FLAG_FLAGGED},
    {"\\Deleted", FLAG_DELETED}, {"\\Draft", FLAG_DRAFT},       {"\\Recent", FLAG_RECENT},
};

uint32_t flag_from_name(struct str name)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (str_is(name, table[i].name))
            return table[i].bit;
    return 0;
}

void flags_text(uint32_t bits, struct buf *out)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (!(bits & table[i].bit))
            continue;
        if (out->len)
            buf_addc(out, ' ');
        buf_adds(out, table[i].name);
    }
}

bool flag_valid(struct str name)
{
    if (name.n && *name.p == '\\') {
        name.p++;
        name.n--;
    }
    if (!name.n)
        return false;
    for (size_t i = 0; i < name.n; i++) {
        unsigned char c = (unsigned char)name.p[i];
        if (c <= ' ' || c >= 0x7f || strchr("(){%*\"\\]", c))
            return false;
    }
    return true;
}

/* A server must not have system flags of its own (RFC 3501 section 9, "flag-extension"), and
 * \Recent is not the client's to set. */
static bool may_be_set(struct str flag)
{
    if (!flag_valid(flag) || flag.n > LIMIT_KEYWORD)
        return false;
    return *flag.p != '\\' || (flag_from_name(flag) & ~(unsigned)FLAG_RECENT);
}

int flags_to_store(const char *value, size_t len, struct buf *out)
{
    size_t i = 0;
    if (len && (value[0] == '+' || value[0] == '-'))
        buf_addc(out, value[i++]);
    buf_adds(out, "FLAGS (");
    bool first = true;
    while (i < len) {
        struct str flag = {value + i, 0};
        while (i < len && value[i] != ' ' && value[i] != '\n')
            i++;
        flag.n = (size_t)(value + i - flag.p);
        i++;
        if (!flag.n)
            continue;
        if (!may_be_set(flag))
            return -EINVAL;
        if (!first)
            buf_addc(out, ' ');
        buf_add(out, flag.p, flag.n);
        first = false;
    }
    buf_addc(out, ')');
    if (first && out->data[0] != 'F')
        return -EINVAL; /* "+" of nothing */
    return out->len > LIMIT_COMMAND - COMMAND_REST ? -E2BIG : 0;
}
