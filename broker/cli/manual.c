#include "broker/cli/manual.h"

#include "broker/cli/settings.h"
#include "broker/perf/perf_options.h"

#include <stdio.h>

#define PROGRAM "railmq"

static enum help_form the_form = HELP_TEXT;

static const struct {
    const char *file;
    enum help_form form;
} manuals[] = {
    [MANUAL_PROGRAM] = { "railmq.1", HELP_PAGE },
    [MANUAL_CONFIGURATION] = { "railmq.yaml.5", HELP_PAGE },
    [MANUAL_BASH] = { "railmq.bash", HELP_BASH },
};
#define MANUALS (sizeof(manuals) / sizeof(manuals[0]))

static const char program_begin[] =
    ".SH NAME\n"
    "railmq \\- message broker that speaks AMQP 0-9-1\n"
    ".SH SYNOPSIS\n"
    ".B railmq\n"
    ".I COMMAND\n"
    ".RI [ OPTION ]...\n"
    ".br\n"
    ".B railmq \\-\\-help\n"
    "|\n"
    ".B \\-\\-version\n"
    ".SH DESCRIPTION\n"
    "Programs that speak to RabbitMQ connect to it unchanged (AMQP 0-9-1 and RabbitMQ's "
    "extensions\n"
    "to it). One program is the broker, and all that is needed to look after it.\n"
    ".PP\n"
    "Names of commands may be written with underscores instead of dashes.\n"
    "Every command understands\n"
    ".BR \\-\\-help ,\n"
    "and all but\n"
    ".B perf\n"
    ".BR \\-h .\n"
    ".SH COMMANDS\n";

static const char program_end[] =
    ".SH EXIT STATUS\n"
    "0: fine. 1: failed. 64: wrong usage. The command\n"
    ".B plan\n"
    "exits with 2 if there is something to change.\n"
    ".SH FILES\n"
    ".TP\n"
    ".I /etc/railmq/broker.yaml\n"
    "The configuration of the service.\n"
    ".TP\n"
    ".I /var/lib/railmq\n"
    "Its data: the store, transient pages, and the control socket that commands use.\n"
    ".SH SIGNALS\n"
    "What\n"
    ".B railmq serve\n"
    "does on them:\n"
    ".TP\n"
    ".BR SIGTERM \", \" SIGINT\n"
    "Connections are closed in order, and it exits; a second one ends it at once.\n"
    ".TP\n"
    ".B SIGHUP\n"
    "The configuration is read again. If anything is wrong with it nothing changes.\n"
    ".TP\n"
    ".B SIGUSR1\n"
    "The file of the log is opened again.\n"
    ".SH SEE ALSO\n"
    ".BR railmq.yaml (5),\n"
    "/usr/share/doc/railmq/OPERATIONS.md\n";

static const char configuration_end[] = ".SH FILES\n"
                                        ".TP\n"
                                        ".I /etc/railmq/broker.yaml\n"
                                        "The configuration of the service.\n"
                                        ".SH SEE ALSO\n"
                                        ".BR railmq (1)\n";

static const char bash_begin[] =
    "# Completion of railmq for bash, made from the tables of its options.\n"
    "# The words of each command, and what its options and arguments are.\n"
    "unset -v _railmq_words _railmq_values\n"
    "declare -gA _railmq_words _railmq_values\n";

/* An option and its value are three words where they are joined by "=". */
static const char bash_end[] =
    "_railmq()\n"
    "{\n"
    "    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}\n"
    "    local command=${COMP_WORDS[1]//_/-} kind\n"
    "    COMPREPLY=()\n"
    "    if ((COMP_CWORD == 1)); then\n"
    "        mapfile -t COMPREPLY < <(compgen -W \"${_railmq_words[railmq]}\" -- \"$current\")\n"
    "        return\n"
    "    fi\n"
    "    [[ -n $command ]] || return\n"
    "    if ((COMP_CWORD > 2)) && [[ -n ${_railmq_words[\"$command ${COMP_WORDS[2]}\"]-} ]]; then\n"
    "        command+=\" ${COMP_WORDS[2]}\"\n"
    "    fi\n"
    "    [[ $previous == = ]] && previous=${COMP_WORDS[COMP_CWORD - 2]}\n"
    "    [[ $current == = ]] && previous=${COMP_WORDS[COMP_CWORD - 1]} current=''\n"
    "    kind=${_railmq_values[\"$command $previous\"]-}\n"
    "    if [[ -z $kind && $current != -* ]]; then\n"
    "        kind=${_railmq_values[\"$command\"]-}\n"
    "    fi\n"
    "    case $kind in\n"
    "    FILE) mapfile -t COMPREPLY < <(compgen -f -- \"$current\") ;;\n"
    "    DIR) mapfile -t COMPREPLY < <(compgen -d -- \"$current\") ;;\n"
    "    '')\n"
    "        mapfile -t COMPREPLY < <(compgen -W \"${_railmq_words[\"$command\"]-}\" -- "
    "\"$current\")\n"
    "        return\n"
    "        ;;\n"
    "    *) return ;;\n"
    "    esac\n"
    "    compopt -o filenames 2>/dev/null\n"
    "}\n"
    "complete -F _railmq railmq\n";

