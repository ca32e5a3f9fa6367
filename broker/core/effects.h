#ifndef BROKER_CORE_EFFECTS_H
#define BROKER_CORE_EFFECTS_H

/*
 * Effects of one step on the logs of a queue, one log a priority: records that are added, or
 * settled, collected by level and pushed together. Built without the queue's lock, pushed under it.
 */

#include "broker/core/entry.h"
#include "persistence/door.h"

struct queue;

/* An effect under construction. Its records count from `offset` of the append. */
struct effect_part {
    struct effect effect;
    uint32_t offset;
};

struct effects {
    enum effect_kind kind;
    unsigned levels;
    struct effect_part one; /* Of a queue without priorities. */
    struct effect_part *by_level;
    struct effect_part *closed; /* In order, before the others: see effects_add_record. */
    size_t closed_count;
};

/* EFFECT_RECORDS or EFFECT_SETTLE. */
void effects_init(struct effects *x, const struct queue *q, enum effect_kind kind);

/* Drops what has not been pushed. */
void effects_fini(struct effects *x);

/* The record of message number `offset` of an append; offsets ascend. A large body is referred to
 * and not copied: its record is an effect of its own. */
void effects_add_record(struct effects *x, const struct entry *e, uint32_t offset,
                        uint64_t wall_us);

/* The entry is done with; nothing if it has no record. */
void effects_add_settled(struct effects *x, const struct entry *e);

/* Pushes them and returns the highest ticket, or 0. Records count from sequence `base`. The queue's
 * lock is held. Nothing is pushed for a deleted queue: its logs are gone as a whole. */
uint64_t effects_push(struct effects *x, struct queue *q, uint64_t base);

#endif
