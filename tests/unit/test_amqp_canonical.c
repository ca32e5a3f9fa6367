/*
 * table_canonical: equal sets of fields become equal octets, whatever their order.
 */

#include "amqp/table.h"
#include "tests/unit/test_amqp.h"

static struct buf
canonical(struct bytes table)
{
    struct exact e = exact_copy(table);
    struct buf out = { 0 };
    table_canonical(e.bytes, &out);
    exact_free(&e);
    return out;
}

static void
assert_canonical(struct bytes table, struct bytes expected)
{
    struct buf out = canonical(table);
    assert_true(bytes_equal(buf_bytes(&out), expected));
    buf_fini(&out);
}

static void
test_names_are_in_order(void **state)
{
    (void)state;
    static const char *const ascending[] = { "", "A", "a", "aa", "ab", "b", "\x80", "\xFF" };
    struct buf backwards = { 0 };
    struct buf forwards = { 0 };
    for (size_t i = 0; i < COUNT(ascending); i++) {
        const uint8_t value = (uint8_t)i;
        put_named(&forwards, ascending[i], 'B', bytes_of(&value, 1));
        const size_t k = COUNT(ascending) - 1 - i;
        const uint8_t back_value = (uint8_t)k;
        put_named(&backwards, ascending[k], 'B', bytes_of(&back_value, 1));
    }
    assert_canonical(buf_bytes(&backwards), buf_bytes(&forwards));
    assert_canonical(buf_bytes(&forwards), buf_bytes(&forwards));
    buf_fini(&backwards);
    buf_fini(&forwards);
}

static void
test_nothing_stays_nothing(void **state)
{
    (void)state;
    assert_canonical(BYTES_LITERAL(""), BYTES_LITERAL(""));
    assert_canonical(BYTES_LITERAL("\x01tF\0\0\0\0"), BYTES_LITERAL("\x01tF\0\0\0\0"));
    assert_canonical(BYTES_LITERAL("\x01tA\0\0\0\0"), BYTES_LITERAL("\x01tA\0\0\0\0"));
}

static void
test_equal_names_keep_their_order(void **state)
{
    (void)state;
    struct buf table = { 0 };
    struct buf expected = { 0 };
    for (unsigned i = 0; i < 2000; i++) {
        const uint8_t value[2] = { (uint8_t)(i >> 8), (uint8_t)i };
        put_named(&table, "same", 'u', bytes_of(value, 2));
        put_named(&table, i % 2 == 0 ? "x" : "a", 'V', BYTES_NONE);
    }
    for (unsigned i = 0; i < 1000; i++)
        put_named(&expected, "a", 'V', BYTES_NONE);
    for (unsigned i = 0; i < 2000; i++) {
        const uint8_t value[2] = { (uint8_t)(i >> 8), (uint8_t)i };
        put_named(&expected, "same", 'u', bytes_of(value, 2));
    }
    for (unsigned i = 0; i < 1000; i++)
        put_named(&expected, "x", 'V', BYTES_NONE);
    assert_canonical(buf_bytes(&table), buf_bytes(&expected));
    buf_fini(&table);
    buf_fini(&expected);
}

static void
test_tables_in_arrays_are_sorted_arrays_are_not(void **state)
{
    (void)state;
    assert_canonical(BYTES_LITERAL("\x01xA\0\0\0\x13"
                                   "b\x02"
                                   "F\0\0\0\x08\x01zt\x01\x01yt\x02"
                                   "b\x01VV"),
                     BYTES_LITERAL("\x01xA\0\0\0\x13"
                                   "b\x02"
                                   "F\0\0\0\x08\x01yt\x02\x01zt\x01"
                                   "b\x01VV"));
}

static void
test_appends_to_what_is_there(void **state)
{
    (void)state;
    struct buf out = { 0 };
    buf_append_bytes(&out, BYTES_LITERAL("before"));
    table_canonical(BYTES_LITERAL("\x01tF\0\0\0\x06\x01zV\x01yV"), &out);
    table_canonical(BYTES_LITERAL("\x01zV\x01yV"), &out);
    assert_true(bytes_equal(buf_bytes(&out),
                            BYTES_LITERAL("before\x01tF\0\0\0\x06\x01yV\x01zV\x01yV\x01zV")));
    buf_fini(&out);
}

enum { FIELDS_MAX = 6 };

