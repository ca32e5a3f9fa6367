/* A plan as text. */

#include "broker/config/text.h"
#include "broker/topology/plan.h"

static const struct {
    const char *mark;
    const char *word;
    const char *colour;
} looks[CHANGE_KINDS] = {
    [CHANGE_CREATE] = { "  +", "create", "\033[32m" },
    [CHANGE_UPDATE] = { "  ~", "update", "\033[33m" },
    [CHANGE_REPLACE] = { "-/+", "replace", "\033[35m" },
    [CHANGE_DELETE] = { "  -", "delete", "\033[31m" },
};

static const struct topology_item *
item_of(const struct change *c)
{
    return c->wanted != NULL ? c->wanted : c->current;
}

static void
show_list(struct bytes value, struct buf *out)
{
    buf_append(out, "[", 1);
    for (size_t i = 0; i + 1 < value.size; i++)
        if (value.data[i] == '\n')
            buf_append(out, ", ", 2);
        else
            buf_append(out, &value.data[i], 1);
    buf_append(out, "]", 1);
}

static void
show_value(const struct topology_field *field, struct bytes value, struct buf *out)
{
    if (field->form == FORM_SECRET || field->form == FORM_HASH)
        buf_printf(out, "(hidden)");
    else if (value.data == NULL)
        buf_printf(out, "(none)");
    else if (field->form == FORM_TABLE)
        arguments_show(value, out);
    else if (field->form == FORM_LIST)
        show_list(value, out);
    else if (field->form == FORM_TEXT || field->form == FORM_PATTERN)
        text_quote(out, value);
    else
        buf_append_bytes(out, value);
}

static void
print_fields(const struct change *c, struct buf *out)
{
    const struct topology_kind_info *info = &topology_kinds[item_of(c)->kind];
    for (size_t i = 0; i < info->field_count; i++) {
        const struct topology_field *field = &info->fields[i];
        if ((c->fields & 1u << i) == 0)
            continue;
        buf_printf(out, "               %s%s%s: ", field->group == NULL ? "" : field->group,
                   field->group == NULL ? "" : ".", field->name);
        show_value(field, c->current->values[i], out);
        buf_printf(out, " -> ");
        show_value(field, c->wanted->values[i], out);
        buf_append(out, "\n", 1);
    }
}

static void
print_change(const struct change *c, bool is_coloured, struct buf *out)
{
    buf_printf(out, "%s%s %-8s%s ", is_coloured ? looks[c->kind].colour : "", looks[c->kind].mark,
               looks[c->kind].word, is_coloured ? "\033[0m" : "");
    topology_describe(item_of(c), out);
    if (c->messages > 0)
        buf_printf(out, " (%llu message%s would be lost)", (unsigned long long)c->messages,
                   c->messages == 1 ? "" : "s");
    buf_append(out, "\n", 1);
    print_fields(c, out);
    if (c->refusal != NULL)
        buf_printf(out, "               refused: %s\n", c->refusal);
    if (c->failure[0] != 0)
        buf_printf(out, "               failed: %s\n", c->failure);
}

void
plan_print(const struct plan *plan, bool is_coloured, struct buf *out)
{
    for (size_t i = 0; i < plan->count; i++)
        print_change(&plan->changes[i], is_coloured, out);
    if (plan->count == 0) {
        buf_printf(out, "no changes\n");
        return;
    }
    buf_printf(out, "%zu to create, %zu to update, %zu to replace, %zu to delete",
               plan->counts[CHANGE_CREATE], plan->counts[CHANGE_UPDATE],
               plan->counts[CHANGE_REPLACE], plan->counts[CHANGE_DELETE]);
    if (plan->refused > 0)
        buf_printf(out, "; %zu of them refused", plan->refused);
    buf_append(out, "\n", 1);
}

static void
json_names(const struct topology_item *item, struct buf *out)
{
    const struct {
        const char *key;
        struct bytes value;
        bool is_there;
    } names[] = {
        { "vhost", item->vhost, item->vhost.size > 0 },
        { item->kind == TOPOLOGY_BINDING ? "destination" : "name", item->name, true },
        { item->kind == TOPOLOGY_BINDING ? "source" : "exchange", item->other,
          item->kind == TOPOLOGY_BINDING || item->kind == TOPOLOGY_TOPIC_PERMISSION },
        { "key", item->key, item->kind == TOPOLOGY_BINDING },
        { "destination_type", bytes_of_string(item->to_exchange ? "exchange" : "queue"),
          item->kind == TOPOLOGY_BINDING },
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (!names[i].is_there)
            continue;
        buf_printf(out, ", \"%s\": ", names[i].key);
        text_json(out, names[i].value);
    }
}

static void
json_value(const struct topology_field *field, struct bytes value, struct buf *out)
{
    struct buf text = { 0 };
    show_value(field, value, &text);
    text_json(out,
              field->form == FORM_TEXT || field->form == FORM_PATTERN ? value : buf_bytes(&text));
    buf_fini(&text);
}

static void
json_fields(const struct change *c, struct buf *out)
{
    const struct topology_kind_info *info = &topology_kinds[item_of(c)->kind];
    bool first = true;
    buf_printf(out, ", \"fields\": [");
    for (size_t i = 0; i < info->field_count; i++) {
        if ((c->fields & 1u << i) == 0)
            continue;
        buf_printf(out, "%s{\"name\": \"%s\", \"from\": ", first ? "" : ", ", info->fields[i].name);
        json_value(&info->fields[i], c->current->values[i], out);
        buf_printf(out, ", \"to\": ");
        json_value(&info->fields[i], c->wanted->values[i], out);
        buf_append(out, "}", 1);
        first = false;
    }
    buf_append(out, "]", 1);
}

static void
json_text(const char *key, const char *text, struct buf *out)
{
    if (text == NULL || text[0] == 0)
        return;
    buf_printf(out, ", \"%s\": ", key);
    text_json(out, bytes_of_string(text));
}

void
plan_print_json(const struct plan *plan, struct buf *out)
{
    buf_printf(out, "{\"changes\": [");
    for (size_t i = 0; i < plan->count; i++) {
        const struct change *c = &plan->changes[i];
        buf_printf(out, "%s\n  {\"action\": \"%s\", \"kind\": \"%s\"", i == 0 ? "" : ",",
                   looks[c->kind].word, topology_kinds[item_of(c)->kind].name);
        json_names(item_of(c), out);
        buf_printf(out, ", \"messages\": %llu", (unsigned long long)c->messages);
        json_fields(c, out);
        json_text("refused", c->refusal, out);
        json_text("failed", c->failure, out);
        buf_append(out, "}", 1);
    }
    buf_printf(out,
               "%s], \"create\": %zu, \"update\": %zu, \"replace\": %zu, \"delete\": %zu, "
               "\"refused\": %zu}\n",
               plan->count == 0 ? "" : "\n", plan->counts[CHANGE_CREATE],
               plan->counts[CHANGE_UPDATE], plan->counts[CHANGE_REPLACE],
               plan->counts[CHANGE_DELETE], plan->refused);
}
