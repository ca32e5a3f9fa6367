#ifndef BROKER_PERF_PERF_URI_H
#define BROKER_PERF_PERF_URI_H

/* amqp://user:password@host:port/vhost, or amqps:// for TLS, with percent escapes. Pure. */

#include "broker/perf/perf_error.h"

#define PERF_URI_PART_MAX 256

struct perf_uri {
    bool tls;
    char user[PERF_URI_PART_MAX];
    char password[PERF_URI_PART_MAX];
    char host[PERF_URI_PART_MAX];
    char port[8];
    char vhost[PERF_URI_PART_MAX];
};

/* Parts that are missing become guest, guest, localhost, 5672 (5671 with TLS) and "/". */
bool perf_uri_parse(const char *text, struct perf_uri *out, struct perf_error *error);

#endif
