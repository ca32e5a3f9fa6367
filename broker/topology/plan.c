#include "broker/topology/plan.h"

#include "amqp/table.h"
#include "broker/base/mem.h"
#include "broker/core/queue_arguments.h"

struct planner {
    struct plan *plan;
    const struct plan_request *request;
};

static struct change *
change_add(struct planner *p, enum change_kind kind, const struct topology_item *wanted,
           const struct topology_item *current)
{
    struct plan *plan = p->plan;
    if (plan->count == plan->capacity) {
        plan->capacity = plan->capacity == 0 ? 16 : plan->capacity * 2;
        plan->changes = mem_resize(plan->changes, plan->capacity * sizeof(plan->changes[0]));
    }
    struct change *change = &plan->changes[plan->count++];
    *change = (struct change){ .kind = kind, .wanted = wanted, .current = current };
    plan->counts[kind]++;
    return change;
}

static void
refuse(struct planner *p, struct change *change, const char *why)
{
    change->refusal = why;
    p->plan->refused++;
}

/* A file that does not say the type leaves it to the virtual host's default. */
static bool
queue_tables_equal(const struct topology_item *wanted, struct bytes a, struct bytes b)
{
    struct bytes type;
    struct buf with_type = { 0 };
    struct buf table = { 0 };
    struct amqp_exception ex;
    buf_append_bytes(&with_type, a);
    if (!arguments_have(a, "x-queue-type") && arguments_text(b, "x-queue-type", &type))
        table_put_string(&with_type, "x-queue-type", type);
    table_canonical(buf_bytes(&with_type), &table);
    const bool equal =
        queue_arguments_equivalent(buf_bytes(&table), b, wanted->name, wanted->vhost, &ex);
    buf_fini(&with_type);
    buf_fini(&table);
    return equal;
}

/* As a repeated declaration is judged: what that does not compare is no difference. */
static bool
tables_equal(const struct topology_item *wanted, struct bytes a, struct bytes b)
{
    struct amqp_exception ex;
    if (wanted->kind == TOPOLOGY_QUEUE)
        return queue_tables_equal(wanted, a, b);
    if (wanted->kind == TOPOLOGY_EXCHANGE)
        return argument_equivalent(a, b, "alternate-exchange", "", &ex) &&
               argument_equivalent(a, b, "x-delayed-type", "", &ex);
    struct buf left = { 0 };
    struct buf right = { 0 };
    arguments_identity(a, &left);
    arguments_identity(b, &right);
    const bool equal = bytes_equal(buf_bytes(&left), buf_bytes(&right));
    buf_fini(&left);
    buf_fini(&right);
    return equal;
}

/* What the file does not say is left as it is. */
static bool
field_differs(const struct planner *p, const struct topology_item *wanted,
              const struct topology_item *current, size_t i)
{
    const struct topology_field *field = &topology_kinds[wanted->kind].fields[i];
    const struct bytes value = wanted->values[i];
    if (value.data == NULL)
        return false;
    if (field->form == FORM_SECRET)
        return p->request->password_is == NULL ||
               !p->request->password_is(p->request->context, current, value);
    if (field->form == FORM_TABLE)
        return !tables_equal(wanted, value, current->values[i]);
    return !bytes_equal(value, current->values[i]);
}

/* Whether messages may go; `why` says what to do if not. */
static const char *
loss_refusal(const struct planner *p, enum topology_kind kind, uint64_t messages)
{
    if (kind != TOPOLOGY_QUEUE && messages == 0)
        return NULL; /* The rule is about queues. */
    switch (p->request->rules.delete_queues) {
    case DELETE_QUEUES_NEVER:
        return "the file says apply.delete_queues: never";
    case DELETE_QUEUES_IF_EMPTY:
        return messages == 0 ? NULL
                             : "it holds messages: consume or purge them first, or use --force";
    case DELETE_QUEUES_ALWAYS:
        return NULL;
    }
    return NULL;
}

static void
plan_replacement(struct planner *p, const struct topology_item *wanted,
                 const struct topology_item *current, unsigned fields)
{
    struct change *change = change_add(p, CHANGE_REPLACE, wanted, current);
    change->fields = fields;
    change->messages = current->messages;
    const char *why = loss_refusal(p, wanted->kind, current->messages);
    if (topology_predeclared(wanted->name) != NULL && wanted->kind == TOPOLOGY_EXCHANGE)
        refuse(p, change, "it is always there, as AMQP says it is; remove it from the file");
    else if (!wanted->may_replace && !p->request->rules.replace_on_conflict)
        refuse(p, change,
               "this cannot change while it exists: restore the old value; or declare another one "
               "under a new name, move the bindings, drain the old one and remove it; or write "
               "replace: allow there, and it is deleted and made again");
    else if (why != NULL)
        refuse(p, change, why);
}

