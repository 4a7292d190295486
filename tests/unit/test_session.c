/* Connecting and logging in, against servers that are odd, broken or hostile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "imap/conn/owner.h"
#include "imap/conn/stream.h"
#include "imap/pool/pool.h"
#include "imap/wire/fetch.h"
#include "tests/unit/script.h"

struct login {
    const char *name;
    const char *why;     /* NULL: the login works; else a part of the sentence that says why not */
    const char *why_all; /* ... all of it */
    enum tls_mode mode;
    const char *auth;
    const char *user, *password; /* NULL: user, pass */
    int timeout;
    const char *prefix; /* the personal namespace */
    enum compress_mode compress;
    const char *status; /* a part of what is told of the connection */
    const char *const steps[48];
};

#define CAPS(caps) "S * OK [CAPABILITY IMAP4rev1 " caps "] hi"
#define IN         "S $T OK [CAPABILITY IMAP4rev1] in"
#define SECRET     "AHVzZXIAcGFzcw==" /* NUL user NUL pass */
#define SCRAM      "C AUTHENTICATE SCRAM-SHA-256", "S + ", "P biwsbj11c2VyLHI9"

static const struct login plain[] = {
    {"a server that says nothing of itself unasked",
     .steps = {"S * OK hi", "C CAPABILITY", "S * CAPABILITY IMAP4rev1", "S $T OK",
               "C LOGIN \"user\" \"pass\"", "S $T OK", "C CAPABILITY", "S * CAPABILITY IMAP4rev1",
               "S $T OK", QUIT}},
    {"capabilities in status responses", .steps = {HELLO(""), QUIT}},
    {"capabilities as data before the tagged answer",
     .steps = {CAPS(""), "C LOGIN \"user\" \"pass\"", "S * CAPABILITY IMAP4rev1 MOVE", "S $T OK",
               QUIT}},
    {"quotes in a password", .password = "a \"b\" \\c",
     .steps = {CAPS(""), "C LOGIN \"user\" \"a \\\"b\\\" \\\\c\"", IN, QUIT}},
    {"an empty password", .password = "", .steps = {CAPS(""), "C LOGIN \"user\" \"\"", IN, QUIT}},
    {"a password that needs a literal", .password = "p\xc3\xa4ss",
     .steps = {CAPS(""), "C LOGIN \"user\" {5}", "S + go", "L p\xc3\xa4ss", IN, QUIT}},
    {"two literals, and a bare plus", .user = "n\xc3\xa4", .password = "\xc3\xa4",
     .steps = {CAPS(""), "C LOGIN {3}", "S +", "L n\xc3\xa4 {2}", "S +", "L \xc3\xa4", IN, QUIT}},
    {"a literal refused: the password is not sent", .why = "login as user refused: no",
     .password = "p\xc3\xa4ss",
     .steps = {CAPS(""), "C LOGIN \"user\" {5}", "S $T NO no", "EOF", NULL}},
    {"a CR in a password is no second command", .password = "a\r\nA9 DELETE INBOX",
     .steps = {CAPS(""), "C LOGIN \"user\" {18}", "S + go", "L a", "L A9 DELETE INBOX", IN, QUIT}},
    {"LOGINDISABLED", .why = "forbids LOGIN", .steps = {CAPS("LOGINDISABLED"), "EOF", NULL}},
    {"LOGINDISABLED, told only when asked", .why = "forbids LOGIN",
     .steps = {"S * OK hi", "C CAPABILITY", "S * CAPABILITY IMAP4rev1 LOGINDISABLED", "S $T OK",
               "EOF", NULL}},
    {"LOGINDISABLED, though the user asked for LOGIN", .why = "forbids LOGIN", .auth = "LOGIN",
     .steps = {CAPS("LOGINDISABLED AUTH=PLAIN"), "EOF", NULL}},
    {"NO is final", .why = "login as user refused: Authentication failed.",
     .steps = {CAPS(""), "C LOGIN \"user\" \"pass\"",
               "S $T NO [AUTHENTICATIONFAILED] Authentication failed.", "EOF", NULL}},
    {"a referral is not followed", .why = "login as user refused: Try elsewhere",
     .steps = {CAPS("LOGIN-REFERRALS"), "C LOGIN \"user\" \"pass\"",
               "S $T NO [REFERRAL imap://user@127.0.0.1/] Try elsewhere", "EOF", NULL}},
    {"nor is one that lets in",
     .steps = {CAPS("LOGIN-REFERRALS"), "C LOGIN \"user\" \"pass\"",
               "S $T OK [REFERRAL imap://user@127.0.0.1/] Elsewhere is better", "C CAPABILITY",
               "S * CAPABILITY IMAP4rev1", "S $T OK", QUIT}},
    {"a bare NO", .why = "login as user refused: the server gives no reason",
     .steps = {CAPS(""), "C LOGIN \"user\" \"pass\"", "S $T NO", "EOF", NULL}},
    {"too many connections is not a wrong password",
     .why = "login as user not possible now: Too many",
     .steps = {CAPS(""), "C LOGIN \"user\" \"pass\"", "S $T NO [LIMIT] Too many", "EOF", NULL}},
    {"a server that is down is not a wrong password",
     .why = "login as user not possible now: Later",
     .steps = {CAPS(""), "C LOGIN \"user\" \"pass\"", "S $T NO [UNAVAILABLE] Later", "EOF", NULL}},
    {"an alert says nothing of how long", .why = "login as user refused: Too many",
     .steps = {CAPS(""), "C LOGIN \"user\" \"pass\"", "S $T NO [ALERT] Too many", "EOF", NULL}},
    {"the server closes during login", .why = "the server closed the connection during login",
     .steps = {CAPS(""), "C LOGIN \"user\" \"pass\"", "CUT", NULL}},
    {"the server ends the session during login, and says why",
     .why = "closed the connection during login: go away",
     .steps = {CAPS(""), "C LOGIN \"user\" \"pass\"", "S * BYE go away", "EOF", NULL}},
    {"half a line during login", .why = "closed the connection during login",
     .steps = {CAPS(""), "C LOGIN \"user\" \"pass\"", "S * OK [X", "CUT", NULL}},
    {"a plus out of nowhere", .why = "asks for more",
     .steps = {CAPS(""), "C LOGIN \"user\" \"pass\"", "S + what", "EOF", NULL}},
    {"OK where a password was to come", .why = "has not asked for a password",
     .password = "p\xc3\xa4ss",
     .steps = {CAPS(""), "C LOGIN \"user\" {5}", "S $T OK in", "EOF", NULL}},
    {"data that is none of the login's",
     .steps = {CAPS(""), "C LOGIN \"user\" \"pass\"", "S * LIST (((", "S * 1 EXISTS",
               "S * SEARCH 1", "S * 1 FETCH (UID 5)", "S * ESEARCH", "S * STATUS", "S * QUOTA",
               "S * VANISHED 1", "S * 1 EXPUNGE", "S * OK [COPYUID 1 2 3]",
               "S * OK [UIDVALIDITY 3] x", IN, QUIT}},
    {"silence during login", .why = "no answer from the server during login", .timeout = 300,
     .steps = {CAPS(""), "C LOGIN \"user\" \"pass\"", "EOF", NULL}},
};

