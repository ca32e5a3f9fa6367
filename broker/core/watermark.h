#ifndef BROKER_CORE_WATERMARK_H
#define BROKER_CORE_WATERMARK_H

/*
 * Up to which sequence the records of a durable queue may have been sent to somebody. It is kept by
 * the store ahead of the truth, in steps, so that after a crash whatever has been sent is marked as
 * redelivered, and what nobody can have seen is not. Guarded by the queue's lock.
 */

#include "broker/core/entry.h"

struct queue;

struct watermark {
    uint64_t recovered; /* As an earlier run has left it: what is below has been sent. */
    uint64_t safe;      /* Known to be on disk. */
    uint64_t reserved;  /* Asked for, with `ticket`. */
    uint64_t base;      /* Records from here on are committed no earlier than `reserved`. */
    uint64_t ticket;
    uint64_t sent; /* The highest that really was. */
};

/* Whether the entry may be sent now: a crash right after would know of it. */
bool watermark_covers(struct queue *q, const struct entry *e);

/* Keeps that sequences up to `sequence` and some more are sent. */
void watermark_reserve(struct queue *q, uint64_t sequence);

/* For an orderly stop: keeps what really was sent. */
void watermark_settle(struct queue *q);

#endif
