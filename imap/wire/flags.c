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

/* Is the word among these, in any case? */
static bool has_word(const char *words, struct str word)
{
    while (*words) {
        size_t n = strcspn(words, " ");
        if (n == word.n && strncasecmp(words, word.p, n) == 0)
            return true;
        words += n + strspn(words + n, " ");
    }
    return false;
}

int flag_change_add(struct flag_change *change, struct str name)
{
    if (!may_be_set(name))
        return -EINVAL;
    uint32_t before = change->bits, bit = flag_from_name(name);
    size_t len = change->keywords.len;
    change->bits |= bit;
    if (!bit && !has_word(buf_str(&change->keywords), name)) {
        if (len)
            buf_addc(&change->keywords, ' ');
        buf_add(&change->keywords, name.p, name.n);
    }
    struct buf text = {0};
    flag_change_text(change, &text);
    bool fits = text.len <= LIMIT_COMMAND - COMMAND_REST;
    buf_free(&text);
    if (fits)
        return 0;
    change->bits = before;
    change->keywords.len = len;
    return -E2BIG;
}

void flag_change_text(const struct flag_change *change, struct buf *out)
{
    static const char *const how[] = {"FLAGS (", "+FLAGS (", "-FLAGS ("};
    struct buf names = {0};
    flags_text(change->bits, &names);
    if (names.len && change->keywords.len)
        buf_addc(&names, ' ');
    if (change->keywords.len)
        buf_add(&names, change->keywords.data, change->keywords.len);
    buf_adds(out, how[change->how]);
    buf_add(out, names.data, names.len);
    buf_addc(out, ')');
    buf_free(&names);
}

void flag_change_copy(struct flag_change *to, const struct flag_change *from)
{
    to->how = from->how;
    to->bits = from->bits;
    if (from->keywords.len)
        buf_add(&to->keywords, from->keywords.data, from->keywords.len);
}

void flag_change_free(struct flag_change *change)
{
    buf_free(&change->keywords);
}

int flag_change_read(struct flag_change *change, const char *value, size_t len)
{
    size_t i = 0;
    bool any = false;
    if (len && (value[0] == '+' || value[0] == '-'))
        change->how = value[i++] == '+' ? FLAGS_ADD : FLAGS_REMOVE;
    while (i < len) {
        struct str flag = {value + i, 0};
        while (i < len && value[i] != ' ' && value[i] != '\n')
            i++;
        flag.n = (size_t)(value + i - flag.p);
        i++;
        if (!flag.n)
            continue;
        int err = flag_change_add(change, flag);
        if (err)
            return err;
        any = true;
    }
    return any || change->how == FLAGS_REPLACE ? 0 : -EINVAL;
}
