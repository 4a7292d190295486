#include "fs/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "fs/netrc.h"
#include "imap/base/child.h"
#include "imap/base/log.h"
#include "imap/base/mem.h"

enum { SECRET_MAX = 64 * 1024 };

/* ---- files and commands ---- */

static int read_all(int fd, struct buf *out)
{
    for (;;) {
        ssize_t n = read(fd, buf_reserve(out, 4096), 4096);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return 0;
        out->len += (size_t)n;
        if (out->len > SECRET_MAX)
            return -EFBIG;
    }
}

static void warn_if_readable(int fd, const char *path)
{
    struct stat st;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_mode & 077)
        log_info("others can read the password in %s: chmod 600 it", path);
}

/* The first line, without its line end; NULL when it is empty. */
static char *first_line(struct buf *text)
{
    const char *s = buf_str(text);
    size_t n = strcspn(s, "\r\n");
    return n ? mem_strndup(s, n) : NULL;
}

static int from_file(const char *path, char **password, struct buf *why)
{
    struct buf text = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int err = fd < 0 ? -errno : read_all(fd, &text);
    if (!err) {
        warn_if_readable(fd, path);
        *password = first_line(&text);
        if (!*password)
            buf_addf(why, "there is no password in %s", path);
    } else {
        buf_addf(why, "cannot read passfile %s: %s", path, strerror(-err));
    }
    if (fd >= 0)
        close(fd);
    buf_wipe_free(&text);
    return err ? err : *password ? 0 : -EINVAL;
}

/* What the command prints, and its wait(2) status. */
static int run_command(const char *command, struct buf *text, int *status)
{
    int out[2];
    if (pipe2(out, O_CLOEXEC) < 0)
        return -errno;
    pid_t pid = fork();
    if (pid == 0) {
        dup2(out[1], 1);
        child_run(command);
    }
    int err = pid < 0 ? -errno : 0;
    close(out[1]);
    if (!err)
        err = read_all(out[0], text);
    close(out[0]); /* one that goes on printing is ended by that */
    while (pid > 0 && waitpid(pid, status, 0) < 0 && errno == EINTR)
        ;
    return err;
}

static int from_command(const char *command, char **password, struct buf *why)
{
    struct buf text = {0};
    int status = 0;
    int err = run_command(command, &text, &status);
    if (err) {
        buf_addf(why, "cannot run passcmd: %s", strerror(-err));
    } else if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        buf_addf(why, "passcmd failed (exit status %d)",
                 WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
        err = -EINVAL;
    } else if (!(*password = first_line(&text))) {
        buf_adds(why, "passcmd printed no password");
        err = -EINVAL;
    }
    buf_wipe_free(&text);
    return err;
}

/* ---- ~/.netrc ---- */

static bool from_netrc(const char *host, const char *user, char **login, char **password)
{
    const struct passwd *pw = getpwuid(getuid());
    const char *named = getenv("NETRC"), *home = getenv("HOME");
    struct buf path = {0}, text = {0};
    if (named)
        buf_adds(&path, named);
    else
        buf_addf(&path, "%s/.netrc", home ? home : pw ? pw->pw_dir : "");
    int fd = open(buf_str(&path), O_RDONLY | O_CLOEXEC);
    bool found = false;
    if (fd >= 0 && read_all(fd, &text) == 0) {
        buf_str(&text);
        found = netrc_find(text.data, host, user, login, password);
        if (found)
            warn_if_readable(fd, buf_str(&path));
    }
    if (fd >= 0)
        close(fd);
    buf_free(&path);
    buf_wipe_free(&text);
    return found;
}

/* ---- the terminal ---- */

static volatile sig_atomic_t interrupted;

static void on_signal(int sig)
{
    interrupted = sig;
}

/* Reads a line without echo. Whatever ends it, Ctrl-C too, the terminal is as it was before. */
static ssize_t read_quietly(int fd, const char *prompt, char *line, size_t size)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP};
    enum { N = sizeof signals / sizeof *signals };
    struct sigaction catch = {.sa_handler = on_signal}, saved[N];
    struct termios old, quiet;
    interrupted = 0;
    for (size_t i = 0; i < N; i++)
        sigaction(signals[i], &catch, &saved[i]);
    bool tty = tcgetattr(fd, &old) == 0;
    if (tty) {
        quiet = old;
        quiet.c_lflag &= ~(tcflag_t)ECHO;
        tcsetattr(fd, TCSAFLUSH, &quiet);
    }
    dprintf(fd, "%s", prompt);
    ssize_t n = interrupted ? -1 : read(fd, line, size);
    if (tty)
        tcsetattr(fd, TCSAFLUSH, &old);
    dprintf(fd, "\n");
    for (size_t i = 0; i < N; i++)
        sigaction(signals[i], &saved[i], NULL);
    if (interrupted)
        raise(interrupted); /* now it does what it would have done */
    return n;
}

static int from_terminal(const char *host, const char *user, char **password, struct buf *why)
{
    int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        buf_addf(why,
                 "no password for %s at %s: give -o passfile=FILE or -o passcmd=COMMAND, or an "
                 "entry in ~/.netrc",
                 user, host);
        return -ENOENT;
    }
    struct buf prompt = {0};
    buf_addf(&prompt, "Password for %s at %s: ", user, host);
    char line[1024];
    ssize_t n = read_quietly(fd, buf_str(&prompt), line, sizeof line - 1);
    buf_free(&prompt);
    close(fd);
    if (n > 0) {
        line[n] = '\0';
        line[strcspn(line, "\r\n")] = '\0';
        if (*line)
            *password = mem_strdup(line);
    }
    explicit_bzero(line, sizeof line);
    if (!*password) {
        buf_adds(why, "no password was typed");
        return -EINVAL;
    }
    return 0;
}

/* ---- in this order ---- */

int secret_find(const struct options *o, char **user, char **password, struct buf *why)
{
    char *login = NULL;
    int err = 0;
    *password = NULL;
    *user = o->url.user ? mem_strdup(o->url.user) : NULL;
    if (o->passfile)
        err = from_file(o->passfile, password, why);
    else if (o->passcmd)
        err = from_command(o->passcmd, password, why);
    else if (from_netrc(o->url.host, *user, &login, password) && !*user)
        *user = login ? mem_strdup(login) : NULL;
    free(login);
    if (!err && !*user) {
        buf_addf(why, "no user name: write imaps://USER@%s", o->url.host);
        err = -EINVAL;
    }
    if (!err && !*password && o->tunnel)
        *password = mem_strdup(""); /* the tunnel may be logged in already (PREAUTH) */
    if (!err && !*password)
        err = from_terminal(o->url.host, *user, password, why);
    if (err) {
        mem_wipe_free(*password);
        free(*user);
        *password = *user = NULL;
    }
    return err;
}
