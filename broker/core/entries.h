#ifndef BROKER_CORE_ENTRIES_H
#define BROKER_CORE_ENTRIES_H

/*
 * Entries that were read back, in order of sequence, each with a reference to its message, until
 * they are where they belong. A zeroed struct is empty. One owner.
 */

#include "broker/core/entry.h"

#include <stddef.h>

struct entries {
    struct entry *items;
    size_t count;
    size_t capacity;
    uint64_t octets; /* What holding their messages costs. */
};

/* Takes over the reference. */
void entries_push(struct entries *l, const struct entry *e);

/* Lets go of the messages from number `from` on, and of the memory; it is empty afterwards. */
void entries_fini(struct entries *l, size_t from);

#endif
