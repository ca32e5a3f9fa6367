#ifndef BROKER_PERF_PERF_WORKER_H
#define BROKER_PERF_PERF_WORKER_H

/*
 * A thread and the connections it drives, all of one role: producers, consumers or idle ones. It
 * sleeps in epoll until a socket is ready, its own next tick is due, or the main thread commands
 * something. What it counts the main thread may read at any time (relaxed atomics, one writer).
 *
 * Main creates workers, fills them with links, starts and stops them; in between only the thread
 * itself touches anything but `command`, `finished` and the counters.
 */

#include "broker/base/list.h"
#include "broker/base/lock.h"
#include "broker/perf/histogram.h"
#include "broker/perf/perf_topology.h"

#include <pthread.h>

#include "certs/transport.h"

#define PERF_INPUT_SIZE (256u << 10)
#define PERF_NEVER UINT64_MAX

struct perf_link;
struct perf_role;

/* What all threads of a run share. Constant while they run, but for the failure. */
struct perf_shared {
    const struct perf_options *options;
    const struct perf_topology *topology;
    uint64_t run_tag; /* Tells our messages from those of other runs; see perf_stamp.h. */
    uint64_t wall_minus_monotonic_ns;
    uint64_t start_ns;         /* Producers count their due times from here. */
    int event_fd;              /* Wakes the main thread. */
    struct lock lock;          /* For the failure. */
    bool failed;               /* Atomic. */
    struct perf_error failure; /* The first one. */
};

enum perf_command {
    PERF_COMMAND_RUN,
    PERF_COMMAND_STOP, /* Producers: nothing new, but complete what is open. */
    PERF_COMMAND_QUIT,
};

struct perf_counters {
    uint64_t published;
    uint64_t confirmed;
    uint64_t nacked;
    uint64_t returned;
    uint64_t unexpected; /* Confirms for what was not open. */
    uint64_t consumed;
    uint64_t redelivered;
    uint64_t foreign;  /* Consumed, but not published by this run. */
    uint64_t first_ns; /* First and last message published or consumed. */
    uint64_t last_ns;
    uint64_t settled_ns; /* Last ack or nack. */
};

struct perf_worker {
    struct perf_shared *shared;
    const struct perf_role *role;
    pthread_t thread;
    bool started;
    int epoll_fd;
    int wake_fd;
    struct perf_link **links;
    uint32_t link_count;
    uint32_t link_capacity;
    struct list active;  /* Links with something to do now. */
    uint64_t tick_at_ns; /* When all links are to be looked at. */
    uint64_t beat_at_ns; /* When heartbeats are due; PERF_NEVER without. */
    uint32_t unfinished;
    uint8_t *input; /* PERF_INPUT_SIZE octets for whichever link reads. */
    struct transport_scratch tls_scratch;
    enum perf_command command; /* Atomic. */
    bool finished;             /* Atomic: each link has done all it was to do. */
    struct perf_counters counters;
    struct histogram latency; /* Consumers: end to end; producers: confirms. */
    /* Of the thread, once it has ended. */
    uint64_t user_us;
    uint64_t system_us;
};

bool perf_worker_init(struct perf_worker *w, struct perf_shared *shared,
                      const struct perf_role *role, struct perf_error *error);
/* The thread must have ended; the links are their owner's business. */
void perf_worker_fini(struct perf_worker *w);

/* Before the start. */
void perf_worker_add(struct perf_worker *w, struct perf_link *link);

bool perf_worker_start(struct perf_worker *w, struct perf_error *error);
void perf_worker_command(struct perf_worker *w, enum perf_command command);
/* Waits for the end of the thread; it must have been told to quit. */
void perf_worker_join(struct perf_worker *w);

static inline enum perf_command
perf_worker_commanded(const struct perf_worker *w)
{
    return __atomic_load_n(&w->command, __ATOMIC_RELAXED);
}

/* Asks for a look at all links at that time or earlier. */
static inline void
perf_worker_tick(struct perf_worker *w, uint64_t at_ns)
{
    if (at_ns < w->tick_at_ns)
        w->tick_at_ns = at_ns;
}

static inline void
perf_counter_set(uint64_t *counter, uint64_t value)
{
    __atomic_store_n(counter, value, __ATOMIC_RELAXED);
}

static inline void
perf_counter_add(uint64_t *counter, uint64_t value)
{
    __atomic_store_n(counter, *counter + value, __ATOMIC_RELAXED);
}

static inline uint64_t
perf_counter_get(const uint64_t *counter)
{
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

/* Records the failure of the run, unless there is one, and wakes the main thread. Any thread. */
void perf_shared_fail(struct perf_shared *s, const char *text);

void perf_shared_wake(const struct perf_shared *s);

#endif
