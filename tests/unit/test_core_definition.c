/* Declaring, binding and deleting at random against a model, and against what the store was told:
 * the rows that are left in the end are exactly the durable things that are left. */

#include "broker/core/definition.h"

#include "tests/exact.h"
#include "tests/unit/test_random.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "tests/unit/test_core.h"

enum { EXCHANGES = 7, QUEUES = 4, THINGS = EXCHANGES + QUEUES, KEYS = 2, STEPS = 4000 };
enum { BINDINGS = EXCHANGES * THINGS * KEYS };

/* Things are numbered: exchanges, then queues. Even ones are durable, and so on, for good. */
struct model {
    bool exists[THINGS];
    bool bound[EXCHANGES][THINGS][KEYS]; /* Source, destination, key. */
};

static const char *const names[THINGS] = { "x0", "x1", "x2", "x3", "x4", "x5",
                                           "x6", "q0", "q1", "q2", "q3" };
static const char *const keys[KEYS] = { "", "key" };

static struct model model;
static struct vhost *vhost;
static uint64_t ticket;

static bool
is_durable(size_t thing)
{
    return thing % 2 == 0;
}

static bool
is_auto_delete(size_t thing)
{
    return thing < EXCHANGES && thing % 3 != 0;
}

static struct exchange_spec
exchange_spec_of(size_t thing)
{
    return (struct exchange_spec){
        .name = bytes_of_string(names[thing]),
        .type = (enum router_type)(thing % 3),
        .durable = is_durable(thing),
        .auto_delete = is_auto_delete(thing),
        .internal = thing % 4 == 0,
    };
}

static void model_delete(size_t thing);

static size_t
model_bindings_from(size_t source)
{
    size_t count = 0;
    for (size_t d = 0; d < THINGS; d++)
        for (size_t k = 0; k < KEYS; k++)
            count += model.bound[source][d][k];
    return count;
}

/* A binding from it is gone: maybe it was the last. */
static void
model_lost(size_t source)
{
    if (model.exists[source] && is_auto_delete(source) && model_bindings_from(source) == 0)
        model_delete(source);
}

static void
model_delete(size_t thing)
{
    bool lost[EXCHANGES] = { false };
    if (!model.exists[thing])
        return;
    model.exists[thing] = false;
    if (thing < EXCHANGES)
        memset(model.bound[thing], 0, sizeof(model.bound[thing]));
    for (size_t s = 0; s < EXCHANGES; s++)
        for (size_t k = 0; k < KEYS; k++) {
            lost[s] = lost[s] || model.bound[s][thing][k];
            model.bound[s][thing][k] = false;
        }
    for (size_t s = 0; s < EXCHANGES; s++)
        if (lost[s])
            model_lost(s);
}

static void
declare(size_t thing)
{
    struct amqp_exception ex;
    bool created = true;
    if (thing < EXCHANGES) {
        const struct exchange_spec spec = exchange_spec_of(thing);
        assert_true(vhost_declare_exchange(vhost, &spec, &ticket, &ex));
    } else {
        struct queue *q;
        struct queue_spec spec = spec_named(names[thing]);
        spec.durable = is_durable(thing);
        assert_true(vhost_declare_queue(vhost, &spec, 1, &q, &created, &ticket, &ex));
        assert_int_equal(created, !model.exists[thing]);
        queue_unref(q);
    }
    /* Whoever declares it again waits for the same commit. */
    assert_int_equal(ticket != 0, is_durable(thing));
    model.exists[thing] = true;
}

static void
undeclare(size_t thing)
{
    struct amqp_exception ex;
    if (thing < EXCHANGES) {
        assert_true(
            vhost_delete_exchange(vhost, bytes_of_string(names[thing]), false, &ticket, &ex));
    } else {
        struct queue *q = vhost_use_queue(vhost, bytes_of_string(names[thing]), 1, &ex);
        size_t ready;
        assert_int_equal(q != NULL, model.exists[thing]);
        if (q == NULL)
            return;
        assert_true(vhost_delete_queue(vhost, q, false, false, &ready, &ticket, &ex));
        queue_unref(q);
    }
    if (model.exists[thing] && is_durable(thing))
        assert_int_not_equal(ticket, 0);
    model_delete(thing);
}

