/* The file names of messages: DATE_FROM_SUBJECT.UID.eml, made from what a stranger wrote into a
 * header so that no shell, terminal or script trips over it. All functions are thread-safe. */
#ifndef FS_NAME_H
#define FS_NAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The longest label in bytes: 255 less "2026-11-19T0931", '_', '.', ten digits and ".eml". */
#define NAME_LABEL_MAX (255 - 15 - 1 - 1 - 10 - 4)

/* Call once, before any thread calls name_label(): GMime's tables and the time zone. */
void name_init(void);

/* Writes the "FROM_SUBJECT" part of a name to `out`, NUL-terminated, and returns its length: at
 * most NAME_LABEL_MAX and less than `cap` (>= 1) bytes. `hdr` is the answer to
 * BODY.PEEK[HEADER.FIELDS (FROM SUBJECT)] as it came: folded, CRLF or LF, any bytes, hostile; it
 * may hold other fields. Encoded words are decoded (RFC 2047); the rest of RFC 5322 §3.4 is
 * understood as far as the display name of the first author needs it.
 *
 * Kept: ASCII letters and digits, . _ + @ , % and visible characters beyond ASCII. White space and
 * all else become '-', one for a run, none at either end; neither part begins with '.'; '_' in the
 * From part becomes '-', since '_' ends it. The From part takes at most 80 bytes. "unknown" and
 * "no-subject" stand for nothing. */
size_t name_label(const char *hdr, size_t len, char *out, size_t cap);

/* Writes "2026-11-19T0931_LABEL.4711.eml" and returns its length, at most 255. `when` (seconds
 * since the epoch) is shown in local time; a year that has not four digits gives "0000-00-00T0000".
 * A label over NAME_LABEL_MAX bytes is cut at a character. */
size_t name_compose(char out[static 256], int64_t when, const char *label, uint32_t uid);

/* Writes "4711.eml" and returns its length. */
size_t name_uid_only(char out[static 256], uint32_t uid);

/* Whether `name` ends as a message's name does, "UID.eml" alone or behind a '.', the UID without
 * leading zeros and 1 to 4294967295; if so `uid` is set. Names with a leading '.' are not messages
 * (editors' and desktops' own files). */
bool name_parse_uid(const char *name, uint32_t *uid);

#endif
