/* Where the program says what it does: one line per event, to stderr or syslog, made harmless. */
#ifndef IMAP_BASE_LOG_H
#define IMAP_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "imap/base/buf.h"

/* Call once before threads start. With `debug`, log_debug() lines appear too. */
void log_init(bool debug);

/* From now on lines go to syslog(3), because the terminal is given back. */
void log_to_syslog(void);

bool log_debugging(void);

/* Every line passes through here; control characters in the result are escaped, so that a
 * server's words cannot move a cursor or forge a line. An error or a warning is remembered for
 * log_last(). Credentials are the caller's duty: they are never passed in. Thread-safe. */
void log_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Lines of one kind, of which a server can cause any number. In a minute LOG_BURST of them appear;
 * how many others there would have been, says a line of its own before the next one of any kind
 * that appears after that minute, or log_flush(). One for each kind, static, made by LOG_LIMIT().
 */
struct log_limit {
    const char *what;       /* "words of the server": what the lines are, in the plural */
    int64_t began;          /* log.c's own from here on: when that minute began */
    unsigned shown;         /* so many appeared since, */
    uint64_t left_out;      /* and so many did not */
    struct log_limit *next; /* of all that have left something out */
    bool listed;
};

enum { LOG_BURST = 10 };

#define LOG_LIMIT(words)                                                                           \
    {                                                                                              \
        .what = (words)                                                                            \
    }

/* May another line of this kind appear? Then the caller writes it; else it is counted. */
bool log_may(struct log_limit *limit);

/* Says what was left out so far; before the program ends. */
void log_flush(void);

/* Appends the last error or warning with its time to `out`; nothing when there was none. */
void log_last(struct buf *out);

/* Appends `len` bytes of foreign text, control characters as \xNN, at most `max` bytes of input,
 * then "..." where something was cut. UTF-8 passes. */
void log_escape(struct buf *out, const char *data, size_t len, size_t max);

#endif
