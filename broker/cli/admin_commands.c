#include "broker/cli/admin_commands.h"

#include "broker/cli/manual.h"
#include "broker/cli/options.h"
#include "broker/cli/render.h"
#include "broker/cli/settings.h"
#include "broker/config/text.h"
#include "broker/control/client.h"
#include "broker/control/control.h"
#include "broker/session/listings.h"

#include <stdio.h>
#include <unistd.h>

#define HELP_INDENT 27
#define LIST_PREFIX "list-"

#define OPTIONS_OF_ALL                                                                             \
    { .letter = 'c',                                                                               \
      .name = "config",                                                                            \
      .argument = "FILE",                                                                          \
      .doc = "Take the data directory from this configuration file of the broker." },              \
        { .letter = 'd',                                                                           \
          .name = "data-dir",                                                                      \
          .argument = "DIR",                                                                       \
          .path = "server.data_dir",                                                               \
          .doc = "The data directory of the running broker, in which its control socket is." },    \
        { .letter = 'f',                                                                           \
          .name = "format",                                                                        \
          .argument = "FORMAT",                                                                    \
          .doc = "table, tsv, csv or json. Default: table on a terminal, else tsv." },             \
    {                                                                                              \
        .letter = 'q', .name = "quiet", .doc = "Print no header."                                  \
    }

static const struct option plain_options[] = { OPTIONS_OF_ALL };

#define OPTION_VHOST                                                                               \
    {                                                                                              \
        .letter = 'p', .name = "vhost", .argument = "NAME",                                        \
        .doc = "The virtual host that is listed. Default: /."                                      \
    }

static const struct option vhost_options[] = { OPTIONS_OF_ALL, OPTION_VHOST };

/* In a virtual host, and with a column of details. */
static const struct option detail_options[] = {
    OPTIONS_OF_ALL,
    OPTION_VHOST,
    { .letter = 'v',
      .name = "verbose",
      .doc = "Add the column of details, which is the last one below." },
};
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct command status_command = {
    .name = "railmq status",
    .arguments = "",
    .doc = "Say how the running broker is: its listeners, alarms and why they are on, memory, disk "
           "and store, and how much there is of everything.",
    .options = plain_options,
    .option_count = COUNT(plain_options),
};

static void
print(FILE *stream, struct buf *text)
{
    if (text->size > 0)
        fwrite(text->data, 1, text->size, stream);
    fflush(stream);
    buf_fini(text);
}

static void
collect(void *context, struct bytes octets)
{
    buf_append_bytes(context, octets);
}

/* What the broker answers; false after a line in `report`. */
static bool
ask(const char *directory, const struct buf *request, struct buf *rows, struct buf *report)
{
    struct control_connection c;
    char text[2 * CONTROL_LINE_MAX];
    const struct control_watcher watcher = { .data = collect, .context = rows };
    bool is_fine = false;
    switch (control_open(&c, directory, text, sizeof(text))) {
    case CONTROL_THERE:
        is_fine = control_ask(&c, (const char *)request->data, &watcher, text, sizeof(text));
        break;
    case CONTROL_ABSENT:
        snprintf(text, sizeof(text),
                 "no broker runs on %s; start it, or name its directory with --data-dir",
                 directory);
        break;
    case CONTROL_UNREACHABLE:
        break;
    }
    if (!is_fine)
        buf_printf(report, "%s\n", text);
    control_close(&c);
    return is_fine;
}

typedef void render_function(struct bytes rows, enum render_format format, bool has_header,
                             struct buf *out);

static int
ask_and_print(const struct command *command, const struct options *options,
              const struct buf *request, render_function *render, struct buf *report)
{
    struct config config;
    struct buf rows = { 0 };
    struct buf out = { 0 };
    enum render_format format = isatty(STDOUT_FILENO) ? RENDER_TABLE : RENDER_TSV;
    const char *name = options_get(options, "format");
    if (name != NULL && !render_format_find(name, &format)) {
        buf_printf(report, "%s: --format must be table, tsv, csv or json\n", command->name);
        return EXIT_USAGE;
    }
    int status = settings_apply(command, options, &config, report);
    if (status != EXIT_FINE)
        return status;
    if (request->size >= CONTROL_REQUEST_MAX) {
        buf_printf(report, "%s: too many columns\n", command->name);
        return EXIT_USAGE;
    }
    buf_printf(report, "%s: ", command->name);
    if (ask(config.server.data_dir, request, &rows, report)) {
        report->size = 0;
        render(buf_bytes(&rows), format, !options_has(options, "quiet"), &out);
    } else {
        status = EXIT_FAILED;
    }
    buf_fini(&rows);
    print(stdout, &out);
    return status;
}

int
status_main(int argc, char **argv)
{
    struct options options;
    struct buf report = { 0 };
    struct buf help = { 0 };
    struct buf request = { 0 };
    int status = EXIT_FINE;
    buf_append(&request, "status", sizeof("status"));
    switch (options_parse(&options, &status_command, argc, argv, &report)) {
    case OPTIONS_FINE:
        status = ask_and_print(&status_command, &options, &request, render_status, &report);
        break;
    case OPTIONS_HELP:
        options_help(&status_command, &help);
        break;
    case OPTIONS_WRONG:
        status = EXIT_USAGE;
        break;
    }
    buf_fini(&request);
    print(stdout, &help);
    print(stderr, &report);
    options_fini(&options);
    return status;
}

