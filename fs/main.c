/* From the command line to a mounted account and back. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse_log.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "fs/events.h"
#include "fs/fs.h"
#include "fs/message.h"
#include "fs/name.h"
#include "fs/notify.h"
#include "fs/ops.h"
#include "fs/reading.h"
#include "fs/request.h"
#include "fs/secret.h"
#include "fs/store.h"
#include "fs/textfile.h"
#include "fs/wish.h"
#include "imap/base/log.h"
#include "imap/base/mem.h"
#include "imap/conn/stream.h"

/* Milliseconds. No server needs as long for one message unless it is in trouble. */
enum { SETTLE = 2000 };

/* Says what went wrong, on one line, and is the exit status. */
static int complain(struct buf *why)
{
    log_error("%s", buf_str(why));
    buf_free(why);
    return 1;
}

/* ---- the mount point ---- */

/* Is the field at `p` of mountinfo, where white space is written \040 and so on, this path? */
static bool same_path(const char *p, const char *path)
{
    for (; *path; path++) {
        unsigned char c = (unsigned char)*p++;
        if (c == '\\' && strspn(p, "01234567") >= 3) {
            c = (unsigned char)((p[0] - '0') << 6 | (p[1] - '0') << 3 | (p[2] - '0'));
            p += 3;
        }
        if (c != (unsigned char)*path)
            return false;
    }
    return *p == ' ';
}

/* Is `path` itself a mount point, by the kernel's own table? */
static bool is_mounted(const char *path)
{
    FILE *f = fopen("/proc/self/mountinfo", "re");
    char *line = NULL;
    size_t cap = 0;
    bool found = false;
    while (f && !found && getline(&line, &cap, f) > 0) {
        const char *p = line;
        for (int i = 0; i < 4 && p; i++)
            p = strchr(p, ' ') ? strchr(p, ' ') + 1 : NULL;
        found = p && same_path(p, path);
    }
    free(line);
    if (f)
        fclose(f);
    return found;
}

/* The kernel may still know the attributes of the top of a mount whose program has died, so it is
 * asked for something that it does not keep. */
static int reach(const char *path, struct stat *st)
{
    struct statvfs vfs;
    return stat(path, st) == 0 && statvfs(path, &vfs) == 0 ? 0 : -errno;
}

/* Is there anything in it that the mount would hide? What cannot be read is taken for empty. */
static bool holds_something(const char *path)
{
    bool found = false;
    DIR *d = opendir(path);
    for (const struct dirent *e; d && !found && (e = readdir(d));)
        found = strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    if (d)
        closedir(d);
    return found;
}

