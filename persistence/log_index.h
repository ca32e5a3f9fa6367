#ifndef PERSISTENCE_LOG_INDEX_H
#define PERSISTENCE_LOG_INDEX_H

/*
 * What is alive in the store, and where it lies: for every log the segments of records that have
 * not all been settled. A segment is a run of records that was written together: in a row of the
 * journal, or, once it has been relocated, in a chunk of its own. Rows know their segments, so the
 * journal can be cut at its old end when nothing in it is alive.
 *
 * Pure bookkeeping without I/O, the same for start-up and for running. It is changed on the
 * committer's thread only; whoever else reads it holds the engine's lock, and so does the
 * committer while it changes what readers look at.
 */

#include "broker/base/buf.h"
#include "broker/base/list.h"
#include "broker/base/map.h"

/* Frame of a record inside a payload: size of all of it, its sequence counted from the payload's,
 * and its weight, a number of the caller's that is summed up over what is alive. Big endian; what
 * follows is the caller's. */
#define RECORD_FRAME_SIZE 12u

struct record {
    uint32_t offset; /* Of its sequence from the payload's. */
    uint32_t weight;
    struct bytes octets; /* All of it, frame included. */
};

struct journal_row {
    struct list in_journal; /* Oldest first. */
    struct list segments;
    uint64_t number;
    uint64_t bytes;
    uint64_t records;
    uint64_t alive; /* Of these. */
};

struct log {
    struct map_node by_id;
    struct log_index *index;
    uint64_t id;
    uint64_t alive;
    uint64_t weight;           /* Of what is alive. */
    struct segment **segments; /* By base, from `first` on. */
    size_t first;
    size_t count; /* One past the last. */
    size_t capacity;
};

struct segment {
    struct log *log;         /* NULL once detached. */
    struct journal_row *row; /* NULL: in a chunk. */
    struct list in_row;      /* Or, for a chunk, in one of the index's lists dead and unfolded. */
    struct list in_sparse;   /* Of a chunk: less than half of it is alive. */
    uint64_t base;
    uint64_t generation; /* Of a chunk. */
    uint64_t unfolded; /* Row of the oldest settlement that the chunk's row does not tell, or 0. */
    uint64_t weight;   /* Of what is alive. */
    uint32_t at;       /* Where its payload begins in the content of the journal row. */
    uint32_t bytes;    /* Of its payload. */
    uint32_t span;     /* Sequences from base on, holes included. */
    uint32_t count;    /* Records. */
    uint32_t alive;
    uint32_t *offsets;  /* Of each record from base; NULL if there are no holes. */
    uint64_t settled[]; /* One bit a record. */
};

struct log_index {
    struct map logs;
    struct list journal;
    struct list unfolded; /* Chunks with settlements not in their rows, oldest first. */
    struct list dead;     /* Chunks with nothing alive; their rows may go. */
    struct list sparse;   /* Chunks of which less than half is alive, longest so first. */
    uint64_t journal_bytes;
    uint64_t journal_records;
    uint64_t journal_alive; /* Of these. */
    uint64_t journal_segments;
    uint64_t chunk_count;
    uint64_t chunk_bytes;
    uint64_t chunk_bytes_alive; /* Of these, taking records of a chunk as equally large. */
};

void log_index_init(struct log_index *x);
void log_index_fini(struct log_index *x);

/* NULL if nothing of it is known. */
struct log *log_find(const struct log_index *x, uint64_t id);

/* A row at the new end of the journal. */
struct journal_row *log_index_add_row(struct log_index *x, uint64_t number, uint64_t bytes);

/* What is known of the records of a segment. */
struct segment_shape {
    uint32_t count; /* Above 0. */
    uint32_t span;
    uint32_t bytes;
    uint64_t weight;
    uint32_t *offsets; /* mem_alloc'ed, ascending; NULL if there are no holes. */
};

/* The shape of a sound payload (see payload_is_sound) that is not empty. */
struct segment_shape payload_shape(struct bytes payload);

/* Where a segment lies: at an octet of a row, or, with NULL, in the chunk of a generation. */
struct segment_place {
    struct journal_row *row;
    uint32_t at;
    uint64_t generation;
};

/* A segment of log `id` with nothing settled; takes over the offsets. NULL if another segment of it
 * reaches into its span, which is never so unless the store is damaged: sequences of a log ascend.
 */
struct segment *log_index_add(struct log_index *x, uint64_t id, uint64_t base,
                              const struct segment_shape *shape, const struct segment_place *place);

/* `count` records of consecutive sequences, each of that weight, are settled, as journal row `row`
 * tells. Those that are unknown have been settled before: no harm. False if it makes no sense. */
bool log_index_settle(struct log_index *x, uint64_t log, uint64_t first, uint32_t count,
                      uint32_t weight, uint64_t row);

/* Gives the payload of a segment; false if it cannot be read. */
typedef bool segment_payload(void *context, const struct segment *s, struct bytes *out);

/* All records of sequences `first` to `last` are settled, as journal row `row` tells. Reads the
 * payload of those segments of which only a part is meant; false if that fails. */
bool log_index_purge(struct log_index *x, uint64_t log, uint64_t first, uint64_t last, uint64_t row,
                     segment_payload *payload, void *context);

/* The log is gone. Calls `chunk_gone` for each of its chunks. */
void log_index_end(struct log_index *x, uint64_t id,
                   void (*chunk_gone)(void *context, const struct segment *s), void *context);

/* Forgets a segment that is dead or has been relocated: takes it out of its log and its row, and
 * frees it. A log without segments is forgotten, too. */
void segment_forget(struct segment *s);

/* Forgets the oldest row; its segments must be dead or gone. */
void log_index_cut(struct log_index *x, struct journal_row *row);

/* A chunk that has just been added: which of its records are settled (64-bit words, big endian),
 * as its row tells, and how many are not. Its weight is that of the latter already. */
void segment_restore_settled(struct segment *s, const uint8_t *settled, uint32_t alive);

/* The row of the chunk tells all settlements now. */
void segment_folded(struct segment *s);

/* The place in the log's array of the first segment that reaches to `sequence` or beyond. */
size_t log_place_reaching(const struct log *log, uint64_t sequence);

/* The lowest and the highest sequence alive; false if there is none. */
bool log_bounds(const struct log *log, uint64_t *first, uint64_t *last);

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
segment_bitmap_words(uint32_t count)
{
    return (count + 63u) / 64u;
}

/* Frames are complete, sizes add up, offsets ascend; `count` gets the number of records. */
bool payload_is_sound(struct bytes payload, uint32_t *count);

/* Appends a record of one payload to another, in which its sequence is so far from the first. */
void payload_append(struct buf *payload, struct bytes record, uint32_t offset);

/* The next record of a sound payload; false at the end. */
bool payload_next(struct bytes *payload, struct record *out);

#endif
