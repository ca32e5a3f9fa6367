#include "broker/topology/load.h"

#include "amqp/table.h"
#include "broker/config/text.h"
#include "broker/topology/load_internal.h"

#include <stdio.h>

#define WHERE_SIZE 800

static bool
text_is(const struct tree_node *node, const char *word)
{
    return node->kind == TREE_SCALAR && bytes_equal(node->text, bytes_of_string(word));
}

/* One of two words; the index of the one it is, or 2 after an error. */
static unsigned
read_choice(struct loader *l, const struct tree_node *node, const char *what, const char *first,
            const char *second)
{
    struct buf got = { 0 };
    if (text_is(node, first) || text_is(node, second))
        return text_is(node, second);
    if (node->kind == TREE_SCALAR)
        text_quote(&got, node->text);
    else
        buf_printf(&got, "%s", tree_kind_name(node->kind));
    diagnostics_error(l->d, DIAGNOSTIC_VALUE, node->place, NULL, "%s must be %s or %s, got %.*s",
                      what, first, second, BYTES_ARGS(buf_bytes(&got)));
    buf_fini(&got);
    return 2;
}

static void
special_state(struct loader *l, size_t item, const struct tree_node *key,
              const struct tree_node *node)
{
    (void)key;
    l->t->items[item].is_absent = read_choice(l, node, "state", "present", "absent") == 1;
}

static void
special_replace(struct loader *l, size_t item, const struct tree_node *key,
                const struct tree_node *node)
{
    (void)key;
    l->t->items[item].may_replace = read_choice(l, node, "replace", "deny", "allow") == 1;
}

/* "type: quorum" is the argument x-queue-type, written shorter. */
static void
special_type(struct loader *l, size_t item, const struct tree_node *key,
             const struct tree_node *node)
{
    (void)key;
    struct buf text = { 0 };
    if (!load_text(l, node, "type", &text))
        return;
    for (const char *const *word =
             topology_kinds[TOPOLOGY_VHOST].fields[VHOST_DEFAULT_QUEUE_TYPE].words;
         *word != NULL; word++) {
        if (!bytes_equal(buf_bytes(&text), bytes_of_string(*word)))
            continue;
        /* Kept here until the arguments have been read, which may come before or behind it. */
        l->t->items[item].key = arena_copy(&l->t->arena, buf_bytes(&text));
        buf_fini(&text);
        return;
    }
    struct buf got = { 0 };
    text_quote(&got, node->text);
    diagnostics_error(l->d, DIAGNOSTIC_VALUE, node->place, NULL,
                      "type of %s must be one of classic, quorum, stream, got %.*s",
                      load_subject(&l->t->items[item]), BYTES_ARGS(buf_bytes(&got)));
    buf_fini(&got);
    buf_fini(&text);
}

static void
merge_type(struct loader *l, size_t item, const struct tree_node *node)
{
    struct topology_item *q = &l->t->items[item];
    const struct bytes type = q->key;
    struct bytes given;
    struct buf table = { 0 };
    struct buf sorted = { 0 };
    q->key = BYTES_NONE;
    if (type.size == 0)
        return;
    if (arguments_text(q->values[QUEUE_ARGUMENTS], "x-queue-type", &given)) {
        if (!bytes_equal(given, type))
            diagnostics_error(l->d, DIAGNOSTIC_CONFLICT, tree_find(node, "type")->place, NULL,
                              "type of %s is \"%.*s\", and x-queue-type is \"%.*s\"",
                              load_subject(q), BYTES_ARGS(type), BYTES_ARGS(given));
        return;
    }
    buf_append_bytes(&table, q->values[QUEUE_ARGUMENTS]);
    table_put_string(&table, "x-queue-type", type);
    table_canonical(buf_bytes(&table), &sorted);
    topology_set(l->t, q, QUEUE_ARGUMENTS, buf_bytes(&sorted));
    buf_fini(&table);
    buf_fini(&sorted);
}

