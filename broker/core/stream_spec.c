#include "broker/core/stream_spec.h"

#include "amqp/table.h"
#include "broker/base/endian.h"
#include "broker/core/message_properties.h"
#include "broker/core/queue_arguments.h"

static bool
raise_invalid(const char *name, struct bytes queue, struct bytes vhost, const char *reason,
              struct amqp_exception *ex)
{
    return amqp_raise(ex, AMQP_PRECONDITION_FAILED,
                      "invalid arg '%s' for queue '%.*s' in vhost "
                      "'%.*s': %s",
                      name, BYTES_ARGS(queue), BYTES_ARGS(vhost), reason);
}

static bool
word_start(struct bytes word, uint64_t now_us, struct stream_spec *out)
{
    uint64_t ago_ms;
    if (bytes_equal(word, BYTES_LITERAL("first"))) {
        out->start = STREAM_FIRST;
    } else if (bytes_equal(word, BYTES_LITERAL("last"))) {
        out->start = STREAM_LAST;
    } else if (bytes_equal(word, BYTES_LITERAL("next"))) {
        out->start = STREAM_NEXT;
    } else if (duration_parse(word, &ago_ms)) {
        out->start = STREAM_TIME;
        out->wall_us = ago_ms < now_us / 1000 ? now_us - ago_ms * 1000 : 0;
    } else {
        return false;
    }
    return true;
}

/* Integers are offsets, never times. */
static bool
start_parse(const struct table_field *f, uint64_t now_us, struct stream_spec *out)
{
    int64_t integer;
    if (f->tag == 'S')
        return word_start(f->value, now_us, out);
    if (f->tag == 'T') {
        const uint64_t seconds = load_be64(f->value.data);
        out->start = STREAM_TIME;
        out->wall_us = seconds < UINT64_MAX / 1000000 ? seconds * 1000000 : UINT64_MAX;
        return true;
    }
    if (!table_field_integer(f, &integer) || integer < 0)
        return false;
    out->start = STREAM_OFFSET;
    out->offset = (uint64_t)integer;
    return true;
}

static bool
filter_is_sound(const struct table_field *f)
{
    struct table_field element;
    if (f->tag == 'S')
        return true;
    if (f->tag != 'A')
        return false;
    for (struct table_iterator i = table_iterate_array(f->value); table_next(&i, &element);)
        if (element.tag != 'S')
            return false;
    return true;
}

bool
stream_spec_parse(struct bytes arguments, struct bytes queue, struct bytes vhost, uint64_t now_us,
                  struct stream_spec *out, struct amqp_exception *ex)
{
    struct table_field f;
    *out = (struct stream_spec){ .start = STREAM_NEXT };
    if (table_find(arguments, BYTES_LITERAL("x-stream-offset"), &f) &&
        !start_parse(&f, now_us, out))
        return raise_invalid("x-stream-offset", queue, vhost,
                             "expected first, last, next, an offset, a timestamp, or an interval "
                             "such as 1h",
                             ex);
    if (table_find(arguments, BYTES_LITERAL("x-stream-filter"), &f)) {
        if (!filter_is_sound(&f))
            return raise_invalid("x-stream-filter", queue, vhost,
                                 "expected a string or an array of strings", ex);
        out->filter_tag = f.tag;
        out->filter = f.value;
    }
    if (table_find(arguments, BYTES_LITERAL("x-stream-match-unfiltered"), &f) &&
        !table_field_bool(&f, &out->takes_unfiltered))
        return raise_invalid("x-stream-match-unfiltered", queue, vhost, "expected a boolean", ex);
    return true;
}

bool
stream_spec_takes(const struct stream_spec *spec, const struct message *m)
{
    struct table_field f;
    struct table_field element;
    struct properties p;
    if (spec->filter_tag == 0)
        return true;
    if (properties_decode(message_properties(m), &p) != WIRE_OK || !(p.flags & PROPERTY_HEADERS) ||
        !table_find(p.headers, BYTES_LITERAL("x-stream-filter-value"), &f) || f.tag != 'S')
        return spec->takes_unfiltered;
    if (spec->filter_tag == 'S')
        return bytes_equal(f.value, spec->filter);
    for (struct table_iterator i = table_iterate_array(spec->filter); table_next(&i, &element);)
        if (bytes_equal(f.value, element.value))
            return true;
    return false;
}
