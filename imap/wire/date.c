#include <errno.h>
#include <stdbool.h>
#include <stdio.h>

#include "imap/wire/date.h"

/* The last and first second of the years that have four digits and exist. */
#define LAST_SECOND  INT64_C(253402300799)
#define FIRST_SECOND INT64_C(-62135596800)

static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

/* Days since 1970-01-01 in the Gregorian calendar. Years are counted from March, so that the leap
 * day is the last of its year and every month's offset is one linear formula. */
static int64_t days_of(int64_t year, int month, int day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t yoe = year - era * 400;
    int64_t doy = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static void date_of(int64_t days, int *year, int *month, int *day)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t doe = days - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t m = (5 * doy + 2) / 153;
    *day = (int)(doy - (153 * m + 2) / 5 + 1);
    *month = (int)(m < 10 ? m + 3 : m - 9);
    *year = (int)(yoe + era * 400 + (*month <= 2));
}

static int days_in(int year, int month)
{
    static const int days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return days[month - 1] + (month == 2 && leap);
}

/* What is left to read. */
struct cursor {
    const char *p, *end;
};

static bool skip(struct cursor *c, char want)
{
    if (c->p == c->end || *c->p != want)
        return false;
    c->p++;
    return true;
}

static void skip_spaces(struct cursor *c)
{
    while (skip(c, ' '))
        ;
}

/* Reads at least `min` and at most `max` digits. */
static bool number(struct cursor *c, int min, int max, int *value)
{
    int n = 0;
    *value = 0;
    for (; n < max && c->p < c->end && *c->p >= '0' && *c->p <= '9'; n++)
        *value = *value * 10 + (*c->p++ - '0');
    return n >= min;
}

/* Own comparison: strncasecmp() asks the locale. */
static bool month_name(struct cursor *c, int *month)
{
    if (c->end - c->p < 3)
        return false;
    for (int m = 0; m < 12; m++) {
        bool same = true;
        for (int i = 0; i < 3; i++)
            same = same && (c->p[i] == months[m][i] || c->p[i] == (months[m][i] ^ 0x20));
        if (same) {
            *month = m + 1;
            c->p += 3;
            return true;
        }
    }
    return false;
}

/* "+hhmm" in seconds; nothing at all is UTC. */
static bool zone(struct cursor *c, int *seconds)
{
    int h, m;
    *seconds = 0;
    skip_spaces(c);
    if (c->p == c->end)
        return true;
    bool west = *c->p == '-';
    if (!skip(c, '-') && !skip(c, '+'))
        return false;
    if (!number(c, 2, 2, &h) || !number(c, 2, 2, &m) || h > 23 || m > 59)
        return false;
    *seconds = (h * 60 + m) * (west ? -60 : 60);
    skip_spaces(c);
    return c->p == c->end;
}

int date_parse(const char *s, size_t len, int64_t *when)
{
    struct cursor c = {s, s + len};
    int day, month, year, h, m, sec, offset;

    if (len == 0)
        return -EINVAL;
    skip_spaces(&c);
    if (!number(&c, 1, 2, &day) || !skip(&c, '-') || !month_name(&c, &month) || !skip(&c, '-') ||
        !number(&c, 4, 4, &year) || !skip(&c, ' '))
        return -EINVAL;
    skip_spaces(&c);
    if (!number(&c, 2, 2, &h) || !skip(&c, ':') || !number(&c, 2, 2, &m) || !skip(&c, ':') ||
        !number(&c, 2, 2, &sec) || !zone(&c, &offset))
        return -EINVAL;
    if (year < 1 || day < 1 || day > days_in(year, month) || h > 23 || m > 59 || sec > 60)
        return -EINVAL;
    int seconds = h * 3600 + m * 60 + sec - offset;
    *when = days_of(year, month, day) * 86400 + seconds;
    return 0;
}

void date_format(int64_t when, char out[static 32])
{
    if (when < FIRST_SECOND)
        when = FIRST_SECOND;
    if (when > LAST_SECOND)
        when = LAST_SECOND;
    int64_t days = when / 86400;
    int secs = (int)(when % 86400);
    if (secs < 0) {
        secs += 86400;
        days--;
    }
    int year, month, day;
    date_of(days, &year, &month, &day);
    /* The remainders tell the compiler that everything fits. */
    snprintf(out, 32, "%02u-%s-%04u %02u:%02u:%02u +0000", (unsigned)day % 100, months[month - 1],
             (unsigned)year % 10000, (unsigned)secs / 3600 % 100, (unsigned)secs / 60 % 60,
             (unsigned)secs % 60);
}