static void put_tree(struct buf *out, struct random *shape, struct random *order, unsigned depth);

static void
put_tree_value(struct buf *out, struct bytes name, bool named, struct random *shape,
               struct random *order, unsigned depth)
{
    static const char tags[] = "FASIV";
    const char tag = tags[random_below(shape, depth > 0 ? 5 : 3) + (depth > 0 ? 0 : 2)];
    struct buf value = { 0 };
    if (tag == 'F')
        put_tree(&value, shape, order, depth - 1);
    else if (tag == 'A')
        for (size_t i = random_below(shape, 4); i > 0; i--)
            put_tree_value(&value, BYTES_NONE, false, shape, order, depth - 1);
    else if (tag != 'V')
        put_random(&value, shape, 4);
    put_field(out, named, name, tag, buf_bytes(&value));
    buf_fini(&value);
}

/* The same `shape` gives the same fields, with names of their own; `order` shuffles them, and
 * without it they ascend. */
static void
put_tree(struct buf *out, struct random *shape, struct random *order, unsigned depth)
{
    struct buf fields[FIELDS_MAX] = { 0 };
    const size_t count = random_below(shape, FIELDS_MAX + 1);
    for (size_t i = 0; i < count; i++) {
        char name[] = "field-0";
        name[6] = (char)('0' + i);
        put_tree_value(&fields[i], bytes_of_string(name), true, shape, order, depth);
    }
    for (size_t left = count; left > 0; left--) {
        const size_t k = order == NULL ? 0 : random_below(order, left);
        buf_append_bytes(out, buf_bytes(&fields[k]));
        buf_fini(&fields[k]);
        memmove(&fields[k], &fields[k + 1], (left - 1 - k) * sizeof(fields[0]));
    }
}

static void
test_order_does_not_matter_at_any_depth(void **state)
{
    (void)state;
    struct random r = random_start(__func__);
    for (int round = 0; round < 1000; round++) {
        const struct random shape = { random_next(&r) };
        struct buf ascending = { 0 };
        struct random first = shape;
        put_tree(&ascending, &first, NULL, 4);
        for (int shuffle = 0; shuffle < 3; shuffle++) {
            struct buf table = { 0 };
            struct random again = shape;
            put_tree(&table, &again, &r, 4);
            assert_true(table_is_valid(buf_bytes(&table)));
            assert_canonical(buf_bytes(&table), buf_bytes(&ascending));
            buf_fini(&table);
        }
        buf_fini(&ascending);
    }
}

static void
test_twice_is_as_once(void **state)
{
    (void)state;
    struct random r = random_start(__func__);
    for (int round = 0; round < 1000; round++) {
        struct buf table = { 0 };
        put_random_fields(&table, &r, true, 4, 6);
        struct buf once = canonical(buf_bytes(&table));
        assert_int_equal(once.size, table.size);
        assert_true(table_is_valid(buf_bytes(&once)));
        assert_canonical(buf_bytes(&once), buf_bytes(&once));
        buf_fini(&once);
        buf_fini(&table);
    }
}

/* The first of equal names stays the one that is found. */
static void
test_find_finds_the_same(void **state)
{
    (void)state;
    struct random r = random_start(__func__);
    for (int round = 0; round < 1000; round++) {
        struct buf table = { 0 };
        put_random_fields(&table, &r, true, 0, 20);
        struct buf sorted = canonical(buf_bytes(&table));
        struct table_iterator i = table_iterate(buf_bytes(&table));
        struct table_field f;
        while (table_next(&i, &f)) {
            struct table_field a;
            struct table_field b;
            assert_true(table_find(buf_bytes(&table), f.name, &a));
            assert_true(table_find(buf_bytes(&sorted), f.name, &b));
            assert_int_equal(a.tag, b.tag);
            assert_true(bytes_equal(a.value, b.value));
        }
        buf_fini(&sorted);
        buf_fini(&table);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_are_in_order),
        cmocka_unit_test(test_nothing_stays_nothing),
        cmocka_unit_test(test_equal_names_keep_their_order),
        cmocka_unit_test(test_tables_in_arrays_are_sorted_arrays_are_not),
        cmocka_unit_test(test_appends_to_what_is_there),
        cmocka_unit_test(test_order_does_not_matter_at_any_depth),
        cmocka_unit_test(test_twice_is_as_once),
        cmocka_unit_test(test_find_finds_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
