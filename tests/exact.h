#ifndef TESTS_EXACT_H
#define TESTS_EXACT_H

/*
 * Input in a heap block that ends with its last octet, so that AddressSanitizer sees a reader that
 * goes one octet too far. The octets begin one past the block's start: even no octets at all have
 * an end that may not be touched, and nothing is aligned by luck. Owner: the test, one free each.
 */

#include "broker/base/bytes.h"
#include "broker/base/mem.h"

/* For tables of constants, where a compound literal is not allowed. */
#define OCTETS(text)                                                                               \
    {                                                                                              \
        (const uint8_t *)(text), sizeof(text) - 1                                                  \
    }

struct exact {
    uint8_t *block;
    struct bytes bytes;
};

/* Release with exact_free. */
static inline struct exact
exact_copy(struct bytes octets)
{
    struct exact e = { .block = mem_alloc(octets.size + 1) };
    if (octets.size > 0)
        memcpy(e.block + 1, octets.data, octets.size);
    e.bytes = bytes_of(e.block + 1, octets.size);
    return e;
}

static inline void
exact_free(struct exact *e)
{
    mem_free(e->block);
    *e = (struct exact){ 0 };
}

#endif
