#include "routing/topic_trie.h"

#include "broker/base/mem.h"
#include "broker/base/panic.h"
#include "routing/container.h"
#include "routing/pointer_set.h"

enum topic_edge_kind {
    TOPIC_EDGE_NONE, /* The root's. */
    TOPIC_EDGE_WORD,
    TOPIC_EDGE_STAR,
    TOPIC_EDGE_HASH,
};

struct topic_node {
    struct list values;
    struct topic_node *parent;
    struct topic_node *star;
    struct topic_node *hash;
    size_t word_children;      /* How many edges of the trie start here. */
    struct map_node in_edges;  /* For TOPIC_EDGE_WORD only. */
    enum topic_edge_kind kind; /* Of the edge from the parent to here. */
    size_t word_size;
    uint8_t word[]; /* On that edge, if it is an ordinary one. */
};

/* The words of a pattern or key, one after the other. */
struct topic_words {
    struct bytes rest;
    bool ended;
};

static void
topic_words_init(struct topic_words *w, struct bytes text)
{
    w->rest = text;
    w->ended = text.size == 0;
}

static bool
topic_words_next(struct topic_words *w, struct bytes *word)
{
    if (w->ended)
        return false;
    *word = w->rest;
    const uint8_t *dot = w->rest.size == 0 ? NULL : memchr(w->rest.data, '.', w->rest.size);
    if (dot == NULL) {
        w->ended = true;
        return true;
    }
    word->size = (size_t)(dot - w->rest.data);
    w->rest = bytes_of(dot + 1, w->rest.size - word->size - 1);
    return true;
}

/* Nodes. */

static struct topic_node *
topic_node_create(struct topic_node *parent, enum topic_edge_kind kind, struct bytes word)
{
    struct topic_node *node = mem_alloc(sizeof(*node) + word.size);
    *node = (struct topic_node){ .parent = parent, .kind = kind, .word_size = word.size };
    list_init(&node->values);
    if (word.size > 0)
        memcpy(node->word, word.data, word.size);
    return node;
}

struct topic_edge {
    const struct topic_node *parent;
    struct bytes word;
};

static bool
topic_edge_matches(const struct map_node *map_node, const void *key)
{
    const struct topic_node *node = CONST_CONTAINER(map_node, struct topic_node, in_edges);
    const struct topic_edge *edge = key;
    return node->parent == edge->parent &&
           bytes_equal(bytes_of(node->word, node->word_size), edge->word);
}

/* word_hash is bytes_hash(word), which a walk computes once for many parents. */
static struct topic_node *
topic_find_by_word(const struct topic_trie *t, const struct topic_node *parent, struct bytes word,
                   uint64_t word_hash)
{
    const struct topic_edge edge = { parent, word };
    struct map_node *node =
        map_find(&t->edges, pointer_hash(parent, word_hash), topic_edge_matches, &edge);
    return node == NULL ? NULL : LIST_CONTAINER(node, struct topic_node, in_edges);
}

static struct topic_node *
topic_child_by_word(struct topic_trie *t, struct topic_node *parent, struct bytes word)
{
    const uint64_t word_hash = bytes_hash(word);
    struct topic_node *node = topic_find_by_word(t, parent, word, word_hash);
    if (node != NULL)
        return node;
    node = topic_node_create(parent, TOPIC_EDGE_WORD, word);
    map_insert(&t->edges, &node->in_edges, pointer_hash(parent, word_hash));
    parent->word_children++;
    return node;
}

static struct topic_node *
topic_child(struct topic_trie *t, struct topic_node *parent, struct bytes word)
{
    if (bytes_equal(word, BYTES_LITERAL("*"))) {
        if (parent->star == NULL)
            parent->star = topic_node_create(parent, TOPIC_EDGE_STAR, BYTES_NONE);
        return parent->star;
    }
    if (bytes_equal(word, BYTES_LITERAL("#"))) {
        if (parent->hash == NULL)
            parent->hash = topic_node_create(parent, TOPIC_EDGE_HASH, BYTES_NONE);
        return parent->hash;
    }
    return topic_child_by_word(t, parent, word);
}

static bool
topic_node_is_needed(const struct topic_node *node)
{
    return !list_is_empty(&node->values) || node->word_children > 0 || node->star != NULL ||
           node->hash != NULL;
}

static void
topic_node_destroy(struct topic_trie *t, struct topic_node *node)
{
    switch (node->kind) {
    case TOPIC_EDGE_NONE:
        break;
    case TOPIC_EDGE_WORD:
        map_remove(&t->edges, &node->in_edges);
        node->parent->word_children--;
        break;
    case TOPIC_EDGE_STAR:
        node->parent->star = NULL;
        break;
    case TOPIC_EDGE_HASH:
        node->parent->hash = NULL;
        break;
    }
    mem_free(node);
}

/* The trie. */

void
topic_trie_init(struct topic_trie *t)
{
    t->root = topic_node_create(NULL, TOPIC_EDGE_NONE, BYTES_NONE);
    t->edges = (struct map){ 0 };
}

void
topic_trie_fini(struct topic_trie *t)
{
    ASSERT(!topic_node_is_needed(t->root));
    ASSERT(t->edges.count == 0);
    topic_node_destroy(t, t->root);
    t->root = NULL;
}

