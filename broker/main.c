/* The executable: finds the subcommand and runs it. Everything it can do is a row of `commands`. */

#include "broker/cli/admin_commands.h"
#include "broker/cli/certs.h"
#include "broker/cli/hash_password.h"
#include "broker/cli/manual.h"
#include "broker/cli/options.h"
#include "broker/cli/schema.h"
#include "broker/cli/settings.h"
#include "broker/cli/store.h"
#include "broker/cli/topology_commands.h"
#include "broker/config/text.h"
#include "broker/perf/perf.h"
#include "broker/session/serve.h"

#include <stdio.h>

#define HELP_INDENT 20

static int help_main(int argc, char **argv);

static int
serve_main(int argc, char **argv)
{
    static struct serve_setup setup;
    int status;
    if (!settings_read(argc, argv, &setup, &status))
        return status;
    status = serve_run(&setup);
    topology_fini(&setup.topology);
    return status;
}

/* `run` gets the command's own name as argv[0]. A row without a name is a heading. */
static const struct subcommand {
    const char *name;
    const char *doc;
    int (*run)(int argc, char **argv);
} commands[] = {
    { NULL, "The broker", NULL },
    { "serve", "Run the broker.", serve_main },
    { "check", "Check a configuration file, or RabbitMQ's definitions.", settings_check },
    { "schema", "Print a JSON Schema of the configuration file, for editors.", schema_main },
    { "certs", "Make certificates for TLS.", certs_main },
    { "hash-password", "Print the hash of a password, for the configuration file.",
      hash_password_main },
    { "store", "Look at, verify, back up or restore the store.", store_main },
    { "perf", "Put load on a broker and measure it.", perf_main },
    { NULL, "What exists in a broker", NULL },
    { "plan", "Show what applying a file would change.", plan_main },
    { "apply", "Make what exists what a file says.", apply_main },
    { "export", "Print what exists as a configuration file.", export_main },
    { "import", "Turn RabbitMQ's definitions into a configuration file, or apply them.",
      import_main },
    { NULL, "How a running broker is", NULL },
    { "status", "Its listeners, alarms, memory, disk and counts.", status_main },
    { "list-queues", "Queues and the messages in them.", list_main },
    { "list-exchanges", "Exchanges.", list_main },
    { "list-bindings", "Bindings.", list_main },
    { "list-policies", "Policies.", list_main },
    { "list-operator-policies", "Operator policies.", list_main },
    { "list-users", "Users and their tags.", list_main },
    { "list-permissions", "What users may do in a virtual host.", list_main },
    { "list-topic-permissions", "Routing keys that users may use.", list_main },
    { "list-vhosts", "Virtual hosts.", list_main },
    { "list-connections", "Connections of clients.", list_main },
    { "list-channels", "Channels of connections.", list_main },
    { "list-consumers", "Consumers of queues.", list_main },
    { NULL, "Help", NULL },
    { "help",
      "Explain a command (railmq help serve) or the configuration file (railmq help config), or "
      "print railmq.1, railmq.yaml.5 (manual pages) or railmq.bash (completion).",
      help_main },
};
#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

/* "list_queues" is the same as "list-queues": other brokers have taught it to people's hands. */
static bool
name_matches(const char *name, const char *written)
{
    size_t i = 0;
    while (name[i] != 0 && (name[i] == written[i] || (name[i] == '-' && written[i] == '_')))
        i++;
    return name[i] == 0 && written[i] == 0;
}

static const struct subcommand *
command_find(const char *name)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (commands[i].name != NULL && name_matches(commands[i].name, name))
            return &commands[i];
    }
    return NULL;
}

/* The command gets its own name as argv[0], however it was written. */
static int
command_run(const struct subcommand *command, int argc, char **argv)
{
    char name[64];
    snprintf(name, sizeof(name), "%s", command->name);
    argv[0] = name;
    return command->run(argc, argv);
}

