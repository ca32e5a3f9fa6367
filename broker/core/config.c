#include "broker/core/config.h"

#include "broker/base/panic.h"
#include "broker/core/config_value.h"

#include <stdio.h>
#include <unistd.h>

#define CONFIG_ROW(owner, base, prefix, is_hidden, key, member, type, kind_name, unit_text,        \
                   default_text, min_text, max_text, doc_text)                                     \
    {                                                                                              \
        .path = prefix key,                                                                        \
        .kind = &config_kind_##kind_name,                                                          \
        .unit = unit_text,                                                                         \
        .fallback = default_text,                                                                  \
        .min = min_text,                                                                           \
        .max = max_text,                                                                           \
        .doc = doc_text,                                                                           \
        .offset = offsetof(owner, base member),                                                    \
        .size = sizeof(type),                                                                      \
        .hidden = is_hidden,                                                                       \
    },

const struct config_field config_fields[] = {
#define CONFIG_SERVER(...) CONFIG_ROW(struct config, server., "server.", false, __VA_ARGS__)
#define CONFIG_LIMITS(...) CONFIG_ROW(struct config, limits., "limits.", false, __VA_ARGS__)
#define CONFIG_TESTING(...) CONFIG_ROW(struct config, testing., "testing.", true, __VA_ARGS__)
#include "broker/core/config.def"
};
const size_t config_field_count = sizeof(config_fields) / sizeof(config_fields[0]);

const struct config_field config_listener_fields[] = {
#define CONFIG_LISTENER(...) CONFIG_ROW(struct config_listener, , "", false, __VA_ARGS__)
#include "broker/core/config.def"
};
const size_t config_listener_field_count =
    sizeof(config_listener_fields) / sizeof(config_listener_fields[0]);

const struct config_field config_tls_fields[] = {
#define CONFIG_TLS(...) CONFIG_ROW(struct config_tls, , "", false, __VA_ARGS__)
#include "broker/core/config.def"
};
const size_t config_tls_field_count = sizeof(config_tls_fields) / sizeof(config_tls_fields[0]);

const struct config_field config_certificate_fields[] = {
#define CONFIG_CERTIFICATE(...) CONFIG_ROW(struct config_certificate, , "", false, __VA_ARGS__)
#include "broker/core/config.def"
};
const size_t config_certificate_field_count =
    sizeof(config_certificate_fields) / sizeof(config_certificate_fields[0]);

static void
config_set_defaults(void *base, const struct config_field *fields, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct config_problem problem;
        if (fields[i].fallback == NULL)
            continue;
        if (!config_field_set(base, &fields[i], bytes_of_string(fields[i].fallback), &problem))
            PANIC("default of %s %s", fields[i].path, problem.text);
    }
}

static void
config_set_node_name(struct config *config)
{
    char host[200] = "";
    if (gethostname(host, sizeof(host) - 1) != 0 || host[0] == 0)
        memcpy(host, "localhost", sizeof("localhost"));
    snprintf(config->server.name, sizeof(config->server.name), "rail@%s", host);
}

void
config_init(struct config *config)
{
    memset(config, 0, sizeof(*config));
    config_set_defaults(config, config_fields, config_field_count);
    config_set_node_name(config);
    config_listener_add(config);
}

const struct config_field *
config_field_find(const char *path)
{
    for (size_t i = 0; i < config_field_count; i++) {
        if (strcmp(config_fields[i].path, path) == 0)
            return &config_fields[i];
    }
    return NULL;
}

void
config_field_doc(const struct config_field *field, struct buf *out)
{
    buf_printf(out, "%s", field->doc);
    if (field->kind->number != NULL)
        buf_printf(out, " Must be %s between %s and %s.", field->kind->what, field->min,
                   field->max);
}

struct config_listener *
config_listener_add(struct config *config)
{
    if (config->listener_count == CONFIG_LISTENERS_MAX)
        return NULL;
    struct config_listener *listener = &config->listeners[config->listener_count++];
    memset(listener, 0, sizeof(*listener));
    config_set_defaults(listener, config_listener_fields, config_listener_field_count);
    return listener;
}

