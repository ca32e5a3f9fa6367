/* From YAML to tables. */

#include "amqp/table.h"
#include "broker/base/endian.h"
#include "broker/config/expand.h"
#include "broker/config/text.h"
#include "broker/core/config_value.h"
#include "broker/topology/arguments.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define NAME_BYTES_MAX 255u
#define NUMBER_BYTES_MAX 64u

struct arguments_reader {
    struct diagnostics *d;
    const char *subject;
    bool expands;
    bool failed;
};

static bool read_open(struct arguments_reader *r, const struct tree_node *node, struct bytes name,
                      struct buf *out);

static bool
put(struct buf *out, struct bytes name, char tag, struct bytes value)
{
    argument_append(out, &(struct table_field){ .name = name, .tag = tag, .value = value });
    return true;
}

/* As small as clients write it. */
static bool
put_integer(struct buf *out, struct bytes name, int64_t value)
{
    uint8_t octets[8];
    if (value >= INT32_MIN && value <= INT32_MAX) {
        store_be32(octets, (uint32_t)(int32_t)value);
        return put(out, name, 'I', bytes_of(octets, 4));
    }
    store_be64(octets, (uint64_t)value);
    return put(out, name, 'l', bytes_of(octets, 8));
}

static bool
put_bool(struct buf *out, struct bytes name, bool value)
{
    const uint8_t octet = value;
    return put(out, name, 't', bytes_of(&octet, 1));
}

static bool
put_double(struct buf *out, struct bytes name, double value)
{
    uint8_t octets[8];
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    store_be64(octets, bits);
    return put(out, name, 'd', bytes_of(octets, 8));
}

/* A number in its decimal form alone, as JSON has it; `is_whole` without point and exponent. */
static bool
is_number(struct bytes text, bool *is_whole)
{
    size_t i = text.size > 0 && text.data[0] == '-';
    const size_t start = i;
    *is_whole = true;
    while (i < text.size && text.data[i] >= '0' && text.data[i] <= '9')
        i++;
    if (i == start || (text.data[start] == '0' && i > start + 1) || text.size > NUMBER_BYTES_MAX)
        return false;
    for (; i < text.size; i++) {
        const uint8_t c = text.data[i];
        const uint8_t before = text.data[i - 1];
        const bool is_sign = (c == '-' || c == '+') && (before == 'e' || before == 'E');
        if (!is_sign && c != '.' && c != 'e' && c != 'E' && (c < '0' || c > '9'))
            return false;
        *is_whole = false;
    }
    return true;
}

static bool
integer_of(struct bytes text, int64_t *out)
{
    char copy[NUMBER_BYTES_MAX + 1];
    bool is_whole;
    if (!is_number(text, &is_whole) || !is_whole)
        return false;
    memcpy(copy, text.data, text.size);
    copy[text.size] = 0;
    errno = 0;
    *out = strtoll(copy, NULL, 10);
    return errno == 0;
}

static bool
double_of(struct bytes text, double *out)
{
    char copy[NUMBER_BYTES_MAX + 1];
    char *end;
    bool is_whole;
    if (!is_number(text, &is_whole) || is_whole)
        return false;
    memcpy(copy, text.data, text.size);
    copy[text.size] = 0;
    *out = strtod(copy, &end);
    return *end == 0;
}

static void __attribute__((format(printf, 5, 6)))
complain(struct arguments_reader *r, enum diagnostic_code code, struct place place,
         const char *hint, const char *format, ...)
{
    char text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    r->failed = true;
    diagnostics_error(r->d, code, place, hint, "%s", text);
}

/* What the file says is shown, never what ${...} made of it. */
static bool
refuse(struct arguments_reader *r, const struct tree_node *node, struct bytes name,
       enum diagnostic_code code, const char *hint, const char *must)
{
    struct buf got = { 0 };
    if (node->kind == TREE_SCALAR)
        text_quote(&got, node->text);
    else
        buf_printf(&got, "%s", tree_kind_name(node->kind));
    complain(r, code, node->place, hint, "%.*s of %s must be %s, got %s%.*s", BYTES_ARGS(name),
             r->subject, must,
             node->kind == TREE_SCALAR && r->expands && expand_needed(node->text) ? "the value of "
                                                                                  : "",
             BYTES_ARGS(buf_bytes(&got)));
    buf_fini(&got);
    return false;
}

