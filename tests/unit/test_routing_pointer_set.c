#include "test_routing.h"

static int targets[100000];

static void
test_each_pointer_once(void **state)
{
    (void)state;
    static const size_t sizes[] = { 0, 1, 2, 15, 16, 17, 18, 31, 32, 33, 1000, COUNT(targets) };
    struct pointer_set s;
    pointer_set_init(&s);
    for (size_t k = 0; k < COUNT(sizes); k++) {
        for (size_t i = 0; i < sizes[k]; i++)
            assert_true(pointer_set_add(&s, &targets[i]));
        for (size_t i = 0; i < sizes[k]; i++)
            assert_false(pointer_set_add(&s, &targets[i]));
        assert_int_equal(s.count, sizes[k]);
        pointer_set_clear(&s);
        assert_int_equal(s.count, 0);
    }
    pointer_set_fini(&s);
}

static void
test_reuse_at_any_size(void **state)
{
    (void)state;
    struct random r = random_start("test_reuse_at_any_size");
    struct pointer_set s;
    pointer_set_init(&s);
    for (int round = 0; round < 2000; round++) {
        const size_t limit = 1 + random_below(&r, round % 50 == 0 ? 5000 : 40);
        bool *seen = mem_alloc_zeroed(limit);
        for (size_t i = 0; i < limit * 2; i++) {
            const size_t target = random_below(&r, limit);
            assert_int_equal(pointer_set_add(&s, &targets[target]), !seen[target]);
            seen[target] = true;
        }
        mem_free(seen);
        pointer_set_clear(&s);
    }
    pointer_set_fini(&s);
}

static void
test_clear_gives_back_what_was_idle(void **state)
{
    (void)state;
    struct pointer_set s;
    pointer_set_init(&s);
    for (size_t i = 0; i < COUNT(targets); i++)
        pointer_set_add(&s, &targets[i]);
    const size_t slot_count = s.slot_count;
    pointer_set_clear(&s);
    assert_int_equal(s.slot_count, slot_count);
    pointer_set_add(&s, &targets[0]);
    pointer_set_clear(&s);
    assert_int_equal(s.slot_count, 0);
    pointer_set_fini(&s);
}

static void
test_route_set_keeps_order(void **state)
{
    (void)state;
    static struct destination destinations[10000];
    struct route_set s;
    route_set_init(&s);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < COUNT(destinations); i++) {
            assert_true(route_set_add(&s, &destinations[i]));
            assert_false(route_set_add(&s, &destinations[i / 2]));
        }
        assert_int_equal(s.count, COUNT(destinations));
        for (size_t i = 0; i < s.count; i++)
            assert_ptr_equal(s.items[i], &destinations[i]);
        route_set_clear(&s);
        assert_int_equal(s.count, 0);
    }
    route_set_fini(&s);
    assert_true(route_set_add(&s, &destinations[0]));
    route_set_fini(&s);
}

static void
test_few_need_no_memory(void **state)
{
    (void)state;
    static struct destination destinations[ROUTE_SET_FEW];
    struct route_set s;
    route_set_init(&s);
    for (size_t i = 0; i < COUNT(destinations); i++) {
        route_set_add(&s, &destinations[i]);
        route_set_add(&s, &destinations[0]);
    }
    assert_ptr_equal(s.items, s.few);
    assert_null(s.members.slots);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_pointer_once),
        cmocka_unit_test(test_reuse_at_any_size),
        cmocka_unit_test(test_clear_gives_back_what_was_idle),
        cmocka_unit_test(test_route_set_keeps_order),
        cmocka_unit_test(test_few_need_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
