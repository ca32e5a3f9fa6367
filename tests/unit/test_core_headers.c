#include "broker/core/headers.h"

#include "tests/exact.h"
#include "tests/unit/test_random.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* One field, and what routing sees of it. */
struct row {
    struct bytes field; /* With its name "n". */
    enum header_kind kind;
    int64_t integer;
    double floating;
    struct bytes octets;
};

static const struct row rows[] = {
    { OCTETS("\1nb\x80"), HEADER_INTEGER, -128, 0, { NULL, 0 } },
    { OCTETS("\1nB\x80"), HEADER_INTEGER, 128, 0, { NULL, 0 } },
    { OCTETS("\1ns\xff\xfe"), HEADER_INTEGER, -2, 0, { NULL, 0 } },
    { OCTETS("\1nu\xff\xfe"), HEADER_INTEGER, 65534, 0, { NULL, 0 } },
    { OCTETS("\1nI\xff\xff\xff\xfd"), HEADER_INTEGER, -3, 0, { NULL, 0 } },
    { OCTETS("\1ni\xff\xff\xff\xfd"), HEADER_INTEGER, 4294967293, 0, { NULL, 0 } },
    { OCTETS("\1nl\0\0\0\0\0\0\1\0"), HEADER_INTEGER, 256, 0, { NULL, 0 } },
    { OCTETS("\1nL\xff\xff\xff\xff\xff\xff\xff\xff"), HEADER_INTEGER, -1, 0, { NULL, 0 } },
    { OCTETS("\1nf\x3f\xc0\0\0"), HEADER_FLOAT, 0, 1.5, { NULL, 0 } },
    { OCTETS("\1nd\xc0\4\0\0\0\0\0\0"), HEADER_FLOAT, 0, -2.5, { NULL, 0 } },
    { OCTETS("\1nT\0\0\0\0\0\0\0\5"), HEADER_UNSIGNED, 5, 0, { NULL, 0 } },
    { OCTETS("\1nt\1"), HEADER_BOOL, 1, 0, { NULL, 0 } },
    { OCTETS("\1nt\0"), HEADER_BOOL, 0, 0, { NULL, 0 } },
    { OCTETS("\1nV"), HEADER_VOID, 0, 0, { NULL, 0 } },
    { OCTETS("\1nS\0\0\0\3abc"), HEADER_STRING, 0, 0, OCTETS("abc") },
    { OCTETS("\1nx\0\0\0\2\0\xff"), HEADER_STRING, 0, 0, OCTETS("\0\xff") },
    { OCTETS("\1nS\0\0\0\0"), HEADER_STRING, 0, 0, { NULL, 0 } },
    { OCTETS("\1nD\2\0\0\1\x3a"), HEADER_OPAQUE, 0, 0, OCTETS("D\2\0\0\1\x3a") },
    { OCTETS("\1nA\0\0\0\2t\1"), HEADER_OPAQUE, 0, 0, OCTETS("A\0\0\0\2t\1") },
    { OCTETS("\1nF\0\0\0\0"), HEADER_OPAQUE, 0, 0, OCTETS("F\0\0\0\0") },
};

static void
assert_header(const struct header *h, const struct row *row)
{
    assert_int_equal(h->kind, row->kind);
    assert_true(bytes_equal(h->name, BYTES_LITERAL("n")));
    switch (row->kind) {
    case HEADER_VOID:
        break;
    case HEADER_BOOL:
        assert_int_equal(h->value.boolean, row->integer);
        break;
    case HEADER_INTEGER:
        assert_true(h->value.integer == row->integer);
        break;
    case HEADER_UNSIGNED:
        assert_true(h->value.unsigned_integer == (uint64_t)row->integer);
        break;
    case HEADER_FLOAT:
        assert_true(h->value.floating >= row->floating && h->value.floating <= row->floating);
        break;
    case HEADER_STRING:
    case HEADER_OPAQUE:
        assert_true(bytes_equal(h->value.octets, row->octets));
        break;
    }
}

static void
test_every_type(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct exact table = exact_copy(rows[i].field);
        struct headers h;
        headers_init(&h, table.bytes);
        exact_free(&table); /* Nothing points into it. */
        assert_int_equal(h.count, 1);
        assert_header(&h.items[0], &rows[i]);
        headers_fini(&h);
    }
}

/* However many and in whatever order they come, each finds its value, inner tables included. */
static void
test_many_fields(void **state)
{
    (void)state;
    const struct bytes table = BYTES_LITERAL("\1zt\1\1aF\0\0\0\x08\1dt\1\1ct\0\1mS\0\0\0\1v");
    struct headers h;
    headers_init(&h, table);
    assert_int_equal(h.count, 3);
    assert_true(bytes_equal(h.items[0].name, BYTES_LITERAL("a")));
    assert_int_equal(h.items[0].kind, HEADER_OPAQUE);
    assert_true(bytes_equal(h.items[0].value.octets,
                            BYTES_LITERAL("F\0\0\0\x08\1ct\0\1dt\1"))); /* Sorted. */
    assert_true(bytes_equal(h.items[1].name, BYTES_LITERAL("m")));
    assert_true(bytes_equal(h.items[1].value.octets, BYTES_LITERAL("v")));
    assert_true(bytes_equal(h.items[2].name, BYTES_LITERAL("z")));
    assert_true(h.items[2].value.boolean);
    headers_fini(&h);
}

static void
test_no_fields(void **state)
{
    (void)state;
    struct headers h;
    headers_init(&h, BYTES_NONE);
    assert_int_equal(h.count, 0);
    headers_fini(&h);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_type),
        cmocka_unit_test(test_many_fields),
        cmocka_unit_test(test_no_fields),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
