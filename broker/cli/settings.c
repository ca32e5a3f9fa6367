#include "broker/cli/settings.h"

#include "broker/base/log.h"
#include "broker/cli/check_tls.h"
#include "broker/cli/manual.h"
#include "broker/cli/options.h"
#include "broker/config/config_file.h"
#include "broker/config/text.h"
#include "broker/core/config_value.h"

#include <stdio.h>
#include <stdlib.h>

#define HELP_INDENT 6
#define TLS_NAME "default"

static const struct option serve_options[] = {
    { .letter = 'c',
      .name = "config",
      .argument = "FILE",
      .doc = "Read the settings from this YAML file. Other options beat it. The keys are listed by "
             "railmq help config." },
    { .letter = 'l',
      .name = "listen",
      .argument = "HOST:PORT",
      .repeats = true,
      .doc = "Listen for AMQP here, instead of where the file says. Write 0.0.0.0:5672 for all of "
             "IPv4 and [::]:5672 for IPv6 and IPv4; port 0 lets the system choose. Default: "
             "127.0.0.1:5672." },
    { .name = "listen-tls",
      .argument = "HOST:PORT",
      .repeats = true,
      .doc = "Listen for AMQP over TLS here, besides --listen; needs --tls-dir, or the section tls "
             "of the file with an item \"default\"." },
    { .name = "tls-dir",
      .argument = "DIR",
      .doc =
          "Use server.pem, server-key.pem and ca.pem of this directory for TLS; clients may show "
          "a certificate of that ca. railmq certs init DIR makes them." },
    { .name = "http",
      .argument = "HOST:PORT",
      .repeats = true,
      .doc = "Serve metrics and health over HTTP here, besides where the file says. There is no "
             "login." },
    { .letter = 'd', .name = "data-dir", .argument = "DIR", .path = "server.data_dir" },
    { .letter = 'w', .name = "workers", .argument = "N", .path = "server.workers" },
    { .letter = 'L', .name = "log-level", .argument = "LEVEL", .path = "server.log.level" },
    { .name = "log-format", .argument = "FORMAT", .path = "server.log.format" },
    { .name = "log-output", .argument = "FILE", .path = "server.log.output" },
};

static const struct command serve_command = {
    .name = "railmq serve",
    .arguments = "",
    .doc = "Run the broker in the foreground until it gets SIGTERM or SIGINT. SIGHUP reads the "
           "configuration again, SIGUSR1 opens the log again.",
    .options = serve_options,
    .option_count = sizeof(serve_options) / sizeof(serve_options[0]),
};

static const struct option check_options[] = {
    { .letter = 'j', .name = "json", .doc = "Print errors and warnings as a JSON array." },
    { .name = "no-files",
      .doc = "Do not open the certificates and keys that the file names: they are on another "
             "machine." },
};

static const struct command check_command = {
    .name = "railmq check",
    .arguments = "FILE",
    .argument_min = 1,
    .argument_max = 1,
    .doc =
        "Read a configuration file as railmq serve would, with the certificates and keys that it "
        "names, or definitions that RabbitMQ has exported, and print every error and warning. "
        "Nothing is started or changed.",
    .options = check_options,
    .option_count = sizeof(check_options) / sizeof(check_options[0]),
};

static void
print(FILE *stream, const struct buf *text)
{
    if (text->size > 0)
        fwrite(text->data, 1, text->size, stream);
    fflush(stream);
}

static void
print_help(const struct command *command)
{
    struct buf text = { 0 };
    options_help(command, &text);
    print(stdout, &text);
    buf_fini(&text);
}

/* False, with what was wrong in `report`, if the value does not do. */
static bool
value_apply(const struct command *command, const struct option_value *value,
            const struct config_field *field, void *base, struct buf *report)
{
    struct config_problem problem;
    if (config_field_set(base, field, bytes_of_string(value->text), &problem))
        return true;
    buf_printf(report, "%s: --%s %s, got ", command->name, value->option->name, problem.text);
    text_quote(report, bytes_of_string(value->text));
    if (problem.hint != NULL)
        buf_printf(report, "; %s", problem.hint);
    buf_printf(report, "\n");
    return false;
}

static const struct config_field *
listener_field(const char *name)
{
    size_t i = 0;
    while (strcmp(config_listener_fields[i].path, name) != 0)
        i++;
    return &config_listener_fields[i];
}

/* The HTTP listeners of the file stay. */
static void
drop_amqp_listeners(struct config *config)
{
    size_t kept = 0;
    for (size_t i = 0; i < config->listener_count; i++)
        if (config->listeners[i].protocol == CONFIG_PROTOCOL_HTTP)
            config->listeners[kept++] = config->listeners[i];
    config->listener_count = kept;
}