static const struct login sasl[] = {
    {"PLAIN at once",
     .steps = {CAPS("SASL-IR AUTH=PLAIN"), "C AUTHENTICATE PLAIN " SECRET, IN, QUIT}},
    {"PLAIN when asked",
     .steps = {CAPS("AUTH=PLAIN"), "C AUTHENTICATE PLAIN", "S + ", "L " SECRET, IN, QUIT}},
    {"PLAIN after a bare plus",
     .steps = {CAPS("AUTH=PLAIN"), "C AUTHENTICATE PLAIN", "S +", "L " SECRET, IN, QUIT}},
    {"PLAIN with LOGINDISABLED", .steps = {CAPS("LOGINDISABLED AUTH=PLAIN"), "C AUTHENTICATE PLAIN",
                                           "S + ", "L " SECRET, IN, QUIT}},
    {"SASL-IR advertised and refused",
     .steps = {CAPS("SASL-IR AUTH=PLAIN"), "C AUTHENTICATE PLAIN " SECRET, "S $T BAD what",
               "C AUTHENTICATE PLAIN", "S + ", "L " SECRET, IN, QUIT}},
    {"AUTHENTICATE advertised and refused",
     .steps = {CAPS("SASL-IR AUTH=PLAIN"), "C AUTHENTICATE PLAIN " SECRET, "S $T BAD what",
               "C AUTHENTICATE PLAIN", "S $T BAD what", "C LOGIN \"user\" \"pass\"", IN, QUIT}},
    {"no LOGIN in its place when that is forbidden", .why = "login as user refused: what",
     .steps = {CAPS("LOGINDISABLED AUTH=PLAIN"), "C AUTHENTICATE PLAIN", "S $T BAD what", "EOF",
               NULL}},
    {"nor when the user chose", .why = "login as user refused: what", .auth = "PLAIN",
     .steps = {CAPS("AUTH=PLAIN"), "C AUTHENTICATE PLAIN", "S $T BAD what", "EOF", NULL}},
    {"a mechanism that is not offered", .why = "login as user refused: Unsupported",
     .auth = "CRAM-MD5",
     .steps = {CAPS("AUTH=PLAIN"), "C AUTHENTICATE CRAM-MD5", "S $T NO [ALERT] Unsupported", "EOF",
               NULL}},
    {"NO is final", .why = "login as user refused: no",
     .steps = {CAPS("SASL-IR AUTH=PLAIN"), "C AUTHENTICATE PLAIN " SECRET, "S $T NO no", "EOF",
               NULL}},
    {"in clear text the password itself is not sent if it can be helped", .password = "sesame",
     .why = "login as user refused: no",
     .steps = {CAPS("AUTH=PLAIN AUTH=SCRAM-SHA-1 AUTH=SCRAM-SHA-256"), SCRAM, "S $T NO no", "EOF",
               NULL}},
    /* mailutils offers it without secrets. */
    {"what to do about it is said", .password = "sesame",
     .why = "no (it may have no secrets for SCRAM-SHA-256: -o auth=PLAIN sends the password "
            "itself, in clear text)",
     .steps = {CAPS("AUTH=PLAIN AUTH=SCRAM-SHA-256"), SCRAM, "S $T NO no", "EOF", NULL}},
    {"where there is no PLAIN", .password = "sesame",
     .why = "-o auth=LOGIN sends the password itself, in clear text)",
     .steps = {CAPS("AUTH=SCRAM-SHA-256"), SCRAM, "S $T NO no", "EOF", NULL}},
    {"and is not where nothing can be done", .why_all = "login as user refused: no",
     .steps = {CAPS("LOGINDISABLED AUTH=SCRAM-SHA-256"), SCRAM, "S $T NO no", "EOF", NULL}},
    {"nor where the user chose", .why_all = "login as user refused: no", .auth = "SCRAM-SHA-256",
     .steps = {CAPS("AUTH=PLAIN AUTH=SCRAM-SHA-256"), SCRAM, "S $T NO no", "EOF", NULL}},
    {"nor where it is about something else", .why_all = "login as user not possible now: no",
     .steps = {CAPS("AUTH=PLAIN AUTH=SCRAM-SHA-256"), SCRAM, "S $T NO [UNAVAILABLE] no", "EOF",
               NULL}},
    {"BAD brings forth no password either", .password = "sesame",
     .why = "login as user refused: what (it may",
     .steps = {CAPS("AUTH=PLAIN AUTH=SCRAM-SHA-256"), "C AUTHENTICATE SCRAM-SHA-256",
               "S $T BAD what", "EOF", NULL}},
    {"nor BAD to both ways of asking", .password = "sesame",
     .why = "login as user refused: what (it may",
     .steps = {CAPS("SASL-IR AUTH=SCRAM-SHA-256"), "P A1 AUTHENTICATE SCRAM-SHA-256 biws",
               "S A1 BAD what", "C AUTHENTICATE SCRAM-SHA-256", "S $T BAD what", "EOF", NULL}},
    {"a challenge that is none", .why = "makes no sense", .auth = "SCRAM-SHA-256",
     .steps = {CAPS("AUTH=SCRAM-SHA-256"), SCRAM, "S + eD15", "EOF", NULL}},
    {"two thousand million rounds", .why = "more than 10000000 rounds",
     .steps = {CAPS("AUTH=SCRAM-SHA-256"), SCRAM,
               "S + cj14LHM9YzJGc2RBPT0saT0yMDAwMDAwMDAw" /* r=x,s=c2FsdA==,i=2000000000 */, "EOF",
               NULL}},
    {"a number of rounds that has no end", .why = "more than 10000000 rounds",
     .steps =
         {CAPS("AUTH=SCRAM-SHA-256"), SCRAM,
          "S + cj14LHM9YzJGc2RBPT0saT0xODQ0Njc0NDA3MzcwOTU1MTYxNw==" /* i=18446744073709551617 */,
          "EOF", NULL}},
    {"rounds that take longer than the login may", .why = "longer than the login may", .timeout = 1,
     .steps = {CAPS("AUTH=SCRAM-SHA-256"), SCRAM,
               "S + cj14LHM9YzJGc2RBPT0saT0xMDAwMDAwMA==" /* i=10000000 */, "EOF", NULL}},
    {"an error of SCRAM's is a refused login", .why = "login refused: invalid-proof",
     .steps = {CAPS("AUTH=SCRAM-SHA-256"), SCRAM, "S + ZT1pbnZhbGlkLXByb29m", "EOF", NULL}},
    {"a server that does not prove itself", .why = "did not prove itself",
     .steps = {CAPS("SASL-IR AUTH=SCRAM-SHA-256"), "P A1 AUTHENTICATE SCRAM-SHA-256 biws",
               "S A1 OK in", "EOF", NULL}},
    {"an unknown mechanism", .why = "XYZZY is not supported here", .auth = "XYZZY",
     .steps = {CAPS("AUTH=XYZZY"), "EOF", NULL}},
};

