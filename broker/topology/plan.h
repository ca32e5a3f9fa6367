#ifndef BROKER_TOPOLOGY_PLAN_H
#define BROKER_TOPOLOGY_PLAN_H

/*
 * What has to change so that what exists becomes what is to exist. One pure function makes it, for
 * `railmq plan` and `apply`, at start and on reload. Creations, updates and replacements come
 * first, in the order in which things depend on each other; deletions last, the other way round.
 * A plan with a refused change is not to be applied at all. One thread.
 */

#include "broker/topology/topology.h"

enum change_kind {
    CHANGE_CREATE,
    CHANGE_UPDATE,
    CHANGE_REPLACE, /* Deleted and made again. */
    CHANGE_DELETE,
};
#define CHANGE_KINDS 4

struct change {
    enum change_kind kind;
    const struct topology_item *wanted;  /* NULL: deleted. */
    const struct topology_item *current; /* NULL: created. */
    unsigned fields;                     /* Bits of those that differ. */
    uint64_t messages;                   /* That would be lost. */
    const char *refusal;                 /* Why it will not be done, and what to do; NULL: fine. */
    char failure[300];                   /* Why it could not be done; empty: it could. */
};

struct plan {
    struct change *changes;
    size_t count;
    size_t capacity;
    size_t counts[CHANGE_KINDS];
    size_t refused;
};

struct plan_request {
    const struct topology *current; /* Both sorted, and outlive the plan. */
    const struct topology *wanted;
    struct topology_rules rules;
    /* Whether the user's password is this one. NULL: it is not known, and so a change. */
    bool (*password_is)(void *context, const struct topology_item *user, struct bytes password);
    void *context;
};

void plan_make(struct plan *plan, const struct plan_request *request);
void plan_fini(struct plan *plan);

/* Appends the plan for people, or as JSON. Secrets are not shown. */
void plan_print(const struct plan *plan, bool is_coloured, struct buf *out);
void plan_print_json(const struct plan *plan, struct buf *out);

#endif
