#ifndef ROUTING_HEADERS_MATCH_H
#define ROUTING_HEADERS_MATCH_H

/*
 * One binding of a headers exchange: conditions made of its arguments, held against the headers
 * of messages. The argument x-match says which must be met and which names count:
 *
 *     all (the default)   every one; names starting "x-" are no conditions
 *     any                 at least one; the same
 *     all-with-x          every one; only x-match itself is no condition
 *     any-with-x          at least one; the same
 *
 * A condition is met by a header of that name with an equal value, or by any value if its own is
 * void. Without conditions, "all" accepts every message and "any" none.
 */

#include "routing/header.h"

/* The headers of one message, made quick to find. Borrows them. Owner: one thread. */
struct headers_index {
    const struct header *headers;
    size_t count;
    const struct header **sorted; /* By name, made when there is the first need; or NULL. */
    size_t sorted_count;
};

/* Costs nothing until something is looked for. */
void headers_index_init(struct headers_index *index, const struct header *headers, size_t count);

void headers_index_fini(struct headers_index *index);

/* The first header of that name, or NULL. */
const struct header *headers_index_find(struct headers_index *index, struct bytes name);

struct headers_match;

/* Copies what it needs of the arguments. NULL if x-match is of a wrong type or value. */
struct headers_match *headers_match_create(const struct header *arguments, size_t count);

void headers_match_destroy(struct headers_match *m);

/* Any thread may test the same match, each with its own index. */
bool headers_match_test(const struct headers_match *m, struct headers_index *index);

#endif
