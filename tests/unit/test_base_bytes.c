#include "broker/base/bytes.h"

#include "broker/base/endian.h"
#include "tests/exact.h"
#include "tests/unit/test_random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static bool
is_utf8(struct bytes octets)
{
    struct exact e = exact_copy(octets);
    const bool answer = bytes_are_utf8(e.bytes);
    exact_free(&e);
    return answer;
}

static const struct utf8_row {
    const char *name;
    struct bytes octets;
    bool valid;
} utf8_rows[] = {
    { "empty", OCTETS(""), true },
    { "ascii", OCTETS("plain text"), true },
    { "zero octet", OCTETS("a\0b"), true },
    { "delete", OCTETS("\x7F"), true },
    { "first of two octets, U+0080", OCTETS("\xC2\x80"), true },
    { "last of two octets, U+07FF", OCTETS("\xDF\xBF"), true },
    { "first of three octets, U+0800", OCTETS("\xE0\xA0\x80"), true },
    { "last before the surrogates, U+D7FF", OCTETS("\xED\x9F\xBF"), true },
    { "first after the surrogates, U+E000", OCTETS("\xEE\x80\x80"), true },
    { "byte order mark, U+FEFF", OCTETS("\xEF\xBB\xBF"), true },
    { "last of three octets, U+FFFF", OCTETS("\xEF\xBF\xBF"), true },
    { "first of four octets, U+10000", OCTETS("\xF0\x90\x80\x80"), true },
    { "last scalar, U+10FFFF", OCTETS("\xF4\x8F\xBF\xBF"), true },
    { "all lengths together", OCTETS("a\xC3\xA4\xE2\x82\xAC\xF0\x9F\x90\xB0z"), true },
    { "continuation alone", OCTETS("\x80"), false },
    { "last continuation alone", OCTETS("\xBF"), false },
    { "continuation after text", OCTETS("abc\x80"), false },
    { "one continuation too many", OCTETS("\xC3\xA4\x80"), false },
    { "overlong U+0000", OCTETS("\xC0\x80"), false },
    { "overlong slash", OCTETS("\xC0\xAF"), false },
    { "overlong U+007F", OCTETS("\xC1\xBF"), false },
    { "overlong in three, U+0000", OCTETS("\xE0\x80\x80"), false },
    { "overlong in three, U+07FF", OCTETS("\xE0\x9F\xBF"), false },
    { "overlong in four, U+0000", OCTETS("\xF0\x80\x80\x80"), false },
    { "overlong in four, U+FFFF", OCTETS("\xF0\x8F\xBF\xBF"), false },
    { "first surrogate", OCTETS("\xED\xA0\x80"), false },
    { "last surrogate", OCTETS("\xED\xBF\xBF"), false },
    { "surrogate pair", OCTETS("\xED\xA0\x80\xED\xB0\x80"), false },
    { "above the last scalar", OCTETS("\xF4\x90\x80\x80"), false },
    { "lead F5", OCTETS("\xF5\x80\x80\x80"), false },
    { "lead F8, five octets", OCTETS("\xF8\x88\x80\x80\x80"), false },
    { "lead FC, six octets", OCTETS("\xFC\x84\x80\x80\x80\x80"), false },
    { "FE", OCTETS("\xFE"), false },
    { "FF", OCTETS("\xFF"), false },
    { "two octets, cut", OCTETS("\xC2"), false },
    { "three octets, cut after one", OCTETS("\xE2"), false },
    { "three octets, cut after two", OCTETS("\xE2\x82"), false },
    { "four octets, cut after one", OCTETS("\xF0"), false },
    { "four octets, cut after two", OCTETS("\xF0\x9F"), false },
    { "four octets, cut after three", OCTETS("\xF0\x9F\x90"), false },
    { "lead, then ascii", OCTETS("\xC3z"), false },
    { "lead, then lead", OCTETS("\xC3\xC3\xA4"), false },
    { "ascii for the second of three", OCTETS("\xE2z\xAC"), false },
    { "ascii for the third of three", OCTETS("\xE2\x82z"), false },
    { "ascii for the fourth of four", OCTETS("\xF0\x9F\x90z"), false },
    { "good, then bad", OCTETS("\xE2\x82\xAC\xFF"), false },
};

static void
test_utf8_edges(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(utf8_rows); i++)
        if (is_utf8(utf8_rows[i].octets) != utf8_rows[i].valid)
            fail_msg("%s: should be %s", utf8_rows[i].name, utf8_rows[i].valid ? "good" : "bad");
    assert_true(bytes_are_utf8(BYTES_NONE));
}

