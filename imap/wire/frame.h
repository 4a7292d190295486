/* Finds where one server response ends: a line, or several joined by literals. */
#ifndef IMAP_WIRE_FRAME_H
#define IMAP_WIRE_FRAME_H

#include <stdbool.h>
#include <stddef.h>

enum parse_result {
    PARSE_DONE,
    PARSE_MORE, /* call again with more bytes behind the same ones */
    PARSE_BAD,  /* the stream cannot be followed any further: disconnect */
};

/* What was learnt of the response at the front of the buffer. Zero-initialise; set max_line. */
struct frame {
    size_t max_line; /* bytes of a response without its literals, at most */
    size_t pos;      /* looked at so far */
    size_t line;     /* where the current line starts, behind the last literal */
    size_t literals; /* bytes of literals so far */
    bool begun;
    bool text; /* a status response: a brace in it is text (RFC 3501 section 7.1) */
};

/* `data` begins with the response that `f` is about and may hold more behind it. DONE: the response
 * is the first *end bytes, its line end included, and `f` is ready for the next one. BAD: *why says
 * what is wrong (a static string). Linear in the bytes, however they arrive. */
enum parse_result frame_scan(struct frame *f, const char *data, size_t len, size_t *end,
                             const char **why);

/* After MORE: how many bytes of a literal are known to be missing behind the `len` there are. */
static inline size_t frame_missing(const struct frame *f, size_t len)
{
    return f->pos > len ? f->pos - len : 0;
}

#endif
