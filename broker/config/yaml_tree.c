#include "broker/config/yaml_tree.h"

#include "broker/base/mem.h"
#include "broker/base/panic.h"
#include "broker/config/text.h"

#include <yaml.h>

struct anchor {
    char *name;
    struct tree_node *node;
};

struct builder {
    yaml_parser_t parser;
    struct yaml_tree *tree;
    struct diagnostics *diagnostics;
    struct anchor *anchors;
    size_t anchor_count;
    size_t aliases; /* So far, with those inside what they stand for. */
};

static struct place
place_between(const struct builder *b, yaml_mark_t start, yaml_mark_t end)
{
    const bool same_line = start.line == end.line && end.column > start.column;
    return (struct place){
        .line = start.line + 1,
        .column = start.column + 1,
        .width = same_line ? end.column - start.column : 1,
        .source = b->diagnostics->current,
    };
}

static struct place
event_place(const struct builder *b, const yaml_event_t *event)
{
    return place_between(b, event->start_mark, event->end_mark);
}

/* libyaml reports where it noticed; where the broken construct began helps more, so both. */
static void
report_syntax(struct builder *b)
{
    const yaml_parser_t *p = &b->parser;
    struct place place = place_between(b, p->problem_mark, p->problem_mark);
    if (p->error == YAML_READER_ERROR) {
        diagnostics_error(b->diagnostics, DIAGNOSTIC_SYNTAX,
                          (struct place){ .source = b->diagnostics->current },
                          "save the file as UTF-8", "not UTF-8 text at byte %zu: %s",
                          p->problem_offset, p->problem);
        return;
    }
    const bool in_flow = p->context != NULL && strstr(p->context, "flow") != NULL;
    const char *hint = "close the bracket, and put values that contain ${...} in quotes";
    diagnostics_error(b->diagnostics, DIAGNOSTIC_SYNTAX, place, in_flow ? hint : NULL,
                      "not valid YAML: %s", p->problem == NULL ? "no memory" : p->problem);
    if (p->context == NULL)
        return;
    const struct place context = place_between(b, p->context_mark, p->context_mark);
    if (context.line != place.line || context.column != place.column)
        diagnostics_note(b->diagnostics, context, p->context);
}

static bool
next_event(struct builder *b, yaml_event_t *event)
{
    if (yaml_parser_parse(&b->parser, event))
        return true;
    report_syntax(b);
    return false;
}

struct tree_node *
tree_node_make(struct yaml_tree *tree, enum tree_kind kind, struct place place)
{
    struct tree_node *node = mem_alloc_zeroed(sizeof(*node));
    node->kind = kind;
    node->place = place;
    node->next_made = tree->made;
    tree->made = node;
    return node;
}

void
tree_node_append(struct tree_node *node, struct tree_node *item)
{
    if (node->item_count == node->item_capacity) {
        node->item_capacity = node->item_capacity == 0 ? 8 : node->item_capacity * 2;
        node->items = mem_resize(node->items, node->item_capacity * sizeof(struct tree_node *));
    }
    node->items[node->item_count++] = item;
}

static void
tag_refuse(struct builder *b, const yaml_event_t *event, const yaml_char_t *tag)
{
    if (tag == NULL)
        return;
    diagnostics_error(b->diagnostics, DIAGNOSTIC_TAG, event_place(b, event),
                      "leave the tag out; the setting decides the type", "YAML tags are not read");
}

static void
anchor_add(struct builder *b, const yaml_char_t *name, struct tree_node *node)
{
    if (name == NULL)
        return;
    b->anchors = mem_resize(b->anchors, (b->anchor_count + 1) * sizeof(b->anchors[0]));
    const struct bytes copy = bytes_copy(bytes_of(name, strlen((const char *)name) + 1));
    b->anchors[b->anchor_count++] =
        (struct anchor){ .name = (char *)(uintptr_t)copy.data, .node = node };
}

/* An anchor may be set again: the latest before the alias counts. It is known only once its node is
 * complete, so that no node can contain itself. */
static struct tree_node *
anchor_find(const struct builder *b, const char *name)
{
    for (size_t i = b->anchor_count; i > 0; i--) {
        if (strcmp(b->anchors[i - 1].name, name) == 0)
            return b->anchors[i - 1].node;
    }
    return NULL;
}

