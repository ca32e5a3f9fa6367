#include "broker/core/vhosts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "broker/core/definition.h"
#include "persistence/engine_sim.h"
#include "tests/unit/test_core.h"

/* A broker without connections, whose door commits at once. */
static struct door *door;
static struct config config;
static struct broker broker;

static int
setup(void **state)
{
    (void)state;
    config_init(&config);
    door = door_create(engine_sim_create(0), UINT64_MAX, recorder_no_notify, NULL);
    broker_init(&broker, &config, door, NULL);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    broker_stop(&broker);
    broker_fini(&broker);
    door_destroy(door);
    assert_no_messages();
    return 0;
}

static bool
recover(void)
{
    bool is_new;
    char problem[300] = "";
    if (!vhosts_recovered(&broker, &is_new, problem, sizeof(problem)))
        fail_msg("%s", problem);
    return is_new;
}

static struct vhost *
put(const char *name)
{
    const struct vhost_spec spec = { .name = bytes_of_string(name),
                                     .description = BYTES_LITERAL("for tests"),
                                     .tags = BYTES_LITERAL("a\nb\n"),
                                     .default_queue_type = BYTES_LITERAL("quorum"),
                                     .max_connections = 7,
                                     .max_queues = -1 };
    assert_true(broker_put_vhost(&broker, &spec) > 0);
    struct vhost *v = broker_find_vhost(&broker, bytes_of_string(name));
    assert_non_null(v);
    return v;
}

/* What the store would tell of a virtual host, were the broker started again. */
static void
restore(const char *name, struct bytes note)
{
    struct buf key = { 0 };
    buf_printf(&key, "vhost:%s", name);
    notes_restore(&broker.notes, buf_bytes(&key), note);
    buf_fini(&key);
}

static struct buf
note_of(const char *name)
{
    struct buf key = { 0 };
    struct buf note = { 0 };
    buf_printf(&key, "vhost:%s", name);
    assert_true(notes_get(&broker.notes, buf_bytes(&key), &note));
    buf_fini(&key);
    return note;
}

static bool
declare(struct vhost *v, const char *name, struct amqp_exception *ex)
{
    struct queue *q;
    uint64_t ticket;
    bool created;
    struct queue_spec spec = spec_named(name);
    spec.durable = true;
    const bool done = vhost_declare_queue(v, &spec, 1, &q, &created, &ticket, ex);
    if (done)
        queue_unref(q);
    return done;
}

static void
a_new_store_gets_one(void **state)
{
    (void)state;
    assert_true(recover());
    assert_non_null(broker_find_vhost(&broker, BYTES_LITERAL("/")));
    assert_true(recover()); /* Until it is said that all has been given to it. */
    vhosts_have_begun(&broker);
    assert_false(recover());
}

static void
deleted_for_good(void **state)
{
    (void)state;
    recover();
    vhosts_have_begun(&broker);
    assert_true(broker_delete_vhost(&broker, BYTES_LITERAL("/")) > 0);
    assert_null(broker_find_vhost(&broker, BYTES_LITERAL("/")));
    assert_false(recover());
    assert_null(broker_find_vhost(&broker, BYTES_LITERAL("/")));
    assert_int_equal(broker_delete_vhost(&broker, BYTES_LITERAL("/")), 0);
}

static void
check_spec(void *context, struct vhost *v, const struct vhost_spec *spec)
{
    (void)v;
    ++*(unsigned *)context;
    assert_true(bytes_equal(spec->name, BYTES_LITERAL("v")));
    assert_true(bytes_equal(spec->description, BYTES_LITERAL("for tests")));
    assert_true(bytes_equal(spec->tags, BYTES_LITERAL("a\nb\n")));
    assert_true(bytes_equal(spec->default_queue_type, BYTES_LITERAL("quorum")));
    assert_int_equal(spec->max_connections, 7);
    assert_int_equal(spec->max_queues, -1);
}

/* Its note, read by another broker, says the same. */
static void
comes_back_with_what_was_said(void **state)
{
    unsigned count = 0;
    put("v");
    struct buf note = note_of("v");
    teardown(state);
    setup(state);
    restore("v", buf_bytes(&note));
    notes_restore(&broker.notes, BYTES_LITERAL("begun"), BYTES_LITERAL("1"));
    assert_false(recover());
    broker_each_vhost(&broker, check_spec, &count);
    assert_int_equal(count, 1);
    buf_fini(&note);
}