/* A binding as it stands in the list of its destination. */
struct binding_reader {
    struct loader *l;
    size_t destination;
    const struct tree_node *from;
    const struct tree_node *key;
    const struct tree_node *keys;
    const struct tree_node *arguments;
};

static void
add_binding(struct binding_reader *b, struct bytes source, struct bytes key, struct bytes arguments,
            struct place place)
{
    struct loader *l = b->l;
    const struct topology_item *to = &l->t->items[b->destination];
    if (key.size > LOAD_NAME_MAX) {
        diagnostics_error(l->d, DIAGNOSTIC_NAME, place, NULL,
                          "a routing key must be at most %u octets long, it has %zu", LOAD_NAME_MAX,
                          key.size);
        return;
    }
    const struct topology_item names = {
        .kind = TOPOLOGY_BINDING,
        .vhost = to->vhost,
        .name = to->name,
        .other = source,
        .key = key,
        .to_exchange = to->kind == TOPOLOGY_EXCHANGE,
        .arguments = arguments,
    };
    topology_add(l->t, &names)->place = place;
}

static void
add_binding_with_key(struct binding_reader *b, struct bytes source, const struct tree_node *key,
                     struct bytes arguments)
{
    struct buf text = { 0 };
    if (load_text(b->l, key, "a routing key", &text))
        add_binding(b, source, buf_bytes(&text), arguments, key->place);
    buf_fini(&text);
}

static void
add_bindings(struct binding_reader *b, struct bytes source, struct bytes arguments)
{
    struct loader *l = b->l;
    if (b->key != NULL && b->keys != NULL) {
        diagnostics_error(l->d, DIAGNOSTIC_CONFLICT, b->keys->place, NULL,
                          "a binding has key or keys, not both");
    } else if (b->keys != NULL) {
        if (load_is(l, b->keys, TREE_LIST, "keys of a binding"))
            for (size_t i = 0; i < b->keys->item_count; i++)
                add_binding_with_key(b, source, b->keys->items[i], arguments);
    } else if (b->key != NULL) {
        add_binding_with_key(b, source, b->key, arguments);
    } else {
        add_binding(b, source, BYTES_NONE, arguments, b->from->place);
    }
}

static void
binding_key(struct binding_reader *b, const struct tree_node *key, const struct tree_node *value)
{
    const struct {
        const char *name;
        const struct tree_node **slot;
    } known[] = {
        { "from", &b->from },
        { "key", &b->key },
        { "keys", &b->keys },
        { "arguments", &b->arguments },
    };
    struct suggestion s = { .text = key->text };
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        const struct bytes name = bytes_of_string(known[i].name);
        if (bytes_equal(name, key->text)) {
            *known[i].slot = value;
            return;
        }
        suggestion_offer(&s, name);
    }
    load_unknown(b->l, key, "a binding", s.best);
}

static void
read_binding(struct loader *l, size_t destination, const struct tree_node *node)
{
    struct binding_reader b = { .l = l, .destination = destination };
    if (!load_is(l, node, TREE_MAPPING, "a binding"))
        return;
    for (size_t i = 0; i < node->item_count; i += 2)
        binding_key(&b, node->items[i], node->items[i + 1]);
    if (b.from == NULL) {
        diagnostics_error(l->d, DIAGNOSTIC_MISSING, node->place,
                          "write {from: exchange, key: \"routing.key\"}",
                          "a binding must have the key \"from\"");
        return;
    }
    char subject[WHERE_SIZE];
    snprintf(subject, sizeof(subject), "a binding of %s", load_subject(&l->t->items[destination]));
    struct buf source = { 0 };
    struct buf arguments = { 0 };
    if (load_text(l, b.from, "from of a binding", &source) &&
        (b.arguments == NULL || arguments_read(l->d, b.arguments, &binding_argument_schema, subject,
                                               l->expands, &arguments)))
        add_bindings(&b, buf_bytes(&source), buf_bytes(&arguments));
    buf_fini(&source);
    buf_fini(&arguments);
}

