#ifndef BROKER_CORE_RECOVER_H
#define BROKER_CORE_RECOVER_H

/*
 * Start-up: turns what the store has kept into exchanges, queues, bindings and messages again. Used
 * once, before the workers run. Definitions come first; bindings wait until both their ends can be
 * there. Rows that make no sense are counted and named, never dropped in silence.
 */

#include "broker/core/broker.h"
#include "persistence/engine.h"

struct recovered {
    uint64_t exchanges;
    uint64_t queues;
    uint64_t bindings;
    uint64_t messages;
};

/* False with a line for people in `problem`. */
bool broker_recover(struct broker *b, struct engine *engine, struct recovered *out, char *problem,
                    size_t problem_size);

#endif
