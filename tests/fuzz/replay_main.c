/*
 * Runs a fuzz target without a fuzzer: once with no input at all, then with each file that the
 * arguments name, directly or by their folder. Crashes are the compiler's sanitizers' to find.
 */

#include "tests/exact.h"
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static void
fail(const char *path)
{
    fprintf(stderr, "replay: %s: %s\n", path, strerror(errno));
    exit(1);
}

static void
replay_octets(struct bytes octets)
{
    struct exact e = exact_copy(octets);
    LLVMFuzzerTestOneInput(e.bytes.data, e.bytes.size);
    exact_free(&e);
}

static void
replay_file(const char *path, size_t size)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        fail(path);
    uint8_t *octets = mem_alloc(size);
    const size_t got = fread(octets, 1, size, file);
    if (ferror(file))
        fail(path);
    fclose(file);
    replay_octets(bytes_of(octets, got));
    mem_free(octets);
}

static unsigned replay(const char *path);

static unsigned
replay_folder(const char *path)
{
    struct dirent **entries;
    const int entry_count = scandir(path, &entries, NULL, alphasort);
    if (entry_count < 0)
        fail(path);
    unsigned count = 0;
    for (int i = 0; i < entry_count; i++) {
        char inner[4096];
        if (entries[i]->d_name[0] != '.') {
            snprintf(inner, sizeof(inner), "%s/%s", path, entries[i]->d_name);
            count += replay(inner);
        }
        free(entries[i]);
    }
    free(entries);
    return count;
}

/* How many inputs that were. */
static unsigned
replay(const char *path)
{
    struct stat info;
    if (stat(path, &info) != 0)
        fail(path);
    if (S_ISDIR(info.st_mode))
        return replay_folder(path);
    /* So that a crash can be told from its last line of output. */
    printf("%s\n", path);
    fflush(stdout);
    replay_file(path, (size_t)info.st_size);
    return 1;
}

int
main(int argc, char **argv)
{
    replay_octets(BYTES_NONE);
    unsigned count = 0;
    for (int i = 1; i < argc; i++)
        count += replay(argv[i]);
    printf("%u inputs replayed\n", count);
    if (count == 0)
        fprintf(stderr, "usage: %s FILE_OR_FOLDER...; none of these has an input\n", argv[0]);
    return count > 0 ? 0 : 1;
}