static void
special_bindings(struct loader *l, size_t item, const struct tree_node *key,
                 const struct tree_node *node)
{
    (void)key;
    if (tree_node_is_empty(node) || !load_is(l, node, TREE_LIST, "bindings"))
        return;
    for (size_t i = 0; i < node->item_count; i++)
        read_binding(l, item, node->items[i]);
}

static const struct load_special state_only[] = { { "state", special_state } };
static const struct load_special exchange_specials[] = {
    { "bindings", special_bindings },
    { "replace", special_replace },
    { "state", special_state },
};
static const struct load_special queue_specials[] = {
    { "type", special_type },
    { "bindings", special_bindings },
    { "replace", special_replace },
    { "state", special_state },
};

#define SPECIALS(specials) (specials), sizeof(specials) / sizeof((specials)[0])

static void
read_exchange(struct loader *l, const struct tree_node *key, const struct tree_node *node)
{
    const struct topology_item names = { .kind = TOPOLOGY_EXCHANGE,
                                         .vhost = l->vhost,
                                         .name = key->text };
    const size_t item = l->t->count;
    const struct topology_item *always_there = topology_predeclared(key->text);
    if (always_there == NULL && !load_name_is_fine(l, TOPOLOGY_EXCHANGE, key, key->text))
        return;
    const size_t errors = l->d->count;
    load_object(l, &names, key, node, SPECIALS(exchange_specials));
    if (always_there == NULL) {
        if (l->d->count == errors)
            load_check_exchange(l, item, node);
        return;
    }
    if (node->kind != TREE_MAPPING || tree_find(node, "type") == NULL)
        l->t->items[item].values[EXCHANGE_TYPE] = always_there->values[EXCHANGE_TYPE];
    if (node->kind != TREE_MAPPING || tree_find(node, "internal") == NULL)
        l->t->items[item].values[EXCHANGE_INTERNAL] = always_there->values[EXCHANGE_INTERNAL];
}

static void
read_queue(struct loader *l, const struct tree_node *key, const struct tree_node *node)
{
    const struct topology_item names = { .kind = TOPOLOGY_QUEUE,
                                         .vhost = l->vhost,
                                         .name = key->text };
    const size_t item = l->t->count;
    if (!load_name_is_fine(l, TOPOLOGY_QUEUE, key, key->text))
        return;
    const size_t errors = l->d->count;
    load_object(l, &names, key, node, SPECIALS(queue_specials));
    merge_type(l, item, node);
    if (l->d->count == errors)
        load_check_queue(l, item, node);
}

static void
require(struct loader *l, const struct tree_node *key, const struct tree_node *node,
        enum topology_kind kind, const char *name)
{
    if (node->kind == TREE_MAPPING && tree_find(node, name) == NULL &&
        tree_find(node, "state") == NULL)
        diagnostics_error(l->d, DIAGNOSTIC_MISSING, key->place, NULL,
                          "a %s must have the key \"%s\"", topology_kinds[kind].name, name);
}

static void
read_any_policy(struct loader *l, enum topology_kind kind, const struct tree_node *key,
                const struct tree_node *node)
{
    const struct topology_item names = { .kind = kind, .vhost = l->vhost, .name = key->text };
    if (!load_name_is_fine(l, kind, key, key->text))
        return;
    load_object(l, &names, key, node, SPECIALS(state_only));
    require(l, key, node, kind, "pattern");
    require(l, key, node, kind, "definition");
}

static void
read_policy(struct loader *l, const struct tree_node *key, const struct tree_node *node)
{
    read_any_policy(l, TOPOLOGY_POLICY, key, node);
}

static void
read_operator_policy(struct loader *l, const struct tree_node *key, const struct tree_node *node)
{
    read_any_policy(l, TOPOLOGY_OPERATOR_POLICY, key, node);
}

