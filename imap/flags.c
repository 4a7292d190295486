#include "imap/flags.h"

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
