#include "broker/config/config_file.h"

#include "broker/config/expand.h"
#include "broker/config/text.h"
#include "broker/core/config_value.h"

#include <stdio.h>

#define PATH_BYTES_MAX 128

struct reader {
    struct config *config;
    struct diagnostics *diagnostics;
};

/* Settings that lie in one struct; the keys of a mapping are looked up below `prefix`. */
struct scope {
    const struct config_field *fields;
    size_t field_count;
    void *base;
    const char *prefix; /* "limits." or "server.log."; "" for those of a list's item. */
    const char *name;   /* For people: "limits", "a listener". */
};

static bool
node_is(struct reader *r, const struct tree_node *node, enum tree_kind kind, const char *name)
{
    if (node->kind == kind)
        return true;
    diagnostics_error(r->diagnostics, DIAGNOSTIC_SHAPE, node->place, NULL, "%s must be %s, got %s",
                      name, tree_kind_name(kind), tree_kind_name(node->kind));
    return false;
}

/* What the file says is shown, never what ${...} made of it: that may be a secret. */
static void
report_value(struct reader *r, const struct tree_node *node, const char *name,
             const struct config_problem *problem)
{
    struct buf got = { 0 };
    text_quote(&got, node->text);
    diagnostics_error(r->diagnostics, problem->out_of_range ? DIAGNOSTIC_RANGE : DIAGNOSTIC_VALUE,
                      node->place, problem->hint, "%s %s, got %s%.*s", name, problem->text,
                      expand_needed(node->text) ? "the value of " : "",
                      BYTES_ARGS(buf_bytes(&got)));
    buf_fini(&got);
}

static void
read_scalar(struct reader *r, const struct tree_node *node, const struct config_field *field,
            void *base)
{
    if (!node_is(r, node, TREE_SCALAR, field->path))
        return;
    struct buf value = { 0 };
    struct expand_problem expansion;
    struct config_problem problem;
    if (!expand(node->text, &value, &expansion))
        diagnostics_error(r->diagnostics, expansion.code, node->place, expansion.hint, "%s",
                          expansion.text);
    else if (!config_field_set(base, field, buf_bytes(&value), &problem))
        report_value(r, node, field->path, &problem);
    buf_fini(&value);
}

/* The part of a path below the prefix up to the next dot, or nothing if it lies elsewhere. */
static struct bytes
path_component(const char *path, const char *prefix)
{
    const size_t skip = strlen(prefix);
    if (strncmp(path, prefix, skip) != 0)
        return BYTES_NONE;
    return bytes_of(path + skip, strcspn(path + skip, "."));
}

/* The section another setting of this very name is in, for somebody who indented wrongly. */
static const struct config_field *
setting_elsewhere(struct bytes key)
{
    for (size_t i = 0; i < config_field_count; i++) {
        const char *name = strrchr(config_fields[i].path, '.') + 1;
        if (!config_fields[i].hidden && bytes_equal(key, bytes_of_string(name)))
            return &config_fields[i];
    }
    return NULL;
}

static void
report_unknown(struct reader *r, const struct tree_node *key, const char *where,
               const struct suggestion *s)
{
    struct buf text = { 0 };
    const struct config_field *elsewhere = setting_elsewhere(key->text);
    text_quote(&text, key->text);
    if (bytes_equal(key->text, BYTES_LITERAL("<<")))
        buf_printf(&text, "%s; merge keys are not read, so write the keys out", where);
    else if (s->best.size > 0)
        buf_printf(&text, "%s; did you mean \"%.*s\"?", where, BYTES_ARGS(s->best));
    else if (elsewhere != NULL)
        buf_printf(&text, "%s; did you mean %s?", where, elsewhere->path);
    else
        buf_printf(&text, "%s", where);
    diagnostics_error(r->diagnostics, DIAGNOSTIC_UNKNOWN_KEY, key->place, NULL, "unknown key %.*s",
                      BYTES_ARGS(buf_bytes(&text)));
    buf_fini(&text);
}

