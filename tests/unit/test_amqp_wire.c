#include "amqp/wire.h"

#include "tests/unit/test_amqp.h"

static void
test_each_type_has_its_octets(void **state)
{
    (void)state;
    static const uint8_t octets[] = "\x01"
                                    "\x02\x03"
                                    "\x04\x05\x06\x07"
                                    "\x08\x09\x0A\x0B\x0C\x0D\x0E\xFF"
                                    "\x03"
                                    "abc"
                                    "\0\0\0\x02"
                                    "\0z";
    struct exact out = exact_copy(bytes_of(octets, sizeof(octets) - 1));
    memset(out.block + 1, '-', out.bytes.size);
    struct wire_writer w = wire_writer_of(out.block + 1, out.bytes.size);
    wire_write_octet(&w, 1);
    wire_write_short(&w, 0x0203);
    wire_write_long(&w, 0x04050607);
    wire_write_longlong(&w, UINT64_C(0x08090A0B0C0D0EFF));
    wire_write_shortstr(&w, BYTES_LITERAL("abc"));
    wire_write_longstr(&w, BYTES_LITERAL("\0z"));
    assert_ptr_equal(w.at, w.end);
    assert_memory_equal(out.bytes.data, octets, sizeof(octets) - 1);

    struct wire_reader r = wire_reader_of(out.bytes);
    assert_int_equal(wire_read_octet(&r), 1);
    assert_int_equal(wire_read_short(&r), 0x0203);
    assert_int_equal(wire_read_long(&r), 0x04050607);
    assert_true(wire_read_longlong(&r) == UINT64_C(0x08090A0B0C0D0EFF));
    assert_true(bytes_equal(wire_read_shortstr(&r), BYTES_LITERAL("abc")));
    assert_true(bytes_equal(wire_read_longstr(&r), BYTES_LITERAL("\0z")));
    assert_int_equal(wire_reader_finish(&r), WIRE_OK);
    exact_free(&out);
}

/* A reader that has met the end changes nothing more, whatever it is asked for. */
static void
assert_spent(struct wire_reader *r, enum wire_error error)
{
    const uint8_t *at = r->at;
    assert_int_equal(wire_read_octet(r), 0);
    assert_int_equal(wire_read_short(r), 0);
    assert_int_equal(wire_read_long(r), 0);
    assert_int_equal(wire_read_longlong(r), 0);
    assert_int_equal(wire_read_shortstr(r).size, 0);
    assert_int_equal(wire_read_shortstr_raw(r).size, 0);
    assert_int_equal(wire_read_longstr(r).size, 0);
    assert_int_equal(wire_read_table(r).size, 0);
    for (int i = 0; i < 20; i++)
        assert_false(wire_read_bit(r));
    assert_ptr_equal(r->at, at);
    assert_int_equal(wire_reader_finish(r), error);
}

static void
read_one(struct wire_reader *r, int kind)
{
    switch (kind) {
    case 0:
        wire_read_octet(r);
        return;
    case 1:
        wire_read_short(r);
        return;
    case 2:
        wire_read_long(r);
        return;
    case 3:
        wire_read_longlong(r);
        return;
    case 4:
        wire_read_shortstr(r);
        return;
    case 5:
        wire_read_shortstr_raw(r);
        return;
    case 6:
        wire_read_longstr(r);
        return;
    case 7:
        wire_read_table(r);
        return;
    default:
        wire_read_bit(r);
    }
}

static void
test_each_type_cut_at_each_octet(void **state)
{
    (void)state;
    static const struct bytes whole[] = {
        OCTETS("\x01"),
        OCTETS("\x01\x02"),
        OCTETS("\x01\x02\x03\x04"),
        OCTETS("\xFF\x02\x03\x04\x05\x06\x07\x08"),
        OCTETS("\x04text"),
        OCTETS("\x04\xFF\xFF\xFF\xFF"),
        OCTETS("\0\0\0\x04text"),
        OCTETS("\0\0\0\x04\x01"
               "at\x01"),
        OCTETS("\xFF"),
    };
    for (int kind = 0; kind < (int)COUNT(whole); kind++) {
        for (size_t size = 0; size <= whole[kind].size; size++) {
            struct exact e = exact_copy(bytes_of(whole[kind].data, size));
            struct wire_reader r = wire_reader_of(e.bytes);
            read_one(&r, kind);
            if (size == whole[kind].size)
                assert_int_equal(wire_reader_finish(&r), WIRE_OK);
            else
                assert_spent(&r, WIRE_TRUNCATED);
            exact_free(&e);
        }
    }
}

