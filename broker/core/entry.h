#ifndef BROKER_CORE_ENTRY_H
#define BROKER_CORE_ENTRY_H

/*
 * A message as one queue holds it. The sequence is the queue's, given at enqueue, never reused; it
 * is the message's place for ever, so a requeued message finds its way back. An entry carries one
 * reference to its message and is copied by value as it moves: ready, outbox, unacked.
 */

#include "broker/core/message.h"

struct entry {
    uint64_t sequence;
    struct message *message;
    uint64_t due_ms;     /* By the monotonic clock: it expires then. 0: never. */
    uint32_t deliveries; /* How often it came back. */
    uint8_t priority;    /* Already bounded by the queue's maximum. */
    bool is_durable;     /* It has a record behind the door, which must be settled. */
    bool redelivered;    /* It has been sent to somebody before. */
};

#endif