static const struct login greetings[] = {
    {"BYE", .why = "refuses the connection: full", .steps = {"S * BYE full", "EOF", NULL}},
    {"another protocol", .why = "the server", .steps = {"S HTTP/1.1 400 Bad Request", "EOF", NULL}},
    {"a tagged answer", .why = "the server", .steps = {"S A1 OK hi", "EOF", NULL}},
    {"a continuation", .why = "the server", .steps = {"S + hi", "EOF", NULL}},
    {"data", .why = "the server", .steps = {"S * CAPABILITY IMAP4rev1 AUTH=PLAIN", "EOF", NULL}},
    {"NO", .why = "the server", .steps = {"S * NO hi", "EOF", NULL}},
    {"an empty line", .why = "the server", .steps = {"S ", "EOF", NULL}},
    {"a literal", .why = "the server", .steps = {"S * X {4294967296}", "EOF", NULL}},
    {"nothing", .why = "when it should greet (is this the port for imaps://?)", .timeout = 300,
     .steps = {"EOF", NULL}},
    {"the end", .why = "closed the connection", .steps = {"CUT", NULL}},
    {"half a line", .why = "closed the connection", .steps = {"R * OK", "CUT", NULL}},
    {"PREAUTH in clear text", .why = "PREAUTH", .steps = {"S * PREAUTH hi", "EOF", NULL}},
    {"PREAUTH where STARTTLS is due", .why = "PREAUTH", .mode = TLS_STARTTLS,
     .steps = {"S * PREAUTH [CAPABILITY IMAP4rev1 STARTTLS] hi", "EOF", NULL}},
    /* CVE-2026-42246. */
    {"an answer before the question", .why = "the server",
     .steps = {"R * OK [CAPABILITY IMAP4rev1] hi\r\nA1 OK you are in\r\n", "EOF", NULL}},
    {"an answer to the question after the next", .why = "the server",
     .steps = {"S * OK hi", "C CAPABILITY",
               "R * CAPABILITY IMAP4rev1\r\nA1 OK\r\nA2 OK you are in\r\n", "EOF", NULL}},
    {"no capabilities", .why = "does not say what it can do",
     .steps = {"S * OK hi", "C CAPABILITY", "S $T OK", "EOF", NULL}},
    {"a request for more", .why = "asks for more",
     .steps = {"S * OK hi", "C CAPABILITY", "S + go", "EOF", NULL}},
};

