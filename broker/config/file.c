#include "broker/config/file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define FILE_CHUNK 65536

static bool
descriptor_read(int fd, size_t size_max, struct buf *out)
{
    const size_t start = out->size;
    for (;;) {
        const ssize_t size = read(fd, buf_reserve(out, FILE_CHUNK), FILE_CHUNK);
        if (size < 0 && errno == EINTR)
            continue;
        if (size <= 0)
            return size == 0;
        out->size += (size_t)size;
        if (out->size - start > size_max) {
            errno = EFBIG;
            return false;
        }
    }
}

bool
file_read(const char *path, size_t size_max, struct buf *out)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    const bool read_all = descriptor_read(fd, size_max, out);
    const int why = errno;
    close(fd);
    errno = why;
    return read_all;
}
