#include "broker/topology/schema.h"

#include "broker/config/text.h"
#include "broker/core/config.h"
#include "broker/core/config_value.h"
#include "broker/topology/topology.h"

#include <stdio.h>

/* Any value may be ${...} instead, which is text. */
#define SCALAR "[\"string\", \"number\", \"boolean\"]"
#define NUMBER "[\"integer\", \"string\"]"
#define BOOLEAN "[\"boolean\", \"string\"]"
#define MAPPING "[\"object\", \"null\"]"
#define LIST "[\"array\", \"null\"]"
#define LIST_OR_TEXT "[\"array\", \"string\", \"null\"]"

struct schema {
    struct buf *out;
    unsigned depth;
    bool has_member; /* Of what is open. */
};

/* `key` NULL: an element of a list. */
static void
member(struct schema *s, const char *key)
{
    buf_printf(s->out, "%s\n%*s", s->has_member ? "," : "", (int)(2 * s->depth), "");
    s->has_member = true;
    if (key == NULL)
        return;
    text_json(s->out, bytes_of_string(key));
    buf_printf(s->out, ": ");
}

static void
open_with(struct schema *s, const char *key, const char *bracket)
{
    member(s, key);
    buf_printf(s->out, "%s", bracket);
    s->depth++;
    s->has_member = false;
}

static void
close_with(struct schema *s, const char *bracket)
{
    s->depth--;
    buf_printf(s->out, "\n%*s%s", (int)(2 * s->depth), "", bracket);
    s->has_member = true;
}

/* `json` as it stands. */
static void
put(struct schema *s, const char *key, const char *json)
{
    member(s, key);
    buf_printf(s->out, "%s", json);
}

static void
put_text(struct schema *s, const char *key, const char *text)
{
    member(s, key);
    text_json(s->out, bytes_of_string(text));
}

static void
put_of_type(struct schema *s, const char *key, const char *type)
{
    open_with(s, key, "{");
    put(s, "type", type);
    close_with(s, "}");
}

/* A mapping with these keys and no others, up to close_mapping. */
static void
open_mapping(struct schema *s, const char *key)
{
    open_with(s, key, "{");
    put(s, "type", MAPPING);
    put(s, "additionalProperties", "false");
    open_with(s, "properties", "{");
}

static void
close_mapping(struct schema *s)
{
    close_with(s, "}");
    close_with(s, "}");
}

static void
put_enum(struct schema *s, const char *const *words)
{
    open_with(s, "enum", "[");
    for (; *words != NULL; words++)
        put_text(s, NULL, *words);
    close_with(s, "]");
}

static void
put_words(struct schema *s, const char *key, const char *const *words)
{
    open_with(s, key, "{");
    put_enum(s, words);
    close_with(s, "}");
}

/* The words, or ${...}. */
static void
put_value_words(struct schema *s, const char *key, const char *const *words)
{
    open_with(s, key, "{");
    open_with(s, "anyOf", "[");
    put_words(s, NULL, words);
    put(s, NULL, "{\"type\": \"string\", \"pattern\": \"\\\\$\\\\{\"}");
    close_with(s, "]");
    close_with(s, "}");
}

static void
put_list(struct schema *s, const char *key, const char *type, const char *of)
{
    open_with(s, key, "{");
    put(s, "type", type);
    put_of_type(s, "items", of);
    close_with(s, "}");
}

/* "topic permission" is topic_permission in references. */
static void
kind_name(enum topology_kind kind, char *out, size_t size)
{
    snprintf(out, size, "%s", topology_kinds[kind].name);
    for (char *space = out; (space = strchr(space, ' ')) != NULL;)
        *space = '_';
}

static void
put_reference(struct schema *s, const char *key, const char *definition)
{
    char text[128];
    snprintf(text, sizeof(text), "{\"$ref\": \"#/definitions/%s\"}", definition);
    put(s, key, text);
}

/* Names, each with a value as the definition says. */
static void
put_named(struct schema *s, const char *key, enum topology_kind kind)
{
    char name[64];
    kind_name(kind, name, sizeof(name));
    open_with(s, key, "{");
    put(s, "type", MAPPING);
    put_reference(s, "additionalProperties", name);
    close_with(s, "}");
}

static void
put_argument(struct schema *s, const struct argument_rule *rule)
{
    static const char *const types[] = {
        [ARGUMENT_COUNT] = NUMBER, [ARGUMENT_MILLISECONDS] = NUMBER, [ARGUMENT_BYTES] = NUMBER,
        [ARGUMENT_BOOL] = BOOLEAN, [ARGUMENT_TEXT] = SCALAR,         [ARGUMENT_WORD] = NULL,
        [ARGUMENT_IGNORED] = NULL,
    };
    if (rule->form == ARGUMENT_IGNORED)
        put(s, rule->name, "{\"description\": \"It has no effect in this broker.\"}");
    else if (rule->form == ARGUMENT_WORD)
        put_value_words(s, rule->name, rule->words);
    else
        put_of_type(s, rule->name, types[rule->form]);
}

