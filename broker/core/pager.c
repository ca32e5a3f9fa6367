#include "broker/core/pager.h"

#include "broker/base/clock.h"
#include "broker/base/log.h"
#include "broker/base/mem.h"
#include "broker/core/queue.h"

#include <errno.h>
#include <string.h>

/* What may wait to be written before publishers pause. */
#define UNWRITTEN_MAX (32 * 1024 * 1024)

/* A queue that wants to be looked at by itself. One whose time is not that of its queue any more
 * has been replaced by an earlier one. */
struct alarm_clock {
    uint64_t when_ms;
    struct queue *queue; /* A reference. */
};

struct pager {
    struct door *door;
    pager_notify *notify;
    void *context;
    struct swap *swap;
    pthread_t thread;
    atomic_bool swap_fails;
    _Atomic int64_t unwritten;

    struct lock lock;           /* Guards what follows. A leaf, below queues. */
    struct alarm_clock *alarms; /* The earliest first. */
    size_t alarm_count;
    size_t alarm_capacity;
    pthread_cond_t wake;
    struct list asked;
    bool committed; /* Since the last look. */
    bool stopping;
    bool is_held;

    struct list awaiting;    /* The thread's: queues that wait for a commit. */
    atomic_bool is_awaiting; /* There may be some: only then commits matter. */
};

static void
alarms_push(struct pager *p, const struct alarm_clock *a)
{
    if (p->alarm_count == p->alarm_capacity) {
        p->alarm_capacity = p->alarm_capacity == 0 ? 16 : p->alarm_capacity * 2;
        p->alarms = mem_resize(p->alarms, p->alarm_capacity * sizeof(*p->alarms));
    }
    size_t at = p->alarm_count++;
    for (; at > 0 && p->alarms[(at - 1) / 2].when_ms > a->when_ms; at = (at - 1) / 2)
        p->alarms[at] = p->alarms[(at - 1) / 2];
    p->alarms[at] = *a;
}

static struct alarm_clock
alarms_pop(struct pager *p)
{
    const struct alarm_clock first = p->alarms[0];
    const struct alarm_clock moved = p->alarms[--p->alarm_count];
    size_t at = 0;
    for (;;) {
        size_t child = at * 2 + 1;
        if (child >= p->alarm_count)
            break;
        if (child + 1 < p->alarm_count && p->alarms[child + 1].when_ms < p->alarms[child].when_ms)
            child++;
        if (p->alarms[child].when_ms >= moved.when_ms)
            break;
        p->alarms[at] = p->alarms[child];
        at = child;
    }
    p->alarms[at] = moved;
    return first;
}

bool
pager_ask(struct pager *p, struct queue *q)
{
    lock_acquire(&p->lock);
    const bool accepted = !p->stopping;
    /* Its alarm may have rung already: it is in the list then, and will be looked at. */
    if (accepted && !list_is_linked(&q->in_asked)) {
        queue_ref(q);
        list_push(&p->asked, &q->in_asked);
    }
    lock_release(&p->lock);
    if (accepted)
        pthread_cond_signal(&p->wake);
    return accepted;
}

void
pager_wake_at(struct pager *p, struct queue *q, uint64_t when_ms)
{
    lock_acquire(&p->lock);
    const bool is_news = !p->stopping && (q->wake_ms == 0 || when_ms < q->wake_ms);
    const bool is_first = is_news && (p->alarm_count == 0 || when_ms < p->alarms[0].when_ms);
    if (is_news) {
        q->wake_ms = when_ms;
        queue_ref(q);
        alarms_push(p, &(struct alarm_clock){ when_ms, q });
    }
    lock_release(&p->lock);
    if (is_first)
        pthread_cond_signal(&p->wake);
}

void
pager_post_committed(struct pager *p)
{
    if (!atomic_load(&p->is_awaiting))
        return;
    lock_acquire(&p->lock);
    p->committed = true;
    lock_release(&p->lock);
    pthread_cond_signal(&p->wake);
}

