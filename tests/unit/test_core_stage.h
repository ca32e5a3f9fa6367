#ifndef TESTS_UNIT_TEST_CORE_STAGE_H
#define TESTS_UNIT_TEST_CORE_STAGE_H

/*
 * One queue with all that pages it: a door, a shelf behind it (test_core_shelf.h), a pager, and
 * little memory. Include after cmocka.h.
 */

#include "broker/core/pager.h"
#include "tests/unit/test_core_shelf.h"

#include <sched.h>
#include <unistd.h>

#define STAGE_BUDGET (256u * 1024u)
/* What a message owes the total is known to within this by each of the threads. */
#define STAGE_OWED (4 * 64 * 1024)

struct stage {
    struct shelf shelf;
    struct door *door;
    struct vhost *vhost;
    _Atomic(struct pager *) pager;
    struct queue *queue;
    char directory[256];
    int64_t memory_before;
    struct loop loop;
    struct getter getter;
    bool has_mail;
};

static inline void
stage_notify(void *context)
{
    struct stage *s = context;
    struct pager *pager = atomic_load(&s->pager);
    lock_acquire(&s->shelf.lock); /* So that nobody misses it between looking and waiting. */
    lock_release(&s->shelf.lock);
    pthread_cond_broadcast(&s->shelf.changed);
    if (pager != NULL)
        pager_post_committed(pager);
}

static inline void
stage_no_notify(void *context)
{
    (void)context;
}

static inline void
stage_mail(struct mail *mail)
{
    LIST_CONTAINER(mail, struct stage, getter.mail)->has_mail = true;
}

/* On a shelf that has been made. The spec is the queue's. */
static inline void
stage_open(struct stage *s, const struct queue_spec *spec)
{
    s->memory_before = message_memory();
    message_set_budget((uint64_t)(s->memory_before > 0 ? s->memory_before : 0) + STAGE_BUDGET);
    const char *root = getenv("TMPDIR");
    snprintf(s->directory, sizeof(s->directory), "%s/rail-test-pages-XXXXXX",
             root == NULL ? "/tmp" : root);
    assert_non_null(mkdtemp(s->directory));
    atomic_init(&s->pager, NULL);
    shelf_open(&s->shelf);
    s->door = door_create(s->shelf.engine, UINT64_MAX, stage_notify, s);
    atomic_store(&s->pager, pager_create(s->door, s->directory, stage_no_notify, s));
    s->vhost = vhost_create(BYTES_LITERAL("/"), s->door);
    s->vhost->pager = s->pager;
    s->queue = queue_create(s->vhost, s->door, spec);
    assert_true(loop_init(&s->loop));
    list_init(&s->getter.in_queue);
    mail_init(&s->getter.mail, stage_mail);
    s->getter.loop = &s->loop;
}

static inline void
stage_end_queue(struct stage *s)
{
    end_queue(s->queue);
    s->queue = NULL;
}

/* As the broker stops. The shelf may be looked at afterwards; it is the caller's. */
static inline void
stage_close(struct stage *s)
{
    pager_stop(s->pager);
    s->vhost->is_closing = true;
    if (s->queue != NULL)
        stage_end_queue(s);
    vhost_destroy(s->vhost);
    assert_true(door_destroy(s->door));
    s->shelf.engine = NULL;
    pager_destroy(s->pager);
    loop_unpost(&s->loop, &s->getter.mail);
    loop_fini(&s->loop);
    assert_int_equal(access(s->directory, F_OK), -1); /* The swap is gone. */
    assert_true(llabs((long long)(message_memory() - s->memory_before)) <= STAGE_OWED);
}

/* Waits until the round is committed, and the door knows. */
static inline void
stage_await(struct stage *s, uint64_t ticket) UNCHECKED_LOCKING
{
    lock_acquire(&s->shelf.lock);
    while (door_committed(s->door) < ticket)
        pthread_cond_wait(&s->shelf.changed, &s->shelf.lock.mutex);
    lock_release(&s->shelf.lock);
}

static inline size_t
stage_paged(struct stage *s)
{
    size_t count = 0;
    lock_acquire(&s->queue->lock);
    for (unsigned level = 0; level <= s->queue->effective.max_priority; level++)
        count += paged_count(&s->queue->levels[level].paged);
    lock_release(&s->queue->lock);
    return count;
}

/* Waits for mail after GET_LATER. */
static inline void
stage_await_mail(struct stage *s)
{
    while (!s->has_mail)
        loop_turn(&s->loop, -1);
    s->has_mail = false;
}

/* The next message, however long it takes; the queue must not be empty. */
static inline struct entry
stage_get(struct stage *s)
{
    struct entry e;
    size_t left;
    enum get_outcome outcome;
    while ((outcome = queue_get(s->queue, &s->getter, &e, &left)) == GET_LATER)
        stage_await_mail(s);
    assert_int_equal(outcome, GET_DONE);
    return e;
}

static inline uint64_t
stage_settle(struct stage *s, const struct entry *e)
{
    const struct settle item = { .queue = s->queue, .entry = *e };
    return queue_settle(s->queue, &item, 1);
}

/* A message whose octets follow from its number. */
static inline struct message *
stage_message(uint32_t number, size_t size, bool is_persistent)
{
    struct message *m = message_sized(number, size, is_persistent);
    uint8_t *body = message_body(m);
    for (size_t i = 4; i < size; i++)
        body[i] = (uint8_t)(number * 31 + i);
    return m;
}

static inline void
stage_check_message(struct message *m, uint32_t number, size_t size, bool is_persistent)
{
    const uint8_t *body = message_body(m);
    assert_int_equal(message_number(m), number);
    assert_int_equal(m->body_size, size);
    assert_int_equal(m->is_persistent, is_persistent);
    assert_true(bytes_equal(message_key(m), BYTES_LITERAL("k")));
    for (size_t i = 4; i < size; i++)
        if (body[i] != (uint8_t)(number * 31 + i))
            fail_msg("octet %zu of message %u has changed", i, number);
}

/* Appends messages first..last of that size. */
static inline uint64_t
stage_append(struct stage *s, uint32_t first, uint32_t last, size_t size, bool is_persistent)
{
    uint64_t ticket = 0;
    for (uint32_t number = first; number <= last; number++) {
        struct append item = {
            .queue = s->queue,
            .entry.message = stage_message(number, size, is_persistent),
        };
        const uint64_t later = queue_append(s->queue, &item, 1);
        assert_int_equal(item.outcome, APPEND_DONE);
        ticket = later > ticket ? later : ticket;
    }
    return ticket;
}

#endif
