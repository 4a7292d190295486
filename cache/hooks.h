/* How the layer above takes part in an account: what it is told. All but `label` are called with
 * the account's lock held: they may only put something into a queue. */
#ifndef CACHE_HOOKS_H
#define CACHE_HOOKS_H

#include <stddef.h>
#include <stdint.h>

struct blob;
struct msg_info;

enum account_event { EVENT_NEW, EVENT_EXPUNGED, EVENT_FLAGS };

struct account_hooks {
    /* Makes the label of a message, at most `cap` bytes with its NUL, from its header fields;
     * returns its length. Called without a lock. */
    size_t (*label)(const char *header, size_t len, char *out, size_t cap);
    /* A message is no longer to be seen in `m->folder`. */
    void (*msg_gone)(void *ctx, const struct msg_info *m);
    /* It is perhaps still there, but what was promised of it is not kept any more: its name is to
     * be asked for again. */
    void (*msg_unsure)(void *ctx, const struct msg_info *m);
    /* All bytes of a message, before anyone has read them: the callee's reference. To be answered
     * by account_stored(). NULL: never wanted. */
    void (*msg_bytes)(void *ctx, uint32_t gen, uint32_t uid, struct blob *bytes);
    /* Something became known of a folder that was listed before; `folder` is its path below the
     * mount's top, `flags` what account_flags() says, if it is about them. */
    void (*event)(void *ctx, const char *folder, const struct msg_info *m, enum account_event what,
                  const char *flags);
    /* folder_info.changed is new. */
    void (*folder_changed)(void *ctx, uint32_t id);
    /* A message is longer than was announced. Said before account_read() gives bytes that reach the
     * end as it was announced. */
    void (*msg_size)(void *ctx, uint32_t gen, uint32_t uid);
    /* A message is to be seen in the folder under this UID, which was known not to be there. */
    void (*msg_came)(void *ctx, uint32_t folder, uint32_t uid);
    /* What the kernel may believe of `name` in the folder `parent` is no longer so. */
    void (*entry_stale)(void *ctx, uint32_t parent, const char *name);
    void *ctx;
};

#endif
