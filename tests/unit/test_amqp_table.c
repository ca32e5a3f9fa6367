#include "amqp/table.h"

#include "amqp/types.h"
#include "tests/unit/test_amqp.h"

static bool
is_valid(struct bytes table)
{
    struct exact e = exact_copy(table);
    const bool valid = table_is_valid(e.bytes);
    exact_free(&e);
    return valid;
}

static struct bytes
zeroes(int size)
{
    static const uint8_t octets[64];
    return bytes_of(octets, (size_t)size);
}

/* A table of the name and one tag, and so many zeroes. */
static bool
is_valid_with(unsigned tag, int zero_count)
{
    struct buf b = { 0 };
    const uint8_t octet = (uint8_t)tag;
    buf_append_bytes(&b, BYTES_LITERAL("\x01n"));
    buf_append(&b, &octet, 1);
    buf_append_bytes(&b, zeroes(zero_count));
    const bool valid = is_valid(buf_bytes(&b));
    buf_fini(&b);
    return valid;
}

static void
test_each_tag_has_its_size(void **state)
{
    (void)state;
    for (unsigned tag = 0; tag <= 0xFF; tag++) {
        const bool known = tag != 0 && strchr(all_tags, (int)tag) != NULL && tag < 128;
        int size = known ? tag_fixed_size((char)tag) : 0;
        if (size < 0)
            size = 4; /* A length of nothing. */
        for (int zero_count = 0; zero_count <= size; zero_count++)
            assert_int_equal(is_valid_with(tag, zero_count), known && zero_count == size);
        for (int zero_count = 0; !known && zero_count < 20; zero_count++)
            assert_false(is_valid_with(tag, zero_count));
    }
}

static void
test_empty_tables(void **state)
{
    (void)state;
    assert_true(is_valid(BYTES_LITERAL("")));
    assert_true(is_valid(BYTES_LITERAL("\0V")));
    assert_true(is_valid(BYTES_LITERAL("\x01nF\0\0\0\0")));
    assert_true(is_valid(BYTES_LITERAL("\x01nA\0\0\0\0")));
    struct exact e = exact_copy(BYTES_NONE);
    struct table_iterator i = table_iterate(e.bytes);
    struct table_field f;
    assert_false(table_next(&i, &f));
    assert_false(table_find(e.bytes, BYTES_LITERAL(""), &f));
    exact_free(&e);
}

/* No octets and no address, as a zeroed buf and arguments nobody gave have them. */
static void
test_no_octets_are_an_empty_table(void **state)
{
    (void)state;
    struct table_field f;
    assert_true(table_is_valid(BYTES_NONE));
    struct table_iterator i = table_iterate_array(BYTES_NONE);
    assert_false(table_next(&i, &f));
    assert_false(table_find(BYTES_NONE, BYTES_LITERAL("n"), &f));
    struct buf out = { 0 };
    table_canonical(BYTES_NONE, &out);
    assert_int_equal(out.size, 0);
    buf_fini(&out);
}

/* Lengths of inner values that say too little or too much. */
static void
test_lengths_must_fit(void **state)
{
    (void)state;
    static const struct bytes bad[] = {
        OCTETS("\x01"),
        OCTETS("\x02n"),
        OCTETS("\xFFn"),
        OCTETS("\x01n"),
        OCTETS("\x01nS\0\0\0\x02z"),
        OCTETS("\x01nS\xFF\xFF\xFF\xFFz"),
        OCTETS("\x01nS\x80\0\0\0z"),
        OCTETS("\x01nx\0\0\x01\0z"),
        OCTETS("\x01nS\0\0\0\0z"),
        OCTETS("\x01nF\0\0\0\x01\0"),
        OCTETS("\x01nF\0\0\0\x02\x01m"),
        OCTETS("\x01nF\0\0\0\x05\x01mt\x01"),
        OCTETS("\x01nF\0\0\0\x03\x01mt\x01"),
        OCTETS("\x01nA\0\0\0\x01t\x01"),
        OCTETS("\x01nA\0\0\0\x03t\x01"),
        OCTETS("\x01nA\0\0\0\x01U"),
        OCTETS("\x01nA\0\0\0\x05S\0\0\0\x01z"),
        OCTETS("\x01nF\xFF\xFF\xFF\xFF"),
        OCTETS("\x01nA\xFF\xFF\xFF\xFF"),
    };
    for (size_t i = 0; i < COUNT(bad); i++)
        if (is_valid(bad[i]))
            fail_msg("row %zu should be bad", i);
    assert_true(is_valid(BYTES_LITERAL("\x01nF\0\0\0\x04\x01mt\x01")));
    assert_true(is_valid(BYTES_LITERAL("\x01nA\0\0\0\x02t\x01")));
}

