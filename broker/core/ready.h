#ifndef BROKER_CORE_READY_H
#define BROKER_CORE_READY_H

/*
 * The ready messages of one priority, in order of sequence:
 *
 *     returned  <  head  <  paged  <  tail
 *
 * Returned ones lie in two heaps, those whose messages are in memory, and those that are absent:
 * their records are read when their turn comes near. Head and tail are runs of blocks in memory;
 * what lies between them is paged: only known by number, and read back likewise. New messages go to
 * the tail, or to the head while nothing is paged. What is taken comes from the front, so every
 * returned sequence is lower than all in the head, and order needs no search. A zeroed struct is
 * empty and owns nothing. Guarded by the queue's lock.
 */

#include "broker/core/entry_heap.h"
#include "broker/core/paged.h"

#include <stddef.h>

/* A block is closed when it holds so many entries, or so many octets. */
#define READY_BLOCK_ENTRIES 126u
#define READY_BLOCK_OCTETS (64u * 1024u)

struct ready_block {
    struct ready_block *next;
    uint64_t ticket; /* All its records are committed with this round. */
    uint64_t octets;
    uint32_t first; /* Taken next. */
    uint32_t end;   /* The first free place. */
    uint32_t capacity;
    struct entry entries[];
};

struct ready_blocks {
    struct ready_block *first;
    struct ready_block *last;
    size_t count;    /* Entries. */
    uint64_t octets; /* What holding their messages costs. */
};

/* Entries that came back, and whose messages are not in memory. */
struct ready_absent {
    struct entry_heap entries;
    bool is_wanted; /* Those at the front, in memory. */
    bool is_broken; /* The first one cannot be read. */
};

struct ready {
    struct entry_heap returned;
    uint64_t returned_octets; /* What holding their messages costs. */
    struct ready_absent absent;
    struct ready_blocks head;
    struct paged paged;
    struct ready_blocks tail;
};

static inline size_t
ready_count(const struct ready *r)
{
    return r->returned.count + r->absent.entries.count + r->head.count + paged_count(&r->paged) +
           r->tail.count;
}

/* The sequence must be above all that were ever appended. `ticket` is that of its record, or 0. */
void ready_append(struct ready *r, const struct entry *e, uint64_t ticket);

/* Puts back what was taken, at its old place. */
void ready_return(struct ready *r, const struct entry *e);

/* The entry at the front, or NULL if it is not in memory. Stays until the next change. */
const struct entry *ready_front(const struct ready *r);

/* Whether the entry at the front is an absent one. */
bool ready_front_is_absent(const struct ready *r);

/* Removes the front; it must not be paged. */
struct entry ready_take(struct ready *r);

/* Whether what is paged should be read back now: little is left before it. */
bool ready_runs_low(const struct ready *r);

/* The same for what came back and is absent. */
bool ready_absent_runs_low(const struct ready *r);

/* Moves the oldest block of the tail out and returns it, for the caller to page; the head keeps
 * enough to go on with. NULL if there is none, or not all of it is committed. */
struct ready_block *ready_shed(struct ready *r, uint64_t committed);
void ready_block_free(struct ready_block *b);

/* Puts the front of what was paged behind the head again; the caller has taken it out of `paged`.
 */
void ready_restore(struct ready *r, const struct entry *e);

/* Which entries are to go, and where. */
struct ready_removal {
    bool (*goes)(void *context, const struct entry *e);
    void (*gone)(void *context, const struct entry *e); /* Gets its reference. */
    void *context;
};

/* Removes entries that are not paged with sequences from `first` to `last`. */
void ready_remove(struct ready *r, uint64_t first, uint64_t last,
                  const struct ready_removal *removal);

/* When nothing is paged any more, the tail joins the head. */
void ready_join(struct ready *r);

/* Releases the memory of an empty or abandoned struct; references are the caller's business. */
void ready_fini(struct ready *r);

#endif
