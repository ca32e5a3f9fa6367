#ifndef BROKER_BASE_CLOCK_H
#define BROKER_BASE_CLOCK_H

/* The only source of time. Monotonic for everything that waits, wall only for what people or
 * messages see. Any thread. */

#include <stdint.h>

uint64_t clock_monotonic_ns(void);
uint64_t clock_monotonic_ms(void);

/* Microseconds since the Unix epoch. */
uint64_t clock_wall_us(void);

/* Moments of one clock as the other would tell them, by the distance they had when the process
 * began: a wall clock that is set while it runs moves nothing that is due. What lies before the
 * beginning of the monotonic clock is its beginning, 1. */
uint64_t clock_wall_of_ms(uint64_t monotonic_ms);
uint64_t clock_monotonic_of_wall_ms(uint64_t wall_ms);

/* For simulations: from now on both clocks stand still, the monotonic one at that time, until they
 * are set again; 0 lets them go. What sleeps until some time does not notice. */
void clock_hold(uint64_t monotonic_ns);

#endif
