#include "broker/admin/table_json.h"

#include "broker/base/endian.h"
#include "broker/config/text.h"

#include <math.h>

static bool put_fields(struct buf *out, struct table_iterator i, bool is_named, size_t size_max);

static void
put_double(struct buf *out, double value)
{
    if (isfinite(value))
        buf_printf(out, "%.17g", value);
    else
        buf_printf(out, "null"); /* JSON has no word for it. */
}

static void
put_float(struct buf *out, const struct table_field *f)
{
    if (f->tag == 'f') {
        const uint32_t bits = load_be32(f->value.data);
        float value;
        memcpy(&value, &bits, sizeof(value));
        put_double(out, (double)value);
    } else {
        const uint64_t bits = load_be64(f->value.data);
        double value;
        memcpy(&value, &bits, sizeof(value));
        put_double(out, value);
    }
}

/* A scale, and a signed number that is so many digits too large. */
static void
put_decimal(struct buf *out, struct bytes value)
{
    const int32_t number = (int32_t)load_be32(value.data + 1);
    buf_printf(out, "%lde-%u", (long)number, value.data[0]);
}

static bool
put_value(struct buf *out, const struct table_field *f, size_t size_max)
{
    int64_t number;
    bool flag;
    if (f->tag == 'F')
        return put_fields(out, table_iterate(f->value), true, size_max);
    if (f->tag == 'A')
        return put_fields(out, table_iterate_array(f->value), false, size_max);
    if (f->tag == 'S' || f->tag == 'x')
        text_json(out, f->value);
    else if (table_field_bool(f, &flag))
        buf_printf(out, flag ? "true" : "false");
    else if (table_field_integer(f, &number))
        buf_printf(out, "%lld", (long long)number);
    else if (f->tag == 'T')
        buf_printf(out, "%llu", (unsigned long long)load_be64(f->value.data));
    else if (f->tag == 'f' || f->tag == 'd')
        put_float(out, f);
    else if (f->tag == 'D')
        put_decimal(out, f->value);
    else
        buf_printf(out, "null");
    return out->size <= size_max;
}

static bool
put_fields(struct buf *out, struct table_iterator i, bool is_named, size_t size_max)
{
    struct table_field field;
    bool is_first = true;
    buf_append(out, is_named ? "{" : "[", 1);
    while (table_next(&i, &field)) {
        if (!is_first)
            buf_append(out, ",", 1);
        is_first = false;
        if (is_named) {
            text_json(out, field.name);
            buf_append(out, ":", 1);
        }
        if (!put_value(out, &field, size_max))
            return false;
    }
    buf_append(out, is_named ? "}" : "]", 1);
    return out->size <= size_max;
}

static size_t
end_of(const struct buf *out, size_t size_max)
{
    return SIZE_MAX - out->size < size_max ? SIZE_MAX : out->size + size_max;
}

bool
table_json(struct buf *out, struct bytes table, size_t size_max)
{
    const size_t start = out->size;
    if (put_fields(out, table_iterate(table), true, end_of(out, size_max)))
        return true;
    out->size = start;
    return false;
}

bool
table_field_json(struct buf *out, const struct table_field *f, size_t size_max)
{
    const size_t start = out->size;
    if (put_value(out, f, end_of(out, size_max)))
        return true;
    out->size = start;
    return false;
}
