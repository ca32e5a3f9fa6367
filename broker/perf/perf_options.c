#include "broker/perf/perf_options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HELP_COLUMN 34
#define HELP_WIDTH 100
#define NOT_GIVEN UINT32_MAX
#define CHANNELS_MAX 1000000u

static const struct perf_option *
option_find(const char *name, bool longer)
{
    for (size_t i = 0; i < perf_options_count; i++) {
        const struct perf_option *row = &perf_options_table[i];
        const char *own = longer ? row->longer : row->shorter;
        if (own != NULL && strcmp(own, name) == 0)
            return row;
    }
    return NULL;
}

static bool
option_parse_number(const struct perf_option *row, const char *text, uint64_t *out)
{
    if (text[0] < '0' || text[0] > '9')
        return false;
    char *end = NULL;
    errno = 0;
    *out = strtoull(text, &end, 10);
    return errno == 0 && *end == 0 && *out >= row->least && *out <= row->most;
}

/* PerfTest's -1 means no limit, too. */
static bool
option_parse_rate(const char *text, double *out)
{
    char *end = NULL;
    *out = strtod(text, &end);
    if (end == text || *end != 0 || *out > 1e9)
        return false;
    if (*out < 0)
        *out = 0;
    return *out == 0 || *out >= 1e-6;
}

static bool
option_parse_bool(const char *text, bool *out)
{
    *out = strcmp(text, "true") == 0;
    return *out || strcmp(text, "false") == 0;
}

static bool
option_parse_flag(const char *text, struct perf_options *o)
{
    if (strcmp(text, "persistent") == 0)
        o->persistent = true;
    else if (strcmp(text, "mandatory") == 0)
        o->mandatory = true;
    else
        return false;
    return true;
}

/* `text` is NULL for a switch. */
static bool
option_store(const struct perf_option *row, const char *text, struct perf_options *o)
{
    void *place = (char *)o + row->offset;
    uint64_t number = 0;
    switch (row->kind) {
    case PERF_OPTION_SWITCH:
        *(bool *)place = true;
        return true;
    case PERF_OPTION_BOOL:
        return option_parse_bool(text, place);
    case PERF_OPTION_U32:
        if (!option_parse_number(row, text, &number))
            return false;
        *(uint32_t *)place = (uint32_t)number;
        return true;
    case PERF_OPTION_U64:
        return option_parse_number(row, text, place);
    case PERF_OPTION_RATE:
        return option_parse_rate(text, place);
    case PERF_OPTION_TEXT:
        *(const char **)place = text;
        return true;
    case PERF_OPTION_FLAG:
        return option_parse_flag(text, o);
    }
    return false;
}

static bool
option_raise_value(const struct perf_option *row, const char *text, struct perf_error *error)
{
    if (row->kind == PERF_OPTION_U32 || row->kind == PERF_OPTION_U64)
        return perf_error_set(error, "--%s %s: expected a number from %llu to %llu", row->longer,
                              text, (unsigned long long)row->least, (unsigned long long)row->most);
    if (row->kind == PERF_OPTION_RATE)
        return perf_error_set(error, "--%s %s: expected messages a second", row->longer, text);
    if (row->kind == PERF_OPTION_FLAG)
        return perf_error_set(error, "--%s %s: expected persistent or mandatory", row->longer,
                              text);
    return perf_error_set(error, "--%s %s: expected %s", row->longer, text, row->argument);
}

/* Splits "--name=value" and looks the name up. */
static const struct perf_option *
option_recognise(char *word, const char **value)
{
    *value = NULL;
    if (word[0] != '-' || word[1] == 0)
        return NULL;
    if (word[1] != '-')
        return option_find(word + 1, false);
    char *equals = strchr(word, '=');
    if (equals != NULL) {
        *equals = 0;
        *value = equals + 1;
    }
    return option_find(word + 2, true);
}

static bool
options_read(int argc, char **argv, struct perf_options *o, struct perf_error *error)
{
    for (int i = 1; i < argc; i++) {
        const char *value;
        const struct perf_option *row = option_recognise(argv[i], &value);
        if (row == NULL)
            return perf_error_set(error, "unknown option '%s'; --help lists them", argv[i]);
        if (row->kind == PERF_OPTION_SWITCH && value != NULL)
            return perf_error_set(error, "--%s takes no value", row->longer);
        if (row->kind != PERF_OPTION_SWITCH && value == NULL) {
            if (i + 1 == argc)
                return perf_error_set(error, "--%s needs a value: %s", row->longer, row->argument);
            value = argv[++i];
        }
        if (!option_store(row, value, o))
            return option_raise_value(row, value, error);
    }
    return true;
}

