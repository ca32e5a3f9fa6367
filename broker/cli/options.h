#ifndef BROKER_CLI_OPTIONS_H
#define BROKER_CLI_OPTIONS_H

/*
 * Command lines, from one table per command: --name value, --name=value, -n value, -nvalue,
 * switches in a row (-ab), and -- before arguments that begin with a dash. Parsing only collects;
 * what the values mean is the command's business. Every command understands --help, whose text is
 * made from the table. One thread.
 */

#include "broker/base/buf.h"

enum exit_status {
    EXIT_FINE = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 64, /* As EX_USAGE of sysexits.h. */
};

struct option {
    char letter;          /* 0 if there is none. */
    const char *name;     /* Without dashes. */
    const char *argument; /* "HOST:PORT", for the help; NULL for a switch. */
    bool repeats;         /* May be given more than once. */
    const char *path;     /* The setting of config.def it writes; NULL if none. */
    const char *doc;
};

struct command {
    const char *name;      /* "railmq serve". */
    const char *arguments; /* "FILE", for the help; "" if it takes none. */
    size_t argument_min;
    size_t argument_max;
    const char *doc;
    const struct option *options;
    size_t option_count;
};

struct option_value {
    const struct option *option;
    const char *text; /* NULL for a switch. Points into argv. */
};

/* In the order of the command line. */
struct options {
    struct option_value *values;
    size_t value_count;
    const char **arguments;
    size_t argument_count;
};

enum options_result {
    OPTIONS_FINE,
    OPTIONS_HELP,  /* --help is among them; nothing else is checked. */
    OPTIONS_WRONG, /* `error` holds one line. */
};

/* argv[0] is the command's name and not looked at. Call options_fini in any case. */
enum options_result options_parse(struct options *o, const struct command *command, int argc,
                                  char *const *argv, struct buf *error);

void options_fini(struct options *o);

/* Text of the last value given for the option; NULL if there is none. */
const char *options_get(const struct options *o, const char *name);

/* Whether the option is given at all. */
bool options_has(const struct options *o, const char *name);

/* Appends the help of the command, in the form that is chosen in manual.h. */
void options_help(const struct command *command, struct buf *out);

/* Appends what the help says of an option. */
void option_doc(const struct option *option, struct buf *out);

#endif
