#include "broker/perf/perf_topology.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct perf_options
options_of(uint32_t producers, uint32_t queues)
{
    return (struct perf_options){
        .producers = producers,
        .producer_channels = 1,
        .exchange = "",
        .type = "direct",
        .queue_pattern = "q-%03d",
        .queue_from = 1,
        .queue_to = queues,
    };
}

static void
test_pattern_names_queues(void **state)
{
    (void)state;
    const struct perf_options o = options_of(1, 12);
    struct perf_topology t;
    struct perf_error error = { "" };
    assert_true(perf_topology_init(&t, &o, &error));
    assert_int_equal(t.queue_count, 12);
    assert_string_equal(t.queues[0], "q-001");
    assert_string_equal(t.queues[11], "q-012");
    assert_string_equal(perf_topology_key(&t, &o, 3), "q-004");
    perf_topology_fini(&t);
}

static void
test_bad_patterns_are_refused(void **state)
{
    (void)state;
    static const char *const patterns[] = { "q", "q-%s", "q-%", "q-%99999d", "%n" };
    for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
        struct perf_options o = options_of(1, 2);
        struct perf_topology t;
        struct perf_error error = { "" };
        o.queue_pattern = patterns[i];
        assert_false(perf_topology_init(&t, &o, &error));
        assert_string_not_equal(error.text, "");
    }
}

/* Whatever the numbers, every queue is used, and by as many channels as is said. */
static void
test_shares_cover_all_queues(void **state)
{
    (void)state;
    for (uint32_t producers = 1; producers <= 7; producers++) {
        for (uint32_t queues = 1; queues <= 7; queues++) {
            const struct perf_options o = options_of(producers, queues);
            struct perf_topology t;
            struct perf_error error = { "" };
            uint32_t writers[7] = { 0 };
            assert_true(perf_topology_init(&t, &o, &error));
            for (uint32_t p = 0; p < producers; p++) {
                const struct perf_share s = perf_topology_routes(&t, p);
                for (uint32_t i = 0; i < s.count; i++) {
                    const uint32_t queue = s.first + i * s.step;
                    assert_true(queue < queues);
                    assert_int_equal(perf_topology_writer_place(&t, queue, p), writers[queue]);
                    writers[queue]++;
                }
            }
            for (uint32_t q = 0; q < queues; q++) {
                assert_true(writers[q] > 0);
                assert_int_equal(perf_topology_writers(&t, q), writers[q]);
                assert_int_equal(perf_topology_writer_place(&t, q, producers), UINT32_MAX);
            }
            perf_topology_fini(&t);
        }
    }
}

static void
test_fanout_gives_every_queue_all_producers(void **state)
{
    (void)state;
    struct perf_options o = options_of(3, 4);
    struct perf_topology t;
    struct perf_error error = { "" };
    o.exchange = "x";
    o.type = "fanout";
    assert_true(perf_topology_init(&t, &o, &error));
    assert_true(t.spread);
    assert_int_equal(perf_topology_routes(&t, 2).count, 1);
    assert_int_equal(perf_topology_writers(&t, 3), 3);
    assert_int_equal(perf_topology_writer_place(&t, 3, 2), 2);
    perf_topology_fini(&t);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pattern_names_queues),
        cmocka_unit_test(test_bad_patterns_are_refused),
        cmocka_unit_test(test_shares_cover_all_queues),
        cmocka_unit_test(test_fanout_gives_every_queue_all_producers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
