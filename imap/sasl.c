#include "imap/sasl.h"

#include <errno.h>
#include <gsasl.h>
#include <stdlib.h>

#include "imap/mem.h"

struct sasl {
    Gsasl *lib;
    Gsasl_session *session;
};

struct sasl *sasl_start(const char *mech, const char *user, const char *password, const char *host,
                        struct buf *why)
{
    struct sasl *s = mem_zalloc(sizeof *s);
    if (gsasl_init(&s->lib) != GSASL_OK ||
        gsasl_client_start(s->lib, mech, &s->session) != GSASL_OK) {
        buf_addf(why, "the authentication mechanism %s is not supported here", mech);
        sasl_free(s);
        return NULL;
    }
    gsasl_property_set(s->session, GSASL_AUTHID, user);
    gsasl_property_set(s->session, GSASL_PASSWORD, password);
    gsasl_property_set(s->session, GSASL_SERVICE, "imap");
    gsasl_property_set(s->session, GSASL_HOSTNAME, host);
    return s;
}

int sasl_step(struct sasl *s, const char *challenge, struct buf *out)
{
    char *answer = NULL;
    int r = gsasl_step64(s->session, challenge, &answer);
    if (r == GSASL_OK || r == GSASL_NEEDS_MORE) {
        buf_adds(out, answer);
        explicit_bzero(answer, strlen(answer));
        gsasl_free(answer);
        return r == GSASL_OK;
    }
    return -EPROTO;
}

int sasl_client_first(const char *mech)
{
    return strcasecmp(mech, "PLAIN") == 0 || strncasecmp(mech, "SCRAM-", 6) == 0 ||
           strcasecmp(mech, "EXTERNAL") == 0 || strcasecmp(mech, "ANONYMOUS") == 0;
}

void sasl_free(struct sasl *s)
{
    if (!s)
        return;
    if (s->session)
        gsasl_finish(s->session);
    if (s->lib)
        gsasl_done(s->lib);
    free(s);
}