/* Fail closed: no password is sent, nothing hangs. */
static const struct login starttls[] = {
    {"not offered", .why = "does not offer STARTTLS", .mode = TLS_STARTTLS,
     .steps = {CAPS("AUTH=PLAIN"), "EOF", NULL}},
    {"NO", .why = "refuses STARTTLS: no", .mode = TLS_STARTTLS,
     .steps = {CAPS("STARTTLS"), "C STARTTLS", "S $T NO no", "EOF", NULL}},
    {"BAD", .why = "refuses STARTTLS: no", .mode = TLS_STARTTLS,
     .steps = {CAPS("STARTTLS"), "C STARTTLS", "S $T BAD no", "EOF", NULL}},
    {"a plus", .why = "asks for more", .mode = TLS_STARTTLS,
     .steps = {CAPS("STARTTLS"), "C STARTTLS", "S + go", "EOF", NULL}},
    {"silence", .why = "no answer from the server", .mode = TLS_STARTTLS, .timeout = 300,
     .steps = {CAPS("STARTTLS"), "C STARTTLS", "EOF", NULL}},
    {"the end", .why = "closed the connection", .mode = TLS_STARTTLS,
     .steps = {CAPS("STARTTLS"), "C STARTTLS", "CUT", NULL}},
    {"silence behind OK", .why = "no TLS with", .mode = TLS_STARTTLS, .timeout = 300,
     .steps = {CAPS("STARTTLS"), "C STARTTLS", "S $T OK", "TLS", NULL}},
    {"half a line behind OK", .why = "unencrypted data", .mode = TLS_STARTTLS,
     .steps = {CAPS("STARTTLS"), "C STARTTLS", "R $T OK go\r\n* CAPABI", "EOF", NULL}},
    {"a line behind OK", .why = "unencrypted data", .mode = TLS_STARTTLS,
     .steps = {CAPS("STARTTLS"), "C STARTTLS",
               "R $T OK go\r\n* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n", "EOF", NULL}},
    {"a tagged line behind OK", .why = "unencrypted data", .mode = TLS_STARTTLS,
     .steps = {CAPS("STARTTLS"), "C STARTTLS", "R $T OK go\r\nA2 OK logged in\r\n", "EOF", NULL}},
};

