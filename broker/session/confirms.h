#ifndef BROKER_SESSION_CONFIRMS_H
#define BROKER_SESSION_CONFIRMS_H

/*
 * Publishes of a channel in confirm mode that have no answer yet, as runs of consecutive publish
 * numbers with the same ticket and fate. Answers leave in order, up to the first run whose round is
 * not committed. A zeroed struct is empty. Owner: the channel.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct confirm_run {
    uint64_t first;
    uint64_t last;
    uint64_t ticket; /* 0: nothing to wait for. */
    bool rejected;   /* basic.nack instead of basic.ack. */
};

struct confirms {
    struct confirm_run *runs; /* Ring, capacity a power of two. */
    size_t capacity;
    size_t head;
    size_t tail;
};

/* Numbers must be consecutive from one call to the next. */
void confirms_add(struct confirms *c, uint64_t number, uint64_t ticket, bool rejected);

/* The next answer that may be given when rounds up to `committed` are durable: as long a run of
 * one fate as there is. False if none may. */
bool confirms_take(struct confirms *c, uint64_t committed, struct confirm_run *out);

/* What the oldest answer waits for. There must be one. */
uint64_t confirms_ticket(const struct confirms *c);

static inline bool
confirms_are_empty(const struct confirms *c)
{
    return c->head == c->tail;
}

void confirms_fini(struct confirms *c);

#endif
