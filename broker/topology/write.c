#include "broker/topology/write.h"

#include "amqp/table.h"
#include "broker/config/yaml_write.h"

#define INDENT 2u

struct writer {
    const struct topology *t;
    enum write_purpose purpose;
    struct buf *out;
    size_t left_out;
};

static void
indent(struct writer *w, size_t depth)
{
    buf_printf(w->out, "%*s", (int)(depth * INDENT), "");
}

static bool
is_default(const struct topology_item *item, size_t field)
{
    const struct topology_field *f = &topology_kinds[item->kind].fields[field];
    const struct bytes value = item->values[field];
    if (value.data == NULL)
        return true;
    return f->fallback != NULL && bytes_equal(value, bytes_of_string(f->fallback));
}

/* What would be a default elsewhere has to be said of a few. */
static bool
is_written(const struct writer *w, const struct topology_item *item, size_t field)
{
    const enum topology_form form = topology_kinds[item->kind].fields[field].form;
    if (form == FORM_SECRET && w->purpose == WRITE_FOR_PEOPLE)
        return false;
    if (form == FORM_INTEGER && w->purpose == WRITE_FOR_PEOPLE && item->kind <= TOPOLOGY_USER &&
        topology_integer(item, field, 0) < 0)
        return false; /* No limit. */
    if (item->kind == TOPOLOGY_EXCHANGE && field == EXCHANGE_TYPE)
        return true;
    if (item->kind == TOPOLOGY_POLICY || item->kind == TOPOLOGY_OPERATOR_POLICY)
        return field != POLICY_PRIORITY || !is_default(item, field);
    if (item->kind == TOPOLOGY_PERMISSION || item->kind == TOPOLOGY_TOPIC_PERMISSION)
        return true;
    return !is_default(item, field);
}

static void
write_list(struct writer *w, struct bytes value)
{
    size_t start = 0;
    buf_append(w->out, "[", 1);
    for (size_t i = 0; i < value.size; i++) {
        if (value.data[i] != '\n')
            continue;
        if (start > 0)
            buf_append(w->out, ", ", 2);
        yaml_write_text(w->out, bytes_of(value.data + start, i - start));
        start = i + 1;
    }
    buf_append(w->out, "]", 1);
}

/* "sha256:BASE64" */
static void
write_hash(struct writer *w, struct bytes value)
{
    const uint8_t *colon = value.size == 0 ? NULL : memchr(value.data, ':', value.size);
    const size_t size = colon == NULL ? 0 : (size_t)(colon - value.data);
    buf_printf(w->out, "{%.*s: ", (int)size, (const char *)value.data);
    yaml_write_text(w->out, bytes_of(value.data + size + 1, value.size - size - 1));
    buf_append(w->out, "}", 1);
}

static void
write_table(struct writer *w, struct bytes table, size_t depth)
{
    struct table_iterator i = table_iterate(table);
    struct table_field f;
    if (table.size == 0) {
        buf_printf(w->out, " {}\n");
        return;
    }
    buf_append(w->out, "\n", 1);
    while (table_next(&i, &f)) {
        if (!yaml_can_write(f.name)) {
            w->left_out++;
            continue;
        }
        indent(w, depth);
        yaml_write_key(w->out, f.name);
        buf_append(w->out, ": ", 2);
        argument_show(&f, w->out);
        buf_append(w->out, "\n", 1);
    }
}

static void
write_field(struct writer *w, const struct topology_item *item, size_t i, size_t depth)
{
    const struct topology_field *field = &topology_kinds[item->kind].fields[i];
    const struct bytes value = item->values[i];
    indent(w, depth);
    buf_printf(w->out, "%s:", field->name);
    if (field->form == FORM_TABLE) {
        write_table(w, value, depth + 1);
        return;
    }
    buf_append(w->out, " ", 1);
    if (field->form == FORM_LIST)
        write_list(w, value);
    else if (field->form == FORM_HASH)
        write_hash(w, value);
    else if (field->form == FORM_BOOL || field->form == FORM_INTEGER)
        buf_append_bytes(w->out, value);
    else
        yaml_write_text(w->out, value);
    buf_append(w->out, "\n", 1);
}

/* Whether anything was. */
static bool
write_fields(struct writer *w, const struct topology_item *item, size_t depth)
{
    const struct topology_kind_info *info = &topology_kinds[item->kind];
    const char *group = NULL;
    bool any = false;
    for (size_t i = 0; i < info->field_count; i++) {
        const struct topology_field *field = &info->fields[i];
        if (!is_written(w, item, i))
            continue;
        any = true;
        if (field->group != NULL && group == NULL) {
            indent(w, depth);
            buf_printf(w->out, "%s:\n", field->group);
            group = field->group;
        }
        write_field(w, item, i, depth + (field->group != NULL));
    }
    if (item->is_absent || item->may_replace) {
        indent(w, depth);
        buf_printf(w->out, "%s\n", item->is_absent ? "state: absent" : "replace: allow");
        any = true;
    }
    return any;
}

static bool
can_write(const struct topology_item *item)
{
    return yaml_can_write(item->vhost) && yaml_can_write(item->name) &&
           yaml_can_write(item->other) && yaml_can_write(item->key);
}

static bool
is_of(const struct topology_item *item, enum topology_kind kind, struct bytes vhost)
{
    return item->kind == kind && bytes_equal(item->vhost, vhost) && can_write(item);
}

