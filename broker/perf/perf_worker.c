#include "broker/perf/perf_worker.h"

#include "broker/base/clock.h"
#include "broker/base/mem.h"
#include "broker/perf/perf_link.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#define EVENTS_MAX 256
#define NS_PER_S 1000000000ull

void
perf_shared_wake(const struct perf_shared *s)
{
    const ssize_t written = eventfd_write(s->event_fd, 1);
    (void)written; /* It only fails when the main thread has plenty of wake-ups already. */
}

void
perf_shared_fail(struct perf_shared *s, const char *text)
{
    lock_acquire(&s->lock);
    if (!s->failed) {
        perf_error_set(&s->failure, "%s", text);
        __atomic_store_n(&s->failed, true, __ATOMIC_RELEASE);
    }
    lock_release(&s->lock);
    perf_shared_wake(s);
}

bool
perf_worker_init(struct perf_worker *w, struct perf_shared *shared, const struct perf_role *role,
                 struct perf_error *error)
{
    *w = (struct perf_worker){
        .shared = shared,
        .role = role,
        .tick_at_ns = PERF_NEVER,
        .beat_at_ns = PERF_NEVER,
        .epoll_fd = epoll_create1(EPOLL_CLOEXEC),
        .wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
    };
    list_init(&w->active);
    struct epoll_event event = { .events = EPOLLIN };
    if (w->epoll_fd < 0 || w->wake_fd < 0 ||
        epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, w->wake_fd, &event) != 0) {
        perf_worker_fini(w);
        return perf_error_set(error, "cannot prepare a thread: %s", strerror(errno));
    }
    w->input = mem_alloc(PERF_INPUT_SIZE);
    return true;
}

void
perf_worker_fini(struct perf_worker *w)
{
    ASSERT(!w->started);
    if (w->epoll_fd >= 0)
        close(w->epoll_fd);
    if (w->wake_fd >= 0)
        close(w->wake_fd);
    mem_free(w->links);
    mem_free(w->input);
    transport_scratch_fini(&w->tls_scratch);
    w->links = NULL;
    w->input = NULL;
}

void
perf_worker_add(struct perf_worker *w, struct perf_link *link)
{
    ASSERT(!w->started);
    if (w->link_count == w->link_capacity) {
        w->link_capacity = w->link_capacity == 0 ? 8 : w->link_capacity * 2;
        w->links = mem_resize(w->links, w->link_capacity * sizeof(struct perf_link *));
    }
    w->links[w->link_count++] = link;
    w->unfinished++;
}

static void
worker_activate(struct perf_worker *w, struct perf_link *link)
{
    if (!list_is_linked(&link->active))
        list_push(&w->active, &link->active);
}

static void
worker_activate_all(struct perf_worker *w)
{
    for (uint32_t i = 0; i < w->link_count; i++)
        worker_activate(w, w->links[i]);
}

static void
worker_finish_link(struct perf_worker *w, struct perf_link *link)
{
    if (link->counted)
        return;
    link->counted = true;
    ASSERT(w->unfinished > 0);
    w->unfinished--;
    if (w->unfinished > 0)
        return;
    __atomic_store_n(&w->finished, true, __ATOMIC_RELEASE);
    perf_shared_wake(w->shared);
}

static void
worker_pump(struct perf_worker *w, uint64_t now_ns)
{
    if (now_ns >= w->tick_at_ns) {
        w->tick_at_ns = PERF_NEVER;
        worker_activate_all(w);
    }
    LIST_FOREACH (entry, &w->active) {
        struct perf_link *link = LIST_CONTAINER(entry, struct perf_link, active);
        const bool more = !link->failed && w->role->pump(link, now_ns);
        if (!more)
            list_unlink(&link->active);
        if (link->finished)
            worker_finish_link(w, link);
    }
}

