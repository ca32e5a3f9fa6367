#ifndef BROKER_CORE_ENTRY_H
#define BROKER_CORE_ENTRY_H

/*
 * A message as one queue holds it. The sequence is the queue's, given at enqueue, never reused; it
 * is the message's place for ever, so a requeued message finds its way back. An entry carries one
 * reference to its message and is copied by value as it moves: ready, outbox, unacked.
 *
 * One that is absent has none: its record is committed, and whoever wants the message reads that.
 * Of the message it keeps how large the body is, where the pointer was.
 */

#include "broker/base/panic.h"
#include "broker/core/message.h"

struct entry {
    uint64_t sequence;
    union {
        struct message *message;
        uint64_t absent_size; /* Of the body, while it is absent. */
    };
    uint64_t due_ms;     /* By the monotonic clock: it expires then. 0: never. */
    uint32_t deliveries; /* How often it came back. */
    uint8_t priority;    /* Already bounded by the queue's maximum. */
    bool is_durable;     /* It has a record behind the door, which must be settled. */
    bool redelivered;    /* It has been sent to somebody before. */
    bool is_absent;      /* Its message is not in memory. */
};

_Static_assert(sizeof(struct entry) == 32, "entries are copied everywhere");

static inline uint64_t
entry_body_size(const struct entry *e)
{
    return e->is_absent ? e->absent_size : e->message->body_size;
}

/* Gives its reference to the caller, and is absent from now on. */
static inline struct message *
entry_part(struct entry *e)
{
    struct message *m = e->message;
    ASSERT(e->is_durable && !e->is_absent);
    e->absent_size = m->body_size;
    e->is_absent = true;
    return m;
}

/* The message has been read again: the entry takes over the reference. */
static inline void
entry_rejoin(struct entry *e, struct message *m)
{
    ASSERT(e->is_absent && e->absent_size == m->body_size);
    e->message = m;
    e->is_absent = false;
}

/* Lets go of its message, if it has one. */
static inline void
entry_unref(const struct entry *e)
{
    if (!e->is_absent)
        message_unref(e->message);
}

#endif