/* The first --listen or --listen-tls replaces the AMQP listeners of the file. */
static bool
listen_apply(const struct option_value *value, struct config *config, bool *replaced,
             struct buf *report)
{
    const bool is_http = strcmp(value->option->name, "http") == 0;
    if (!*replaced && !is_http)
        drop_amqp_listeners(config);
    *replaced = *replaced || !is_http;
    struct config_listener *listener = config_listener_add(config);
    if (listener == NULL) {
        buf_printf(report, "%s: there are more than %d listeners\n", serve_command.name,
                   CONFIG_LISTENERS_MAX);
        return false;
    }
    if (is_http)
        listener->protocol = CONFIG_PROTOCOL_HTTP;
    if (strcmp(value->option->name, "listen-tls") == 0) {
        listener->protocol = CONFIG_PROTOCOL_AMQPS;
        snprintf(listener->tls, sizeof(listener->tls), "%s", TLS_NAME);
    }
    return value_apply(&serve_command, value, listener_field("bind"), listener, report);
}

static bool
tls_dir_apply(const struct command *command, const char *directory, struct config *config,
              struct buf *report)
{
    struct config_tls *tls = config_tls_add(config, BYTES_LITERAL(TLS_NAME));
    if (tls == NULL || strlen(directory) > sizeof(tls->certificate) - sizeof("/server-key.pem")) {
        buf_printf(report, "%s: --tls-dir: %s\n", command->name,
                   tls == NULL ? "the file has too many items below tls" : "the path is too long");
        return false;
    }
    snprintf(tls->certificate, sizeof(tls->certificate), "%s/server.pem", directory);
    snprintf(tls->private_key, sizeof(tls->private_key), "%s/server-key.pem", directory);
    snprintf(tls->client_ca, sizeof(tls->client_ca), "%s/ca.pem", directory);
    tls->verify_client = CONFIG_VERIFY_OPTIONAL;
    return true;
}

static bool
tls_apply(const struct command *command, const struct options *options, struct config *config,
          struct buf *report)
{
    const char *directory = options_get(options, "tls-dir");
    const bool is_there = config_tls_find(config, BYTES_LITERAL(TLS_NAME)) != NULL;
    if (directory != NULL && is_there) {
        buf_printf(report,
                   "%s: --tls-dir and the item \"%s\" of the file's section tls exclude "
                   "each other\n",
                   command->name, TLS_NAME);
        return false;
    }
    if (directory != NULL)
        return tls_dir_apply(command, directory, config, report);
    if (options_get(options, "listen-tls") == NULL || is_there)
        return true;
    buf_printf(report,
               "%s: --listen-tls needs certificates: railmq certs init DIR makes some, "
               "--tls-dir DIR uses them\n",
               command->name);
    return false;
}

static bool
options_apply(const struct command *command, const struct options *options, struct config *config,
              struct buf *report)
{
    bool replaced = false;
    for (size_t i = 0; i < options->value_count; i++) {
        const struct option_value *value = &options->values[i];
        const char *path = value->option->path;
        bool fine = true;
        if (path != NULL)
            fine = value_apply(command, value, config_field_find(path), config, report);
        else if (strncmp(value->option->name, "listen", 6) == 0 ||
                 strcmp(value->option->name, "http") == 0)
            fine = listen_apply(value, config, &replaced, report);
        if (!fine)
            return false;
    }
    return tls_apply(command, options, config, report);
}

/* The file is read first, so that options beat it wherever they stand. */
int
settings_apply(const struct command *command, const struct options *options, struct config *config,
               struct buf *report)
{
    const char *file = options_get(options, "config");
    config_init(config);
    if (file != NULL && !config_file_read(file, config, report))
        return EXIT_FAILED;
    return options_apply(command, options, config, report) ? EXIT_FINE : EXIT_USAGE;
}

/* Warnings are shown, too, and do not keep it from starting. */
static bool
file_apply(struct serve_setup *setup, const char *file, struct buf *report)
{
    struct configuration c;
    const bool fine = configuration_read(&c, file, &setup->config);
    if (fine) {
        setup->topology = c.topology;
        topology_init(&c.topology);
        if (realpath(file, setup->file) == NULL)
            snprintf(setup->file, sizeof(setup->file), "%s", file);
    }
    diagnostics_print(&c.document.diagnostics, report);
    configuration_fini(&c);
    return fine;
}

static int
setup_apply(const struct options *options, struct serve_setup *setup, struct buf *report)
{
    const char *file = options_get(options, "config");
    config_init(&setup->config);
    topology_init(&setup->topology);
    if (file != NULL && !file_apply(setup, file, report))
        return EXIT_FAILED;
    setup->from_file = setup->config;
    return options_apply(&serve_command, options, &setup->config, report) ? EXIT_FINE : EXIT_USAGE;
}

bool
settings_read(int argc, char **argv, struct serve_setup *setup, int *status)
{
    struct options options;
    struct buf report = { 0 };
    const enum options_result result = options_parse(&options, &serve_command, argc, argv, &report);
    *setup = (struct serve_setup){ 0 };
    *status = result == OPTIONS_WRONG ? EXIT_USAGE : EXIT_FINE;
    if (result == OPTIONS_HELP)
        print_help(&serve_command);
    if (result == OPTIONS_FINE)
        *status = setup_apply(&options, setup, &report);
    print(stderr, &report);
    buf_fini(&report);
    options_fini(&options);
    const bool goes_on = result == OPTIONS_FINE && *status == EXIT_FINE;
    if (!goes_on)
        topology_fini(&setup->topology);
    return goes_on;
}