static size_t
utf8_encode(uint32_t scalar, uint8_t out[4])
{
    if (scalar < 0x80) {
        out[0] = (uint8_t)scalar;
        return 1;
    }
    const size_t size = scalar < 0x800 ? 2 : scalar < 0x10000 ? 3 : 4;
    static const uint8_t leads[] = { 0, 0, 0xC0, 0xE0, 0xF0 };
    for (size_t i = size - 1; i > 0; i--) {
        out[i] = (uint8_t)(0x80u | (scalar & 0x3Fu));
        scalar >>= 6;
    }
    out[0] = (uint8_t)(leads[size] | scalar);
    return size;
}

static void
test_utf8_knows_every_scalar(void **state)
{
    (void)state;
    for (uint32_t scalar = 0; scalar < 0x120000; scalar++) {
        uint8_t octets[4];
        const size_t size = utf8_encode(scalar, octets);
        const bool is_scalar = scalar <= 0x10FFFF && (scalar < 0xD800 || scalar > 0xDFFF);
        if (bytes_are_utf8(bytes_of(octets, size)) != is_scalar)
            fail_msg("U+%04X should be %s", scalar, is_scalar ? "good" : "bad");
    }
}

/* Everything that is well-formed is a join of scalars, so the number of good runs of a length is
 * known: there are 128 scalars of one octet, 1920 of two, 61440 of three. */
static void
test_utf8_takes_nothing_else(void **state)
{
    (void)state;
    uint32_t good[4] = { 0 };
    for (uint32_t v = 0; v < 1u << 24; v++) {
        const uint8_t octets[3] = { (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v };
        good[3] += bytes_are_utf8(bytes_of(octets, 3));
        if (v < 1u << 16)
            good[2] += bytes_are_utf8(bytes_of(octets + 1, 2));
        if (v < 1u << 8)
            good[1] += bytes_are_utf8(bytes_of(octets + 2, 1));
    }
    assert_int_equal(good[1], 128);
    assert_int_equal(good[2], 128 * 128 + 1920);
    assert_int_equal(good[3], 128 * 128 * 128 + 2 * 128 * 1920 + 61440);
}

/* With a lead of F0 and above: second octets all, the others from the edges of what is allowed. */
static void
test_utf8_of_four_octets(void **state)
{
    (void)state;
    static const uint8_t edges[] = { 0x00, 0x7F, 0x80, 0xBF, 0xC0, 0xFF };
    unsigned good = 0;
    for (unsigned lead = 0xF0; lead <= 0xFF; lead++)
        for (unsigned second = 0; second <= 0xFF; second++)
            for (size_t k = 0; k < COUNT(edges) * COUNT(edges); k++) {
                const uint8_t octets[] = { (uint8_t)lead, (uint8_t)second, edges[k % COUNT(edges)],
                                           edges[k / COUNT(edges)] };
                good += bytes_are_utf8(bytes_of(octets, 4));
            }
    assert_int_equal(good, (0x30 + 3 * 0x40 + 0x10) * 4);
}

static void
test_equal_and_prefix(void **state)
{
    (void)state;
    const struct bytes a = BYTES_LITERAL("a\0b");
    assert_int_equal(a.size, 3);
    assert_true(bytes_equal(a, a));
    assert_true(bytes_equal(BYTES_NONE, BYTES_NONE));
    assert_true(bytes_equal(BYTES_NONE, BYTES_LITERAL("")));
    assert_false(bytes_equal(a, BYTES_LITERAL("a\0c")));
    assert_false(bytes_equal(a, BYTES_LITERAL("a")));
    assert_false(bytes_equal(BYTES_NONE, a));

    assert_true(bytes_start_with(a, BYTES_NONE));
    assert_true(bytes_start_with(BYTES_NONE, BYTES_NONE));
    assert_true(bytes_start_with(a, BYTES_LITERAL("a\0")));
    assert_true(bytes_start_with(a, a));
    assert_false(bytes_start_with(a, BYTES_LITERAL("a\0b\0")));
    assert_false(bytes_start_with(a, BYTES_LITERAL("b")));
    assert_false(bytes_start_with(BYTES_NONE, a));
}

static int
sign(int order)
{
    return (order > 0) - (order < 0);
}

/* In ascending order; octets count as unsigned. */
static const struct bytes ascending[] = {
    OCTETS(""),   OCTETS("\0"), OCTETS("\0\0"), OCTETS("\x01"), OCTETS("a"),    OCTETS("aa"),
    OCTETS("ab"), OCTETS("b"),  OCTETS("ba"),   OCTETS("~"),    OCTETS("\x80"), OCTETS("\xFF"),
};

static void
test_compare_is_an_order(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(ascending); i++)
        for (size_t k = 0; k < COUNT(ascending); k++)
            assert_int_equal(sign(bytes_compare(ascending[i], ascending[k])), (i > k) - (i < k));
    assert_int_equal(bytes_compare(BYTES_NONE, BYTES_LITERAL("")), 0);
    assert_int_equal(sign(bytes_compare(BYTES_NONE, BYTES_LITERAL("a"))), -1);
}