struct config_tls *
config_tls_add(struct config *config, struct bytes name)
{
    if (config->tls_count == CONFIG_TLS_MAX)
        return NULL;
    struct config_tls *tls = &config->tls[config->tls_count++];
    memset(tls, 0, sizeof(*tls));
    snprintf(tls->name, sizeof(tls->name), "%.*s", BYTES_ARGS(name));
    config_set_defaults(tls, config_tls_fields, config_tls_field_count);
    return tls;
}

const struct config_tls *
config_tls_find(const struct config *config, struct bytes name)
{
    for (size_t i = 0; i < config->tls_count; i++) {
        if (bytes_equal(name, bytes_of_string(config->tls[i].name)))
            return &config->tls[i];
    }
    return NULL;
}

struct config_certificate *
config_certificate_add(struct config *config, size_t tls)
{
    if (config->certificate_count == CONFIG_CERTIFICATES_MAX)
        return NULL;
    struct config_certificate *certificate = &config->certificates[config->certificate_count++];
    memset(certificate, 0, sizeof(*certificate));
    certificate->tls = tls;
    return certificate;
}

static void
member_store(void *member, size_t size, uint64_t value)
{
    switch (size) {
    case sizeof(uint8_t):
        *(uint8_t *)member = (uint8_t)value;
        break;
    case sizeof(uint16_t):
        *(uint16_t *)member = (uint16_t)value;
        break;
    case sizeof(uint32_t):
        *(uint32_t *)member = (uint32_t)value;
        break;
    case sizeof(uint64_t):
        *(uint64_t *)member = value;
        break;
    default:
        UNREACHABLE();
    }
}

static uint64_t
bound_read(const struct config_field *field, const char *text, uint64_t otherwise)
{
    uint64_t value = otherwise;
    if (text != NULL && !field->kind->number(bytes_of_string(text), &value))
        PANIC("bound %s of %s cannot be read", text, field->path);
    return value;
}

static bool
problem_of_form(struct config_problem *problem, const struct config_field *field)
{
    problem->out_of_range = false;
    problem->hint = field->kind->hint;
    snprintf(problem->text, sizeof(problem->text), "must be %s", field->kind->what);
    return false;
}

static bool
problem_of_range(struct config_problem *problem, const struct config_field *field)
{
    problem->out_of_range = true;
    problem->hint = NULL;
    snprintf(problem->text, sizeof(problem->text), "must be between %s and %s", field->min,
             field->max);
    return false;
}

static bool
number_set(void *member, const struct config_field *field, struct bytes text,
           struct config_problem *problem)
{
    uint64_t value = 0;
    if (!field->kind->number(text, &value))
        return problem_of_form(problem, field);
    if (value < bound_read(field, field->min, 0) ||
        value > bound_read(field, field->max, UINT64_MAX))
        return problem_of_range(problem, field);
    member_store(member, field->size, value);
    return true;
}

/* The bounds of a text are its length, which fits the member if the row's upper bound does. */
static bool
text_length_fits(const struct config_field *field, struct bytes text)
{
    uint64_t min = 0;
    uint64_t max = UINT64_MAX;
    if (field->min != NULL)
        config_kind_count.number(bytes_of_string(field->min), &min);
    if (field->max != NULL)
        config_kind_count.number(bytes_of_string(field->max), &max);
    return text.size >= min && text.size <= max;
}

static bool
problem_of_length(struct config_problem *problem, const struct config_field *field)
{
    problem->out_of_range = true;
    problem->hint = NULL;
    snprintf(problem->text, sizeof(problem->text), "must have between %s and %s bytes", field->min,
             field->max);
    return false;
}

bool
config_field_set(void *base, const struct config_field *field, struct bytes text,
                 struct config_problem *problem)
{
    void *member = (char *)base + field->offset;
    if (field->kind->number != NULL)
        return number_set(member, field, text, problem);
    if (!text_length_fits(field, text))
        return problem_of_length(problem, field);
    if (!field->kind->store(text, member, field->size))
        return problem_of_form(problem, field);
    return true;
}
