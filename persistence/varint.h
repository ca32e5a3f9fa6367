#ifndef PERSISTENCE_VARINT_H
#define PERSISTENCE_VARINT_H

/*
 * Numbers of the store that are mostly small: seven bits an octet, lowest first, the eighth bit set
 * if more follow. Differences, which may be negative, are folded so that small ones stay small.
 */

#include "broker/base/bytes.h"

#define VARINT_SIZE_MAX 10u

/* Returns where the next octet goes; VARINT_SIZE_MAX are enough. */
static inline uint8_t *
varint_put(uint8_t *at, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        *at++ = (uint8_t)(value | 0x80);
    *at++ = (uint8_t)value;
    return at;
}

/* Takes a number off `in`; false if there is none, or none of 64 bits. */
static inline bool
varint_take(struct bytes *in, uint64_t *value)
{
    uint64_t v = 0;
    for (size_t i = 0; i < in->size && i < VARINT_SIZE_MAX; i++) {
        const uint64_t bits = in->data[i] & 0x7f;
        if (i + 1 == VARINT_SIZE_MAX && bits > 1)
            return false;
        v |= bits << (7 * i);
        if (in->data[i] < 0x80) {
            in->data += i + 1;
            in->size -= i + 1;
            *value = v;
            return true;
        }
    }
    return false;
}

/* The difference of two numbers, modulo 2^64, and back. */
static inline uint64_t
delta_fold(uint64_t from, uint64_t to)
{
    const uint64_t d = to - from;
    return d << 1 ^ (d >> 63 ? UINT64_MAX : 0);
}

static inline uint64_t
delta_unfold(uint64_t from, uint64_t folded)
{
    return from + (folded >> 1 ^ (folded & 1 ? UINT64_MAX : 0));
}

#endif
