/* Preloaded into a broker: calls on files below a directory fail, from the n-th on or once.
 *
 * RAIL_DISKFAULT_ROOT names the directory, RAIL_DISKFAULT_CALL what fails (write, sync, allocate,
 * truncate, create or rename), _COUNT which of these is the first to fail, _ERROR the number of its
 * error. With _ONCE set the next call is fine again; with _LAST set to a number, those after the
 * number-th. With _SHORT set a write that is about to fail
 * first writes half of its octets, as a disk does that fills up. When the first call fails, the
 * file _MARK comes to be. */

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *root;
static const char *call;
static long count;
static int error_number;
static long last; /* 0: all that follow fail. */
static bool is_short;
static atomic_long seen;
static atomic_bool half_written; /* The call that follows fails. */

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
diskfault_init(void)
{
    const char *number = getenv("RAIL_DISKFAULT_COUNT");
    const char *error = getenv("RAIL_DISKFAULT_ERROR");
    const char *last_number = getenv("RAIL_DISKFAULT_LAST");
    root = getenv("RAIL_DISKFAULT_ROOT");
    call = getenv("RAIL_DISKFAULT_CALL");
    count = number == NULL ? 0 : strtol(number, NULL, 10);
    error_number = error == NULL ? EIO : (int)strtol(error, NULL, 10);
    last = getenv("RAIL_DISKFAULT_ONCE") != NULL ? count
           : last_number == NULL                 ? 0
                                                 : strtol(last_number, NULL, 10);
    is_short = getenv("RAIL_DISKFAULT_SHORT") != NULL;
}

static void
mark(void)
{
    const char *path = getenv("RAIL_DISKFAULT_MARK");
    const int fd = path == NULL ? -1 : REAL(open)(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0)
        close(fd);
}

static bool
path_is_watched(const char *path)
{
    const size_t size = root == NULL ? 0 : strlen(root);
    return size > 0 && strncmp(path, root, size) == 0 && (path[size] == '/' || path[size] == 0);
}

static bool
is_watched(int fd)
{
    char link[64];
    char path[PATH_MAX];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    const ssize_t size = readlink(link, path, sizeof(path) - 1);
    path[size < 0 ? 0 : size] = 0;
    return path_is_watched(path);
}

/* Whether this call, on something watched, has to fail; errno is set then. */
static bool
fails(const char *what)
{
    if (call == NULL || strcmp(call, what) != 0)
        return false;
    const long number = atomic_fetch_add(&seen, 1) + 1;
    if (number < count || (last > 0 && number > last))
        return false;
    if (number == count)
        mark();
    errno = error_number;
    return true;
}

/* The size that is still written by a call that fails, or -1. */
static ssize_t
write_size(int fd, size_t size)
{
    if (!is_watched(fd))
        return (ssize_t)size;
    if (atomic_exchange(&half_written, false)) {
        errno = error_number;
        return -1;
    }
    if (!fails("write"))
        return (ssize_t)size;
    if (!is_short || size < 2)
        return -1;
    atomic_store(&half_written, true);
    return (ssize_t)(size / 2);
}

ssize_t
write(int fd, const void *octets, size_t size)
{
    const ssize_t left = write_size(fd, size);
    return left < 0 ? -1 : REAL(write)(fd, octets, (size_t)left);
}

#define DEFINE_PWRITE(name)                                                                        \
    ssize_t name(int fd, const void *octets, size_t size, off_t offset)                            \
    {                                                                                              \
        const ssize_t left = write_size(fd, size);                                                 \
        return left < 0 ? -1 : REAL(name)(fd, octets, (size_t)left, offset);                       \
    }

DEFINE_PWRITE(pwrite)
DEFINE_PWRITE(pwrite64)

#define DEFINE_SYNC(name)                                                                          \
    int name(int fd)                                                                               \
    {                                                                                              \
        return is_watched(fd) && fails("sync") ? -1 : REAL(name)(fd);                              \
    }

DEFINE_SYNC(fsync)
DEFINE_SYNC(fdatasync)

#define DEFINE_FALLOCATE(name)                                                                     \
    int name(int fd, int mode, off_t offset, off_t size)                                           \
    {                                                                                              \
        return is_watched(fd) && fails("allocate") ? -1 : REAL(name)(fd, mode, offset, size);      \
    }

DEFINE_FALLOCATE(fallocate)
DEFINE_FALLOCATE(fallocate64)

/* These return the error. */
#define DEFINE_POSIX_FALLOCATE(name)                                                               \
    int name(int fd, off_t offset, off_t size)                                                     \
    {                                                                                              \
        return is_watched(fd) && fails("allocate") ? errno : REAL(name)(fd, offset, size);         \
    }

DEFINE_POSIX_FALLOCATE(posix_fallocate)
DEFINE_POSIX_FALLOCATE(posix_fallocate64)

#define DEFINE_TRUNCATE(name)                                                                      \
    int name(int fd, off_t size)                                                                   \
    {                                                                                              \
        return is_watched(fd) && fails("truncate") ? -1 : REAL(name)(fd, size);                    \
    }

DEFINE_TRUNCATE(ftruncate)
DEFINE_TRUNCATE(ftruncate64)

int
rename(const char *from, const char *to)
{
    return path_is_watched(from) && fails("rename") ? -1 : REAL(rename)(from, to);
}

#define DEFINE_OPEN(name)                                                                          \
    int name(const char *path, int flags, ...)                                                     \
    {                                                                                              \
        va_list args;                                                                              \
        va_start(args, flags);                                                                     \
        const mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;                            \
        va_end(args);                                                                              \
        if (flags & O_CREAT && path_is_watched(path) && access(path, F_OK) != 0 &&                 \
            fails("create"))                                                                       \
            return -1;                                                                             \
        return REAL(name)(path, flags, mode);                                                      \
    }

DEFINE_OPEN(open)
DEFINE_OPEN(open64)
