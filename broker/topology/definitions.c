/* RabbitMQ's definitions: flat arrays of objects that name their virtual host. */

#include "broker/topology/load_internal.h"

#include "broker/auth/password.h"
#include "broker/base/mem.h"
#include "broker/config/text.h"

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

/* Erlang writes some mappings as lists of pairs: [["max-queues", 5]]. False if this is none;
 * otherwise the caller frees the items of `out`, whose keys and values stay the tree's. */
static bool
pairs_read(const struct tree_node *node, struct tree_node *out)
{
    *out = (struct tree_node){ .kind = TREE_MAPPING, .place = node->place };
    if (node->kind != TREE_LIST)
        return false;
    for (size_t i = 0; i < node->item_count; i++) {
        const struct tree_node *pair = node->items[i];
        if (pair->kind != TREE_LIST || pair->item_count != 2 || pair->items[0]->kind != TREE_SCALAR)
            return false;
    }
    for (size_t i = 0; i < node->item_count; i++) {
        tree_node_append(out, node->items[i]->items[0]);
        tree_node_append(out, node->items[i]->items[1]);
    }
    return true;
}

/* Any negative number is no limit. */
static void
limit_normalise(struct loader *l, size_t item, size_t field)
{
    struct topology_item *of = &l->t->items[item];
    if (bytes_start_with(of->values[field], BYTES_LITERAL("-")))
        topology_set_text(l->t, of, field, "-1");
}

static void
read_limits(struct loader *l, size_t item, const struct tree_node *key,
            const struct tree_node *node)
{
    struct tree_node pairs;
    const bool is_vhost = l->t->items[item].kind == TOPOLOGY_VHOST;
    (void)key;
    load_group(l, item, "limits", pairs_read(node, &pairs) ? &pairs : node);
    mem_free(pairs.items);
    limit_normalise(l, item, is_vhost ? VHOST_MAX_CONNECTIONS : USER_MAX_CONNECTIONS);
    limit_normalise(l, item, is_vhost ? VHOST_MAX_QUEUES : USER_MAX_CHANNELS);
}

/* "undefined" is what Erlang says of nothing. */
static void
read_queue_type(struct loader *l, size_t item, const struct tree_node *key,
                const struct tree_node *node)
{
    (void)key;
    if (!bytes_equal(node->text, BYTES_LITERAL("undefined")))
        load_field(l, item, VHOST_DEFAULT_QUEUE_TYPE, node);
}

/* Most versions write these beside it as well. */
static void
read_metadata(struct loader *l, size_t item, const struct tree_node *key,
              const struct tree_node *node)
{
    (void)key;
    if (node->kind != TREE_MAPPING)
        return;
    const struct tree_node *description = tree_find(node, "description");
    const struct tree_node *tags = tree_find(node, "tags");
    const struct tree_node *type = tree_find(node, "default_queue_type");
    if (description != NULL)
        load_field(l, item, VHOST_DESCRIPTION, description);
    if (tags != NULL)
        load_field(l, item, VHOST_TAGS, tags);
    if (type != NULL)
        read_queue_type(l, item, key, type);
}

static void
read_protection(struct loader *l, size_t item, const struct tree_node *key,
                const struct tree_node *node)
{
    if (bytes_equal(node->text, BYTES_LITERAL("true")))
        diagnostics_warning(l->d, DIAGNOSTIC_IGNORED, key->place, NULL,
                            "%s is not protected from deletion: there is no such thing here",
                            load_subject(&l->t->items[item]));
}

