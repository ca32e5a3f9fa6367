#include "broker/topology/load_internal.h"

#include "amqp/table.h"
#include "broker/auth/password.h"
#include "broker/base/pattern.h"
#include "broker/config/expand.h"
#include "broker/config/text.h"
#include "broker/core/exchange.h"
#include "broker/core/queue_arguments.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define SUBJECT_SIZE 700

const char *
load_subject(const struct topology_item *item)
{
    static _Thread_local char text[SUBJECT_SIZE];
    struct buf out = { 0 };
    buf_printf(&out, "%s ", topology_kinds[item->kind].name);
    if (item->kind == TOPOLOGY_PERMISSION || item->kind == TOPOLOGY_TOPIC_PERMISSION)
        buf_printf(&out, "of user ");
    text_quote(&out, item->name);
    snprintf(text, sizeof(text), "%.*s", BYTES_ARGS(buf_bytes(&out)));
    buf_fini(&out);
    return text;
}

bool
load_is(struct loader *l, const struct tree_node *node, enum tree_kind kind, const char *what)
{
    if (node->kind == kind)
        return true;
    diagnostics_error(l->d, DIAGNOSTIC_SHAPE, node->place, NULL, "%s must be %s, got %s", what,
                      tree_kind_name(kind), tree_kind_name(node->kind));
    return false;
}

bool
load_text(struct loader *l, const struct tree_node *node, const char *what, struct buf *out)
{
    struct expand_problem problem;
    if (!load_is(l, node, TREE_SCALAR, what))
        return false;
    if (!l->expands) {
        buf_append_bytes(out, node->text);
        return true;
    }
    if (expand(node->text, out, &problem))
        return true;
    diagnostics_error(l->d, problem.code, node->place, problem.hint, "%s", problem.text);
    return false;
}

bool
load_name_is_fine(struct loader *l, enum topology_kind kind, const struct tree_node *node,
                  struct bytes name)
{
    const char *kind_name = topology_kinds[kind].name;
    const bool is_amqp = kind == TOPOLOGY_EXCHANGE || kind == TOPOLOGY_QUEUE;
    if (name.size == 0)
        diagnostics_error(l->d, DIAGNOSTIC_NAME, node->place, NULL, "the name of a %s is empty",
                          kind_name);
    else if (name.size > LOAD_NAME_MAX)
        diagnostics_error(l->d, DIAGNOSTIC_NAME, node->place, NULL,
                          "the name of a %s must be at most %u octets long, it has %zu", kind_name,
                          LOAD_NAME_MAX, name.size);
    else if (is_amqp && bytes_start_with(name, BYTES_LITERAL("amq.")))
        diagnostics_error(l->d, DIAGNOSTIC_NAME, node->place,
                          "choose another name; the exchanges amq.direct, amq.topic and so on are "
                          "always there",
                          "%s names that begin with \"amq.\" are reserved", kind_name);
    else
        return true;
    return false;
}

void
load_unknown(struct loader *l, const struct tree_node *key, const char *where, struct bytes best)
{
    struct buf name = { 0 };
    text_quote(&name, key->text);
    if (l->is_lenient)
        diagnostics_warning(l->d, DIAGNOSTIC_IGNORED, key->place, NULL,
                            "key %.*s in %s is not taken over", BYTES_ARGS(buf_bytes(&name)),
                            where);
    else if (best.size > 0)
        diagnostics_error(l->d, DIAGNOSTIC_UNKNOWN_KEY, key->place, NULL,
                          "unknown key %.*s in %s; did you mean \"%.*s\"?",
                          BYTES_ARGS(buf_bytes(&name)), where, BYTES_ARGS(best));
    else
        diagnostics_error(l->d, DIAGNOSTIC_UNKNOWN_KEY, key->place, NULL, "unknown key %.*s in %s",
                          BYTES_ARGS(buf_bytes(&name)), where);
    buf_fini(&name);
}

void
load_nothing(struct loader *l, size_t item, const struct tree_node *key,
             const struct tree_node *node)
{
    (void)l;
    (void)item;
    (void)key;
    (void)node;
}

/* What the file says is shown, never what ${...} made of it, and of secrets nothing at all. */
static void
refuse(struct loader *l, size_t item, const struct topology_field *field,
       const struct tree_node *node, enum diagnostic_code code, const char *hint, const char *must)
{
    struct buf got = { 0 };
    const bool is_secret = field->form == FORM_SECRET || field->form == FORM_HASH;
    if (node->kind == TREE_SCALAR && !is_secret) {
        buf_printf(&got, ", got %s",
                   l->expands && expand_needed(node->text) ? "the value of " : "");
        text_quote(&got, node->text);
    } else if (node->kind != TREE_SCALAR) {
        buf_printf(&got, ", got %s", tree_kind_name(node->kind));
    }
    diagnostics_error(l->d, code, node->place, hint, "%s%s%s of %s must be %s%.*s",
                      field->group == NULL ? "" : field->group, field->group == NULL ? "" : ".",
                      field->name, load_subject(&l->t->items[item]), must,
                      BYTES_ARGS(buf_bytes(&got)));
    buf_fini(&got);
}