/* Makes the mount point absolute and sees to it that something can be mounted there. */
static int check_mountpoint(struct options *o, struct buf *why)
{
    struct stat st = {0};
    char *path = realpath(o->mountpoint, NULL);
    int err = path ? reach(path, &st) : -errno;
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
    } else if (!o->nonempty && holds_something(path)) {
        buf_addf(why,
                 "cannot mount on %s: it is not empty (-o nonempty hides what is in it until it is "
                 "unmounted)",
                 o->mountpoint);
        err = -ENOTEMPTY;
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
 * is wrong still appears on the terminal. Returns in the child, with the descriptor to report to.
 */
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

/* 0, or -EPIPE when whoever asked for the mount has gone away meanwhile (Ctrl-C). */
static int detach(int ready)
{
    char ok = 0;
    if (write(ready, &ok, 1) != 1)
        return -EPIPE;
    close(ready);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    log_to_syslog();
    if (chdir("/") != 0)
        log_warn("cannot leave the current directory: %s", strerror(errno));
    for (int fd = 0; fd < 3 && null >= 0; fd++)
        dup2(null, fd);
    return 0;
}

/* ---- the account's side ---- */

static void on_msg_gone(void *ctx, const struct msg_info *m)
{
    struct fs *fs = ctx;
    char name[256];
    message_name(fs, m, name);
    notify_gone(fs->notifier, ino_folder(m->folder), name, ino_message(m->gen, m->uid));
}

static void on_msg_unsure(void *ctx, const struct msg_info *m)
{
    struct fs *fs = ctx;
    char name[256];
    message_name(fs, m, name);
    notify_entry(fs->notifier, ino_folder(m->folder), name);
}

static void on_msg_bytes(void *ctx, uint32_t gen, uint32_t uid, struct blob *bytes)
{
    store_put(((struct fs *)ctx)->store, gen, uid, bytes);
}

static void on_stored(void *ctx, uint32_t gen, uint32_t uid, size_t len, bool ok)
{
    account_stored(((struct fs *)ctx)->account, gen, uid, len, ok);
}

static void on_event(void *ctx, const char *folder, const struct msg_info *m,
                     enum account_event what, const char *flags)
{
    events_add(ctx, folder, m, what, flags);
}

static void on_folder_changed(void *ctx, uint32_t id)
{
    notify_attr(((struct fs *)ctx)->notifier, ino_folder(id));
}

static void on_msg_size(void *ctx, uint32_t gen, uint32_t uid)
{
    notify_attr(((struct fs *)ctx)->notifier, ino_message(gen, uid));
}

static void on_telling(void *ctx, fuse_ino_t ino)
{
    reading_told(((struct fs *)ctx)->reading, ino, 0);
}

static void on_msg_came(void *ctx, uint32_t folder, uint32_t uid)
{
    char name[256];
    name_uid_only(name, uid);
    notify_entry(((struct fs *)ctx)->notifier, ino_folder(folder), name);
}

static void on_entry_stale(void *ctx, uint32_t parent, const char *name)
{
    notify_entry(((struct fs *)ctx)->notifier, ino_folder(parent), name);
}

static enum tls_mode tls_mode(const struct options *o)
{
    if (o->tls.mode && strcmp(o->tls.mode, "no") == 0)
        return TLS_NONE;
    if (o->url.tls || (o->tls.mode && strcmp(o->tls.mode, "yes") == 0))
        return TLS_IMPLICIT;
    return TLS_STARTTLS;
}

static enum compress_mode compress_mode(const struct options *o)
{
    if (!o->compress || strcmp(o->compress, "auto") == 0)
        return COMPRESS_AUTO;
    return strcmp(o->compress, "yes") == 0 ? COMPRESS_YES : COMPRESS_NO;
}

/* ---- mounted ---- */

/* FUSE's loop has a thread of its own, so that it goes on answering the kernel while the rest is
 * taken down: a thread that tells the kernel something may wait for a call to be answered. */
struct loop {
    struct fuse_session *se;
    pthread_t main;
    int err;
};

enum { WAKE_SIGNAL = SIGUSR1 };

static void ignore_signal(int sig)
{
    (void)sig;
}

static void *loop_main(void *arg)
{
    struct loop *l = arg;
    sigset_t wake;
    sigemptyset(&wake);
    sigaddset(&wake, WAKE_SIGNAL); /* how end_loop() gets it out of a wait */
    pthread_sigmask(SIG_UNBLOCK, &wake, NULL);
    struct fuse_loop_config *config = fuse_loop_cfg_create();
    fuse_loop_cfg_set_clone_fd(config, 0);
    fuse_loop_cfg_set_max_threads(config, 8);
    l->err = fuse_session_loop_mt(l->se, config);
    fuse_loop_cfg_destroy(config);
    pthread_kill(l->main, SIGHUP); /* unmounted: main waits for this signal, too */
    return NULL;
}

static void end_loop(struct fuse_session *se, pthread_t thread)
{
    fuse_session_exit(se);
    for (;;) {
        /* Again and again, as the signal may come right before it waits. */
        struct timespec soon;
        clock_gettime(CLOCK_REALTIME, &soon);
        soon.tv_nsec += 20 * 1000000;
        if (soon.tv_nsec >= 1000000000) {
            soon.tv_sec++;
            soon.tv_nsec -= 1000000000;
        }
        if (pthread_timedjoin_np(thread, NULL, &soon) == 0)
            return;
        pthread_kill(thread, WAKE_SIGNAL);
    }
}

/* Serves until it is unmounted or told to end; then finishes what was accepted. */
static int serve(struct fs *fs, struct fuse_session *se, const sigset_t *ends, int ready)
{
    struct loop loop = {.se = se, .main = pthread_self()};
    pthread_t thread;
    int err = notifier_start(fs->notifier, se);
    if (!err)
        err = store_start(fs->store, se);
    if (!err)
        err = requests_start(fs->requests);
    if (!err)
        err = -pthread_create(&thread, NULL, loop_main, &loop);
    bool looping = !err;
    if (err)
        log_error("cannot start a thread: %s", strerror(-err));
    else if (ready >= 0)
        err = detach(ready);
    else
        log_info("mounted %s on %s", fs->opt->source, fs->opt->mountpoint);
    int sig;
    if (!err)
        sigwait(ends, &sig);
    requests_close(fs->requests);
    account_stop(fs->account);
    requests_stop(fs->requests);
    store_stop(fs->store);
    notifier_stop(fs->notifier);
    if (looping)
        end_loop(se, thread);
    return err ? err : loop.err < 0 ? loop.err : 0;
}

/* Connects, mounts, serves and takes down again. */
static int run(struct fs *fs, struct account_config *config, struct fuse_session *se, int ready)
{
    struct buf why = {0};
    const struct account_hooks hooks = {.label = name_label,
                                        .msg_gone = on_msg_gone,
                                        .msg_unsure = on_msg_unsure,
                                        .msg_bytes = on_msg_bytes,
                                        .event = on_event,
                                        .folder_changed = on_folder_changed,
                                        .msg_size = on_msg_size,
                                        .msg_came = on_msg_came,
                                        .entry_stale = on_entry_stale,
                                        .ctx = fs};
    fs->account = account_open(config, &hooks, &why);
    if (!fs->account)
        return complain(&why);
    /* From here on signals are for the main thread, which waits for them. */
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &ends, NULL);
    struct sigaction quiet = {.sa_handler = ignore_signal};
    sigaction(WAKE_SIGNAL, &quiet, NULL);

    int status = 1;
    if (fuse_session_mount(se, fs->opt->mountpoint) != 0) {
        buf_addf(&why, "cannot mount on %s", fs->opt->mountpoint);
        complain(&why);
        account_stop(fs->account);
    } else {
        status = serve(fs, se, &ends, ready) == 0 ? 0 : 1;
        fuse_session_unmount(se);
    }
    account_free(fs->account);
    log_flush();
    return status;
}

