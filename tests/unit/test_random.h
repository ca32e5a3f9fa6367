#ifndef TESTS_UNIT_TEST_RANDOM_H
#define TESTS_UNIT_TEST_RANDOM_H

/*
 * Randomness that can be had again: each test prints its seed and takes it from TEST_SEED.
 */

#include "broker/base/rand.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct random {
    uint64_t state;
};

static inline struct random
random_start(const char *test)
{
    const char *given = getenv("TEST_SEED");
    uint64_t seed = 0;
    if (given != NULL)
        seed = strtoull(given, NULL, 0);
    else
        rand_bytes(&seed, sizeof(seed));
    printf("%s: TEST_SEED=%" PRIu64 "\n", test, seed);
    return (struct random){ seed };
}

/* Any 64 bits; splitmix64. */
static inline uint64_t
random_next(struct random *r)
{
    uint64_t z = r->state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

/* Below `bound`, which is not 0. */
static inline size_t
random_below(struct random *r, size_t bound)
{
    return (size_t)(random_next(r) % bound);
}

#endif
