#include "broker/net/loop.h"

#include "broker/base/clock.h"
#include "broker/base/mem.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define EVENTS_A_TURN 256

static void
wake_ready(struct loop_source *source, uint32_t events)
{
    (void)events;
    uint64_t count;
    const ssize_t got = read(source->fd, &count, sizeof(count));
    (void)got; /* The counter's value says nothing; the mailbox does. */
}

bool
loop_init(struct loop *l)
{
    *l = (struct loop){ .epoll_fd = epoll_create1(EPOLL_CLOEXEC), .wake_fd = -1 };
    if (l->epoll_fd < 0)
        return false;
    l->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    lock_init(&l->mailbox_lock);
    list_init(&l->mailbox);
    l->now_ms = clock_monotonic_ms();
    l->wake_source = (struct loop_source){ .fd = l->wake_fd, .ready = wake_ready };
    if (l->wake_fd >= 0 && loop_watch(l, &l->wake_source, EPOLLIN))
        return true;
    const int error = errno;
    loop_fini(l);
    errno = error;
    return false;
}

void
loop_fini(struct loop *l)
{
    if (l->wake_fd >= 0)
        close(l->wake_fd);
    close(l->epoll_fd);
    mem_free(l->timers);
    lock_fini(&l->mailbox_lock);
}

bool
loop_watch(struct loop *l, struct loop_source *source, uint32_t events)
{
    struct epoll_event event = { .events = events, .data.ptr = source };
    return epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, source->fd, &event) == 0;
}

void
loop_rewatch(struct loop *l, struct loop_source *source, uint32_t events)
{
    struct epoll_event event = { .events = events, .data.ptr = source };
    const int error = epoll_ctl(l->epoll_fd, EPOLL_CTL_MOD, source->fd, &event);
    ASSERT(error == 0);
}

void
loop_unwatch(struct loop *l, struct loop_source *source)
{
    const int error = epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
    ASSERT(error == 0);
}

/* Heap places are 1-based: children of i are 2i and 2i+1. */
static void
heap_set(struct loop *l, size_t place, struct timer *timer)
{
    l->timers[place - 1] = timer;
    timer->heap_place = (uint32_t)place;
}

static void
heap_rise(struct loop *l, size_t place, struct timer *timer)
{
    while (place > 1 && l->timers[place / 2 - 1]->due_ms > timer->due_ms) {
        heap_set(l, place, l->timers[place / 2 - 1]);
        place /= 2;
    }
    heap_set(l, place, timer);
}

static void
heap_sink(struct loop *l, size_t place, struct timer *timer)
{
    for (;;) {
        size_t child = place * 2;
        if (child > l->timer_count)
            break;
        if (child < l->timer_count && l->timers[child]->due_ms < l->timers[child - 1]->due_ms)
            child++;
        if (l->timers[child - 1]->due_ms >= timer->due_ms)
            break;
        heap_set(l, place, l->timers[child - 1]);
        place = child;
    }
    heap_set(l, place, timer);
}

void
timer_stop(struct loop *l, struct timer *timer)
{
    if (timer->heap_place == 0)
        return;
    const size_t place = timer->heap_place;
    ASSERT(l->timers[place - 1] == timer);
    struct timer *last = l->timers[--l->timer_count];
    timer->heap_place = 0;
    if (last == timer)
        return;
    if (place > 1 && l->timers[place / 2 - 1]->due_ms > last->due_ms)
        heap_rise(l, place, last);
    else
        heap_sink(l, place, last);
}

void
timer_start(struct loop *l, struct timer *timer, uint64_t due_ms)
{
    timer_stop(l, timer);
    timer->due_ms = due_ms;
    if (l->timer_count == l->timer_capacity) {
        l->timer_capacity = l->timer_capacity == 0 ? 64 : l->timer_capacity * 2;
        l->timers = mem_resize(l->timers, l->timer_capacity * sizeof(struct timer *));
    }
    l->timer_count++;
    heap_rise(l, l->timer_count, timer);
}

static void
timers_fire(struct loop *l)
{
    while (l->timer_count > 0 && l->timers[0]->due_ms <= l->now_ms) {
        struct timer *timer = l->timers[0];
        timer_stop(l, timer);
        timer->fire(timer);
    }
}

void
loop_post(struct loop *l, struct mail *mail)
{
    lock_acquire(&l->mailbox_lock);
    if (!mail->posted) {
        mail->posted = true;
        list_push(&l->mailbox, &mail->link);
    }
    lock_release(&l->mailbox_lock);
    /* Sequentially consistent on both sides: either we see it asleep or it sees the mail. */
    if (atomic_load(&l->asleep) && atomic_exchange(&l->asleep, false)) {
        const uint64_t one = 1;
        const ssize_t written = write(l->wake_fd, &one, sizeof(one));
        ASSERT(written == sizeof(one) || errno == EAGAIN);
    }
}

void
loop_unpost(struct loop *l, struct mail *mail)
{
    lock_acquire(&l->mailbox_lock);
    list_unlink(&mail->link);
    mail->posted = false;
    lock_release(&l->mailbox_lock);
}

static struct mail *
mailbox_take(struct loop *l)
{
    lock_acquire(&l->mailbox_lock);
    struct list *first = list_first(&l->mailbox);
    struct mail *mail = first == NULL ? NULL : LIST_CONTAINER(first, struct mail, link);
    if (mail != NULL) {
        list_unlink(&mail->link);
        mail->posted = false;
    }
    lock_release(&l->mailbox_lock);
    return mail;
}

static bool
mailbox_is_empty(struct loop *l)
{
    lock_acquire(&l->mailbox_lock);
    const bool empty = list_is_empty(&l->mailbox);
    lock_release(&l->mailbox_lock);
    return empty;
}

/* Mail posted while we deliver waits for the next turn if there is ever more of it. */
static void
mailbox_deliver(struct loop *l)
{
    for (int budget = EVENTS_A_TURN; budget > 0; budget--) {
        struct mail *mail = mailbox_take(l);
        if (mail == NULL)
            return;
        mail->deliver(mail);
    }
}

static int
loop_timeout(struct loop *l)
{
    if (!mailbox_is_empty(l))
        return 0;
    if (l->timer_count == 0)
        return -1;
    const uint64_t now = clock_monotonic_ms();
    const uint64_t due = l->timers[0]->due_ms;
    if (due <= now)
        return 0;
    return due - now > 60000 ? 60000 : (int)(due - now);
}

void
loop_stop(struct loop *l)
{
    l->running = false;
}

void
loop_turn(struct loop *l, int wait_ms)
{
    struct epoll_event events[EVENTS_A_TURN];
    atomic_store(&l->asleep, true);
    const int timeout = loop_timeout(l);
    const int wait = wait_ms >= 0 && (timeout < 0 || timeout > wait_ms) ? wait_ms : timeout;
    const int count = epoll_wait(l->epoll_fd, events, EVENTS_A_TURN, wait);
    atomic_store(&l->asleep, false);
    ASSERT(count >= 0 || errno == EINTR);
    l->now_ms = clock_monotonic_ms();
    for (int i = 0; i < count; i++) {
        struct loop_source *source = events[i].data.ptr;
        source->ready(source, events[i].events);
    }
    mailbox_deliver(l);
    timers_fire(l);
    if (l->turn_end != NULL)
        l->turn_end(l->turn_context);
}

void
loop_run(struct loop *l)
{
    l->running = true;
    while (l->running)
        loop_turn(l, -1);
}
