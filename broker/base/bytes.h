#ifndef BROKER_BASE_BYTES_H
#define BROKER_BASE_BYTES_H

/*
 * A borrowed run of octets. Names, keys and bodies travel as struct bytes: they may hold any octet,
 * are not terminated, and belong to somebody else. Whoever keeps one longer than the call copies
 * it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct bytes {
    const uint8_t *data;
    size_t size;
};

#define BYTES_NONE ((struct bytes){ NULL, 0 })
#define BYTES_LITERAL(text) ((struct bytes){ (const uint8_t *)(text), sizeof(text) - 1 })
/* For printf("%.*s", BYTES_ARGS(b)). */
#define BYTES_ARGS(b) (int)(b).size, (const char *)(b).data

static inline struct bytes
bytes_of(const void *data, size_t size)
{
    return (struct bytes){ data, size };
}

static inline struct bytes
bytes_of_string(const char *text)
{
    return (struct bytes){ (const uint8_t *)text, strlen(text) };
}

/* One past the last octet. BYTES_NONE has no address, and C allows no arithmetic on none. */
static inline const uint8_t *
bytes_end(struct bytes b)
{
    return b.size == 0 ? b.data : b.data + b.size;
}

static inline bool
bytes_equal(struct bytes a, struct bytes b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static inline bool
bytes_start_with(struct bytes b, struct bytes prefix)
{
    return b.size >= prefix.size && bytes_equal(bytes_of(b.data, prefix.size), prefix);
}

/* Order by octets, the shorter first among equals: for sorting, not for people. */
static inline int
bytes_compare(struct bytes a, struct bytes b)
{
    const size_t common = a.size < b.size ? a.size : b.size;
    const int order = common == 0 ? 0 : memcmp(a.data, b.data, common);
    if (order != 0)
        return order;
    return (a.size > b.size) - (a.size < b.size);
}

/* Keyed 64-bit hash (XXH3); the key is drawn at process start, so peers cannot aim at buckets. */
uint64_t bytes_hash(struct bytes b);

/* The same over two runs, for (exchange, routing key) pairs; not equal to a hash of their join. */
uint64_t bytes_hash2(struct bytes a, struct bytes b);

/* Allocates a copy; free with mem_free. An empty run gives an empty, non-NULL copy. */
struct bytes bytes_copy(struct bytes b);

/* Well-formed UTF-8: no overlong forms, no surrogates, nothing above U+10FFFF. */
bool bytes_are_utf8(struct bytes b);

#endif
