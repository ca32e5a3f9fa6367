#ifndef ROUTING_TOPIC_TRIE_H
#define ROUTING_TOPIC_TRIE_H

/*
 * Patterns of words, and which of them a routing key matches. Words are what lies between dots:
 * "" has none, "a." has two, the second one empty. In a pattern the word "*" stands for exactly
 * one word, "#" for any number of them; in a key they are words like any other, and so is "a*" in
 * both.
 *
 * The trie owns its nodes, and keeps only those that lead to a value; values are links of the
 * caller's, listed at the node of their pattern. Threads: one may change it, or many match.
 */

#include "broker/base/bytes.h"
#include "broker/base/list.h"
#include "broker/base/map.h"

struct topic_node;

struct topic_trie {
    struct topic_node *root;
    struct map edges; /* Nodes reached by an ordinary word, by (parent, word). */
};

void topic_trie_init(struct topic_trie *t);

/* All values must have been removed. */
void topic_trie_fini(struct topic_trie *t);

/* Links the value to the node of the pattern, which topic_trie_remove wants back. */
struct topic_node *topic_trie_insert(struct topic_trie *t, struct bytes pattern,
                                     struct list *value);

/* Unlinks the value, and frees what no other pattern needs. */
void topic_trie_remove(struct topic_trie *t, struct topic_node *node, struct list *value);

/* Gets the values, at least one, of one matching pattern. */
typedef void topic_trie_visit(void *context, const struct list *values);

/*
 * Visits each matching pattern once. Takes at most (words of the key) x (nodes of the trie) steps,
 * however many wildcards there are, and does not recurse.
 */
void topic_trie_match(const struct topic_trie *t, struct bytes key, topic_trie_visit *visit,
                      void *context);

#endif
