#include "broker/perf/perf_run.h"

#include "broker/base/clock.h"
#include "broker/base/mem.h"
#include "broker/base/rand.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#define SUBSCRIBE_TIMEOUT_MS 30000

struct perf_cpu
perf_cpu_now(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (struct perf_cpu){
        .user_s = (double)usage.ru_utime.tv_sec + (double)usage.ru_utime.tv_usec / 1e6,
        .system_s = (double)usage.ru_stime.tv_sec + (double)usage.ru_stime.tv_usec / 1e6,
    };
}

static void
run_name(struct perf_run *r)
{
    if (r->options->id != NULL) {
        snprintf(r->id, sizeof(r->id), "%s", r->options->id);
        return;
    }
    const time_t now = (time_t)(clock_wall_us() / 1000000u);
    struct tm local;
    localtime_r(&now, &local);
    strftime(r->id, sizeof(r->id), "perf-%H%M%S", &local);
}

static void
raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static bool
group_init(struct perf_run *r, struct perf_group *g, const struct perf_role *role, uint32_t threads,
           struct perf_error *error)
{
    g->workers = mem_alloc_zeroed(threads * sizeof(*g->workers));
    for (; g->count < threads; g->count++) {
        if (!perf_worker_init(&g->workers[g->count], &r->shared, role, error))
            return false;
    }
    return true;
}

static uint32_t
threads_for(const struct perf_run *r, uint32_t connections)
{
    return connections < r->options->threads ? connections : r->options->threads;
}

/* The next connection, logged in. NULL on failure. */
static struct perf_connection *
run_connect(struct perf_run *r, const char *role, uint32_t index, struct perf_error *error)
{
    char name[128];
    snprintf(name, sizeof(name), "%s-%s-%u", r->id, role, index);
    struct perf_connection *c = &r->connections[r->connection_count];
    if (!perf_connection_open(c, &r->broker, name, error))
        return NULL;
    r->connection_count++;
    return c;
}

static bool
run_connect_producers(struct perf_run *r, struct perf_error *error)
{
    const struct perf_options *o = r->options;
    const uint32_t threads = threads_for(r, o->producers);
    if (!group_init(r, &r->producing, &perf_role_producer, threads, error))
        return false;
    for (uint32_t i = 0; i < o->producers; i++) {
        struct perf_connection *c = run_connect(r, "producer", i, error);
        if (c == NULL)
            return false;
        r->producers[i] = perf_producer_create(&r->producing.workers[i % threads], c,
                                               i * o->producer_channels, error);
        if (r->producers[i] == NULL)
            return false;
    }
    return true;
}

static bool
run_connect_consumers(struct perf_run *r, struct perf_error *error)
{
    const struct perf_options *o = r->options;
    const uint32_t threads = threads_for(r, o->consumers);
    if (!group_init(r, &r->consuming, &perf_role_consumer, threads, error))
        return false;
    for (uint32_t i = 0; i < o->consumers; i++) {
        struct perf_connection *c = run_connect(r, "consumer", i, error);
        if (c == NULL)
            return false;
        r->consumers[i] = perf_consumer_create(&r->consuming.workers[i % threads], c,
                                               i * o->consumer_channels, error);
        if (r->consumers[i] == NULL)
            return false;
    }
    return true;
}

static bool
run_connect_idle(struct perf_run *r, struct perf_error *error)
{
    const uint32_t count = r->options->idle_connections;
    if (!group_init(r, &r->idling, &perf_role_idle, count > 0 ? 1 : 0, error))
        return false;
    r->idle = mem_alloc_zeroed(count * sizeof(*r->idle));
    for (uint32_t i = 0; i < count; i++) {
        struct perf_connection *c = run_connect(r, "idle", i, error);
        if (c == NULL || !perf_connection_open_channel(c, 1, error))
            return false;
        perf_link_init(&r->idle[i], &r->idling.workers[0], c);
    }
    return true;
}

static void
run_init(struct perf_run *r, const struct perf_options *o)
{
    uint64_t tag;
    rand_bytes(&tag, sizeof(tag));
    *r = (struct perf_run){ .options = o, .signal_fd = -1 };
    run_name(r);
    r->shared = (struct perf_shared){
        .options = o,
        .topology = &r->topology,
        .run_tag = 1 + tag % ((1u << PERF_STAMP_RUN_BITS) - 1),
        .wall_minus_monotonic_ns = clock_wall_us() * 1000 - clock_monotonic_ns(),
        .event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
    };
    lock_init(&r->shared.lock);
    const size_t connections = (size_t)o->producers + o->consumers + o->idle_connections;
    r->connections = mem_alloc_zeroed(connections * sizeof(*r->connections));
    r->producers = mem_alloc_zeroed(o->producers * sizeof(struct perf_producer *));
    r->consumers = mem_alloc_zeroed(o->consumers * sizeof(struct perf_consumer *));
}

bool
perf_run_prepare(struct perf_run *r, const struct perf_options *o, struct perf_error *error)
{
    run_init(r, o);
    raise_file_limit();
    if (r->shared.event_fd < 0)
        return perf_error_set(error, "cannot create an eventfd: %s", strerror(errno));
    return perf_topology_init(&r->topology, o, error) && perf_broker_init(&r->broker, o, error) &&
           perf_topology_declare(&r->topology, &r->broker, error) && run_connect_idle(r, error) &&
           run_connect_consumers(r, error) && run_connect_producers(r, error);
}

