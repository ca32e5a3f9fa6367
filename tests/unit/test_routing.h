#ifndef TESTS_UNIT_TEST_ROUTING_H
#define TESTS_UNIT_TEST_ROUTING_H

/*
 * What the tests of routing share: repeatable randomness, makers of keys and headers, and a
 * matcher of topics that is too simple to be wrong.
 */

#include "broker/base/bytes.h"
#include "broker/base/mem.h"
#include "broker/base/rand.h"
#include "routing/router.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct random {
    uint64_t state;
};

/* From TEST_SEED if that is set, so that a failure can be had again. */
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

/* Below `bound`; splitmix64. */
static inline size_t
random_below(struct random *r, size_t bound)
{
    uint64_t z = r->state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return (size_t)((z ^ (z >> 31)) % bound);
}

/* Up to `word_count_max` of these words, with dots between them; none gives "". */
static inline struct bytes
random_topic(struct random *r, const char *const *words, size_t word_count, size_t word_count_max,
             char out[256])
{
    const size_t count = random_below(r, word_count_max + 1);
    size_t size = 0;
    for (size_t i = 0; i < count; i++)
        size += (size_t)snprintf(out + size, 256 - size, "%s%s", i == 0 ? "" : ".",
                                 words[random_below(r, word_count)]);
    return bytes_of(out, size);
}

/* Topics, the naive way: split into words, then try everything. */

struct naive_words {
    size_t count;
    struct bytes words[256];
};

static inline void
naive_split(struct bytes text, struct naive_words *out)
{
    out->count = 0;
    if (text.size == 0)
        return;
    size_t start = 0;
    for (size_t i = 0; i <= text.size; i++) {
        if (i < text.size && text.data[i] != '.')
            continue;
        out->words[out->count++] = bytes_of(text.data + start, i - start);
        start = i + 1;
    }
}

static inline bool
naive_words_match(const struct bytes *pattern, size_t pattern_count, const struct bytes *key,
                  size_t key_count)
{
    if (pattern_count == 0)
        return key_count == 0;
    if (bytes_equal(pattern[0], BYTES_LITERAL("#"))) {
        for (size_t skipped = 0; skipped <= key_count; skipped++)
            if (naive_words_match(pattern + 1, pattern_count - 1, key + skipped,
                                  key_count - skipped))
                return true;
        return false;
    }
    if (key_count == 0)
        return false;
    if (!bytes_equal(pattern[0], BYTES_LITERAL("*")) && !bytes_equal(pattern[0], key[0]))
        return false;
    return naive_words_match(pattern + 1, pattern_count - 1, key + 1, key_count - 1);
}

static inline bool
naive_topic_match(struct bytes pattern, struct bytes key)
{
    struct naive_words p;
    struct naive_words k;
    naive_split(pattern, &p);
    naive_split(key, &k);
    return naive_words_match(p.words, p.count, k.words, k.count);
}

/* Headers. */

static inline struct header
header_void(const char *name)
{
    return (struct header){ .name = bytes_of_string(name), .kind = HEADER_VOID };
}

static inline struct header
header_bool(const char *name, bool value)
{
    return (struct header){ bytes_of_string(name), HEADER_BOOL, { .boolean = value } };
}

static inline struct header
header_integer(const char *name, int64_t value)
{
    return (struct header){ bytes_of_string(name), HEADER_INTEGER, { .integer = value } };
}

static inline struct header
header_unsigned(const char *name, uint64_t value)
{
    return (struct header){ bytes_of_string(name), HEADER_UNSIGNED, { .unsigned_integer = value } };
}

static inline struct header
header_float(const char *name, double value)
{
    return (struct header){ bytes_of_string(name), HEADER_FLOAT, { .floating = value } };
}

static inline struct header
header_string(const char *name, const char *value)
{
    return (struct header){ bytes_of_string(name),
                            HEADER_STRING,
                            { .octets = bytes_of_string(value) } };
}

static inline struct header
header_opaque(const char *name, const char *value)
{
    return (struct header){ bytes_of_string(name),
                            HEADER_OPAQUE,
                            { .octets = bytes_of_string(value) } };
}

/* Bindings and routes. */

static inline struct binding_request
request_of(struct destination *d, const char *key)
{
    return (struct binding_request){ .destination = d, .key = bytes_of_string(key) };
}

static inline void
bind_key(struct router *r, struct destination *d, const char *key)
{
    const struct binding_request request = request_of(d, key);
    assert_int_equal(router_bind(r, &request), BIND_ADDED);
}

static inline bool
route_set_has(const struct route_set *s, const struct destination *d)
{
    for (size_t i = 0; i < s->count; i++)
        if (s->items[i] == d)
            return true;
    return false;
}

/* Clears the set first. */
static inline struct route_trace
route_key(struct router *r, const char *key, struct route_set *out)
{
    const struct route_query query = { .key = bytes_of_string(key) };
    route_set_clear(out);
    return router_resolve(r, &query, NULL, out);
}

#endif
