/* Preloaded into a broker: keeps a journal of what a loss of power would leave of the files below a
 * directory. Only what has been synced is sure to be there afterwards, so the journal tells for
 * each file how much of it was synced, and for each directory which names were. power.py kills the
 * broker, reads the journal and cuts the directory back.
 *
 *     C inode path          a file was created
 *     R inode from to       ... renamed
 *     U inode path          ... unlinked
 *     T inode size          ... truncated
 *     W inode from to       ... of a write-ahead log was written; what was there before is zeros
 *     S inode size          all of it up to size is on disk, as far as it was written
 *     Z inode size          the zeros that were written ahead are; with RAIL_POWERLOSS_LIE only
 *     D path                the names in this directory are on disk
 *
 * A line is written after its operation: what is not known to have been done counts as not done.
 * Files that lose their last name get one in the folder of graves, since an unlink may be lost too.
 *
 * RAIL_POWERLOSS_ROOT, _JOURNAL and _GRAVES name directory, journal and folder. With
 * RAIL_POWERLOSS_LIE set, syncs of the write-ahead log are not recorded: as on a disk that lies. */

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *root;
static const char *graves;
static int journal = -1;
static bool lies;

#define REAL(name) ((__typeof__(&name))real_of(#name))

static void *
real_of(const char *name)
{
    void *function = dlsym(RTLD_NEXT, name);
    if (function == NULL)
        abort();
    return function;
}

__attribute__((constructor)) static void
powerloss_init(void)
{
    const char *path = getenv("RAIL_POWERLOSS_JOURNAL");
    root = getenv("RAIL_POWERLOSS_ROOT");
    graves = getenv("RAIL_POWERLOSS_GRAVES");
    lies = getenv("RAIL_POWERLOSS_LIE") != NULL;
    if (path == NULL || root == NULL || graves == NULL)
        return;
    journal = REAL(open)(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static bool
is_watched(const char *path)
{
    const size_t size = root == NULL ? 0 : strlen(root);
    return journal >= 0 && strncmp(path, root, size) == 0 && (path[size] == '/' || path[size] == 0);
}

static void tell(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void
tell(const char *format, ...)
{
    const int error = errno;
    char line[2 * PATH_MAX + 64];
    va_list args;
    va_start(args, format);
    const int size = vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    if (REAL(write)(journal, line, (size_t)size) != size)
        abort();
    errno = error;
}

static bool
path_of(int fd, char path[PATH_MAX])
{
    char link[64];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    const ssize_t size = readlink(link, path, PATH_MAX - 1);
    if (size < 0)
        return false;
    path[size] = 0;
    return true;
}

static bool
descriptor_is_watched(int fd)
{
    char path[PATH_MAX];
    return journal >= 0 && path_of(fd, path) && is_watched(path);
}

/* Before a name goes: gives the file a name among the graves. Returns its inode, or 0. */
static unsigned long
bury(const char *path)
{
    struct stat status;
    char grave[PATH_MAX];
    if (lstat(path, &status) != 0)
        return 0;
    snprintf(grave, sizeof(grave), "%s/%lu", graves, (unsigned long)status.st_ino);
    if (link(path, grave) != 0 && errno != EEXIST)
        abort();
    return (unsigned long)status.st_ino;
}

static int
opened(const char *path, int flags, bool existed, int fd)
{
    struct stat status;
    if (fd < 0 || fstat(fd, &status) != 0)
        return fd;
    if (!existed)
        tell("C %lu %s\n", (unsigned long)status.st_ino, path);
    else if (flags & O_TRUNC)
        tell("T %lu 0\n", (unsigned long)status.st_ino);
    return fd;
}

#define DEFINE_OPEN(name)                                                                          \
    int name(const char *path, int flags, ...)                                                     \
    {                                                                                              \
        va_list args;                                                                              \
        va_start(args, flags);                                                                     \
        const mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;                            \
        va_end(args);                                                                              \
        if (!(flags & O_CREAT) || !is_watched(path))                                               \
            return REAL(name)(path, flags, mode);                                                  \
        const bool existed = access(path, F_OK) == 0;                                              \
        return opened(path, flags, existed, REAL(name)(path, flags, mode));                        \
    }

DEFINE_OPEN(open)
DEFINE_OPEN(open64)

int
rename(const char *from, const char *to)
{
    if (!is_watched(from))
        return REAL(rename)(from, to);
    const unsigned long inode = bury(from);
    bury(to);
    const int result = REAL(rename)(from, to);
    if (result == 0)
        tell("R %lu %s %s\n", inode, from, to);
    return result;
}

int
unlink(const char *path)
{
    if (!is_watched(path))
        return REAL(unlink)(path);
    const unsigned long inode = bury(path);
    const int result = REAL(unlink)(path);
    if (result == 0)
        tell("U %lu %s\n", inode, path);
    return result;
}

static bool
is_log(const char *path)
{
    const char *suffix = strrchr(path, '.');
    return suffix != NULL && strcmp(suffix, ".log") == 0;
}

/* A log may be longer than what was written to it by its owner: zeros are written ahead. */
ssize_t
write(int fd, const void *octets, size_t size)
{
    char path[PATH_MAX];
    struct stat status;
    if (journal < 0 || !path_of(fd, path) || !is_watched(path) || !is_log(path) ||
        fstat(fd, &status) != 0)
        return REAL(write)(fd, octets, size);
    const off_t from = lseek(fd, 0, SEEK_CUR);
    const ssize_t written = REAL(write)(fd, octets, size);
    if (written > 0)
        tell("W %lu %ld %ld\n", (unsigned long)status.st_ino, (long)from, (long)from + written);
    return written;
}

#define DEFINE_TRUNCATE(name)                                                                      \
    int name(int fd, off_t size)                                                                   \
    {                                                                                              \
        struct stat status;                                                                        \
        const bool watched = descriptor_is_watched(fd) && fstat(fd, &status) == 0;                 \
        const int result = REAL(name)(fd, size);                                                   \
        if (watched && result == 0 && size < status.st_size)                                       \
            tell("T %lu %ld\n", (unsigned long)status.st_ino, (long)size);                         \
        return result;                                                                             \
    }

DEFINE_TRUNCATE(ftruncate)
DEFINE_TRUNCATE(ftruncate64)

static void
synced(const struct stat *status, int fd)
{
    char path[PATH_MAX];
    if (!path_of(fd, path))
        return;
    if (S_ISDIR(status->st_mode))
        tell("D %s\n", path);
    else if (!lies || !is_log(path))
        tell("S %lu %ld\n", (unsigned long)status->st_ino, (long)status->st_size);
    else if (lseek(fd, 0, SEEK_CUR) == 0)
        tell("Z %lu %ld\n", (unsigned long)status->st_ino, (long)status->st_size);
}

/* The size before counts: what is written meanwhile may not be in it. */
#define DEFINE_SYNC(name)                                                                          \
    int name(int fd)                                                                               \
    {                                                                                              \
        struct stat status;                                                                        \
        const bool watched = descriptor_is_watched(fd) && fstat(fd, &status) == 0;                 \
        const int result = REAL(name)(fd);                                                         \
        if (watched && result == 0)                                                                \
            synced(&status, fd);                                                                   \
        return result;                                                                             \
    }

DEFINE_SYNC(fsync)
DEFINE_SYNC(fdatasync)