static void
test_hash_is_of_the_content(void **state)
{
    (void)state;
    struct random r = random_start(__func__);
    uint8_t text[300];
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (uint8_t)random_next(&r);
    for (size_t size = 0; size < sizeof(text); size++) {
        struct exact e = exact_copy(bytes_of(text, size));
        const uint64_t hash = bytes_hash(e.bytes);
        assert_true(hash == bytes_hash(bytes_of(text, size)));
        if (size > 0) {
            e.block[1 + random_below(&r, size)] ^= 1u;
            assert_true(hash != bytes_hash(e.bytes));
        }
        exact_free(&e);
    }
    assert_true(bytes_hash(BYTES_NONE) == bytes_hash(BYTES_LITERAL("")));
}

/* What a fresh process makes of the text; this one must not have drawn its key yet. */
static uint64_t
hash_of_another_process(void)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        const uint64_t hash = bytes_hash(BYTES_LITERAL("text"));
        _exit(write(ends[1], &hash, sizeof(hash)) == sizeof(hash) ? 0 : 1);
    }
    uint64_t hash = 0;
    assert_int_equal(read(ends[0], &hash, sizeof(hash)), sizeof(hash));
    close(ends[0]);
    close(ends[1]);
    assert_int_equal(waitpid(child, NULL, 0), child);
    return hash;
}

static void
test_hash_has_a_key_of_the_process(void **state)
{
    (void)state;
    assert_true(hash_of_another_process() != hash_of_another_process());
}

static void
test_hash_of_two_tells_where_they_part(void **state)
{
    (void)state;
    const struct bytes text = BYTES_LITERAL("exchange.key");
    uint64_t hashes[13];
    for (size_t cut = 0; cut <= text.size; cut++) {
        hashes[cut] =
            bytes_hash2(bytes_of(text.data, cut), bytes_of(text.data + cut, text.size - cut));
        assert_true(hashes[cut] == bytes_hash2(bytes_of(text.data, cut),
                                               bytes_of(text.data + cut, text.size - cut)));
        for (size_t earlier = 0; earlier < cut; earlier++)
            assert_true(hashes[cut] != hashes[earlier]);
    }
}

static void
test_copy_is_apart(void **state)
{
    (void)state;
    uint8_t original[] = { 'a', 0, 'b' };
    const struct bytes copy = bytes_copy(bytes_of(original, sizeof(original)));
    original[0] = 'z';
    assert_true(bytes_equal(copy, BYTES_LITERAL("a\0b")));
    mem_free_const(copy.data);

    const struct bytes empty = bytes_copy(BYTES_NONE);
    assert_non_null(empty.data);
    assert_int_equal(empty.size, 0);
    mem_free_const(empty.data);
}

static void
test_big_endian_at_any_alignment(void **state)
{
    (void)state;
    static const uint8_t octets[] = { 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0xF8 };
    for (size_t offset = 0; offset < 8; offset++) {
        uint8_t block[16] = { 0 };
        uint8_t *at = block + offset;
        store_be64(at, UINT64_C(0x01020304050607F8));
        assert_memory_equal(at, octets, 8);
        assert_true(load_be64(at) == UINT64_C(0x01020304050607F8));
        assert_int_equal(load_be32(at), 0x01020304);
        assert_int_equal(load_be16(at + 6), 0x07F8);
        store_be32(at, 0xA1A2A3A4);
        store_be16(at + 4, 0xB1B2);
        assert_memory_equal(at, "\xA1\xA2\xA3\xA4\xB1\xB2\x07\xF8", 8);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hash_has_a_key_of_the_process), /* Before any other hash. */
        cmocka_unit_test(test_utf8_edges),
        cmocka_unit_test(test_utf8_knows_every_scalar),
        cmocka_unit_test(test_utf8_takes_nothing_else),
        cmocka_unit_test(test_utf8_of_four_octets),
        cmocka_unit_test(test_equal_and_prefix),
        cmocka_unit_test(test_compare_is_an_order),
        cmocka_unit_test(test_hash_is_of_the_content),
        cmocka_unit_test(test_hash_of_two_tells_where_they_part),
        cmocka_unit_test(test_copy_is_apart),
        cmocka_unit_test(test_big_endian_at_any_alignment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
