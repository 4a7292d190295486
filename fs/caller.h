/* Whether who waits for an answer has a signal that ends the wait.
 *
 * The kernel says that a caller has got some signal, not which, and only of the first one. So its
 * signals are looked at in /proc. What ends the wait is what ends the caller, and what a person
 * sends from the terminal (SIGINT, SIGQUIT), caught or not. All else that is caught, ignored or
 * blocked can wait for the answer, as on NFS: SIGCHLD, SIGALRM, SIGWINCH, also SIGTERM where it is
 * caught. */
#ifndef FS_CALLER_H
#define FS_CALLER_H

#include <sys/types.h>

enum caller {
    CALLER_WAITS,
    CALLER_LEAVES,
    CALLER_HIDDEN, /* of another PID namespace, or /proc does not show it */
};

/* `tid`: the thread, as FUSE names it; 0 when it cannot be named here. */
enum caller caller_look(pid_t tid);

/* The same from the text of /proc/TID/status. */
enum caller caller_parse(const char *status);

#endif
