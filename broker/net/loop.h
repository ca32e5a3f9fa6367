#ifndef BROKER_NET_LOOP_H
#define BROKER_NET_LOOP_H

/*
 * The event loop of one thread: descriptors, timers, and a mailbox, which is the only way for
 * another thread to make this one do something. Everything but loop_post and loop_stop belongs to
 * the loop's thread. A turn: wait, descriptors, mail, timers, then the owner's end-of-turn hook.
 */

#include "broker/base/list.h"
#include "broker/base/lock.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Something to watch; embedded in its owner. */
struct loop_source {
    int fd;
    void (*ready)(struct loop_source *source, uint32_t events); /* EPOLLIN, EPOLLOUT, ... */
};

/* Calls `fire` once, at or after due_ms. Embedded; zeroed is idle. */
struct timer {
    uint64_t due_ms;
    uint32_t heap_place; /* 1-based place in the heap; 0 when idle. */
    void (*fire)(struct timer *timer);
};

/*
 * A message to a loop; embedded in what it is about. While it is posted it belongs to the mailbox;
 * `deliver` runs on the loop's thread and may free the mail. Posting a posted mail does nothing, so
 * one mail per subject is a wake-up flag that never piles up.
 */
struct mail {
    struct list link;
    bool posted; /* Guarded by the mailbox lock. */
    void (*deliver)(struct mail *mail);
};

struct loop {
    int epoll_fd;
    int wake_fd;
    bool running;
    struct loop_source wake_source;
    uint64_t now_ms; /* Read once a turn. */

    struct timer **timers; /* Binary heap by due_ms. */
    size_t timer_count;
    size_t timer_capacity;

    struct lock mailbox_lock;
    struct list mailbox;
    atomic_bool asleep; /* The thread is in, or about to enter, epoll_wait. */

    void (*turn_end)(void *context); /* May be NULL. */
    void *turn_context;
};

/* False with errno set if the kernel gives no descriptors. */
bool loop_init(struct loop *l);
void loop_fini(struct loop *l);

/* Runs until loop_stop. */
void loop_run(struct loop *l);

/* One turn that waits at most `wait_ms` (-1: until something happens). For those who drive the loop
 * themselves, on the thread that owns it. */
void loop_turn(struct loop *l, int wait_ms);

/* From the loop's own thread: loop_run returns after this turn. */
void loop_stop(struct loop *l);

/* `events` is a set of EPOLL*; level-triggered. False with errno set. */
bool loop_watch(struct loop *l, struct loop_source *source, uint32_t events);
void loop_rewatch(struct loop *l, struct loop_source *source, uint32_t events);
void loop_unwatch(struct loop *l, struct loop_source *source);

/* Starts or moves the timer. */
void timer_start(struct loop *l, struct timer *timer, uint64_t due_ms);
void timer_stop(struct loop *l, struct timer *timer);

static inline void
mail_init(struct mail *mail, void (*deliver)(struct mail *))
{
    list_init(&mail->link);
    mail->posted = false;
    mail->deliver = deliver;
}

/* Any thread. */
void loop_post(struct loop *l, struct mail *mail);

/* From the loop's own thread, before the mail's memory goes: it will not be delivered. */
void loop_unpost(struct loop *l, struct mail *mail);

#endif
