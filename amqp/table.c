#include "amqp/table.h"

#include "amqp/types.h"
#include "broker/base/endian.h"
#include "broker/base/mem.h"
#include "broker/base/panic.h"

#include <stdlib.h>

/* What follows a tag: so many octets, or a length and that many. */
enum {
    SIZE_UNKNOWN = -1,
    SIZE_PREFIXED = -2,
};

static const struct tag_row {
    int8_t size;
    bool is_integer;
    bool is_signed;
    const char *name;
} tag_rows[128] = {
    ['t'] = { 1, false, false, "bool" },
    ['b'] = { 1, true, true, "byte" },
    ['B'] = { 1, true, false, "unsignedbyte" },
    ['s'] = { 2, true, true, "short" },
    ['u'] = { 2, true, false, "unsignedshort" },
    ['I'] = { 4, true, true, "signedint" },
    ['i'] = { 4, true, false, "unsignedint" },
    ['l'] = { 8, true, true, "long" },
    ['L'] = { 8, true, true, "long" },
    ['f'] = { 4, false, false, "float" },
    ['d'] = { 8, false, false, "double" },
    ['D'] = { 5, false, false, "decimal" },
    ['S'] = { SIZE_PREFIXED, false, false, "longstr" },
    ['x'] = { SIZE_PREFIXED, false, false, "binary" },
    ['T'] = { 8, false, false, "timestamp" },
    ['F'] = { SIZE_PREFIXED, false, false, "table" },
    ['A'] = { SIZE_PREFIXED, false, false, "array" },
    ['V'] = { 0, false, false, "void" },
};

static int
tag_size(uint8_t tag)
{
    return tag < 128 && tag_rows[tag].name != NULL ? tag_rows[tag].size : SIZE_UNKNOWN;
}

const char *
table_tag_name(char tag)
{
    return tag_size((uint8_t)tag) == SIZE_UNKNOWN ? "unknown" : tag_rows[(uint8_t)tag].name;
}

/* Reads tag and value at i->at. False if the octets do not hold one; the iterator is then spent. */
static bool
value_next(struct table_iterator *i, struct table_field *out)
{
    if (i->at == i->end)
        return false;
    const uint8_t tag = *i->at++;
    const int fixed = tag_size(tag);
    size_t size = (size_t)fixed;
    if (fixed == SIZE_UNKNOWN)
        return false;
    if (fixed == SIZE_PREFIXED) {
        if (i->end - i->at < 4)
            return false;
        size = load_be32(i->at);
        i->at += 4;
    }
    if ((size_t)(i->end - i->at) < size)
        return false;
    out->tag = (char)tag;
    out->value = bytes_of(i->at, size);
    i->at += size;
    return true;
}

bool
table_next(struct table_iterator *i, struct table_field *out)
{
    if (i->at == i->end)
        return false;
    out->name = BYTES_NONE;
    if (i->named) {
        const size_t name_size = *i->at++;
        if ((size_t)(i->end - i->at) < name_size)
            return false;
        out->name = bytes_of(i->at, name_size);
        i->at += name_size;
    }
    return value_next(i, out);
}

struct table_iterator
table_iterate(struct bytes table)
{
    return (struct table_iterator){ table.data, bytes_end(table), true };
}

struct table_iterator
table_iterate_array(struct bytes array)
{
    return (struct table_iterator){ array.data, bytes_end(array), false };
}

static uint32_t depth_limit = AMQP_TABLE_DEPTH_MAX;
static uint32_t fields_limit = AMQP_TABLE_FIELDS_MAX;

void
table_set_limits(uint32_t depth_max, uint32_t fields_max)
{
    depth_limit = depth_max;
    fields_limit = fields_max;
}

/* Recursion is bounded by the depth limit; `fields_left` bounds the work over all levels. */
static bool
fields_are_valid(struct table_iterator i, unsigned depth, uint32_t *fields_left)
{
    if (depth > depth_limit)
        return false;
    struct table_field f;
    while (i.at != i.end) {
        if (!table_next(&i, &f) || *fields_left == 0)
            return false;
        --*fields_left;
        if (f.tag == 'F' && !fields_are_valid(table_iterate(f.value), depth + 1, fields_left))
            return false;
        if (f.tag == 'A' && !fields_are_valid(table_iterate_array(f.value), depth + 1, fields_left))
            return false;
    }
    return true;
}

bool
table_is_valid(struct bytes table)
{
    uint32_t fields_left = fields_limit;
    return fields_are_valid(table_iterate(table), 1, &fields_left);
}

bool
table_find(struct bytes table, struct bytes name, struct table_field *out)
{
    struct table_iterator i = table_iterate(table);
    while (table_next(&i, out))
        if (bytes_equal(out->name, name))
            return true;
    return false;
}

