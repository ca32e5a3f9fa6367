#ifndef BROKER_TOPOLOGY_APPLY_H
#define BROKER_TOPOLOGY_APPLY_H

/*
 * Makes what exists in this broker what is to exist: reads it, makes the plan, and carries it out
 * unless any of its changes is refused. Clients go on meanwhile, and may get in between: what then
 * cannot be done is said, and the rest is done. The same function serves the start, the reload, and
 * `railmq plan` and `apply`. Any thread, but one at a time: callers see to it.
 */

#include "broker/core/broker.h"
#include "broker/topology/plan.h"

struct apply_request {
    struct broker *broker;
    const struct topology *wanted; /* Sorted; outlives the result. */
    struct topology_rules rules;
    struct bytes origin; /* Who this configuration is, for pruning; may be empty. */
    bool is_plan_only;
};

enum apply_outcome {
    APPLY_NOTHING, /* No difference. */
    APPLY_DONE,    /* Or, for a plan, there would be something to do. */
    APPLY_REFUSED, /* Nothing has been done. */
    APPLY_FAILED,  /* Some of it could not be done. */
};

struct apply_result {
    enum apply_outcome outcome;
    struct topology current;
    struct plan plan;
    bool is_committed; /* What was done is in the store. */
};

void apply_topology(const struct apply_request *request, struct apply_result *result);
void apply_result_fini(struct apply_result *result);

/* The rules of the file, with what the caller of a command wishes besides. */
struct topology_rules apply_rules(const struct topology *wanted, bool prunes, bool forces);

/* One word for the outcome, and apply_summary behind it: what commands get as an answer. */
void apply_answer(const struct apply_result *result, struct buf *out);

/* A sentence about it, and where to look, for the log or the end of an answer. */
void apply_summary(const struct apply_result *result, struct buf *out);

#endif
