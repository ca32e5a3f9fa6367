#include "broker/admin/queue_rules.h"

#include "amqp/table.h"
#include "broker/admin/table_json.h"

#define VALUE_JSON_MAX 4096u

static const char *const source_names[] = {
    [RULE_OF_NOBODY] = "",
    [RULE_OF_ARGUMENT] = "argument",
    [RULE_OF_POLICY] = "policy",
    [RULE_OF_OPERATOR_POLICY] = "operator policy",
};

static void
put_source(struct rows *r, enum rule_source source, const struct queue_rules *rules)
{
    cell_put_string(r, source_names[source]);
    if (source == RULE_OF_POLICY)
        cell_put_text(r, buf_bytes(&rules->policies[POLICY_USERS].name));
    else if (source == RULE_OF_OPERATOR_POLICY)
        cell_put_text(r, buf_bytes(&rules->policies[POLICY_OPERATORS].name));
    else
        cell_put_none(r);
    rows_end(r);
}

static void
put_rule(struct rows *r, enum queue_rule rule, const struct queue_rules *rules)
{
    const enum rule_source source = (enum rule_source)rules->arguments.sources[rule];
    int64_t number = 0;
    struct bytes text = BYTES_NONE;
    if (source == RULE_OF_NOBODY)
        return;
    queue_rule_value(&rules->arguments, rule, &number, &text);
    cell_put_string(r, queue_rule_name(rule));
    if (rule < QUEUE_RULE_NUMBERS)
        cell_put_signed(r, number);
    else
        cell_put_text(r, text);
    put_source(r, source, rules);
}

static void
put_field(struct rows *r, const struct table_field *f, const struct queue_rules *rules)
{
    int64_t number;
    bool flag;
    struct buf json = { 0 };
    cell_put_text(r, f->name);
    if (f->tag == 'S')
        cell_put_text(r, f->value);
    else if (table_field_integer(f, &number))
        cell_put_signed(r, number);
    else if (table_field_bool(f, &flag))
        cell_put_bool(r, flag);
    else if (table_field_json(&json, f, VALUE_JSON_MAX))
        cell_put_json(r, buf_bytes(&json));
    else
        cell_put_string(r, "(a long value)");
    put_source(r, RULE_OF_ARGUMENT, rules);
    buf_fini(&json);
}

void
cell_put_rules(struct rows *r, const struct queue *q, const struct queue_rules *rules)
{
    static const char *const names[] = { "name", "value", "source", "policy" };
    struct rows inner = { 0 };
    struct table_iterator i = table_iterate(q->arguments);
    struct table_field f;
    for (size_t n = 0; n < sizeof(names) / sizeof(names[0]); n++)
        cell_put_string(&inner, names[n]);
    rows_end(&inner);
    for (size_t rule = 0; rule < QUEUE_RULES; rule++)
        put_rule(&inner, (enum queue_rule)rule, rules);
    while (table_next(&i, &f))
        if (queue_rule_find(f.name) == QUEUE_RULES)
            put_field(&inner, &f, rules);
    cell_put_rows(r, &inner);
    rows_fini(&inner);
}

static bool
find_number(struct bytes definition, struct bytes key, struct table_field *f, int64_t *out)
{
    return table_find(definition, key, f) && table_field_integer(f, out) && *out >= 0;
}

/* The numbers of the operator policy that the other lacks, or has larger. */
static void
put_operators_numbers(struct buf *out, struct bytes definition, struct bytes operators)
{
    struct table_field f;
    int64_t limit;
    int64_t most;
    for (size_t rule = 0; rule < QUEUE_RULE_NUMBERS; rule++) {
        const struct bytes key = bytes_of_string(queue_rule_name((enum queue_rule)rule) + 2);
        const bool is_there = find_number(definition, key, &f, &limit);
        if (find_number(operators, key, &f, &most) && (!is_there || most < limit))
            table_append(out, &f);
    }
}

void
cell_put_policy_definition(struct rows *r, const struct queue_rules *rules)
{
    const struct bytes definition = buf_bytes(&rules->policies[POLICY_USERS].definition);
    struct buf all = { 0 };
    struct buf merged = { 0 };
    struct table_iterator i = table_iterate(definition);
    struct table_field f;
    struct table_field beaten;
    put_operators_numbers(&all, definition,
                          buf_bytes(&rules->policies[POLICY_OPERATORS].definition));
    const size_t operators_size = all.size;
    while (table_next(&i, &f))
        if (!table_find(bytes_of(all.data, operators_size), f.name, &beaten))
            table_append(&all, &f);
    table_canonical(buf_bytes(&all), &merged);
    cell_put_table(r, buf_bytes(&merged));
    buf_fini(&all);
    buf_fini(&merged);
}

void
cell_put_policy(struct rows *r, const struct policy_in_force *policy)
{
    if (policy->name.size == 0)
        cell_put_none(r);
    else
        cell_put_text(r, buf_bytes(&policy->name));
}
