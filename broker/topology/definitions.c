/* RabbitMQ's definitions: flat arrays of objects that name their virtual host. */

#include "broker/topology/load_internal.h"

#include "broker/auth/password.h"
#include "broker/core/policy.h"

struct definitions_section {
    const char *name;
    void (*read)(struct loader *l, const struct tree_node *node);
};

/* The text of a key that must be there; BYTES_NONE after an error. */
static struct bytes
text_of(struct loader *l, const struct tree_node *node, const char *key)
{
    const struct tree_node *value = tree_find(node, key);
    if (value != NULL && value->kind == TREE_SCALAR)
        return value->text;
    diagnostics_error(l->d, value == NULL ? DIAGNOSTIC_MISSING : DIAGNOSTIC_SHAPE,
                      value == NULL ? node->place : value->place, NULL,
                      "an object of the definitions must have \"%s\" as text", key);
    return BYTES_NONE;
}

static const struct load_special names_only[] = {
    { "name", load_nothing },
    { "vhost", load_nothing },
    { "user", load_nothing },
    { "exchange", load_nothing },
    { "limits", load_nothing },
    { "metadata", load_nothing },
    { "user_who_performed_action", load_nothing },
};
#define NAMES_ONLY names_only, sizeof(names_only) / sizeof(names_only[0])

static void
read_vhost(struct loader *l, const struct tree_node *node)
{
    const struct topology_item names = { .kind = TOPOLOGY_VHOST, .name = text_of(l, node, "name") };
    const struct load_special specials[] = {
        { "name", load_nothing },
        { "limits", load_nothing },
        { "metadata", load_nothing },
        { "tracing", load_nothing },
        { "protected_from_deletion", load_nothing },
    };
    if (names.name.size > 0 && load_name_is_fine(l, TOPOLOGY_VHOST, node, names.name))
        load_object(l, &names, node, node, specials, sizeof(specials) / sizeof(specials[0]));
}

/* The hash stands beside the name of its algorithm. */
static void
user_hash(struct loader *l, size_t item, const struct tree_node *key, const struct tree_node *node)
{
    struct buf value = { 0 };
    (void)key;
    if (node->kind != TREE_SCALAR || node->text.size == 0)
        return; /* No password. */
    buf_printf(&value, "sha256:%.*s", BYTES_ARGS(node->text));
    topology_set(l->t, &l->t->items[item], USER_PASSWORD_HASH, buf_bytes(&value));
    buf_fini(&value);
}

static void
check_hash(struct loader *l, size_t item, const struct tree_node *node)
{
    const struct bytes hash = l->t->items[item].values[USER_PASSWORD_HASH];
    if (hash.data != NULL && !password_text_is_sound(hash))
        diagnostics_error(l->d, DIAGNOSTIC_VALUE, tree_find(node, "password_hash")->place, NULL,
                          "the password_hash of %s is not of its algorithm",
                          load_subject(&l->t->items[item]));
}

static void
user_algorithm(struct loader *l, size_t item, const struct tree_node *key,
               const struct tree_node *node)
{
    (void)item;
    (void)key;
    static const char *const known[] = { "rabbit_password_hashing_sha256",
                                         "rabbit_password_hashing_sha512" };
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (bytes_equal(node->text, bytes_of_string(known[i])))
            return;
    diagnostics_error(l->d, DIAGNOSTIC_VALUE, node->place,
                      "set the user's password again in RabbitMQ, and export once more",
                      "passwords must be hashed with sha256 or sha512");
}

static void
read_user(struct loader *l, const struct tree_node *node)
{
    const struct topology_item names = { .kind = TOPOLOGY_USER, .name = text_of(l, node, "name") };
    const struct load_special specials[] = {
        { "name", load_nothing },
        { "password_hash", user_hash },
        { "hashing_algorithm", user_algorithm },
    };
    const size_t item = l->t->count;
    if (names.name.size == 0 || !load_name_is_fine(l, TOPOLOGY_USER, node, names.name))
        return;
    load_object(l, &names, node, node, specials, sizeof(specials) / sizeof(specials[0]));
    const struct tree_node *algorithm = tree_find(node, "hashing_algorithm");
    const struct bytes hash = l->t->items[item].values[USER_PASSWORD_HASH];
    if (hash.data != NULL && algorithm != NULL &&
        bytes_equal(algorithm->text, BYTES_LITERAL("rabbit_password_hashing_sha512"))) {
        struct buf value = { 0 };
        buf_printf(&value, "sha512:%.*s", (int)hash.size - 7, (const char *)hash.data + 7);
        topology_set(l->t, &l->t->items[item], USER_PASSWORD_HASH, buf_bytes(&value));
        buf_fini(&value);
    }
    check_hash(l, item, node);
}

static void
read_permission(struct loader *l, const struct tree_node *node)
{
    const struct topology_item names = { .kind = TOPOLOGY_PERMISSION,
                                         .vhost = text_of(l, node, "vhost"),
                                         .name = text_of(l, node, "user") };
    load_object(l, &names, node, node, NAMES_ONLY);
}

static void
read_topic_permission(struct loader *l, const struct tree_node *node)
{
    const struct topology_item names = { .kind = TOPOLOGY_TOPIC_PERMISSION,
                                         .vhost = text_of(l, node, "vhost"),
                                         .name = text_of(l, node, "user"),
                                         .other = text_of(l, node, "exchange") };
    load_object(l, &names, node, node, NAMES_ONLY);
}

