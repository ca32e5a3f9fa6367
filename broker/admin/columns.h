#ifndef BROKER_ADMIN_COLUMNS_H
#define BROKER_ADMIN_COLUMNS_H

/*
 * The columns that a listing can show, as a table, and those that somebody has asked for. Names are
 * RabbitMQ's where it has the same. The functions of a table run on the thread that owns the
 * object. A selection is plain data and may be copied to other threads.
 */

#include "broker/admin/rows.h"

#define COLUMNS_MAX 48u

struct column {
    const char *name;
    void (*put)(struct rows *r, const void *object); /* Exactly one cell. */
    bool is_default;                                 /* Shown to those who name no columns. */
    const char *doc;
};

struct selection {
    const struct column *columns[COLUMNS_MAX];
    size_t count;
};

/* Chooses from the table by the names in `words` (see words_next), or the default ones if there are
 * none. False with a line for people if there is no such column, or too many are named. */
bool selection_parse(struct selection *s, const struct column *table, size_t table_size,
                     struct bytes words, char *problem, size_t problem_size);

/* The row of names, then one row for each object. */
void selection_put_header(const struct selection *s, struct rows *r);
void selection_put(const struct selection *s, struct rows *r, const void *object);

#endif