/* The session is made before the password is asked for: an option that nobody knows ends it there.
 */
static struct fuse_session *new_session(struct fs *fs, struct options *o, struct fuse_args *args)
{
    struct buf name = {0};
    fuse_opt_add_arg(args, "-osubtype=imapfs");
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
    return fuse_session_new(args, &fs_ops, sizeof fs_ops, fs);
}

/* libfuse's own words, which come in pieces, as our lines. */
static void __attribute__((format(printf, 2, 0)))
on_fuse_log(enum fuse_log_level level, const char *fmt, va_list ap)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static char line[512];
    pthread_mutex_lock(&lock);
    size_t at = strlen(line);
    vsnprintf(line + at, sizeof line - at, fmt, ap);
    char *end = strchr(line, '\n');
    if (end || strlen(line) == sizeof line - 1) {
        if (end)
            *end = '\0';
        const char *words = strncmp(line, "fuse: ", 6) == 0 ? line + 6 : line;
        if (level <= FUSE_LOG_ERR)
            log_error("%s", words);
        else if (level <= FUSE_LOG_WARNING)
            log_info("%s", words);
        line[0] = '\0';
    }
    pthread_mutex_unlock(&lock);
}

static void protect_secrets(void)
{
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    prctl(PR_SET_DUMPABLE, 0); /* no ptrace(2) by others of this user; sanitizers need it */
#endif
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
}

static int mount_session(struct fs *fs, struct options *o, struct fuse_session *se)
{
    struct buf why = {0};
    char *user = NULL, *password = NULL;
    struct tls_config *tls = tls_config_new(o->tls.cafile, o->tls.fingerprint, &why);
    int err = tls ? secret_find(o, &user, &password, &why) : -EINVAL;
    int ready = -1, status;
    if (!err && !o->foreground && (ready = go_background()) < 0) {
        buf_addf(&why, "cannot go to the background: %s", strerror(errno));
        err = -EAGAIN;
    }
    struct account_config config = {
        .pool = {.host = o->url.host,
                 .port = o->url.port,
                 .tunnel = o->tunnel,
                 .tls_mode = tls_mode(o),
                 .tls = tls,
                 .compress = compress_mode(o),
                 .user = user,
                 .password = password,
                 .auth = o->auth,
                 .timeout = (int)o->timeout * 1000,
                 .settle = SETTLE,
                 .connections = (unsigned)o->connections,
                 .read_only = o->read_only},
        .mailbox = o->url.mailbox,
        .trash = o->trash,
        .mark_seen = o->mark_seen && !o->read_only,
        .cache = o->cache,
        .prefetch = o->prefetch,
        .poll = (unsigned)o->poll,
    };
    status = err ? complain(&why) : run(fs, &config, se, ready);
    tls_config_free(tls);
    mem_wipe_free(password);
    free(user);
    return status;
}

static int mount_account(struct options *o, struct fuse_args *args)
{
    struct buf why = {0};
    if (check_mountpoint(o, &why) != 0)
        return complain(&why);
    struct fs fs = {.opt = o,
                    .notifier = notifier_new(on_telling, &fs),
                    .reading = reading_new(),
                    .store = store_new(on_stored, &fs),
                    .status = textfile_new(),
                    .events = textfile_new(),
                    .requests = requests_new(),
                    .wishes = wishes_new(),
                    .mounted_at = time(NULL),
                    .uid = o->attr.uid >= 0 ? (uid_t)o->attr.uid : getuid(),
                    .gid = o->attr.gid >= 0 ? (gid_t)o->attr.gid : getgid()};
    fuse_set_log_func(on_fuse_log);
    struct fuse_session *se = new_session(&fs, o, args);
    int status = se ? mount_session(&fs, o, se) : 1;
    if (se)
        fuse_session_destroy(se);
    notifier_free(fs.notifier);
    reading_free(fs.reading);
    store_free(fs.store);
    textfile_free(fs.status);
    textfile_free(fs.events);
    requests_free(fs.requests);
    wishes_free(fs.wishes);
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
        options_usage(&why);
        fputs(buf_str(&why), stdout);
        buf_free(&why);
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
