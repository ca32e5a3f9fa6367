#include "broker/core/message_properties.h"

#include "amqp/table.h"
#include "broker/base/endian.h"
#include "broker/base/mem.h"

void
properties_append(const struct properties *p, struct buf *out)
{
    const size_t size = properties_size(p);
    struct wire_writer w = wire_writer_of(buf_reserve(out, size), size);
    properties_encode(&w, p);
    out->size += size;
}

static struct properties
properties_of(const struct message *m)
{
    struct properties p;
    if (properties_decode(message_properties(m), &p) == WIRE_OK)
        return p;
    return (struct properties){ 0 }; /* Only a record that is damaged comes here. */
}

struct message *
message_readdress(const struct message *m, struct bytes properties, struct bytes exchange,
                  struct bytes key)
{
    struct message *copy = message_create(exchange, key, properties, m->body_size);
    if (copy == NULL)
        return NULL;
    copy->is_persistent = m->is_persistent;
    copy->priority = m->priority;
    if (m->body_size > 0)
        memcpy(message_body(copy), message_body_bytes(m).data, m->body_size);
    message_charge((int64_t)m->body_size);
    return copy;
}

struct message *
message_with(const struct message *m, const struct properties *p)
{
    struct buf encoded = { 0 };
    properties_append(p, &encoded);
    struct message *copy =
        message_readdress(m, buf_bytes(&encoded), message_exchange(m), message_key(m));
    buf_fini(&encoded);
    if (copy != NULL)
        message_note_properties(copy, p);
    return copy;
}

void
message_note_properties(struct message *m, const struct properties *p)
{
    struct table_field f;
    m->has_expiration = (p->flags & PROPERTY_EXPIRATION) != 0;
    m->has_bcc = (p->flags & PROPERTY_HEADERS) && table_find(p->headers, BYTES_LITERAL("BCC"), &f);
}

/* The text has been checked when the message came in: digits, maybe behind a sign. */
uint64_t
message_expiration_ms(const struct message *m)
{
    if (!m->has_expiration)
        return UINT64_MAX;
    const struct properties p = properties_of(m);
    uint64_t value = 0;
    for (size_t i = 0; i < p.expiration.size && value <= EXPIRATION_MAX_MS; i++)
        if (p.expiration.data[i] >= '0' && p.expiration.data[i] <= '9')
            value = value * 10 + (p.expiration.data[i] - '0');
    return value;
}

void
headers_without(struct bytes headers, const char *name, struct buf *out)
{
    struct table_field f;
    for (struct table_iterator i = table_iterate(headers); table_next(&i, &f);)
        if (!bytes_equal(f.name, bytes_of_string(name)))
            table_append(out, &f);
}

void
message_properties_for_delivery(const struct message *m, const struct added_header *added,
                                struct buf *out)
{
    struct properties p = properties_of(m);
    struct buf headers = { 0 };
    struct buf longer = { 0 };
    if (p.flags & PROPERTY_HEADERS)
        headers_without(p.headers, "BCC", &headers);
    if (added != NULL) {
        headers_without(buf_bytes(&headers), added->name, &longer);
        table_put_integer(&longer, added->name, added->value);
        p.flags |= PROPERTY_HEADERS;
    }
    p.headers = buf_bytes(added != NULL ? &longer : &headers);
    properties_append(&p, out);
    buf_fini(&headers);
    buf_fini(&longer);
}

static int64_t
delay_of(const struct properties *p)
{
    struct table_field f;
    int64_t delay;
    if (!(p->flags & PROPERTY_HEADERS) || !table_find(p->headers, BYTES_LITERAL("x-delay"), &f) ||
        !table_field_integer(&f, &delay) || delay <= 0)
        return 0;
    return delay < (int64_t)DELAY_MAX_MS ? delay : (int64_t)DELAY_MAX_MS;
}

uint64_t
message_delay_ms(const struct message *m)
{
    const struct properties p = properties_of(m);
    return (uint64_t)delay_of(&p);
}

/* In the type that the publisher gave it, if that can be negative: clients differ in how they read
 * the others. */
static void
put_negative_delay(const struct table_field *f, int64_t delay, struct buf *out)
{
    uint8_t octets[8];
    struct table_field negative = *f;
    if (strchr("bsIl", f->tag) == NULL) {
        table_put_integer(out, "x-delay", -delay);
        return;
    }
    store_be64(octets, (uint64_t)-delay);
    negative.value = bytes_of(octets + 8 - f->value.size, f->value.size);
    table_append(out, &negative);
}

struct message *
message_without_delay(const struct message *m)
{
    struct properties p = properties_of(m);
    struct buf headers = { 0 };
    struct table_field f;
    for (struct table_iterator i = table_iterate(p.headers); table_next(&i, &f);) {
        if (bytes_equal(f.name, BYTES_LITERAL("x-delay")))
            put_negative_delay(&f, delay_of(&p), &headers);
        else
            table_append(&headers, &f);
    }
    p.headers = buf_bytes(&headers);
    p.flags |= PROPERTY_HEADERS;
    struct message *over = message_with(m, &p);
    buf_fini(&headers);
    return over;
}
