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
/* The clock is looked at only so often: that costs as much as the step itself. */
#define SHARE_STEPS 16u

struct share {
    unsigned steps;
    uint64_t end_ns;
};

/* To be asked after each step. */
static inline bool
share_is_used_up(struct share *s)
{
    if (++s->steps % SHARE_STEPS != 0)
        return false;
    const uint64_t now_ns = clock_monotonic_ns();
    if (s->end_ns == 0)
        s->end_ns = now_ns + SHARE_NS;
    return now_ns > s->end_ns;
}

#endif
