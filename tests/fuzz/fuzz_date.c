/* A date that is understood is written so that it is understood as the same. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "imap/wire/date.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int64_t when = 0, again = 0;
    char out[32];

    if (date_parse((const char *)data, size, &when) == 0) {
        date_format(when, out);
        assert(date_parse(out, strlen(out), &again) == 0);
        /* A zone may lead out of the years that can be written. */
        assert(again == when || when > INT64_C(253402300799) || when < INT64_C(-62135596800));
    }
    memcpy(&when, data, size < 8 ? size : 8);
    date_format(when, out);
    assert(strlen(out) == 26 && date_parse(out, 26, &again) == 0);
    return 0;
}
