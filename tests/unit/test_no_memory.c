/* No memory for what the server sizes: each of these allocations in turn finds none. An account is
 * opened, listed and read over a server in a thread of the test. What is asked for then may fail,
 * but nothing else does, and what succeeds is right. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cache/account.h"
#include "imap/base/clock.h"
#include "imap/base/mem.h"
#include "imap/wire/flags.h"

enum {
    MESSAGES = 1500,      /* with a gap behind each, so that sets of them are large */
    LARGE = 900 * 1024,   /* bytes of message 1: it comes in pieces */
    SMALL = 40 * 1024,    /* of the others */
    PATIENCE = 20 * 1000, /* ms */
    FOR_GOOD = 1000000,
};

/* ---- the allocator ---- */

static atomic_uint count;   /* of allocations that a server sizes */
static atomic_uint fail_at; /* the first one that fails, counted from 1; 0: none */
static atomic_uint failing; /* how many of them */

/* NOLINTBEGIN(bugprone-reserved-identifier): the names are those that --wrap makes. */
void *__real_mem_try(void *old, size_t size);
void *__wrap_mem_try(void *old, size_t size);
void *__wrap_mem_try(void *old, size_t size)
{
    unsigned n = ++count, from = fail_at;
    bool fails = from && n >= from && n - from < failing;
    return fails ? NULL : __real_mem_try(old, size);
}
/* NOLINTEND(bugprone-reserved-identifier) */

/* ---- the server ---- */

struct server {
    int listener;
    char port[8];
    pthread_t thread;
    atomic_bool over;
};

/* Messages that it names and does not describe: every other one, so that these make large sets. */
static atomic_bool shy;

static bool described(unsigned n)
{
    return !shy || n % 2;
}

static char byte_at(unsigned uid, size_t i)
{
    return (char)('!' + (uid + i * 31 + i / 4099) % 90);
}

static size_t size_of(unsigned uid)
{
    return uid == 1 ? LARGE : SMALL;
}

static void add_fields(struct buf *out, unsigned uid)
{
    struct buf fields = {0};
    buf_addf(&fields, "From: a%u <a@example.org>\r\nSubject: s%u\r\n\r\n", uid, uid);
    buf_addf(out, " {%zu}\r\n%s", fields.len, buf_str(&fields));
    buf_free(&fields);
}

/* One row for what `items` ask of message `n`. */
static void add_row(struct buf *out, unsigned n, const char *items)
{
    unsigned uid = 2 * n - 1;
    const char *window = strstr(items, "BODY.PEEK[]");
    buf_addf(out, "* %u FETCH (UID %u", n, uid);
    if (strstr(items, "FLAGS"))
        buf_addf(out, " FLAGS (\\Seen k%u)", n % 7);
    if (strstr(items, "RFC822.SIZE"))
        buf_addf(out, " INTERNALDATE \"01-Jan-2026 00:00:00 +0000\" RFC822.SIZE %zu", size_of(uid));
    if (strstr(items, "HEADER.FIELDS")) {
        const char *from = strstr(items, "BODY.PEEK[") + 10;
        buf_addf(out, " BODY[%.*s]", (int)strcspn(from, "]"), from);
        add_fields(out, uid);
    }
    if (window) {
        size_t off = 0, len = size_of(uid);
        bool part = sscanf(window, "BODY.PEEK[]<%zu.%zu>", &off, &len) == 2;
        size_t end = off + len < size_of(uid) ? off + len : size_of(uid);
        end = end > off ? end : off;
        buf_adds(out, " BODY[]");
        if (part)
            buf_addf(out, "<%zu>", off);
        buf_addf(out, " {%zu}\r\n", end - off);
        for (; off < end; off++)
            buf_addc(out, byte_at(uid, off));
    }
    buf_adds(out, ")\r\n");
}

/* "1:5,7 (UID FLAGS)" */
static void add_rows(struct buf *out, const char *text)
{
    const char *items = strchr(text, ' ');
    bool describes = strstr(items, "RFC822.SIZE");
    while (text < items) {
        char *end;
        unsigned long lo = strtoul(text, &end, 10), hi = lo;
        if (*end == ':')
            hi = end[1] == '*' ? (end += 2, UINT32_MAX) : strtoul(end + 1, &end, 10);
        for (unsigned n = 1; n <= MESSAGES; n++)
            if (2 * n - 1 >= lo && 2 * n - 1 <= hi && (!describes || described(n)))
                add_row(out, n, items);
        text = end + 1;
    }
}

