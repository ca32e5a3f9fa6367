#ifndef ROUTING_OCTETS_H
#define ROUTING_OCTETS_H

/* For structures that are allocated in one piece with the octets they refer to. */

#include "broker/base/bytes.h"

/* Copies to *place, moves it on, and returns the copy. The caller has made the room. */
static inline struct bytes
octets_append(uint8_t **place, struct bytes octets)
{
    uint8_t *start = *place;
    if (octets.size > 0)
        memcpy(start, octets.data, octets.size);
    *place += octets.size;
    return bytes_of(start, octets.size);
}

#endif
