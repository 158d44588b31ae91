/* replay.c - runs a fuzz target over a corpus, without a fuzzer: replay-NAME FOLDER
 *
 * Linked with each target, so that every push replays fuzz/corpus with any compiler.
 */
#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool replay_file(const char *folder, const char *name)
{
    static uint8_t data[1024 * 1024]; /* longer files are cut */
    char path[4096];

    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    if (!file) {
        (void)fprintf(stderr, "%s cannot be read\n", path);
        return false;
    }
    size_t size = fread(data, 1, sizeof(data), file);
    (void)fclose(file);
    (void)LLVMFuzzerTestOneInput(data, size);
    return true;
}

int main(int argc, char **argv)
{
    DIR *folder = argc == 2 ? opendir(argv[1]) : NULL;
    int n_replayed = 0;
    bool ok = true;

    if (!folder) {
        (void)fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
        return 2;
    }
    for (struct dirent *entry; ok && (entry = readdir(folder));)
        if (entry->d_name[0] != '.') {
            ok = replay_file(argv[1], entry->d_name);
            n_replayed++;
        }
    closedir(folder);
    printf("%d inputs replayed\n", n_replayed);
    return ok && n_replayed > 0 ? 0 : 1;
}
