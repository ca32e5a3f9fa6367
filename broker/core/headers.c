#include "broker/core/headers.h"

#include "amqp/table.h"
#include "broker/base/endian.h"
#include "broker/base/mem.h"

static void
header_set_double(struct header *h, double value)
{
    h->kind = HEADER_FLOAT;
    h->value.floating = value;
}

static double
read_float(struct bytes value)
{
    const uint32_t bits = load_be32(value.data);
    float number;
    memcpy(&number, &bits, sizeof(number));
    return (double)number;
}

static double
read_double(struct bytes value)
{
    const uint64_t bits = load_be64(value.data);
    double number;
    memcpy(&number, &bits, sizeof(number));
    return number;
}

/* Tag and value; fields of one table are compared octet by octet, inner tags included. */
static void
header_set_opaque(struct header *h, const struct table_field *f)
{
    h->kind = HEADER_OPAQUE;
    /* The tag stands in front of the value: right before it, or before its length. */
    const size_t before = f->tag == 'D' ? 1 : 5;
    h->value.octets = bytes_of(f->value.data - before, f->value.size + before);
}

static void
header_set(struct header *h, const struct table_field *f)
{
    int64_t integer;
    h->name = f->name;
    if (table_field_integer(f, &integer)) {
        h->kind = HEADER_INTEGER;
        h->value.integer = integer;
        return;
    }
    switch (f->tag) {
    case 'V':
        h->kind = HEADER_VOID;
        break;
    case 't':
        h->kind = HEADER_BOOL;
        table_field_bool(f, &h->value.boolean);
        break;
    case 'f':
        header_set_double(h, read_float(f->value));
        break;
    case 'd':
        header_set_double(h, read_double(f->value));
        break;
    case 'T':
        h->kind = HEADER_UNSIGNED;
        h->value.unsigned_integer = load_be64(f->value.data);
        break;
    case 'S':
    case 'x':
        h->kind = HEADER_STRING;
        h->value.octets = f->value;
        break;
    default:
        header_set_opaque(h, f);
        break;
    }
}

void
headers_init(struct headers *h, struct bytes table)
{
    *h = (struct headers){ 0 };
    table_canonical(table, &h->canonical);
    const struct bytes sorted = buf_bytes(&h->canonical);
    struct table_field f;
    size_t count = 0;
    for (struct table_iterator i = table_iterate(sorted); table_next(&i, &f);)
        count++;
    h->items = mem_alloc(count * sizeof(*h->items));
    for (struct table_iterator i = table_iterate(sorted); table_next(&i, &f);)
        header_set(&h->items[h->count++], &f);
}

void
headers_fini(struct headers *h)
{
    mem_free(h->items);
    buf_fini(&h->canonical);
}