/* One field of every tag, tables and arrays with something in them. */
static void
put_one_of_each(struct buf *out)
{
    struct buf inner = { 0 };
    put_named(&inner, "inner", 'S', BYTES_LITERAL("text"));
    put_named(&inner, "", 'I', zeroes(4));
    struct buf elements = { 0 };
    put_field(&elements, false, BYTES_NONE, 't', BYTES_LITERAL("\x01"));
    put_field(&elements, false, BYTES_NONE, 'F', buf_bytes(&inner));
    put_field(&elements, false, BYTES_NONE, 'V', BYTES_NONE);
    for (const char *tag = all_tags; *tag != 0; tag++) {
        const char name[2] = { *tag, 0 };
        struct bytes value = BYTES_LITERAL("octets");
        if (*tag == 'F')
            value = buf_bytes(&inner);
        else if (*tag == 'A')
            value = buf_bytes(&elements);
        else if (tag_fixed_size(*tag) >= 0)
            value = zeroes(tag_fixed_size(*tag));
        put_named(out, name, *tag, value);
    }
    buf_fini(&elements);
    buf_fini(&inner);
}

/* A table cut between two of its own fields is a shorter table; anywhere else it is none. */
static void
assert_cuts(struct bytes table)
{
    assert_true(is_valid(table));
    struct table_iterator i = table_iterate(table);
    struct table_field f;
    for (size_t size = 0; size < table.size; size++) {
        const bool between = table.data + size == i.at;
        assert_int_equal(is_valid(bytes_of(table.data, size)), between);
        if (between)
            assert_true(table_next(&i, &f));
    }
    assert_false(table_next(&i, &f));
}

static void
test_cut_at_each_octet(void **state)
{
    (void)state;
    struct random r = random_start(__func__);
    struct buf table = { 0 };
    put_one_of_each(&table);
    assert_cuts(buf_bytes(&table));
    buf_fini(&table);
    for (int round = 0; round < 100; round++) {
        put_random_fields(&table, &r, true, 4, 5);
        assert_cuts(buf_bytes(&table));
        buf_fini(&table);
    }
}

/* The same rules, written down again with offsets. */
static bool
model_is_valid(const uint8_t *p, size_t size, bool named)
{
    size_t at = 0;
    while (at < size) {
        if (named)
            at += 1u + p[at];
        if (at >= size)
            return false;
        const char tag = (char)p[at++];
        if (tag == 0 || strchr(all_tags, tag) == NULL)
            return false;
        size_t value_size = (size_t)tag_fixed_size(tag);
        if (tag_fixed_size(tag) < 0) {
            if (at + 4 > size)
                return false;
            value_size = load_be32(p + at);
            at += 4;
        }
        if (at + value_size > size)
            return false;
        if ((tag == 'F' || tag == 'A') && !model_is_valid(p + at, value_size, tag == 'F'))
            return false;
        at += value_size;
    }
    return true;
}

static void
test_broken_tables_against_a_model(void **state)
{
    (void)state;
    struct random r = random_start(__func__);
    unsigned good = 0;
    unsigned bad = 0;
    for (int round = 0; round < 30000; round++) {
        struct buf table = { 0 };
        put_random_fields(&table, &r, true, 3, 4);
        for (size_t k = random_below(&r, 3); k > 0 && table.size > 0; k--) {
            const uint8_t octet = random_below(&r, 2) == 0
                                      ? (uint8_t)random_below(&r, 6)
                                      : (uint8_t)all_tags[random_below(&r, COUNT(all_tags))];
            table.data[random_below(&r, table.size)] = octet;
        }
        const bool valid = is_valid(buf_bytes(&table));
        assert_int_equal(valid, model_is_valid(table.data, table.size, true));
        good += valid;
        bad += !valid;
        buf_fini(&table);
    }
    assert_true(good > 1000);
    assert_true(bad > 1000);
}

