#ifndef BROKER_BASE_CLOCK_H
#define BROKER_BASE_CLOCK_H

/* The only source of time. Monotonic for everything that waits, wall only for what people or
 * messages see. Any thread. */

#include <stdint.h>

uint64_t clock_monotonic_ns(void);
uint64_t clock_monotonic_ms(void);

/* Microseconds since the Unix epoch. */
uint64_t clock_wall_us(void);

#endif
