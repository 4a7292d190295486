/* Allocation that cannot fail: small requests die with a message when memory is gone. Anything a
 * server can size is capped by its owner and goes through mem_try() instead, which leaves something
 * for those. */
#ifndef IMAP_BASE_MEM_H
#define IMAP_BASE_MEM_H

#include <stddef.h>

/* As realloc(), but NULL, and `old` as it was, also when afterwards there would be next to nothing
 * left. */
void *mem_try(void *old, size_t size);

/* Ends the process: there is no memory for what cannot be done without. */
void mem_gone(void) __attribute__((noreturn));

/* All return memory the caller frees with free(). They abort the process when there is none. */
void *mem_alloc(size_t size);
void *mem_zalloc(size_t size);
void *mem_realloc(void *old, size_t size);
char *mem_strdup(const char *s);
char *mem_strndup(const char *s, size_t len);

/* Overwrites and frees a NUL-terminated secret; NULL is allowed. */
void mem_wipe_free(char *secret);

#endif
