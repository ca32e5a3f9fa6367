#include "broker/session/server_topology.h"

#include "broker/base/log.h"
#include "broker/control/control.h"
#include "broker/session/server.h"
#include "broker/session/server_tls.h"
#include "broker/topology/apply.h"
#include "broker/topology/current.h"
#include "broker/topology/write.h"

#include <stdio.h>

static void
log_diagnostics(const struct diagnostics *d)
{
    char quoted[800];
    for (size_t i = 0; i < d->kept_count; i++) {
        const struct diagnostic *kept = &d->kept[i];
        log_write(kept->is_warning ? LOG_LEVEL_WARNING : LOG_LEVEL_ERROR, "config.diagnostic",
                  "file=%s line=%zu column=%zu code=RAIL-%c%03d msg=\"%s\"",
                  d->sources[kept->place.source].file, kept->place.line, kept->place.column,
                  kept->is_warning ? 'W' : 'E', (int)kept->code,
                  log_quote(buf_bytes(&kept->message), quoted, sizeof(quoted)));
    }
}

/* The changes that are worth a line: those that were refused, failed, or cost messages. */
static void
log_result(const struct apply_result *result)
{
    struct buf text = { 0 };
    for (size_t i = 0; i < result->plan.count; i++) {
        const struct change *c = &result->plan.changes[i];
        const char *why = c->refusal != NULL ? c->refusal : c->failure;
        const struct topology_item *item = c->wanted != NULL ? c->wanted : c->current;
        if (why[0] == 0)
            continue;
        text.size = 0;
        topology_describe(item, &text);
        char quoted[600];
        log_error(c->refusal != NULL ? "topology.refused" : "topology.failed",
                  "object=\"%s\" msg=\"%s\"", log_quote(buf_bytes(&text), quoted, sizeof(quoted)),
                  why);
    }
    text.size = 0;
    apply_summary(result, &text);
    if (result->outcome == APPLY_NOTHING)
        log_info("topology.unchanged", "msg=\"everything is as the configuration says\"");
    else
        log_write(result->outcome == APPLY_DONE ? LOG_LEVEL_INFO : LOG_LEVEL_ERROR,
                  "topology.applied", "msg=\"%.*s\"", BYTES_ARGS(buf_bytes(&text)));
    buf_fini(&text);
}

static bool
apply(struct server *s, const struct topology *wanted)
{
    struct apply_result result;
    const struct apply_request request = {
        .broker = &s->broker,
        .wanted = wanted,
        .rules = wanted->rules,
        .origin = bytes_of_string(s->setup->file),
    };
    lock_acquire(&s->applying);
    apply_topology(&request, &result);
    lock_release(&s->applying);
    log_result(&result);
    const bool fine = result.outcome == APPLY_NOTHING || result.outcome == APPLY_DONE;
    apply_result_fini(&result);
    return fine;
}

bool
server_apply_at_start(struct server *s, char *problem, size_t problem_size)
{
    const struct topology *wanted = &s->setup->topology;
    if (s->setup->file[0] == 0)
        return true;
    if (!wanted->rules.on_start || apply(s, wanted)) {
        server_drift_keep(s, wanted, wanted->rules.on_start);
        return true;
    }
    snprintf(problem, problem_size,
             "the configuration %s cannot be applied to what exists; the log above says why, "
             "railmq check looks at the file alone, and apply: {on_start: false} starts without it",
             s->setup->file);
    return false;
}

/* Settings are read once, at the start; all but the level of the log. */
static void
reload_settings(struct server *s, const struct config *config)
{
    const struct config *old = &s->setup->from_file;
    if (config->server.log_level != old->server.log_level)
        log_set_level(config->server.log_level);
    if (config->listener_count != old->listener_count ||
        memcmp(config->listeners, old->listeners, sizeof(config->listeners)) != 0)
        log_warning("config.restart_needed",
                    "key=listeners msg=\"it has changed in the file and counts after a restart\"");
    for (size_t i = 0; i < config_field_count; i++) {
        const struct config_field *field = &config_fields[i];
        const char *before = (const char *)old + field->offset;
        const char *after = (const char *)config + field->offset;
        if (memcmp(before, after, field->size) != 0 && strcmp(field->path, "server.log.level") != 0)
            log_warning("config.restart_needed",
                        "key=%s msg=\"it has changed in the file and counts after a restart\"",
                        field->path);
    }
}