static void
read_exchange(struct loader *l, const struct tree_node *node)
{
    const struct topology_item names = { .kind = TOPOLOGY_EXCHANGE,
                                         .vhost = text_of(l, node, "vhost"),
                                         .name = text_of(l, node, "name") };
    const size_t errors = l->d->count;
    const size_t item = l->t->count;
    if (names.name.size == 0 || !load_name_is_fine(l, TOPOLOGY_EXCHANGE, node, names.name))
        return;
    load_object(l, &names, node, node, NAMES_ONLY);
    if (l->d->count == errors)
        load_check_exchange(l, item, node);
}

static void
read_queue(struct loader *l, const struct tree_node *node)
{
    const struct topology_item names = { .kind = TOPOLOGY_QUEUE,
                                         .vhost = text_of(l, node, "vhost"),
                                         .name = text_of(l, node, "name") };
    /* Newer ones say the type besides, which is among the arguments, too. */
    const struct load_special specials[] = {
        { "name", load_nothing },
        { "vhost", load_nothing },
        { "type", load_nothing },
    };
    const size_t errors = l->d->count;
    const size_t item = l->t->count;
    if (names.name.size == 0 || !load_name_is_fine(l, TOPOLOGY_QUEUE, node, names.name))
        return;
    load_object(l, &names, node, node, specials, sizeof(specials) / sizeof(specials[0]));
    if (l->d->count == errors)
        load_check_queue(l, item, node);
}

static void
read_binding(struct loader *l, const struct tree_node *node)
{
    const struct bytes type = text_of(l, node, "destination_type");
    const struct tree_node *arguments = tree_find(node, "arguments");
    struct buf table = { 0 };
    struct topology_item names = {
        .kind = TOPOLOGY_BINDING,
        .vhost = text_of(l, node, "vhost"),
        .name = text_of(l, node, "destination"),
        .other = text_of(l, node, "source"),
        .key = text_of(l, node, "routing_key"),
        .to_exchange = bytes_equal(type, BYTES_LITERAL("exchange")),
    };
    if (arguments != NULL &&
        !arguments_read(l->d, arguments, &binding_argument_schema, "a binding", false, &table)) {
        buf_fini(&table);
        return;
    }
    names.arguments = buf_bytes(&table);
    topology_add(l->t, &names)->place = node->place;
    buf_fini(&table);
}

static void
read_policy(struct loader *l, const struct tree_node *node)
{
    const struct topology_item names = { .kind = TOPOLOGY_POLICY,
                                         .vhost = text_of(l, node, "vhost"),
                                         .name = text_of(l, node, "name") };
    const struct tree_node *apply_to = tree_find(node, "apply-to");
    const struct load_special specials[] = {
        { "name", load_nothing },
        { "vhost", load_nothing },
        { "apply-to", load_nothing },
    };
    const size_t item = l->t->count;
    if (names.name.size == 0)
        return;
    load_object(l, &names, node, node, specials, sizeof(specials) / sizeof(specials[0]));
    enum policy_apply_to known;
    if (apply_to == NULL)
        return;
    if (apply_to->kind == TREE_SCALAR && policy_apply_to_find(apply_to->text, &known))
        topology_set(l->t, &l->t->items[item], POLICY_APPLY_TO, apply_to->text);
    else
        diagnostics_error(l->d, DIAGNOSTIC_VALUE, apply_to->place, NULL,
                          "apply-to of %s must be all, queues, exchanges, classic_queues, "
                          "quorum_queues or streams",
                          load_subject(&l->t->items[item]));
}

/* Shovels, federation, limits of virtual hosts, operator policies. */
static void
read_parameter(struct loader *l, const struct tree_node *node)
{
    diagnostics_warning(l->d, DIAGNOSTIC_IGNORED, node->place, NULL,
                        "parameters (shovels, federation, limits) are not taken over");
}

static void
read_nothing(struct loader *l, const struct tree_node *node)
{
    (void)l;
    (void)node;
}

static const struct definitions_section sections[] = {
    { "vhosts", read_vhost },           { "users", read_user },
    { "permissions", read_permission }, { "topic_permissions", read_topic_permission },
    { "exchanges", read_exchange },     { "queues", read_queue },
    { "bindings", read_binding },       { "policies", read_policy },
    { "parameters", read_parameter },   { "global_parameters", read_nothing },
};

static void
read_section(struct loader *l, const struct definitions_section *section,
             const struct tree_node *node)
{
    if (!load_is(l, node, TREE_LIST, section->name))
        return;
    for (size_t i = 0; i < node->item_count; i++)
        if (load_is(l, node->items[i], TREE_MAPPING, "an object of the definitions"))
            section->read(l, node->items[i]);
}

bool
topology_is_definitions(const struct document *doc)
{
    static const char *const marks[] = { "rabbit_version", "rabbitmq_version", "product_version" };
    if (doc->root == NULL || doc->root->kind != TREE_MAPPING ||
        tree_find(doc->root, "version") != NULL)
        return false;
    for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++)
        if (tree_find(doc->root, marks[i]) != NULL)
            return true;
    for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++) {
        const struct tree_node *section = tree_find(doc->root, sections[i].name);
        if (section != NULL && section->kind == TREE_LIST)
            return true;
    }
    return false;
}

bool
definitions_read(struct document *doc, struct topology *t)
{
    struct loader l = { .d = &doc->diagnostics, .t = t, .is_lenient = true };
    for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++) {
        const struct tree_node *section = tree_find(doc->root, sections[i].name);
        const size_t path = diagnostics_path_push(l.d, bytes_of_string(sections[i].name));
        if (section != NULL)
            read_section(&l, &sections[i], section);
        diagnostics_path_pop(l.d, path);
    }
    load_finish(&l);
    return doc->diagnostics.count == 0;
}