static bool
options_check_tls(const struct perf_options *o, struct perf_error *error)
{
    const bool is_asked_for =
        o->tls_ca != NULL || o->tls_insecure || o->tls_certificate != NULL || o->tls_key != NULL;
    if (is_asked_for && !o->target.tls)
        return perf_error_set(error, "options for TLS need a URI with amqps://");
    if ((o->tls_certificate == NULL) != (o->tls_key == NULL))
        return perf_error_set(error, "--tls-certificate and --tls-key belong together");
    return true;
}

/* What only makes sense, or has a default, in the light of other options. */
static bool
options_complete(struct perf_options *o, struct perf_error *error)
{
    const uint32_t count = o->idle_connections > 0 ? 0 : 1;
    if (o->producers == NOT_GIVEN)
        o->producers = count;
    if (o->consumers == NOT_GIVEN)
        o->consumers = count;
    if ((uint64_t)o->producers * o->producer_channels > CHANNELS_MAX ||
        (uint64_t)o->consumers * o->consumer_channels > CHANNELS_MAX)
        return perf_error_set(error, "more than %u channels", CHANNELS_MAX);
    if (o->queue != NULL && o->queue_pattern != NULL)
        return perf_error_set(error, "give --queue or --queue-pattern, not both");
    if (o->queue_to < o->queue_from)
        return perf_error_set(error, "--queue-pattern-to must not be below --queue-pattern-from");
    if (o->predeclared && o->consumers > 0 && o->queue == NULL && o->queue_pattern == NULL)
        return perf_error_set(error, "--predeclared with consumers needs --queue or "
                                     "--queue-pattern");
    if (o->reject && o->auto_ack)
        return perf_error_set(error, "give --reject or --autoack, not both");
    /* A prefetch below the batch of acknowledgements would wait for ever. */
    if (o->qos > 0 && o->ack_every > o->qos)
        o->ack_every = o->qos;
    return perf_uri_parse(o->uri, &o->target, error) && options_check_tls(o, error);
}

bool
perf_options_parse(int argc, char **argv, struct perf_options *out, struct perf_error *error)
{
    *out = (struct perf_options){
        .uri = "amqp://guest:guest@localhost:5672/%2F",
        .producers = NOT_GIVEN,
        .consumers = NOT_GIVEN,
        .producer_channels = 1,
        .consumer_channels = 1,
        .queue_from = 1,
        .queue_to = 1,
        .auto_delete = true,
        .exchange = "",
        .type = "direct",
        .size = 100,
        .ack_every = 1,
        .interval_s = 1,
        .frame_max = 131072,
        .threads = 1,
    };
    if (!options_read(argc, argv, out, error))
        return false;
    return out->help || options_complete(out, error);
}

/* Prints words from `text` up to the end of the line; returns what is left of it. */
static const char *
help_print_line(FILE *out, const char *text)
{
    const size_t width = HELP_WIDTH - HELP_COLUMN;
    size_t size = strlen(text);
    if (size > width) {
        size = width;
        while (size > 0 && text[size] != ' ')
            size--;
    }
    fprintf(out, "%.*s\n", (int)size, text);
    text += size;
    return *text == ' ' ? text + 1 : text;
}

void
perf_options_print_help(FILE *out)
{
    fprintf(out, "usage: railmq perf [options]\n\n"
                 "Publishes to and consumes from an AMQP 0-9-1 broker and measures it.\n\n");
    for (size_t i = 0; i < perf_options_count; i++) {
        const struct perf_option *row = &perf_options_table[i];
        const bool paired = row->shorter != NULL;
        char left[80];
        int used =
            snprintf(left, sizeof(left), "  %s%s%s--%s%s%s", paired ? "-" : "",
                     paired ? row->shorter : "", paired ? ", " : "", row->longer,
                     row->argument != NULL ? " " : "", row->argument != NULL ? row->argument : "");
        if (used >= HELP_COLUMN) {
            fprintf(out, "%s\n", left);
            used = snprintf(left, sizeof(left), "%s", "");
        }
        fprintf(out, "%-*s", HELP_COLUMN, left);
        const char *rest = help_print_line(out, row->help);
        while (*rest != 0) {
            fprintf(out, "%-*s", HELP_COLUMN, "");
            rest = help_print_line(out, rest);
        }
    }
    fprintf(out, "\nThe exit code is 0, 1 if the run failed, 64 if the command line is wrong.\n");
}
