#include "fs/netrc.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

#include "imap/base/mem.h"

/* The next word, quoted or not, cut out in place; NULL at the end. */
static char *next_word(char **p)
{
    while (**p && isspace((unsigned char)**p))
        (*p)++;
    if (!**p)
        return NULL;
    if (**p == '"') {
        char *start = ++*p, *to = start;
        for (; **p && **p != '"'; (*p)++) {
            if (**p == '\\' && (*p)[1])
                (*p)++;
            *to++ = **p;
        }
        if (**p)
            (*p)++;
        *to = '\0';
        return start;
    }
    char *start = *p;
    while (**p && !isspace((unsigned char)**p))
        (*p)++;
    if (**p)
        *(*p)++ = '\0';
    return start;
}

struct netrc_entry {
    bool matches; /* the machine is ours, or it is the default */
    char *login, *password;
};

/* Takes the first entry for the host whose login is `user`, or any when `user` is NULL. */
static bool netrc_take(const struct netrc_entry *e, const char *user, char **login, char **password)
{
    if (!e->matches || !e->password || (user && e->login && strcmp(user, e->login) != 0))
        return false;
    *login = e->login ? mem_strdup(e->login) : NULL;
    *password = mem_strdup(e->password);
    return true;
}

bool netrc_find(char *text, const char *host, const char *user, char **login, char **password)
{
    struct netrc_entry e = {0};
    char *p = text, *word;
    while ((word = next_word(&p))) {
        bool machine = strcmp(word, "machine") == 0, dflt = strcmp(word, "default") == 0;
        if (machine || dflt) {
            if (netrc_take(&e, user, login, password))
                return true;
            const char *name = machine ? next_word(&p) : NULL;
            e = (struct netrc_entry){.matches = dflt || (name && strcasecmp(name, host) == 0)};
        } else if (strcmp(word, "login") == 0) {
            e.login = next_word(&p);
        } else if (strcmp(word, "password") == 0) {
            e.password = next_word(&p);
        } else if (strcmp(word, "macdef") == 0) {
            char *end = strstr(p, "\n\n"); /* a macro runs to an empty line */
            p = end ? end : p + strlen(p);
        } else if (*word == '#') {
            p += strcspn(p, "\n");
        }
    }
    return netrc_take(&e, user, login, password);
}
