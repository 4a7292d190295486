/* What a forked child does to become the user's command. */
#ifndef IMAP_BASE_CHILD_H
#define IMAP_BASE_CHILD_H

/* Runs `command` with sh(1) as the user's shell would: no signal is blocked, and SIGPIPE, which
 * this program ignores, ends it. Calls only what is async-signal-safe. */
_Noreturn void child_run(const char *command);

#endif