void
pager_note_unwritten(struct pager *p, int64_t octets)
{
    const int64_t before = atomic_fetch_add(&p->unwritten, octets);
    if (before > UNWRITTEN_MAX && before + octets <= UNWRITTEN_MAX)
        p->notify(p->context);
}

bool
pager_is_behind(const struct pager *p)
{
    return atomic_load_explicit(&p->unwritten, memory_order_relaxed) > UNWRITTEN_MAX &&
           !atomic_load_explicit(&p->swap_fails, memory_order_relaxed);
}

bool
pager_write_page(struct pager *p, struct swap_page *page, struct bytes octets)
{
    const bool ok = swap_write(p->swap, page, octets);
    if (!ok && !p->swap_fails)
        log_warning("swap.write",
                    "msg=\"transient messages cannot leave memory: %s; they stay there, and "
                    "publishers are blocked if memory runs short\"",
                    strerror(errno));
    if (ok && p->swap_fails)
        log_info("swap.write", "msg=\"transient messages can leave memory again\"");
    p->swap_fails = !ok;
    if (!ok)
        p->notify(p->context);
    return ok;
}

bool
pager_read_page(struct pager *p, const struct swap_page *page, struct buf *out)
{
    return swap_read(p->swap, page, out);
}

void
pager_free_page(struct pager *p, struct swap_page *page)
{
    swap_free(p->swap, page);
}

/* Those whose time has come are asked for. */
static void
ring(struct pager *p)
{
    const uint64_t now_ms = p->alarm_count == 0 ? 0 : clock_monotonic_ms();
    while (p->alarm_count > 0 && p->alarms[0].when_ms <= now_ms) {
        const struct alarm_clock a = alarms_pop(p);
        const bool is_due = a.queue->wake_ms == a.when_ms;
        if (is_due)
            a.queue->wake_ms = 0;
        if (!list_is_linked(&a.queue->in_asked))
            list_push(&p->asked, &a.queue->in_asked); /* With the reference; a look too many does
                                                         no harm. */
        else
            queue_unref(a.queue); /* Not the last: the list has one. */
    }
}

static void
sleep_until_alarm(struct pager *p) UNCHECKED_LOCKING
{
    if (p->alarm_count == 0) {
        pthread_cond_wait(&p->wake, &p->lock.mutex);
        return;
    }
    cond_wait_until_ms(&p->wake, &p->lock, p->alarms[0].when_ms);
}

/* Takes what has been asked for. False when it is time to stop. */
static bool
wait_for_work(struct pager *p, struct list *asked) UNCHECKED_LOCKING
{
    list_init(asked);
    lock_acquire(&p->lock);
    for (;;) {
        if (p->is_held && !p->stopping) {
            pthread_cond_wait(&p->wake, &p->lock.mutex);
            continue;
        }
        ring(p);
        if (!list_is_empty(&p->asked) || p->stopping ||
            (p->committed && !list_is_empty(&p->awaiting)))
            break;
        sleep_until_alarm(p);
    }
    list_move_all(asked, &p->asked);
    p->committed = false;
    const bool goes_on = !p->stopping;
    lock_release(&p->lock);
    return goes_on;
}

/* From now on it may be asked for again. */
static bool
take_asked(struct pager *p, struct queue *q)
{
    lock_acquire(&p->lock);
    const bool was_asked = list_is_linked(&q->in_asked);
    list_unlink(&q->in_asked);
    lock_release(&p->lock);
    return was_asked;
}

/* It keeps the reference while the queue waits. */
static void
look_at(struct pager *p, struct queue *q)
{
    const uint64_t ticket = queue_page(q);
    if (ticket == 0 || list_is_linked(&q->in_awaiting)) {
        queue_unref(q);
        return;
    }
    list_push(&p->awaiting, &q->in_awaiting);
    atomic_store(&p->is_awaiting, true);
    if (door_committed(p->door) >= ticket)
        pager_post_committed(p); /* Between its look and ours. */
}