static bool
is_text(struct bytes text)
{
    if (!bytes_are_utf8(text))
        return false;
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] < 0x20 || text.data[i] == 0x7F)
            return false;
    return true;
}

static bool
word_is_known(const char *const *words, struct bytes text, char *must, size_t must_size)
{
    size_t size = (size_t)snprintf(must, must_size, "one of");
    for (const char *const *word = words; *word != NULL; word++) {
        if (bytes_equal(text, bytes_of_string(*word)))
            return true;
        size += (size_t)snprintf(must + size, must_size - size, "%s %s", word == words ? "" : ",",
                                 *word);
    }
    return false;
}

static bool
integer_is_fine(struct bytes text)
{
    char copy[24];
    if (text.size == 0 || text.size >= sizeof(copy))
        return false;
    memcpy(copy, text.data, text.size);
    copy[text.size] = 0;
    const size_t sign = copy[0] == '-';
    if (strspn(copy + sign, "0123456789") != text.size - sign || text.size == sign ||
        (copy[sign] == '0' && text.size > 1))
        return false;
    errno = 0;
    const long long value = strtoll(copy, NULL, 10);
    return errno == 0 && value >= INT32_MIN && value <= INT32_MAX;
}

static bool
pattern_is_fine(struct bytes text, char *must, size_t must_size)
{
    char problem[240];
    struct pattern *pattern = pattern_create(text, problem, sizeof(problem));
    if (pattern == NULL)
        snprintf(must, must_size, "a regular expression: %s", problem);
    pattern_destroy(pattern);
    return pattern != NULL;
}

/* One of the forms whose value is its text. */
static void
read_scalar(struct loader *l, size_t item, size_t field_index, const struct topology_field *field,
            const struct tree_node *node, struct bytes text)
{
    char must[320] = "";
    const char *hint = NULL;
    enum diagnostic_code code = DIAGNOSTIC_VALUE;
    bool fine = false;
    switch (field->form) {
    case FORM_SECRET:
    case FORM_TEXT:
        fine = is_text(text);
        snprintf(must, sizeof(must), "text without control characters");
        break;
    case FORM_WORD:
        fine = word_is_known(field->words, text, must, sizeof(must));
        break;
    case FORM_PATTERN:
        fine = pattern_is_fine(text, must, sizeof(must));
        code = DIAGNOSTIC_PATTERN;
        break;
    case FORM_BOOL:
        fine =
            bytes_equal(text, BYTES_LITERAL("true")) || bytes_equal(text, BYTES_LITERAL("false"));
        snprintf(must, sizeof(must), "true or false");
        break;
    case FORM_INTEGER:
        fine = integer_is_fine(text);
        snprintf(must, sizeof(must), "a whole number");
        break;
    case FORM_LIST:
    case FORM_TABLE:
    case FORM_HASH:
        break;
    }
    if (fine)
        topology_set(l->t, &l->t->items[item], field_index, text);
    else
        refuse(l, item, field, node, code, hint, must);
}

static int
element_order(const void *a, const void *b)
{
    const struct bytes *left = a;
    const struct bytes *right = b;
    return bytes_compare(*left, *right);
}

/* Sorted, each with a line end behind it. RabbitMQ's older definitions have a list as text with
 * commas. */
static void
list_store(struct loader *l, size_t item, size_t field_index, struct bytes *elements, size_t count)
{
    struct buf value = { 0 };
    if (count > 1)
        qsort(elements, count, sizeof(elements[0]), element_order);
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && bytes_equal(elements[i - 1], elements[i]))
            continue;
        buf_append_bytes(&value, elements[i]);
        buf_append(&value, "\n", 1);
    }
    topology_set(l->t, &l->t->items[item], field_index, buf_bytes(&value));
    buf_fini(&value);
}

static size_t
list_split(struct loader *l, struct bytes text, struct bytes *elements, size_t max)
{
    size_t count = 0;
    while (text.size > 0 && count < max) {
        const uint8_t *comma = memchr(text.data, ',', text.size);
        const size_t size = comma == NULL ? text.size : (size_t)(comma - text.data);
        if (size > 0)
            elements[count++] = arena_copy(&l->t->arena, bytes_of(text.data, size));
        const size_t used = size + (comma != NULL);
        text = bytes_of(text.data + used, text.size - used);
    }
    return count;
}

#define LIST_MAX 64

