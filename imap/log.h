/* Where the program says what it does: one line per event, to stderr or syslog, made harmless. */
#ifndef IMAP_LOG_H
#define IMAP_LOG_H

#include <stdbool.h>
#include <stddef.h>

#include "imap/buf.h"

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

/* Appends the last error or warning with its time to `out`; nothing when there was none. */
void log_last(struct buf *out);

/* Appends `len` bytes of foreign text, control characters as \xNN, at most `max` bytes of input,
 * then "..." where something was cut. UTF-8 passes. */
void log_escape(struct buf *out, const char *data, size_t len, size_t max);

#endif