void
server_reload(struct server *s)
{
    struct configuration c;
    struct config config;
    const char *file = s->setup->file;
    if (file[0] == 0) {
        server_tls_reload(s, &s->setup->config);
        log_warning("config.reload", "msg=\"there is no configuration file to read again\"");
        return;
    }
    config_init(&config);
    const bool is_read = configuration_read(&c, file, &config);
    log_diagnostics(&c.document.diagnostics);
    if (is_read)
        server_tls_reload(s, &config);
    const bool is_applied = is_read && apply(s, &c.topology);
    if (is_read)
        server_drift_keep(s, &c.topology, is_applied);
    if (is_applied) {
        reload_settings(s, &config);
        log_info("config.reloaded", "file=%s", file);
    } else {
        log_error(
            "config.reload_failed",
            "file=%s msg=\"the broker stays as it is; correct the file and send SIGHUP again\"",
            file);
    }
    configuration_fini(&c);
}

/* "plan" and "apply" come with the document and words that change its rules: prune, force, json,
 * colour, and at the end "origin=" and the name of the configuration. */
struct wishes {
    bool prunes;
    bool forces;
    bool is_json;
    bool is_coloured;
    struct bytes origin;
};

static bool
wishes_parse(struct bytes arguments, struct wishes *w)
{
    const struct {
        struct bytes word;
        bool *wish;
    } words[] = {
        { BYTES_LITERAL("prune "), &w->prunes },
        { BYTES_LITERAL("force "), &w->forces },
        { BYTES_LITERAL("json "), &w->is_json },
        { BYTES_LITERAL("colour "), &w->is_coloured },
    };
    const struct bytes origin = BYTES_LITERAL("origin=");
    *w = (struct wishes){ 0 };
    while (!bytes_start_with(arguments, origin)) {
        size_t i = 0;
        while (i < sizeof(words) / sizeof(words[0]) && !bytes_start_with(arguments, words[i].word))
            i++;
        if (i == sizeof(words) / sizeof(words[0]))
            return false;
        *words[i].wish = true;
        arguments =
            bytes_of(arguments.data + words[i].word.size, arguments.size - words[i].word.size);
    }
    w->origin = bytes_of(arguments.data + origin.size, arguments.size - origin.size);
    return true;
}

static void
answer(struct control_client *client, const struct wishes *w, const struct apply_result *result)
{
    struct buf text = { 0 };
    if (w->is_json)
        plan_print_json(&result->plan, &text);
    else
        plan_print(&result->plan, w->is_coloured, &text);
    control_data(client, buf_bytes(&text));
    text.size = 0;
    apply_answer(result, &text);
    control_ok(client, "%.*s", BYTES_ARGS(buf_bytes(&text)));
    buf_fini(&text);
}

static void
reconcile(struct server *s, struct control_client *client, const struct topology *wanted,
          const struct wishes *w, bool is_plan_only)
{
    struct apply_result result;
    const struct apply_request request = {
        .broker = &s->broker,
        .wanted = wanted,
        .rules = apply_rules(wanted, w->prunes, w->forces),
        .origin = w->origin,
        .is_plan_only = is_plan_only,
    };
    lock_acquire(&s->applying);
    apply_topology(&request, &result);
    lock_release(&s->applying);
    if (!is_plan_only)
        log_result(&result);
    answer(client, w, &result);
    apply_result_fini(&result);
}

static void
on_document(struct server *s, struct control_client *client, struct bytes arguments,
            bool is_plan_only)
{
    struct configuration c;
    struct wishes w;
    if (!wishes_parse(arguments, &w)) {
        control_error(client, "this broker does not know all options; is it older than railmq is?");
        return;
    }
    if (configuration_read_text(&c, "document", control_body(client), NULL)) {
        reconcile(s, client, &c.topology, &w, is_plan_only);
    } else {
        struct buf report = { 0 };
        diagnostics_print(&c.document.diagnostics, &report);
        control_data(client, buf_bytes(&report));
        control_error(client, "the broker does not understand the document; is it older than "
                              "railmq is?");
        buf_fini(&report);
    }
    configuration_fini(&c);
}

void
server_on_plan(struct server *s, struct control_client *client, struct bytes arguments)
{
    on_document(s, client, arguments, true);
}

void
server_on_apply(struct server *s, struct control_client *client, struct bytes arguments)
{
    on_document(s, client, arguments, false);
}

void
server_on_export(struct server *s, struct control_client *client)
{
    struct topology t;
    struct buf text = { 0 };
    topology_init(&t);
    current_read(&s->broker, BYTES_NONE, &t);
    topology_write(&t, WRITE_FOR_PEOPLE, &text);
    control_data(client, buf_bytes(&text));
    control_ok(client, "%zu objects", t.count);
    buf_fini(&text);
    topology_fini(&t);
}
