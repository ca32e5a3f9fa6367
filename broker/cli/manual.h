#ifndef BROKER_CLI_MANUAL_H
#define BROKER_CLI_MANUAL_H

/*
 * The manual pages and the completion for bash. They are what --help prints, in another form: the
 * form is chosen once for the process, then all commands are asked for their help as usual, and
 * what they print one after another is the document. So none can be left out. One thread.
 */

#include "broker/cli/options.h"

enum help_form {
    HELP_TEXT, /* For a terminal; the form that is there from the start. */
    HELP_PAGE, /* Part of a manual page, in the language of man(7). */
    HELP_BASH, /* Lines that fill the tables of the completion. */
};

void help_form_set(enum help_form form);
enum help_form help_form(void);

enum manual {
    MANUAL_PROGRAM,
    MANUAL_CONFIGURATION,
    MANUAL_BASH,
};

/* By the name of its file: "railmq.1", "railmq.yaml.5", "railmq.bash". */
bool manual_find(const char *name, enum manual *out);

enum help_form manual_form(enum manual manual);

/* What it has of commands comes between its parts: their names after manual_begin, their help after
 * manual_go_on. The page of the configuration has nothing of commands. */
bool manual_is_of_commands(enum manual manual);
void manual_begin(enum manual manual, struct buf *out);
void manual_go_on(enum manual manual, struct buf *out);
void manual_end(enum manual manual, struct buf *out);

/* A line of what there is. Without a name: a heading. */
void manual_subcommand(const char *name, const char *doc, struct buf *out);

/* The help of a command in the form that is set, which is not HELP_TEXT. */
void manual_command(const struct command *command, struct buf *out);

/* One of the words that the command takes as arguments; after manual_command. */
void manual_word(const struct command *command, const char *name, const char *doc, struct buf *out);

/* Parts of a page: a name in bold with a text behind it; a paragraph; text as it stands. */
void manual_item(struct buf *out, const char *name, const char *doc);
void manual_paragraph(struct buf *out, const char *text);
void manual_verbatim(struct buf *out, const char *text);

/* The same for perf, which has a table of its own. */
void manual_perf(struct buf *out);

#endif
