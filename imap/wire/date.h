/* INTERNALDATE and APPEND's date-time (RFC 3501 §9, date-time) to and from seconds since 1970. */
#ifndef IMAP_WIRE_DATE_H
#define IMAP_WIRE_DATE_H

#include <stddef.h>
#include <stdint.h>

/* Reads "17-Jul-1996 02:44:25 -0700" (`len` bytes, without the quotes) into `when`, in seconds
 * since the epoch, UTC; negative before 1970. Also taken: a day of one digit or with a leading
 * space, no zone (then UTC), months in any case, spaces around, a leap second. -EINVAL, with `when`
 * unchanged, for everything else, for dates that do not exist (00-Jan-0000) and for texts of any
 * length. */
int date_parse(const char *s, size_t len, int64_t *when);

/* Writes "17-Jul-1996 02:44:25 +0000", NUL-terminated: always UTC, always in English, always valid.
 * A time outside the years 0001 to 9999 becomes the nearest one inside. */
void date_format(int64_t when, char out[static 32]);

#endif