static int
print(struct buf *text)
{
    fwrite(text->data, 1, text->size, stdout);
    buf_fini(text);
    return EXIT_FINE;
}

static int
explain(void)
{
    struct buf out = { 0 };
    buf_printf(&out, "railmq %s, a message broker that speaks AMQP 0-9-1.\n\n", RAIL_VERSION);
    buf_printf(&out, "Usage: railmq COMMAND [OPTION]...\n       railmq --help | --version\n\n");
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        const struct subcommand *c = &commands[i];
        if (c->name == NULL) {
            buf_printf(&out, i == 0 ? "%s:\n" : "\n%s:\n", c->doc);
            continue;
        }
        buf_printf(&out, "  %s", c->name);
        text_wrap(&out, c->doc, HELP_INDENT);
    }
    buf_printf(&out, "\nrailmq COMMAND --help lists the options of a command.\n");
    buf_printf(&out, "Exit status: %d fine, %d failed, %d wrong usage.\n", EXIT_FINE, EXIT_FAILED,
               EXIT_USAGE);
    return print(&out);
}

static int
unknown_command(const char *name)
{
    struct buf quoted = { 0 };
    struct suggestion s = { .text = bytes_of_string(name) };
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (commands[i].name != NULL)
            suggestion_offer(&s, bytes_of_string(commands[i].name));
    text_quote(&quoted, bytes_of_string(name));
    fprintf(stderr, "railmq: unknown command %.*s", BYTES_ARGS(buf_bytes(&quoted)));
    if (s.best.size > 0)
        fprintf(stderr, " (did you mean %.*s?)", BYTES_ARGS(s.best));
    fprintf(stderr, "; see railmq --help\n");
    buf_fini(&quoted);
    return EXIT_USAGE;
}

static void
ask_for_help(const struct subcommand *command)
{
    struct buf out = { 0 };
    char option[] = "--help";
    char *words[] = { option, option, NULL };
    if (command->run == perf_main) {
        manual_perf(&out);
        print(&out);
    } else {
        command_run(command, 2, words);
    }
}

static int
print_manual(enum manual manual)
{
    struct buf out = { 0 };
    help_form_set(manual_form(manual));
    manual_begin(manual, &out);
    for (size_t i = 0; manual_is_of_commands(manual) && i < COMMAND_COUNT; i++)
        manual_subcommand(commands[i].name, commands[i].doc, &out);
    manual_go_on(manual, &out);
    print(&out);
    for (size_t i = 0; manual_is_of_commands(manual) && i < COMMAND_COUNT; i++)
        if (commands[i].run != NULL && commands[i].run != help_main)
            ask_for_help(&commands[i]);
    manual_end(manual, &out);
    return print(&out);
}

static int
help_main(int argc, char **argv)
{
    if (argc < 2 || strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0)
        return explain();
    if (strcmp(argv[1], "config") == 0) {
        struct buf out = { 0 };
        settings_help(&out);
        return print(&out);
    }
    enum manual manual;
    if (manual_find(argv[1], &manual))
        return print_manual(manual);
    const struct subcommand *command = command_find(argv[1]);
    if (command == NULL)
        return unknown_command(argv[1]);
    char option[] = "--help";
    char *words[] = { argv[1], option, NULL };
    return command_run(command, 2, words);
}

static bool
is_either(const char *word, const char *letter, const char *name)
{
    return strcmp(word, letter) == 0 || strcmp(word, name) == 0;
}

int
main(int argc, char **argv)
{
    if (argc < 2 || is_either(argv[1], "-h", "--help"))
        return explain();
    if (is_either(argv[1], "-V", "--version")) {
        printf("railmq %s\n", RAIL_VERSION);
        return EXIT_FINE;
    }
    const struct subcommand *command = command_find(argv[1]);
    if (command == NULL)
        return unknown_command(argv[1]);
    return command_run(command, argc - 1, argv + 1);
}
