#include "imap/outcome.h"

#include <errno.h>

/* Sorted by nothing but the enum; `err` is what the code means for a command answered NO. */
static const struct {
    const char *name;
    enum resp_code code;
    int err;
} table[] = {
    {"ALERT", CODE_ALERT, EIO},
    {"ALREADYEXISTS", CODE_ALREADYEXISTS, EEXIST},
    {"APPENDUID", CODE_APPENDUID, EIO},
    {"AUTHENTICATIONFAILED", CODE_AUTHENTICATIONFAILED, EACCES},
    {"AUTHORIZATIONFAILED", CODE_AUTHORIZATIONFAILED, EACCES},
    {"CANNOT", CODE_CANNOT, EPERM},
    {"CAPABILITY", CODE_CAPABILITY, EIO},
    {"CLIENTBUG", CODE_CLIENTBUG, EIO},
    {"CLOSED", CODE_CLOSED, EIO},
    {"COPYUID", CODE_COPYUID, EIO},
    {"EXPIRED", CODE_EXPIRED, EACCES},
    {"EXPUNGEISSUED", CODE_EXPUNGEISSUED, ENOENT},
    {"HASCHILDREN", CODE_HASCHILDREN, ENOTEMPTY},
    {"HIGHESTMODSEQ", CODE_HIGHESTMODSEQ, EIO},
    {"INUSE", CODE_INUSE, EBUSY},
    {"LIMIT", CODE_LIMIT, EFBIG},
    {"NOMODSEQ", CODE_NOMODSEQ, EIO},
    {"NONEXISTENT", CODE_NONEXISTENT, ENOENT},
    {"NOPERM", CODE_NOPERM, EACCES},
    {"OVERQUOTA", CODE_OVERQUOTA, EDQUOT},
    {"PERMANENTFLAGS", CODE_PERMANENTFLAGS, EIO},
    {"READ-ONLY", CODE_READ_ONLY, EIO},
    {"READ-WRITE", CODE_READ_WRITE, EIO},
    {"SERVERBUG", CODE_SERVERBUG, EIO},
    {"THROTTLED", CODE_THROTTLED, EBUSY},
    {"TOOBIG", CODE_TOOBIG, EFBIG},
    {"TRYCREATE", CODE_TRYCREATE, ENOENT},
    {"UIDNEXT", CODE_UIDNEXT, EIO},
    {"UIDVALIDITY", CODE_UIDVALIDITY, EIO},
    {"UNAVAILABLE", CODE_UNAVAILABLE, EBUSY},
    {"UNSEEN", CODE_UNSEEN, EIO},
};

enum resp_code code_from_name(struct str name)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (str_is(name, table[i].name))
            return table[i].code;
    return CODE_NONE;
}

/* How the text of a NO without a code begins: Cyrus and Courier give hardly any, and Dovecot 2.3
 * gives [NONEXISTENT] only to some commands. */
static const struct {
    const char *text;
    int err;
} texts[] = {
    {"Mailbox doesn't exist", ENOENT},  {"Mailbox does not exist", ENOENT},
    {"Mailbox already exists", EEXIST}, {"Permission denied", EACCES},
    {"Invalid mailbox name", EINVAL},
};

int outcome_errno(const struct response *r)
{
    if (r->cond == COND_OK)
        return 0;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (str_is(r->code, table[i].name))
            return -table[i].err;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (r->cond == COND_NO && !r->code.n && str_starts(r->text, texts[i].text))
            return -texts[i].err;
    return -EIO;
}
