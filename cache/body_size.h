/* What bytes that came tell of the size of their message. Internal to the files of body.h. */
#ifndef CACHE_BODY_SIZE_H
#define CACHE_BODY_SIZE_H

#include "cache/body_store.h"

/* Of the window of `len` bytes at `off`, `got` came; or of the whole message, if `whole`. */
void body_learn(struct account *a, struct body *b, uint64_t off, size_t got, size_t len,
                bool whole);

#endif
