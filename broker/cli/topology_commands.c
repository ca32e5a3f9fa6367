#include "broker/cli/topology_commands.h"

#include "broker/base/log.h"
#include "broker/cli/options.h"
#include "broker/control/client.h"
#include "broker/control/control.h"
#include "broker/topology/apply.h"
#include "broker/topology/configuration.h"
#include "broker/topology/current.h"
#include "broker/topology/stopped.h"
#include "broker/topology/write.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define EXIT_CHANGES 2

#define OPTION_DATA_DIR                                                                            \
    {                                                                                              \
        .letter = 'd', .name = "data-dir", .argument = "DIR",                                      \
        .doc = "The data directory of the broker. Default: what the file says, else "              \
               "/var/lib/railmq."                                                                  \
    }
#define OPTION_JSON                                                                                \
    {                                                                                              \
        .letter = 'j', .name = "json", .doc = "Print the changes as JSON."                         \
    }
#define OPTION_PRUNE                                                                               \
    {                                                                                              \
        .letter = 'p', .name = "prune",                                                            \
        .doc = "Delete what this file has made and no longer lists. Queues that hold messages "    \
               "are refused."                                                                      \
    }
#define OPTION_FORCE                                                                               \
    {                                                                                              \
        .letter = 'f', .name = "force", .doc = "Delete queues also with the messages they hold."   \
    }
#define OPTION_ORIGIN                                                                              \
    {                                                                                              \
        .name = "origin", .argument = "NAME",                                                      \
        .doc = "The name of this configuration, which says what --prune may delete. Default: the " \
               "path of the file."                                                                 \
    }

static const struct option plan_options[] = { OPTION_DATA_DIR, OPTION_JSON, OPTION_PRUNE,
                                              OPTION_FORCE, OPTION_ORIGIN };
static const struct option export_options[] = { OPTION_DATA_DIR };
static const struct option import_options[] = {
    OPTION_DATA_DIR,
    OPTION_JSON,
    { .letter = 'a',
      .name = "apply",
      .doc = "Apply it to the running broker, instead of printing." },
};

static const struct command plan_command = {
    .name = "railmq plan",
    .arguments = "FILE",
    .argument_min = 1,
    .argument_max = 1,
    .doc = "Show what railmq apply would change in the broker; if it does not run, what starting "
           "it with the file would. Exit status 0: nothing; 2: something; 1: an error, or a "
           "change that is refused.",
    .options = plan_options,
    .option_count = sizeof(plan_options) / sizeof(plan_options[0]),
};

static const struct command apply_command = {
    .name = "railmq apply",
    .arguments = "FILE",
    .argument_min = 1,
    .argument_max = 1,
    .doc = "Make what exists in the running broker what the file says. If anything is wrong with "
           "the file, or any change is refused, nothing is changed.",
    .options = plan_options,
    .option_count = sizeof(plan_options) / sizeof(plan_options[0]),
};

static const struct command export_command = {
    .name = "railmq export",
    .arguments = "",
    .doc = "Print what exists in the broker as a configuration file. If it does not run, its store "
           "is read.",
    .options = export_options,
    .option_count = sizeof(export_options) / sizeof(export_options[0]),
};

static const struct command import_command = {
    .name = "railmq import",
    .arguments = "FILE",
    .argument_min = 1,
    .argument_max = 1,
    .doc = "Print definitions that RabbitMQ has exported (JSON) as a configuration file, or apply "
           "them.",
    .options = import_options,
    .option_count = sizeof(import_options) / sizeof(import_options[0]),
};

static void
put(FILE *stream, const struct buf *text)
{
    if (text->size > 0)
        fwrite(text->data, 1, text->size, stream);
}

/* False: the process exits with `status`. */
static bool
parse(struct options *o, const struct command *command, int argc, char **argv, int *status)
{
    struct buf error = { 0 };
    struct buf help = { 0 };
    const enum options_result result = options_parse(o, command, argc, argv, &error);
    *status = result == OPTIONS_WRONG ? EXIT_USAGE : EXIT_FINE;
    put(stderr, &error);
    if (result == OPTIONS_HELP) {
        options_help(command, &help);
        put(stdout, &help);
    }
    buf_fini(&error);
    buf_fini(&help);
    return result == OPTIONS_FINE;
}

static void
print_data(void *context, struct bytes octets)
{
    (void)context;
    fwrite(octets.data, 1, octets.size, stdout);
}

enum asked {
    ASKED_FINE,
    ASKED_FAILED, /* It has been said why. */
    ASKED_NOBODY, /* No broker runs on the directory. */
};

/* Sends the request to the broker of the directory, and prints what comes. `text` gets what stands
 * at the end. */
