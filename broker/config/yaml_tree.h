#ifndef BROKER_CONFIG_YAML_TREE_H
#define BROKER_CONFIG_YAML_TREE_H

/*
 * A YAML file as a tree with places. The scanner is libyaml, and only yaml_tree.c knows it; what
 * values mean is decided by the reader of the tree. Of YAML's many ways the strict ones stay: no
 * tags, no key twice, one document, at most YAML_DEPTH_MAX levels and YAML_ALIASES_MAX aliases,
 * counted after expansion. An aliased node is shared, and the tree has no cycles. One thread.
 */

#include "broker/base/map.h"
#include "broker/config/diagnostics.h"

#define YAML_DEPTH_MAX 64
#define YAML_ALIASES_MAX 1000

enum tree_kind {
    TREE_SCALAR,
    TREE_LIST,
    TREE_MAPPING,
};

struct tree_node {
    enum tree_kind kind;
    struct place place;
    struct bytes text;        /* Of a scalar; owned by the tree. */
    bool plain;               /* A scalar without quotes. */
    struct tree_node **items; /* Of a list its values; of a mapping key, value, key, value... */
    size_t item_count;
    size_t item_capacity;
    size_t aliases;              /* Below this node, expanded. */
    struct map_node by_text;     /* While its mapping is read: of a key. */
    struct tree_node *next_made; /* All nodes of the tree, for yaml_tree_fini. */
};

struct yaml_tree {
    struct tree_node *root; /* NULL if the file holds no value. */
    struct tree_node *made;
};

/* Errors go to `d`, whose current source is read. After false the tree is not to be used, and after
 * true it may still be that `d` has errors. Call yaml_tree_fini in either case. */
bool yaml_tree_read(struct yaml_tree *tree, struct diagnostics *d);

void yaml_tree_fini(struct yaml_tree *tree);

/* For those who make a tree out of others: an empty node, freed with `tree`, and its items, which
 * may belong to another tree that lives as long. */
struct tree_node *tree_node_make(struct yaml_tree *tree, enum tree_kind kind, struct place place);
void tree_node_append(struct tree_node *node, struct tree_node *item);

/* The value of a key of a mapping, or NULL. Linear. */
const struct tree_node *tree_find(const struct tree_node *mapping, const char *key);

/* A key with nothing behind it, as left when everything below is commented out. */
bool tree_node_is_empty(const struct tree_node *node);

/* "a list", for error messages. */
const char *tree_kind_name(enum tree_kind kind);

#endif
