/* Unacked deliveries against a plain list, with holes anywhere. */

#include "broker/session/unacked.h"
#include "tests/unit/test_random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct random dice;

#define STEPS 100000
#define MODEL_MAX 2000

struct model {
    uint64_t tags[MODEL_MAX];
    size_t count;
    uint64_t last;
};

static void
model_remove(struct model *m, size_t place)
{
    memmove(m->tags + place, m->tags + place + 1, (--m->count - place) * sizeof(m->tags[0]));
}

static void
push(struct unacked *u, struct model *m)
{
    if (m->count == MODEL_MAX)
        return;
    m->last += 1 + random_below(&dice, 3); /* No-ack deliveries use tags, too. */
    const struct unacked_item item = { .tag = m->last };
    unacked_push(u, &item);
    m->tags[m->count++] = m->last;
}

static void
take_any(struct unacked *u, struct model *m)
{
    struct unacked_item item;
    if (m->count == 0)
        return;
    const size_t place = random_below(&dice, m->count);
    const uint64_t tag = m->tags[place];
    assert_non_null(unacked_find(u, tag));
    assert_true(unacked_take(u, tag, &item));
    assert_int_equal(item.tag, tag);
    assert_null(unacked_find(u, tag));
    assert_false(unacked_take(u, tag, &item));
    model_remove(m, place);
}

static void
take_up_to(struct unacked *u, struct model *m)
{
    struct unacked_item item;
    const uint64_t up_to = m->count == 0 ? m->last : m->tags[random_below(&dice, m->count)];
    while (m->count > 0 && m->tags[0] <= up_to) {
        assert_true(unacked_take_first(u, up_to, &item));
        assert_int_equal(item.tag, m->tags[0]);
        model_remove(m, 0);
    }
    assert_false(unacked_take_first(u, up_to, &item));
}

static void
compare(struct unacked *u, const struct model *m)
{
    size_t place = 0;
    assert_int_equal(u->count, m->count);
    for (size_t i = 0; i < m->count; i++)
        assert_int_equal(unacked_next(u, &place)->tag, m->tags[i]);
    assert_null(unacked_next(u, &place));
    place = unacked_place(u, m->last + 1);
    assert_null(unacked_next(u, &place));
    for (size_t i = 0; i < m->count; i += 1 + random_below(&dice, 50)) {
        place = unacked_place(u, i == 0 ? 0 : m->tags[i - 1] + 1);
        assert_int_equal(unacked_next(u, &place)->tag, m->tags[i]);
    }
    if (m->count > 0)
        assert_int_equal(unacked_oldest(u)->tag, m->tags[0]);
    else
        assert_null(unacked_oldest(u));
}

static void
test_against_a_list(void **state)
{
    (void)state;
    static struct model m;
    struct unacked u = { 0 };
    dice = random_start(__func__);
    for (int step = 0; step < STEPS; step++) {
        const uint64_t choice = random_below(&dice, 100);
        if (choice < (step / 5000 % 2 == 0 ? 70 : 40))
            push(&u, &m);
        else if (choice < 98)
            take_any(&u, &m);
        else
            take_up_to(&u, &m);
        if (step % 64 == 0)
            compare(&u, &m);
        assert_false(unacked_find(&u, m.last + 1) != NULL);
    }
    unacked_fini(&u);
}

/* One that is never settled must not keep the places of all that came after it. */
static void
test_stuck_delivery_costs_no_memory(void **state)
{
    (void)state;
    struct unacked u = { 0 };
    struct unacked_item item = { .tag = 1 };
    unacked_push(&u, &item);
    for (uint64_t tag = 2; tag < 100000; tag++) {
        item.tag = tag;
        unacked_push(&u, &item);
        assert_true(unacked_take(&u, tag, &item));
    }
    assert_in_range(u.capacity, 1, 64);
    assert_non_null(unacked_find(&u, 1));
    unacked_fini(&u);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_a_list),
        cmocka_unit_test(test_stuck_delivery_costs_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