static bool
write_bindings(struct writer *w, const struct topology_item *to, size_t depth)
{
    bool any = false;
    size_t count;
    const struct topology_item *bindings = topology_bindings_to(w->t, to, &count);
    for (size_t i = 0; i < count; i++) {
        const struct topology_item *b = &bindings[i];
        if (!can_write(b))
            continue;
        if (!any) {
            indent(w, depth);
            buf_printf(w->out, "bindings:\n");
        }
        any = true;
        indent(w, depth + 1);
        buf_printf(w->out, "- {from: ");
        yaml_write_text(w->out, b->other);
        if (b->key.size > 0) {
            buf_printf(w->out, ", key: ");
            yaml_write_text(w->out, b->key);
        }
        if (b->arguments.size > 0) {
            buf_printf(w->out, ", arguments: ");
            arguments_show(b->arguments, w->out);
        }
        buf_printf(w->out, "}\n");
    }
    return any;
}

/* Of what is always there only bindings can be said. */
static bool
needs_writing(const struct writer *w, const struct topology_item *item)
{
    if (item->kind != TOPOLOGY_EXCHANGE || topology_predeclared(item->name) == NULL)
        return true;
    size_t count;
    return topology_bindings_to(w->t, item, &count) != NULL;
}

static void
write_named(struct writer *w, const struct topology_item *item, struct bytes name, size_t depth)
{
    indent(w, depth);
    yaml_write_key(w->out, name);
    buf_append(w->out, ":", 1);
    const size_t before = w->out->size;
    buf_append(w->out, "\n", 1);
    bool any = write_fields(w, item, depth + 1);
    if (item->kind == TOPOLOGY_EXCHANGE || item->kind == TOPOLOGY_QUEUE)
        any = write_bindings(w, item, depth + 1) || any;
    if (any)
        return;
    w->out->size = before;
    buf_printf(w->out, " {}\n");
}

/* All of a kind, with a heading if there is any. Topic permissions are grouped by their user. */
static void
write_kind(struct writer *w, enum topology_kind kind, struct bytes vhost, size_t depth)
{
    const bool is_grouped = kind == TOPOLOGY_TOPIC_PERMISSION;
    bool any = false;
    struct bytes group = BYTES_NONE;
    for (size_t i = 0; i < w->t->count; i++) {
        const struct topology_item *item = &w->t->items[i];
        if (!is_of(item, kind, vhost) || !needs_writing(w, item))
            continue;
        if (!any) {
            indent(w, depth);
            buf_printf(w->out, "%s:\n", topology_kinds[kind].section);
        }
        if (is_grouped && (!any || !bytes_equal(group, item->name))) {
            group = item->name;
            indent(w, depth + 1);
            yaml_write_key(w->out, group);
            buf_printf(w->out, ":\n");
        }
        any = true;
        write_named(w, item, is_grouped ? item->other : item->name, depth + 1 + is_grouped);
    }
}

static bool
has_vhost(const struct writer *w, struct bytes vhost)
{
    return topology_find_named(w->t, TOPOLOGY_VHOST, BYTES_NONE, vhost) != NULL;
}

static void
write_vhost(struct writer *w, const struct topology_item *vhost)
{
    static const enum topology_kind members[] = {
        TOPOLOGY_PERMISSION, TOPOLOGY_TOPIC_PERMISSION, TOPOLOGY_EXCHANGE,
        TOPOLOGY_QUEUE,      TOPOLOGY_POLICY,           TOPOLOGY_OPERATOR_POLICY,
    };
    indent(w, 1);
    yaml_write_key(w->out, vhost->name);
    buf_append(w->out, ":\n", 2);
    const size_t before = w->out->size;
    write_fields(w, vhost, 2);
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
        write_kind(w, members[i], vhost->name, 2);
    if (w->out->size == before) {
        w->out->size--;
        buf_printf(w->out, " {}\n");
    }
}

static void
write_rules(struct writer *w)
{
    static const char *const prunes[] = { "none", "owned", "all" };
    static const char *const deletes[] = { "never", "if-empty", "always" };
    const struct topology_rules *r = &w->t->rules;
    buf_printf(w->out,
               "apply:\n  on_start: %s\n  prune: %s\n  delete_queues: %s\n  on_conflict: %s\n",
               r->on_start ? "true" : "false", prunes[r->prune], deletes[r->delete_queues],
               r->replace_on_conflict ? "replace" : "fail");
}

static void
count_left_out(struct writer *w)
{
    for (size_t i = 0; i < w->t->count; i++) {
        const struct topology_item *item = &w->t->items[i];
        if (!can_write(item) || (item->vhost.size > 0 && !has_vhost(w, item->vhost)))
            w->left_out++;
    }
}

void
topology_write(const struct topology *t, enum write_purpose purpose, struct buf *out)
{
    struct writer w = { .t = t, .purpose = purpose, .out = out };
    bool any = false;
    buf_printf(out, "version: 1\n");
    if (purpose == WRITE_FOR_BROKER)
        write_rules(&w);
    write_kind(&w, TOPOLOGY_USER, BYTES_NONE, 0);
    for (size_t i = 0; i < t->count; i++) {
        if (!is_of(&t->items[i], TOPOLOGY_VHOST, BYTES_NONE))
            continue;
        if (!any)
            buf_printf(out, "vhosts:\n");
        any = true;
        write_vhost(&w, &t->items[i]);
    }
    count_left_out(&w);
    if (w.left_out > 0)
        buf_printf(out, "# %zu names that are not UTF-8 were left out.\n", w.left_out);
}
