#include "broker/topology/arguments.h"

#include "amqp/table.h"
#include "broker/base/endian.h"
#include "broker/base/panic.h"
#include "broker/config/yaml_write.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

static bool
find(struct bytes table, const char *name, struct table_field *out)
{
    return table_find(table, bytes_of_string(name), out);
}

bool
arguments_text(struct bytes table, const char *name, struct bytes *out)
{
    struct table_field f;
    if (!find(table, name, &f) || f.tag != 'S')
        return false;
    *out = f.value;
    return true;
}

bool
arguments_have(struct bytes table, const char *name)
{
    struct table_field f;
    return find(table, name, &f);
}

void
argument_append(struct buf *out, const struct table_field *f)
{
    const size_t at = out->size;
    table_append(out, f);
    if (f->name.data != NULL)
        return;
    /* The length of the name. */
    out->size--;
    memmove(out->data + at, out->data + at + 1, out->size - at);
}

/* Nesting is bounded by table_is_valid, or by the depth of YAML. */
static void
identity_value(const struct table_field *f, struct buf *out)
{
    int64_t integer;
    uint8_t octets[8];
    struct buf inner = { 0 };
    struct table_field changed = *f;
    if (table_field_integer(f, &integer)) {
        store_be64(octets, (uint64_t)integer);
        changed.tag = 'l';
        changed.value = bytes_of(octets, sizeof(octets));
    } else if (f->tag == 'F') {
        arguments_identity(f->value, &inner);
        changed.value = buf_bytes(&inner);
    } else if (f->tag == 'A') {
        struct table_iterator i = table_iterate_array(f->value);
        struct table_field element;
        while (table_next(&i, &element))
            identity_value(&element, &inner);
        changed.value = buf_bytes(&inner);
    }
    argument_append(out, &changed);
    buf_fini(&inner);
}

void
arguments_identity(struct bytes table, struct buf *out)
{
    struct buf sorted = { 0 };
    struct table_field f;
    table_canonical(table, &sorted);
    struct table_iterator i = table_iterate(buf_bytes(&sorted));
    while (table_next(&i, &f))
        identity_value(&f, out);
    buf_fini(&sorted);
}

static bool
show_float(const struct table_field *f, struct buf *out)
{
    double value;
    char text[40];
    if (f->tag != 'd')
        return false;
    const uint64_t bits = load_be64(f->value.data);
    memcpy(&value, &bits, sizeof(value));
    if (!isfinite(value))
        return false;
    snprintf(text, sizeof(text), "%.17g", value);
    buf_printf(out, "%s%s", text, strpbrk(text, ".e") == NULL ? ".0" : "");
    return true;
}

static void
show_octets(const struct table_field *f, struct buf *out)
{
    buf_printf(out, "{\"@tag\": \"%c\", \"@octets\": \"", f->tag);
    for (size_t i = 0; i < f->value.size; i++)
        buf_printf(out, "%02x", f->value.data[i]);
    buf_printf(out, "\"}");
}

static void
show_array(struct bytes array, struct buf *out)
{
    struct table_iterator i = table_iterate_array(array);
    struct table_field element;
    bool first = true;
    buf_append(out, "[", 1);
    while (table_next(&i, &element)) {
        if (!first)
            buf_append(out, ", ", 2);
        first = false;
        argument_show(&element, out);
    }
    buf_append(out, "]", 1);
}

/* A mapping whose keys YAML cannot write, or that would be taken for a value with a tag. */
static bool
table_needs_octets(struct bytes table)
{
    struct table_iterator i = table_iterate(table);
    struct table_field f;
    while (table_next(&i, &f))
        if (!yaml_can_write(f.name) || bytes_start_with(f.name, BYTES_LITERAL("@")))
            return true;
    return false;
}

void
argument_show(const struct table_field *f, struct buf *out)
{
    int64_t integer;
    bool boolean;
    if (table_field_integer(f, &integer))
        buf_printf(out, "%" PRId64, integer);
    else if (table_field_bool(f, &boolean))
        buf_printf(out, "%s", boolean ? "true" : "false");
    else if (f->tag == 'S' && yaml_can_write(f->value))
        yaml_write_text(out, f->value);
    else if (f->tag == 'V')
        buf_printf(out, "null");
    else if (f->tag == 'F' && !table_needs_octets(f->value))
        arguments_show(f->value, out);
    else if (f->tag == 'A')
        show_array(f->value, out);
    else if (!show_float(f, out))
        show_octets(f, out);
}

void
arguments_show(struct bytes table, struct buf *out)
{
    struct table_iterator i = table_iterate(table);
    struct table_field f;
    bool first = true;
    buf_append(out, "{", 1);
    while (table_next(&i, &f)) {
        if (!first)
            buf_append(out, ", ", 2);
        first = false;
        yaml_write_key(out, f.name);
        buf_append(out, ": ", 2);
        argument_show(&f, out);
    }
    buf_append(out, "}", 1);
}
