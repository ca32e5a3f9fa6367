#ifndef BROKER_SESSION_COUNTERS_H
#define BROKER_SESSION_COUNTERS_H

/*
 * What a worker counts as it goes. Each has counters of its own, so that no cache line travels
 * between workers for them: only the worker writes, anybody reads and adds up.
 */

#include <stdatomic.h>
#include <stdint.h>

struct counters {
#define COUNTER(member, name, help) _Atomic uint64_t member;
#include "broker/session/counters.def"
};

/* On the worker's thread. */
static inline void
counter_add(_Atomic uint64_t *counter, uint64_t n)
{
    const uint64_t old = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, old + n, memory_order_relaxed);
}

#endif