static const struct login after[] = {
    {"told who asks", .prefix = "",
     .steps = {HELLO("ID"), "P A2 ID (\"name\" \"imapfs\" \"version\" \"", "S A2 NO why", QUIT}},
    {"told in two answers", .prefix = "",
     .steps = {CAPS(""), "C LOGIN \"user\" \"pass\"", "S $T OK [CAPABILITY IMAP4rev1 ID] in",
               "P A2 ID", "S * ID NIL", "R * OK [ALERT] x\x1b[31m\r\n", "S A2 OK", QUIT}},
    {"namespaces", .prefix = "INBOX.",
     .steps = {HELLO("NAMESPACE"), "C NAMESPACE", "S * NAMESPACE ((\"INBOX.\" \".\")) NIL NIL",
               "S $T OK", QUIT}},
    {"no namespace", .prefix = "",
     .steps = {HELLO("NAMESPACE"), "C NAMESPACE", "S * NAMESPACE NIL NIL NIL", "S $T OK", QUIT}},
    {"NAMESPACE refused", .prefix = "",
     .steps = {HELLO("NAMESPACE"), "C NAMESPACE", "S $T BAD what", QUIT}},
    /* Exchange 2003. */
    {"NAMESPACE hangs up", .prefix = "",
     .steps = {HELLO("NAMESPACE"), "C NAMESPACE", AGAIN, HELLO("NAMESPACE"), QUIT}},
    {"a prefix of any length is cut", .prefix = "long",
     .steps =
         {HELLO("NAMESPACE"), "C NAMESPACE",
          "S * NAMESPACE ((\"long/012345678901234567890123456789012345678901234567890123456789"
          "012345678901234567890123456789012345678901234567890123456789012345678901234567890123"
          "45678901234567890123456789012345678901234567890123456789012345678901234567890123456"
          "789012345678901234567890123456789\" \"/\")) NIL NIL",
          "S $T OK", QUIT}},
};

#define OFFERED HELLO("COMPRESS=DEFLATE")
#define ASKED   OFFERED, "C COMPRESS DEFLATE"
#define ZIPPED  "connection 0: up, no TLS, deflate, mailbox -"
#define CLEAR   "connection 0: up, no TLS, mailbox -"