static void add_box(struct buf *out, bool inbox)
{
    buf_addf(out,
             "* %u EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n* OK [UIDNEXT %u] x\r\n"
             "* FLAGS (\\Seen)\r\n",
             inbox ? MESSAGES : 0u, inbox ? 2u * MESSAGES : 1u);
}

/* The answer to a command without its tag. */
static void answer(struct buf *out, const char *tag, const char *command)
{
    if (strncmp(command, "LIST", 4) == 0)
        buf_adds(out, "* LIST () \"/\" INBOX\r\n* LIST () \"/\" Archive/2026\r\n");
    else if (strncmp(command, "SELECT", 6) == 0 || strncmp(command, "EXAMINE", 7) == 0)
        add_box(out, strstr(command, "INBOX"));
    else if (strncmp(command, "STATUS", 6) == 0)
        buf_addf(out, "* STATUS INBOX (UIDVALIDITY 7 UIDNEXT %u MESSAGES %u)\r\n", 2 * MESSAGES,
                 (unsigned)MESSAGES);
    else if (strncmp(command, "UID FETCH ", 10) == 0)
        add_rows(out, command + 10);
    else if (strncmp(command, "UID SEARCH ", 11) == 0) {
        buf_adds(out, "* SEARCH");
        for (unsigned n = 1; n <= MESSAGES; n++)
            buf_addf(out, " %u", 2 * n - 1);
        buf_adds(out, "\r\n");
    } else if (strncmp(command, "LOGOUT", 6) == 0) {
        buf_adds(out, "* BYE bye\r\n");
    }
    buf_addf(out, "%s OK [CAPABILITY IMAP4rev1 UIDPLUS] done\r\n", tag);
}

static void send_all(int fd, struct buf *out)
{
    for (size_t at = 0; at < out->len;) {
        ssize_t n = send(fd, out->data + at, out->len - at, MSG_NOSIGNAL);
        if (n <= 0)
            break;
        at += (size_t)n;
    }
    buf_reset(out);
}

static void *session_main(void *arg)
{
    int fd = (int)(intptr_t)arg, on = 1;
    FILE *in = fdopen(dup(fd), "r");
    char line[4096], *space;
    struct buf out = {0};
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    buf_adds(&out, "* OK [CAPABILITY IMAP4rev1 UIDPLUS] hi\r\n");
    send_all(fd, &out);
    while (fgets(line, sizeof line, in)) {
        line[strcspn(line, "\r\n")] = '\0';
        if (!(space = strchr(line, ' ')))
            break;
        *space = '\0';
        answer(&out, line, space + 1);
        send_all(fd, &out);
    }
    buf_free(&out);
    fclose(in);
    close(fd);
    return NULL;
}

static void *server_main(void *arg)
{
    struct server *s = arg;
    while (!s->over) {
        int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);
        pthread_t session;
        if (fd < 0)
            break;
        assert_int_equal(pthread_create(&session, NULL, session_main, (void *)(intptr_t)fd), 0);
        pthread_detach(session);
    }
    return NULL;
}

