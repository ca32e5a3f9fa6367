#ifndef TESTS_UNIT_TEST_AMQP_H
#define TESTS_UNIT_TEST_AMQP_H

/*
 * What the tests of the codec share: makers of random strings and of random valid field tables,
 * and a way to write tables down by hand.
 */

#include "amqp/table.h"
#include "broker/base/endian.h"
#include "tests/exact.h"
#include "tests/unit/test_random.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const char all_tags[] = "tbBsuIilLfdDSxTFAV";

static inline int
tag_fixed_size(char tag)
{
    static const int8_t sizes[] = { 1, 1, 1, 2, 2, 4, 4, 8, 8, 4, 8, 5, -1, -1, 8, -1, -1, 0 };
    return sizes[strchr(all_tags, tag) - all_tags];
}

/* Appends a field; arrays' elements have no name, so `named` is false for them. */
static inline void
put_field(struct buf *out, bool named, struct bytes name, char tag, struct bytes value)
{
    const uint8_t name_size = (uint8_t)name.size;
    if (named) {
        buf_append(out, &name_size, 1);
        buf_append_bytes(out, name);
    }
    buf_append(out, &tag, 1);
    uint8_t length[4];
    store_be32(length, (uint32_t)value.size);
    if (tag_fixed_size(tag) < 0)
        buf_append(out, length, sizeof(length));
    buf_append_bytes(out, value);
}

static inline void
put_named(struct buf *out, const char *name, char tag, struct bytes value)
{
    put_field(out, true, bytes_of_string(name), tag, value);
}

static inline void
put_random(struct buf *out, struct random *r, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        const uint8_t octet = (uint8_t)random_next(r);
        buf_append(out, &octet, 1);
    }
}

/* Up to `size_max` octets of UTF-8. */
static inline void
put_random_text(struct buf *out, struct random *r, size_t size_max)
{
    static const char *const pieces[] = {
        "a", "Z", ".", "\xC3\xA4", "\xE2\x82\xAC", "\xF0\x9F\x90\xB0"
    };
    const size_t end = out->size + random_below(r, size_max + 1);
    for (;;) {
        const char *piece = pieces[random_below(r, COUNT(pieces))];
        if (out->size + strlen(piece) > end)
            return;
        buf_append(out, piece, strlen(piece));
    }
}

/* Appends up to `count_max` fields of all tags, nested up to `depth` more levels. */
static inline void
put_random_fields(struct buf *out, struct random *r, bool named, unsigned depth, size_t count_max)
{
    static const char *const names[] = { "", "a", "b", "x-match", "x-death", "a-longer-name" };
    const size_t count = random_below(r, count_max + 1);
    for (size_t i = 0; i < count; i++) {
        const char tag = all_tags[random_below(r, sizeof(all_tags) - 1)];
        const bool nests = tag == 'F' || tag == 'A';
        struct buf value = { 0 };
        if (nests && depth > 0)
            put_random_fields(&value, r, tag == 'F', depth - 1, count_max);
        else if (!nests)
            put_random(&value, r,
                       tag_fixed_size(tag) < 0 ? random_below(r, 20) : (size_t)tag_fixed_size(tag));
        put_field(out, named, bytes_of_string(names[random_below(r, COUNT(names))]), tag,
                  buf_bytes(&value));
        buf_fini(&value);
    }
}

#endif
