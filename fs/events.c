#include "fs/events.h"

#include <string.h>
#include <time.h>

#include "fs/message.h"
#include "fs/textfile.h"
#include "imap/base/utf8.h"

enum {
    MOST = 1024 * 1024, /* bytes */
    LINE = 64 * 1024,   /* room for any but the strangest line */
};

/* A JSON string, which is UTF-8 (RFC 8259 sections 7 and 8.1). Keywords may have other bytes,
 * though IMAP forbids it: each is shown as the character of that number. */
static void add_string(struct buf *out, const char *s)
{
    buf_addc(out, '"');
    for (size_t left = strlen(s); left;) {
        uint32_t cp;
        size_t n = utf8_next(s, left, &cp);
        if (!n || utf8_is_control(cp)) {
            buf_addf(out, "\\u%04x", n ? cp : (uint32_t)(unsigned char)*s);
        } else {
            if (*s == '"' || *s == '\\')
                buf_addc(out, '\\');
            buf_add(out, s, n);
        }
        s += n ? n : 1;
        left -= n ? n : 1;
    }
    buf_addc(out, '"');
}

void events_add(struct fs *fs, const char *folder, const struct msg_info *m,
                enum account_event what, const char *flags)
{
    static const char *const names[] = {
        [EVENT_NEW] = "new", [EVENT_EXPUNGED] = "expunged", [EVENT_FLAGS] = "flags"};
    char name[256];
    struct timespec now;
    message_name(fs, m, name);
    struct buf *text = textfile_begin(fs->events, &now);
    if (text->len > MOST || !buf_try(text, LINE))
        buf_free(text); /* tail(1) notices that it was truncated */
    buf_addf(text, "{\"time\":%lld.%03ld,\"event\":\"%s\",\"folder\":", (long long)now.tv_sec,
             now.tv_nsec / 1000000, names[what]);
    add_string(text, folder);
    buf_addf(text, ",\"uid\":%u,\"name\":", m->uid);
    add_string(text, name);
    if (what == EVENT_FLAGS) {
        buf_adds(text, ",\"flags\":");
        add_string(text, flags);
    }
    buf_adds(text, "}\n");
    textfile_end(fs->events);
}

void events_stat(struct fs *fs, struct stat *st)
{
    account_followed(fs->account); /* tail(1) reads only when this tells it that there is more */
    textfile_stat(fs->events, st);
}
