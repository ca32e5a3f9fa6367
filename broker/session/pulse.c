#include "broker/session/pulse.h"

#include "broker/admin/notify.h"
#include "broker/base/clock.h"
#include "broker/base/log.h"
#include "broker/session/server.h"

#define PERIOD_MS 1000u

void
pulse_deliver(struct mail *mail)
{
    struct worker *w = LIST_CONTAINER(mail, struct worker, tick_mail);
    atomic_store_explicit(&w->ticked_ms, w->loop.now_ms, memory_order_relaxed);
    worker_shed(w);
}

static uint64_t
oldest_tick(const struct server *s)
{
    uint64_t oldest = UINT64_MAX;
    for (unsigned i = 0; i < s->worker_count; i++) {
        const uint64_t ms = atomic_load_explicit(&s->workers[i].ticked_ms, memory_order_relaxed);
        oldest = ms < oldest ? ms : oldest;
    }
    return oldest;
}

bool
pulse_is_fine(const struct server *s)
{
    return oldest_tick(s) + PULSE_STALE_MS > clock_monotonic_ms();
}

/* False when it is time to stop. */
static bool
wait_until(struct pulse *p, uint64_t due_ms)
{
    lock_acquire(&p->lock);
    while (!p->is_stopping && clock_monotonic_ms() < due_ms)
        cond_wait_until_ms(&p->wake, &p->lock, due_ms);
    const bool goes_on = !p->is_stopping;
    lock_release(&p->lock);
    return goes_on;
}

static void
beat(struct server *s, bool *was_fine)
{
    for (unsigned i = 0; i < s->worker_count; i++)
        loop_post(&s->workers[i].loop, &s->workers[i].tick_mail);
    const bool is_fine = pulse_is_fine(s);
    if (is_fine && notify_watchdog_ms() > 0)
        notify("WATCHDOG=1");
    if (is_fine != *was_fine && !is_fine)
        log_error("server.stuck",
                  "msg=\"a worker has not gone round for %u s: its connections are not served\"",
                  PULSE_STALE_MS / 1000u);
    else if (is_fine != *was_fine)
        log_warning("server.stuck", "state=off msg=\"all workers go round again\"");
    *was_fine = is_fine;
}

static void *
pulse_run(void *argument)
{
    struct server *s = argument;
    struct pulse *p = &s->pulse;
    const uint64_t watchdog_ms = notify_watchdog_ms();
    const uint64_t period_ms =
        watchdog_ms > 0 && watchdog_ms / 2 < PERIOD_MS ? watchdog_ms / 2 + 1 : PERIOD_MS;
    bool was_fine = true;
    pthread_setname_np(pthread_self(), "pulse");
    do
        beat(s, &was_fine);
    while (wait_until(p, clock_monotonic_ms() + period_ms));
    return NULL;
}

void
pulse_start(struct server *s)
{
    struct pulse *p = &s->pulse;
    for (unsigned i = 0; i < s->worker_count; i++)
        atomic_store(&s->workers[i].ticked_ms, clock_monotonic_ms());
    lock_init(&p->lock);
    cond_init(&p->wake);
    const int error = pthread_create(&p->thread, NULL, pulse_run, s);
    if (error != 0)
        PANIC("cannot start the pulse: error %d; raise the limit of threads", error);
}

void
pulse_stop(struct server *s)
{
    struct pulse *p = &s->pulse;
    lock_acquire(&p->lock);
    p->is_stopping = true;
    pthread_cond_signal(&p->wake);
    lock_release(&p->lock);
    pthread_join(p->thread, NULL);
    pthread_cond_destroy(&p->wake);
    lock_fini(&p->lock);
}
