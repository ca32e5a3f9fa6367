#ifndef BROKER_PERF_PERF_OPTIONS_H
#define BROKER_PERF_PERF_OPTIONS_H

/*
 * What a run shall do. All options come from one table (perf_options_table), from which the parser,
 * --help and the JSON report are made. Names and meanings are those of RabbitMQ PerfTest; where
 * ours differ the help text says so. Strings point into argv.
 */

#include "broker/perf/perf_error.h"
#include "broker/perf/perf_uri.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define PERF_SIZE_MAX (128u << 20)

struct perf_options {
    const char *uri;
    uint32_t producers;
    uint32_t consumers;
    uint32_t producer_channels; /* A connection. */
    uint32_t consumer_channels;
    const char *queue; /* NULL: a name is made up. */
    const char *queue_pattern;
    uint32_t queue_from;
    uint32_t queue_to;
    const char *queue_arguments;
    bool auto_delete;
    bool predeclared;
    const char *exchange; /* Empty: the default exchange. */
    const char *type;
    const char *routing_key; /* NULL: the name of the queue. */
    uint32_t size;           /* Octets of a body. */
    double rate;             /* Messages a second and producer channel; 0: no limit. */
    double consumer_rate;
    uint32_t confirm; /* Unconfirmed publishes a channel; 0: no confirms. */
    uint32_t qos;
    uint32_t ack_every;
    bool auto_ack;
    bool persistent;
    bool mandatory;
    uint32_t priorities;    /* The highest; 0: messages have none. */
    uint32_t expiration_ms; /* The longest; 0: messages do not expire. */
    bool reject;            /* Instead of acknowledging. */
    uint32_t time_s;
    uint64_t producer_messages; /* A channel; 0: no limit. */
    uint64_t consumer_messages;
    uint32_t interval_s;
    const char *id; /* NULL: perf-hhmmss. */
    bool json;
    uint32_t idle_connections;
    uint32_t heartbeat_s;
    uint32_t frame_max;
    uint32_t threads; /* For producers, and as many for consumers. */
    bool use_millis;
    const char *tls_ca; /* NULL: what the system trusts. */
    bool tls_insecure;
    const char *tls_certificate;
    const char *tls_key;
    bool help;
    struct perf_uri target; /* Parsed from uri. */
};

enum perf_option_kind {
    PERF_OPTION_SWITCH, /* bool, no argument. */
    PERF_OPTION_BOOL,   /* bool, argument true or false. */
    PERF_OPTION_U32,
    PERF_OPTION_U64,
    PERF_OPTION_RATE,
    PERF_OPTION_TEXT,
    PERF_OPTION_FLAG, /* persistent or mandatory; may be given twice. */
};

struct perf_option {
    const char *shorter; /* Without the dash; NULL if there is none. */
    const char *longer;  /* Without the dashes. */
    enum perf_option_kind kind;
    size_t offset;
    uint64_t least; /* For numbers. */
    uint64_t most;
    const char *argument; /* How help calls it; NULL for a switch. */
    const char *help;
};

extern const struct perf_option perf_options_table[];
extern const size_t perf_options_count;

/* Reads a command line; argv[0] is skipped. False with a text that says what to change. */
bool perf_options_parse(int argc, char **argv, struct perf_options *out, struct perf_error *error);

void perf_options_print_help(FILE *out);

#endif
