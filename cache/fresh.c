#include "cache/fresh.h"

#include <string.h>

void fresh_expire(struct freshness *fr)
{
    fr->synced_at = fr->heard_at = 0;
}

void fresh_forget(struct freshness *fr)
{
    fresh_expire(fr);
    memset(fr->probes, 0, sizeof fr->probes);
    fr->none_at = 0;
}

void fresh_probed(struct freshness *fr, uint32_t uid, int64_t at)
{
    unsigned i = fr->n_probes++ % FRESH_PROBES;
    fr->probes[i].uid = uid;
    fr->probes[i].at = at;
}

bool fresh_was_probed(const struct freshness *fr, uint32_t uid, int64_t since)
{
    for (unsigned i = 0; i < FRESH_PROBES; i++)
        if (fr->probes[i].uid == uid && fr->probes[i].at >= since)
            return true;
    return false;
}

void fresh_none_from(struct freshness *fr, uint32_t uid, int64_t at)
{
    fr->none_from = uid;
    fr->none_at = at;
}

bool fresh_is_none(const struct freshness *fr, uint32_t uid, int64_t since)
{
    return fr->none_at && fr->none_at >= since && uid >= fr->none_from;
}

bool fresh_is_last(const struct freshness *fr, uint32_t uid, int64_t since)
{
    return fr->none_at && fr->none_at >= since && uid == fr->none_from - 1;
}
