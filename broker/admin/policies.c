#include "broker/admin/list_core.h"

#include "broker/core/policy.h"

#define POLICY(object) ((const struct policy_spec *)(object))

static void
put_name(struct rows *r, const void *object)
{
    cell_put_text(r, POLICY(object)->name);
}

static void
put_vhost(struct rows *r, const void *object)
{
    cell_put_text(r, POLICY(object)->vhost);
}

static void
put_pattern(struct rows *r, const void *object)
{
    cell_put_text(r, POLICY(object)->pattern);
}

static void
put_apply_to(struct rows *r, const void *object)
{
    cell_put_string(r, policy_apply_to_name(POLICY(object)->apply_to));
}

static void
put_priority(struct rows *r, const void *object)
{
    cell_put_signed(r, POLICY(object)->priority);
}

static void
put_definition(struct rows *r, const void *object)
{
    cell_put_table(r, POLICY(object)->definition);
}

const struct column policy_columns[] = {
    { "vhost", put_vhost, false, "The virtual host it is in." },
    { "name", put_name, true, "Its name." },
    { "pattern", put_pattern, true, "Names that fit this regular expression." },
    { "apply-to", put_apply_to, true, "Of what: queues, exchanges, all, or queues of one type." },
    { "priority", put_priority, true, "Of several that fit, the highest is in force." },
    { "definition", put_definition, true, "What it says, as JSON." },
};
const size_t policy_column_count = sizeof(policy_columns) / sizeof(policy_columns[0]);

struct policy_listing {
    const struct vhost *vhost;
    const struct selection *selection;
    struct rows *rows;
    bool is_operators;
};

static void
list_policy(void *context, const struct policy_spec *policy)
{
    const struct policy_listing *l = context;
    if (policy->is_operators == l->is_operators && bytes_equal(policy->vhost, l->vhost->name))
        selection_put(l->selection, l->rows, policy);
}

void
list_policies(struct broker *b, struct vhost *v, const struct selection *s, struct rows *r)
{
    struct policy_listing l = { .vhost = v, .selection = s, .rows = r };
    policies_each(&b->policies, list_policy, &l);
}

void
list_operator_policies(struct broker *b, struct vhost *v, const struct selection *s, struct rows *r)
{
    struct policy_listing l = { .vhost = v, .selection = s, .rows = r, .is_operators = true };
    policies_each(&b->policies, list_policy, &l);
}
