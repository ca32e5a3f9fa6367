/* Messages, what they are charged, and their form as records. */

#include "broker/core/message.h"

#include "broker/base/clock.h"
#include "broker/core/record.h"
#include "tests/exact.h"
#include "tests/unit/test_random.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <pthread.h>

#include "tests/unit/test_core.h"

enum { THREADS = 3, MESSAGES = 4000 };

static struct message *
message_of(const char *exchange, const char *key, struct bytes properties, struct bytes body)
{
    struct message *m =
        message_create(bytes_of_string(exchange), bytes_of_string(key), properties, body.size);
    assert_non_null(m);
    if (body.size > 0)
        memcpy(message_body(m), body.data, body.size);
    message_charge((int64_t)body.size);
    return m;
}

static void
assert_message(struct message *m, const char *exchange, const char *key, struct bytes properties,
               struct bytes body)
{
    assert_true(bytes_equal(message_exchange(m), bytes_of_string(exchange)));
    assert_true(bytes_equal(message_key(m), bytes_of_string(key)));
    assert_true(bytes_equal(message_properties(m), properties));
    assert_true(bytes_equal(bytes_of(message_body(m), m->body_size), body));
}

static void
test_parts(void **state)
{
    (void)state;
    char longest[256];
    memset(longest, 'n', 255);
    longest[255] = 0;
    const struct bytes properties = BYTES_LITERAL("\x10\0\2");
    struct message *m = message_of(longest, longest, properties, BYTES_LITERAL("body"));
    assert_message(m, longest, longest, properties, BYTES_LITERAL("body"));
    assert_int_equal(message_cost(m), sizeof(*m) + 255 + 255 + 3 + 4);
    message_unref(m);
    m = message_of("", "", BYTES_NONE, BYTES_NONE);
    assert_message(m, "", "", BYTES_NONE, BYTES_NONE);
    message_unref(m);
    assert_no_messages();
}

static void
test_memory_goes_with_the_last_reference(void **state)
{
    (void)state;
    enum { SIZE = 1 << 20 };
    const int64_t before = message_memory();
    struct message *m = message_create(BYTES_NONE, BYTES_NONE, BYTES_NONE, SIZE);
    assert_true(message_memory() < before + SIZE); /* Only what has come in counts. */
    message_charge(SIZE);
    assert_true(message_memory() >= before + SIZE - 128 * 1024);
    message_ref_many(m, 3);
    message_ref(m);
    for (int i = 0; i < 4; i++)
        message_unref(m);
    assert_true(message_memory() >= before + SIZE - 128 * 1024);
    message_unref(m);
    assert_no_messages();
}

/* A body that was announced and came in part, or not at all. */
static void
test_abandoned_messages_cost_what_came(void **state)
{
    (void)state;
    for (uint64_t came = 0; came <= 1 << 20; came += 1 << 18) {
        struct message *m = message_create(BYTES_NONE, BYTES_NONE, BYTES_NONE, 1 << 20);
        message_charge((int64_t)came);
        message_abandon(m, (1 << 20) - came);
        assert_no_messages();
    }
}

static void *
make_and_drop(void *argument)
{
    struct message **shared = argument;
    for (int i = 0; i < MESSAGES; i++) {
        message_unref(message_sized(1, 1000, false));
        message_ref(*shared);
        message_unref(*shared);
    }
    return NULL;
}

static void
test_threads_share_the_account(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    struct message *shared = message_sized(1, 8, false);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, make_and_drop, &shared), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    message_unref(shared);
    assert_true(llabs((long long)message_memory()) <= (THREADS + 1) * 64 * 1024);
}

static void
test_a_record_brings_its_message_back(void **state)
{
    (void)state;
    static const struct {
        const char *exchange;
        const char *key;
        struct bytes properties;
        struct bytes body;
    } rows[] = {
        { "x", "a.b", OCTETS("\x10\0\2"), OCTETS("body") },
        { "", "queue", OCTETS("\0\0"), OCTETS("") },
        { "", "", OCTETS(""), OCTETS("\0\xff\0") },
    };
    struct buf records = { 0 };
    uint64_t due_ms[COUNT(rows)];
    for (uint32_t i = 0; i < COUNT(rows); i++) {
        struct message *m =
            message_of(rows[i].exchange, rows[i].key, rows[i].properties, rows[i].body);
        m->is_persistent = i > 0;
        m->priority = (uint8_t)(i * 100);
        const struct entry e = { .message = m,
                                 .due_ms = i == 1 ? clock_monotonic_ms() + 100000 : 0 };
        due_ms[i] = e.due_ms;
        record_append(&records, &e, i * 7, 12345);
        message_unref(m);
    }
    struct bytes rest = buf_bytes(&records);
    for (uint32_t i = 0; i < COUNT(rows); i++) {
        struct entry e = { .priority = 77 };
        const uint32_t size = load_be32(rest.data);
        assert_int_equal(load_be32(rest.data + 4), i * 7);
        struct exact record = exact_copy(bytes_of(rest.data, size));
        assert_true(record_decode(record.bytes, &e));
        struct message *m = e.message;
        exact_free(&record);
        assert_int_equal(e.due_ms, due_ms[i]);
        assert_int_equal(m->is_persistent, i > 0);
        assert_int_equal(e.priority, (uint8_t)(i * 100));
        assert_int_equal(m->priority, (uint8_t)(i * 100));
        assert_message(m, rows[i].exchange, rows[i].key, rows[i].properties, rows[i].body);
        message_unref(m);
        rest = bytes_of(rest.data + size, rest.size - size);
    }
    assert_int_equal(rest.size, 0);
    buf_fini(&records);
    assert_no_messages();
}

/* Whatever octets are taken for a record: no message, or one that lies within them. */
static void
test_what_is_no_record_is_refused(void **state)
{
    (void)state;
    struct random dice = random_start("test_what_is_no_record_is_refused");
    struct buf record = { 0 };
    struct entry e = { .priority = 5 };
    struct message *m = message_of("x", "key", BYTES_LITERAL("\0\0"), BYTES_LITERAL("some body"));
    record_append(&record, &(struct entry){ .message = m, .priority = 5 }, 0, 1);
    message_unref(m);
    for (size_t size = 0; size < record.size; size++) {
        struct exact cut = exact_copy(bytes_of(record.data, size));
        assert_false(record_decode(cut.bytes, &e));
        exact_free(&cut);
    }
    /* Names beyond the end, and a body of less than nothing that would make up for them. */
    struct exact liar = exact_copy(buf_bytes(&record));
    const uint64_t content = record.size - RECORD_HEAD_SIZE;
    liar.block[1 + 19] = 255;
    store_be64(liar.block + 1 + 24, content - 1 - 255 - 2);
    assert_false(record_decode(liar.bytes, &e));
    exact_free(&liar);
    for (int i = 0; i < 20000; i++) {
        struct exact damaged = exact_copy(buf_bytes(&record));
        for (size_t n = 1 + random_below(&dice, 3); n > 0; n--)
            damaged.block[1 + random_below(&dice, record.size)] = (uint8_t)random_next(&dice);
        m = record_decode(damaged.bytes, &e) ? e.message : NULL;
        if (m != NULL)
            message_unref(m);
        exact_free(&damaged);
    }
    buf_fini(&record);
    assert_no_messages();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_memory_goes_with_the_last_reference),
        cmocka_unit_test(test_abandoned_messages_cost_what_came),
        cmocka_unit_test(test_threads_share_the_account),
        cmocka_unit_test(test_a_record_brings_its_message_back),
        cmocka_unit_test(test_what_is_no_record_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