/* The result is the anchor's node itself, so that an alias costs no memory. */
static struct tree_node *
build_alias(struct builder *b, const yaml_event_t *event)
{
    const char *name = (const char *)event->data.alias.anchor;
    struct tree_node *target = anchor_find(b, name);
    if (target == NULL) {
        diagnostics_error(b->diagnostics, DIAGNOSTIC_ALIAS, event_place(b, event), NULL,
                          "alias *%s has no anchor &%s before it", name, name);
        return NULL;
    }
    b->aliases += target->aliases + 1;
    if (b->aliases > YAML_ALIASES_MAX) {
        diagnostics_error(b->diagnostics, DIAGNOSTIC_ALIAS, event_place(b, event), NULL,
                          "more than %d aliases after expansion", YAML_ALIASES_MAX);
        return NULL;
    }
    return target;
}

static struct tree_node *
build_scalar(struct builder *b, const yaml_event_t *event)
{
    struct tree_node *node = tree_node_make(b->tree, TREE_SCALAR, event_place(b, event));
    node->text = bytes_copy(bytes_of(event->data.scalar.value, event->data.scalar.length));
    node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    tag_refuse(b, event, event->data.scalar.tag);
    anchor_add(b, event->data.scalar.anchor, node);
    return node;
}

static struct tree_node *build(struct builder *b, const yaml_event_t *event, size_t depth);

/* Takes the next event and builds what it starts. Sets `ended` instead if it ends the collection.
 */
static struct tree_node *
build_item(struct builder *b, size_t depth, yaml_event_type_t end, bool *ended)
{
    yaml_event_t event;
    if (!next_event(b, &event))
        return NULL;
    struct tree_node *node = NULL;
    *ended = event.type == end;
    if (!*ended)
        node = build(b, &event, depth);
    yaml_event_delete(&event);
    return node;
}

static bool
build_list_items(struct builder *b, struct tree_node *list, size_t depth)
{
    for (;;) {
        bool ended = false;
        struct tree_node *item = build_item(b, depth, YAML_SEQUENCE_END_EVENT, &ended);
        if (item == NULL)
            return ended;
        tree_node_append(list, item);
    }
}

static bool
key_matches(const struct map_node *node, const void *key)
{
    const void *other_key = (const char *)node - offsetof(struct tree_node, by_text);
    const struct tree_node *other = other_key;
    return bytes_equal(other->text, *(const struct bytes *)key);
}

static void
report_duplicate(struct builder *b, const struct tree_node *key, const struct tree_node *first)
{
    struct buf name = { 0 };
    text_quote(&name, key->text);
    diagnostics_error(b->diagnostics, DIAGNOSTIC_DUPLICATE, key->place, NULL,
                      "key %.*s is written twice", BYTES_ARGS(buf_bytes(&name)));
    diagnostics_note(b->diagnostics, first->place, "first written here");
    buf_fini(&name);
}

/* The next key, or NULL: at the end of the mapping, then `ended`, or after an error. Only a scalar
 * of its own will do: an aliased one could be linked into two maps at once. */
static struct tree_node *
build_key(struct builder *b, bool *ended)
{
    yaml_event_t event;
    struct tree_node *key = NULL;
    if (!next_event(b, &event))
        return NULL;
    *ended = event.type == YAML_MAPPING_END_EVENT;
    if (event.type == YAML_SCALAR_EVENT)
        key = build_scalar(b, &event);
    else if (!*ended)
        diagnostics_error(b->diagnostics, DIAGNOSTIC_SHAPE, event_place(b, &event), NULL,
                          "a key must be text, not a list, a mapping or an alias");
    yaml_event_delete(&event);
    return key;
}

/* A key that is there already is reported and taken all the same, to find the errors behind it. */
static void
key_enter(struct builder *b, struct map *keys, struct tree_node *key)
{
    const uint64_t hash = bytes_hash(key->text);
    struct map_node *found = map_find(keys, hash, key_matches, &key->text);
    if (found != NULL)
        report_duplicate(b, key, MAP_CONTAINER(found, struct tree_node, by_text));
    else
        map_insert(keys, &key->by_text, hash);
}

static bool
build_pairs(struct builder *b, struct tree_node *mapping, struct map *keys, size_t depth)
{
    for (;;) {
        bool ended = false;
        struct tree_node *key = build_key(b, &ended);
        if (key == NULL)
            return ended;
        key_enter(b, keys, key);
        struct tree_node *value = build_item(b, depth, YAML_NO_EVENT, &ended);
        if (value == NULL)
            return false;
        tree_node_append(mapping, key);
        tree_node_append(mapping, value);
    }
}

static struct tree_node *
build_list(struct builder *b, const yaml_event_t *event, size_t depth)
{
    struct tree_node *list = tree_node_make(b->tree, TREE_LIST, event_place(b, event));
    const size_t aliases = b->aliases;
    tag_refuse(b, event, event->data.sequence_start.tag);
    if (!build_list_items(b, list, depth))
        return NULL;
    list->aliases = b->aliases - aliases;
    anchor_add(b, event->data.sequence_start.anchor, list);
    return list;
}

