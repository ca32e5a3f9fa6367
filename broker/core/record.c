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

struct message *
record_decode(struct bytes record, uint8_t *priority)
{
    if (record.size < RECORD_HEAD_SIZE)
        return NULL;
    const uint8_t *at = record.data;
    const size_t exchange_size = at[18];
    const size_t key_size = at[19];
    const size_t properties_size = load_be32(at + 20);
    const uint64_t body_size = load_be64(at + 24);
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
    memcpy(message_body(m), properties + properties_size, body_size);
    message_charge_body(body_size);
    m->is_persistent = true;
    m->priority = at[17];
    *priority = at[17];
    return m;
}
