#ifndef TESTS_UNIT_TEST_PERSISTENCE_H
#define TESTS_UNIT_TEST_PERSISTENCE_H

/*
 * What the tests of persistence share: payloads of records, directories that go away, and copies of
 * them, which is what a crash leaves. Include after cmocka.h.
 */

#include "broker/base/buf.h"
#include "broker/base/endian.h"
#include "persistence/engine.h"
#include "persistence/log_index.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { PATH_SIZE = 256, NAME_SIZE = 1024 };

/* Appends a record whose content is `mark` and then `fill` octets that follow from it; it weighs
 * `fill`. */
static inline void
payload_add(struct buf *payload, uint32_t offset, uint64_t mark, uint32_t fill)
{
    const uint32_t size = RECORD_FRAME_SIZE + 8 + fill;
    uint8_t *at = buf_reserve(payload, size);
    store_be32(at, size);
    store_be32(at + 4, offset);
    store_be32(at + 8, fill);
    store_be64(at + 12, mark);
    for (uint32_t i = 0; i < fill; i++)
        at[20 + i] = (uint8_t)(mark * 31 + i);
    payload->size += size;
}

/* The mark of a record, all of whose octets must be as payload_add made them. */
static inline uint64_t
record_mark(struct bytes record)
{
    assert_true(record.size >= RECORD_FRAME_SIZE + 8);
    assert_int_equal(load_be32(record.data), record.size);
    const uint64_t mark = load_be64(record.data + 12);
    for (size_t i = 20; i < record.size; i++)
        if (record.data[i] != (uint8_t)(mark * 31 + i - 20))
            fail_msg("octet %zu of record %llu has changed", i, (unsigned long long)mark);
    return mark;
}

/* The directory of a store, in a folder of its own for what lies beside it. */
static inline void
directory_make(char path[PATH_SIZE])
{
    const char *root = getenv("TMPDIR");
    char folder[PATH_SIZE - 8];
    snprintf(folder, sizeof(folder), "%s/rail-test-store-XXXXXX", root == NULL ? "/tmp" : root);
    assert_non_null(mkdtemp(folder));
    snprintf(path, PATH_SIZE, "%s/store", folder);
    assert_int_equal(mkdir(path, 0700), 0);
}

/* What lies beside the store. */
static inline void
path_beside(const char *directory, const char *name, char path[NAME_SIZE])
{
    snprintf(path, NAME_SIZE, "%.*s%s", (int)(strrchr(directory, '/') + 1 - directory), directory,
             name);
}

/* Stores hold files only, no folders. */
static inline void
directory_remove(const char *path)
{
    char name[NAME_SIZE];
    DIR *directory = opendir(path);
    assert_non_null(directory);
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
        if (entry->d_name[0] != '.')
            assert_int_equal(unlink(name), 0);
    }
    closedir(directory);
    assert_int_equal(rmdir(path), 0);
    path_beside(path, "witness", name);
    unlink(name);
    path_beside(path, "", name);
    assert_int_equal(rmdir(name), 0);
}

/* A file may go while its directory is being read: then nothing needs it. */
static inline void
file_copy(const char *from, const char *to)
{
    char octets[65536];
    ssize_t size;
    const int in = open(from, O_RDONLY | O_CLOEXEC);
    if (in < 0 && errno == ENOENT)
        return;
    const int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(in >= 0 && out >= 0);
    while ((size = read(in, octets, sizeof(octets))) > 0)
        assert_int_equal(write(out, octets, (size_t)size), size);
    assert_int_equal(size, 0);
    close(in);
    close(out);
}

/* Copies the files whose names begin with `prefix`. */
static inline void
files_copy(const char *from, const char *to, const char *prefix)
{
    char name[NAME_SIZE];
    char copy[NAME_SIZE];
    DIR *directory = opendir(from);
    assert_non_null(directory);
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        if (entry->d_name[0] == '.' || strncmp(entry->d_name, prefix, strlen(prefix)) != 0)
            continue;
        snprintf(name, sizeof(name), "%s/%s", from, entry->d_name);
        snprintf(copy, sizeof(copy), "%s/%s", to, entry->d_name);
        if (access(copy, F_OK) != 0)
            file_copy(name, copy);
    }
    closedir(directory);
}

/* What a process that is killed now would leave. The witness goes first, as nothing it tells of is
 * taken back; then the manifest: files that it names must not be deleted meanwhile. */
static inline void
directory_copy(const char *from, char to[PATH_SIZE])
{
    char witness[NAME_SIZE];
    char copy[NAME_SIZE];
    directory_make(to);
    path_beside(from, "witness", witness);
    path_beside(to, "witness", copy);
    file_copy(witness, copy);
    files_copy(from, to, "MANIFEST");
    files_copy(from, to, "");
}

static inline void
ignore_definition(void *context, struct bytes key, struct bytes row)
{
    (void)context;
    (void)key;
    (void)row;
}

static inline void
ignore_log(void *context, const struct log_summary *summary)
{
    (void)context;
    (void)summary;
}

/* For recoveries that are about something else than what they find. */
static const struct recovery recovery_ignored = { ignore_definition, ignore_log, NULL };

#endif