/* What the file names is looked at once the file itself is fine. */
static bool
check_all(struct configuration *c, const struct options *options)
{
    struct config config;
    config_init(&config);
    if (!configuration_read(c, options->arguments[0], &config))
        return false;
    log_set_level(LOG_LEVEL_ERROR); /* The report says it. */
    if (!options_has(options, "no-files"))
        check_tls(&c->document, &config);
    return c->document.diagnostics.count == 0;
}

static int
check_file(const struct options *options, struct buf *report)
{
    struct configuration c;
    const bool fine = check_all(&c, options);
    const bool is_json = options_has(options, "json");
    if (is_json)
        diagnostics_print_json(&c.document.diagnostics, report);
    else
        diagnostics_print(&c.document.diagnostics, report);
    if (is_json)
        print(stdout, report);
    else if (fine)
        printf("%s: ok\n", options->arguments[0]);
    if (is_json)
        report->size = 0;
    configuration_fini(&c);
    return fine ? EXIT_FINE : EXIT_FAILED;
}

int
settings_check(int argc, char **argv)
{
    struct options options;
    struct buf report = { 0 };
    int status = EXIT_FINE;
    const enum options_result result = options_parse(&options, &check_command, argc, argv, &report);
    if (result == OPTIONS_WRONG)
        status = EXIT_USAGE;
    else if (result == OPTIONS_HELP)
        print_help(&check_command);
    else
        status = check_file(&options, &report);
    print(stderr, &report);
    buf_fini(&report);
    options_fini(&options);
    return status;
}

static void
field_describe(const struct config_field *field, const char *prefix, struct buf *out)
{
    struct buf name = { 0 };
    struct buf doc = { 0 };
    buf_printf(&name, "%s%s", prefix, field->path);
    if (field->fallback != NULL)
        buf_printf(&name, ": %s", field->fallback);
    buf_append(&name, "", 1);
    config_field_doc(field, &doc);
    buf_append(&doc, "", 1);
    if (help_form() == HELP_PAGE) {
        manual_item(out, (const char *)name.data, (const char *)doc.data);
    } else {
        buf_printf(out, "  %s\n", (const char *)name.data);
        text_wrap(out, (const char *)doc.data, HELP_INDENT);
    }
    buf_fini(&name);
    buf_fini(&doc);
}

static const char settings_example[] = "version: 1\n"
                                       "server:\n"
                                       "  data_dir: /var/lib/railmq\n"
                                       "  log: {level: info}\n"
                                       "listeners:\n"
                                       "  - {protocol: amqp, bind: \"[::]:5672\"}\n"
                                       "  - {protocol: amqps, bind: \"[::]:5671\", tls: default}\n"
                                       "tls:\n"
                                       "  default:\n"
                                       "    certificate: /etc/railmq/tls/server.pem\n"
                                       "    private_key: /etc/railmq/tls/server-key.pem\n"
                                       "limits:\n"
                                       "  memory_high_watermark: 60%\n";

static const char settings_rules[] =
    "The configuration file is YAML. The key \"version: 1\" is required; all others have "
    "the defaults shown. Values may contain ${env:NAME}, ${env:NAME:-default}, "
    "${file:/path} and ${cred:name}; $$ is a plain $. Check a file with railmq check.";

static void
page_begin(struct buf *out)
{
    buf_printf(out, ".SH NAME\nrailmq.yaml \\- configuration of the message broker Rail\n"
                    ".SH DESCRIPTION\n");
    manual_paragraph(out, settings_rules);
    manual_paragraph(out, "It may also say what exists: users, virtual hosts, exchanges, queues, "
                          "bindings, policies and permissions. That is described in "
                          "/usr/share/doc/railmq/CONFIGURATION.md.");
    buf_printf(out, ".SH EXAMPLE\n");
    manual_verbatim(out, settings_example);
    buf_printf(out, ".SH KEYS\n");
}

void
settings_help(struct buf *out)
{
    if (help_form() == HELP_PAGE) {
        page_begin(out);
    } else {
        text_wrap(out, settings_rules, 0);
        buf_printf(out, "\nExample:\n\n%s\nKeys:\n", settings_example);
    }
    for (size_t i = 0; i < config_field_count; i++) {
        if (!config_fields[i].hidden)
            field_describe(&config_fields[i], "", out);
    }
    for (size_t i = 0; i < config_listener_field_count; i++)
        field_describe(&config_listener_fields[i], "listeners[].", out);
    for (size_t i = 0; i < config_tls_field_count; i++)
        field_describe(&config_tls_fields[i], "tls.NAME.", out);
    for (size_t i = 0; i < config_certificate_field_count; i++)
        field_describe(&config_certificate_fields[i], "tls.NAME.more_certificates[].", out);
}
