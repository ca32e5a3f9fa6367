#include "broker/cli/topology_commands.h"

#include "broker/cli/options.h"
#include "broker/control/client.h"
#include "broker/control/control.h"
#include "broker/topology/configuration.h"
#include "broker/topology/write.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define EXIT_CHANGES 2

#define OPTION_DATA_DIR                                                                            \
    {                                                                                              \
        .letter = 'd', .name = "data-dir", .argument = "DIR",                                      \
        .doc = "The data directory of the running broker. Default: what the file says, else "      \
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
    .doc = "Show what railmq apply would change in the running broker. Exit status 0: nothing; 2: "
           "something; 1: an error, or a change that is refused.",
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
    .doc = "Print what exists in the running broker as a configuration file.",
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

/* Sends the request to the broker of the directory, and prints what comes. `text` gets what stands
 * at the end. */
static bool
ask(const struct command *command, const char *directory, const char *request, struct bytes body,
    char *text, size_t text_size)
{
    struct control_connection c;
    char problem[512];
    bool fine = false;
    const struct control_watcher watcher = { .data = print_data };
    text[0] = 0;
    switch (control_open(&c, directory, problem, sizeof(problem))) {
    case CONTROL_THERE:
        fine = control_ask_about(&c, request, body, &watcher, text, text_size);
        fflush(stdout);
        if (!fine)
            fprintf(stderr, "%s: %s\n", command->name, text);
        break;
    case CONTROL_ABSENT:
        fprintf(stderr,
                "%s: no broker runs on %s; start it, or name the directory with --data-dir\n",
                command->name, directory);
        break;
    case CONTROL_UNREACHABLE:
        fprintf(stderr, "%s: %s\n", command->name, problem);
        break;
    }
    control_close(&c);
    return fine;
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

static int
send_topology(const struct command *command, const char *verb, const struct options *o,
              const struct topology *t, const char *directory, const char *path)
{
    struct buf body = { 0 };
    char request[CONTROL_REQUEST_MAX];
    char text[CONTROL_LINE_MAX];
    char real[PATH_MAX];
    const char *origin = options_get(o, "origin");
    if (origin == NULL)
        origin = realpath(path, real) == NULL ? path : real;
    int status = EXIT_FAILED;
    const bool is_coloured = isatty(STDOUT_FILENO) && getenv("NO_COLOR") == NULL;
    const int size =
        snprintf(request, sizeof(request), "%s %s%s%s%sorigin=%s", verb,
                 options_has(o, "prune") ? "prune " : "", options_has(o, "force") ? "force " : "",
                 options_has(o, "json") ? "json " : "", is_coloured ? "colour " : "", origin);
    topology_write(t, WRITE_FOR_BROKER, &body);
    if (size < 0 || (size_t)size >= sizeof(request) - 64 || strchr(origin, '\n') != NULL)
        fprintf(stderr, "%s: the name of the origin is too long, or has line ends\n",
                command->name);
    else if (body.size > CONTROL_BODY_MAX)
        fprintf(stderr, "%s: %s is larger than %u MiB, more than the broker takes at a time\n",
                command->name, path, CONTROL_BODY_MAX >> 20);
    else if (ask(command, directory, request, buf_bytes(&body), text, sizeof(text)))
        status = status_of(command, verb, text);
    buf_fini(&body);
    return status;
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

int
export_main(int argc, char **argv)
{
    struct options o;
    struct config config;
    char text[CONTROL_LINE_MAX];
    int status;
    if (parse(&o, &export_command, argc, argv, &status)) {
        config_init(&config);
        status = ask(&export_command, directory_of(&o, &config), "export", BYTES_NONE, text,
                     sizeof(text))
                     ? EXIT_FINE
                     : EXIT_FAILED;
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