/* False after an error. */
static bool
scalar_text(struct arguments_reader *r, const struct tree_node *node, struct buf *out)
{
    struct expand_problem problem;
    if (!r->expands) {
        buf_append_bytes(out, node->text);
        return true;
    }
    if (expand(node->text, out, &problem))
        return true;
    complain(r, problem.code, node->place, problem.hint, "%s", problem.text);
    return false;
}

static bool
quantity_of(enum argument_form form, struct bytes text, int64_t *out)
{
    uint64_t value;
    if (integer_of(text, out))
        return true;
    bool fine = false;
    if (form == ARGUMENT_BYTES)
        fine = config_kind_size.number(text, &value);
    else if (form == ARGUMENT_MILLISECONDS)
        fine = config_kind_milliseconds.number(text, &value);
    if (fine)
        *out = value > INT64_MAX ? INT64_MAX : (int64_t)value;
    return fine;
}

static bool
read_quantity(struct arguments_reader *r, const struct tree_node *node, struct bytes name,
              const struct argument_rule *rule, struct bytes text, struct buf *out)
{
    static const char *const what[] = {
        [ARGUMENT_COUNT] = "a whole number",
        [ARGUMENT_MILLISECONDS] = "a duration",
        [ARGUMENT_BYTES] = "a size",
    };
    static const char *const hints[] = {
        [ARGUMENT_COUNT] = NULL,
        [ARGUMENT_MILLISECONDS] = "write 1500 (milliseconds), 500ms, 30s, 10min, 24h or 7d",
        [ARGUMENT_BYTES] = "write 2GiB (1024-based) or 2GB (1000-based)",
    };
    int64_t value;
    char must[120];
    if (!quantity_of(rule->form, text, &value))
        return refuse(r, node, name, DIAGNOSTIC_VALUE, hints[rule->form], what[rule->form]);
    if (value >= rule->least && value <= rule->most)
        return put_integer(out, name, value);
    snprintf(must, sizeof(must), "between %lld and %lld", (long long)rule->least,
             (long long)rule->most);
    return refuse(r, node, name, DIAGNOSTIC_RANGE, NULL, must);
}

static bool
read_word(struct arguments_reader *r, const struct tree_node *node, struct bytes name,
          const struct argument_rule *rule, struct bytes text, struct buf *out)
{
    char must[200] = "one of";
    size_t size = strlen(must);
    for (const char *const *word = rule->words; *word != NULL; word++) {
        if (bytes_equal(text, bytes_of_string(*word)))
            return put(out, name, 'S', text);
        size += (size_t)snprintf(must + size, sizeof(must) - size, "%s %s",
                                 word == rule->words ? "" : ",", *word);
    }
    return refuse(r, node, name, DIAGNOSTIC_VALUE, NULL, must);
}

static bool
read_ruled_text(struct arguments_reader *r, const struct tree_node *node, struct bytes name,
                const struct argument_rule *rule, struct bytes text, struct buf *out)
{
    switch (rule->form) {
    case ARGUMENT_COUNT:
    case ARGUMENT_MILLISECONDS:
    case ARGUMENT_BYTES:
        return read_quantity(r, node, name, rule, text, out);
    case ARGUMENT_BOOL:
        if (bytes_equal(text, BYTES_LITERAL("true")) || bytes_equal(text, BYTES_LITERAL("false")))
            return put_bool(out, name, text.data[0] == 't');
        return refuse(r, node, name, DIAGNOSTIC_VALUE, NULL, "true or false");
    case ARGUMENT_TEXT:
        return put(out, name, 'S', text);
    case ARGUMENT_WORD:
        return read_word(r, node, name, rule, text, out);
    case ARGUMENT_IGNORED:
        break;
    }
    return read_open(r, node, name, out);
}

