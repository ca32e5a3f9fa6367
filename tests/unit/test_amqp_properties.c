#include "amqp/properties.h"

#include "tests/unit/test_amqp.h"

/* The values of all fourteen properties, from the flag of bit 15 down. */
static const struct bytes values[14] = {
    OCTETS("\x03t/p"),
    OCTETS("\x04gzip"),
    OCTETS("\0\0\0\x09\x01hS\0\0\0\x02z\xFF"),
    OCTETS("\x02"),
    OCTETS("\xFF"),
    OCTETS("\x02id"),
    OCTETS("\x02r\xFF"),
    OCTETS("\x04"
           "1000"),
    OCTETS("\x01m"),
    OCTETS("\x01\x02\x03\x04\x05\x06\x07\xF8"),
    OCTETS("\0"),
    OCTETS("\x05guest"),
    OCTETS("\x03\0\0\0"),
    OCTETS("\x02us"),
};

/* The same decoded. */
static const struct properties all = {
    .flags = PROPERTIES_FLAGS_ALL,
    .content_type = OCTETS("t/p"),
    .content_encoding = OCTETS("gzip"),
    .headers = OCTETS("\x01hS\0\0\0\x02z\xFF"),
    .delivery_mode = 2,
    .priority = 255,
    .correlation_id = OCTETS("id"),
    .reply_to = OCTETS("r\xFF"),
    .expiration = OCTETS("1000"),
    .message_id = OCTETS("m"),
    .timestamp = 0x01020304050607F8,
    .type = OCTETS(""),
    .user_id = OCTETS("guest"),
    .app_id = OCTETS("\0\0\0"),
    .cluster_id = OCTETS("us"),
};

static void
put_properties(struct buf *out, unsigned flags)
{
    const uint8_t word[2] = { (uint8_t)(flags >> 8), (uint8_t)flags };
    buf_append(out, word, sizeof(word));
    for (size_t i = 0; i < COUNT(values); i++)
        if (flags & 0x8000u >> i)
            buf_append_bytes(out, values[i]);
}

static struct properties
untouched(void)
{
    struct properties p;
    memset(&p, 0xA5, sizeof(p));
    return p;
}

static void
assert_string(const struct properties *p, unsigned flag, struct bytes got, struct bytes expected)
{
    const struct properties never = untouched();
    if (p->flags & flag)
        assert_true(bytes_equal(got, expected));
    else
        assert_ptr_equal(got.data, never.type.data);
}

/* Those whose flag is set have their value, the others were left alone. */
static void
assert_properties(const struct properties *p, unsigned flags)
{
    const struct properties never = untouched();
    assert_int_equal(p->flags, flags);
    assert_string(p, PROPERTY_CONTENT_TYPE, p->content_type, all.content_type);
    assert_string(p, PROPERTY_CONTENT_ENCODING, p->content_encoding, all.content_encoding);
    assert_string(p, PROPERTY_HEADERS, p->headers, all.headers);
    assert_int_equal(p->delivery_mode,
                     flags & PROPERTY_DELIVERY_MODE ? all.delivery_mode : never.delivery_mode);
    assert_int_equal(p->priority, flags & PROPERTY_PRIORITY ? all.priority : never.priority);
    assert_string(p, PROPERTY_CORRELATION_ID, p->correlation_id, all.correlation_id);
    assert_string(p, PROPERTY_REPLY_TO, p->reply_to, all.reply_to);
    assert_string(p, PROPERTY_EXPIRATION, p->expiration, all.expiration);
    assert_string(p, PROPERTY_MESSAGE_ID, p->message_id, all.message_id);
    assert_true(p->timestamp == (flags & PROPERTY_TIMESTAMP ? all.timestamp : never.timestamp));
    assert_string(p, PROPERTY_TYPE, p->type, all.type);
    assert_string(p, PROPERTY_USER_ID, p->user_id, all.user_id);
    assert_string(p, PROPERTY_APP_ID, p->app_id, all.app_id);
    assert_string(p, PROPERTY_CLUSTER_ID, p->cluster_id, all.cluster_id);
}

static void
assert_encodes_to(const struct properties *p, struct bytes expected)
{
    assert_int_equal(properties_size(p), expected.size);
    struct exact e = { .block = mem_alloc(expected.size + 1) };
    e.bytes = bytes_of(e.block + 1, expected.size);
    struct wire_writer w = wire_writer_of(e.block + 1, expected.size);
    properties_encode(&w, p);
    assert_ptr_equal(w.at, w.end);
    assert_true(bytes_equal(e.bytes, expected));
    exact_free(&e);
}

static enum wire_error
decode_exact(struct bytes octets)
{
    struct exact e = exact_copy(octets);
    struct properties p;
    const enum wire_error error = properties_decode(e.bytes, &p);
    exact_free(&e);
    return error;
}

static void
test_all_combinations_go_round(void **state)
{
    (void)state;
    for (unsigned flags = 0; flags <= 0xFFFF; flags += 4) {
        struct buf encoded = { 0 };
        put_properties(&encoded, flags);
        struct exact e = exact_copy(buf_bytes(&encoded));
        struct properties p = untouched();
        assert_int_equal(properties_decode(e.bytes, &p), WIRE_OK);
        assert_properties(&p, flags);
        assert_encodes_to(&p, e.bytes);
        exact_free(&e);
        buf_fini(&encoded);
    }
}