static void server_start(struct server *s)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    *s = (struct server){.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    assert_int_equal(bind(s->listener, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(s->listener, 8), 0);
    getsockname(s->listener, (struct sockaddr *)&a, &len);
    snprintf(s->port, sizeof s->port, "%u", ntohs(a.sin_port));
    pthread_create(&s->thread, NULL, server_main, s);
}

static void server_stop(struct server *s)
{
    s->over = true;
    shutdown(s->listener, SHUT_RDWR);
    pthread_join(s->thread, NULL);
    close(s->listener);
}

/* ---- who asks ---- */

struct asker {
    struct waiter w;
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool woken;
    int err;
};

static void wake(struct waiter *w, int err)
{
    struct asker *q = (struct asker *)w;
    pthread_mutex_lock(&q->lock);
    q->woken = true;
    q->err = err;
    pthread_cond_signal(&q->cond);
    pthread_mutex_unlock(&q->lock);
}

static int await(struct asker *q)
{
    struct timespec until;
    int late = 0;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE / 1000;
    pthread_mutex_lock(&q->lock);
    while (!q->woken && !late)
        late = pthread_cond_timedwait(&q->cond, &q->lock, &until);
    assert_true(q->woken);
    q->woken = false;
    int err = q->err;
    pthread_mutex_unlock(&q->lock);
    return err;
}

/* Asks by `question` until that is answered: 0 or -errno. */
#define ASK(err, question)                                                                         \
    do {                                                                                           \
        struct asker q = {                                                                         \
            .w.wake = wake, .lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};  \
        do                                                                                         \
            (err) = (question);                                                                    \
        while ((err) == -EINPROGRESS && ((err) = await(&q)) == 0);                                 \
    } while (0)

static size_t label(const char *header, size_t len, char *out, size_t cap)
{
    const char *subject = memmem(header, len, "Subject: ", 9);
    return subject
               ? (size_t)snprintf(out, cap, "%.*s", (int)strcspn(subject + 9, "\r"), subject + 9)
               : 0;
}

static void on_message(void *ctx, const struct msg_info *m)
{
    (void)ctx, (void)m;
}

static void on_event(void *ctx, const char *folder, const struct msg_info *m,
                     enum account_event what, const char *flags)
{
    (void)ctx, (void)folder, (void)m, (void)what, (void)flags;
}

static void on_folder(void *ctx, uint32_t id)
{
    (void)ctx, (void)id;
}

static void on_number(void *ctx, uint32_t id, uint32_t number)
{
    (void)ctx, (void)id, (void)number;
}

static void on_stale(void *ctx, uint32_t parent, const char *name)
{
    (void)ctx, (void)parent, (void)name;
}

static struct account *open_account(const struct account_config *config)
{
    struct buf why = {0};
    const struct account_hooks hooks = {.label = label,
                                        .msg_gone = on_message,
                                        .msg_unsure = on_message,
                                        .event = on_event,
                                        .folder_changed = on_folder,
                                        .msg_size = on_number,
                                        .msg_came = on_number,
                                        .entry_stale = on_stale};
    struct account *a = account_open(config, &hooks, &why);
    assert_true(a || why.len);
    buf_free(&why);
    return a;
}

/* All of the folder: 0 or -errno. */
static int list_all(struct account *a, uint32_t folder, struct msg_info *first)
{
    static struct msg_info got[MESSAGES + 1];
    int err;
    size_t n;
    ASK(err, account_sync(a, folder, TRUST_RECENT, clock_ms(), &q.w));
    if (!err)
        ASK(err, account_list(a, folder, 0, got, MESSAGES + 1, &n, &q.w));
    if (err)
        return err;
    assert_int_equal(n, MESSAGES);
    static bool seen[MESSAGES]; /* in whatever order: what came late may come last */
    memset(seen, 0, sizeof seen);
    for (unsigned i = 0; i < MESSAGES; i++) {
        char want[16];
        unsigned number = (got[i].uid + 1) / 2;
        assert_true(got[i].uid % 2 && number <= MESSAGES && !seen[number - 1]);
        seen[number - 1] = true;
        snprintf(want, sizeof want, described(number) ? "s%u" : "", got[i].uid);
        assert_int_equal(got[i].named, described(number));
        assert_string_equal(got[i].label, want);
    }
    *first = got[0];
    return 0;
}

/* The whole message in pieces of 128 KiB. */
static int read_all(struct account *a, uint32_t gen, uint32_t uid)
{
    enum { PIECE = 128 * 1024 };
    struct slices got = {0};
    int err = 0;
    for (size_t off = 0; off < size_of(uid) && !err; off += got.len) {
        uint64_t end;
        slices_reset(&got);
        ASK(err, account_read(a, gen, uid, off, PIECE, &got, &end, &q.w));
        assert_true(err || got.len);
        size_t at = off;
        for (size_t i = 0; i < got.n && !err; i++)
            for (size_t k = 0; k < got.v[i].len; k++)
                if (got.v[i].blob->data[got.v[i].off + k] != byte_at(uid, at++))
                    fail_msg("byte %zu of message %u is another one", at - 1, uid);
    }
    slices_free(&got);
    return err;
}

static int read_fields(struct account *a, uint32_t gen, uint32_t uid)
{
    struct buf got = {0};
    int err;
    ASK(err, account_header(a, gen, uid, &got, &q.w));
    assert_true(err || strstr(buf_str(&got), "Subject: s"));
    buf_free(&got);
    return err;
}

static int look_up(struct account *a, uint32_t *inbox)
{
    struct folder_info f;
    int err;
    ASK(err, account_refresh_tree(a, TRUST_RECENT, clock_ms(), &q.w));
    if (err)
        return err;
    assert_int_equal(account_child(a, ACCOUNT_ROOT, "Archive", &f), 0);
    assert_int_equal(account_child(a, f.id, "2026", &f), 0);
    assert_int_equal(account_child(a, ACCOUNT_ROOT, "INBOX", &f), 0);
    *inbox = f.id;
    return 0;
}

static int set_flag(struct account *a, uint32_t gen, uint32_t uid)
{
    const struct flag_change change = {.how = FLAGS_ADD, .bits = FLAG_SEEN};
    int err;
    struct asker q = {
        .w.wake = wake, .lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
    err = account_store(a, gen, uid, &change, &q.w);
    return err == -EINPROGRESS ? await(&q) : err;
}

/* What a user does with an account; the first thing that fails ends it. */
static int session(struct account *a)
{
    uint32_t inbox;
    struct msg_info m;
    int err = look_up(a, &inbox);
    if (!err)
        err = list_all(a, inbox, &m);
    if (!err)
        err = read_all(a, m.gen, 3);
    if (!err)
        err = read_all(a, m.gen, 1);
    if (!err)
        err = read_fields(a, m.gen, 9);
    return err ? err : set_flag(a, m.gen, 5);
}

static void check_error(unsigned n, int err)
{
    switch (-err) {
    case 0:
    case ENOMEM:
    case EIO:
    case ENOTCONN:
    case ETIMEDOUT:
        return;
    default:
        fail_msg("allocation %u: %s", n, strerror(-err));
    }
}

/* With the allocations from the nth one on failing, so many of them. True when one did. */
static bool run(const struct account_config *config, unsigned n, unsigned many)
{
    count = 0;
    failing = many;
    fail_at = n;
    struct account *a = open_account(config);
    if (a)
        check_error(n, session(a));
    bool failed = count >= n;
    fail_at = 0;
    if (!a)
        a = open_account(config);
    assert_non_null(a);
    /* The connection may have to be made anew, and what found no memory has to pass. */
    int err = session(a);
    for (unsigned tries = 0; tries < 100 && err; tries++) {
        usleep(20000);
        err = session(a);
    }
    if (err)
        fail_msg("after allocation %u has failed: %s", n, strerror(-err));
    account_stop(a);
    account_free(a);
    return failed;
}

static void run_all(unsigned many)
{
    struct server s;
    server_start(&s);
    struct account_config config = {.pool = {.host = "127.0.0.1",
                                             .port = s.port,
                                             .tls_mode = TLS_NONE,
                                             .user = "user",
                                             .password = "pass",
                                             .timeout = 10000,
                                             .connections = 2},
                                    .cache = 32 * 1024 * 1024};
    unsigned n = 1;
    while (run(&config, n, many))
        n += many == 1 || n < 20 ? 1 : n / 10;
    server_stop(&s);
    print_message("%u allocations\n", n - 1);
    assert_true(n > 20);
}

static void test_one(void **state)
{
    (void)state;
    run_all(1);
}

/* Everything fails from there on. */
static void test_all_from_there(void **state)
{
    (void)state;
    run_all(FOR_GOOD);
}

static void test_shy(void **state)
{
    (void)state;
    shy = true;
    run_all(1);
    run_all(FOR_GOOD);
    shy = false;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one),
        cmocka_unit_test(test_all_from_there),
        cmocka_unit_test(test_shy),
    };
    return cmocka_run_group_tests_name("no_memory", tests, NULL, NULL);
}
