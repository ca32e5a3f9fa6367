#ifndef ROUTING_HEADER_H
#define ROUTING_HEADER_H

/*
 * A header value as headers exchanges see it: of the many wire types only the family is left, for
 * values are compared within a family (any integer with any float, any string with any string)
 * and never across. Whoever parses a field table makes these; the octets stay with the parser.
 */

#include "broker/base/bytes.h"

enum header_kind {
    HEADER_VOID,
    HEADER_BOOL,
    HEADER_INTEGER,  /* Every integer that fits; timestamps too. */
    HEADER_UNSIGNED, /* For what lies above INT64_MAX; smaller values are fine, too. */
    HEADER_FLOAT,
    HEADER_STRING,
    HEADER_OPAQUE, /* Tables, arrays, decimals: the type octet and the encoding, sorted. */
};

struct header {
    struct bytes name;
    enum header_kind kind;
    union {
        bool boolean;
        int64_t integer;
        uint64_t unsigned_integer;
        double floating;
        struct bytes octets; /* HEADER_STRING and HEADER_OPAQUE. */
    } value;
};

/*
 * Numbers compare by value, without rounding: 2^53 + 1 equals no double. Not-a-number equals
 * nothing, two voids are equal. Names are not looked at. Any thread.
 */
bool header_values_equal(const struct header *a, const struct header *b);

#endif
