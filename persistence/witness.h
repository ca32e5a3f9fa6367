#ifndef PERSISTENCE_WITNESS_H
#define PERSISTENCE_WITNESS_H

/*
 * A small file beside the store that remembers how far the store had come: which round is its
 * newest, and a count of what else it holds. RocksDB takes some kinds of damage for the torn end of
 * a file and drops what follows; whoever opens a store compares it with its witness and sees it.
 *
 * The file is mapped, and all of its blocks are written when it is made, so a full disk does not
 * hurt. It has two pages with two slots each. What is told goes into the two slots of one page in
 * turn: a process that is killed in the middle leaves the other. Once a second a thread of its own
 * changes to the other page and syncs the first: a loss of power in the middle leaves the other.
 * A reader takes the newest slot that is whole. After a loss of power that may be a second old, and
 * it never tells of what is not on disk, as long as only that is told.
 *
 *     offset size
 *          0    4  version (1)
 *          4    4  0
 *          8    8  serial: grows with every telling
 *         16    8  id: the same number stands in the store, so neither goes with another
 *         24    8  epoch
 *         32    8  newest round of the journal
 *         40    8  its oldest round, or 0
 *         48   16  chunks: number, sum of the hashes of their keys
 *         64   16  definitions: number, sum of hashes of keys and rows
 *         80    8  XXH3 of these
 *
 * Owner: an engine. One thread tells; the file is locked for as long as it is open.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WITNESS_SIZE 8192u
#define WITNESS_SLOT_SPACING 2048u
#define WITNESS_SLOT_SIZE 88u
#define WITNESS_VERSION 1u
/* What a person writes into the file to have a store taken as it is. */
#define WITNESS_ACCEPT "accept"

/* A set of rows: two of the same tally hold the same, as far as chance goes. */
struct tally {
    uint64_t count;
    uint64_t digest;
};

struct witness_state {
    uint64_t id;
    uint64_t epoch;
    uint64_t newest;
    uint64_t oldest;
    struct tally chunks;
    struct tally definitions;
};

enum witness_word {
    WITNESS_NONE,    /* The file is new, or nothing was ever told. */
    WITNESS_ACCEPTS, /* A person says: take what is there. */
    WITNESS_DAMAGED, /* Something was told, but none of it is whole. */
    WITNESS_NEWER,   /* In a version that is not known here. */
    WITNESS_TELLS,
};

struct witness;

/* Reads the file without making, locking or changing it, for those who only look; a process may be
 * telling it things meanwhile. One that is not there is WITNESS_NONE. */
enum witness_word witness_peek(const char *path, struct witness_state *state);

/* Opens or makes the file, locks it and reads it. NULL with a line for people in `problem`; `busy`
 * tells whether another process has it. */
struct witness *witness_open(const char *path, bool *busy, char *problem, size_t problem_size);

/* What was found when it was opened; `state` only if it tells. */
enum witness_word witness_read(const struct witness *w, struct witness_state *state);

/* Makes the file ready, tells the first state, and comes back when that is on disk. Once. False
 * with a line for people if the file cannot be written. */
bool witness_begin(struct witness *w, const struct witness_state *state, char *problem,
                   size_t problem_size);

/* The store holds this, and all of it is on disk. Writes memory, and nothing else; once a second it
 * wakes the thread that syncs. */
void witness_tell(struct witness *w, const struct witness_state *state);

/* Syncs what was told and closes the file. */
void witness_close(struct witness *w);

#endif
