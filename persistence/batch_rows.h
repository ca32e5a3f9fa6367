#ifndef PERSISTENCE_BATCH_ROWS_H
#define PERSISTENCE_BATCH_ROWS_H

/*
 * What a RocksDB write batch leaves behind: one entry a key, its last change. RocksDB's C interface
 * visits puts and deletions only, so the octets of the batch are read here: a number (8), a count
 * (4), and the changes, each a tag (1 put, 0 delete, 7 single delete), the key and, for a put, the
 * value, both behind their sizes. Owner: who parses; one thread.
 */

#include "broker/base/bytes.h"

struct batch_row {
    struct bytes key; /* These borrow from the batch. */
    struct bytes value;
    size_t change; /* The number of the change in the batch. */
    bool is_put;
};

struct batch_rows {
    struct batch_row *items; /* In order of their keys. */
    size_t count;
};

/* False if the batch has anything else in it. Release it with batch_rows_fini in any case. */
bool batch_rows_parse(struct batch_rows *rows, struct bytes batch);
void batch_rows_fini(struct batch_rows *rows);

/* The first put of a key that begins so, or NULL. */
const struct batch_row *batch_rows_first_put(const struct batch_rows *rows, char kind);

#endif
