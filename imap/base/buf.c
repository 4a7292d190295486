#include "imap/base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <assert.h>

#include "imap/base/mem.h"

char *buf_reserve(struct buf *b, size_t more)
{
    size_t need = b->len + more + 1; /* the byte for buf_str()'s NUL */
    assert(need > more);
    if (need > b->cap) {
        size_t cap = b->cap ? b->cap : 64;
        while (cap < need)
            cap *= 2;
        b->data = mem_realloc(b->data, cap);
        b->cap = cap;
    }
    return b->data + b->len;
}

bool buf_try(struct buf *b, size_t more)
{
    size_t need = b->len + more + 1, cap = b->cap ? b->cap : 64;
    while (cap < need)
        cap *= 2;
    char *data = cap > b->cap ? mem_try(b->data, cap) : b->data;
    if (!data)
        return false;
    b->data = data;
    b->cap = cap;
    return true;
}

char *buf_try_room(struct buf *b, size_t more)
{
    size_t need = b->len + more + 1;
    char *data = need > b->cap ? mem_try(b->data, need) : b->data;
    if (!data)
        return NULL;
    b->data = data;
    b->cap = need > b->cap ? need : b->cap;
    return data + b->len;
}

char *buf_room(struct buf *b, size_t more)
{
    size_t need = b->len + more + 1;
    assert(need > more);
    if (need > b->cap) {
        b->data = mem_realloc(b->data, need);
        b->cap = need;
    }
    return b->data + b->len;
}

void buf_add(struct buf *b, const void *data, size_t len)
{
    if (!len)
        return;
    memcpy(buf_reserve(b, len), data, len);
    b->len += len;
}

void buf_addc(struct buf *b, char c)
{
    *buf_reserve(b, 1) = c;
    b->len++;
}

void buf_adds(struct buf *b, const char *s)
{
    buf_add(b, s, strlen(s));
}

void buf_addf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    char probe[1]; /* gcc's sanitizer takes NULL here for a mistake */
    va_start(ap, fmt);
    int n = vsnprintf(probe, sizeof probe, fmt, ap);
    va_end(ap);
    if (n < 0)
        return;
    char *room = buf_reserve(b, (size_t)n);
    va_start(ap, fmt);
    vsnprintf(room, (size_t)n + 1, fmt, ap);
    va_end(ap);
    b->len += (size_t)n;
}

void buf_shift(struct buf *b, size_t n)
{
    assert(n <= b->len);
    if (n < b->len)
        memmove(b->data, b->data + n, b->len - n);
    b->len -= n;
}

const char *buf_str(struct buf *b)
{
    *buf_reserve(b, 0) = '\0';
    return b->data;
}

char *buf_steal(struct buf *b)
{
    buf_str(b);
    char *s = b->data;
    *b = (struct buf){0};
    return s;
}

void buf_free(struct buf *b)
{
    free(b->data);
    *b = (struct buf){0};
}

void buf_wipe_free(struct buf *b)
{
    if (b->data)
        explicit_bzero(b->data, b->cap);
    buf_free(b);
}