static struct bind_spec
bind_spec_of(size_t source, size_t destination, size_t key)
{
    return (struct bind_spec){
        .source = bytes_of_string(names[source]),
        .destination_kind = destination < EXCHANGES ? DESTINATION_EXCHANGE : DESTINATION_QUEUE,
        .destination = bytes_of_string(names[destination]),
        .key = bytes_of_string(keys[key]),
        .arguments = key == 0 ? BYTES_NONE : BYTES_LITERAL("\1at\1"),
    };
}

static void
bind(size_t source, size_t destination, size_t key)
{
    struct amqp_exception ex;
    const struct bind_spec spec = bind_spec_of(source, destination, key);
    const bool both = model.exists[source] && model.exists[destination];
    assert_int_equal(vhost_bind(vhost, &spec, 1, &ticket, &ex), both);
    if (!both)
        return;
    if (!model.bound[source][destination][key])
        assert_int_equal(ticket != 0, is_durable(source) && is_durable(destination));
    model.bound[source][destination][key] = true;
}

static void
unbind(size_t source, size_t destination, size_t key)
{
    struct amqp_exception ex;
    const struct bind_spec spec = bind_spec_of(source, destination, key);
    assert_true(vhost_unbind(vhost, &spec, 1, &ticket, &ex));
    if (!model.bound[source][destination][key])
        return;
    if (is_durable(source) && is_durable(destination))
        assert_int_not_equal(ticket, 0);
    model.bound[source][destination][key] = false;
    model_lost(source);
}

static void
check_existence(void)
{
    rwlock_read(&vhost->topology);
    for (size_t t = 0; t < EXCHANGES; t++) {
        struct exchange *x = vhost_find_exchange(vhost, bytes_of_string(names[t]));
        assert_int_equal(x != NULL, model.exists[t]);
        if (x != NULL)
            assert_int_equal(router_binding_count(&x->router), model_bindings_from(t));
    }
    for (size_t t = EXCHANGES; t < THINGS; t++)
        assert_int_equal(vhost_find_queue(vhost, bytes_of_string(names[t])) != NULL,
                         model.exists[t]);
    rwlock_read_end(&vhost->topology);
}

static void
random_step(struct random *dice)
{
    const size_t thing = random_below(dice, THINGS);
    const size_t source = random_below(dice, EXCHANGES);
    const size_t key = random_below(dice, KEYS);
    switch (random_below(dice, 10)) {
    case 0:
        undeclare(thing);
        break;
    case 1:
    case 2:
    case 3:
        declare(thing);
        break;
    case 4:
    case 5:
        unbind(source, thing, key);
        break;
    default:
        bind(source, thing, key);
        break;
    }
}

/* The rows that are left, the latest of each key. */
static size_t
rows_left(const struct recorder *r, const struct written **rows, size_t rows_max)
{
    size_t count = 0;
    for (size_t i = 0; i < r->count; i++) {
        const struct written *w = &r->items[i];
        size_t at = 0;
        if (w->effect.kind != EFFECT_PUT && w->effect.kind != EFFECT_DELETE)
            continue;
        while (at < count &&
               !bytes_equal(buf_bytes(&rows[at]->effect.key), buf_bytes(&w->effect.key)))
            at++;
        if (w->effect.kind == EFFECT_PUT) {
            assert_true(at < rows_max);
            rows[at] = w;
            count += at == count;
        } else if (at < count) { /* What binds an exchange to itself is deleted twice. */
            rows[at] = rows[--count];
        }
    }
    return count;
}

static size_t
thing_of(struct bytes name)
{
    for (size_t t = 0; t < THINGS; t++)
        if (bytes_equal(name, bytes_of_string(names[t])))
            return t;
    fail_msg("a row of something unknown");
    return 0;
}

static void
check_binding_row(const struct bind_spec *b)
{
    const size_t source = thing_of(b->source);
    const size_t destination = thing_of(b->destination);
    const size_t key = bytes_equal(b->key, bytes_of_string(keys[1]));
    const struct bind_spec expected = bind_spec_of(source, destination, key);
    assert_true(model.bound[source][destination][key]);
    assert_int_equal(b->destination_kind, expected.destination_kind);
    assert_true(bytes_equal(b->key, expected.key));
    assert_true(bytes_equal(b->arguments, expected.arguments));
}