struct topic_node *
topic_trie_insert(struct topic_trie *t, struct bytes pattern, struct list *value)
{
    struct topic_node *node = t->root;
    struct topic_words words;
    struct bytes word;
    topic_words_init(&words, pattern);
    while (topic_words_next(&words, &word))
        node = topic_child(t, node, word);
    list_push(&node->values, value);
    return node;
}

void
topic_trie_remove(struct topic_trie *t, struct topic_node *node, struct list *value)
{
    list_unlink(value);
    while (node != t->root && !topic_node_is_needed(node)) {
        struct topic_node *parent = node->parent;
        topic_node_destroy(t, node);
        node = parent;
    }
}

/* Matching. */

#define TOPIC_NODES_FEW 32

/* A stack of nodes that needs no memory as long as it is small. Not to be copied. */
struct topic_nodes {
    const struct topic_node **items;
    size_t count;
    size_t capacity;
    const struct topic_node *few[TOPIC_NODES_FEW];
};

static void
topic_nodes_init(struct topic_nodes *n)
{
    n->items = n->few;
    n->count = 0;
    n->capacity = TOPIC_NODES_FEW;
}

static void
topic_nodes_fini(struct topic_nodes *n)
{
    if (n->items != n->few)
        mem_free(n->items);
}

static void
topic_nodes_push(struct topic_nodes *n, const struct topic_node *node)
{
    if (n->count == n->capacity) {
        n->capacity *= 2;
        const size_t size = n->capacity * sizeof(struct topic_node *);
        if (n->items == n->few) {
            n->items = mem_alloc(size);
            memcpy(n->items, n->few, sizeof(n->few));
        } else {
            n->items = mem_resize(n->items, size);
        }
    }
    n->items[n->count++] = node;
}

/*
 * The key is read word by word, with the set of nodes that the words so far can lead to. As "#"
 * may swallow any further word, its nodes, once reached, stay in the set to the end: they are kept
 * apart, in `lasting`. All others are left with the next word. A node of the latter kind is found
 * only through its one parent, and that is in the set once: so no node gets in twice.
 */
struct topic_walk {
    const struct topic_trie *trie;
    struct topic_nodes lasting;
    struct pointer_set lasting_members;
    struct topic_nodes passing[2]; /* For the words so far, and for one more. */
};

static void
topic_walk_enter(struct topic_walk *w, struct topic_nodes *passing, const struct topic_node *node)
{
    topic_nodes_push(passing, node);
    /* "#" matches no word, too. Where one is known, those that follow it are as well. */
    for (node = node->hash; node != NULL; node = node->hash) {
        if (!pointer_set_add(&w->lasting_members, node))
            return;
        topic_nodes_push(&w->lasting, node);
    }
}

static void
topic_walk_leave(struct topic_walk *w, const struct topic_node *node, struct bytes word,
                 uint64_t word_hash, struct topic_nodes *next)
{
    if (node->star != NULL)
        topic_walk_enter(w, next, node->star);
    if (node->word_children == 0)
        return;
    const struct topic_node *child = topic_find_by_word(w->trie, node, word, word_hash);
    if (child != NULL)
        topic_walk_enter(w, next, child);
}

static void
topic_walk_step(struct topic_walk *w, struct bytes word, const struct topic_nodes *passing,
                struct topic_nodes *next)
{
    const uint64_t word_hash = bytes_hash(word);
    /* What this word adds to the lasting ones is there for the words after it. */
    const size_t lasting_count = w->lasting.count;
    next->count = 0;
    for (size_t i = 0; i < passing->count; i++)
        topic_walk_leave(w, passing->items[i], word, word_hash, next);
    for (size_t i = 0; i < lasting_count; i++)
        topic_walk_leave(w, w->lasting.items[i], word, word_hash, next);
}

static void
topic_nodes_visit(const struct topic_nodes *n, topic_trie_visit *visit, void *context)
{
    for (size_t i = 0; i < n->count; i++)
        if (!list_is_empty(&n->items[i]->values))
            visit(context, &n->items[i]->values);
}

void
topic_trie_match(const struct topic_trie *t, struct bytes key, topic_trie_visit *visit,
                 void *context)
{
    struct topic_walk w;
    w.trie = t;
    topic_nodes_init(&w.lasting);
    pointer_set_init(&w.lasting_members);
    topic_nodes_init(&w.passing[0]);
    topic_nodes_init(&w.passing[1]);
    struct topic_nodes *passing = &w.passing[0];
    struct topic_nodes *next = &w.passing[1];
    topic_walk_enter(&w, passing, t->root);

    struct topic_words words;
    struct bytes word;
    topic_words_init(&words, key);
    while (topic_words_next(&words, &word) && passing->count + w.lasting.count > 0) {
        topic_walk_step(&w, word, passing, next);
        struct topic_nodes *swap = passing;
        passing = next;
        next = swap;
    }
    topic_nodes_visit(passing, visit, context);
    topic_nodes_visit(&w.lasting, visit, context);

    topic_nodes_fini(&w.passing[0]);
    topic_nodes_fini(&w.passing[1]);
    topic_nodes_fini(&w.lasting);
    pointer_set_fini(&w.lasting_members);
}
