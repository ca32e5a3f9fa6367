#ifndef BROKER_CORE_POLICY_H
#define BROKER_CORE_POLICY_H

/*
 * Policies: what operators say of queues and exchanges by the pattern of their names. Of each sort,
 * policies and operator policies, at most one is in force for an object: the one of the highest
 * priority whose pattern and apply-to fit; of equals, the first by name. Policies are notes in the
 * store (notes.h). Any thread; the lock is a leaf but for the notes'.
 */

#include "broker/base/pattern.h"
#include "broker/core/notes.h"

enum policy_target {
    POLICY_FOR_CLASSIC_QUEUE,
    POLICY_FOR_QUORUM_QUEUE,
    POLICY_FOR_STREAM,
    POLICY_FOR_EXCHANGE,
};

enum policy_apply_to {
    POLICY_TO_ALL,
    POLICY_TO_QUEUES,
    POLICY_TO_EXCHANGES,
    POLICY_TO_CLASSIC_QUEUES,
    POLICY_TO_QUORUM_QUEUES,
    POLICY_TO_STREAMS,
};

/* "all", "queues", "exchanges", "classic_queues", "quorum_queues" or "streams". */
const char *policy_apply_to_name(enum policy_apply_to apply_to);

/* False if there is no such word. */
bool policy_apply_to_find(struct bytes name, enum policy_apply_to *out);

struct policy_spec {
    struct bytes vhost;
    struct bytes name;
    bool is_operators;
    struct bytes pattern;
    enum policy_apply_to apply_to;
    int32_t priority;
    struct bytes definition; /* Canonical table; keys without "x-". */
};

struct policies {
    struct lock lock;
    struct list all; /* Guarded by lock. Of struct policy. */
    struct notes *notes;
    _Atomic uint64_t epoch; /* Moves with every change. */
};

/* The notes are borrowed. */
void policies_init(struct policies *p, struct notes *notes);
void policies_fini(struct policies *p);

/* Start-up: once the notes are there. False if one cannot be understood. */
bool policies_restore(struct policies *p);

/* Makes or changes the policy of that vhost, sort and name. False, with a line for people, if the
 * pattern does not compile. */
bool policy_put(struct policies *p, const struct policy_spec *spec, uint64_t *ticket, char *problem,
                size_t problem_size);

/* Removing what is not there is fine. Returns a ticket, or 0. */
uint64_t policy_delete(struct policies *p, struct bytes vhost, bool is_operators,
                       struct bytes name);

/* Of a vhost that is deleted. */
uint64_t policies_delete_vhost(struct policies *p, struct bytes vhost);

enum policy_sort {
    POLICY_USERS,
    POLICY_OPERATORS,
    POLICY_SORTS,
};

/* Copies; both are empty if there is none of the sort. */
struct policy_in_force {
    struct buf name;
    struct buf definition;
};

/* What is in force for the object, by sort. False if nothing is. Call policies_in_force_fini in any
 * case. */
bool policy_for(struct policies *p, struct bytes vhost, struct bytes name,
                enum policy_target target, struct policy_in_force found[POLICY_SORTS]);
void policies_in_force_fini(struct policy_in_force found[POLICY_SORTS]);

/* Calls `each` for all, by vhost, sort and name, with the lock held: it must not call back. */
void policies_each(struct policies *p,
                   void (*each)(void *context, const struct policy_spec *policy), void *context);

#endif