static void
test_lengths_beyond_the_end(void **state)
{
    (void)state;
    static const struct bytes lengths[] = { OCTETS("\xFF\xFF\xFF\xFF"), OCTETS("\x80\0\0\0"),
                                            OCTETS("\x7F\xFF\xFF\xFF"), OCTETS("\0\0\0\x01") };
    for (size_t i = 0; i < COUNT(lengths); i++) {
        struct exact e = exact_copy(lengths[i]);
        struct wire_reader r = wire_reader_of(e.bytes);
        assert_int_equal(wire_read_longstr(&r).size, 0);
        assert_spent(&r, WIRE_TRUNCATED);
        r = wire_reader_of(e.bytes);
        assert_int_equal(wire_read_table(&r).size, 0);
        assert_spent(&r, WIRE_TRUNCATED);
        exact_free(&e);
    }
}

static void
test_trailing_octets(void **state)
{
    (void)state;
    struct wire_reader r = wire_reader_of(BYTES_LITERAL("\x01\x02"));
    wire_read_octet(&r);
    assert_int_equal(wire_reader_finish(&r), WIRE_TRAILING);
    assert_spent(&r, WIRE_TRAILING);
}

static void
test_nothing_at_all(void **state)
{
    (void)state;
    struct exact e = exact_copy(BYTES_NONE);
    struct wire_reader r = wire_reader_of(e.bytes);
    assert_int_equal(wire_reader_finish(&r), WIRE_OK);
    wire_read_octet(&r);
    assert_spent(&r, WIRE_TRUNCATED);
    exact_free(&e);

    r = wire_reader_of(BYTES_NONE);
    wire_read_octet(&r);
    assert_spent(&r, WIRE_TRUNCATED);
    r = wire_reader_of(BYTES_NONE);
    assert_int_equal(wire_reader_finish(&r), WIRE_OK);
}

static void
test_the_first_error_stays(void **state)
{
    (void)state;
    struct wire_reader r = wire_reader_of(BYTES_LITERAL("\x01\xFF\0\0\0\x01z"));
    wire_read_shortstr(&r);
    assert_int_equal(r.error, WIRE_NOT_UTF8);
    assert_spent(&r, WIRE_NOT_UTF8);

    r = wire_reader_of(BYTES_LITERAL("\0\0\0\x01z\x01\xFF"));
    wire_read_table(&r);
    assert_int_equal(r.error, WIRE_BAD_TABLE);
    assert_spent(&r, WIRE_BAD_TABLE);
}

static void
test_raw_shortstr_takes_any_octets(void **state)
{
    (void)state;
    struct wire_reader r = wire_reader_of(BYTES_LITERAL("\x03\xFF\0\xC0"));
    assert_true(bytes_equal(wire_read_shortstr_raw(&r), BYTES_LITERAL("\xFF\0\xC0")));
    assert_int_equal(wire_reader_finish(&r), WIRE_OK);
}

static void
test_longest_strings(void **state)
{
    (void)state;
    uint8_t text[300];
    memset(text, 'x', sizeof(text));
    for (size_t size = 250; size <= 255; size++) {
        uint8_t out[260];
        struct wire_writer w = wire_writer_of(out, size + 1);
        wire_write_shortstr(&w, bytes_of(text, size));
        assert_ptr_equal(w.at, w.end);
        struct wire_reader r = wire_reader_of(bytes_of(out, size + 1));
        assert_int_equal(wire_read_shortstr(&r).size, size);
        assert_int_equal(wire_reader_finish(&r), WIRE_OK);
    }
    uint8_t out[304];
    struct wire_writer w = wire_writer_of(out, sizeof(out));
    wire_write_longstr(&w, bytes_of(text, sizeof(text)));
    struct wire_reader r = wire_reader_of(bytes_of(out, sizeof(out)));
    assert_int_equal(wire_read_longstr(&r).size, 300);
    assert_int_equal(wire_reader_finish(&r), WIRE_OK);
}

/* Bits are packed from the lowest: run k is bits k of `pattern`, in as few octets as hold it. */
static void
test_runs_of_bits(void **state)
{
    (void)state;
    struct random random = random_start(__func__);
    for (size_t count = 0; count <= 40; count++) {
        const uint64_t pattern = random_next(&random);
        const size_t size = (count + 7) / 8;
        struct exact e = exact_copy(bytes_of("\xFF\xFF\xFF\xFF\xFF", size));
        struct wire_writer w = wire_writer_of(e.block + 1, size);
        for (size_t i = 0; i < count; i++)
            wire_write_bit(&w, pattern >> i & 1u);
        assert_ptr_equal(w.at, w.end);
        for (size_t i = 0; i < size * 8; i++)
            assert_int_equal(e.bytes.data[i / 8] >> (i % 8) & 1,
                             i < count ? (unsigned)(pattern >> i & 1u) : 0);
        struct wire_reader r = wire_reader_of(e.bytes);
        for (size_t i = 0; i < count; i++)
            assert_int_equal(wire_read_bit(&r), pattern >> i & 1u);
        assert_int_equal(wire_reader_finish(&r), WIRE_OK);
        exact_free(&e);
    }
}

