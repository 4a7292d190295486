#include "imap/base/log.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <syslog.h>
#include <time.h>

#include "imap/base/clock.h"
#include "imap/base/utf8.h"

enum {
    LINE_MAX_BYTES = 2000,
    MINUTE = 60000 /* ms */
};

static atomic_bool debugging;
static atomic_bool use_syslog;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char last_text[512]; /* under lock */
static time_t last_time;    /* under lock */

/* Those that have left something out, and all their fields. Under lock. */
static struct log_limit *limits;

void log_init(bool debug)
{
    debugging = debug;
}

void log_to_syslog(void)
{
    openlog("imapfs", LOG_PID, LOG_MAIL);
    use_syslog = true;
}

bool log_debugging(void)
{
    return debugging;
}

void log_escape(struct buf *out, const char *data, size_t len, size_t max)
{
    size_t n = len < max ? len : max;
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        size_t len_cp = utf8_next(data + i, n - i, &cp);
        bool plain = len_cp && !utf8_is_control(cp) && !utf8_is_bidi(cp);
        for (size_t end = i + (len_cp ? len_cp : 1); i < end; i++)
            if (plain)
                buf_addc(out, data[i]);
            else
                buf_addf(out, "\\x%02x", (unsigned char)data[i]);
    }
    if (n < len)
        buf_adds(out, "...");
}

static void __attribute__((format(printf, 2, 0)))
write_line(int priority, const char *fmt, va_list ap)
{
    char raw[LINE_MAX_BYTES];
    int n = vsnprintf(raw, sizeof raw, fmt, ap);
    if (n < 0)
        return;
    struct buf line = {0};
    size_t len = (size_t)n < sizeof raw ? (size_t)n : sizeof raw - 1;
    log_escape(&line, raw, len, len);
    const char *text = buf_str(&line);
    if (priority <= LOG_WARNING) {
        pthread_mutex_lock(&lock);
        snprintf(last_text, sizeof last_text, "%.*s", (int)sizeof last_text - 1, text);
        last_time = time(NULL);
        pthread_mutex_unlock(&lock);
    }
    if (use_syslog)
        syslog(priority, "%s", text);
    else
        fprintf(stderr, "imapfs: %s\n", text);
    buf_free(&line);
}

static void __attribute__((format(printf, 2, 3))) say(int priority, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    write_line(priority, fmt, ap);
    va_end(ap);
}

/* Takes one whose minute is over, or any one, off the list; NULL when there is none. Returns what
 * it has left out in `n`. */
static const char *take_left_out(bool any, uint64_t *n)
{
    int64_t now = clock_ms();
    const char *what = NULL;
    pthread_mutex_lock(&lock);
    struct log_limit **at = &limits;
    while (*at && !any && now - (*at)->began < MINUTE)
        at = &(*at)->next;
    struct log_limit *l = *at;
    if (l) {
        *at = l->next;
        what = l->what;
        *n = l->left_out;
        l->left_out = 0;
        l->listed = false;
    }
    pthread_mutex_unlock(&lock);
    return what;
}

static void say_left_out(bool any)
{
    const char *what;
    uint64_t n;
    while ((what = take_left_out(any, &n)) != NULL)
        say(LOG_INFO, "%" PRIu64 " more %s were left out here", n, what);
}

bool log_may(struct log_limit *limit)
{
    int64_t now = clock_ms();
    say_left_out(false);
    pthread_mutex_lock(&lock);
    if (!limit->began || now - limit->began >= MINUTE) {
        limit->began = now;
        limit->shown = 0;
    }
    bool may = limit->shown < LOG_BURST;
    limit->shown += may;
    limit->left_out += !may;
    if (!may && !limit->listed) {
        limit->listed = true;
        limit->next = limits;
        limits = limit;
    }
    pthread_mutex_unlock(&lock);
    return may;
}

void log_flush(void)
{
    say_left_out(true);
}

static void __attribute__((format(printf, 2, 0))) emit(int priority, const char *fmt, va_list ap)
{
    say_left_out(false);
    write_line(priority, fmt, ap);
}

void log_error(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    emit(LOG_ERR, fmt, ap);
    va_end(ap);
}

void log_warn(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    emit(LOG_WARNING, fmt, ap);
    va_end(ap);
}

void log_info(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    emit(LOG_INFO, fmt, ap);
    va_end(ap);
}

void log_debug(const char *fmt, ...)
{
    if (!debugging)
        return;
    va_list ap;
    va_start(ap, fmt);
    emit(LOG_DEBUG, fmt, ap);
    va_end(ap);
}

void log_last(struct buf *out)
{
    pthread_mutex_lock(&lock);
    if (last_text[0]) {
        char when[32];
        struct tm tm;
        localtime_r(&last_time, &tm);
        strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", &tm);
        buf_addf(out, "%s %s", when, last_text);
    }
    pthread_mutex_unlock(&lock);
}
