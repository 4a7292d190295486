/* From the command line to a mounted account and back. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "fs/fs.h"
#include "fs/name.h"
#include "fs/notify.h"
#include "fs/request.h"
#include "fs/secret.h"
#include "imap/log.h"
#include "imap/mem.h"
#include "imap/stream.h"

/* Says what went wrong, on one line, and is the exit status. */
static int complain(struct buf *why)
{
    log_error("%s", buf_str(why));
    buf_free(why);
    return 1;
}

/* ---- the mount point ---- */

/* Is `path` itself a mount point, by the kernel's own table? */
static bool is_mounted(const char *path)
{
    FILE *f = fopen("/proc/self/mountinfo", "re");
    char *line = NULL;
    size_t cap = 0;
    bool found = false;
    size_t n = strlen(path);
    while (f && !found && getline(&line, &cap, f) > 0) {
        const char *p = line;
        for (int i = 0; i < 4 && p; i++)
            p = strchr(p, ' ') ? strchr(p, ' ') + 1 : NULL;
        found = p && strncmp(p, path, n) == 0 && p[n] == ' ';
    }
    free(line);
    if (f)
        fclose(f);
    return found;
}

/* Makes the mount point absolute and sees to it that something can be mounted there. */
static int check_mountpoint(struct options *o, struct buf *why)
{
    struct stat st;
    char *path = realpath(o->mountpoint, NULL);
    int err = path && stat(path, &st) == 0 ? 0 : -errno;
    if (err == -ENOTCONN) {
        buf_addf(why, "%s is a mount whose program has died: clear it with fusermount3 -u %s",
                 o->mountpoint, o->mountpoint);
    } else if (err) {
        buf_addf(why, "cannot mount on %s: %s", o->mountpoint, strerror(-err));
    } else if (!S_ISDIR(st.st_mode)) {
        buf_addf(why, "cannot mount on %s: not a directory", o->mountpoint);
        err = -ENOTDIR;
    } else if (is_mounted(path)) {
        buf_addf(why, "cannot mount on %s: something is mounted there already", o->mountpoint);
        err = -EBUSY;
    } else {
        free(o->mountpoint);
        o->mountpoint = path;
        return 0;
    }
    free(path);
    return err;
}

/* ---- going to the background ---- */

/* The process that the user started waits until its child has mounted, or has said why not; so what
 * is wrong still appears on the terminal. Returns in the child, with the descriptor to report to. */
static int go_background(void)
{
    int ready[2];
    if (pipe2(ready, O_CLOEXEC) < 0)
        return -1;
    pid_t pid = fork();
    if (pid < 0)
        return -1;
    if (pid > 0) {
        char status = 1;
        close(ready[1]);
        ssize_t n = read(ready[0], &status, 1);
        _exit(n == 1 ? status : 1);
    }
    close(ready[0]);
    setsid();
    return ready[1];
}

static void detach(int ready)
{
    char ok = 0;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    log_to_syslog();
    if (chdir("/") != 0)
        log_warn("cannot leave the current directory: %s", strerror(errno));
    for (int fd = 0; fd < 3 && null >= 0; fd++)
        dup2(null, fd);
    if (write(ready, &ok, 1) != 1)
        log_warn("nobody waited for the mount");
    close(ready);
}

/* ---- the account's side ---- */

static void on_msg_gone(void *ctx, const struct msg_info *m)
{
    struct fs *fs = ctx;
    char name[256];
    message_name(fs, m, name);
    notify_entry(fs->notifier, ino_folder(m->folder), name);
}

static void on_msg_size(void *ctx, uint32_t gen, uint32_t uid)
{
    notify_attr(((struct fs *)ctx)->notifier, ino_message(gen, uid));
}

static void on_entry_stale(void *ctx, uint32_t parent, const char *name)
{
    notify_entry(((struct fs *)ctx)->notifier, ino_folder(parent), name);
}

static enum tls_mode tls_mode(const struct options *o)
{
    if (o->tls && strcmp(o->tls, "no") == 0)
        return TLS_NONE;
    if (o->url.tls || (o->tls && strcmp(o->tls, "yes") == 0))
        return TLS_IMPLICIT;
    return TLS_STARTTLS;
}

/* ---- mounted ---- */

static int serve(struct fs *fs, struct fuse_session *se, int ready)
{
    struct fuse_loop_config *loop = fuse_loop_cfg_create();
    fuse_loop_cfg_set_clone_fd(loop, 0);
    fuse_loop_cfg_set_max_threads(loop, 8);
    int err = notifier_start(fs->notifier, se);
    if (!err) {
        if (ready >= 0)
            detach(ready);
        else
            log_info("mounted %s on %s", fs->opt->source, fs->opt->mountpoint);
        err = fuse_session_loop_mt(se, loop);
        /* A signal is how a mount is asked to end; the loop returns its number. */
        err = err > 0 ? 0 : err;
    }
    fuse_loop_cfg_destroy(loop);
    return err;
}