static bool
read_ruled(struct arguments_reader *r, const struct tree_node *node, struct bytes name,
           const struct argument_rule *rule, struct buf *out)
{
    if (rule->form == ARGUMENT_IGNORED) {
        diagnostics_warning(r->d, DIAGNOSTIC_IGNORED, node->place, NULL,
                            "%.*s of %s has no effect in this broker", BYTES_ARGS(name),
                            r->subject);
        return read_open(r, node, name, out);
    }
    if (node->kind != TREE_SCALAR)
        return refuse(r, node, name, DIAGNOSTIC_SHAPE, NULL, "a single value");
    struct buf text = { 0 };
    const bool fine =
        scalar_text(r, node, &text) && read_ruled_text(r, node, name, rule, buf_bytes(&text), out);
    buf_fini(&text);
    return fine;
}

/* Plain scalars are what they look like; what is in quotes, or comes from ${...}, is text. */
static bool
read_open_scalar(struct arguments_reader *r, const struct tree_node *node, struct bytes name,
                 struct buf *out)
{
    int64_t integer;
    double number;
    const struct bytes text = node->text;
    if (node->plain && !(r->expands && expand_needed(text))) {
        if (bytes_equal(text, BYTES_LITERAL("true")) || bytes_equal(text, BYTES_LITERAL("false")))
            return put_bool(out, name, text.data[0] == 't');
        if (text.size == 0 || bytes_equal(text, BYTES_LITERAL("null")) ||
            bytes_equal(text, BYTES_LITERAL("~")))
            return put(out, name, 'V', BYTES_NONE);
        if (integer_of(text, &integer))
            return put_integer(out, name, integer);
        if (double_of(text, &number))
            return put_double(out, name, number);
    }
    struct buf value = { 0 };
    const bool fine = scalar_text(r, node, &value) && put(out, name, 'S', buf_bytes(&value));
    buf_fini(&value);
    return fine;
}

static int
hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "@tag" and "@octets": a field as it is on the wire. */
static bool
read_octets(struct arguments_reader *r, const struct tree_node *node, struct bytes name,
            struct buf *out)
{
    const struct tree_node *tag = tree_find(node, "@tag");
    const struct tree_node *hex = tree_find(node, "@octets");
    struct buf value = { 0 };
    struct buf field = { 0 };
    bool fine = node->item_count == 4 && hex != NULL && tag->kind == TREE_SCALAR &&
                hex->kind == TREE_SCALAR && tag->text.size == 1 && hex->text.size % 2 == 0;
    for (size_t i = 0; fine && i < hex->text.size; i += 2) {
        const int high = hex_digit(hex->text.data[i]);
        const int low = hex_digit(hex->text.data[i + 1]);
        fine = high >= 0 && low >= 0;
        const uint8_t octet = fine ? (uint8_t)(high * 16 + low) : 0;
        buf_append(&value, &octet, 1);
    }
    if (fine) {
        put(&field, BYTES_LITERAL("x"), (char)tag->text.data[0], buf_bytes(&value));
        fine = table_is_valid(buf_bytes(&field));
    }
    if (fine)
        put(out, name, (char)tag->text.data[0], buf_bytes(&value));
    else
        refuse(r, node, name, DIAGNOSTIC_VALUE,
               "write {\"@tag\": \"T\", \"@octets\": \"000000006553f100\"}",
               "a field with tag and octets");
    buf_fini(&value);
    buf_fini(&field);
    return fine;
}

static bool
name_is_fine(struct arguments_reader *r, const struct tree_node *key)
{
    if (key->text.size <= NAME_BYTES_MAX)
        return true;
    complain(r, DIAGNOSTIC_NAME, key->place, NULL,
             "the name of an argument of %s is longer than %u "
             "octets",
             r->subject, NAME_BYTES_MAX);
    return false;
}

