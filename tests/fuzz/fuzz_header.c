/* Header fields as the extended attributes show them: encoded words, folds, any bytes. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "fs/header.h"
#include "fs/name.h"
#include "imap/base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const fields[] = {"From", "To", "Subject", "Date", "Message-ID"};
    static bool ready;
    if (!ready)
        name_init();
    ready = true;
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        struct buf out = {0};
        header_text((const char *)data, size, fields[i], &out);
        assert(utf8_valid(out.data ? out.data : "", out.len));
        assert(strlen(buf_str(&out)) == out.len);
        assert(!strpbrk(buf_str(&out), "\r\n"));
        buf_free(&out);
    }
    return 0;
}
