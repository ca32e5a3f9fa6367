#include "broker/perf/perf.h"

#include "broker/base/clock.h"
#include "broker/base/mem.h"
#include "broker/perf/perf_run.h"

#include <signal.h>
#include <sysexits.h>

static struct perf_cpu
group_cpu(const struct perf_group *g)
{
    struct perf_cpu sum = { 0 };
    for (uint32_t i = 0; i < g->count; i++) {
        sum.user_s += (double)g->workers[i].user_us / 1e6;
        sum.system_s += (double)g->workers[i].system_us / 1e6;
    }
    return sum;
}

/* What was published, should have come and did not. */
static uint64_t
run_missing(const struct perf_run *r, const struct perf_result *result)
{
    const uint64_t expected = perf_run_expected(r, &result->totals.produced);
    const uint64_t other = result->order.duplicates + result->order.foreign;
    const uint64_t consumed = result->totals.consumed.consumed;
    const uint64_t own = consumed > other ? consumed - other : 0;
    return expected > own ? expected - own : 0;
}

static void
run_report(const struct perf_run *r, enum perf_end end, double time_s)
{
    const struct perf_options *o = r->options;
    struct perf_result *result = mem_alloc_zeroed(sizeof(*result));
    const struct perf_cpu cpu = perf_cpu_now();
    *result = (struct perf_result){
        .options = o,
        .id = r->id,
        .time_s = time_s,
        .accounted = end == PERF_END_COMPLETE && o->producers > 0 && o->consumers > 0 &&
                     o->consumer_messages == 0,
        .producers = group_cpu(&r->producing),
        .consumers = group_cpu(&r->consuming),
        .process = { cpu.user_s - r->cpu_before.user_s, cpu.system_s - r->cpu_before.system_s },
        .failure = end == PERF_END_FAILED ? r->shared.failure.text : NULL,
    };
    perf_run_sum(r, &result->totals);
    for (uint32_t i = 0; i < o->consumers; i++)
        perf_consumer_sum(r->consumers[i], &result->order);
    if (result->accounted)
        result->missing = run_missing(r, result);
    perf_report_summary(o->json ? stderr : stdout, result);
    if (o->json)
        perf_report_json(stdout, result);
    mem_free(result);
}

static int
run_all(const struct perf_options *o)
{
    struct perf_run run;
    struct perf_error error = { "" };
    const bool started = perf_run_prepare(&run, o, &error) && perf_run_start(&run, &error);
    enum perf_end end = PERF_END_FAILED;
    if (started) {
        end = perf_watch(&run, o->json ? stderr : stdout);
        const uint64_t stopped_ns = clock_monotonic_ns();
        perf_run_stop(&run);
        run_report(&run, end, (double)(stopped_ns - run.shared.start_ns) / 1e9);
        if (end == PERF_END_FAILED)
            error = run.shared.failure;
    } else {
        perf_run_stop(&run);
    }
    if (end == PERF_END_FAILED)
        fprintf(stderr, "railmq perf: %s\n", error.text);
    perf_run_close(&run);
    return end == PERF_END_FAILED ? 1 : 0;
}

int
perf_main(int argc, char **argv)
{
    struct perf_options options;
    struct perf_error error = { "" };
    if (!perf_options_parse(argc, argv, &options, &error)) {
        fprintf(stderr, "railmq perf: %s\n", error.text);
        return EX_USAGE;
    }
    if (options.help) {
        perf_options_print_help(stdout);
        return 0;
    }
    signal(SIGPIPE, SIG_IGN);
    return run_all(&options);
}