static bool
read_open(struct arguments_reader *r, const struct tree_node *node, struct bytes name,
          struct buf *out)
{
    if (node->kind == TREE_SCALAR)
        return read_open_scalar(r, node, name, out);
    const bool is_mapping = node->kind == TREE_MAPPING;
    if (is_mapping && tree_find(node, "@tag") != NULL)
        return read_octets(r, node, name, out);
    struct buf inner = { 0 };
    bool fine = true;
    for (size_t i = 0; i < node->item_count; i += is_mapping ? 2 : 1) {
        const struct tree_node *item = node->items[is_mapping ? i + 1 : i];
        const struct bytes item_name = is_mapping ? node->items[i]->text : BYTES_NONE;
        if (is_mapping && !name_is_fine(r, node->items[i]))
            fine = false;
        else
            fine = read_open(r, item, item_name, &inner) && fine;
    }
    if (fine)
        put(out, name, is_mapping ? 'F' : 'A', buf_bytes(&inner));
    buf_fini(&inner);
    return fine;
}

static const struct argument_rule *
rule_find(const struct argument_schema *schema, struct bytes name, struct suggestion *s)
{
    for (size_t i = 0; i < schema->rule_count; i++) {
        const struct bytes known = bytes_of_string(schema->rules[i].name);
        if (bytes_equal(known, name))
            return &schema->rules[i];
        suggestion_offer(s, known);
    }
    return NULL;
}

/* An argument nobody knows is stored and has no effect; one that is nearly one is a mistake. */
static void
read_unknown(struct arguments_reader *r, const struct tree_node *key, const struct tree_node *node,
             const struct argument_schema *schema, const struct suggestion *s, struct buf *out)
{
    char near[300] = "";
    struct buf name = { 0 };
    text_quote(&name, key->text);
    if (s->best.size > 0)
        snprintf(near, sizeof(near), "; did you mean \"%.*s\"?", BYTES_ARGS(s->best));
    if (schema->drops_others)
        diagnostics_warning(r->d, DIAGNOSTIC_IGNORED, key->place, NULL,
                            "key %.*s of %s is not taken over", BYTES_ARGS(buf_bytes(&name)),
                            r->subject);
    else if (!schema->is_open)
        complain(r, DIAGNOSTIC_UNKNOWN_KEY, key->place, NULL, "unknown key %.*s of %s%s",
                 BYTES_ARGS(buf_bytes(&name)), r->subject, near);
    else if (s->best.size > 0)
        diagnostics_warning(r->d, DIAGNOSTIC_IGNORED, key->place, NULL,
                            "argument %.*s of %s has no effect%s", BYTES_ARGS(buf_bytes(&name)),
                            r->subject, near);
    if (schema->is_open)
        read_open(r, node, key->text, out);
    buf_fini(&name);
}

bool
arguments_read(struct diagnostics *d, const struct tree_node *node,
               const struct argument_schema *schema, const char *subject, bool expands,
               struct buf *out)
{
    struct arguments_reader r = { .d = d, .subject = subject, .expands = expands };
    struct buf fields = { 0 };
    if (tree_node_is_empty(node))
        return true;
    if (node->kind != TREE_MAPPING) {
        diagnostics_error(d, DIAGNOSTIC_SHAPE, node->place, NULL,
                          "the arguments of %s must be a mapping, got %s", subject,
                          tree_kind_name(node->kind));
        return false;
    }
    for (size_t i = 0; i < node->item_count; i += 2) {
        const struct tree_node *key = node->items[i];
        struct suggestion s = { .text = key->text };
        const struct argument_rule *rule = rule_find(schema, key->text, &s);
        const size_t path = diagnostics_path_push(d, key->text);
        if (rule != NULL)
            read_ruled(&r, node->items[i + 1], key->text, rule, &fields);
        else if (name_is_fine(&r, key))
            read_unknown(&r, key, node->items[i + 1], schema, &s, &fields);
        diagnostics_path_pop(d, path);
    }
    if (!r.failed && !table_is_valid(buf_bytes(&fields))) /* Only its limits are left. */
        complain(&r, DIAGNOSTIC_RANGE, node->place, NULL,
                 "the arguments of %s are nested too deeply or too many", subject);
    if (!r.failed)
        table_canonical(buf_bytes(&fields), out);
    buf_fini(&fields);
    return !r.failed;
}
