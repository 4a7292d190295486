#include "fs/caller.h"

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The bit of a signal in the masks of /proc. */
static uint64_t bit(int sig)
{
    return (uint64_t)1 << (sig - 1);
}

/* Reads the mask on the line `name`; false when there is none. */
static bool read_mask(const char *status, const char *name, uint64_t *mask)
{
    const char *at = strstr(status, name);
    if (!at)
        return false;
    char *end;
    at += strlen(name);
    *mask = strtoull(at, &end, 16);
    return end > at;
}

enum caller caller_parse(const char *status)
{
    uint64_t thread, process, blocked, ignored, caught;
    if (!read_mask(status, "\nSigPnd:", &thread) || !read_mask(status, "\nShdPnd:", &process) ||
        !read_mask(status, "\nSigBlk:", &blocked) || !read_mask(status, "\nSigIgn:", &ignored) ||
        !read_mask(status, "\nSigCgt:", &caught))
        return CALLER_HIDDEN;
    /* A process that ends for any reason has SIGKILL pending in each of its threads. */
    uint64_t ends = bit(SIGKILL);
    uint64_t person = bit(SIGINT) | bit(SIGQUIT);
    uint64_t harmless = bit(SIGCHLD) | bit(SIGCONT) | bit(SIGURG) | bit(SIGWINCH) | bit(SIGSTOP) |
                        bit(SIGTSTP) | bit(SIGTTIN) | bit(SIGTTOU);
    ends |= (person | ~(caught | harmless)) & ~(blocked | ignored);
    return (thread | process) & ends ? CALLER_LEAVES : CALLER_WAITS;
}

/* Is /proc that of our own PID namespace? Else its numbers mean others. */
static bool is_our_proc(void)
{
    char self[16] = "";
    return readlink("/proc/self", self, sizeof self - 1) > 0 && strtol(self, NULL, 10) == getpid();
}

enum caller caller_look(pid_t tid)
{
    char path[32], status[16384]; /* room for a thousand groups */
    if (tid <= 0 || !is_our_proc())
        return CALLER_HIDDEN;
    snprintf(path, sizeof path, "/proc/%d/status", (int)tid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, status, sizeof status - 1);
    if (fd >= 0)
        close(fd);
    if (n < 0)
        return CALLER_HIDDEN;
    status[n] = '\0';
    return caller_parse(status);
}