static void
read_permission(struct loader *l, const struct tree_node *key, const struct tree_node *node)
{
    const struct topology_item names = { .kind = TOPOLOGY_PERMISSION,
                                         .vhost = l->vhost,
                                         .name = key->text };
    load_object(l, &names, key, node, SPECIALS(state_only));
}

/* A user's mapping of exchanges to patterns. */
static void
read_topic_permission(struct loader *l, const struct tree_node *user, const struct tree_node *node)
{
    if (tree_node_is_empty(node) || !load_is(l, node, TREE_MAPPING, "topic permissions of a user"))
        return;
    for (size_t i = 0; i < node->item_count; i += 2) {
        const struct topology_item names = { .kind = TOPOLOGY_TOPIC_PERMISSION,
                                             .vhost = l->vhost,
                                             .name = user->text,
                                             .other = node->items[i]->text };
        load_object(l, &names, node->items[i], node->items[i + 1], SPECIALS(state_only));
    }
}

/* What shovels and federation are made of. */
static void
read_parameter(struct loader *l, const struct tree_node *key, const struct tree_node *node)
{
    (void)node;
    diagnostics_warning(l->d, DIAGNOSTIC_IGNORED, key->place, NULL,
                        "parameters (shovels, federation) have no effect in this broker");
}

typedef void read_member(struct loader *l, const struct tree_node *key,
                         const struct tree_node *node);

static const struct vhost_section {
    const char *name;
    read_member *read;
} vhost_sections[] = {
    { "permissions", read_permission }, { "topic_permissions", read_topic_permission },
    { "exchanges", read_exchange },     { "queues", read_queue },
    { "policies", read_policy },        { "operator_policies", read_operator_policy },
    { "parameters", read_parameter },
};

#define VHOST_SECTIONS (sizeof(vhost_sections) / sizeof(vhost_sections[0]))

static void
read_members(struct loader *l, const char *name, const struct tree_node *node, read_member *read)
{
    if (tree_node_is_empty(node) || !load_is(l, node, TREE_MAPPING, name))
        return;
    for (size_t i = 0; i < node->item_count; i += 2) {
        const size_t path = diagnostics_path_push(l->d, node->items[i]->text);
        read(l, node->items[i], node->items[i + 1]);
        diagnostics_path_pop(l->d, path);
    }
}

static void
special_section(struct loader *l, size_t item, const struct tree_node *key,
                const struct tree_node *node)
{
    (void)item;
    for (size_t i = 0; i < VHOST_SECTIONS; i++)
        if (bytes_equal(key->text, bytes_of_string(vhost_sections[i].name)))
            read_members(l, vhost_sections[i].name, node, vhost_sections[i].read);
}

static void
read_vhost(struct loader *l, const struct tree_node *key, const struct tree_node *node)
{
    struct load_special specials[VHOST_SECTIONS + 1];
    const struct topology_item names = { .kind = TOPOLOGY_VHOST, .name = key->text };
    if (!load_name_is_fine(l, TOPOLOGY_VHOST, key, key->text))
        return;
    for (size_t i = 0; i < VHOST_SECTIONS; i++)
        specials[i] = (struct load_special){ vhost_sections[i].name, special_section };
    specials[VHOST_SECTIONS] = state_only[0];
    l->vhost = key->text;
    load_object(l, &names, key, node, SPECIALS(specials));
    l->vhost = BYTES_NONE;
}

static void
read_user(struct loader *l, const struct tree_node *key, const struct tree_node *node)
{
    const struct topology_item names = { .kind = TOPOLOGY_USER, .name = key->text };
    const size_t item = l->t->count;
    if (!load_name_is_fine(l, TOPOLOGY_USER, key, key->text))
        return;
    load_object(l, &names, key, node, SPECIALS(state_only));
    const struct bytes from = l->t->items[item].values[USER_CONNECT_FROM];
    if (from.size > 0 && !bytes_equal(from, BYTES_LITERAL("loopback\n")))
        diagnostics_error(l->d, DIAGNOSTIC_VALUE, tree_find(node, "connect_from")->place,
                          "leave it empty for anywhere",
                          "connect_from of %s must be [loopback] or []",
                          load_subject(&l->t->items[item]));
    if (l->t->items[item].values[USER_PASSWORD].data != NULL &&
        l->t->items[item].values[USER_PASSWORD_HASH].data != NULL)
        diagnostics_error(l->d, DIAGNOSTIC_CONFLICT, tree_find(node, "password_hash")->place, NULL,
                          "%s has password or password_hash, not both",
                          load_subject(&l->t->items[item]));
}

