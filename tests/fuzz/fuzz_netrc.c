/* A netrc file is the user's own, and may still be anything. The first line of the input is the
 * host, the second the user, empty for none. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fs/netrc.h"
#include "imap/base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Cuts the next line off. */
static char *cut_line(char **p)
{
    char *line = *p;
    *p += strcspn(*p, "\n");
    if (**p)
        *(*p)++ = '\0';
    return line;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *input = mem_strndup((const char *)data, size), *rest = input;
    const char *host = cut_line(&rest), *user = cut_line(&rest);
    char *text = mem_strdup(rest); /* of just this size */
    char *login = NULL, *password = NULL;
    if (netrc_find(text, host, *user ? user : NULL, &login, &password)) {
        assert(password && strlen(password) <= strlen(rest));
        assert(!*user || !login || strcmp(login, user) == 0);
    } else {
        assert(!login && !password);
    }
    free(login);
    free(password);
    free(text);
    free(input);
    return 0;
}