static const struct login compress[] = {
    {"OK", .compress = COMPRESS_YES, .status = ZIPPED, .steps = {ASKED, "Z $T OK", QUIT}},
    {"OK after data", .compress = COMPRESS_YES, .status = ZIPPED,
     .steps = {ASKED, "S * OK [ALERT] x", "Z $T OK [X] go", QUIT}},
    {"a line behind the OK", .compress = COMPRESS_YES, .status = ZIPPED,
     .steps = {ASKED, "Z $T OK", "S * OK hi", QUIT}},
    {"NO", .compress = COMPRESS_YES, .status = CLEAR,
     .steps = {ASKED, "S $T NO [COMPRESSIONACTIVE] TLS does it", QUIT}},
    {"BAD", .compress = COMPRESS_YES, .status = CLEAR, .steps = {ASKED, "S $T BAD what", QUIT}},
    {"not offered", .compress = COMPRESS_YES, .status = CLEAR,
     .steps = {HELLO("COMPRESS=LZW COMPRESS"), QUIT}},
    {"offered only before the login", .compress = COMPRESS_YES, .status = CLEAR,
     .steps = {CAPS("COMPRESS=DEFLATE"), "C LOGIN \"user\" \"pass\"", IN, QUIT}},
    {"offered only after the login", .compress = COMPRESS_YES, .status = ZIPPED,
     .steps = {CAPS(""), "C LOGIN \"user\" \"pass\"",
               "S $T OK [CAPABILITY IMAP4rev1 COMPRESS=DEFLATE] in", "C COMPRESS DEFLATE",
               "Z $T OK", QUIT}},
    {"not wanted", .compress = COMPRESS_NO, .status = CLEAR, .steps = {OFFERED, QUIT}},
    {"not worth it on this machine", .compress = COMPRESS_AUTO, .status = CLEAR,
     .steps = {OFFERED, QUIT}},
    {"after the introduction", .compress = COMPRESS_YES, .status = ZIPPED,
     .steps = {HELLO("NAMESPACE COMPRESS=DEFLATE"), "C NAMESPACE", "S $T OK", "C COMPRESS DEFLATE",
               "Z $T OK", QUIT}},
    {"silence", .compress = COMPRESS_YES, .timeout = 300,
     .why = "no answer from the server when asked to compress", .steps = {ASKED, "EOF", NULL}},
    {"the end", .compress = COMPRESS_YES, .why = "closed the connection when asked to compress",
     .steps = {ASKED, "CUT", NULL}},
    {"a plus", .compress = COMPRESS_YES, .why = "asks for more when asked to compress",
     .steps = {ASKED, "S + go", "EOF", NULL}},
};

/* ---- running them ---- */

static void on_row(void *ctx, const char *mailbox, uint32_t uidvalidity,
                   const struct fetch_row *row)
{
    (void)ctx;
    (void)mailbox;
    (void)uidvalidity;
    (void)row;
}

static void on_change(void *ctx, const char *mailbox, uint32_t uidvalidity, unsigned what)
{
    (void)ctx;
    (void)mailbox;
    (void)uidvalidity;
    (void)what;
}

static void on_batch(void *ctx)
{
    (void)ctx;
}

static const struct pool_events events = {.row = on_row, .changed = on_change, .batch = on_batch};

static struct tls_config *tls;

static int set_up(void **state)
{
    (void)state;
    struct buf why = {0};
    tls = tls_config_new(NULL, NULL, &why);
    buf_free(&why);
    return tls ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    tls_config_free(tls);
    return 0;
}

static void run(const struct login *l)
{
    struct script server;
    struct buf why = {0};
    assert_true(script_start(&server, l->steps));
    struct pool_config config = {
        .host = "127.0.0.1",
        .port = server.port,
        .tls_mode = l->mode ? l->mode : TLS_NONE,
        .tls = tls,
        .user = l->user ? l->user : "user",
        .password = l->password ? l->password : "pass",
        .auth = l->auth,
        .timeout = l->timeout ? l->timeout : SCRIPT_PATIENCE,
        .connections = 1,
        .compress = l->compress,
    };
    char prefix[8] = "";
    struct buf status = {0};
    struct pool *pool = pool_open(&config, &events, NULL, &why);
    bool opened = pool != NULL;
    if (opened)
        snprintf(prefix, sizeof prefix, "%s", pool_namespace(pool));
    if (opened)
        pool_status(pool, &status);
    if (opened)
        pool_stop(pool);
    pool_free(pool);
    script_end(&server);

    if (server.error[0])
        fail_msg("%s: %s (%s)", l->name, server.error, buf_str(&why));
    if (opened != !(l->why || l->why_all) || (l->why && !strstr(buf_str(&why), l->why)) ||
        (l->why_all && strcmp(buf_str(&why), l->why_all) != 0))
        fail_msg("%s: %s: %s", l->name, opened ? "logged in" : "not logged in", buf_str(&why));
    if (!opened && (strchr(buf_str(&why), '\n') ||
                    (*config.password && strstr(buf_str(&why), config.password))))
        fail_msg("%s: %s", l->name, buf_str(&why));
    if (l->prefix && strncmp(prefix, l->prefix, 4) != 0)
        fail_msg("%s: prefix %s", l->name, prefix);
    if (l->status && !strstr(buf_str(&status), l->status))
        fail_msg("%s: status %s", l->name, buf_str(&status));
    buf_free(&status);
    buf_free(&why);
}