/* Levels one in another: with 'A' or 'F' at each place, the outermost table counts as one. */
static bool
nested_is_valid(size_t levels, const char *tags)
{
    struct buf inner = { 0 };
    for (size_t level = levels - 1; level > 0; level--) {
        const char tag = tags[level % strlen(tags)];
        const bool named = level == 1 || tags[(level - 1) % strlen(tags)] == 'F';
        struct buf outer = { 0 };
        put_field(&outer, named, BYTES_LITERAL("n"), tag, buf_bytes(&inner));
        buf_fini(&inner);
        inner = outer;
    }
    const bool valid = is_valid(buf_bytes(&inner));
    buf_fini(&inner);
    return valid;
}

static void
test_depth(void **state)
{
    (void)state;
    static const char *const shapes[] = { "F", "A", "FA", "FFA" };
    for (size_t i = 0; i < COUNT(shapes); i++) {
        assert_true(nested_is_valid(1, shapes[i]));
        assert_true(nested_is_valid(31, shapes[i]));
        assert_true(nested_is_valid(32, shapes[i]));
        assert_false(nested_is_valid(33, shapes[i]));
        assert_false(nested_is_valid(2000, shapes[i]));
    }
}

/* So many voids, in an array if asked for. */
static bool
voids_are_valid(size_t count, bool in_array)
{
    struct buf b = { 0 };
    for (size_t i = 0; i < count; i++)
        put_field(&b, !in_array, BYTES_NONE, 'V', BYTES_NONE);
    struct buf table = { 0 };
    if (in_array)
        put_named(&table, "n", 'A', buf_bytes(&b));
    const bool valid = is_valid(buf_bytes(in_array ? &table : &b));
    buf_fini(&table);
    buf_fini(&b);
    return valid;
}

static void
test_count_of_fields(void **state)
{
    (void)state;
    assert_true(voids_are_valid(AMQP_TABLE_FIELDS_MAX, false));
    assert_false(voids_are_valid(AMQP_TABLE_FIELDS_MAX + 1, false));
    assert_true(voids_are_valid(AMQP_TABLE_FIELDS_MAX - 1, true));
    assert_false(voids_are_valid(AMQP_TABLE_FIELDS_MAX, true));
}

static void
test_limits_can_be_set(void **state)
{
    (void)state;
    table_set_limits(3, 10);
    assert_true(nested_is_valid(3, "F"));
    assert_false(nested_is_valid(4, "F"));
    assert_true(voids_are_valid(10, false));
    assert_false(voids_are_valid(11, false));
    table_set_limits(AMQP_TABLE_DEPTH_MAX, AMQP_TABLE_FIELDS_MAX);
    assert_true(nested_is_valid(32, "F"));
}

/* Iterates over everything and appends it again: the octets come out as they went in. */
static void
append_all(struct buf *out, struct bytes fields, bool named)
{
    struct table_iterator i = named ? table_iterate(fields) : table_iterate_array(fields);
    struct table_field f;
    while (table_next(&i, &f)) {
        struct buf value = { 0 };
        if (f.tag == 'F' || f.tag == 'A')
            append_all(&value, f.value, f.tag == 'F');
        else
            buf_append_bytes(&value, f.value);
        f.value = buf_bytes(&value);
        if (named)
            table_append(out, &f);
        else
            put_field(out, false, BYTES_NONE, f.tag, f.value);
        buf_fini(&value);
    }
    assert_ptr_equal(i.at, i.end);
    assert_false(table_next(&i, &f));
}

static void
test_iterate_and_append(void **state)
{
    (void)state;
    struct random r = random_start(__func__);
    for (int round = 0; round < 500; round++) {
        struct buf table = { 0 };
        if (round == 0)
            put_one_of_each(&table);
        else
            put_random_fields(&table, &r, true, 4, 5);
        struct exact e = exact_copy(buf_bytes(&table));
        struct buf again = { 0 };
        append_all(&again, e.bytes, true);
        assert_true(bytes_equal(buf_bytes(&again), e.bytes));
        buf_fini(&again);
        exact_free(&e);
        buf_fini(&table);
    }
}

