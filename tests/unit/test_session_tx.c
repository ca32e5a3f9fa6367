#include "broker/session/tx.h"

#include "tests/unit/test_random.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "tests/unit/test_core.h"

enum { MANY = 1000 };

static void
test_everything_is_kept_in_order(void **state)
{
    (void)state;
    struct tx *t = tx_create();
    struct unacked unacked = { 0 };
    assert_int_equal(t->publish_count, 0);
    assert_int_equal(t->settle_count, 0);
    for (uint32_t i = 0; i < MANY; i++) {
        unacked_push(&unacked, &(struct unacked_item){ .tag = i + 1 });
        tx_add_publish(t, message_sized(i, 8, false), i % 3 == 0);
    }
    for (uint32_t i = 0; i < MANY; i += 2)
        tx_add_settle(t, unacked_find(&unacked, i + 1), (enum tx_fate)(i % 3));
    assert_int_equal(t->publish_count, MANY);
    for (uint32_t i = 0; i < MANY; i++) {
        assert_int_equal(message_number(t->publishes[i].message), i);
        assert_int_equal(t->publishes[i].mandatory, i % 3 == 0);
        assert_int_equal(unacked_find(&unacked, i + 1)->in_tx, i % 2 == 0); /* Still there. */
    }
    assert_int_equal(t->settle_count, MANY / 2);
    for (uint32_t i = 0; i < MANY / 2; i++) {
        assert_int_equal(t->settles[i].tag, i * 2 + 1);
        assert_int_equal(t->settles[i].fate, i * 2 % 3);
    }
    tx_destroy(t);
    unacked_fini(&unacked);
    assert_no_messages();
}

/* After a commit or a rollback it is as new; messages that it held are released. */
static void
test_clear_forgets(void **state)
{
    (void)state;
    struct tx *t = tx_create();
    struct message *m = message_sized(7, 1 << 20, false);
    for (int again = 0; again < 3; again++) {
        struct unacked_item item = { .tag = 5 };
        message_ref(m);
        tx_add_publish(t, m, true);
        tx_add_settle(t, &item, TX_REQUEUE);
        tx_clear(t);
        assert_int_equal(t->publish_count, 0);
        assert_int_equal(t->settle_count, 0);
        assert_true(item.in_tx); /* Whoever rolls back lifts the marks. */
    }
    assert_int_equal(atomic_load(&m->refs), 1);
    message_unref(m);
    tx_destroy(t);
    assert_no_messages();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything_is_kept_in_order),
        cmocka_unit_test(test_clear_forgets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