bool
table_field_integer(const struct table_field *f, int64_t *out)
{
    const struct tag_row *row = &tag_rows[(uint8_t)f->tag & 127u];
    if (!row->is_integer)
        return false;
    /* What the octets do not shift out stays, and is the sign. */
    uint64_t value = row->is_signed && f->value.data[0] >= 0x80 ? UINT64_MAX : 0;
    for (size_t i = 0; i < f->value.size; i++)
        value = value << 8 | f->value.data[i];
    *out = (int64_t)value;
    return true;
}

bool
table_field_bool(const struct table_field *f, bool *out)
{
    if (f->tag != 't')
        return false;
    *out = f->value.data[0] != 0;
    return true;
}

static void
put_long(struct buf *out, uint32_t value)
{
    store_be32(buf_reserve(out, 4), value);
    out->size += 4;
}

static void
put_name(struct buf *out, struct bytes name)
{
    ASSERT(name.size <= AMQP_SHORTSTR_MAX);
    *buf_reserve(out, 1) = (uint8_t)name.size;
    out->size++;
    buf_append_bytes(out, name);
}

static void
put_value(struct buf *out, char tag, struct bytes value)
{
    buf_append(out, &tag, 1);
    if (tag_size((uint8_t)tag) == SIZE_PREFIXED)
        put_long(out, (uint32_t)value.size);
    buf_append_bytes(out, value);
}

void
table_append(struct buf *out, const struct table_field *f)
{
    put_name(out, f->name);
    put_value(out, f->tag, f->value);
}

void
table_put_string(struct buf *out, const char *name, struct bytes value)
{
    put_name(out, bytes_of_string(name));
    put_value(out, 'S', value);
}

void
table_put_bool(struct buf *out, const char *name, bool value)
{
    const uint8_t octet = value ? 1 : 0;
    put_name(out, bytes_of_string(name));
    put_value(out, 't', bytes_of(&octet, 1));
}

static void
put_eight(struct buf *out, const char *name, char tag, uint64_t value)
{
    uint8_t octets[8];
    store_be64(octets, value);
    put_name(out, bytes_of_string(name));
    put_value(out, tag, bytes_of(octets, sizeof(octets)));
}

void
table_put_integer(struct buf *out, const char *name, int64_t value)
{
    put_eight(out, name, 'l', (uint64_t)value);
}

void
table_put_timestamp(struct buf *out, const char *name, uint64_t seconds)
{
    put_eight(out, name, 'T', seconds);
}

void
table_put_array(struct buf *out, const char *name, struct bytes elements)
{
    put_name(out, bytes_of_string(name));
    put_value(out, 'A', elements);
}

void
array_put_string(struct buf *out, struct bytes value)
{
    put_value(out, 'S', value);
}

void
array_put_table(struct buf *out, struct bytes table)
{
    put_value(out, 'F', table);
}

void
table_put_table(struct buf *out, const char *name, struct bytes table)
{
    put_name(out, bytes_of_string(name));
    put_value(out, 'F', table);
}

static int
field_order(const void *a, const void *b)
{
    const struct table_field *const *x = a;
    const struct table_field *const *y = b;
    const int order = bytes_compare((*x)->name, (*y)->name);
    /* Equal names keep their order, since the first wins: fields lie in one array. */
    return order != 0 ? order : (*x > *y) - (*x < *y);
}

static void
canonical_value(const struct table_field *f, struct buf *out)
{
    if (f->tag != 'F' && f->tag != 'A') {
        put_value(out, f->tag, f->value);
        return;
    }
    buf_append(out, &f->tag, 1);
    const size_t length_at = out->size;
    put_long(out, 0);
    if (f->tag == 'F') {
        table_canonical(f->value, out);
    } else {
        struct table_iterator i = table_iterate_array(f->value);
        struct table_field element;
        while (table_next(&i, &element))
            canonical_value(&element, out);
    }
    store_be32(out->data + length_at, (uint32_t)(out->size - length_at - 4));
}

void
table_canonical(struct bytes table, struct buf *out)
{
    size_t count = 0;
    struct table_field f;
    for (struct table_iterator i = table_iterate(table); table_next(&i, &f);)
        count++;
    struct table_field *fields = mem_alloc(count * sizeof(*fields));
    const struct table_field **sorted = mem_alloc(count * sizeof(*sorted));
    struct table_iterator i = table_iterate(table);
    for (size_t k = 0; k < count && table_next(&i, &fields[k]); k++)
        sorted[k] = &fields[k];
    if (count > 1)
        qsort(sorted, count, sizeof(*sorted), field_order);
    for (size_t k = 0; k < count; k++) {
        put_name(out, sorted[k]->name);
        canonical_value(sorted[k], out);
    }
    mem_free(sorted);
    mem_free(fields);
}
