#include "broker/cli/options.h"

#include "broker/base/mem.h"
#include "broker/cli/manual.h"
#include "broker/config/text.h"
#include "broker/core/config.h"

#include <stdarg.h>
#include <stdio.h>

#define HELP_INDENT 6
#define ERROR_BYTES_MAX 512

static const struct option option_help = {
    .letter = 'h',
    .name = "help",
    .doc = "Print this text and exit.",
};

/* The walk along a command line. */
struct walk {
    const struct command *command;
    struct options *options;
    char *const *argv;
    int argc;
    int at; /* The next word. */
    bool help;
    struct buf *error;
};

static bool fail(struct walk *w, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool
fail(struct walk *w, const char *format, ...)
{
    char text[ERROR_BYTES_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    buf_printf(w->error, "%s: %s; see %s --help\n", w->command->name, text, w->command->name);
    return false;
}

static const struct option *
option_by_name(const struct command *command, struct bytes name)
{
    for (size_t i = 0; i < command->option_count; i++) {
        if (bytes_equal(name, bytes_of_string(command->options[i].name)))
            return &command->options[i];
    }
    return bytes_equal(name, bytes_of_string(option_help.name)) ? &option_help : NULL;
}

static const struct option *
option_by_letter(const struct command *command, char letter)
{
    for (size_t i = 0; i < command->option_count; i++) {
        if (command->options[i].letter == letter)
            return &command->options[i];
    }
    return letter == option_help.letter ? &option_help : NULL;
}

static bool
fail_unknown(struct walk *w, struct bytes name)
{
    struct suggestion s = { .text = name };
    for (size_t i = 0; i < w->command->option_count; i++)
        suggestion_offer(&s, bytes_of_string(w->command->options[i].name));
    suggestion_offer(&s, bytes_of_string(option_help.name));
    if (s.best.size == 0)
        return fail(w, "unknown option --%.*s", BYTES_ARGS(name));
    return fail(w, "unknown option --%.*s (did you mean --%.*s?)", BYTES_ARGS(name),
                BYTES_ARGS(s.best));
}

/* `attached` is what stood in the same word, or NULL; else the value is the next word. */
static bool
value_take(struct walk *w, const struct option *option, const char *attached)
{
    const char *text = attached;
    if (option == &option_help)
        w->help = true;
    if (option->argument == NULL && attached != NULL)
        return fail(w, "--%s takes no value", option->name);
    if (option->argument != NULL && text == NULL) {
        if (w->at == w->argc)
            return fail(w, "--%s needs a value: --%s %s", option->name, option->name,
                        option->argument);
        text = w->argv[w->at++];
    }
    for (size_t i = 0; i < w->options->value_count; i++) {
        if (w->options->values[i].option == option && !option->repeats && option != &option_help)
            return fail(w, "--%s is given twice", option->name);
    }
    w->options->values[w->options->value_count++] =
        (struct option_value){ .option = option, .text = text };
    return true;
}

/* "--name" or "--name=value". */
static bool
long_take(struct walk *w, const char *word)
{
    const size_t size = strcspn(word, "=");
    const struct bytes name = bytes_of(word, size);
    const struct option *option = option_by_name(w->command, name);
    if (option == NULL)
        return fail_unknown(w, name);
    return value_take(w, option, word[size] == '=' ? word + size + 1 : NULL);
}

/* What follows a single dash: switches in a row, the last of which may be an option with the rest
 * of the word, or the next word, as its value. */
static bool
letters_take(struct walk *w, const char *letters)
{
    for (; *letters != 0; letters++) {
        const struct option *option = option_by_letter(w->command, *letters);
        if (option == NULL)
            return fail(w, "unknown option -%c", *letters);
        if (option->argument != NULL)
            return value_take(w, option, letters[1] == 0 ? NULL : letters + 1);
        if (!value_take(w, option, NULL))
            return false;
    }
    return true;
}

static bool
argument_take(struct walk *w, const char *word)
{
    if (w->options->argument_count == w->command->argument_max)
        return fail(w, "unexpected argument \"%s\"", word);
    w->options->arguments[w->options->argument_count++] = word;
    return true;
}

static bool
words_take(struct walk *w)
{
    bool only_arguments = false;
    while (w->at < w->argc && !w->help) {
        const char *word = w->argv[w->at++];
        bool fine;
        if (only_arguments || word[0] != '-' || word[1] == 0)
            fine = argument_take(w, word);
        else if (strcmp(word, "--") == 0)
            fine = only_arguments = true;
        else if (word[1] == '-')
            fine = long_take(w, word + 2);
        else
            fine = letters_take(w, word + 1);
        if (!fine)
            return false;
    }
    return true;
}

/* No word gives more values than it has octets. */
static size_t
values_max(int argc, char *const *argv)
{
    size_t max = 0;
    for (int i = 1; i < argc; i++)
        max += strlen(argv[i]) + 1;
    return max;
}

enum options_result
options_parse(struct options *o, const struct command *command, int argc, char *const *argv,
              struct buf *error)
{
    struct walk w = {
        .command = command, .options = o, .argv = argv, .argc = argc, .at = 1, .error = error
    };
    *o = (struct options){ 0 };
    o->values = mem_alloc(values_max(argc, argv) * sizeof(o->values[0]));
    o->arguments = mem_alloc((size_t)(argc > 0 ? argc : 1) * sizeof(o->arguments[0]));
    if (!words_take(&w))
        return OPTIONS_WRONG;
    if (w.help)
        return OPTIONS_HELP;
    if (o->argument_count < command->argument_min) {
        fail(&w, "%s is missing", command->arguments);
        return OPTIONS_WRONG;
    }
    return OPTIONS_FINE;
}

void
options_fini(struct options *o)
{
    mem_free(o->values);
    mem_free(o->arguments);
    *o = (struct options){ 0 };
}

const char *
options_get(const struct options *o, const char *name)
{
    for (size_t i = o->value_count; i > 0; i--) {
        if (strcmp(o->values[i - 1].option->name, name) == 0)
            return o->values[i - 1].text;
    }
    return NULL;
}

bool
options_has(const struct options *o, const char *name)
{
    for (size_t i = 0; i < o->value_count; i++)
        if (strcmp(o->values[i].option->name, name) == 0)
            return true;
    return false;
}

void
option_doc(const struct option *option, struct buf *out)
{
    const struct config_field *field =
        option->path == NULL ? NULL : config_field_find(option->path);
    const char *text = option->doc == NULL && field != NULL ? field->doc : option->doc;
    buf_append(out, text, text == NULL ? 0 : strlen(text));
    if (field != NULL && field->fallback != NULL)
        buf_printf(out, " Default: %s.", field->fallback);
}

static void
option_describe(const struct option *option, struct buf *out)
{
    if (option->letter != 0)
        buf_printf(out, "  -%c, --%s", option->letter, option->name);
    else
        buf_printf(out, "  --%s", option->name);
    if (option->argument != NULL)
        buf_printf(out, " %s", option->argument);
    if (option->repeats)
        buf_printf(out, " ...");
    buf_printf(out, "\n");
    struct buf doc = { 0 };
    option_doc(option, &doc);
    buf_append(&doc, "", 1);
    text_wrap(out, (const char *)doc.data, HELP_INDENT);
    buf_fini(&doc);
}

void
options_help(const struct command *command, struct buf *out)
{
    if (help_form() != HELP_TEXT) {
        manual_command(command, out);
        return;
    }
    buf_printf(out, "Usage: %s [OPTION]...%s%s\n\n", command->name,
               command->arguments[0] == 0 ? "" : " ", command->arguments);
    text_wrap(out, command->doc, 0);
    buf_printf(out, "\nOptions:\n");
    for (size_t i = 0; i < command->option_count; i++)
        option_describe(&command->options[i], out);
    option_describe(&option_help, out);
    buf_printf(out, "\nExit status: %d fine, %d failed, %d wrong usage.\n", EXIT_FINE, EXIT_FAILED,
               EXIT_USAGE);
}
