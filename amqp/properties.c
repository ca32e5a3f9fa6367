#include "amqp/properties.h"

/* PROPERTY(flag, member, type) in wire order. */
#define PROPERTIES(PROPERTY)                                                                       \
    PROPERTY(PROPERTY_CONTENT_TYPE, content_type, shortstr)                                        \
    PROPERTY(PROPERTY_CONTENT_ENCODING, content_encoding, shortstr)                                \
    PROPERTY(PROPERTY_HEADERS, headers, table)                                                     \
    PROPERTY(PROPERTY_DELIVERY_MODE, delivery_mode, octet)                                         \
    PROPERTY(PROPERTY_PRIORITY, priority, octet)                                                   \
    PROPERTY(PROPERTY_CORRELATION_ID, correlation_id, shortstr)                                    \
    PROPERTY(PROPERTY_REPLY_TO, reply_to, shortstr)                                                \
    PROPERTY(PROPERTY_EXPIRATION, expiration, shortstr)                                            \
    PROPERTY(PROPERTY_MESSAGE_ID, message_id, shortstr)                                            \
    PROPERTY(PROPERTY_TIMESTAMP, timestamp, longlong)                                              \
    PROPERTY(PROPERTY_TYPE, type, shortstr)                                                        \
    PROPERTY(PROPERTY_USER_ID, user_id, shortstr)                                                  \
    PROPERTY(PROPERTY_APP_ID, app_id, shortstr)                                                    \
    PROPERTY(PROPERTY_CLUSTER_ID, cluster_id, shortstr)

#define read_shortstr wire_read_shortstr_raw
#define read_table wire_read_table
#define read_octet wire_read_octet
#define read_longlong wire_read_longlong

enum wire_error
properties_decode(struct bytes encoded, struct properties *out)
{
    struct wire_reader r = wire_reader_of(encoded);
    out->flags = wire_read_short(&r) & PROPERTIES_FLAGS_ALL;
#define PROPERTY(flag, member, type)                                                               \
    if (out->flags & (flag))                                                                       \
        out->member = read_##type(&r);
    PROPERTIES(PROPERTY)
#undef PROPERTY
    return wire_reader_finish(&r);
}

#define size_shortstr(v) (1 + (v).size)
#define size_table(v) (4 + (v).size)
#define size_octet(v) 1
#define size_longlong(v) 8

size_t
properties_size(const struct properties *p)
{
    size_t size = 2;
#define PROPERTY(flag, member, type)                                                               \
    if (p->flags & (flag))                                                                         \
        size += size_##type(p->member);
    PROPERTIES(PROPERTY)
#undef PROPERTY
    return size;
}

#define write_shortstr wire_write_shortstr
#define write_table wire_write_longstr
#define write_octet wire_write_octet
#define write_longlong wire_write_longlong

void
properties_encode(struct wire_writer *w, const struct properties *p)
{
    wire_write_short(w, p->flags);
#define PROPERTY(flag, member, type)                                                               \
    if (p->flags & (flag))                                                                         \
        write_##type(w, p->member);
    PROPERTIES(PROPERTY)
#undef PROPERTY
}
