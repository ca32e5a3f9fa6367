#include "broker/perf/perf_run.h"

#include "broker/base/clock.h"
#include "broker/base/mem.h"

#include <poll.h>
#include <sys/eventfd.h>

#define NS_PER_S 1000000000ull
#define NS_PER_MS 1000000ull
#define FINISH_NS (5 * NS_PER_S) /* For producers: confirms of what is sent. */
#define DRAIN_NS (5 * NS_PER_S)  /* For consumers: what is still in the broker. */
#define DRAIN_LOOK_NS (5 * NS_PER_MS)

enum phase {
    PHASE_RUNNING,
    PHASE_FINISHING, /* Producers publish no more and wait for confirms. */
    PHASE_DRAINING,  /* Consumers take what is left. */
    PHASE_OVER,
};

struct watch {
    struct perf_run *run;
    FILE *out;
    enum phase phase;
    uint64_t begin_ns;
    uint64_t reported_ns;
    uint64_t phase_by_ns; /* When the phase ends at the latest; PERF_NEVER. */
    uint64_t progress;    /* Messages consumed when last looked at while draining. */
    bool interrupted;
    struct perf_totals *before;
    struct perf_totals *now;
};

static uint64_t
watch_next_report(const struct watch *w)
{
    const uint64_t interval_ns = w->run->options->interval_s * NS_PER_S;
    return interval_ns > 0 ? w->reported_ns + interval_ns : PERF_NEVER;
}

/* Reports keep their schedule even if one comes late. */
static void
watch_report(struct watch *w, uint64_t now_ns, uint64_t *last_ns)
{
    const struct perf_options *o = w->run->options;
    if (now_ns < watch_next_report(w))
        return;
    const uint64_t interval_ns = o->interval_s * NS_PER_S;
    w->reported_ns += (now_ns - w->reported_ns) / interval_ns * interval_ns;
    perf_run_sum(w->run, w->now);
    perf_report_interval(w->out, o, w->run->id, w->now, w->before,
                         (double)(now_ns - w->begin_ns) / 1e9, (double)(now_ns - *last_ns) / 1e9);
    *last_ns = now_ns;
}

static bool
watch_is_drained(struct watch *w, uint64_t now_ns)
{
    const struct perf_options *o = w->run->options;
    perf_run_sum(w->run, w->now);
    const uint64_t consumed = w->now->consumed.consumed;
    if (consumed >= perf_run_expected(w->run, &w->now->produced))
        return true;
    /* With a number of messages given, consumers may take as long as they get anywhere. */
    if (o->producer_messages > 0 && o->time_s == 0 && consumed > w->progress)
        w->phase_by_ns = now_ns + DRAIN_NS;
    w->progress = consumed;
    return perf_group_is_finished(&w->run->consuming);
}

static void
watch_move(struct watch *w, enum phase phase, uint64_t by_ns)
{
    w->phase = phase;
    w->phase_by_ns = by_ns;
}

/* Moves on to the next phase if its time has come. True if it did. */
static bool
watch_step(struct watch *w, uint64_t now_ns)
{
    const struct perf_options *o = w->run->options;
    const bool late = now_ns >= w->phase_by_ns;
    const bool sent = perf_group_is_finished(&w->run->producing);
    const bool received = perf_group_is_finished(&w->run->consuming);
    switch (w->phase) {
    case PHASE_RUNNING:
        if (!late && !(o->producers > 0 && sent) && !(o->consumers > 0 && received))
            return false;
        perf_group_command(&w->run->producing, PERF_COMMAND_STOP);
        watch_move(w, PHASE_FINISHING, now_ns + FINISH_NS);
        return true;
    case PHASE_FINISHING:
        if (!late && !sent)
            return false;
        watch_move(w, PHASE_DRAINING, now_ns + DRAIN_NS);
        return true;
    case PHASE_DRAINING:
        if (o->producers > 0 && o->consumers > 0 && !late && !watch_is_drained(w, now_ns))
            return false;
        watch_move(w, PHASE_OVER, PERF_NEVER);
        return true;
    case PHASE_OVER:
        return false;
    }
    return false;
}

/* Sleeps until something happens or is due. */
static void
watch_wait(struct watch *w)
{
    struct perf_run *r = w->run;
    struct pollfd fds[2] = { { .fd = r->shared.event_fd, .events = POLLIN },
                             { .fd = r->signal_fd, .events = POLLIN } };
    const uint64_t now = clock_monotonic_ns();
    uint64_t until = watch_next_report(w);
    if (w->phase_by_ns < until)
        until = w->phase_by_ns;
    if (w->phase == PHASE_DRAINING && now + DRAIN_LOOK_NS < until)
        until = now + DRAIN_LOOK_NS;
    int timeout_ms = -1;
    if (until != PERF_NEVER)
        timeout_ms = until > now ? (int)((until - now + NS_PER_MS - 1) / NS_PER_MS) : 0;
    poll(fds, 2, timeout_ms);
    w->interrupted = fds[1].revents & POLLIN;
    if (fds[0].revents & POLLIN) {
        eventfd_t ignored;
        eventfd_read(r->shared.event_fd, &ignored);
    }
}

enum perf_end
perf_watch(struct perf_run *r, FILE *out)
{
    const uint64_t begin = r->shared.start_ns;
    const uint32_t time_s = r->options->time_s;
    struct watch w = {
        .run = r,
        .out = out,
        .begin_ns = begin,
        .reported_ns = begin,
        .phase_by_ns = time_s > 0 ? begin + time_s * NS_PER_S : PERF_NEVER,
        .before = mem_alloc_zeroed(sizeof(*w.before)),
        .now = mem_alloc_zeroed(sizeof(*w.now)),
    };
    uint64_t last_ns = begin;
    bool failed = false;
    while (w.phase != PHASE_OVER && !w.interrupted && !failed) {
        watch_wait(&w);
        const uint64_t now = clock_monotonic_ns();
        watch_report(&w, now, &last_ns);
        while (watch_step(&w, now))
            continue;
        failed = __atomic_load_n(&r->shared.failed, __ATOMIC_ACQUIRE);
    }
    mem_free(w.before);
    mem_free(w.now);
    if (failed)
        return PERF_END_FAILED;
    return w.interrupted ? PERF_END_INTERRUPTED : PERF_END_COMPLETE;
}
