#include "imap/wire/outcome.h"

#include <errno.h>
#include <string.h>

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
    {"MESSAGELIMIT", CODE_MESSAGELIMIT, EFBIG},
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

/* Of what only asks, OVERQUOTA is about how much is asked for (Gmail), not about room for mail. */
static bool only_asks(const char *command)
{
    static const char *const names[] = {
        "UID FETCH", "UID SEARCH", "FETCH", "SEARCH", "SELECT", "EXAMINE",     "STATUS",
        "LIST",      "NOOP",       "IDLE",  "ENABLE", "NOTIFY", "GETQUOTAROOT"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(command, names[i]) == 0)
            return true;
    return false;
}

/* "Request is throttled. Suggested Backoff Time: 299961 milliseconds" (Office 365) */
static int64_t suggested_backoff(struct str text)
{
    static const char label[] = "Suggested Backoff Time: ";
    const char *at = text.n ? memmem(text.p, text.n, label, sizeof label - 1) : NULL;
    int64_t ms = 0;
    if (!at)
        return 0;
    for (at += sizeof label - 1; at < text.p + text.n && *at >= '0' && *at <= '9'; at++)
        ms = ms < INT32_MAX ? ms * 10 + (*at - '0') : ms;
    return ms;
}

bool outcome_throttled(struct response *r, const char *command, int64_t *wait)
{
    static const char throttled[] = "THROTTLED";
    if (r->cond != COND_NO && r->cond != COND_BAD)
        return false;
    enum resp_code code = code_from_name(r->code);
    *wait = suggested_backoff(r->text);
    if (!*wait && code != CODE_THROTTLED && !(code == CODE_OVERQUOTA && only_asks(command)))
        return false;
    r->cond = COND_NO;
    r->code = (struct str){throttled, sizeof throttled - 1};
    return true;
}
