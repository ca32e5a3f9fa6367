#include "broker/core/record.h"

#include "broker/base/endian.h"

void
record_append(struct buf *out, const struct message *m, uint32_t offset, uint8_t priority,
              uint64_t wall_us)
{
    const size_t content =
        (size_t)m->exchange_size + m->key_size + m->properties_size + (size_t)m->body_size;
    const size_t size = RECORD_HEAD_SIZE + content;
    uint8_t *at = buf_reserve(out, size);
    store_be32(at, (uint32_t)size);
    store_be32(at + 4, offset);
    store_be64(at + 8, wall_us);
    at[16] = 0;
    at[17] = priority;
    at[18] = m->exchange_size;
    at[19] = m->key_size;
    store_be32(at + 20, m->properties_size);
    store_be64(at + 24, m->body_size);
    memcpy(at + RECORD_HEAD_SIZE, m->data, content);
    out->size += size;
}