static void
report_unknown_setting(struct reader *r, const struct tree_node *key, const struct scope *scope)
{
    struct suggestion s = { .text = key->text };
    for (size_t i = 0; i < scope->field_count; i++) {
        if (!scope->fields[i].hidden)
            suggestion_offer(&s, path_component(scope->fields[i].path, scope->prefix));
    }
    char where[PATH_BYTES_MAX];
    snprintf(where, sizeof(where), " in %s", scope->name);
    report_unknown(r, key, where, &s);
}

/* For kinds that take a list: its words, joined. */
static void
read_list(struct reader *r, const struct tree_node *node, const struct config_field *field,
          void *base)
{
    struct tree_node joined = { .kind = TREE_SCALAR, .place = node->place };
    struct buf text = { 0 };
    bool is_fine = true;
    for (size_t i = 0; i < node->item_count; i++) {
        is_fine = is_fine && node_is(r, node->items[i], TREE_SCALAR, "an item of the list");
        buf_append(&text, ",", i > 0);
        buf_append_bytes(&text, node->items[i]->text);
    }
    joined.text = buf_bytes(&text);
    if (is_fine)
        read_scalar(r, &joined, field, base);
    buf_fini(&text);
}

static void
read_setting(struct reader *r, const struct tree_node *node, const struct config_field *field,
             void *base)
{
    if (node->kind == TREE_LIST && field->kind->takes_list)
        read_list(r, node, field, base);
    else
        read_scalar(r, node, field, base);
}

static void read_settings(struct reader *r, const struct tree_node *node,
                          const struct scope *scope);

/* A group is a mapping inside a section, such as server.log. */
static void
read_group(struct reader *r, const struct tree_node *node, const struct scope *scope,
           struct bytes key)
{
    char prefix[PATH_BYTES_MAX];
    char name[PATH_BYTES_MAX];
    snprintf(prefix, sizeof(prefix), "%s%.*s.", scope->prefix, BYTES_ARGS(key));
    snprintf(name, sizeof(name), "%s%.*s", scope->prefix, BYTES_ARGS(key));
    struct scope inner = *scope;
    inner.prefix = prefix;
    inner.name = name;
    read_settings(r, node, &inner);
}

static void
read_key(struct reader *r, const struct tree_node *key, const struct tree_node *value,
         const struct scope *scope)
{
    for (size_t i = 0; i < scope->field_count; i++) {
        const struct config_field *field = &scope->fields[i];
        const struct bytes part = path_component(field->path, scope->prefix);
        if (part.size == 0 || !bytes_equal(part, key->text))
            continue;
        if (part.data[part.size] == 0)
            read_setting(r, value, field, scope->base);
        else
            read_group(r, value, scope, part);
        return;
    }
    report_unknown_setting(r, key, scope);
}

static void
read_settings(struct reader *r, const struct tree_node *node, const struct scope *scope)
{
    if (tree_node_is_empty(node) || !node_is(r, node, TREE_MAPPING, scope->name))
        return;
    for (size_t i = 0; i < node->item_count; i += 2)
        read_key(r, node->items[i], node->items[i + 1], scope);
}

static void
section_settings(struct reader *r, const char *name, const struct tree_node *key,
                 const struct tree_node *node)
{
    (void)key;
    char prefix[PATH_BYTES_MAX];
    snprintf(prefix, sizeof(prefix), "%s.", name);
    const struct scope scope = {
        .fields = config_fields,
        .field_count = config_field_count,
        .base = r->config,
        .prefix = prefix,
        .name = name,
    };
    read_settings(r, node, &scope);
}

static bool
address_equal(const struct config_address *a, const struct config_address *b)
{
    return a->is_path == b->is_path && a->port == b->port && (a->is_path || a->port != 0) &&
           strcmp(a->host, b->host) == 0;
}

