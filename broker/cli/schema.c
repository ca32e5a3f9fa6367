#include "broker/cli/schema.h"

#include "broker/cli/options.h"
#include "broker/topology/schema.h"

#include <stdio.h>

static const struct command schema_command = {
    .name = "railmq schema",
    .arguments = "",
    .doc =
        "Print a JSON Schema of the configuration file, for editors, which then complete keys and "
        "mark those that there are not. railmq check knows more: it reads the file.",
};

static void
print(FILE *stream, struct buf *text)
{
    if (text->size > 0)
        fwrite(text->data, 1, text->size, stream);
    buf_fini(text);
}

int
schema_main(int argc, char **argv)
{
    struct options options;
    struct buf error = { 0 };
    struct buf out = { 0 };
    const enum options_result result = options_parse(&options, &schema_command, argc, argv, &error);
    if (result == OPTIONS_HELP)
        options_help(&schema_command, &out);
    else if (result == OPTIONS_FINE)
        configuration_schema(&out);
    print(stdout, &out);
    print(stderr, &error);
    options_fini(&options);
    return result == OPTIONS_WRONG ? EXIT_USAGE : EXIT_FINE;
}
