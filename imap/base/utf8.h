/* UTF-8 read one character at a time, strictly: what a server calls text is checked here (RFC
 * 3629). */
#ifndef IMAP_BASE_UTF8_H
#define IMAP_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Reads the character at `s` (`len` bytes are there) into `cp` and returns its length in bytes,
 * 1 to 4. Returns 0 at the end of the text and for anything RFC 3629 §3 forbids: overlong forms,
 * surrogates, values over U+10FFFF, stray or missing continuation bytes. */
size_t utf8_next(const char *s, size_t len, uint32_t *cp);

/* Writes `cp` (a scalar value, not a surrogate) to `out` and returns the
 * number of bytes written, 1 to 4. */
size_t utf8_put(uint32_t cp, char out[static 4]);

/* Whether all `len` bytes are well-formed UTF-8. The empty text is; NUL is a character like others.
 */
bool utf8_valid(const char *s, size_t len);

/* Whether `cp` is a control character: C0, DEL or C1 (U+0080 to U+009F). */
bool utf8_is_control(uint32_t cp);

/* Whether `cp` changes the direction of the text around it (U+061C, U+200E, U+200F, U+202A to
 * U+202E, U+2066 to U+2069), with which one name can be made to look like another. */
bool utf8_is_bidi(uint32_t cp);

#endif
