#ifndef PERSISTENCE_ROWS_H
#define PERSISTENCE_ROWS_H

/*
 * The rows of the store. Numbers in keys are big endian, so that order of keys is order of numbers.
 * Changing any of this means a new STORE_FORMAT and a way to read the old one.
 *
 *     key                                row
 *     'F'                                format: version(4), epoch(8), XXH3 of these(8)
 *     'D' name...                        a definition, the broker's own octets
 *     'J' round(8)                       journal round
 *     'K' log(8) base(8) generation(8)   what a chunk holds and which of it is settled
 *     'C' log(8) base(8) generation(8)   chunk: records back to back
 *
 * A journal round and a chunk begin with a head:
 *
 *     offset size
 *          0    4  version of the row (1)
 *          4    4  number of effects, or of records
 *          8    8  XXH3 of everything from offset 16 on
 *         16    8  round: the round before it in the journal, or 0; chunk: 0
 *
 * followed in a round by its effects (kind(1) log(8) sequence(8) count(4) size(4) payload) and in a
 * chunk by its records. A 'K' row is XXH3 of what follows(8) count(4) span(4) sparse(1), if sparse
 * the offset(4) of each record, and one bit a record in 64-bit words: settled.
 *
 * Rounds and chunks are written once and SingleDeleted; 'D', 'F' and 'K' rows are overwritten and
 * take Delete. Round numbers and log ids carry the epoch, which grows with every start, in their
 * upper bits: no key is ever used twice.
 */

#include "broker/base/buf.h"
#include "persistence/door.h"
#include "persistence/log_index.h"

#define STORE_FORMAT 1u
#define ROW_HEAD_SIZE 24u
#define EFFECT_HEAD_SIZE 25u
#define EPOCH_SHIFT 40u

#define KEY_SIZE_MAX 32u

struct key {
    uint8_t octets[KEY_SIZE_MAX];
    size_t size;
};

struct key key_of_round(uint64_t number);
struct key key_of_chunk(char kind, const struct segment *s);

void format_row_encode(uint64_t epoch, struct buf *out);

/* False if the row is damaged. Of a row of another version only the version is known. */
bool format_row_decode(struct bytes row, uint32_t *version, uint64_t *epoch);

/* Starts a row with an empty head; row_finish fills it in. */
void row_start(struct buf *row);
void row_finish(struct buf *row, uint32_t count, uint64_t previous);

/* Checks head and checksum. */
bool row_open(struct bytes row, uint32_t *count, uint64_t *previous, struct bytes *content);

void row_add_effect(struct buf *row, const struct effect *e);

/* An effect as it lies in a row. */
struct stored_effect {
    enum effect_kind kind;
    uint64_t log;
    uint64_t sequence;
    uint32_t count;
    struct bytes payload;
};

/* Takes the next effect off `content`. False if the octets do not hold one. */
bool row_next_effect(struct bytes *content, struct stored_effect *out);

/* The row that tells what is in a chunk and what of it is settled. */
void chunk_row_encode(const struct segment *s, struct buf *out);

/* Adds the chunk that the row tells of to the index; NULL if the row is damaged or does not fit to
 * the log's other chunks. */
struct segment *chunk_row_decode(struct log_index *x, uint64_t log, uint64_t base,
                                 uint64_t generation, struct bytes row);

#endif