static void
look_at_awaiting(struct pager *p)
{
    struct list again;
    list_init(&again);
    list_move_all(&again, &p->awaiting);
    atomic_store(&p->is_awaiting, false);
    while (!list_is_empty(&again)) {
        struct queue *q = LIST_CONTAINER(again.next, struct queue, in_awaiting);
        list_unlink(&q->in_awaiting);
        if (take_asked(p, q))
            queue_unref(q); /* One look serves both. */
        look_at(p, q);
    }
}

static void
let_go(struct pager *p)
{
    while (!list_is_empty(&p->asked)) {
        struct queue *q = LIST_CONTAINER(p->asked.next, struct queue, in_asked);
        list_unlink(&q->in_asked);
        queue_unref(q);
    }
    while (!list_is_empty(&p->awaiting)) {
        struct queue *q = LIST_CONTAINER(p->awaiting.next, struct queue, in_awaiting);
        list_unlink(&q->in_awaiting);
        queue_unref(q);
    }
    while (p->alarm_count > 0)
        queue_unref(alarms_pop(p).queue);
    mem_free(p->alarms);
}

static void
pager_turn(struct pager *p, struct list *asked)
{
    look_at_awaiting(p);
    while (!list_is_empty(asked)) {
        struct queue *q = LIST_CONTAINER(asked->next, struct queue, in_asked);
        take_asked(p, q);
        look_at(p, q);
    }
}

static void *
pager_main(void *argument)
{
    struct pager *p = argument;
    struct list asked;
    while (wait_for_work(p, &asked))
        pager_turn(p, &asked);
    list_move_all(&p->asked, &asked); /* For pager_stop to let go of. */
    return NULL;
}

bool
pager_step(struct pager *p)
{
    struct list asked;
    lock_acquire(&p->lock);
    ring(p);
    const bool has_work =
        !list_is_empty(&p->asked) || (p->committed && !list_is_empty(&p->awaiting));
    lock_release(&p->lock);
    if (!has_work || !wait_for_work(p, &asked))
        return false;
    pager_turn(p, &asked);
    return true;
}

struct pager *
pager_create(struct door *door, const char *directory, pager_notify *notify, void *context)
{
    struct pager *p = mem_alloc_zeroed(sizeof(*p));
    p->door = door;
    p->notify = notify;
    p->context = context;
    p->swap = swap_create(directory);
    lock_init(&p->lock);
    cond_init(&p->wake);
    list_init(&p->asked);
    list_init(&p->awaiting);
    if (door_is_stepped(door))
        return p;
    const int error = pthread_create(&p->thread, NULL, pager_main, p);
    if (error != 0)
        PANIC("cannot start the pager thread: error %d; raise the limit of threads", error);
    pthread_setname_np(p->thread, "pager");
    return p;
}

static void
set_held(struct pager *p, bool is_held)
{
    lock_acquire(&p->lock);
    p->is_held = is_held;
    lock_release(&p->lock);
    pthread_cond_signal(&p->wake);
}

void
pager_hold(struct pager *p)
{
    set_held(p, true);
}

void
pager_go_on(struct pager *p)
{
    set_held(p, false);
}

void
pager_stop(struct pager *p)
{
    lock_acquire(&p->lock);
    p->stopping = true;
    lock_release(&p->lock);
    pthread_cond_signal(&p->wake);
    if (!door_is_stepped(p->door))
        pthread_join(p->thread, NULL);
    swap_destroy(p->swap); /* Before queues go: it links the pages of those that were deleted. */
    let_go(p);
}

void
pager_destroy(struct pager *p)
{
    pthread_cond_destroy(&p->wake);
    lock_fini(&p->lock);
    mem_free(p);
}