static void
listener_check_unique(struct reader *r, const struct tree_node *item,
                      const struct config_listener *listener)
{
    for (const struct config_listener *l = r->config->listeners; l < listener; l++) {
        if (!address_equal(&l->bind, &listener->bind))
            continue;
        if (l->bind.is_path)
            diagnostics_error(r->diagnostics, DIAGNOSTIC_DUPLICATE, item->place, NULL,
                              "two listeners bind %s", listener->bind.host);
        else
            diagnostics_error(r->diagnostics, DIAGNOSTIC_DUPLICATE, item->place, NULL,
                              "two listeners bind %s port %u", listener->bind.host,
                              listener->bind.port);
        return;
    }
}

static void
read_listener(struct reader *r, const struct tree_node *item)
{
    if (!node_is(r, item, TREE_MAPPING, "a listener"))
        return;
    struct config_listener *listener = config_listener_add(r->config);
    if (listener == NULL)
        return; /* Too many; the caller says so. */
    const size_t errors = r->diagnostics->count;
    if (tree_find(item, "bind") == NULL)
        diagnostics_error(r->diagnostics, DIAGNOSTIC_MISSING, item->place,
                          "write {protocol: amqp, bind: \"127.0.0.1:5672\"}",
                          "a listener must have the key \"bind\"");
    const struct scope scope = {
        .fields = config_listener_fields,
        .field_count = config_listener_field_count,
        .base = listener,
        .prefix = "",
        .name = "a listener",
    };
    read_settings(r, item, &scope);
    if (r->diagnostics->count == errors)
        listener_check_unique(r, item, listener);
    else
        r->config->listener_count--; /* Not to be compared with. */
}

/* A list in the file replaces the default listener. */
static void
section_listeners(struct reader *r, const char *name, const struct tree_node *key,
                  const struct tree_node *node)
{
    const bool empty = tree_node_is_empty(node);
    if (!empty && !node_is(r, node, TREE_LIST, name))
        return;
    const size_t count = empty ? 0 : node->item_count;
    if (count == 0 || count > CONFIG_LISTENERS_MAX)
        diagnostics_error(r->diagnostics, DIAGNOSTIC_RANGE, empty ? key->place : node->place, NULL,
                          "%s must have between 1 and %d items, got %zu", name,
                          CONFIG_LISTENERS_MAX, count);
    r->config->listener_count = 0;
    for (size_t i = 0; i < count; i++)
        read_listener(r, node->items[i]);
}

/* Where a key's value is wrong, or the whole that lacks it. */
static struct place
place_of(const struct tree_node *mapping, const char *key)
{
    const struct tree_node *value = tree_find(mapping, key);
    return value != NULL ? value->place : mapping->place;
}

static void
check_certificate(struct reader *r, struct place place, const char *certificate,
                  const char *private_key)
{
    if (certificate[0] == 0)
        diagnostics_error(r->diagnostics, DIAGNOSTIC_MISSING, place,
                          "railmq certs init DIR makes some to begin with",
                          "TLS needs the key \"certificate\"");
    if (private_key[0] == 0)
        diagnostics_error(r->diagnostics, DIAGNOSTIC_MISSING, place, NULL,
                          "TLS needs the key \"private_key\"");
}

static void
read_certificate(struct reader *r, const struct tree_node *item, size_t tls)
{
    if (!node_is(r, item, TREE_MAPPING, "a certificate"))
        return;
    struct config_certificate *certificate = config_certificate_add(r->config, tls);
    if (certificate == NULL) {
        diagnostics_error(r->diagnostics, DIAGNOSTIC_RANGE, item->place, NULL,
                          "there are more than %d items of more_certificates in all",
                          CONFIG_CERTIFICATES_MAX);
        return;
    }
    const struct scope scope = {
        .fields = config_certificate_fields,
        .field_count = config_certificate_field_count,
        .base = certificate,
        .prefix = "",
        .name = "more_certificates",
    };
    const size_t errors = r->diagnostics->count;
    read_settings(r, item, &scope);
    if (r->diagnostics->count == errors)
        check_certificate(r, item->place, certificate->certificate, certificate->private_key);
}