static void
test_iteration_gives_names_tags_and_values(void **state)
{
    (void)state;
    struct buf table = { 0 };
    put_one_of_each(&table);
    struct table_iterator i = table_iterate(buf_bytes(&table));
    struct table_field f;
    for (const char *tag = all_tags; *tag != 0; tag++) {
        assert_true(table_next(&i, &f));
        assert_true(bytes_equal(f.name, bytes_of(tag, 1)));
        assert_int_equal(f.tag, *tag);
        if (*tag == 'S' || *tag == 'x')
            assert_true(bytes_equal(f.value, BYTES_LITERAL("octets")));
    }
    assert_false(table_next(&i, &f));
    buf_fini(&table);
}

static void
test_find_takes_the_first(void **state)
{
    (void)state;
    struct buf inner = { 0 };
    put_named(&inner, "only inside", 't', BYTES_LITERAL("\x01"));
    struct buf table = { 0 };
    put_named(&table, "key", 'S', BYTES_LITERAL("first"));
    put_named(&table, "table", 'F', buf_bytes(&inner));
    put_named(&table, "key", 'V', BYTES_NONE);
    put_named(&table, "", 'S', BYTES_LITERAL("nameless"));
    put_named(&table, "last", 't', BYTES_LITERAL("\0"));
    const struct bytes octets = buf_bytes(&table);
    struct table_field f;
    assert_true(table_find(octets, BYTES_LITERAL("key"), &f));
    assert_true(bytes_equal(f.value, BYTES_LITERAL("first")));
    assert_true(table_find(octets, BYTES_NONE, &f));
    assert_true(bytes_equal(f.value, BYTES_LITERAL("nameless")));
    assert_true(table_find(octets, BYTES_LITERAL("last"), &f));
    assert_int_equal(f.tag, 't');
    assert_true(table_find(octets, BYTES_LITERAL("table"), &f));
    assert_true(bytes_equal(f.value, buf_bytes(&inner)));
    assert_false(table_find(octets, BYTES_LITERAL("only inside"), &f));
    assert_false(table_find(octets, BYTES_LITERAL("ke"), &f));
    assert_false(table_find(octets, BYTES_LITERAL("keys"), &f));
    assert_false(table_find(octets, BYTES_LITERAL("Key"), &f));
    buf_fini(&table);
    buf_fini(&inner);
}

static const struct integer_row {
    char tag;
    struct bytes value;
    int64_t integer;
} integer_rows[] = {
    { 'b', OCTETS("\0"), 0 },
    { 'b', OCTETS("\x7F"), INT8_MAX },
    { 'b', OCTETS("\x80"), INT8_MIN },
    { 'b', OCTETS("\xFF"), -1 },
    { 'B', OCTETS("\0"), 0 },
    { 'B', OCTETS("\x80"), 128 },
    { 'B', OCTETS("\xFF"), UINT8_MAX },
    { 's', OCTETS("\x7F\xFF"), INT16_MAX },
    { 's', OCTETS("\x80\0"), INT16_MIN },
    { 's', OCTETS("\xFF\xFF"), -1 },
    { 's', OCTETS("\x01\x02"), 0x0102 },
    { 'u', OCTETS("\x80\0"), 32768 },
    { 'u', OCTETS("\xFF\xFF"), UINT16_MAX },
    { 'I', OCTETS("\x7F\xFF\xFF\xFF"), INT32_MAX },
    { 'I', OCTETS("\x80\0\0\0"), INT32_MIN },
    { 'I', OCTETS("\xFF\xFF\xFF\xFF"), -1 },
    { 'I', OCTETS("\x01\x02\x03\x04"), 0x01020304 },
    { 'i', OCTETS("\x80\0\0\0"), INT64_C(2147483648) },
    { 'i', OCTETS("\xFF\xFF\xFF\xFF"), UINT32_MAX },
    { 'l', OCTETS("\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF"), INT64_MAX },
    { 'l', OCTETS("\x80\0\0\0\0\0\0\0"), INT64_MIN },
    { 'l', OCTETS("\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF"), -1 },
    { 'l', OCTETS("\x01\x02\x03\x04\x05\x06\x07\x08"), INT64_C(0x0102030405060708) },
    { 'L', OCTETS("\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF"), INT64_MAX },
    { 'L', OCTETS("\x80\0\0\0\0\0\0\0"), INT64_MIN },
    { 'L', OCTETS("\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFE"), -2 },
};

