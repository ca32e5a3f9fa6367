#include "broker/base/clock.h"

#include <time.h>

static uint64_t
clock_read_ns(clockid_t id)
{
    struct timespec t;
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