static void
check_tls(struct reader *r, const struct tree_node *key, const struct tree_node *node,
          const struct config_tls *tls)
{
    check_certificate(r, key->place, tls->certificate, tls->private_key);
    if (tls->verify_client != CONFIG_VERIFY_NONE && tls->client_ca[0] == 0)
        diagnostics_error(r->diagnostics, DIAGNOSTIC_MISSING, place_of(node, "verify_client"),
                          "write client_ca: /path/of/ca.pem",
                          "verify_client needs the key \"client_ca\": whose clients are trusted?");
    if (tls->min_version > tls->max_version)
        diagnostics_error(r->diagnostics, DIAGNOSTIC_RANGE, place_of(node, "min_version"), NULL,
                          "min_version is above max_version");
}

static void
read_tls(struct reader *r, const struct tree_node *key, const struct tree_node *node)
{
    const size_t index = r->config->tls_count;
    if (!node_is(r, node, TREE_MAPPING, "an item of tls"))
        return;
    struct config_tls *tls = config_tls_add(r->config, key->text);
    if (tls == NULL || key->text.size == 0 || key->text.size >= sizeof(tls->name)) {
        diagnostics_error(r->diagnostics, DIAGNOSTIC_RANGE, key->place, NULL,
                          "tls must have at most %d items, with names of 1 to %zu bytes",
                          CONFIG_TLS_MAX, sizeof(tls->name) - 1);
        return;
    }
    const struct scope scope = {
        .fields = config_tls_fields,
        .field_count = config_tls_field_count,
        .base = tls,
        .prefix = "",
        .name = "tls",
    };
    const size_t errors = r->diagnostics->count;
    for (size_t i = 0; i < node->item_count; i += 2) {
        const struct tree_node *value = node->items[i + 1];
        if (!bytes_equal(node->items[i]->text, BYTES_LITERAL("more_certificates")))
            read_key(r, node->items[i], value, &scope);
        else if (node_is(r, value, TREE_LIST, "more_certificates"))
            for (size_t j = 0; j < value->item_count; j++)
                read_certificate(r, value->items[j], index);
    }
    if (r->diagnostics->count == errors)
        check_tls(r, key, node, tls);
}

static void
section_tls(struct reader *r, const char *name, const struct tree_node *key,
            const struct tree_node *node)
{
    (void)key;
    if (tree_node_is_empty(node) || !node_is(r, node, TREE_MAPPING, name))
        return;
    for (size_t i = 0; i < node->item_count; i += 2)
        read_tls(r, node->items[i], node->items[i + 1]);
}

/* Sections stand in any order, so this comes when all have been read. */
static void
check_listener(struct reader *r, const struct tree_node *item, struct config_listener *listener)
{
    const struct tree_node *named = tree_find(item, "tls");
    const struct tree_node *serve = tree_find(item, "serve");
    if (serve != NULL && listener->protocol != CONFIG_PROTOCOL_HTTP)
        diagnostics_error(r->diagnostics, DIAGNOSTIC_VALUE, serve->place, "write protocol: http",
                          "only an http listener has the key \"serve\"");
    if (listener->protocol != CONFIG_PROTOCOL_AMQPS) {
        if (named != NULL)
            diagnostics_error(r->diagnostics, DIAGNOSTIC_VALUE, named->place,
                              "write protocol: amqps",
                              "only an amqps listener has the key \"tls\"");
        return;
    }
    if (listener->tls[0] == 0)
        snprintf(listener->tls, sizeof(listener->tls), "default");
    if (config_tls_find(r->config, bytes_of_string(listener->tls)) == NULL)
        diagnostics_error(r->diagnostics, DIAGNOSTIC_MISSING,
                          named != NULL ? named->place : item->place,
                          "write a section tls with certificate and private_key below that name",
                          "the listener uses tls \"%s\", which is not there", listener->tls);
}

