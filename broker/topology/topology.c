#include "broker/topology/topology.h"

#include "broker/base/mem.h"
#include "broker/base/panic.h"
#include "broker/config/text.h"

#include <stdlib.h>

static const char *const queue_types[] = { "classic", "quorum", "stream", NULL };
static const char *const exchange_types[] = {
    "direct",   "fanout", "topic", "headers", "x-consistent-hash", "x-delayed-message",
    "x-random", NULL
};
static const char *const apply_words[] = {
    "all", "queues", "exchanges", "classic_queues", "quorum_queues", "streams", NULL,
};
static const char *const operator_apply_words[] = {
    "queues", "classic_queues", "quorum_queues", "streams", "all", NULL,
};

static const struct topology_field vhost_fields[] = {
    [VHOST_DESCRIPTION] = { .name = "description", .form = FORM_TEXT },
    [VHOST_TAGS] = { .name = "tags", .form = FORM_LIST },
    [VHOST_DEFAULT_QUEUE_TYPE] = { .name = "default_queue_type",
                                   .form = FORM_WORD,
                                   .words = queue_types },
    [VHOST_MAX_CONNECTIONS] = { .group = "limits",
                                .name = "max-connections",
                                .form = FORM_INTEGER },
    [VHOST_MAX_QUEUES] = { .group = "limits", .name = "max-queues", .form = FORM_INTEGER },
};

static const struct topology_field user_fields[] = {
    [USER_PASSWORD] = { .name = "password", .form = FORM_SECRET },
    [USER_PASSWORD_HASH] = { .name = "password_hash", .form = FORM_HASH },
    [USER_TAGS] = { .name = "tags", .form = FORM_LIST, .fallback = "" },
    [USER_MAX_CONNECTIONS] = { .group = "limits", .name = "max-connections", .form = FORM_INTEGER },
    [USER_MAX_CHANNELS] = { .group = "limits", .name = "max-channels", .form = FORM_INTEGER },
    [USER_CONNECT_FROM] = { .name = "connect_from", .form = FORM_LIST },
};

static const struct topology_field permission_fields[] = {
    [PERMISSION_CONFIGURE] = { .name = "configure", .form = FORM_PATTERN, .fallback = "" },
    [PERMISSION_WRITE] = { .name = "write", .form = FORM_PATTERN, .fallback = "" },
    [PERMISSION_READ] = { .name = "read", .form = FORM_PATTERN, .fallback = "" },
};

static const struct topology_field topic_permission_fields[] = {
    [TOPIC_PERMISSION_WRITE] = { .name = "write", .form = FORM_PATTERN, .fallback = "" },
    [TOPIC_PERMISSION_READ] = { .name = "read", .form = FORM_PATTERN, .fallback = "" },
};

static const struct topology_field exchange_fields[] = {
    [EXCHANGE_TYPE] = { .name = "type",
                        .form = FORM_WORD,
                        .fallback = "direct",
                        .words = exchange_types,
                        .is_fixed = true },
    [EXCHANGE_DURABLE] = { .name = "durable",
                           .form = FORM_BOOL,
                           .fallback = "true",
                           .is_fixed = true },
    [EXCHANGE_AUTO_DELETE] = { .name = "auto_delete",
                               .form = FORM_BOOL,
                               .fallback = "false",
                               .is_fixed = true },
    [EXCHANGE_INTERNAL] = { .name = "internal",
                            .form = FORM_BOOL,
                            .fallback = "false",
                            .is_fixed = true },
    [EXCHANGE_ARGUMENTS] = { .name = "arguments",
                             .form = FORM_TABLE,
                             .fallback = "",
                             .schema = &exchange_argument_schema,
                             .is_fixed = true },
};

static const struct topology_field queue_fields[] = {
    [QUEUE_DURABLE] = { .name = "durable",
                        .form = FORM_BOOL,
                        .fallback = "true",
                        .is_fixed = true },
    [QUEUE_AUTO_DELETE] = { .name = "auto_delete",
                            .form = FORM_BOOL,
                            .fallback = "false",
                            .is_fixed = true },
    [QUEUE_ARGUMENTS] = { .name = "arguments",
                          .form = FORM_TABLE,
                          .fallback = "",
                          .schema = &queue_argument_schema,
                          .is_fixed = true },
};

static const struct topology_field policy_fields[] = {
    [POLICY_PATTERN] = { .name = "pattern", .form = FORM_PATTERN, .fallback = "" },
    [POLICY_APPLY_TO] = { .name = "apply_to",
                          .form = FORM_WORD,
                          .fallback = "all",
                          .words = apply_words },
    [POLICY_PRIORITY] = { .name = "priority", .form = FORM_INTEGER, .fallback = "0" },
    [POLICY_DEFINITION] = { .name = "definition",
                            .form = FORM_TABLE,
                            .fallback = "",
                            .schema = &policy_schema },
};