static bool
is_named(struct bytes words, const char *name)
{
    struct buf scratch = { 0 };
    struct bytes word;
    bool is_found = false;
    while (!is_found && words_next(&words, &scratch, &word))
        is_found = bytes_equal(word, bytes_of_string(name));
    buf_fini(&scratch);
    return is_found;
}

/* Behind the columns that are named, or else those that are shown by default. */
static void
put_detail(const struct listing *listing, struct buf *words)
{
    const bool is_any_named = words->size > 0;
    for (size_t i = 0; i < *listing->column_count; i++)
        if (!is_any_named && listing->columns[i].is_default)
            words_put(words, bytes_of_string(listing->columns[i].name));
    if (!is_named(buf_bytes(words), listing->detail))
        words_put(words, bytes_of_string(listing->detail));
}

/* The columns are checked here, too: a wrong name is wrong usage, broker or not. */
static int
run_listing(const struct listing *listing, const struct command *command,
            const struct options *options, struct buf *report)
{
    struct selection selection;
    struct buf words = { 0 };
    struct buf request = { 0 };
    char problem[512];
    const char *vhost = listing->in_vhost ? options_get(options, "vhost") : NULL;
    int status = EXIT_USAGE;
    for (size_t i = 0; i < options->argument_count; i++)
        words_put(&words, bytes_of_string(options->arguments[i]));
    if (listing->detail != NULL && options_has(options, "verbose"))
        put_detail(listing, &words);
    if (selection_parse(&selection, listing->columns, *listing->column_count, buf_bytes(&words),
                        problem, sizeof(problem))) {
        buf_printf(&request, "list %s", listing->name);
        words_put(&request, bytes_of_string(vhost == NULL ? "/" : vhost));
        if (words.size > 0)
            buf_printf(&request, "\t%.*s", BYTES_ARGS(buf_bytes(&words)));
        buf_append(&request, "", 1);
        status = ask_and_print(command, options, &request, render_listing, report);
    } else {
        buf_printf(report, "%s: %s; see %s --help\n", command->name, problem, command->name);
    }
    buf_fini(&words);
    buf_fini(&request);
    return status;
}

static void
page_of_columns(const struct listing *listing, struct buf *out)
{
    struct buf text = { 0 };
    const char *separator = "";
    buf_printf(&text, "Columns, of which these are shown if none is named: ");
    for (size_t i = 0; i < *listing->column_count; i++) {
        if (!listing->columns[i].is_default)
            continue;
        buf_printf(&text, "%s%s", separator, listing->columns[i].name);
        separator = ", ";
    }
    buf_append(&text, ".", 2);
    manual_paragraph(out, (const char *)text.data);
    buf_fini(&text);
}

static void
explain(const struct listing *listing, const struct command *command, struct buf *out)
{
    const bool is_text = help_form() == HELP_TEXT;
    options_help(command, out);
    if (is_text)
        buf_printf(out, "\nColumns (those with a star are shown if none is named):\n");
    else if (help_form() == HELP_PAGE)
        page_of_columns(listing, out);
    for (size_t i = 0; i < *listing->column_count; i++) {
        const struct column *c = &listing->columns[i];
        if (!is_text) {
            manual_word(command, c->name, c->doc, out);
            continue;
        }
        buf_printf(out, "%s%s", c->is_default ? "* " : "  ", c->name);
        text_wrap(out, c->doc, HELP_INDENT);
    }
}

int
list_main(int argc, char **argv)
{
    char name[64];
    char doc[512];
    struct options options;
    struct buf report = { 0 };
    struct buf help = { 0 };
    int status = EXIT_FINE;
    const struct listing *listing = listing_find(bytes_of_string(argv[0] + strlen(LIST_PREFIX)));
    snprintf(name, sizeof(name), "railmq %s", argv[0]);
    snprintf(doc, sizeof(doc),
             "%s A running broker is asked; it answers for one object after another, so the rows "
             "are not of one moment.",
             listing->doc);
    const struct command command = {
        .name = name,
        .arguments = "[COLUMN]...",
        .argument_max = COLUMNS_MAX,
        .doc = doc,
        .options = listing->detail != NULL ? detail_options
                   : listing->in_vhost     ? vhost_options
                                           : plain_options,
        .option_count = listing->detail != NULL ? COUNT(detail_options)
                        : listing->in_vhost     ? COUNT(vhost_options)
                                                : COUNT(plain_options),
    };
    switch (options_parse(&options, &command, argc, argv, &report)) {
    case OPTIONS_FINE:
        status = run_listing(listing, &command, &options, &report);
        break;
    case OPTIONS_HELP:
        explain(listing, &command, &help);
        break;
    case OPTIONS_WRONG:
        status = EXIT_USAGE;
        break;
    }
    print(stdout, &help);
    print(stderr, &report);
    options_fini(&options);
    return status;
}