static enum asked
ask(const struct command *command, const char *directory, const char *request, struct bytes body,
    char *text, size_t text_size)
{
    struct control_connection c;
    const struct control_watcher watcher = { .data = print_data };
    enum asked asked = ASKED_NOBODY;
    text[0] = 0;
    const enum control_found found = control_open(&c, directory, text, text_size);
    if (found == CONTROL_THERE) {
        asked = control_ask_about(&c, request, body, &watcher, text, text_size) ? ASKED_FINE
                                                                                : ASKED_FAILED;
        fflush(stdout);
    } else if (found == CONTROL_UNREACHABLE) {
        asked = ASKED_FAILED;
    }
    if (asked == ASKED_FAILED)
        fprintf(stderr, "%s: %s\n", command->name, text);
    control_close(&c);
    return asked;
}

/* The broker of the directory does not run: what does its store tell? Says so in any case. */
static bool
open_stopped(const struct command *command, const char *directory, struct stopped_broker *s)
{
    char problem[2048];
    log_set_level(LOG_LEVEL_ERROR);
    const bool is_open = stopped_broker_open(s, directory, problem, sizeof(problem));
    if (is_open)
        fprintf(stderr,
                "%s: no broker runs on %s: this is from its store, as a start would find it\n",
                command->name, directory);
    else
        fprintf(stderr, "%s: no broker runs on %s: %s\n", command->name, directory, problem);
    return is_open;
}

/* Everything that is wrong goes to stderr. */
static bool
read_file(struct configuration *c, const char *path, struct config *config)
{
    struct buf report = { 0 };
    config_init(config);
    const bool fine = configuration_read(c, path, config);
    diagnostics_print(&c->document.diagnostics, &report);
    put(stderr, &report);
    buf_fini(&report);
    return fine;
}

static const char *
directory_of(const struct options *o, const struct config *config)
{
    const char *given = options_get(o, "data-dir");
    return given != NULL ? given : config->server.data_dir;
}

static bool
starts_with(const char *text, const char *word)
{
    return strncmp(text, word, strlen(word)) == 0;
}

/* The broker says in one word how it went, and then in a sentence. */
static int
status_of(const struct command *command, const char *verb, const char *answer)
{
    if (starts_with(answer, "nothing"))
        return EXIT_FINE;
    if (starts_with(answer, "done"))
        return strcmp(verb, "plan") == 0 ? EXIT_CHANGES : EXIT_FINE;
    const char *sentence = strchr(answer, ' ');
    fprintf(stderr, "%s: %s\n", command->name, sentence == NULL ? answer : sentence + 1);
    return EXIT_FAILED;
}

/* What is wanted of the broker, and from whom. */
struct errand {
    const struct command *command;
    const char *verb; /* "plan" or "apply". */
    const struct options *options;
    const struct topology *wanted;
    const char *directory;
    const char *path;   /* Of the file. */
    const char *origin; /* The name of this configuration. */
};

static bool
colours(void)
{
    return isatty(STDOUT_FILENO) && getenv("NO_COLOR") == NULL;
}

static int
plan_stopped(const struct errand *e)
{
    struct stopped_broker stopped;
    struct apply_result result;
    struct buf text = { 0 };
    if (!open_stopped(e->command, e->directory, &stopped))
        return EXIT_FAILED;
    apply_topology(
        &(const struct apply_request){
            .broker = &stopped.broker,
            .wanted = e->wanted,
            .rules = apply_rules(e->wanted, options_has(e->options, "prune"),
                                 options_has(e->options, "force")),
            .origin = bytes_of_string(e->origin),
            .is_plan_only = true,
        },
        &result);
    if (options_has(e->options, "json"))
        plan_print_json(&result.plan, &text);
    else
        plan_print(&result.plan, colours(), &text);
    put(stdout, &text);
    fflush(stdout);
    text.size = 0;
    apply_answer(&result, &text);
    buf_append(&text, "", 1);
    const int status = status_of(e->command, e->verb, (const char *)text.data);
    buf_fini(&text);
    apply_result_fini(&result);
    stopped_broker_close(&stopped);
    return status;
}

static int
nobody_applies(const struct errand *e)
{
    fprintf(stderr,
            "%s: no broker runs on %s: start it, and apply then; or start it with railmq serve "
            "--config and this file, which it applies itself. railmq plan shows what would "
            "change\n",
            e->command->name, e->directory);
    return EXIT_FAILED;
}

