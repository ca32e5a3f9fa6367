#include "broker/base/buf.h"

#include "broker/base/mem.h"
#include "tests/unit/test_random.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void
test_zeroed_is_empty(void **state)
{
    (void)state;
    struct buf b = { 0 };
    assert_int_equal(buf_bytes(&b).size, 0);
    buf_append(&b, NULL, 0);
    buf_append_bytes(&b, BYTES_NONE);
    assert_null(b.data);
    buf_fini(&b);
}

static void
test_fini_leaves_it_usable(void **state)
{
    (void)state;
    struct buf b = { 0 };
    for (int round = 0; round < 3; round++) {
        buf_append_bytes(&b, BYTES_LITERAL("text"));
        assert_true(bytes_equal(buf_bytes(&b), BYTES_LITERAL("text")));
        buf_fini(&b);
        assert_null(b.data);
        assert_int_equal(b.size, 0);
        assert_int_equal(b.capacity, 0);
    }
}

static void
test_reserve_makes_room_and_keeps_the_rest(void **state)
{
    (void)state;
    static const size_t extras[] = { 1, 63, 64, 65, 127, 128, 129, 4096, 1000000 };
    for (size_t i = 0; i < COUNT(extras); i++) {
        struct buf b = { 0 };
        buf_append_bytes(&b, BYTES_LITERAL("kept"));
        uint8_t *at = buf_reserve(&b, extras[i]);
        assert_ptr_equal(at, b.data + 4);
        assert_int_equal(b.size, 4);
        assert_true(b.capacity >= 4 + extras[i]);
        memset(at, 'x', extras[i]);
        assert_true(bytes_equal(buf_bytes(&b), BYTES_LITERAL("kept")));
        const uint8_t *data = b.data;
        buf_reserve(&b, extras[i]);
        assert_ptr_equal(b.data, data);
        buf_fini(&b);
    }
}

static void
test_growth_is_geometric(void **state)
{
    (void)state;
    struct buf b = { 0 };
    unsigned grown = 0;
    for (int i = 0; i < 1000000; i++) {
        const size_t capacity = b.capacity;
        buf_append(&b, "x", 1);
        grown += b.capacity != capacity;
    }
    assert_true(grown < 20);
    buf_fini(&b);
}

/* Appends of random size, with a plain array as the model. */
static void
test_appends_add_up(void **state)
{
    (void)state;
    enum { MODEL_SIZE = 1 << 20 };
    struct random r = random_start(__func__);
    uint8_t *model = mem_alloc(MODEL_SIZE);
    size_t size = 0;
    struct buf b = { 0 };
    for (;;) {
        const size_t extra = random_below(&r, random_below(&r, 10) == 0 ? 5000 : 20);
        if (size + extra > MODEL_SIZE)
            break;
        for (size_t i = 0; i < extra; i++)
            model[size + i] = (uint8_t)random_next(&r);
        buf_append(&b, model + size, extra);
        size += extra;
        assert_int_equal(b.size, size);
    }
    assert_true(bytes_equal(buf_bytes(&b), bytes_of(model, size)));
    buf_fini(&b);
    mem_free(model);
}

static void
test_printf_appends_without_the_zero(void **state)
{
    (void)state;
    struct buf b = { 0 };
    buf_printf(&b, "%s", "");
    assert_int_equal(b.size, 0);
    buf_printf(&b, "%d-%s", 42, "x");
    buf_printf(&b, "%c", 'y');
    assert_true(bytes_equal(buf_bytes(&b), BYTES_LITERAL("42-xy")));
    buf_fini(&b);
}

static void
test_printf_of_any_length(void **state)
{
    (void)state;
    for (int width = 1; width < 300; width++) {
        struct buf b = { 0 };
        buf_printf(&b, "%*d", width, 7);
        buf_printf(&b, "%*d", width, 8);
        assert_int_equal(b.size, 2 * width);
        assert_int_equal(b.data[width - 1], '7');
        assert_int_equal(b.data[2 * width - 1], '8');
        buf_fini(&b);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_zeroed_is_empty),
        cmocka_unit_test(test_fini_leaves_it_usable),
        cmocka_unit_test(test_reserve_makes_room_and_keeps_the_rest),
        cmocka_unit_test(test_growth_is_geometric),
        cmocka_unit_test(test_appends_add_up),
        cmocka_unit_test(test_printf_appends_without_the_zero),
        cmocka_unit_test(test_printf_of_any_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