static void
put_arguments(struct schema *s, const char *key, const struct argument_schema *arguments)
{
    open_with(s, key, "{");
    put(s, "type", MAPPING);
    put(s, "additionalProperties", arguments->is_open ? "true" : "false");
    open_with(s, "properties", "{");
    for (size_t i = 0; i < arguments->rule_count; i++)
        put_argument(s, &arguments->rules[i]);
    close_with(s, "}");
    close_with(s, "}");
}

static void
put_field(struct schema *s, const struct topology_field *field)
{
    static const char *const hashes[] = { "sha256", "sha512", "scrypt" };
    switch (field->form) {
    case FORM_TEXT:
    case FORM_PATTERN:
    case FORM_SECRET:
        put_of_type(s, field->name, SCALAR);
        return;
    case FORM_WORD:
        put_value_words(s, field->name, field->words);
        return;
    case FORM_BOOL:
        put_of_type(s, field->name, BOOLEAN);
        return;
    case FORM_INTEGER:
        put_of_type(s, field->name, NUMBER);
        return;
    case FORM_LIST:
        put_list(s, field->name, LIST_OR_TEXT, SCALAR);
        return;
    case FORM_TABLE:
        put_arguments(s, field->name, field->schema);
        return;
    case FORM_HASH:
        open_with(s, field->name, "{");
        put(s, "type", "[\"object\", \"string\"]");
        put(s, "additionalProperties", "false");
        open_with(s, "properties", "{");
        for (size_t i = 0; i < sizeof(hashes) / sizeof(hashes[0]); i++)
            put_of_type(s, hashes[i], "\"string\"");
        close_mapping(s);
        return;
    }
}

/* Fields of one group stand one behind the other. */
static void
put_fields(struct schema *s, const struct topology_kind_info *info)
{
    const char *group = NULL;
    for (size_t i = 0; i < info->field_count; i++) {
        const struct topology_field *field = &info->fields[i];
        const bool is_other = (group == NULL) != (field->group == NULL) ||
                              (group != NULL && strcmp(group, field->group) != 0);
        if (is_other && group != NULL)
            close_mapping(s);
        if (is_other && field->group != NULL)
            open_mapping(s, field->group);
        group = field->group;
        put_field(s, field);
    }
    if (group != NULL)
        close_mapping(s);
}

static void
put_bindings(struct schema *s)
{
    open_with(s, "bindings", "{");
    put(s, "type", LIST);
    put_reference(s, "items", "binding");
    close_with(s, "}");
}

static void
put_vhost_sections(struct schema *s)
{
    for (size_t i = 0; i < TOPOLOGY_KINDS; i++) {
        const enum topology_kind kind = (enum topology_kind)i;
        if (kind == TOPOLOGY_VHOST || kind == TOPOLOGY_USER || kind == TOPOLOGY_BINDING)
            continue;
        if (kind != TOPOLOGY_TOPIC_PERMISSION) {
            put_named(s, topology_kinds[i].section, kind);
            continue;
        }
        /* Of a user, and below that of an exchange. */
        open_with(s, topology_kinds[i].section, "{");
        put(s, "type", MAPPING);
        put_named(s, "additionalProperties", kind);
        close_with(s, "}");
    }
    put(s, "parameters", "{\"description\": \"They have no effect in this broker.\"}");
}

static void
put_kind(struct schema *s, enum topology_kind kind)
{
    static const char *const states[] = { "present", "absent", NULL };
    static const char *const replaces[] = { "deny", "allow", NULL };
    char name[64];
    kind_name(kind, name, sizeof(name));
    open_mapping(s, name);
    put_fields(s, &topology_kinds[kind]);
    if (kind == TOPOLOGY_VHOST)
        put_vhost_sections(s);
    if (kind == TOPOLOGY_QUEUE)
        put_value_words(s, "type",
                        topology_kinds[TOPOLOGY_VHOST].fields[VHOST_DEFAULT_QUEUE_TYPE].words);
    if (kind == TOPOLOGY_QUEUE || kind == TOPOLOGY_EXCHANGE) {
        put_bindings(s);
        put_words(s, "replace", replaces);
    }
    put_words(s, "state", states);
    close_mapping(s);
}

static void
put_binding(struct schema *s)
{
    open_with(s, "binding", "{");
    put(s, "type", "\"object\"");
    put(s, "additionalProperties", "false");
    put(s, "required", "[\"from\"]");
    open_with(s, "properties", "{");
    put_of_type(s, "from", SCALAR);
    put_of_type(s, "key", SCALAR);
    put_list(s, "keys", "\"array\"", SCALAR);
    put_arguments(s, "arguments", &binding_argument_schema);
    close_mapping(s);
}