/* The bit after a full octet needs another one. */
static void
test_ninth_bit_of_one_octet(void **state)
{
    (void)state;
    struct exact e = exact_copy(BYTES_LITERAL("\xFF"));
    struct wire_reader r = wire_reader_of(e.bytes);
    for (int i = 0; i < 8; i++)
        assert_true(wire_read_bit(&r));
    assert_int_equal(r.error, WIRE_OK);
    assert_false(wire_read_bit(&r));
    assert_spent(&r, WIRE_TRUNCATED);
    exact_free(&e);
}

enum { SEQUENCE_MAX = 40 };

/* How many octets a sequence takes, counted apart from the writer: kind 0 is a bit, and runs of
 * bits end at anything else; an empty longstr is something else, too. */
static size_t
sequence_size(const unsigned *kinds, size_t count)
{
    size_t size = 0;
    size_t bits = 0;
    for (size_t i = 0; i < count; i++) {
        if (kinds[i] != 0) {
            static const size_t sizes[] = { 0, 1, 2, 4, 8, 3, 4 };
            size += (bits + 7) / 8 + sizes[kinds[i]];
            bits = 0;
        } else {
            bits++;
        }
    }
    return size + (bits + 7) / 8;
}

static void
write_kind(struct wire_writer *w, unsigned kind, uint64_t value)
{
    switch (kind) {
    case 0:
        wire_write_bit(w, value & 1u);
        return;
    case 1:
        wire_write_octet(w, (uint8_t)value);
        return;
    case 2:
        wire_write_short(w, (uint16_t)value);
        return;
    case 3:
        wire_write_long(w, (uint32_t)value);
        return;
    case 4:
        wire_write_longlong(w, value);
        return;
    case 5:
        wire_write_shortstr(w, BYTES_LITERAL("ab"));
        return;
    default:
        wire_write_longstr(w, BYTES_NONE);
    }
}

static void
assert_kind(struct wire_reader *r, unsigned kind, uint64_t value)
{
    switch (kind) {
    case 0:
        assert_int_equal(wire_read_bit(r), value & 1u);
        return;
    case 1:
        assert_int_equal(wire_read_octet(r), (uint8_t)value);
        return;
    case 2:
        assert_int_equal(wire_read_short(r), (uint16_t)value);
        return;
    case 3:
        assert_int_equal(wire_read_long(r), (uint32_t)value);
        return;
    case 4:
        assert_true(wire_read_longlong(r) == value);
        return;
    case 5:
        assert_true(bytes_equal(wire_read_shortstr(r), BYTES_LITERAL("ab")));
        return;
    default:
        assert_int_equal(wire_read_longstr(r).size, 0);
    }
}

static void
test_random_sequences(void **state)
{
    (void)state;
    struct random random = random_start(__func__);
    for (int round = 0; round < 5000; round++) {
        unsigned kinds[SEQUENCE_MAX];
        uint64_t values[SEQUENCE_MAX];
        const size_t count = random_below(&random, SEQUENCE_MAX + 1);
        const size_t bit_weight = 1 + random_below(&random, 20);
        for (size_t i = 0; i < count; i++) {
            const size_t drawn = random_below(&random, 6 + bit_weight);
            kinds[i] = drawn < 6 ? (unsigned)drawn + 1 : 0;
            values[i] = random_next(&random);
        }
        uint8_t zeroes[SEQUENCE_MAX * 8] = { 0 };
        struct exact e = exact_copy(bytes_of(zeroes, sequence_size(kinds, count)));
        struct wire_writer w = wire_writer_of(e.block + 1, e.bytes.size);
        for (size_t i = 0; i < count; i++)
            write_kind(&w, kinds[i], values[i]);
        assert_ptr_equal(w.at, w.end);
        struct wire_reader r = wire_reader_of(e.bytes);
        for (size_t i = 0; i < count; i++)
            assert_kind(&r, kinds[i], values[i]);
        assert_int_equal(wire_reader_finish(&r), WIRE_OK);
        exact_free(&e);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_type_has_its_octets),
        cmocka_unit_test(test_each_type_cut_at_each_octet),
        cmocka_unit_test(test_lengths_beyond_the_end),
        cmocka_unit_test(test_trailing_octets),
        cmocka_unit_test(test_nothing_at_all),
        cmocka_unit_test(test_the_first_error_stays),
        cmocka_unit_test(test_raw_shortstr_takes_any_octets),
        cmocka_unit_test(test_longest_strings),
        cmocka_unit_test(test_runs_of_bits),
        cmocka_unit_test(test_ninth_bit_of_one_octet),
        cmocka_unit_test(test_random_sequences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
