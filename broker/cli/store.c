#include "broker/cli/store.h"

#include "broker/base/fault.h"
#include "broker/cli/manual.h"
#include "broker/cli/options.h"
#include "broker/cli/settings.h"
#include "broker/cli/store_commands.h"
#include "broker/config/text.h"

#include <stdio.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define HELP_INDENT 11

#define OPTION_CONFIG                                                                              \
    {                                                                                              \
        .letter = 'c', .name = "config", .argument = "FILE",                                       \
        .doc = "Take the data directory from this configuration file of the broker."               \
    }
#define OPTION_DATA_DIR                                                                            \
    {                                                                                              \
        .letter = 'd', .name = "data-dir", .argument = "DIR", .path = "server.data_dir"            \
    }

static const struct option plain_options[] = { OPTION_CONFIG, OPTION_DATA_DIR };

static const struct option info_options[] = {
    OPTION_CONFIG,
    OPTION_DATA_DIR,
    { .letter = 'j', .name = "json", .doc = "Print JSON." },
};

static const struct option backup_options[] = {
    OPTION_CONFIG,
    OPTION_DATA_DIR,
    { .name = "no-verify", .doc = "Do not read the backup again to see whether it is sound." },
};

struct invocation {
    const char *data_dir;
    const struct options *options;
};

static bool
has(const struct options *options, const char *name)
{
    for (size_t i = 0; i < options->value_count; i++) {
        if (strcmp(options->values[i].option->name, name) == 0)
            return true;
    }
    return false;
}

static int
run_info(const struct invocation *i)
{
    return store_info(i->data_dir, has(i->options, "json"));
}

static int
run_verify(const struct invocation *i)
{
    return store_verify(i->data_dir);
}

static int
run_backup(const struct invocation *i)
{
    return store_backup(i->data_dir, i->options->arguments[0], !has(i->options, "no-verify"));
}

static int
run_restore(const struct invocation *i)
{
    return store_restore(i->data_dir, i->options->arguments[0]);
}

static int
run_salvage(const struct invocation *i)
{
    return store_save(i->data_dir, i->options->arguments[0]);
}

static const struct store_command {
    const char *name;
    const char *summary;
    int (*run)(const struct invocation *i);
    struct command command;
} commands[] = {
    { "info",
      "Say how large the store is and what is in it.",
      run_info,
      { .name = "railmq store info",
        .arguments = "",
        .doc =
            "Say how large the store is, and how many messages each durable queue has in it. The "
            "broker may be running. Octets are those of the messages' bodies.",
        .options = info_options,
        .option_count = COUNT(info_options) } },
    { "verify",
      "Read all of the store and check it.",
      run_verify,
      { .name = "railmq store verify",
        .arguments = "",
        .doc =
            "Read every row of the store, compare its checksums, decode it, and name each one "
            "that is damaged. Nothing is changed. The broker may be running. A backup is verified "
            "with --data-dir BACKUP.",
        .options = plain_options,
        .option_count = COUNT(plain_options) } },
    { "backup",
      "Copy the store, also of a running broker.",
      run_backup,
      { .name = "railmq store backup",
        .arguments = "DIR",
        .argument_min = 1,
        .argument_max = 1,
        .doc =
            "Copy the store into DIR, which must be empty or not exist, and verify the copy. The "
            "broker may be running: the copy is as of one moment, and every message that was "
            "confirmed before is in it. On the same file system the tables are linked and take "
            "no room of their own at first.",
        .options = backup_options,
        .option_count = COUNT(backup_options) } },
    { "restore",
      "Make a store of a backup.",
      run_restore,
      { .name = "railmq store restore",
        .arguments = "DIR",
        .argument_min = 1,
        .argument_max = 1,
        .doc =
            "Verify the backup in DIR and copy it into the data directory, which must be empty "
            "or not exist. No broker may run on it. Run by root, it gives the files to the owner "
            "of the data directory.",
        .options = plain_options,
        .option_count = COUNT(plain_options) } },
    { "salvage",
      "Make a new store of what can be read of a damaged one.",
      run_salvage,
      { .name = "railmq store salvage",
        .arguments = "DIR",
        .argument_min = 1,
        .argument_max = 1,
        .doc =
            "Read a store that the broker refuses because it is damaged, and write what can be "
            "read of it into DIR, a data directory that must be empty or not exist. The damaged "
            "store is not changed. What is damaged is named as verify does, and for each queue it "
            "is told how many messages are saved and lost. Messages that were acknowledged may "
            "come back if the rows that told so are damaged. No broker may run on either. The "
            "exit status is 0 if nothing was damaged, else 1.",
        .options = plain_options,
        .option_count = COUNT(plain_options) } },
};

static void
print(FILE *stream, struct buf *text)
{
    if (text->size > 0)
        fwrite(text->data, 1, text->size, stream);
    fflush(stream);
    buf_fini(text);
}

static int
explain(void)
{
    struct buf out = { 0 };
    if (help_form() != HELP_TEXT) {
        for (size_t i = 0; i < COUNT(commands); i++)
            manual_command(&commands[i].command, &out);
        print(stdout, &out);
        return EXIT_FINE;
    }
    buf_printf(&out, "Usage: railmq store COMMAND [OPTION]...\n\nCommands:\n");
    for (size_t i = 0; i < COUNT(commands); i++) {
        buf_printf(&out, "  %s", commands[i].name);
        text_wrap(&out, commands[i].summary, HELP_INDENT);
    }
    buf_printf(&out, "\nrailmq store COMMAND --help lists the options of a command.\n");
    print(stdout, &out);
    return EXIT_FINE;
}

static int
unknown(const char *name)
{
    struct buf out = { 0 };
    struct suggestion s = { .text = bytes_of_string(name) };
    for (size_t i = 0; i < COUNT(commands); i++)
        suggestion_offer(&s, bytes_of_string(commands[i].name));
    buf_printf(&out, "railmq store: unknown command ");
    text_quote(&out, bytes_of_string(name));
    if (s.best.size > 0)
        buf_printf(&out, " (did you mean %.*s?)", BYTES_ARGS(s.best));
    buf_printf(&out, "; see railmq store --help\n");
    print(stderr, &out);
    return EXIT_USAGE;
}

static int
run(const struct store_command *c, const struct options *options, struct buf *report)
{
    struct config config;
    const int status = settings_apply(&c->command, options, &config, report);
    struct fault fault;
    if (status != EXIT_FINE)
        return status;
    if (fault_parse(bytes_of_string(config.testing.fault), &fault))
        fault_arm(&fault);
    return c->run(&(struct invocation){ config.server.data_dir, options });
}

int
store_main(int argc, char **argv)
{
    const struct store_command *c = NULL;
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return explain();
    for (size_t i = 0; i < COUNT(commands); i++)
        c = strcmp(commands[i].name, argv[1]) == 0 ? &commands[i] : c;
    if (c == NULL)
        return unknown(argv[1]);
    struct options options;
    struct buf report = { 0 };
    struct buf help = { 0 };
    int status = EXIT_FINE;
    const enum options_result result =
        options_parse(&options, &c->command, argc - 1, argv + 1, &report);
    if (result == OPTIONS_HELP)
        options_help(&c->command, &help);
    else
        status = result == OPTIONS_WRONG ? EXIT_USAGE : run(c, &options, &report);
    print(stdout, &help);
    print(stderr, &report);
    options_fini(&options);
    return status;
}