#define RUN(table)                                                                                 \
    for (size_t i = 0; i < sizeof(table) / sizeof *(table); i++)                                   \
    run(&(table)[i])

static void test_login(void **state)
{
    (void)state;
    RUN(plain);
}

static void test_sasl(void **state)
{
    (void)state;
    RUN(sasl);
}

static void test_greeting(void **state)
{
    (void)state;
    RUN(greetings);
}

static void test_starttls(void **state)
{
    (void)state;
    RUN(starttls);
}

static void test_after(void **state)
{
    (void)state;
    RUN(after);
}

static void test_compress(void **state)
{
    (void)state;
    RUN(compress);
}

/* NOTIFY is asked for the personal namespaces, so it tells of all folders if there are no others.
 */
static bool tells_all(const char *namespaces)
{
    const char *const steps[] = {HELLO("NAMESPACE NOTIFY"), "C NAMESPACE", namespaces, "S $T OK",
                                 "P A3 NOTIFY SET",         "S A3 OK",     QUIT};
    struct script server;
    struct buf why = {0};
    assert_true(script_start(&server, steps));
    struct pool_config config = {.host = "127.0.0.1",
                                 .port = server.port,
                                 .tls_mode = TLS_NONE,
                                 .user = "user",
                                 .password = "pass",
                                 .timeout = SCRIPT_PATIENCE,
                                 .connections = 1};
    struct pool *pool = pool_open(&config, &events, NULL, &why);
    assert_non_null(pool);
    int64_t limit = clock_ms() + SCRIPT_PATIENCE;
    bool notified = false;
    while (!notified && clock_ms() < limit) {
        struct buf status = {0};
        pool_status(pool, &status);
        notified = strstr(buf_str(&status), "(NOTIFY)");
        buf_free(&status);
        usleep(1000);
    }
    assert_true(notified);
    bool all = pool_tells_all(pool);
    pool_stop(pool);
    pool_free(pool);
    script_end(&server);
    assert_string_equal(server.error, "");
    buf_free(&why);
    return all;
}

static void test_tells_all(void **state)
{
    (void)state;
    assert_true(tells_all("S * NAMESPACE ((\"\" \"/\")) NIL NIL"));
    assert_true(tells_all("S * NAMESPACE ((\"\" \"/\")(\"#mh/\" \"/\")) NIL NIL"));
    assert_false(tells_all("S * NAMESPACE ((\"\" \"/\")) ((\"~\" \"/\")) NIL"));
    assert_false(tells_all("S * NAMESPACE ((\"\" \"/\")) NIL ((\"Shared/\" \"/\"))"));
    assert_false(tells_all("S * NAMESPACE ((\"\" \"/\") NIL NIL)"));
    assert_false(tells_all("S * NAMESPACE NIL NIL NIL"));
    assert_false(tells_all("S * OK no namespaces"));
}

/* Nobody listens. */
static void test_refused(void **state)
{
    (void)state;
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    char port[8];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    snprintf(port, sizeof port, "%u", ntohs(a.sin_port));
    struct pool_config config = {.host = "127.0.0.1",
                                 .port = port,
                                 .tls_mode = TLS_NONE,
                                 .user = "user",
                                 .password = "pass",
                                 .timeout = SCRIPT_PATIENCE,
                                 .connections = 3};
    struct buf why = {0};
    assert_null(pool_open(&config, &events, NULL, &why));
    assert_non_null(strstr(buf_str(&why), "cannot connect to 127.0.0.1"));
    buf_free(&why);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_login),     cmocka_unit_test(test_sasl),
        cmocka_unit_test(test_greeting),  cmocka_unit_test(test_starttls),
        cmocka_unit_test(test_after),     cmocka_unit_test(test_compress),
        cmocka_unit_test(test_tells_all), cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests_name("session", tests, set_up, tear_down);
}
