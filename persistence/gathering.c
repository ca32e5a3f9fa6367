#include "persistence/gathering.h"

/* Of the time that syncing takes: what a round may lose at most by waiting in vain. */
#define PATIENCE_SHARE 4u
/* A disk that slow is no better for waiting: what comes together in its time is a good round. */
#define SYNC_NS_MAX UINT64_C(2000000)
#define MISSES_MAX 8u

void
gathering_note_synced(struct gathering *g, uint64_t records, uint64_t took_ns)
{
    g->wanted = records > 1 && took_ns <= SYNC_NS_MAX ? records : 0;
    g->patience_ns = took_ns / PATIENCE_SHARE;
}

static void
note_hit(struct gathering *g)
{
    if (g->misses > 0)
        g->misses--;
}

uint64_t
gathering_begin(struct gathering *g, uint64_t records)
{
    if (records == 0 || g->wanted == 0)
        return 0;
    if (records >= g->wanted) {
        note_hit(g);
        return 0;
    }
    if (g->rest > 0) {
        g->rest--;
        return 0;
    }
    return g->patience_ns;
}

void
gathering_end(struct gathering *g, uint64_t records)
{
    if (records >= g->wanted) {
        note_hit(g);
        return;
    }
    if (g->misses < MISSES_MAX)
        g->misses++;
    g->rest = 1u << g->misses;
}
