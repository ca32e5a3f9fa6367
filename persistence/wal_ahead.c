#include "persistence/wal_ahead.h"

#include "broker/base/log.h"
#include "persistence/wal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

/* New zeros are due when fewer are left. */
#define ZEROS_MIN 16384u
#define PAGE_SIZE 4096u

/* Overwriting must be what it says: file systems that copy on write gain nothing from it. */
static bool
overwrites_in_place(int fd)
{
    struct statfs status;
    return fstatfs(fd, &status) == 0 &&
           (status.f_type == EXT4_SUPER_MAGIC || status.f_type == XFS_SUPER_MAGIC ||
            status.f_type == OVERLAYFS_SUPER_MAGIC);
}

void
wal_ahead_init(struct wal_ahead *a, const char *directory)
{
    *a = (struct wal_ahead){ .directory = directory, .is_of_use = true, .fd = -1 };
}

static void
forget_log(struct wal_ahead *a)
{
    if (a->fd >= 0)
        close(a->fd);
    a->fd = -1;
    a->number = 0;
}

void
wal_ahead_fini(struct wal_ahead *a)
{
    forget_log(a);
}

void
wal_ahead_note(struct wal_ahead *a, uint64_t octets)
{
    octets += WAL_FRAME_HEAD_SIZE; /* Of a record that crosses no block. */
    a->octets += octets;
    a->zeros = a->zeros > octets ? a->zeros - octets : 0;
}

/* RocksDB names its logs by a number that grows. 0: there is none. */
static uint64_t
newest_log(const char *directory)
{
    DIR *folder = opendir(directory);
    const struct dirent *entry;
    uint64_t newest = 0;
    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        char *end;
        const uint64_t number = strtoull(entry->d_name, &end, 10);
        if (end != entry->d_name && strcmp(end, ".log") == 0 && number > newest)
            newest = number;
    }
    if (folder != NULL)
        closedir(folder);
    return newest;
}

/* Opens the log that RocksDB writes to now; false if it cannot be. */
static bool
follow_log(struct wal_ahead *a)
{
    char path[PATH_MAX];
    const uint64_t number = newest_log(a->directory);
    if (a->fd >= 0 && number == a->number)
        return true;
    forget_log(a);
    snprintf(path, sizeof(path), "%s/%06llu.log", a->directory, (unsigned long long)number);
    a->fd = open(path, O_WRONLY | O_CLOEXEC);
    a->number = number;
    a->end = 0;
    return a->fd >= 0;
}

/* How many were written; none with errno. Page by page: of a longer write the kernel keeps larger
 * folios, and counts the whole of one as written whenever a round changes a page of it. */
static size_t
write_zeros(int fd, off_t at)
{
    static const uint8_t page[PAGE_SIZE];
    size_t done = 0;
    ssize_t written = 1;
    while (done < WAL_AHEAD_OCTETS && written > 0) {
        const off_t next = at + (off_t)done;
        written = pwrite(fd, page, PAGE_SIZE - (size_t)next % PAGE_SIZE, next);
        done += written > 0 ? (size_t)written : 0;
    }
    return done;
}

/* It is nothing but slower without: only a sync that fails means more than that. */
static bool
give_up(struct wal_ahead *a, const char *what)
{
    log_warning("store.ahead", "msg=\"%s: %s; no zeros are written ahead any more\"", what,
                strerror(errno));
    a->is_of_use = false;
    forget_log(a);
    return true;
}

static bool
extend(struct wal_ahead *a)
{
    struct stat status;
    if (!follow_log(a) || fstat(a->fd, &status) != 0)
        return give_up(a, "the write-ahead log cannot be found");
    if (!overwrites_in_place(a->fd)) {
        a->is_of_use = false;
        return true;
    }
    const uint64_t end = (uint64_t)status.st_size;
    if (end != a->end)
        a->zeros = 0; /* A new log, or RocksDB is beyond the zeros. */
    const size_t written = write_zeros(a->fd, status.st_size);
    if (written == 0)
        return give_up(a, "the write-ahead log cannot be written ahead");
    a->zeros += written;
    a->end = end + written;
    if (fdatasync(a->fd) == 0)
        return true;
    log_error("store.write", "msg=\"the write-ahead log cannot be synced: %s\"", strerror(errno));
    return false;
}

bool
wal_ahead_extend(struct wal_ahead *a)
{
    if (!a->is_of_use || ++a->rounds < WAL_AHEAD_ROUNDS)
        return true;
    const bool is_due = a->zeros < ZEROS_MIN && a->octets <= a->rounds * WAL_AHEAD_ROUND_MAX;
    a->rounds = 0;
    a->octets = 0;
    return !is_due || extend(a);
}
