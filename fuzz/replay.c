/* replay.c - runs a fuzz target over inputs, without a fuzzer: replay-NAME FILE-OR-FOLDER...
 *
 * Linked with each target, so that every push replays fuzz/corpus with any
 * compiler. Each input lies in a block of exactly its size, so that the
 * sanitizers see the first byte that is read behind it. The blocks are
 * malloc's: targets may count what is left of base/alloc.h's.
 */
#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int n_replayed;

static bool replay_file(const char *path)
{
    static uint8_t data[1024 * 1024]; /* longer files are cut */
    FILE *file = fopen(path, "rb");

    if (!file) {
        (void)fprintf(stderr, "%s cannot be read\n", path);
        return false;
    }
    size_t size = fread(data, 1, sizeof(data), file);
    (void)fclose(file);
    uint8_t *input = malloc(size > 0 ? size : 1);
    if (!input)
        return false;
    memcpy(input, data, size);
    (void)LLVMFuzzerTestOneInput(input, size);
    free(input);
    n_replayed++;
    return true;
}

static int is_shown(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* In the order of their names. */
static bool replay_folder(const char *path)
{
    char file[4096];
    struct dirent **entries = NULL;
    int n = scandir(path, &entries, is_shown, alphasort);
    bool ok = n >= 0;

    for (int i = 0; i < n; i++) {
        (void)snprintf(file, sizeof(file), "%s/%s", path, entries[i]->d_name);
        ok = ok && replay_file(file);
        free(entries[i]);
    }
    free(entries);
    return ok;
}

static bool is_folder(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

int main(int argc, char **argv)
{
    bool ok = true;

    if (argc < 2) {
        (void)fprintf(stderr, "usage: %s FILE-OR-FOLDER...\n", argv[0]);
        return 2;
    }
    for (int i = 1; ok && i < argc; i++)
        ok = is_folder(argv[i]) ? replay_folder(argv[i]) : replay_file(argv[i]);
    printf("%d inputs replayed\n", n_replayed);
    return ok && n_replayed > 0 ? 0 : 1;
}
