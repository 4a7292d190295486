#include "imap/base/child.h"

#include <signal.h>
#include <stddef.h>
#include <unistd.h>

_Noreturn void child_run(const char *command)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    execl("/bin/sh", "sh", "-c", command, (char *)NULL);
    _exit(127);
}
