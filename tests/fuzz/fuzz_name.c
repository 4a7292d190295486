/* Whatever the header says, the message's name is one that a shell and a terminal can bear. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "fs/name.h"
#include "imap/base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const char *name, size_t len, uint32_t uid)
{
    uint32_t back = 0;
    assert(len <= 255 && len == strlen(name) && name[0] != '.' && name[0] != '-');
    assert(utf8_valid(name, len));
    assert(!strpbrk(name, "/ \"'$*?;<>()[]~#=!&|\\`^{}:"));
    for (size_t i = 0; i < len;) {
        uint32_t cp = 0;
        i += utf8_next(name + i, len - i, &cp);
        assert(!utf8_is_control(cp) && !utf8_is_bidi(cp));
        assert(cp != 0x2028 && cp != 0x2029 && cp != 0xfeff && cp != 0x200b);
    }
    assert(name_parse_uid(name, &back) && back == uid);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool ready;
    char label[256], small[12], name[256], text[64] = {0};
    uint32_t uid = 0;

    if (!ready)
        name_init();
    ready = true;
    size_t n = name_label((const char *)data, size, label, sizeof(label));
    assert(n == strlen(label) && n <= NAME_LABEL_MAX && !strstr(label, "--"));
    const char *bar = strchr(label, '_');
    assert(bar && bar > label && bar[1] && bar[1] != '-' && bar[1] != '.' && label[n - 1] != '-');
    n = name_label((const char *)data, size, small, sizeof(small));
    assert(n < sizeof(small) && n == strlen(small) && utf8_valid(small, n));

    memcpy(&uid, data, size < 4 ? size : 4);
    int64_t when = (int64_t)((uint64_t)uid << (uid % 32));
    check(name, name_compose(name, when, label, uid ? uid : 1), uid ? uid : 1);
    check(name, name_uid_only(name, uid ? uid : 1), uid ? uid : 1);
    memcpy(text, data, size < 63 ? size : 63);
    assert(!name_parse_uid(text, &uid) || uid > 0);
    return 0;
}
