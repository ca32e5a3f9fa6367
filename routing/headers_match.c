#include "routing/headers_match.h"

#include "broker/base/mem.h"
#include "routing/octets.h"

#include <stdlib.h>

/* Up to here a search one by one beats sorting. */
#define HEADERS_FEW 16

#define X_MATCH BYTES_LITERAL("x-match")
#define X_PREFIX BYTES_LITERAL("x-")

struct match_mode {
    const char *name;
    bool any;
    bool with_x;
};

static const struct match_mode match_modes[] = {
    { "all", false, false },
    { "any", true, false },
    { "all-with-x", false, true },
    { "any-with-x", true, true },
};

#define MATCH_MODE_COUNT (sizeof(match_modes) / sizeof(match_modes[0]))

struct headers_match {
    bool any;
    size_t count;
    struct header conditions[]; /* Followed by the octets that they refer to. */
};

/* Index. */

void
headers_index_init(struct headers_index *index, const struct header *headers, size_t count)
{
    *index = (struct headers_index){ .headers = headers, .count = count };
}

void
headers_index_fini(struct headers_index *index)
{
    mem_free(index->sorted);
    headers_index_init(index, NULL, 0);
}

static const struct header *
headers_find_first(const struct header *headers, size_t count, struct bytes name)
{
    for (size_t i = 0; i < count; i++)
        if (bytes_equal(headers[i].name, name))
            return &headers[i];
    return NULL;
}

/* By name, those of the same name in message order. */
static int
headers_compare(const void *a, const void *b)
{
    const struct header *x = *(const struct header *const *)a;
    const struct header *y = *(const struct header *const *)b;
    const int order = bytes_compare(x->name, y->name);
    return order != 0 ? order : (x > y) - (x < y);
}

static void
headers_index_sort(struct headers_index *index)
{
    index->sorted = mem_alloc(index->count * sizeof(struct header *));
    for (size_t i = 0; i < index->count; i++)
        index->sorted[i] = &index->headers[i];
    qsort(index->sorted, index->count, sizeof(struct header *), headers_compare);
    size_t kept = 0;
    for (size_t i = 0; i < index->count; i++)
        if (kept == 0 || !bytes_equal(index->sorted[kept - 1]->name, index->sorted[i]->name))
            index->sorted[kept++] = index->sorted[i];
    index->sorted_count = kept;
}

static int
header_compare_name(const void *name, const void *element)
{
    const struct header *h = *(const struct header *const *)element;
    return bytes_compare(*(const struct bytes *)name, h->name);
}

const struct header *
headers_index_find(struct headers_index *index, struct bytes name)
{
    if (index->count <= HEADERS_FEW)
        return headers_find_first(index->headers, index->count, name);
    if (index->sorted == NULL)
        headers_index_sort(index);
    const struct header **found = bsearch(&name, index->sorted, index->sorted_count,
                                          sizeof(struct header *), header_compare_name);
    return found == NULL ? NULL : *found;
}

/* Match. */

static const struct match_mode *
match_mode_find(const struct header *arguments, size_t count)
{
    const struct header *wanted = headers_find_first(arguments, count, X_MATCH);
    if (wanted == NULL)
        return &match_modes[0];
    if (wanted->kind != HEADER_STRING)
        return NULL;
    for (size_t i = 0; i < MATCH_MODE_COUNT; i++)
        if (bytes_equal(wanted->value.octets, bytes_of_string(match_modes[i].name)))
            return &match_modes[i];
    return NULL;
}

static bool
header_is_condition(const struct header *h, const struct match_mode *mode)
{
    if (mode->with_x)
        return !bytes_equal(h->name, X_MATCH);
    return !bytes_start_with(h->name, X_PREFIX);
}

static bool
header_has_octets(const struct header *h)
{
    return h->kind == HEADER_STRING || h->kind == HEADER_OPAQUE;
}

static void
headers_match_fill(struct headers_match *m, const struct match_mode *mode,
                   const struct header *arguments, size_t count)
{
    uint8_t *octets = (uint8_t *)&m->conditions[m->count];
    struct header *condition = m->conditions;
    for (size_t i = 0; i < count; i++) {
        if (!header_is_condition(&arguments[i], mode))
            continue;
        *condition = arguments[i];
        condition->name = octets_append(&octets, arguments[i].name);
        if (header_has_octets(condition))
            condition->value.octets = octets_append(&octets, arguments[i].value.octets);
        condition++;
    }
}

struct headers_match *
headers_match_create(const struct header *arguments, size_t count)
{
    const struct match_mode *mode = match_mode_find(arguments, count);
    if (mode == NULL)
        return NULL;
    size_t condition_count = 0;
    size_t octet_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (!header_is_condition(&arguments[i], mode))
            continue;
        condition_count++;
        octet_count += arguments[i].name.size;
        if (header_has_octets(&arguments[i]))
            octet_count += arguments[i].value.octets.size;
    }
    struct headers_match *m =
        mem_alloc(sizeof(*m) + condition_count * sizeof(m->conditions[0]) + octet_count);
    m->any = mode->any;
    m->count = condition_count;
    headers_match_fill(m, mode, arguments, count);
    return m;
}

void
headers_match_destroy(struct headers_match *m)
{
    mem_free(m);
}

static bool
condition_is_met(const struct header *condition, struct headers_index *index)
{
    const struct header *h = headers_index_find(index, condition->name);
    if (h == NULL)
        return false;
    return condition->kind == HEADER_VOID || header_values_equal(condition, h);
}

bool
headers_match_test(const struct headers_match *m, struct headers_index *index)
{
    /* "any" is settled by the first condition met, "all" by the first one missed. */
    for (size_t i = 0; i < m->count; i++)
        if (condition_is_met(&m->conditions[i], index) == m->any)
            return m->any;
    return !m->any;
}