/* A virtual host whose note is of a later version must not be taken for one that was being deleted.
 */
static void
a_note_that_is_not_understood_deletes_nothing(void **state)
{
    bool is_new;
    struct amqp_exception ex;
    char problem[300] = "";
    put("v");
    struct buf whole = note_of("v");
    for (size_t size = 0; size <= whole.size; size++) {
        struct buf part = { 0 };
        buf_append_bytes(&part, size < whole.size ? bytes_of(whole.data, size) : buf_bytes(&whole));
        if (size == whole.size)
            buf_append(&part, "x", 1);
        teardown(state);
        setup(state);
        restore("v", buf_bytes(&part));
        struct vhost *v = vhosts_restore(&broker, BYTES_LITERAL("v"));
        assert_true(declare(v, "q", &ex));
        assert_false(vhosts_recovered(&broker, &is_new, problem, sizeof(problem)));
        assert_non_null(strstr(problem, "virtual host \"v\""));
        assert_ptr_equal(broker_find_vhost(&broker, BYTES_LITERAL("v")), v);
        assert_int_equal(v->queues.count, 1);
        buf_fini(&part);
    }
    buf_fini(&whole);
}

/* A crash between the note and the rows. */
static void
a_deletion_that_was_cut_short_is_finished(void **state)
{
    (void)state;
    struct amqp_exception ex;
    notes_restore(&broker.notes, BYTES_LITERAL("begun"), BYTES_LITERAL("1"));
    struct vhost *v = vhosts_restore(&broker, BYTES_LITERAL("half"));
    assert_true(declare(v, "q", &ex));
    assert_false(recover());
    assert_null(broker_find_vhost(&broker, BYTES_LITERAL("half")));
    assert_int_equal(v->queues.count, 0);
}

/* Those who still hold it can leave nothing behind. */
static void
nothing_is_made_in_a_deleted_one(void **state)
{
    (void)state;
    struct amqp_exception ex = { .method_id = 50u << 16 | 10 };
    uint64_t ticket;
    struct vhost *v = put("v");
    assert_true(declare(v, "q", &ex));
    broker_delete_vhost(&broker, BYTES_LITERAL("v"));
    assert_int_equal(v->queues.count, 0);
    assert_int_equal(v->exchanges.count, 0);
    assert_false(declare(v, "q", &ex));
    assert_int_equal(ex.code, AMQP_CONNECTION_FORCED);
    assert_string_equal(ex.text, "CONNECTION_FORCED - vhost 'v' is down");
    assert_int_equal(ex.method_id, 0);
    ex.code = 0;
    const struct exchange_spec spec = { .name = BYTES_LITERAL("x"), .type = ROUTER_FANOUT };
    assert_false(vhost_declare_exchange(v, &spec, &ticket, &ex));
    assert_int_equal(ex.code, AMQP_CONNECTION_FORCED);
    /* The next one of that name is another. */
    assert_ptr_not_equal(put("v"), v);
    assert_true(declare(broker_find_vhost(&broker, BYTES_LITERAL("v")), "q", &ex));
}

static uint64_t
say_late(void *context, const struct vhost *v)
{
    (void)v;
    return *(const uint64_t *)context;
}

/* Its answer waits for the note that is gone, and for what others forget of it. */
static void
the_ticket_is_the_last(void **state)
{
    (void)state;
    uint64_t late = UINT64_MAX;
    put("v");
    assert_true(broker_delete_vhost(&broker, BYTES_LITERAL("v")) > 0);
    put("w");
    broker.vhost_deleted = say_late;
    broker.vhost_deleted_context = &late;
    assert_true(broker_delete_vhost(&broker, BYTES_LITERAL("w")) == late);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_new_store_gets_one, setup, teardown),
        cmocka_unit_test_setup_teardown(deleted_for_good, setup, teardown),
        cmocka_unit_test_setup_teardown(comes_back_with_what_was_said, setup, teardown),
        cmocka_unit_test_setup_teardown(a_note_that_is_not_understood_deletes_nothing, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_deletion_that_was_cut_short_is_finished, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_is_made_in_a_deleted_one, setup, teardown),
        cmocka_unit_test_setup_teardown(the_ticket_is_the_last, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
