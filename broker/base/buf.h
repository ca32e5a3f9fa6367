#ifndef BROKER_BASE_BUF_H
#define BROKER_BASE_BUF_H

/*
 * A growable run of octets with one owner. A zeroed struct buf is empty and owns nothing.
 * The owner bounds its growth: a buf does not know what is too much.
 */

#include "broker/base/bytes.h"

struct buf {
    uint8_t *data;
    size_t size;
    size_t capacity;
};

/* Releases the memory; the buf is empty and usable again. */
void buf_fini(struct buf *b);

/* Makes room for `extra` more octets and returns where they go; does not change the size. */
uint8_t *buf_reserve(struct buf *b, size_t extra);

void buf_append(struct buf *b, const void *data, size_t size);

void buf_append_bytes(struct buf *b, struct bytes bytes);

/* Formats like printf, without the terminating zero. */
void buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

static inline struct bytes
buf_bytes(const struct buf *b)
{
    return bytes_of(b->data, b->size);
}

#endif