static void
test_all_combinations_cut_and_prolonged(void **state)
{
    (void)state;
    for (unsigned flags = 0; flags <= 0xFFFF; flags += 4) {
        struct buf encoded = { 0 };
        put_properties(&encoded, flags);
        for (size_t size = 0; size < encoded.size; size++)
            assert_int_equal(decode_exact(bytes_of(encoded.data, size)), WIRE_TRUNCATED);
        buf_append(&encoded, "", 1);
        assert_int_equal(decode_exact(buf_bytes(&encoded)), WIRE_TRAILING);
        buf_fini(&encoded);
    }
}

/* Bits 1 and 0 mean nothing: above all, no second word of flags. They are not sent on. */
static void
test_lowest_flags_are_ignored(void **state)
{
    (void)state;
    for (unsigned flags = 0; flags <= 0xFFFF; flags += 4) {
        for (unsigned low = 1; low <= 3; low++) {
            struct buf encoded = { 0 };
            put_properties(&encoded, flags | low);
            struct properties p = untouched();
            assert_int_equal(properties_decode(buf_bytes(&encoded), &p), WIRE_OK);
            assert_int_equal(p.flags, flags);
            encoded.data[1] &= 0xFCu;
            assert_encodes_to(&p, buf_bytes(&encoded));
            buf_fini(&encoded);
        }
    }
    assert_int_equal(decode_exact(BYTES_LITERAL("\0\x01\0\0")), WIRE_TRAILING);
}

static void
test_absent_and_empty_headers_differ(void **state)
{
    (void)state;
    struct properties p = { 0 };
    assert_encodes_to(&p, BYTES_LITERAL("\0\0"));
    p.flags = PROPERTY_HEADERS;
    assert_encodes_to(&p, BYTES_LITERAL("\x20\0\0\0\0\0"));
    assert_int_equal(properties_decode(BYTES_LITERAL("\x20\0\0\0\0\0"), &p), WIRE_OK);
    assert_int_equal(p.flags, PROPERTY_HEADERS);
    assert_int_equal(p.headers.size, 0);
}

static void
test_headers_must_be_a_valid_table(void **state)
{
    (void)state;
    assert_int_equal(decode_exact(BYTES_LITERAL("\x20\0\0\0\0\x03\x01nU")), WIRE_BAD_TABLE);
    assert_int_equal(decode_exact(BYTES_LITERAL("\x20\0\0\0\0\x02\x01n")), WIRE_BAD_TABLE);
    assert_int_equal(decode_exact(BYTES_LITERAL("\x20\0\0\0\0\x03\x01n")), WIRE_TRUNCATED);
    /* Bad, and more behind it. */
    assert_int_equal(decode_exact(BYTES_LITERAL("\x30\0\0\0\0\x03\x01nU\x02")), WIRE_BAD_TABLE);
}

static void
test_random_values_go_round(void **state)
{
    (void)state;
    struct random r = random_start(__func__);
    for (int round = 0; round < 500; round++) {
        struct buf strings[10] = { 0 };
        for (size_t i = 0; i < COUNT(strings); i++)
            put_random(&strings[i], &r, random_below(&r, 256));
        struct buf headers = { 0 };
        put_random_fields(&headers, &r, true, 3, 5);
        struct properties p = {
            .flags = (uint16_t)(random_next(&r) & PROPERTIES_FLAGS_ALL),
            .delivery_mode = (uint8_t)random_next(&r),
            .priority = (uint8_t)random_next(&r),
            .timestamp = random_next(&r),
            .content_type = buf_bytes(&strings[0]),
            .content_encoding = buf_bytes(&strings[1]),
            .headers = buf_bytes(&headers),
            .correlation_id = buf_bytes(&strings[2]),
            .reply_to = buf_bytes(&strings[3]),
            .expiration = buf_bytes(&strings[4]),
            .message_id = buf_bytes(&strings[5]),
            .type = buf_bytes(&strings[6]),
            .user_id = buf_bytes(&strings[7]),
            .app_id = buf_bytes(&strings[8]),
            .cluster_id = buf_bytes(&strings[9]),
        };
        const size_t size = properties_size(&p);
        uint8_t *out = mem_alloc(size);
        struct wire_writer w = wire_writer_of(out, size);
        properties_encode(&w, &p);
        assert_ptr_equal(w.at, w.end);
        struct properties got = { 0 };
        assert_int_equal(properties_decode(bytes_of(out, size), &got), WIRE_OK);
        assert_int_equal(got.flags, p.flags);
        assert_encodes_to(&got, bytes_of(out, size));
        mem_free(out);
        buf_fini(&headers);
        for (size_t i = 0; i < COUNT(strings); i++)
            buf_fini(&strings[i]);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_combinations_go_round),
        cmocka_unit_test(test_all_combinations_cut_and_prolonged),
        cmocka_unit_test(test_lowest_flags_are_ignored),
        cmocka_unit_test(test_absent_and_empty_headers_differ),
        cmocka_unit_test(test_headers_must_be_a_valid_table),
        cmocka_unit_test(test_random_values_go_round),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