static const struct topology_field operator_policy_fields[] = {
    [POLICY_PATTERN] = { .name = "pattern", .form = FORM_PATTERN, .fallback = "" },
    [POLICY_APPLY_TO] = { .name = "apply_to",
                          .form = FORM_WORD,
                          .fallback = "queues",
                          .words = operator_apply_words },
    [POLICY_PRIORITY] = { .name = "priority", .form = FORM_INTEGER, .fallback = "0" },
    [POLICY_DEFINITION] = { .name = "definition",
                            .form = FORM_TABLE,
                            .fallback = "",
                            .schema = &operator_policy_schema },
};

#define FIELDS(fields) (fields), sizeof(fields) / sizeof((fields)[0])

const struct topology_kind_info topology_kinds[TOPOLOGY_KINDS] = {
    [TOPOLOGY_VHOST] = { "vhost", "vhosts", FIELDS(vhost_fields) },
    [TOPOLOGY_USER] = { "user", "users", FIELDS(user_fields) },
    [TOPOLOGY_PERMISSION] = { "permission", "permissions", FIELDS(permission_fields) },
    [TOPOLOGY_TOPIC_PERMISSION] = { "topic permission", "topic_permissions",
                                    FIELDS(topic_permission_fields) },
    [TOPOLOGY_EXCHANGE] = { "exchange", "exchanges", FIELDS(exchange_fields) },
    [TOPOLOGY_QUEUE] = { "queue", "queues", FIELDS(queue_fields) },
    [TOPOLOGY_BINDING] = { "binding", "bindings", NULL, 0 },
    [TOPOLOGY_POLICY] = { "policy", "policies", FIELDS(policy_fields) },
    [TOPOLOGY_OPERATOR_POLICY] = { "operator policy", "operator_policies",
                                   FIELDS(operator_policy_fields) },
};

void
topology_init(struct topology *t)
{
    *t = (struct topology){
        .rules = { .on_start = true, .delete_queues = DELETE_QUEUES_IF_EMPTY },
    };
}

void
topology_fini(struct topology *t)
{
    mem_free(t->items);
    arena_fini(&t->arena);
    *t = (struct topology){ 0 };
}

struct topology_item *
topology_add(struct topology *t, const struct topology_item *names)
{
    if (t->count == t->capacity) {
        t->capacity = t->capacity == 0 ? 16 : t->capacity * 2;
        t->items = mem_resize(t->items, t->capacity * sizeof(t->items[0]));
    }
    struct topology_item *item = &t->items[t->count++];
    struct buf identity = { 0 };
    *item = *names;
    arguments_identity(names->arguments, &identity);
    item->vhost = arena_copy(&t->arena, names->vhost);
    item->name = arena_copy(&t->arena, names->name);
    item->other = arena_copy(&t->arena, names->other);
    item->key = arena_copy(&t->arena, names->key);
    item->arguments = arena_copy(&t->arena, names->arguments);
    item->identity = arena_copy(&t->arena, buf_bytes(&identity));
    const struct topology_kind_info *info = &topology_kinds[item->kind];
    for (size_t i = 0; i < info->field_count; i++)
        if (info->fields[i].fallback != NULL)
            item->values[i] = bytes_of_string(info->fields[i].fallback);
    buf_fini(&identity);
    return item;
}

void
topology_copy(const struct topology *from, struct topology *to)
{
    topology_init(to);
    to->rules = from->rules;
    for (size_t i = 0; i < from->count; i++) {
        struct topology_item *item = topology_add(to, &from->items[i]);
        for (size_t k = 0; k < TOPOLOGY_FIELDS_MAX; k++) {
            const struct bytes value = from->items[i].values[k];
            item->values[k] = value.data == NULL ? BYTES_NONE : arena_copy(&to->arena, value);
        }
    }
}

void
topology_set(struct topology *t, struct topology_item *item, size_t field, struct bytes value)
{
    item->values[field] = arena_copy(&t->arena, value);
}

void
topology_set_text(struct topology *t, struct topology_item *item, size_t field, const char *value)
{
    topology_set(t, item, field, bytes_of_string(value));
}

void
topology_set_bool(struct topology *t, struct topology_item *item, size_t field, bool value)
{
    topology_set_text(t, item, field, value ? "true" : "false");
}

bool
topology_bool(const struct topology_item *item, size_t field)
{
    return bytes_equal(item->values[field], BYTES_LITERAL("true"));
}

/* Values are copied with a zero behind them, and fallbacks are literals. */
int64_t
topology_integer(const struct topology_item *item, size_t field, int64_t fallback)
{
    if (item->values[field].data == NULL)
        return fallback;
    return strtoll((const char *)item->values[field].data, NULL, 10);
}

int
topology_order(const struct topology_item *a, const struct topology_item *b)
{
    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    int order = bytes_compare(a->vhost, b->vhost);
    if (order == 0 && a->to_exchange != b->to_exchange)
        order = a->to_exchange ? -1 : 1;
    if (order == 0)
        order = bytes_compare(a->name, b->name);
    if (order == 0)
        order = bytes_compare(a->other, b->other);
    if (order == 0)
        order = bytes_compare(a->key, b->key);
    return order != 0 ? order : bytes_compare(a->identity, b->identity);
}

