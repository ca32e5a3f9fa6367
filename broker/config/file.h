#ifndef BROKER_CONFIG_FILE_H
#define BROKER_CONFIG_FILE_H

/* Reads a small file as a whole. Any thread. */

#include "broker/base/buf.h"

/* Appends the content. False, with errno set, if it cannot be read or is larger than `size_max`
 * (EFBIG). */
bool file_read(const char *path, size_t size_max, struct buf *out);

#endif