static void
put_definitions(struct schema *s)
{
    open_with(s, "definitions", "{");
    for (size_t i = 0; i < TOPOLOGY_KINDS; i++) {
        if ((enum topology_kind)i == TOPOLOGY_BINDING)
            put_binding(s);
        else
            put_kind(s, (enum topology_kind)i);
    }
    close_with(s, "}");
}

static const char *
type_of(const struct config_kind *kind)
{
    if (kind->number != NULL)
        return NUMBER;
    if (kind == &config_kind_boolean)
        return BOOLEAN;
    return kind->takes_list ? LIST_OR_TEXT : SCALAR;
}

static void
put_setting(struct schema *s, const struct config_field *field, const char *name)
{
    struct buf doc = { 0 };
    config_field_doc(field, &doc);
    buf_append(&doc, "", 1);
    open_with(s, name, "{");
    put(s, "type", type_of(field->kind));
    put_text(s, "description", (const char *)doc.data);
    if (field->fallback != NULL)
        put_text(s, "default", field->fallback);
    close_with(s, "}");
    buf_fini(&doc);
}

static void
put_settings(struct schema *s, const struct config_field *fields, size_t count)
{
    for (size_t i = 0; i < count; i++)
        put_setting(s, &fields[i], fields[i].path);
}

/* Those below a prefix: "server.". What has a dot more stands together, in a mapping of its own. */
static void
put_section(struct schema *s, const char *key, const char *prefix)
{
    char inner[128] = "";
    const size_t skip = strlen(prefix);
    open_mapping(s, key);
    for (size_t i = 0; i < config_field_count; i++) {
        const struct config_field *field = &config_fields[i];
        if (field->hidden || strncmp(field->path, prefix, skip) != 0 ||
            (inner[0] != 0 && strncmp(field->path, inner, strlen(inner)) == 0))
            continue;
        const char *name = field->path + skip;
        const size_t size = strcspn(name, ".");
        if (name[size] == 0) {
            put_setting(s, field, name);
            continue;
        }
        char section[32];
        snprintf(section, sizeof(section), "%.*s", (int)size, name);
        snprintf(inner, sizeof(inner), "%s%s.", prefix, section);
        put_section(s, section, inner);
    }
    close_mapping(s);
}

static void
put_list_of(struct schema *s, const char *key, const struct config_field *fields, size_t count)
{
    open_with(s, key, "{");
    put(s, "type", LIST);
    open_mapping(s, "items");
    put_settings(s, fields, count);
    close_mapping(s);
    close_with(s, "}");
}

static void
put_tls(struct schema *s)
{
    open_with(s, "tls", "{");
    put(s, "type", MAPPING);
    open_mapping(s, "additionalProperties");
    put_settings(s, config_tls_fields, config_tls_field_count);
    put_list_of(s, "more_certificates", config_certificate_fields, config_certificate_field_count);
    close_mapping(s);
    close_with(s, "}");
}

static void
put_apply(struct schema *s)
{
    static const char *const prune[] = { "none", "owned", "all", NULL };
    static const char *const deletion[] = { "never", "if-empty", "always", NULL };
    static const char *const conflict[] = { "fail", "replace", NULL };
    open_mapping(s, "apply");
    put(s, "on_start", "{\"enum\": [true, false, \"true\", \"false\"]}");
    put_words(s, "prune", prune);
    put_words(s, "delete_queues", deletion);
    put_words(s, "on_conflict", conflict);
    close_mapping(s);
}

void
configuration_schema(struct buf *out)
{
    struct schema s = { .out = out, .depth = 1 };
    buf_printf(out, "{");
    put_text(&s, "$schema", "http://json-schema.org/draft-07/schema#");
    put_text(&s, "title", "The configuration of Rail");
    put(&s, "type", "\"object\"");
    put(&s, "additionalProperties", "false");
    put(&s, "required", "[\"version\"]");
    open_with(&s, "properties", "{");
    put(&s, "version", "{\"enum\": [1, \"1\"]}");
    put_list(&s, "include", LIST_OR_TEXT, "\"string\"");
    put_section(&s, "server", "server.");
    put_section(&s, "limits", "limits.");
    put_list_of(&s, "listeners", config_listener_fields, config_listener_field_count);
    put_tls(&s);
    put_apply(&s);
    put_named(&s, "users", TOPOLOGY_USER);
    put_named(&s, "vhosts", TOPOLOGY_VHOST);
    close_with(&s, "}");
    put_definitions(&s);
    buf_printf(out, "\n}\n");
}
