#include "imap/base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

void mem_gone(void)
{
    fputs("imapfs: out of memory\n", stderr);
    abort();
}

enum { RESERVE = 1024 * 1024 };

void *mem_try(void *old, size_t size)
{
    void *reserve = mmap(NULL, RESERVE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (reserve == MAP_FAILED)
        return NULL;
    void *p = realloc(old, size);
    munmap(reserve, RESERVE);
    return p;
}

static void *must(void *p)
{
    if (!p)
        mem_gone();
    return p;
}

void *mem_alloc(size_t size)
{
    return must(malloc(size ? size : 1));
}

void *mem_zalloc(size_t size)
{
    return must(calloc(1, size ? size : 1));
}

void *mem_realloc(void *old, size_t size)
{
    return must(realloc(old, size ? size : 1));
}

char *mem_strdup(const char *s)
{
    return must(strdup(s));
}

char *mem_strndup(const char *s, size_t len)
{
    return must(strndup(s, len));
}

void mem_wipe_free(char *secret)
{
    if (!secret)
        return;
    explicit_bzero(secret, strlen(secret));
    free(secret);
}
