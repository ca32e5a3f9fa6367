#ifndef PERSISTENCE_GATHERING_H
#define PERSISTENCE_GATHERING_H

/*
 * Whether a round waits a moment for more before it is synced.
 *
 * Publishers that wait for confirms answer a round with the next one: as many messages as were
 * confirmed come together, within a few microseconds of each other. A round that takes the first of
 * them and leaves the rest makes two syncs of one, and it stays so: each half comes back while the
 * other is synced. So a round waits for as many records as the one before had, if that is short
 * beside the sync. Where that turns out to be in vain, because messages come when they like, it is
 * tried less and less often.
 *
 * Owned by the committer; plain values without a clock.
 */

#include <stdbool.h>
#include <stdint.h>

struct gathering {
    uint64_t wanted;      /* Records; 0 if nothing is to be waited for. */
    uint64_t patience_ns; /* How long at most. */
    unsigned misses;      /* That weigh: waits in vain make it grow, the others shrink. */
    unsigned rest;        /* Rounds that do not wait, whatever comes. */
};

/* A round of so many records was synced and that took so long. */
void gathering_note_synced(struct gathering *g, uint64_t records, uint64_t took_ns);

/* How long a round that has these records already waits for more; 0: it goes as it is. If it is
 * not 0, gathering_end follows. */
uint64_t gathering_begin(struct gathering *g, uint64_t records);

/* What the round had in the end. */
void gathering_end(struct gathering *g, uint64_t records);

#endif
