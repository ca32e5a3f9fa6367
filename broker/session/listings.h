#ifndef BROKER_SESSION_LISTINGS_H
#define BROKER_SESSION_LISTINGS_H

/*
 * Everything that can be listed, as one table: the control socket answers from it, and the command
 * line makes its commands and their help from it.
 */

#include "broker/admin/columns.h"

struct server;

struct listing {
    const char *name; /* "queues", of railmq list-queues. */
    const char *doc;
    bool in_vhost;      /* It is asked for one virtual host. */
    const char *detail; /* The column that --verbose adds; NULL if there is no such option. */
    const struct column *columns;
    const size_t *column_count;
    /* Appends the rows. `vhost` is the name of one that exists, or empty. False with a line for
     * people. Any thread but a worker's. */
    bool (*run)(struct server *s, struct bytes vhost, const struct selection *selection,
                struct rows *r, char *problem, size_t problem_size);
};

extern const struct listing listings[];
extern const size_t listing_count;

/* NULL if there is none. */
const struct listing *listing_find(struct bytes name);

/* The answer to "list": the words are the name of the listing, a virtual host, and columns. The
 * first row is that of the names. False with a line for people. */
bool listing_answer(struct server *s, struct bytes words, struct rows *r, char *problem,
                    size_t problem_size);

#endif