/* Of equal ones the first in the file comes first, so that messages come out the same way. */
static int
sort_order(const void *a, const void *b)
{
    const struct topology_item *left = a;
    const struct topology_item *right = b;
    const int order = topology_order(left, right);
    if (order != 0)
        return order;
    const struct place *p = &left->place;
    const struct place *q = &right->place;
    if (p->source != q->source)
        return p->source < q->source ? -1 : 1;
    if (p->line != q->line)
        return p->line < q->line ? -1 : 1;
    return (p->column > q->column) - (p->column < q->column);
}

void
topology_sort(struct topology *t)
{
    if (t->count > 1)
        qsort(t->items, t->count, sizeof(t->items[0]), sort_order);
}

const struct topology_item *
topology_find(const struct topology *t, const struct topology_item *names)
{
    size_t low = 0;
    size_t high = t->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const int order = topology_order(&t->items[middle], names);
        if (order == 0)
            return &t->items[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static bool
leads_to(const struct topology_item *binding, const struct topology_item *first)
{
    return binding->kind == TOPOLOGY_BINDING && binding->to_exchange == first->to_exchange &&
           bytes_equal(binding->vhost, first->vhost) && bytes_equal(binding->name, first->name);
}

const struct topology_item *
topology_bindings_to(const struct topology *t, const struct topology_item *destination,
                     size_t *count)
{
    /* Source, key and arguments are empty, so it comes before all of them. */
    const struct topology_item first = {
        .kind = TOPOLOGY_BINDING,
        .vhost = destination->vhost,
        .name = destination->name,
        .to_exchange = destination->kind == TOPOLOGY_EXCHANGE,
    };
    size_t low = 0;
    size_t high = t->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (topology_order(&t->items[middle], &first) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *count = 0;
    while (low + *count < t->count && leads_to(&t->items[low + *count], &first))
        ++*count;
    return *count == 0 ? NULL : &t->items[low];
}

const struct topology_item *
topology_find_named(const struct topology *t, enum topology_kind kind, struct bytes vhost,
                    struct bytes name)
{
    ASSERT(kind == TOPOLOGY_EXCHANGE || kind == TOPOLOGY_QUEUE || kind == TOPOLOGY_VHOST ||
           kind == TOPOLOGY_USER);
    const struct topology_item names = { .kind = kind, .vhost = vhost, .name = name };
    return topology_find(t, &names);
}

#define PREDECLARED(exchange, exchange_type, is_internal)                                          \
    {                                                                                              \
        .kind = TOPOLOGY_EXCHANGE, .name = { (const uint8_t *)(exchange), sizeof(exchange) - 1 },  \
        .values = {                                                                                \
            [EXCHANGE_TYPE] = { (const uint8_t *)(exchange_type), sizeof(exchange_type) - 1 },     \
            [EXCHANGE_INTERNAL] = { (const uint8_t *)(is_internal), sizeof(is_internal) - 1 }      \
        },                                                                                         \
    }

const struct topology_item *
topology_predeclared(struct bytes exchange)
{
    static const struct topology_item items[] = {
        PREDECLARED("amq.direct", "direct", "false"),
        PREDECLARED("amq.fanout", "fanout", "false"),
        PREDECLARED("amq.topic", "topic", "false"),
        PREDECLARED("amq.headers", "headers", "false"),
        PREDECLARED("amq.match", "headers", "false"),
        PREDECLARED("amq.rabbitmq.trace", "topic", "true"),
    };
    for (size_t i = 0; i < sizeof(items) / sizeof(items[0]); i++)
        if (bytes_equal(exchange, items[i].name))
            return &items[i];
    return NULL;
}

static void
describe_binding(const struct topology_item *item, struct buf *out)
{
    buf_printf(out, "binding of %s ", item->to_exchange ? "exchange" : "queue");
    text_quote(out, item->name);
    buf_printf(out, " to exchange ");
    text_quote(out, item->other);
    buf_printf(out, " with key ");
    text_quote(out, item->key);
    if (item->arguments.size > 0) {
        buf_printf(out, " and arguments ");
        arguments_show(item->arguments, out);
    }
}

void
topology_describe(const struct topology_item *item, struct buf *out)
{
    switch (item->kind) {
    case TOPOLOGY_VHOST:
    case TOPOLOGY_USER:
        buf_printf(out, "%s ", topology_kinds[item->kind].name);
        text_quote(out, item->name);
        return;
    case TOPOLOGY_PERMISSION:
        buf_printf(out, "permissions of user ");
        text_quote(out, item->name);
        break;
    case TOPOLOGY_TOPIC_PERMISSION:
        buf_printf(out, "topic permissions of user ");
        text_quote(out, item->name);
        buf_printf(out, " on exchange ");
        text_quote(out, item->other);
        break;
    case TOPOLOGY_BINDING:
        describe_binding(item, out);
        break;
    case TOPOLOGY_EXCHANGE:
    case TOPOLOGY_QUEUE:
    case TOPOLOGY_POLICY:
    case TOPOLOGY_OPERATOR_POLICY:
        buf_printf(out, "%s ", topology_kinds[item->kind].name);
        text_quote(out, item->name);
        break;
    }
    buf_printf(out, " in vhost ");
    text_quote(out, item->vhost);
}
