#include "broker/base/buf.h"

#include "broker/base/mem.h"
#include "broker/base/panic.h"

#include <stdarg.h>
#include <stdio.h>

void
buf_fini(struct buf *b)
{
    mem_free(b->data);
    *b = (struct buf){ 0 };
}

uint8_t *
buf_reserve(struct buf *b, size_t extra)
{
    if (b->capacity - b->size < extra) {
        size_t capacity = b->capacity < 64 ? 64 : b->capacity * 2;
        if (capacity < b->size + extra)
            capacity = b->size + extra;
        b->data = mem_resize(b->data, capacity);
        b->capacity = capacity;
    }
    return b->data + b->size;
}

void
buf_append(struct buf *b, const void *data, size_t size)
{
    if (size == 0)
        return;
    memcpy(buf_reserve(b, size), data, size);
    b->size += size;
}

void
buf_append_bytes(struct buf *b, struct bytes bytes)
{
    buf_append(b, bytes.data, bytes.size);
}

void
buf_printf(struct buf *b, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const int size = vsnprintf(NULL, 0, format, args);
    va_end(args);
    ASSERT(size >= 0);
    char *out = (char *)buf_reserve(b, (size_t)size + 1);
    va_start(args, format);
    vsnprintf(out, (size_t)size + 1, format, args);
    va_end(args);
    b->size += (size_t)size;
}
