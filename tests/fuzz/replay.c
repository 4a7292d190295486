/* Runs a fuzz target over files instead of inventing input: what `make check` does with a corpus.
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "imap/base/buf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned replayed;

static void run_file(const char *path)
{
    struct buf b = {0};
    FILE *f = fopen(path, "rb");
    if (!f) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        exit(1);
    }
    size_t n;
    while ((n = fread(buf_reserve(&b, 65536), 1, 65536, f)) > 0)
        b.len += n;
    fclose(f);
    /* A copy of just that size, so that a sanitizer sees the first byte read too many. */
    uint8_t *exact = malloc(b.len ? b.len : 1);
    if (b.len)
        memcpy(exact, b.data, b.len);
    LLVMFuzzerTestOneInput(exact, b.len);
    free(exact);
    buf_free(&b);
    replayed++;
}

static void run_dir(const char *path)
{
    struct dirent **list;
    int n = scandir(path, &list, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        struct buf name = {0};
        buf_addf(&name, "%s/%s", path, list[i]->d_name);
        if (list[i]->d_name[0] != '.')
            run_file(buf_str(&name));
        buf_free(&name);
        free(list[i]);
    }
    if (n >= 0)
        free(list);
}

int main(int argc, char **argv)
{
    const char *slash = strrchr(argv[0], '/');
    for (int i = 1; i < argc; i++) {
        struct stat st;
        if (stat(argv[i], &st) == 0 && S_ISDIR(st.st_mode))
            run_dir(argv[i]);
        else
            run_file(argv[i]);
    }
    printf("%s: %u inputs replayed\n", slash ? slash + 1 : argv[0], replayed);
    return replayed ? 0 : 1;
}
