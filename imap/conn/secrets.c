#include "imap/conn/secrets.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "imap/base/mem.h"
#include "imap/conn/sasl.h"

enum { SHORT = 4 }; /* bytes from which on a secret is looked for inside of words, too */

static const char hidden[] = "[secret]";

void secrets_add(struct secrets *s, const char *data, size_t len)
{
    if (!len)
        return;
    for (size_t i = 0; i < s->n; i++)
        if (s->list[i].len == len && memcmp(s->list[i].data, data, len) == 0)
            return;
    s->list = mem_realloc(s->list, (s->n + 1) * sizeof *s->list);
    s->list[s->n] = (struct buf){0};
    buf_add(&s->list[s->n++], data, len);
}

/* Without the padding, which says nothing and may be left out. */
static void add_base64(struct secrets *s, const struct buf *text)
{
    struct buf out = {0};
    if (sasl_encode(text->data, text->len, &out) == 0) {
        while (out.len && out.data[out.len - 1] == '=')
            out.len--;
        secrets_add(s, out.data, out.len);
    }
    buf_wipe_free(&out);
}

void secrets_add_password(struct secrets *s, const char *user, const char *password)
{
    struct buf text = {0};
    size_t len = strlen(password);
    if (!len)
        return;
    /* The longest first: a shorter one may be a part of it. */
    for (int twice = 1; twice >= 0; twice--) { /* with and without the identity to act as */
        buf_reset(&text);
        buf_adds(&text, twice ? user : "");
        buf_addc(&text, '\0');
        buf_adds(&text, user);
        buf_addc(&text, '\0');
        buf_add(&text, password, len);
        add_base64(s, &text);
    }
    buf_reset(&text);
    buf_add(&text, password, len);
    add_base64(s, &text);
    buf_reset(&text);
    for (const char *p = password; *p; p++) {
        if (*p == '"' || *p == '\\')
            buf_addc(&text, '\\');
        buf_addc(&text, *p);
    }
    secrets_add(s, text.data, text.len);
    secrets_add(s, password, len);
    buf_wipe_free(&text);
}

static bool is_word(const struct buf *text, size_t at, size_t len)
{
    return (at == 0 || !isalnum((unsigned char)text->data[at - 1])) &&
           (at + len == text->len || !isalnum((unsigned char)text->data[at + len]));
}

/* Where `secret` is found from `at` on, or the end of the text. */
static size_t find(const struct buf *text, size_t at, const struct buf *secret)
{
    while (at < text->len) {
        const char *p = memmem(text->data + at, text->len - at, secret->data, secret->len);
        if (!p)
            break;
        at = (size_t)(p - text->data);
        if (secret->len >= SHORT || is_word(text, at, secret->len))
            return at;
        at++;
    }
    return text->len;
}

static bool hide_all(struct buf *text, const struct buf *secret)
{
    size_t from = 0, at = find(text, 0, secret);
    struct buf out = {0};
    if (at == text->len)
        return false;
    while (at < text->len) {
        buf_add(&out, text->data + from, at - from);
        buf_adds(&out, hidden);
        from = at + secret->len;
        at = find(text, from, secret);
    }
    buf_add(&out, text->data + from, text->len - from);
    buf_wipe_free(text);
    *text = out;
    return true;
}

static bool hide_end(struct buf *text, const struct buf *secret)
{
    size_t most = secret->len - 1 < text->len ? secret->len - 1 : text->len;
    for (size_t n = most; n >= SHORT; n--)
        if (memcmp(text->data + text->len - n, secret->data, n) == 0) {
            text->len -= n;
            buf_adds(text, hidden);
            return true;
        }
    return false;
}

bool secrets_hide(const struct secrets *s, struct buf *text)
{
    bool any = false;
    for (size_t i = 0; i < s->n && text->len; i++)
        any |= hide_all(text, &s->list[i]);
    for (size_t i = 0; i < s->n && text->len; i++)
        any |= hide_end(text, &s->list[i]);
    return any;
}

void secrets_free(struct secrets *s)
{
    for (size_t i = 0; i < s->n; i++)
        buf_wipe_free(&s->list[i]);
    free(s->list);
    *s = (struct secrets){0};
}
