#ifndef PERSISTENCE_LOG_INDEX_H
#define PERSISTENCE_LOG_INDEX_H

/*
 * What is alive in the store, and where it lies: for every log the segments of records that have
 * not all been settled. A segment is a run of records that was written together: in a round of the
 * journal, or, once it has been relocated, in a chunk of its own. Rounds know their segments, so
 * the journal can be cut at its old end when nothing in it is alive.
 *
 * Pure bookkeeping without I/O, the same for start-up and for running. Owner: the engine, on the
 * committer's thread.
 */

#include "broker/base/bytes.h"
#include "broker/base/list.h"
#include "broker/base/map.h"

/* Frame of a record inside a payload: size of all of it, and its sequence counted from the
 * payload's. Both big endian; what follows is the caller's. */
#define RECORD_FRAME_SIZE 8u

struct journal_round {
    struct list in_journal; /* Oldest first. */
    struct list segments;
    uint64_t number;
    uint64_t bytes;
    uint64_t records;
    uint64_t alive; /* Of these. */
};

struct log {
    struct map_node by_id;
    uint64_t id;
    struct segment **segments; /* By base, from `first` on. */
    size_t first;
    size_t count; /* One past the last. */
    size_t capacity;
};

struct segment {
    struct log_index *index;
    struct log *log;             /* NULL once detached. */
    struct journal_round *round; /* NULL: in a chunk. */
    struct list in_round;        /* Or, for a chunk, in one of the index's lists. */
    uint64_t base;
    uint64_t generation; /* Of a chunk. */
    uint64_t unfolded;   /* Round of the oldest settlement that its row does not tell; 0: none. */
    uint32_t span;       /* Sequences from base on, holes included. */
    uint32_t count;      /* Records. */
    uint32_t alive;
    uint32_t *offsets; /* Of each record from base; NULL if there are no holes. */
    uint64_t *settled; /* One bit a record. */
};

struct log_index {
    struct map logs;
    struct list journal;
    struct list unfolded; /* Chunks with settlements not in their rows, oldest first. */
    struct list dead;     /* Chunks with nothing alive; their rows may go. */
    uint64_t journal_bytes;
    uint64_t journal_records;
    uint64_t journal_alive; /* Of these. */
};

void log_index_init(struct log_index *x);
void log_index_fini(struct log_index *x);

/* NULL if nothing of it is known. */
struct log *log_find(const struct log_index *x, uint64_t id);

/* A round at the new end of the journal. */
struct journal_round *log_index_add_round(struct log_index *x, uint64_t number, uint64_t bytes);

/* What is known of the records of a segment. */
struct segment_shape {
    uint32_t count; /* Above 0. */
    uint32_t span;
    uint32_t *offsets; /* mem_alloc'ed, ascending; NULL if there are no holes. */
};

/* The shape of a sound payload (see payload_is_sound) that is not empty. */
struct segment_shape payload_shape(struct bytes payload);

/* A segment with nothing settled; takes over the offsets. In a round, or, with NULL, in a chunk of
 * that generation. NULL if another segment of the log reaches into its span, which is never so
 * unless the store is damaged: sequences of a log ascend. */
struct segment *log_index_add(struct log_index *x, uint64_t log, uint64_t base,
                              const struct segment_shape *shape, struct journal_round *round,
                              uint64_t generation);

/* One record is settled, as `round` tells. Unknown ones have been settled before: no harm. */
void log_index_settle(struct log_index *x, uint64_t log, uint64_t sequence, uint64_t round);

/* The log is gone. Calls `chunk_gone` for each of its chunks. */
void log_index_end(struct log_index *x, uint64_t log,
                   void (*chunk_gone)(void *context, const struct segment *s), void *context);

/* Forgets a segment that is dead or has been relocated: takes it out of its log and its round, and
 * frees it. */
void segment_forget(struct segment *s);
void segment_detach(struct segment *s);
void segment_free(struct segment *s);

/* Forgets the oldest round; its segments must be dead or gone. */
void log_index_cut(struct log_index *x, struct journal_round *round);

/* The row of the chunk tells all settlements now. */
void segment_folded(struct segment *s);

/* Whether record number `i` of the segment is settled. */
static inline bool
segment_is_settled(const struct segment *s, uint32_t i)
{
    return s->settled[i / 64] >> (i % 64) & 1u;
}

static inline uint64_t
segment_sequence(const struct segment *s, uint32_t i)
{
    return s->base + (s->offsets == NULL ? i : s->offsets[i]);
}

static inline size_t
segment_bitmap_words(const struct segment *s)
{
    return (s->count + 63u) / 64u;
}

/* Frames are complete, sizes add up, offsets ascend; `count` gets the number of records. */
bool payload_is_sound(struct bytes payload, uint32_t *count);

/* The next record of a sound payload; false at the end. */
bool payload_next(struct bytes *payload, uint32_t *offset, struct bytes *record);

#endif