static void
test_integers(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(integer_rows); i++) {
        struct exact e = exact_copy(integer_rows[i].value);
        const struct table_field f = { .tag = integer_rows[i].tag, .value = e.bytes };
        int64_t integer = 77;
        assert_true(table_field_integer(&f, &integer));
        assert_true(integer == integer_rows[i].integer);
        exact_free(&e);
    }
}

static void
test_other_tags_are_no_integers_or_bools(void **state)
{
    (void)state;
    for (const char *tag = all_tags; *tag != 0; tag++) {
        const int size = tag_fixed_size(*tag) < 0 ? 8 : tag_fixed_size(*tag);
        const struct table_field f = { .tag = *tag, .value = zeroes(size) };
        int64_t integer = 77;
        bool truth = true;
        assert_int_equal(table_field_integer(&f, &integer), strchr("bBsuIilL", *tag) != NULL);
        assert_int_equal(integer, strchr("bBsuIilL", *tag) != NULL ? 0 : 77);
        assert_int_equal(table_field_bool(&f, &truth), *tag == 't');
        assert_int_equal(truth, *tag != 't');
    }
}

static void
test_any_octet_but_zero_is_true(void **state)
{
    (void)state;
    for (unsigned value = 0; value <= 0xFF; value++) {
        const uint8_t octet = (uint8_t)value;
        const struct table_field f = { .tag = 't', .value = bytes_of(&octet, 1) };
        bool truth = value == 0;
        assert_true(table_field_bool(&f, &truth));
        assert_int_equal(truth, value != 0);
    }
}

static void
test_tag_names(void **state)
{
    (void)state;
    static const char *const names[] = {
        "bool",        "byte",   "unsignedbyte", "short", "unsignedshort", "signedint",
        "unsignedint", "long",   "long",         "float", "double",        "decimal",
        "longstr",     "binary", "timestamp",    "table", "array",         "void",
    };
    assert_int_equal(COUNT(names), strlen(all_tags));
    for (unsigned tag = 0; tag <= 0xFF; tag++) {
        const char *place = tag == 0 || tag > 127 ? NULL : strchr(all_tags, (int)tag);
        assert_string_equal(table_tag_name((char)tag),
                            place == NULL ? "unknown" : names[place - all_tags]);
    }
}

static void
test_put(void **state)
{
    (void)state;
    char longest[256];
    memset(longest, 'n', 255);
    longest[255] = 0;
    struct buf inner = { 0 };
    table_put_bool(&inner, "yes", true);
    table_put_bool(&inner, "no", false);
    struct buf table = { 0 };
    table_put_string(&table, "s", BYTES_LITERAL("a\0b"));
    table_put_string(&table, "", BYTES_NONE);
    table_put_table(&table, "t", buf_bytes(&inner));
    table_put_table(&table, "none", BYTES_NONE);
    assert_true(bytes_equal(buf_bytes(&table),
                            BYTES_LITERAL("\x01sS\0\0\0\x03"
                                          "a\0b\0S\0\0\0\0\x01tF\0\0\0\x0B\x03yest\x01\x02not\0"
                                          "\x04noneF\0\0\0\0")));
    table_put_bool(&table, longest, true);
    assert_true(is_valid(buf_bytes(&table)));
    struct table_field f;
    bool truth = false;
    assert_true(table_find(buf_bytes(&table), bytes_of_string(longest), &f));
    assert_true(table_field_bool(&f, &truth) && truth);
    buf_fini(&table);
    buf_fini(&inner);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_tag_has_its_size),
        cmocka_unit_test(test_empty_tables),
        cmocka_unit_test(test_no_octets_are_an_empty_table),
        cmocka_unit_test(test_lengths_must_fit),
        cmocka_unit_test(test_cut_at_each_octet),
        cmocka_unit_test(test_broken_tables_against_a_model),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_count_of_fields),
        cmocka_unit_test(test_limits_can_be_set),
        cmocka_unit_test(test_iterate_and_append),
        cmocka_unit_test(test_iteration_gives_names_tags_and_values),
        cmocka_unit_test(test_find_takes_the_first),
        cmocka_unit_test(test_integers),
        cmocka_unit_test(test_other_tags_are_no_integers_or_bools),
        cmocka_unit_test(test_any_octet_but_zero_is_true),
        cmocka_unit_test(test_tag_names),
        cmocka_unit_test(test_put),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
