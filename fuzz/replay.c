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

static bool replay_folder(const char *path, DIR *folder)
{
    char file[4096];
    bool ok = true;

    for (struct dirent *entry; ok && (entry = readdir(folder));) {
        if (entry->d_name[0] == '.')
            continue;
        (void)snprintf(file, sizeof(file), "%s/%s", path, entry->d_name);
        ok = replay_file(file);
    }
    (void)closedir(folder);
    return ok;
}

int main(int argc, char **argv)
{
    bool ok = true;

    if (argc < 2) {
        (void)fprintf(stderr, "usage: %s FILE-OR-FOLDER...\n", argv[0]);
        return 2;
    }
    for (int i = 1; ok && i < argc; i++) {
        DIR *folder = opendir(argv[i]);
        ok = folder ? replay_folder(argv[i], folder) : replay_file(argv[i]);
    }
    printf("%d inputs replayed\n", n_replayed);
    return ok && n_replayed > 0 ? 0 : 1;
}