static void
check_row(const struct written *w)
{
    struct definition d;
    struct exact key = exact_copy(buf_bytes(&w->effect.key));
    struct exact row = exact_copy(buf_bytes(&w->effect.payload));
    assert_true(definition_decode(key.bytes, row.bytes, &d));
    assert_true(bytes_equal(d.vhost, BYTES_LITERAL("/")));
    switch (d.kind) {
    case DEFINITION_EXCHANGE: {
        const size_t thing = thing_of(d.name);
        const struct exchange_spec spec = exchange_spec_of(thing);
        assert_true(model.exists[thing] && is_durable(thing));
        assert_int_equal(d.type, spec.type);
        assert_int_equal(d.auto_delete, spec.auto_delete);
        assert_int_equal(d.internal, spec.internal);
        break;
    }
    case DEFINITION_QUEUE:
        assert_true(model.exists[thing_of(d.name)] && is_durable(thing_of(d.name)));
        assert_true(d.log > 0);
        break;
    case DEFINITION_DELIVERIES:
    case DEFINITION_DUES:
    case DEFINITION_SEGMENT:
    case DEFINITION_NOTE:
        fail();
        break;
    case DEFINITION_BINDING:
        check_binding_row(&d.binding);
        break;
    case DEFINITION_WATERMARK:
        fail_msg("nothing has been sent");
    }
    exact_free(&key);
    exact_free(&row);
}

static size_t
durable_count(void)
{
    size_t count = 0;
    for (size_t t = 0; t < THINGS; t++)
        count += model.exists[t] && is_durable(t);
    for (size_t s = 0; s < EXCHANGES; s++)
        for (size_t d = 0; d < THINGS; d++)
            for (size_t k = 0; k < KEYS; k++)
                count += model.bound[s][d][k] && is_durable(s) && is_durable(d);
    return count;
}

static void
test_definitions_against_a_model(void **state)
{
    (void)state;
    struct random dice = random_start("test_definitions_against_a_model");
    for (int again = 0; again < 3; again++) {
        const struct written *rows[THINGS + BINDINGS];
        struct recorder recorder;
        struct door *door = recorder_open(&recorder);
        memset(&model, 0, sizeof(model));
        vhost = vhost_create(BYTES_LITERAL("/"), door);
        for (int step = 0; step < STEPS; step++) {
            random_step(&dice);
            check_existence();
        }
        vhost_destroy(vhost); /* The store keeps it all. */
        door_destroy(door);
        const size_t count = rows_left(&recorder, rows, COUNT(rows));
        for (size_t i = 0; i < count; i++)
            check_row(rows[i]);
        assert_int_equal(count, durable_count());
        recorder_fini(&recorder);
    }
}

static bool
decodes(struct bytes key, struct bytes row)
{
    struct definition d;
    struct exact exact_key = exact_copy(key);
    struct exact exact_row = exact_copy(row);
    const bool ok = definition_decode(exact_key.bytes, exact_row.bytes, &d);
    exact_free(&exact_key);
    exact_free(&exact_row);
    return ok;
}

/* Damaged rows are refused, or at least read within their bounds. */
static void
test_what_is_no_definition(void **state)
{
    (void)state;
    struct random dice = random_start("test_what_is_no_definition");
    struct recorder recorder;
    struct door *door = recorder_open(&recorder);
    memset(&model, 0, sizeof(model));
    vhost = vhost_create(BYTES_LITERAL("/"), door);
    declare(0);
    declare(8);
    declare(2);
    bind(0, 8, 1);
    bind(0, 2, 1);
    vhost_destroy(vhost);
    door_destroy(door);
    assert_int_equal(recorder.count, 5);
    for (size_t i = 0; i < recorder.count; i++) {
        const struct effect *e = &recorder.items[i].effect;
        struct buf key = { 0 };
        assert_true(decodes(buf_bytes(&e->key), buf_bytes(&e->payload)));
        for (size_t size = 0; size < e->key.size; size++)
            assert_false(decodes(bytes_of(e->key.data, size), buf_bytes(&e->payload)));
        for (size_t size = 0; size < e->payload.size; size++)
            assert_false(decodes(buf_bytes(&e->key), bytes_of(e->payload.data, size)));
        for (int n = 0; n < 5000; n++) {
            key.size = 0;
            buf_append_bytes(&key, buf_bytes(&e->key));
            key.data[random_below(&dice, key.size)] = (uint8_t)random_next(&dice);
            decodes(buf_bytes(&key), buf_bytes(&e->payload));
        }
        buf_fini(&key);
    }
    recorder_fini(&recorder);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_definitions_against_a_model),
        cmocka_unit_test(test_what_is_no_definition),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
