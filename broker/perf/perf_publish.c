#include "broker/perf/perf_publish.h"

#include "amqp/properties.h"

static size_t
publish_chunk(const struct perf_publish *m)
{
    return m->frame_max - AMQP_FRAME_OVERHEAD;
}

static uint8_t *
frame_append(struct buf *out, uint8_t type, uint16_t channel, size_t size)
{
    uint8_t *at = buf_reserve(out, size + AMQP_FRAME_OVERHEAD);
    amqp_frame_head_encode(at, type, channel, (uint32_t)size);
    at[AMQP_FRAME_HEAD_SIZE + size] = AMQP_FRAME_END;
    out->size += size + AMQP_FRAME_OVERHEAD;
    return at + AMQP_FRAME_HEAD_SIZE;
}

void
perf_publish_append_head(struct buf *out, const struct perf_publish *m)
{
    const struct amqp_basic_publish method = {
        .exchange = bytes_of_string(m->exchange),
        .routing_key = bytes_of_string(m->key),
        .mandatory = m->mandatory,
    };
    const size_t method_size = amqp_basic_publish_size(&method);
    uint8_t *at = frame_append(out, AMQP_FRAME_METHOD, m->channel, method_size);
    struct wire_writer w = wire_writer_of(at, method_size);
    amqp_basic_publish_encode(&w, &method);

    const struct properties properties = {
        .flags = (uint16_t)((m->persistent ? PROPERTY_DELIVERY_MODE : 0) |
                            (m->has_priority ? PROPERTY_PRIORITY : 0) |
                            (m->expires ? PROPERTY_EXPIRATION : 0)),
        .delivery_mode = 2,
        .expiration = BYTES_LITERAL("0000000000"),
    };
    const size_t header_size = 12 + properties_size(&properties);
    at = frame_append(out, AMQP_FRAME_HEADER, m->channel, header_size);
    w = wire_writer_of(at, header_size);
    wire_write_short(&w, AMQP_CLASS_BASIC);
    wire_write_short(&w, 0); /* Weight, unused. */
    wire_write_longlong(&w, m->body_size);
    properties_encode(&w, &properties);
}

void
perf_publish_append_body(struct buf *out, const struct perf_publish *m)
{
    size_t left = m->body_size;
    while (left > 0) {
        const size_t size = left < publish_chunk(m) ? left : publish_chunk(m);
        memset(frame_append(out, AMQP_FRAME_BODY, m->channel, size), 'x', size);
        left -= size;
    }
}

size_t
perf_publish_body_size(const struct perf_publish *m)
{
    const size_t frames = (m->body_size + publish_chunk(m) - 1) / publish_chunk(m);
    return m->body_size + frames * AMQP_FRAME_OVERHEAD;
}

void
perf_publish_set_channel(uint8_t *at, const struct perf_publish *m)
{
    const uint8_t *end = at + perf_publish_body_size(m);
    for (; at < end; at += m->frame_max)
        store_be16(at + 1, m->channel);
}