static struct tree_node *
build_mapping(struct builder *b, const yaml_event_t *event, size_t depth)
{
    struct tree_node *mapping = tree_node_make(b->tree, TREE_MAPPING, event_place(b, event));
    const size_t aliases = b->aliases;
    struct map keys = { 0 };
    tag_refuse(b, event, event->data.mapping_start.tag);
    const bool complete = build_pairs(b, mapping, &keys, depth);
    map_fini(&keys);
    if (!complete)
        return NULL;
    mapping->aliases = b->aliases - aliases;
    anchor_add(b, event->data.mapping_start.anchor, mapping);
    return mapping;
}

/* Recursion ends at YAML_DEPTH_MAX. NULL after an error that has been reported. */
static struct tree_node *
build(struct builder *b, const yaml_event_t *event, size_t depth)
{
    if (event->type == YAML_SCALAR_EVENT)
        return build_scalar(b, event);
    if (event->type == YAML_ALIAS_EVENT)
        return build_alias(b, event);
    ASSERT(event->type == YAML_SEQUENCE_START_EVENT || event->type == YAML_MAPPING_START_EVENT);
    if (depth == YAML_DEPTH_MAX) {
        diagnostics_error(b->diagnostics, DIAGNOSTIC_DEPTH, event_place(b, event), NULL,
                          "nested more than %d levels deep", YAML_DEPTH_MAX);
        return NULL;
    }
    if (event->type == YAML_SEQUENCE_START_EVENT)
        return build_list(b, event, depth + 1);
    return build_mapping(b, event, depth + 1);
}

/* One event at the level of the stream. Sets `ended` at its end. */
static bool
build_document_event(struct builder *b, const yaml_event_t *event, bool *ended)
{
    *ended = event->type == YAML_STREAM_END_EVENT;
    if (event->type == YAML_STREAM_START_EVENT || event->type == YAML_DOCUMENT_END_EVENT || *ended)
        return true;
    if (event->type == YAML_DOCUMENT_START_EVENT) {
        if (b->tree->root == NULL)
            return true;
        diagnostics_error(b->diagnostics, DIAGNOSTIC_DOCUMENTS, event_place(b, event),
                          "keep one document, and remove the --- between them",
                          "a second YAML document starts here");
        return false;
    }
    b->tree->root = build(b, event, 0);
    return b->tree->root != NULL;
}

static bool
build_stream(struct builder *b)
{
    bool ended = false;
    bool fine = true;
    while (fine && !ended) {
        yaml_event_t event;
        if (!next_event(b, &event))
            return false;
        fine = build_document_event(b, &event, &ended);
        yaml_event_delete(&event);
    }
    return fine;
}

bool
yaml_tree_read(struct yaml_tree *tree, struct diagnostics *d)
{
    *tree = (struct yaml_tree){ 0 };
    struct builder b = { .tree = tree, .diagnostics = d };
    if (!yaml_parser_initialize(&b.parser))
        PANIC("out of memory while reading %s", diagnostics_source(d)->file);
    const struct diagnostic_source *file = diagnostics_source(d);
    yaml_parser_set_encoding(&b.parser, YAML_UTF8_ENCODING);
    /* libyaml takes no null pointer, not even for an empty file. */
    const void *input = file->source.size > 0 ? (const void *)file->source.data : "";
    yaml_parser_set_input_string(&b.parser, input, file->source.size);
    const bool fine = build_stream(&b);
    yaml_parser_delete(&b.parser);
    for (size_t i = 0; i < b.anchor_count; i++)
        mem_free(b.anchors[i].name);
    mem_free(b.anchors);
    return fine;
}

void
yaml_tree_fini(struct yaml_tree *tree)
{
    while (tree->made != NULL) {
        struct tree_node *node = tree->made;
        tree->made = node->next_made;
        mem_free_const(node->text.data);
        mem_free(node->items);
        mem_free(node);
    }
    tree->root = NULL;
}

const char *
tree_kind_name(enum tree_kind kind)
{
    switch (kind) {
    case TREE_SCALAR:
        return "a single value";
    case TREE_LIST:
        return "a list";
    case TREE_MAPPING:
        return "a mapping";
    }
    UNREACHABLE();
}

const struct tree_node *
tree_find(const struct tree_node *mapping, const char *key)
{
    const struct bytes name = bytes_of_string(key);
    for (size_t i = 0; i + 1 < mapping->item_count; i += 2) {
        if (bytes_equal(mapping->items[i]->text, name))
            return mapping->items[i + 1];
    }
    return NULL;
}

bool
tree_node_is_empty(const struct tree_node *node)
{
    return node->kind == TREE_SCALAR && node->plain && node->text.size == 0;
}