/* Connects, mounts, serves and takes down again. */
static int run(struct fs *fs, struct account_config *config, struct fuse_session *se, int ready)
{
    struct buf why = {0};
    const struct account_hooks hooks = {.label = name_label,
                                        .msg_gone = on_msg_gone,
                                        .msg_size = on_msg_size,
                                        .entry_stale = on_entry_stale,
                                        .ctx = fs};
    /* Signals are for the main thread, which waits for them; no other may be interrupted. */
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    fs->account = account_open(config, &hooks, &why);
    if (!fs->account)
        return complain(&why);
    int status = 1;
    if (fuse_session_mount(se, fs->opt->mountpoint) != 0) {
        buf_addf(&why, "cannot mount on %s", fs->opt->mountpoint);
        complain(&why);
    } else {
        if (fuse_set_signal_handlers(se) == 0) {
            sigset_t ends = old;
            sigdelset(&ends, SIGTERM);
            sigdelset(&ends, SIGINT);
            sigdelset(&ends, SIGHUP);
            pthread_sigmask(SIG_SETMASK, &ends, NULL);
            status = serve(fs, se, ready) == 0 ? 0 : 1;
            fuse_remove_signal_handlers(se);
        }
    }
    account_close(fs->account); /* what was accepted is finished, and its callers are answered */
    fuse_session_unmount(se);
    return status;
}

static int with_session(struct fs *fs, struct options *o, struct fuse_args *args,
                        struct account_config *config)
{
    struct buf why = {0};
    struct buf name = {0};
    buf_adds(&name, "-osubtype=imapfs");
    fuse_opt_add_arg(args, buf_str(&name));
    buf_reset(&name);
    buf_adds(&name, "-ofsname=");
    for (const char *p = o->source; *p; p++) {
        if (*p == ',' || *p == '\\')
            buf_addc(&name, '\\');
        buf_addc(&name, *p);
    }
    fuse_opt_add_arg(args, buf_str(&name));
    buf_free(&name);
    if (o->allow_other)
        fuse_opt_add_arg(args, "-odefault_permissions");
    struct fuse_session *se = fuse_session_new(args, &fs_ops, sizeof fs_ops, fs);
    if (!se)
        return 1; /* libfuse has named the option it does not know */
    int ready = -1, status = 1;
    if (!o->foreground && (ready = go_background()) < 0) {
        buf_addf(&why, "cannot go to the background: %s", strerror(errno));
        complain(&why);
    } else {
        status = run(fs, config, se, ready);
    }
    notifier_free(fs->notifier);
    fuse_session_destroy(se);
    return status;
}

static void protect_secrets(void)
{
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    prctl(PR_SET_DUMPABLE, 0); /* no ptrace(2) by others of this user; sanitizers need it */
#endif
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
}

static int mount_account(struct options *o, struct fuse_args *args)
{
    struct buf why = {0};
    char *user = NULL, *password = NULL;
    struct tls_config *tls = NULL;
    int err = check_mountpoint(o, &why);
    if (!err && !(tls = tls_config_new(o->cafile, o->fingerprint, &why)))
        err = -EINVAL;
    if (!err)
        err = secret_find(o, &user, &password, &why);
    if (err) {
        tls_config_free(tls);
        return complain(&why);
    }
    struct account_config config = {
        .pool = {.host = o->url.host,
                 .port = o->url.port,
                 .tunnel = o->tunnel,
                 .tls_mode = tls_mode(o),
                 .tls = tls,
                 .user = user,
                 .password = password,
                 .auth = o->auth,
                 .timeout = (int)o->timeout * 1000,
                 .connections = (unsigned)o->connections,
                 .read_only = o->read_only},
        .mailbox = o->url.mailbox,
        .trash = o->trash,
        .mark_seen = o->mark_seen,
        .cache = o->cache,
    };
    struct fs fs = {.opt = o,
                    .notifier = notifier_new(),
                    .requests = requests_new(),
                    .mounted_at = time(NULL),
                    .uid = o->uid >= 0 ? (uid_t)o->uid : getuid(),
                    .gid = o->gid >= 0 ? (gid_t)o->gid : getgid()};
    int status = with_session(&fs, o, args, &config);
    requests_free(fs.requests);
    tls_config_free(tls);
    mem_wipe_free(password);
    free(user);
    return status;
}

int main(int argc, char **argv)
{
    struct fuse_args args = FUSE_ARGS_INIT(argc, argv);
    struct options o;
    struct buf why = {0};
    int status = 0;
    signal(SIGPIPE, SIG_IGN);
    protect_secrets();
    log_init(false);
    if (options_parse(&o, &args, &why) != 0) {
        status = complain(&why);
    } else if (o.help) {
        fputs(options_usage, stdout);
    } else if (o.version) {
        printf("imapfs %s\n", IMAPFS_VERSION);
    } else {
        log_init(o.debug);
        name_init();
        status = mount_account(&o, &args);
    }
    options_free(&o);
    fuse_opt_free_args(&args);
    return status;
}