static void
rule_on_start(struct loader *l, const struct tree_node *node)
{
    const unsigned choice = read_choice(l, node, "apply.on_start", "false", "true");
    if (choice < 2)
        l->t->rules.on_start = choice == 1;
}

static void
rule_on_conflict(struct loader *l, const struct tree_node *node)
{
    const unsigned choice = read_choice(l, node, "apply.on_conflict", "fail", "replace");
    l->t->rules.replace_on_conflict = choice == 1;
}

/* The index of a word, or of the NULL behind the last, then with an error. */
static unsigned
read_rule_word(struct loader *l, const struct tree_node *node, const char *what,
               const char *const *words, const char *all)
{
    unsigned i = 0;
    struct buf got = { 0 };
    while (words[i] != NULL && !text_is(node, words[i]))
        i++;
    if (words[i] != NULL)
        return i;
    if (node->kind == TREE_SCALAR)
        text_quote(&got, node->text);
    else
        buf_printf(&got, "%s", tree_kind_name(node->kind));
    diagnostics_error(l->d, DIAGNOSTIC_VALUE, node->place, NULL, "%s must be one of %s, got %.*s",
                      what, all, BYTES_ARGS(buf_bytes(&got)));
    buf_fini(&got);
    return i;
}

static void
rule_prune(struct loader *l, const struct tree_node *node)
{
    static const char *const words[] = { "none", "owned", "all", NULL };
    const unsigned i = read_rule_word(l, node, "apply.prune", words, "none, owned, all");
    if (words[i] != NULL)
        l->t->rules.prune = (enum topology_prune)i;
}

static void
rule_delete_queues(struct loader *l, const struct tree_node *node)
{
    static const char *const words[] = { "never", "if-empty", "always", NULL };
    const unsigned i =
        read_rule_word(l, node, "apply.delete_queues", words, "never, if-empty, always");
    if (words[i] != NULL)
        l->t->rules.delete_queues = (enum topology_delete_queues)i;
}

static void
read_rule(struct loader *l, const struct tree_node *key, const struct tree_node *node)
{
    static const struct {
        const char *name;
        void (*read)(struct loader *l, const struct tree_node *node);
    } rules[] = {
        { "on_start", rule_on_start },
        { "prune", rule_prune },
        { "delete_queues", rule_delete_queues },
        { "on_conflict", rule_on_conflict },
    };
    struct suggestion s = { .text = key->text };
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        const struct bytes name = bytes_of_string(rules[i].name);
        if (bytes_equal(name, key->text)) {
            rules[i].read(l, node);
            return;
        }
        suggestion_offer(&s, name);
    }
    load_unknown(l, key, "apply", s.best);
}

bool
topology_read(struct document *doc, struct topology *t)
{
    static const struct vhost_section sections[] = {
        { "users", read_user },
        { "vhosts", read_vhost },
        { "apply", read_rule },
    };
    struct loader l = { .d = &doc->diagnostics, .t = t, .expands = true };
    for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++) {
        const struct tree_node *section = doc->root != NULL && doc->root->kind == TREE_MAPPING
                                              ? tree_find(doc->root, sections[i].name)
                                              : NULL;
        if (section == NULL)
            continue;
        const size_t path = diagnostics_path_push(l.d, bytes_of_string(sections[i].name));
        read_members(&l, sections[i].name, section, sections[i].read);
        diagnostics_path_pop(l.d, path);
    }
    load_finish(&l);
    return doc->diagnostics.count == 0;
}