void
help_form_set(enum help_form form)
{
    the_form = form;
}

enum help_form
help_form(void)
{
    return the_form;
}

bool
manual_find(const char *name, enum manual *out)
{
    for (size_t i = 0; i < MANUALS; i++) {
        *out = (enum manual)i;
        if (strcmp(manuals[i].file, name) == 0)
            return true;
    }
    return false;
}

enum help_form
manual_form(enum manual manual)
{
    return manuals[manual].form;
}

bool
manual_is_of_commands(enum manual manual)
{
    return manual != MANUAL_CONFIGURATION;
}

/* Text as it is to be read: no letter of it means something to the formatter. */
static void
put_text(struct buf *out, struct bytes text)
{
    bool is_first = true;
    for (size_t i = 0; i < text.size; i++) {
        const char c = (char)text.data[i];
        if (is_first && (c == '.' || c == '\''))
            buf_printf(out, "\\&");
        if (c == '-' || c == '~' || c == '^')
            buf_printf(out, c == '-' ? "\\-" : c == '~' ? "\\(ti" : "\\(ha");
        else
            buf_printf(out, c == '\\' ? "\\e" : "%c", c);
        is_first = c == '\n';
    }
}

static void
put_string(struct buf *out, const char *text)
{
    put_text(out, bytes_of_string(text));
}

void
manual_item(struct buf *out, const char *name, const char *doc)
{
    buf_printf(out, ".TP\n\\fB");
    put_string(out, name);
    buf_printf(out, "\\fR\n");
    put_string(out, doc);
    buf_printf(out, "\n");
}

void
manual_paragraph(struct buf *out, const char *text)
{
    buf_printf(out, ".PP\n");
    put_string(out, text);
    buf_printf(out, "\n");
}

void
manual_verbatim(struct buf *out, const char *text)
{
    buf_printf(out, ".PP\n.nf\n.RS\n");
    put_string(out, text);
    buf_printf(out, ".RE\n.fi\n");
}

static void
bash_word(struct buf *out, const char *command, const char *prefix, const char *word)
{
    buf_printf(out, "_railmq_words['%s']+=' %s%s'\n", command, prefix, word);
}

void
manual_begin(enum manual manual, struct buf *out)
{
    const bool is_program = manual == MANUAL_PROGRAM;
    if (manual == MANUAL_BASH) {
        buf_printf(out, "%s", bash_begin);
        for (size_t i = 0; i < MANUALS; i++)
            bash_word(out, "help", "", manuals[i].file);
        bash_word(out, "help", "", "config");
        return;
    }
    buf_printf(out, ".TH %s \"\" \"railmq %s\" \"%s\"\n.nh\n.ad l\n",
               is_program ? "RAILMQ 1" : "RAILMQ.YAML 5", RAIL_VERSION,
               is_program ? "User Commands" : "File Formats");
    if (is_program)
        buf_printf(out, "%s", program_begin);
    else
        settings_help(out);
}

void
manual_go_on(enum manual manual, struct buf *out)
{
    if (manual == MANUAL_PROGRAM)
        buf_printf(out, ".SH OPTIONS\n");
}

void
manual_end(enum manual manual, struct buf *out)
{
    buf_printf(out, "%s",
               manual == MANUAL_BASH      ? bash_end
               : manual == MANUAL_PROGRAM ? program_end
                                          : configuration_end);
}

/* What stands at the place of a value: FILE and DIR can be completed. */
static void
bash_value(struct buf *out, const char *command, const char *dashes, const char *name,
           const char *value)
{
    buf_printf(out, "_railmq_values['%s%s%s%s']='%s'\n", command, name[0] == 0 ? "" : " ", dashes,
               name, value);
}

