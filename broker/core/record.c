#include "broker/core/record.h"

#include "broker/base/endian.h"

void
record_append_head(struct buf *out, const struct message *m, uint32_t offset, uint8_t priority,
                   uint64_t wall_us)
{
    const size_t names = (size_t)m->exchange_size + m->key_size + m->properties_size;
    uint8_t *at = buf_reserve(out, RECORD_HEAD_SIZE + names);
    store_be32(at, (uint32_t)(RECORD_HEAD_SIZE + names + m->body_size));
    store_be32(at + 4, offset);
    store_be32(at + 8, (uint32_t)m->body_size);
    store_be64(at + 12, wall_us);
    at[20] = m->is_persistent ? RECORD_PERSISTENT : 0;
    at[21] = priority;
    at[22] = m->exchange_size;
    at[23] = m->key_size;
    store_be32(at + 24, m->properties_size);
    memcpy(at + RECORD_HEAD_SIZE, m->data, names);
    out->size += RECORD_HEAD_SIZE + names;
}

void
record_append(struct buf *out, const struct message *m, uint32_t offset, uint8_t priority,
              uint64_t wall_us)
{
    record_append_head(out, m, offset, priority, wall_us);
    buf_append_bytes(out, message_body_bytes(m));
}

struct message *
record_decode(struct bytes record, uint8_t *priority)
{
    if (record.size < RECORD_HEAD_SIZE)
        return NULL;
    const uint8_t *at = record.data;
    const size_t body_size = load_be32(at + 8);
    const size_t exchange_size = at[22];
    const size_t key_size = at[23];
    const size_t properties_size = load_be32(at + 24);
    const size_t names = exchange_size + key_size + properties_size;
    if (names > record.size - RECORD_HEAD_SIZE ||
        body_size != record.size - RECORD_HEAD_SIZE - names)
        return NULL;
    const uint8_t *exchange = at + RECORD_HEAD_SIZE;
    const uint8_t *key = exchange + exchange_size;
    const uint8_t *properties = key + key_size;
    struct message *m = message_create(bytes_of(exchange, exchange_size), bytes_of(key, key_size),
                                       bytes_of(properties, properties_size), body_size);
    if (m == NULL)
        return NULL;
    if (body_size > 0)
        memcpy(message_body(m), properties + properties_size, body_size);
    message_charge((int64_t)body_size);
    m->is_persistent = (at[20] & RECORD_PERSISTENT) != 0;
    m->priority = at[21];
    *priority = at[21];
    return m;
}
