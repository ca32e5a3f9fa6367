#ifndef BROKER_SESSION_SHARE_H
#define BROKER_SESSION_SHARE_H

/*
 * How long one connection may keep its worker from the others. Most methods take less than a
 * microsecond and a read of them all much less than a share. But some take longer the more a client
 * has under way, and a read holds thousands of them: what goes over the share waits for the next
 * turn. A zeroed struct is a new share. One thread.
 */

#include "broker/base/clock.h"

#include <stdbool.h>

#define SHARE_NS UINT64_C(10000000)
/* What a step may weigh: a method may take a millisecond, a delivery or the octets of a message
 * never do. The clock is looked at when so much has come together: that costs as much as a light
 * step. */
#define SHARE_LIGHT 1u
#define SHARE_HEAVY 16u
#define SHARE_LOOK 512u

struct share {
    unsigned weight;
    uint64_t end_ns;
};

/* To be asked after each step. */
static inline bool
share_is_used_up(struct share *s, unsigned weight)
{
    s->weight += weight;
    if (s->weight < SHARE_LOOK)
        return false;
    s->weight = 0;
    const uint64_t now_ns = clock_monotonic_ns();
    if (s->end_ns == 0)
        s->end_ns = now_ns + SHARE_NS;
    return now_ns > s->end_ns;
}

#endif