static void
check_listeners(struct reader *r, const struct tree_node *root)
{
    const struct tree_node *list = root == NULL ? NULL : tree_find(root, "listeners");
    for (size_t i = 0; list != NULL && i < list->item_count && r->diagnostics->count == 0; i++)
        check_listener(r, list->items[i], &r->config->listeners[i]);
}

static void
section_version(struct reader *r, const char *name, const struct tree_node *key,
                const struct tree_node *node)
{
    (void)key;
    if (!node_is(r, node, TREE_SCALAR, name) || bytes_equal(node->text, BYTES_LITERAL("1")))
        return;
    struct buf got = { 0 };
    text_quote(&got, node->text);
    diagnostics_error(r->diagnostics, DIAGNOSTIC_SCHEMA, node->place, NULL,
                      "version of the file format must be 1, got %.*s",
                      BYTES_ARGS(buf_bytes(&got)));
    buf_fini(&got);
}

static void
section_of_others(struct reader *r, const char *name, const struct tree_node *key,
                  const struct tree_node *node)
{
    (void)r;
    (void)name;
    (void)key;
    (void)node;
}

/* The top level of the file. A new section is a new row. */
static const struct section {
    const char *name;
    void (*read)(struct reader *r, const char *name, const struct tree_node *key,
                 const struct tree_node *node);
    bool hidden; /* Never suggested. */
} sections[] = {
    { "version", section_version, false },
    { "server", section_settings, false },
    { "listeners", section_listeners, false },
    { "limits", section_settings, false },
    { "tls", section_tls, false },
    { "testing", section_settings, true },
    /* Others have read these, or will. */
    { "include", section_of_others, false },
    { "apply", section_of_others, false },
    { "users", section_of_others, false },
    { "vhosts", section_of_others, false },
};
#define SECTION_COUNT (sizeof(sections) / sizeof(sections[0]))

static void
read_section(struct reader *r, const struct tree_node *key, const struct tree_node *value)
{
    struct suggestion s = { .text = key->text };
    for (size_t i = 0; i < SECTION_COUNT; i++) {
        const struct bytes name = bytes_of_string(sections[i].name);
        if (bytes_equal(name, key->text)) {
            sections[i].read(r, sections[i].name, key, value);
            return;
        }
        if (!sections[i].hidden)
            suggestion_offer(&s, name);
    }
    report_unknown(r, key, "", &s);
}

static void
read_root(struct reader *r, const struct tree_node *root)
{
    const struct place start = { .line = 1, .column = 1, .width = 1 };
    if (root != NULL && !tree_node_is_empty(root) && !node_is(r, root, TREE_MAPPING, "the file"))
        return;
    if (root == NULL || root->kind != TREE_MAPPING || tree_find(root, "version") == NULL) {
        diagnostics_error(r->diagnostics, DIAGNOSTIC_MISSING, start,
                          "write version: 1 at the top of the file",
                          "the key \"version\" is missing");
    }
    for (size_t i = 0; root != NULL && i < root->item_count; i += 2)
        read_section(r, root->items[i], root->items[i + 1]);
    if (r->diagnostics->count == 0)
        check_listeners(r, root);
}

bool
config_read(struct document *doc, struct config *config)
{
    struct config changed = *config;
    struct reader r = { .config = &changed, .diagnostics = &doc->diagnostics };
    read_root(&r, doc->root);
    if (doc->diagnostics.count > 0)
        return false;
    *config = changed;
    return true;
}

static bool
finish(struct document *doc, bool is_read, struct config *config, struct buf *report)
{
    const bool fine = is_read && config_read(doc, config);
    diagnostics_print(&doc->diagnostics, report);
    document_fini(doc);
    return fine;
}

bool
config_text_read(const char *name, struct bytes text, struct config *config, struct buf *report)
{
    struct document doc;
    return finish(&doc, document_read_text(&doc, name, text), config, report);
}

bool
config_file_read(const char *path, struct config *config, struct buf *report)
{
    struct document doc;
    return finish(&doc, document_read(&doc, path), config, report);
}