static void
worker_beat(struct perf_worker *w, uint64_t now_ns)
{
    const uint64_t heartbeat_ns = w->shared->options->heartbeat_s * NS_PER_S;
    for (uint32_t i = 0; i < w->link_count; i++)
        perf_link_beat(w->links[i], now_ns, heartbeat_ns);
    w->beat_at_ns = now_ns + heartbeat_ns / 2;
}

static int
worker_wait(struct perf_worker *w, struct epoll_event *events)
{
    uint64_t until = w->tick_at_ns < w->beat_at_ns ? w->tick_at_ns : w->beat_at_ns;
    if (!list_is_empty(&w->active))
        until = 0;
    if (until == PERF_NEVER)
        return epoll_wait(w->epoll_fd, events, EVENTS_MAX, -1);
    const uint64_t now = until == 0 ? 0 : clock_monotonic_ns();
    const uint64_t wait_ns = until > now ? until - now : 0;
    const struct timespec timeout = { (time_t)(wait_ns / NS_PER_S), (long)(wait_ns % NS_PER_S) };
    return epoll_pwait2(w->epoll_fd, events, EVENTS_MAX, &timeout, NULL);
}

static void
worker_take_events(struct perf_worker *w, const struct epoll_event *events, int count)
{
    for (int i = 0; i < count; i++) {
        struct perf_link *link = events[i].data.ptr;
        if (link == NULL) {
            eventfd_t ignored;
            eventfd_read(w->wake_fd, &ignored);
            worker_activate_all(w);
            continue;
        }
        if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR | EPOLLRDHUP))
            link->readable = true;
        if (events[i].events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
            link->writable = true;
        worker_activate(w, link);
    }
}

static bool
worker_begin(struct perf_worker *w)
{
    for (uint32_t i = 0; i < w->link_count; i++) {
        struct perf_link *link = w->links[i];
        struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                     .data.ptr = link };
        if (epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, link->connection->fd, &event) != 0)
            return false;
        if (w->role->start != NULL)
            w->role->start(link);
        worker_activate(w, link);
    }
    if (w->shared->options->heartbeat_s > 0)
        worker_beat(w, clock_monotonic_ns());
    return true;
}

static void
worker_end(struct perf_worker *w)
{
    for (uint32_t i = 0; i < w->link_count; i++) {
        if (w->role->finish != NULL && !w->links[i]->failed)
            w->role->finish(w->links[i]);
        perf_link_release(w->links[i]);
    }
    struct rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    w->user_us = (uint64_t)usage.ru_utime.tv_sec * 1000000u + (uint64_t)usage.ru_utime.tv_usec;
    w->system_us = (uint64_t)usage.ru_stime.tv_sec * 1000000u + (uint64_t)usage.ru_stime.tv_usec;
}

static void *
worker_main(void *argument)
{
    struct perf_worker *w = argument;
    struct epoll_event events[EVENTS_MAX];
    prctl(PR_SET_TIMERSLACK, 1000ul); /* ns; the default of 50 us would blur the due times. */
    if (!worker_begin(w))
        perf_shared_fail(w->shared, "cannot watch a connection: out of kernel memory");
    while (perf_worker_commanded(w) != PERF_COMMAND_QUIT) {
        uint64_t now = clock_monotonic_ns();
        if (now >= w->beat_at_ns)
            worker_beat(w, now);
        worker_pump(w, now);
        worker_take_events(w, events, worker_wait(w, events));
    }
    worker_end(w);
    return NULL;
}

bool
perf_worker_start(struct perf_worker *w, struct perf_error *error)
{
    const int code = pthread_create(&w->thread, NULL, worker_main, w);
    if (code != 0)
        return perf_error_set(error, "cannot start a thread: %s", strerror(code));
    w->started = true;
    return true;
}

void
perf_worker_command(struct perf_worker *w, enum perf_command command)
{
    __atomic_store_n(&w->command, command, __ATOMIC_RELAXED);
    const int written = eventfd_write(w->wake_fd, 1);
    (void)written;
}

void
perf_worker_join(struct perf_worker *w)
{
    if (!w->started)
        return;
    pthread_join(w->thread, NULL);
    w->started = false;
}
