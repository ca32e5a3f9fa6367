#ifndef PERSISTENCE_ROWS_H
#define PERSISTENCE_ROWS_H

/*
 * The rows of the store. Numbers in keys are big endian, so that order of keys is order of numbers.
 * Changing any of this means a new STORE_FORMAT and a way to read the old one.
 *
 *     key                                row
 *     'F'                                format: version(4), epoch(8), XXH3 of these(8)
 *     'W'                                witness: its id(8), XXH3 of this(8)
 *     'D' name...                        a definition, the broker's own octets
 *     'J' number(8)                      journal row
 *     'K' log(8) base(8) generation(8)   what a chunk holds and which of it is settled
 *     'C' log(8) base(8) generation(8)   chunk: records back to back
 *
 * A journal row and a chunk begin with a head:
 *
 *     offset size
 *          0    4  version of the row
 *          4    4  number of effects, or of records
 *          8    8  XXH3 of everything from offset 16 on
 *         16    8  journal row: the number of the row before it, or 0; chunk: 0
 *         24    8  journal row: the round it belongs to; chunk: 0
 *
 * followed in a journal row by effects and in a chunk by its records. A 'K' row is XXH3 of what
 * follows(8) count(4) span(4) bytes(4) weight(8) sparse(1), if sparse the offset(4) of each record,
 * and one bit a record in 64-bit words: settled.
 *
 * An effect is kind(1) and, as varint.h says, log and sequence, each as the difference to that of
 * the effect before, count, and size of the payload, which follows. A round over many queues has
 * effects of one small record each: their heads weigh as much as what they tell.
 *
 * The payload of EFFECT_SETTLE is runs of settled records, each the difference of its first
 * sequence to the end of the run before (to the effect's sequence, if it is the first), the number
 * of records, and the difference of their weight to the weight before (or 0). That of EFFECT_PURGE
 * is the last sequence(8); `sequence` is the first.
 *
 * Journal rows and chunks are written once and SingleDeleted; 'D', 'F', 'W' and 'K' rows are
 * overwritten and take Delete. Row numbers and log ids carry the epoch, which grows with every
 * start, in their upper bits: no key is ever used twice.
 */

#include "broker/base/buf.h"
#include "persistence/door.h"
#include "persistence/log_index.h"

#define STORE_FORMAT 3u
#define ROW_HEAD_SIZE 32u
#define EPOCH_SHIFT 40u

#define KEY_SIZE_MAX 32u

struct key {
    uint8_t octets[KEY_SIZE_MAX];
    size_t size;
};

struct key key_of_row(uint64_t number);
struct key key_of_chunk(char kind, const struct segment *s);

void format_row_encode(uint64_t epoch, struct buf *out);

/* False if the row is damaged. Of a row of another version only the version is known. */
bool format_row_decode(struct bytes row, uint32_t *version, uint64_t *epoch);

/* What the head of a journal row or a chunk tells. */
struct row_head {
    uint32_t count;
    uint64_t previous;
    uint64_t round;
};

/* Starts a row with an empty head; row_finish fills it in. */
void row_start(struct buf *row);
void row_finish(struct buf *row, const struct row_head *head);

/* Checks head and checksum. */
bool row_open(struct bytes row, struct row_head *head, struct bytes *content);

/* One run of EFFECT_SETTLE. */
struct settled_run {
    uint64_t first;
    uint32_t count;
    uint32_t weight; /* Of each. */
};

/* A journal row that is being put together. A zeroed one is empty. */
struct row_builder {
    struct buf row;
    uint32_t effects;

    /* The last effect: what comes next may become a part of it, so its head is not written yet. */
    bool is_open;
    enum effect_kind kind;
    uint32_t count;
    uint64_t log;
    uint64_t sequence;
    size_t payload;              /* Where it begins; there is room for the head before it. */
    struct settled_run run;      /* The last one of a settlement, not written yet either, and */
    struct settled_run last_run; /* the one before it. */

    /* Of the effect before. */
    uint64_t last_log;
    uint64_t last_sequence;
};

/* Starts the row if it is empty. Effects of one kind and log that follow each other become one:
 * many small publishes to a queue cost one segment. */
void row_builder_add(struct row_builder *b, const struct effect *e);

/* Writes what is still open; the row wants only its head then (row_finish). */
void row_builder_close(struct row_builder *b);

/* Empties it, and keeps its memory. */
void row_builder_reset(struct row_builder *b);

/* An effect as it lies in a row. Zeroed before the first of a row is taken. */
struct stored_effect {
    enum effect_kind kind;
    uint64_t log;
    uint64_t sequence;
    uint32_t count;
    struct bytes payload;
};

/* Takes the next effect off `content`; `effect` holds the one before it. False if the octets do not
 * hold one. */
bool row_next_effect(struct bytes *content, struct stored_effect *effect);

/* The runs of an effect that is on its way to the engine lie in its payload as structs. Adds one
 * record: as part of the last run if it follows it, else as a new one. Returns the number of runs
 * added. */
uint32_t settled_runs_add(struct buf *payload, uint64_t sequence, uint32_t weight);
void settled_run_append(struct buf *payload, const struct settled_run *run);

/* Takes the next run off such a payload; false at the end, or if less than a run is left. */
bool settled_run_next(struct bytes *payload, struct settled_run *out);

/* The same for a payload that lies in a row; `run` holds the run before, or at first the effect's
 * sequence and nothing else. */
bool stored_run_next(struct bytes *payload, struct settled_run *run);

/* The row that tells what is in a chunk and what of it is settled. */
void chunk_row_encode(const struct segment *s, struct buf *out);

/* Adds the chunk that the row tells of to the index; NULL if the row is damaged or does not fit to
 * the log's other chunks. */
struct segment *chunk_row_decode(struct log_index *x, uint64_t log, uint64_t base,
                                 uint64_t generation, struct bytes row);

#endif
