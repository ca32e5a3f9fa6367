#ifndef BROKER_ADMIN_ROWS_H
#define BROKER_ADMIN_ROWS_H

/*
 * Tables on their way to whoever asked for them: rows of typed cells as one text that can be made
 * on one thread, joined on another, and sent line by line through the control socket. A row is a
 * line; cells are separated by tabs and begin with a letter for their kind. Tabs, line ends and
 * backslashes inside are escaped, all other octets stand as they are. Owner: the caller; pure.
 */

#include "broker/base/buf.h"

enum cell_kind {
    CELL_NONE = '-',
    CELL_TEXT = 's',
    CELL_NUMBER = 'n',
    CELL_BOOL = 'b',
    CELL_JSON = 'j', /* A JSON value, on one line. */
    CELL_ROWS = 'r', /* Rows of its own; the first is of names. */
};

struct rows {
    struct buf text;
    size_t count;  /* Of rows that are complete. */
    size_t in_row; /* Cells of the one that is not. */
};

void rows_fini(struct rows *r);

void cell_put_none(struct rows *r);
void cell_put_text(struct rows *r, struct bytes text);
void cell_put_string(struct rows *r, const char *text);
void cell_put_number(struct rows *r, uint64_t value);
void cell_put_signed(struct rows *r, int64_t value);
void cell_put_bool(struct rows *r, bool value);
void cell_put_json(struct rows *r, struct bytes json);

/* A field table as JSON. A table that is too long to be shown becomes a text that says so. */
void cell_put_table(struct rows *r, struct bytes table);

void cell_put_rows(struct rows *r, const struct rows *inner);

void rows_end(struct rows *r);

/* Moves all rows of `from` to the end of `to`. */
void rows_join(struct rows *to, struct rows *from);

/* Takes the first line off `text`. False at the end. */
bool rows_next(struct bytes *text, struct bytes *row);

struct cell {
    enum cell_kind kind;
    struct bytes text; /* Without escapes. */
};

/* Takes the first cell off a row. Its text is valid until the next call with the same scratch.
 * False at the end, or if it is no cell. */
bool row_next(struct bytes *row, struct buf *scratch, struct cell *out);

/* Words of a request, in the same escapes, joined by tabs. */
void words_put(struct buf *out, struct bytes word);
bool words_next(struct bytes *words, struct buf *scratch, struct bytes *out);

#endif
