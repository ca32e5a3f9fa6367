#ifndef BROKER_TOPOLOGY_LOAD_INTERNAL_H
#define BROKER_TOPOLOGY_LOAD_INTERNAL_H

/* What the readers of the configuration and of definitions share: objects, key by key. */

#include "broker/topology/load.h"

#define LOAD_NAME_MAX 255u

struct loader {
    struct diagnostics *d;
    struct topology *t;
    struct bytes vhost;
    bool expands;    /* ${...} in values. */
    bool is_lenient; /* Unknown keys are warnings: another program has written them. */
};

/* A key of an object that is not a field of its kind. Items move when others are added, so they go
 * by their index. */
struct load_special {
    const char *name;
    void (*read)(struct loader *l, size_t item, const struct tree_node *key,
                 const struct tree_node *node);
};

/* Adds the item and reads its keys. Its place is the node of its name. */
void load_object(struct loader *l, const struct topology_item *names, const struct tree_node *name,
                 const struct tree_node *node, const struct load_special *specials,
                 size_t special_count);

/* The value of a field, and the mapping of the fields in a group: "limits". */
void load_field(struct loader *l, size_t item, size_t field, const struct tree_node *node);
void load_group(struct loader *l, size_t item, const char *group, const struct tree_node *node);

/* What the broker itself says about a queue or an exchange; once nothing else is wrong with it.
 */
void load_check_queue(struct loader *l, size_t item, const struct tree_node *node);
void load_check_exchange(struct loader *l, size_t item, const struct tree_node *node);

/* For keys that somebody else has read. */
void load_nothing(struct loader *l, size_t item, const struct tree_node *key,
                  const struct tree_node *node);

/* The text of a scalar, expanded; false after an error. `what` is for people: "the name". */
bool load_text(struct loader *l, const struct tree_node *node, const char *what, struct buf *out);

/* Whether an exchange, queue, user, vhost or policy may have the name. Reports why not. */
bool load_name_is_fine(struct loader *l, enum topology_kind kind, const struct tree_node *node,
                       struct bytes name);

bool load_is(struct loader *l, const struct tree_node *node, enum tree_kind kind, const char *what);

void load_unknown(struct loader *l, const struct tree_node *key, const char *where,
                  struct bytes best);

/* Sorts, and reports the same object twice. */
void load_finish(struct loader *l);

/* How messages call the item: queue "q". Valid until the next call on this thread. */
const char *load_subject(const struct topology_item *item);

#endif
