#include "broker/base/clock.h"

#include <stdatomic.h>
#include <time.h>

static _Atomic uint64_t held_ns; /* What the monotonic clock shows; 0: the time. */

static uint64_t wall_at_zero_ms; /* When the monotonic clock told 0. */

static uint64_t
clock_read_ns(clockid_t id)
{
    struct timespec t;
    const uint64_t held = atomic_load_explicit(&held_ns, memory_order_relaxed);
    if (held != 0)
        return held + (id == CLOCK_REALTIME ? wall_at_zero_ms * 1000000u : 0);
    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t
clock_monotonic_ns(void)
{
    return clock_read_ns(CLOCK_MONOTONIC);
}

uint64_t
clock_monotonic_ms(void)
{
    return clock_read_ns(CLOCK_MONOTONIC) / 1000000u;
}

uint64_t
clock_wall_us(void)
{
    return clock_read_ns(CLOCK_REALTIME) / 1000u;
}

void
clock_hold(uint64_t monotonic_ns)
{
    atomic_store(&held_ns, monotonic_ns);
}

static void __attribute__((constructor)) clock_compare(void)
{
    wall_at_zero_ms = clock_wall_us() / 1000u - clock_monotonic_ms();
}

uint64_t
clock_wall_of_ms(uint64_t monotonic_ms)
{
    return wall_at_zero_ms + monotonic_ms;
}

uint64_t
clock_monotonic_of_wall_ms(uint64_t wall_ms)
{
    return wall_ms > wall_at_zero_ms ? wall_ms - wall_at_zero_ms : 1;
}