static unsigned
differing_fields(const struct planner *p, const struct topology_item *wanted,
                 const struct topology_item *current, bool *is_fixed)
{
    unsigned fields = 0;
    *is_fixed = false;
    for (size_t i = 0; i < topology_kinds[wanted->kind].field_count; i++) {
        if (!field_differs(p, wanted, current, i))
            continue;
        fields |= 1u << i;
        *is_fixed = *is_fixed || topology_kinds[wanted->kind].fields[i].is_fixed;
    }
    return fields;
}

static bool
is_replaced(const struct planner *p, enum topology_kind kind, struct bytes vhost, struct bytes name)
{
    for (size_t i = 0; i < p->plan->count; i++) {
        const struct change *c = &p->plan->changes[i];
        if (c->kind == CHANGE_REPLACE && c->wanted->kind == kind &&
            bytes_equal(c->wanted->vhost, vhost) && bytes_equal(c->wanted->name, name))
            return true;
    }
    return false;
}

/* A binding goes when one of its ends is made again. */
static bool
loses_an_end(const struct planner *p, const struct topology_item *b)
{
    if (b->kind != TOPOLOGY_BINDING || p->plan->counts[CHANGE_REPLACE] == 0)
        return false;
    return is_replaced(p, b->to_exchange ? TOPOLOGY_EXCHANGE : TOPOLOGY_QUEUE, b->vhost, b->name) ||
           is_replaced(p, TOPOLOGY_EXCHANGE, b->vhost, b->other);
}

static void
plan_wanted(struct planner *p, const struct topology_item *wanted)
{
    bool is_fixed;
    const struct topology_item *current = topology_find(p->request->current, wanted);
    if (wanted->is_absent)
        return;
    if (current == NULL || loses_an_end(p, wanted)) {
        change_add(p, CHANGE_CREATE, wanted, NULL);
        return;
    }
    const unsigned fields = differing_fields(p, wanted, current, &is_fixed);
    if (fields == 0)
        return;
    if (is_fixed)
        plan_replacement(p, wanted, current, fields);
    else
        change_add(p, CHANGE_UPDATE, wanted, current)->fields = fields;
}

static bool
is_surplus(const struct planner *p, const struct topology_item *current)
{
    const struct topology_item *wanted = topology_find(p->request->wanted, current);
    if (wanted != NULL)
        return wanted->is_absent;
    if (current->kind == TOPOLOGY_EXCHANGE && topology_predeclared(current->name) != NULL)
        return false;
    switch (p->request->rules.prune) {
    case PRUNE_NONE:
        return false;
    case PRUNE_OWNED:
        return current->is_owned;
    case PRUNE_ALL: /* Whoever forgets the users in a file must not be locked out. */
        return current->is_owned ||
               (current->kind != TOPOLOGY_VHOST && current->kind != TOPOLOGY_USER &&
                current->kind != TOPOLOGY_PERMISSION && current->kind != TOPOLOGY_TOPIC_PERMISSION);
    }
    return false;
}

static uint64_t
messages_of(const struct planner *p, const struct topology_item *item)
{
    uint64_t sum = item->messages;
    for (size_t i = 0; item->kind == TOPOLOGY_VHOST && i < p->request->current->count; i++) {
        const struct topology_item *q = &p->request->current->items[i];
        if (bytes_equal(q->vhost, item->name))
            sum += q->messages;
    }
    return sum;
}

static void
plan_current(struct planner *p, const struct topology_item *current)
{
    if (!is_surplus(p, current))
        return;
    struct change *change = change_add(p, CHANGE_DELETE, NULL, current);
    change->messages = messages_of(p, current);
    if (current->kind == TOPOLOGY_VHOST && bytes_equal(current->name, BYTES_LITERAL("/")))
        refuse(p, change, "the vhost \"/\" cannot be deleted");
    else if (current->kind == TOPOLOGY_QUEUE || change->messages > 0) {
        const char *why = loss_refusal(p, current->kind, change->messages);
        if (why != NULL)
            refuse(p, change, why);
    }
}

void
plan_make(struct plan *plan, const struct plan_request *request)
{
    struct planner p = { .plan = plan, .request = request };
    *plan = (struct plan){ 0 };
    for (size_t i = 0; i < request->wanted->count; i++)
        plan_wanted(&p, &request->wanted->items[i]);
    for (size_t i = request->current->count; i > 0; i--)
        plan_current(&p, &request->current->items[i - 1]);
}

void
plan_fini(struct plan *plan)
{
    mem_free(plan->changes);
    *plan = (struct plan){ 0 };
}
