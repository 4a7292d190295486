#include "cache/trust.h"

enum { LATELY = 5000, RECENT = 1000 }; /* ms */

int64_t trust_since(enum trust trust, int64_t asked)
{
    switch (trust) {
    case TRUST_KNOWN:
        return 0; /* clock_ms() is never below */
    case TRUST_LATELY:
        return asked - LATELY;
    case TRUST_RECENT:
        return asked - RECENT;
    case TRUST_SERVER:
        break;
    }
    return asked;
}