static bool
run_take_signals(struct perf_run *r, struct perf_error *error)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &set, NULL); /* Threads started from here on inherit it. */
    r->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return r->signal_fd >= 0 ||
           perf_error_set(error, "cannot create a signalfd: %s", strerror(errno));
}

static bool
group_start(const struct perf_group *g, struct perf_error *error)
{
    for (uint32_t i = 0; i < g->count; i++) {
        if (!perf_worker_start(&g->workers[i], error))
            return false;
    }
    return true;
}

static bool
run_is_subscribed(const struct perf_run *r)
{
    for (uint32_t i = 0; i < r->options->consumers; i++) {
        if (!perf_consumer_is_subscribed(r->consumers[i]))
            return false;
    }
    return true;
}

/* Waits until no message can be published before there is a consumer for it. */
static bool
run_await_subscriptions(struct perf_run *r, struct perf_error *error)
{
    const uint64_t deadline = clock_monotonic_ms() + SUBSCRIBE_TIMEOUT_MS;
    while (!run_is_subscribed(r)) {
        struct pollfd fds[2] = { { .fd = r->shared.event_fd, .events = POLLIN },
                                 { .fd = r->signal_fd, .events = POLLIN } };
        if (__atomic_load_n(&r->shared.failed, __ATOMIC_ACQUIRE))
            return perf_error_set(error, "%s", r->shared.failure.text);
        if (clock_monotonic_ms() >= deadline)
            return perf_error_set(error, "no answer to basic.consume within %d s",
                                  SUBSCRIBE_TIMEOUT_MS / 1000);
        poll(fds, 2, 1000);
        if (fds[1].revents & POLLIN)
            return perf_error_set(error, "interrupted");
        eventfd_t ignored;
        eventfd_read(r->shared.event_fd, &ignored);
    }
    return true;
}

bool
perf_run_start(struct perf_run *r, struct perf_error *error)
{
    if (!run_take_signals(r, error))
        return false;
    r->cpu_before = perf_cpu_now();
    if (!group_start(&r->idling, error) || !group_start(&r->consuming, error) ||
        !run_await_subscriptions(r, error))
        return false;
    r->shared.start_ns = clock_monotonic_ns();
    return group_start(&r->producing, error);
}

void
perf_group_command(const struct perf_group *g, enum perf_command command)
{
    for (uint32_t i = 0; i < g->count; i++)
        perf_worker_command(&g->workers[i], command);
}

bool
perf_group_is_finished(const struct perf_group *g)
{
    for (uint32_t i = 0; i < g->count; i++) {
        if (!__atomic_load_n(&g->workers[i].finished, __ATOMIC_ACQUIRE))
            return false;
    }
    return true;
}

static void
group_stop(const struct perf_group *g)
{
    perf_group_command(g, PERF_COMMAND_QUIT);
    for (uint32_t i = 0; i < g->count; i++)
        perf_worker_join(&g->workers[i]);
}

void
perf_run_stop(struct perf_run *r)
{
    group_stop(&r->producing);
    group_stop(&r->consuming);
    group_stop(&r->idling);
}

void
perf_run_sum(const struct perf_run *r, struct perf_totals *t)
{
    *t = (struct perf_totals){ 0 };
    perf_totals_add_producers(t, r->producing.workers, r->producing.count);
    perf_totals_add_consumers(t, r->consuming.workers, r->consuming.count);
}

uint64_t
perf_run_expected(const struct perf_run *r, const struct perf_counters *produced)
{
    const uint64_t refused = produced->nacked + produced->returned;
    const uint64_t sent = produced->published > refused ? produced->published - refused : 0;
    return r->topology.spread ? sent * r->topology.queue_count : sent;
}

static void
group_fini(struct perf_group *g)
{
    for (uint32_t i = 0; i < g->count; i++)
        perf_worker_fini(&g->workers[i]);
    mem_free(g->workers);
    *g = (struct perf_group){ 0 };
}

void
perf_run_close(struct perf_run *r)
{
    for (uint32_t i = 0; i < r->connection_count; i++)
        perf_connection_say_close(&r->connections[i]);
    for (uint32_t i = 0; i < r->connection_count; i++)
        perf_connection_await_close(&r->connections[i]);
    if (r->broker.addresses != NULL)
        perf_topology_remove(&r->topology, &r->broker);
    for (uint32_t i = 0; i < r->options->producers; i++)
        perf_producer_destroy(r->producers[i]);
    for (uint32_t i = 0; i < r->options->consumers; i++)
        perf_consumer_destroy(r->consumers[i]);
    group_fini(&r->producing);
    group_fini(&r->consuming);
    group_fini(&r->idling);
    perf_topology_fini(&r->topology);
    perf_broker_fini(&r->broker);
    mem_free(r->idle);
    mem_free(r->producers);
    mem_free(r->consumers);
    mem_free(r->connections);
    lock_fini(&r->shared.lock);
    if (r->signal_fd >= 0)
        close(r->signal_fd);
    if (r->shared.event_fd >= 0)
        close(r->shared.event_fd);
}
