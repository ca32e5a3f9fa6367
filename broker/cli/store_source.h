#ifndef BROKER_CLI_STORE_SOURCE_H
#define BROKER_CLI_STORE_SOURCE_H

/*
 * The store of a data directory, so that it can be read in peace: if a broker runs there, a
 * checkpoint that it makes and removes again; else the store itself, which no broker can open
 * meanwhile. One thread.
 */

#include "broker/base/progress.h"
#include "broker/control/client.h"

#define SOURCE_PATH_MAX 4352

struct store_source {
    bool is_running;                 /* A broker is, on it. */
    char directory[SOURCE_PATH_MAX]; /* The data directory, or that of the checkpoint. */
    struct control_connection broker;
    int lock;
};

/* False with a line for people. Close it in any case. */
bool store_source_open(struct store_source *s, const char *data_dir, char *problem,
                       size_t problem_size);

/* Whether what was read is all of one store: false with a line for people if the broker that made
 * the checkpoint has ended since, because the next one removes it. */
bool store_source_stood(const struct store_source *s, char *problem, size_t problem_size);

void store_source_close(struct store_source *s);

#endif
