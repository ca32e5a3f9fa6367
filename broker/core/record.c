#include "broker/core/record.h"

#include "broker/base/clock.h"
#include "broker/base/endian.h"

static uint8_t
flags_of(const struct entry *e)
{
    const struct message *m = e->message;
    return (uint8_t)((m->is_persistent ? RECORD_PERSISTENT : 0u) |
                     (e->due_ms != 0 ? RECORD_DUE : 0u) |
                     (m->has_expiration ? RECORD_EXPIRATION : 0u) | (m->has_bcc ? RECORD_BCC : 0u));
}

void
record_append_head(struct buf *out, const struct entry *e, uint32_t offset, uint64_t wall_us)
{
    const struct message *m = e->message;
    const uint8_t flags = flags_of(e);
    const size_t names = (size_t)m->exchange_size + m->key_size + m->properties_size;
    const size_t head = RECORD_HEAD_SIZE + (flags & RECORD_DUE ? 8u : 0u);
    uint8_t *at = buf_reserve(out, head + names);
    store_be32(at, (uint32_t)(head + names + m->body_size));
    store_be32(at + 4, offset);
    store_be32(at + 8, (uint32_t)m->body_size);
    store_be64(at + 12, wall_us);
    at[20] = flags;
    at[21] = m->priority;
    at[22] = m->exchange_size;
    at[23] = m->key_size;
    store_be32(at + 24, m->properties_size);
    if (flags & RECORD_DUE)
        store_be64(at + RECORD_HEAD_SIZE, clock_wall_of_ms(e->due_ms));
    memcpy(at + head, m->data, names);
    out->size += head + names;
}

void
record_append(struct buf *out, const struct entry *e, uint32_t offset, uint64_t wall_us)
{
    record_append_head(out, e, offset, wall_us);
    buf_append_bytes(out, message_body_bytes(e->message));
}

/* Where the names begin; 0 if the octets are not a record. */
static size_t
head_size(struct bytes record)
{
    if (record.size < RECORD_HEAD_SIZE)
        return 0;
    const uint8_t *at = record.data;
    const size_t head = RECORD_HEAD_SIZE + (at[20] & RECORD_DUE ? 8u : 0u);
    const size_t names = (size_t)at[22] + at[23] + load_be32(at + 24);
    return head + names + load_be32(at + 8) == record.size ? head : 0;
}

bool
record_wall(struct bytes record, uint64_t *wall_us)
{
    if (head_size(record) == 0)
        return false;
    *wall_us = load_be64(record.data + 12);
    return true;
}

bool
record_due(struct bytes record, uint64_t *due_ms, uint32_t *weight)
{
    if (head_size(record) == 0)
        return false;
    *weight = load_be32(record.data + 8);
    *due_ms = record.data[20] & RECORD_DUE
                  ? clock_monotonic_of_wall_ms(load_be64(record.data + RECORD_HEAD_SIZE))
                  : 0;
    return true;
}

bool
record_decode(struct bytes record, struct entry *e)
{
    uint32_t body_size;
    if (!record_due(record, &e->due_ms, &body_size))
        return false;
    const uint8_t *at = record.data;
    const size_t properties_size = load_be32(at + 24);
    const uint8_t *exchange = at + head_size(record);
    const uint8_t *key = exchange + at[22];
    const uint8_t *properties = key + at[23];
    struct message *m = message_create(bytes_of(exchange, at[22]), bytes_of(key, at[23]),
                                       bytes_of(properties, properties_size), body_size);
    if (m == NULL)
        return false;
    if (body_size > 0)
        memcpy(message_body(m), properties + properties_size, body_size);
    message_charge((int64_t)body_size);
    m->is_persistent = (at[20] & RECORD_PERSISTENT) != 0;
    m->has_expiration = (at[20] & RECORD_EXPIRATION) != 0;
    m->has_bcc = (at[20] & RECORD_BCC) != 0;
    m->priority = at[21];
    e->priority = at[21];
    e->message = m;
    return true;
}