void
manual_subcommand(const char *name, const char *doc, struct buf *out)
{
    if (help_form() == HELP_BASH) {
        if (name != NULL)
            bash_word(out, PROGRAM, "", name);
        if (name != NULL)
            bash_word(out, "help", "", name);
    } else if (name != NULL) {
        manual_item(out, name, doc);
    } else {
        buf_printf(out, ".SS ");
        put_string(out, doc);
        buf_printf(out, "\n");
    }
}

/* "serve" of "railmq serve". */
static const char *
own_name(const struct command *command)
{
    return command->name + sizeof(PROGRAM);
}

/* An option as both tables have it. */
struct row {
    const char *letters; /* "" if there are none. */
    const char *name;
    const char *argument; /* NULL for a switch. */
    bool repeats;
    const char *doc;
};

static void
page_row(const struct row *row, struct buf *out)
{
    buf_printf(out, ".TP\n");
    if (row->letters[0] != 0) {
        buf_printf(out, "\\fB\\-");
        put_string(out, row->letters);
        buf_printf(out, "\\fR, ");
    }
    buf_printf(out, "\\fB\\-\\-");
    put_string(out, row->name);
    buf_printf(out, "\\fR");
    if (row->argument != NULL) {
        buf_printf(out, " \\fI");
        put_string(out, row->argument);
        buf_printf(out, "\\fR");
    }
    buf_printf(out, row->repeats ? " ...\n" : "\n");
    put_string(out, row->doc);
    buf_printf(out, "\n");
}

static void
bash_row(const char *command, const struct row *row, struct buf *out)
{
    bash_word(out, command, "--", row->name);
    if (row->argument == NULL)
        return;
    bash_value(out, command, "--", row->name, row->argument);
    if (row->letters[0] != 0)
        bash_value(out, command, "-", row->letters, row->argument);
}

static void
put_row(const char *command, const struct row *row, struct buf *out)
{
    if (help_form() == HELP_BASH)
        bash_row(command, row, out);
    else
        page_row(row, out);
}

static void
page_begin(const struct command *command, struct buf *out)
{
    buf_printf(out, ".SS ");
    put_string(out, command->name);
    buf_printf(out, " [OPTION]...%s", command->arguments[0] == 0 ? "" : " ");
    put_string(out, command->arguments);
    buf_printf(out, "\n");
    put_string(out, command->doc);
    buf_printf(out, "\n");
}

/* "store info" is a word of "store", too. */
static void
bash_begin_of(const struct command *command, struct buf *out)
{
    char outer[64];
    const char *space = strchr(own_name(command), ' ');
    if (space != NULL) {
        snprintf(outer, sizeof(outer), "%.*s", (int)(space - own_name(command)), own_name(command));
        bash_word(out, outer, "", space + 1);
    }
    if (command->argument_max == 1)
        bash_value(out, own_name(command), "", "", command->arguments);
}

static void
put_begin(const struct command *command, struct buf *out)
{
    if (help_form() == HELP_BASH)
        bash_begin_of(command, out);
    else
        page_begin(command, out);
}

void
manual_command(const struct command *command, struct buf *out)
{
    put_begin(command, out);
    if (help_form() == HELP_BASH)
        bash_word(out, own_name(command), "--", "help");
    for (size_t i = 0; i < command->option_count; i++) {
        const struct option *o = &command->options[i];
        const char letters[] = { o->letter, 0 };
        struct buf doc = { 0 };
        option_doc(o, &doc);
        buf_append(&doc, "", 1);
        put_row(own_name(command),
                &(struct row){ letters, o->name, o->argument, o->repeats, (char *)doc.data }, out);
        buf_fini(&doc);
    }
}

void
manual_word(const struct command *command, const char *name, const char *doc, struct buf *out)
{
    if (help_form() == HELP_BASH)
        bash_word(out, own_name(command), "", name);
    else
        manual_item(out, name, doc);
}

void
manual_perf(struct buf *out)
{
    static const struct command command = {
        .name = PROGRAM " perf",
        .arguments = "",
        .doc = "Publishes to and consumes from an AMQP 0-9-1 broker and measures it.",
    };
    put_begin(&command, out);
    for (size_t i = 0; i < perf_options_count; i++) {
        const struct perf_option *o = &perf_options_table[i];
        put_row(own_name(&command),
                &(struct row){ o->shorter == NULL ? "" : o->shorter, o->longer, o->argument,
                               o->kind == PERF_OPTION_FLAG, o->help },
                out);
    }
}
