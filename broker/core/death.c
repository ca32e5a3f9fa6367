#include "broker/core/death.h"

#include "amqp/table.h"
#include "broker/core/message_properties.h"

static const char *const reasons[] = { "rejected", "expired", "maxlen", "delivery_limit" };

static bool
field_is(struct bytes table, const char *name, struct bytes value)
{
    struct table_field f;
    return table_find(table, bytes_of_string(name), &f) && f.tag == 'S' &&
           bytes_equal(f.value, value);
}

static bool
is_same_death(struct bytes entry, const struct death *d)
{
    return field_is(entry, "queue", d->queue) &&
           field_is(entry, "reason", bytes_of_string(reasons[d->reason]));
}

/* The array x-death of a header table; false if there is none. */
static bool
find_deaths(struct bytes headers, struct bytes *out)
{
    struct table_field f;
    if (!table_find(headers, BYTES_LITERAL("x-death"), &f) || f.tag != 'A')
        return false;
    *out = f.value;
    return true;
}

static void
keys_append(struct bytes headers, const char *name, struct buf *keys)
{
    struct table_field f;
    struct table_field key;
    if (!table_find(headers, bytes_of_string(name), &f) || f.tag != 'A')
        return;
    for (struct table_iterator i = table_iterate_array(f.value); table_next(&i, &key);)
        if (key.tag == 'S')
            array_put_string(keys, key.value);
}

static void
new_entry(const struct message *m, const struct properties *p, const struct death *d,
          struct buf *out)
{
    struct buf keys = { 0 };
    array_put_string(&keys, message_key(m));
    if (p->flags & PROPERTY_HEADERS) {
        keys_append(p->headers, "CC", &keys);
        keys_append(p->headers, "BCC", &keys);
    }
    table_put_integer(out, "count", 1);
    table_put_string(out, "reason", bytes_of_string(reasons[d->reason]));
    table_put_string(out, "queue", d->queue);
    table_put_timestamp(out, "time", d->wall_s);
    table_put_string(out, "exchange", message_exchange(m));
    table_put_array(out, "routing-keys", buf_bytes(&keys));
    if (p->flags & PROPERTY_EXPIRATION)
        table_put_string(out, "original-expiration", p->expiration);
    buf_fini(&keys);
}

/* The entry of an earlier death of the same kind, with its count one higher. */
static void
counted_entry(struct bytes entry, struct buf *out)
{
    struct buf counted = { 0 };
    struct table_field f;
    int64_t count = 0;
    if (table_find(entry, BYTES_LITERAL("count"), &f))
        table_field_integer(&f, &count);
    headers_without(entry, "count", &counted);
    table_put_integer(&counted, "count", count < INT64_MAX ? count + 1 : count);
    table_canonical(buf_bytes(&counted), out);
    buf_fini(&counted);
}

/* The new or counted entry first, then all others in their order. */
static void
deaths_append(const struct message *m, const struct properties *p, const struct death *d,
              struct bytes before, struct buf *out)
{
    struct buf entry = { 0 };
    struct table_field f;
    for (struct table_iterator i = table_iterate_array(before); table_next(&i, &f);)
        if (entry.size == 0 && f.tag == 'F' && is_same_death(f.value, d))
            counted_entry(f.value, &entry);
    if (entry.size == 0)
        new_entry(m, p, d, &entry);
    array_put_table(out, buf_bytes(&entry));
    buf_fini(&entry);
    for (struct table_iterator i = table_iterate_array(before); table_next(&i, &f);)
        if (f.tag == 'F' && !is_same_death(f.value, d))
            array_put_table(out, f.value);
}

static void
first_death_append(const struct message *m, const struct death *d, struct buf *headers)
{
    table_put_string(headers, "x-first-death-reason", bytes_of_string(reasons[d->reason]));
    table_put_string(headers, "x-first-death-queue", d->queue);
    table_put_string(headers, "x-first-death-exchange", message_exchange(m));
}

static void
headers_append(const struct message *m, const struct properties *p, const struct death *d,
               struct buf *out)
{
    const struct bytes before = p->flags & PROPERTY_HEADERS ? p->headers : BYTES_NONE;
    struct table_field f;
    struct bytes deaths = BYTES_NONE;
    struct buf entries = { 0 };
    const bool has_deaths = find_deaths(before, &deaths);
    const bool has_header = table_find(before, BYTES_LITERAL("x-death"), &f);
    for (struct table_iterator i = table_iterate(before); table_next(&i, &f);) {
        const bool is_rerouted = d->has_new_key && (bytes_equal(f.name, BYTES_LITERAL("CC")) ||
                                                    bytes_equal(f.name, BYTES_LITERAL("BCC")));
        if (!is_rerouted && !bytes_equal(f.name, BYTES_LITERAL("x-death")))
            table_append(out, &f);
    }
    deaths_append(m, p, d, has_deaths ? deaths : BYTES_NONE, &entries);
    table_put_array(out, "x-death", buf_bytes(&entries));
    if (!has_header)
        first_death_append(m, d, out);
    buf_fini(&entries);
}

void
death_properties(const struct message *m, const struct death *death, struct buf *out)
{
    struct properties p;
    struct buf headers = { 0 };
    if (properties_decode(message_properties(m), &p) != WIRE_OK)
        p = (struct properties){ 0 };
    headers_append(m, &p, death, &headers);
    p.headers = buf_bytes(&headers);
    p.flags |= PROPERTY_HEADERS;
    p.flags &= (uint16_t)~PROPERTY_EXPIRATION;
    properties_append(&p, out);
    buf_fini(&headers);
}

struct message *
death_letter(const struct message *m, const struct death *death, struct bytes properties)
{
    struct message *letter = message_readdress(m, properties, death->exchange, death->key);
    if (letter != NULL)
        letter->has_bcc = m->has_bcc && !death->has_new_key;
    return letter;
}

bool
death_is_cycle(const struct message *m, enum death_reason reason, struct bytes queue)
{
    struct properties p;
    struct bytes deaths;
    struct table_field f;
    if (reason == DEATH_REJECTED || properties_decode(message_properties(m), &p) != WIRE_OK ||
        !(p.flags & PROPERTY_HEADERS) || !find_deaths(p.headers, &deaths))
        return false;
    for (struct table_iterator i = table_iterate_array(deaths); table_next(&i, &f);) {
        if (f.tag != 'F')
            continue;
        if (field_is(f.value, "reason", bytes_of_string(reasons[DEATH_REJECTED])))
            return false;
        if (field_is(f.value, "queue", queue))
            return true;
    }
    return false;
}