static void
read_list(struct loader *l, size_t item, size_t field_index, const struct topology_field *field,
          const struct tree_node *node)
{
    struct bytes elements[LIST_MAX];
    size_t count = 0;
    if (tree_node_is_empty(node))
        return;
    if (node->kind == TREE_MAPPING || node->item_count > LIST_MAX) {
        refuse(l, item, field, node, DIAGNOSTIC_SHAPE, NULL, "a list of at most 64 words");
        return;
    }
    const size_t items = node->kind == TREE_LIST ? node->item_count : 1;
    for (size_t i = 0; i < items; i++) {
        struct buf text = { 0 };
        const struct tree_node *element = node->kind == TREE_LIST ? node->items[i] : node;
        const bool is_read = load_text(l, element, field->name, &text);
        if (is_read && !is_text(buf_bytes(&text)))
            refuse(l, item, field, element, DIAGNOSTIC_VALUE, NULL,
                   "text without control characters");
        else if (is_read)
            count += list_split(l, buf_bytes(&text), elements + count, LIST_MAX - count);
        buf_fini(&text);
    }
    list_store(l, item, field_index, elements, count);
}

static void
read_table(struct loader *l, size_t item, size_t field_index, const struct topology_field *field,
           const struct tree_node *node)
{
    struct buf table = { 0 };
    char subject[SUBJECT_SIZE];
    struct argument_schema schema = *field->schema;
    schema.drops_others = l->is_lenient && !schema.is_open;
    snprintf(subject, sizeof(subject), "%s", load_subject(&l->t->items[item]));
    if (arguments_read(l->d, node, &schema, subject, l->expands, &table))
        topology_set(l->t, &l->t->items[item], field_index, buf_bytes(&table));
    buf_fini(&table);
}

/* {sha256: BASE64}, or just the text, which is RabbitMQ's default. */
static void
read_hash(struct loader *l, size_t item, size_t field_index, const struct topology_field *field,
          const struct tree_node *node)
{
    struct buf text = { 0 };
    struct buf value = { 0 };
    struct bytes algorithm = BYTES_LITERAL("sha256");
    const struct tree_node *hash = node;
    if (node->kind == TREE_MAPPING && node->item_count == 2) {
        algorithm = node->items[0]->text;
        hash = node->items[1];
    }
    enum password_kind kind;
    if (!password_kind_find(algorithm, &kind) || hash->kind != TREE_SCALAR) {
        refuse(l, item, field, node, DIAGNOSTIC_VALUE, "write password_hash: {sha256: \"...\"}",
               "a mapping of sha256, sha512 or scrypt to a hash");
        return;
    }
    if (!load_text(l, hash, field->name, &text))
        return;
    buf_printf(&value, "%.*s:%.*s", BYTES_ARGS(algorithm), BYTES_ARGS(buf_bytes(&text)));
    if (password_text_is_sound(buf_bytes(&value)))
        topology_set(l->t, &l->t->items[item], field_index, buf_bytes(&value));
    else
        refuse(
            l, item, field, hash, DIAGNOSTIC_VALUE,
            "of sha256 and sha512 it is the base64 of 4 octets of salt and the digest of salt and "
            "password; of scrypt as railmq export prints it",
            "a hash of that kind");
    buf_fini(&value);
    buf_fini(&text);
}

void
load_field(struct loader *l, size_t item, size_t field_index, const struct tree_node *node)
{
    const struct topology_field *field =
        &topology_kinds[l->t->items[item].kind].fields[field_index];
    if (field->form == FORM_LIST) {
        read_list(l, item, field_index, field, node);
    } else if (field->form == FORM_TABLE) {
        read_table(l, item, field_index, field, node);
    } else if (field->form == FORM_HASH) {
        read_hash(l, item, field_index, field, node);
    } else if (node->kind != TREE_SCALAR) {
        refuse(l, item, field, node, DIAGNOSTIC_SHAPE, NULL, "a single value");
    } else {
        struct buf text = { 0 };
        if (load_text(l, node, field->name, &text))
            read_scalar(l, item, field_index, field, node, buf_bytes(&text));
        buf_fini(&text);
    }
}

/* Of the fields in `group`, NULL for those in none. */
static bool
read_known_field(struct loader *l, size_t item, const char *group, const struct tree_node *key,
                 const struct tree_node *node, struct suggestion *s)
{
    const struct topology_kind_info *info = &topology_kinds[l->t->items[item].kind];
    for (size_t i = 0; i < info->field_count; i++) {
        const struct topology_field *field = &info->fields[i];
        const bool is_here =
            (group == NULL && field->group == NULL) ||
            (group != NULL && field->group != NULL && strcmp(group, field->group) == 0);
        if (!is_here)
            continue;
        const struct bytes name = bytes_of_string(field->name);
        if (bytes_equal(name, key->text)) {
            load_field(l, item, i, node);
            return true;
        }
        suggestion_offer(s, name);
    }
    return false;
}

