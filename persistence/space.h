#ifndef PERSISTENCE_SPACE_H
#define PERSISTENCE_SPACE_H

/*
 * Room on the file system of the data directory. The store is not to be told that the disk is
 * full, because then it must be closed and opened again; so before each round the door asks here
 * whether there is room for the round and for what the store may still have to write in the
 * background. Below a watermark, well before that, the disk counts as low and publishers are
 * blocked.
 *
 * The ballast is a file that holds room back for when there is none: it is deleted so that what
 * frees room, settlements and deletions, can still be written, and made again when there is plenty.
 *
 * Owner: the broker. Everything belongs to the committer's thread once the door has the space,
 * except space_is_low.
 */

#include <stdbool.h>
#include <stdint.h>

/* The file system at one moment; octets. */
struct space_reading {
    uint64_t total;
    uint64_t free;      /* For this user. */
    uint64_t unflushed; /* Of the store's log: what it will write again, as tables, before the log
                         * goes. */
    uint64_t ahead;     /* Allocated to the log behind its end: it grows into that first. */
    uint64_t log_file;  /* The most that one file of the log has allocated: a new one takes as much
                         * at once, possibly while the old one is flushed. */
    uint64_t tables;    /* Of the store: a compaction writes some of them once more before the old
                         * ones go. */
};

/* False if it cannot be known; the disk then counts as it did before. */
typedef bool space_measure(void *context, struct space_reading *reading);

/* Frees what is dead in the store, with `room` octets beyond those for flushing; may take about a
 * second. False: try again later. */
typedef bool space_clean(void *context, uint64_t room);

struct space_options {
    const char *directory;  /* The ballast lies here; the store in store/ below it. */
    uint64_t watermark;     /* At most a quarter of the file system counts. */
    uint64_t look_ms;       /* Between two looks while there is room; 0: a second. */
    space_measure *measure; /* NULL: the file system that `directory` is on. */
    void *context;
};

/* What wants to be written. */
struct space_claim {
    uint64_t bytes;   /* Of the next round. */
    uint64_t waiting; /* Of all that has been pushed, the round included. */
    bool has_records; /* The round makes the store larger. */
    bool frees;       /* Something that has been pushed frees room. */
};

struct space;

/* Before the store is opened: an old ballast goes if opening needs the room. */
struct space *space_create(const struct space_options *options);
void space_destroy(struct space *space);

/* The cleaner is called while the disk is low and something has been freed since the last time. */
void space_set_cleaner(struct space *space, space_clean *clean, void *context);

/* Whether the round may go. If it may not, ask again a little later: nothing but the disk has
 * changed. Measures when it must, and deletes the ballast when that helps. */
bool space_admits(struct space *space, const struct space_claim *claim);

/* The round of the claim has been written. */
void space_wrote(struct space *space, const struct space_claim *claim);

/* The store has met a full disk in spite of all: the ballast goes, and the disk counts as low,
 * until space_recovered. */
void space_ran_out(struct space *space, uint64_t waiting);
void space_recovered(struct space *space, uint64_t waiting);

/* Measures if it is time to, raises or lifts the state, cleans, makes the ballast again. */
void space_look(struct space *space, uint64_t waiting);

/* When space_look is due, on the monotonic clock. */
uint64_t space_due_ms(const struct space *space);

/* Octets that were free at the last measurement. */
uint64_t space_free(const struct space *space);

/* Publishers should be blocked. Any thread. */
bool space_is_low(const struct space *space);

/* The reading of the real file system; `context` is the data directory's path. */
bool space_measure_directory(void *context, struct space_reading *reading);

#endif
