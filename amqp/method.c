#include "amqp/method.h"

#include "amqp/frame.h"

const struct amqp_method_info amqp_methods[] = {
#define CONTENT true
#define NO_CONTENT false
#define METHOD_BEGIN(symbol, class_id, method_id, name, sender, content, state)                    \
    { AMQP_METHOD_ID(class_id, method_id), name, AMQP_SENDER_##sender, content,                    \
      AMQP_STATE_##state },
#include "amqp/methods.def"
#undef CONTENT
#undef NO_CONTENT
};

const size_t amqp_method_count = sizeof(amqp_methods) / sizeof(amqp_methods[0]);

const struct amqp_method_info *
amqp_method_find(uint32_t id)
{
    size_t low = 0;
    size_t high = amqp_method_count;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (amqp_methods[middle].id == id)
            return &amqp_methods[middle];
        if (amqp_methods[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

/* Decoders. */
#define READ_OCTET wire_read_octet
#define READ_SHORT wire_read_short
#define READ_LONG wire_read_long
#define READ_LONGLONG wire_read_longlong
#define READ_SHORTSTR wire_read_shortstr
#define READ_SHORTSTR_RAW wire_read_shortstr_raw
#define READ_LONGSTR wire_read_longstr
#define READ_TABLE wire_read_table
#define READ_BIT wire_read_bit

#define METHOD_BEGIN(symbol, class_id, method_id, name, sender, content, state)                    \
    static inline void symbol##_decode(struct wire_reader *r, struct amqp_##symbol *m)             \
    {                                                                                              \
        (void)r;                                                                                   \
        m->id = AMQP_ID_##symbol;
#define FIELD(type, name) m->name = READ_##type(r);
#define METHOD_END(symbol) }
#include "amqp/methods.def"

enum wire_error
amqp_method_decode(uint32_t id, struct bytes arguments, union amqp_method *out)
{
    struct wire_reader r = wire_reader_of(arguments);
    switch (id) {
#define METHOD_BEGIN(symbol, class_id, method_id, name, sender, content, state)                    \
    case AMQP_METHOD_ID(class_id, method_id):                                                      \
        symbol##_decode(&r, &out->symbol);                                                         \
        break;
#include "amqp/methods.def"
    default:
        PANIC("decoding of an unknown method, id %08x", id);
    }
    return wire_reader_finish(&r);
}

/* Sizes. A run of bits is counted at its first bit of eight. */
#define SIZE_OCTET(v) (bits = 0, (void)(v), 1u)
#define SIZE_SHORT(v) (bits = 0, (void)(v), 2u)
#define SIZE_LONG(v) (bits = 0, (void)(v), 4u)
#define SIZE_LONGLONG(v) (bits = 0, (void)(v), 8u)
#define SIZE_SHORTSTR(v) (bits = 0, 1u + (v).size)
#define SIZE_SHORTSTR_RAW(v) (bits = 0, 1u + (v).size)
#define SIZE_LONGSTR(v) (bits = 0, 4u + (v).size)
#define SIZE_TABLE(v) (bits = 0, 4u + (v).size)
#define SIZE_BIT(v) ((void)(v), bits++ % 8u == 0u ? 1u : 0u)

#define METHOD_BEGIN(symbol, class_id, method_id, name, sender, content, state)                    \
    size_t amqp_##symbol##_size(const struct amqp_##symbol *m)                                     \
    {                                                                                              \
        unsigned bits = 0;                                                                         \
        size_t size = 4;                                                                           \
        (void)m;                                                                                   \
        (void)bits;
#define FIELD(type, name) size += SIZE_##type(m->name);
#define METHOD_END(symbol)                                                                         \
    return size;                                                                                   \
    }
#include "amqp/methods.def"

size_t
amqp_method_size(const union amqp_method *m)
{
    switch (m->id) {
#define METHOD_BEGIN(symbol, class_id, method_id, name, sender, content, state)                    \
    case AMQP_METHOD_ID(class_id, method_id):                                                      \
        return amqp_##symbol##_size(&m->symbol);
#include "amqp/methods.def"
    default:
        PANIC("size of an unknown method, id %08x", m->id);
    }
}

/* Encoders. */
#define WRITE_OCTET wire_write_octet
#define WRITE_SHORT wire_write_short
#define WRITE_LONG wire_write_long
#define WRITE_LONGLONG wire_write_longlong
#define WRITE_SHORTSTR wire_write_shortstr
#define WRITE_SHORTSTR_RAW wire_write_shortstr
#define WRITE_LONGSTR wire_write_longstr
#define WRITE_TABLE wire_write_longstr
#define WRITE_BIT wire_write_bit

#define METHOD_BEGIN(symbol, class_id, method_id, name, sender, content, state)                    \
    void amqp_##symbol##_encode(struct wire_writer *w, const struct amqp_##symbol *m)              \
    {                                                                                              \
        wire_write_long(w, AMQP_METHOD_ID(class_id, method_id));                                   \
        (void)m;
#define FIELD(type, name) WRITE_##type(w, m->name);
#define METHOD_END(symbol) }
#include "amqp/methods.def"

void
amqp_method_encode(struct wire_writer *w, const union amqp_method *m)
{
    switch (m->id) {
#define METHOD_BEGIN(symbol, class_id, method_id, name, sender, content, state)                    \
    case AMQP_METHOD_ID(class_id, method_id):                                                      \
        amqp_##symbol##_encode(w, &m->symbol);                                                     \
        return;
#include "amqp/methods.def"
    default:
        PANIC("encoding of an unknown method, id %08x", m->id);
    }
}

size_t
amqp_method_frame_size(const union amqp_method *m)
{
    return amqp_method_size(m) + AMQP_FRAME_OVERHEAD;
}

void
amqp_method_frame_encode(uint8_t *at, size_t size, uint16_t channel, const union amqp_method *m)
{
    const size_t payload = size - AMQP_FRAME_OVERHEAD;
    amqp_frame_head_encode(at, AMQP_FRAME_METHOD, channel, (uint32_t)payload);
    struct wire_writer w = wire_writer_of(at + AMQP_FRAME_HEAD_SIZE, payload);
    amqp_method_encode(&w, m);
    ASSERT(w.at == w.end);
    at[size - 1] = AMQP_FRAME_END;
}