static int
send_document(const struct errand *e, const char *request, struct bytes document)
{
    char text[CONTROL_LINE_MAX];
    switch (ask(e->command, e->directory, request, document, text, sizeof(text))) {
    case ASKED_FINE:
        return status_of(e->command, e->verb, text);
    case ASKED_NOBODY:
        return strcmp(e->verb, "plan") == 0 ? plan_stopped(e) : nobody_applies(e);
    case ASKED_FAILED:
        break;
    }
    return EXIT_FAILED;
}

static int
send_errand(const struct errand *e)
{
    struct buf body = { 0 };
    char request[CONTROL_REQUEST_MAX];
    int status = EXIT_FAILED;
    const struct options *o = e->options;
    const int size =
        snprintf(request, sizeof(request), "%s %s%s%s%sorigin=%s", e->verb,
                 options_has(o, "prune") ? "prune " : "", options_has(o, "force") ? "force " : "",
                 options_has(o, "json") ? "json " : "", colours() ? "colour " : "", e->origin);
    topology_write(e->wanted, WRITE_FOR_BROKER, &body);
    if (size < 0 || (size_t)size >= sizeof(request) - 64 || strchr(e->origin, '\n') != NULL)
        fprintf(stderr, "%s: the name of the origin is too long, or has line ends\n",
                e->command->name);
    else if (body.size > CONTROL_BODY_MAX)
        fprintf(stderr, "%s: %s is larger than %u MiB, more than the broker takes at a time\n",
                e->command->name, e->path, CONTROL_BODY_MAX >> 20);
    else
        status = send_document(e, request, buf_bytes(&body));
    buf_fini(&body);
    return status;
}

static int
send_topology(const struct command *command, const char *verb, const struct options *o,
              const struct topology *t, const char *directory, const char *path)
{
    char real[PATH_MAX];
    const char *origin = options_get(o, "origin");
    if (origin == NULL)
        origin = realpath(path, real) == NULL ? path : real;
    return send_errand(&(const struct errand){ command, verb, o, t, directory, path, origin });
}

static int
plan_or_apply(const struct command *command, const char *verb, int argc, char **argv)
{
    struct options o;
    struct configuration c;
    struct config config;
    int status;
    if (parse(&o, command, argc, argv, &status)) {
        const char *path = o.arguments[0];
        status = EXIT_FAILED;
        if (read_file(&c, path, &config))
            status = send_topology(command, verb, &o, &c.topology, directory_of(&o, &config), path);
        configuration_fini(&c);
    }
    options_fini(&o);
    return status;
}

int
plan_main(int argc, char **argv)
{
    return plan_or_apply(&plan_command, "plan", argc, argv);
}

int
apply_main(int argc, char **argv)
{
    return plan_or_apply(&apply_command, "apply", argc, argv);
}

static int
export_stopped(const char *directory)
{
    struct stopped_broker stopped;
    struct topology t;
    struct buf text = { 0 };
    if (!open_stopped(&export_command, directory, &stopped))
        return EXIT_FAILED;
    topology_init(&t);
    current_read(&stopped.broker, BYTES_NONE, &t);
    topology_write(&t, WRITE_FOR_PEOPLE, &text);
    put(stdout, &text);
    buf_fini(&text);
    topology_fini(&t);
    stopped_broker_close(&stopped);
    return EXIT_FINE;
}

static int
export_from(const char *directory)
{
    char text[CONTROL_LINE_MAX];
    switch (ask(&export_command, directory, "export", BYTES_NONE, text, sizeof(text))) {
    case ASKED_FINE:
        return EXIT_FINE;
    case ASKED_NOBODY:
        return export_stopped(directory);
    case ASKED_FAILED:
        break;
    }
    return EXIT_FAILED;
}

int
export_main(int argc, char **argv)
{
    struct options o;
    struct config config;
    int status;
    if (parse(&o, &export_command, argc, argv, &status)) {
        config_init(&config);
        status = export_from(directory_of(&o, &config));
    }
    options_fini(&o);
    return status;
}

static int
import_file(const struct options *o)
{
    struct configuration c;
    struct config config;
    struct buf text = { 0 };
    const char *path = o->arguments[0];
    int status = EXIT_FAILED;
    if (read_file(&c, path, &config)) {
        status = EXIT_FINE;
        if (options_has(o, "apply")) {
            status = send_topology(&import_command, "apply", o, &c.topology,
                                   directory_of(o, &config), path);
        } else {
            topology_write(&c.topology, WRITE_FOR_PEOPLE, &text);
            put(stdout, &text);
        }
    }
    buf_fini(&text);
    configuration_fini(&c);
    return status;
}

int
import_main(int argc, char **argv)
{
    struct options o;
    int status;
    if (parse(&o, &import_command, argc, argv, &status))
        status = import_file(&o);
    options_fini(&o);
    return status;
}