void
load_group(struct loader *l, size_t item, const char *group, const struct tree_node *node)
{
    char where[SUBJECT_SIZE + 64];
    snprintf(where, sizeof(where), "%s of %s", group, load_subject(&l->t->items[item]));
    if (tree_node_is_empty(node) || !load_is(l, node, TREE_MAPPING, where))
        return;
    for (size_t i = 0; i < node->item_count; i += 2) {
        struct suggestion s = { .text = node->items[i]->text };
        const size_t path = diagnostics_path_push(l->d, node->items[i]->text);
        if (!read_known_field(l, item, group, node->items[i], node->items[i + 1], &s))
            load_unknown(l, node->items[i], where, s.best);
        diagnostics_path_pop(l->d, path);
    }
}

static bool
read_known_group(struct loader *l, size_t item, const struct tree_node *key,
                 const struct tree_node *node, struct suggestion *s)
{
    const struct topology_kind_info *info = &topology_kinds[l->t->items[item].kind];
    for (size_t i = 0; i < info->field_count; i++) {
        if (info->fields[i].group == NULL)
            continue;
        const struct bytes name = bytes_of_string(info->fields[i].group);
        if (bytes_equal(name, key->text)) {
            load_group(l, item, info->fields[i].group, node);
            return true;
        }
        suggestion_offer(s, name);
    }
    return false;
}

static void
read_key(struct loader *l, size_t item, const struct tree_node *key, const struct tree_node *node,
         const struct load_special *specials, size_t special_count)
{
    struct suggestion s = { .text = key->text };
    for (size_t i = 0; i < special_count; i++) {
        const struct bytes name = bytes_of_string(specials[i].name);
        if (bytes_equal(name, key->text)) {
            specials[i].read(l, item, key, node);
            return;
        }
        suggestion_offer(&s, name);
    }
    if (read_known_field(l, item, NULL, key, node, &s) || read_known_group(l, item, key, node, &s))
        return;
    load_unknown(l, key, load_subject(&l->t->items[item]), s.best);
}

static void
report_refused(struct loader *l, size_t item, const struct tree_node *node,
               const struct amqp_exception *ex)
{
    const struct tree_node *arguments =
        node->kind == TREE_MAPPING ? tree_find(node, "arguments") : NULL;
    const struct tree_node *at = arguments != NULL ? arguments : node;
    diagnostics_error(l->d, DIAGNOSTIC_ARGUMENT, at->place, NULL, "the broker refuses %s: %s",
                      load_subject(&l->t->items[item]), ex->text);
}

void
load_check_queue(struct loader *l, size_t item, const struct tree_node *node)
{
    const struct topology_item *q = &l->t->items[item];
    struct queue_arguments parsed;
    struct amqp_exception ex;
    if (!queue_arguments_parse(q->values[QUEUE_ARGUMENTS], q->name, q->vhost, &parsed, &ex) ||
        !queue_type_allows(&parsed, topology_bool(q, QUEUE_DURABLE), false,
                           topology_bool(q, QUEUE_AUTO_DELETE), q->name, q->vhost, &ex))
        report_refused(l, item, node, &ex);
}

void
load_check_exchange(struct loader *l, size_t item, const struct tree_node *node)
{
    const struct topology_item *x = &l->t->items[item];
    struct exchange_spec spec = { .name = x->name, .arguments = x->values[EXCHANGE_ARGUMENTS] };
    struct amqp_exception ex;
    if (!exchange_spec_parse(&spec, x->values[EXCHANGE_TYPE], x->vhost, &ex))
        report_refused(l, item, node, &ex);
}

void
load_object(struct loader *l, const struct topology_item *names, const struct tree_node *name,
            const struct tree_node *node, const struct load_special *specials, size_t special_count)
{
    const size_t item = l->t->count;
    topology_add(l->t, names)->place = name->place;
    if (tree_node_is_empty(node) ||
        !load_is(l, node, TREE_MAPPING, load_subject(&l->t->items[item])))
        return;
    for (size_t i = 0; i < node->item_count; i += 2) {
        const size_t path = diagnostics_path_push(l->d, node->items[i]->text);
        read_key(l, item, node->items[i], node->items[i + 1], specials, special_count);
        diagnostics_path_pop(l->d, path);
    }
}

void
load_finish(struct loader *l)
{
    topology_sort(l->t);
    for (size_t i = 1; i < l->t->count; i++) {
        const struct topology_item *item = &l->t->items[i];
        struct buf text = { 0 };
        if (topology_order(item - 1, item) != 0)
            continue;
        topology_describe(item, &text);
        diagnostics_error(l->d, DIAGNOSTIC_DUPLICATE, item->place, NULL, "%.*s is written twice",
                          BYTES_ARGS(buf_bytes(&text)));
        diagnostics_note(l->d, item[-1].place, "first written here");
        buf_fini(&text);
    }
}