static void
read_vhost(struct loader *l, const struct tree_node *node)
{
    const struct topology_item names = { .kind = TOPOLOGY_VHOST, .name = text_of(l, node, "name") };
    const struct load_special specials[] = {
        { "name", load_nothing },      { "limits", read_limits },
        { "metadata", read_metadata }, { "default_queue_type", read_queue_type },
        { "tracing", load_nothing },   { "protected_from_deletion", read_protection },
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
        { "limits", read_limits },
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
read_definition(struct loader *l, size_t item, const struct tree_node *key,
                const struct tree_node *node)
{
    struct tree_node pairs;
    (void)key;
    load_field(l, item, POLICY_DEFINITION, pairs_read(node, &pairs) ? &pairs : node);
    mem_free(pairs.items);
}

static void
read_apply_to(struct loader *l, size_t item, const struct tree_node *key,
              const struct tree_node *node)
{
    (void)key;
    load_field(l, item, POLICY_APPLY_TO, node);
}

/* `node` is the policy; a parameter has its names outside of it. */
static void
load_policy(struct loader *l, const struct topology_item *names, const struct tree_node *node)
{
    const struct load_special specials[] = {
        { "name", load_nothing },
        { "vhost", load_nothing },
        { "apply-to", read_apply_to },
        { "definition", read_definition },
    };
    if (names->name.size > 0)
        load_object(l, names, node, node, specials, sizeof(specials) / sizeof(specials[0]));
}

static void
read_policy(struct loader *l, const struct tree_node *node)
{
    const struct topology_item names = { .kind = TOPOLOGY_POLICY,
                                         .vhost = text_of(l, node, "vhost"),
                                         .name = text_of(l, node, "name") };
    load_policy(l, &names, node);
}

static void
read_operator_policy(struct loader *l, const struct tree_node *node, const struct tree_node *value)
{
    const struct topology_item names = { .kind = TOPOLOGY_OPERATOR_POLICY,
                                         .vhost = text_of(l, node, "vhost"),
                                         .name = text_of(l, node, "name") };
    load_policy(l, &names, value);
}

/* Of a virtual host that has been read, or of one that is in the parameters alone. */
static void
read_vhost_limits(struct loader *l, const struct tree_node *node, const struct tree_node *value)
{
    const struct topology_item names = { .kind = TOPOLOGY_VHOST,
                                         .name = text_of(l, node, "vhost") };
    size_t item = 0;
    if (names.name.size == 0 || !load_name_is_fine(l, TOPOLOGY_VHOST, node, names.name))
        return;
    while (item < l->t->count && topology_order(&l->t->items[item], &names) != 0)
        item++;
    if (item == l->t->count)
        topology_add(l->t, &names)->place = node->place;
    read_limits(l, item, node, value);
}

static void
warn_of_parameter(struct loader *l, const struct tree_node *node, const char *sort,
                  struct bytes component)
{
    struct buf text = { 0 };
    const struct tree_node *vhost = tree_find(node, "vhost");
    buf_printf(&text, "%s", sort);
    if (component.size > 0)
        text_plain(&text, component);
    buf_printf(&text, " ");
    text_quote(&text, text_of(l, node, "name"));
    if (vhost != NULL && vhost->kind == TREE_SCALAR) {
        buf_printf(&text, " in vhost ");
        text_quote(&text, vhost->text);
    }
    diagnostics_warning(l->d, DIAGNOSTIC_IGNORED, node->place, NULL, "%.*s is not taken over",
                        BYTES_ARGS(buf_bytes(&text)));
    buf_fini(&text);
}

/* Operator policies and limits of virtual hosts are parameters, too; shovels and federation are
 * not for this broker. What these hold is never shown: there are passwords in it. */
static void
read_parameter(struct loader *l, const struct tree_node *node)
{
    const struct bytes component = text_of(l, node, "component");
    const struct tree_node *value = tree_find(node, "value");
    if (component.size == 0)
        return;
    if (value != NULL && bytes_equal(component, BYTES_LITERAL("operator_policy")))
        read_operator_policy(l, node, value);
    else if (value != NULL && bytes_equal(component, BYTES_LITERAL("vhost-limits")))
        read_vhost_limits(l, node, value);
    else
        warn_of_parameter(l, node, "", component);
}

/* A cluster's notes about itself mean nothing elsewhere. */
static void
read_global_parameter(struct loader *l, const struct tree_node *node)
{
    static const char *const notes[] = { "cluster_name", "internal_cluster_id", "cluster_tags",
                                         "imported_definition_hash_value" };
    const struct tree_node *name = tree_find(node, "name");
    for (size_t i = 0; name != NULL && i < sizeof(notes) / sizeof(notes[0]); i++)
        if (bytes_equal(name->text, bytes_of_string(notes[i])))
            return;
    warn_of_parameter(l, node, "global parameter", BYTES_NONE);
}

static const struct definitions_section sections[] = {
    { "vhosts", read_vhost },           { "users", read_user },
    { "permissions", read_permission }, { "topic_permissions", read_topic_permission },
    { "exchanges", read_exchange },     { "queues", read_queue },
    { "bindings", read_binding },       { "policies", read_policy },
    { "parameters", read_parameter },   { "global_parameters", read_global_parameter },
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
    l.d->hides_long_lines = true; /* All may be one line, with the URIs of shovels in it. */
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
