/* Answers without end. A server may tell much, and slowly, before it answers a command; but what
 * brings nothing new is no progress, and of what it tells unasked there is a limit. Internal to
 * imap/: the fields are the connection's, and only its own thread touches them. */
#ifndef IMAP_CONN_ENDLESS_H
#define IMAP_CONN_ENDLESS_H

#include <stdbool.h>
#include <stdint.h>

struct conn;

/* What has come since the last answer. */
struct endless {
    uint64_t lines;  /* untagged responses */
    uint64_t room;   /* so many are put up with */
    uint32_t opens;  /* calls of endless_opens() */
    uint32_t row;    /* the sequence number of the last FETCH row */
    uint32_t rows;   /* such of another message than the one before */
    int64_t news_at; /* clock_ms() of the last thing that was not known */
};

/* A command was answered, or is the first one in flight. */
void endless_begin(struct conn *c);

/* Something came that nobody knew, or left that had to. */
void endless_news(struct conn *c);

/* The row of a message came: news if it is another one than the last, as often as there are any. */
void endless_row(struct conn *c, uint32_t seq);

/* The mailbox being opened is said to hold so many messages. */
void endless_opens(struct conn *c, uint32_t exists);

/* An untagged response came: 0, or -EPROTO when that was one too many. */
int endless_line(struct conn *c);

/* Until when (clock_ms()) the answer to what is in flight is awaited without any news. */
int64_t endless_deadline(const struct conn *c);

/* That time is over, or there were too many responses: says so, and fails what was asked if it only
 * asks; what changes something is settled on another connection. -EPROTO. */
int endless_give_up(struct conn *c);

#endif
