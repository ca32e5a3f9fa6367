#ifndef BROKER_CLI_RENDER_H
#define BROKER_CLI_RENDER_H

/*
 * Rows from a broker (broker/admin/rows.h) as people and programs want them. Names that clients
 * have chosen cannot do anything to a terminal: control characters are escaped. Pure; one thread.
 */

#include "broker/base/buf.h"

enum render_format {
    RENDER_TABLE, /* Aligned columns. */
    RENDER_TSV,
    RENDER_CSV, /* As RFC 4180 has it, with plain line ends. */
    RENDER_JSON,
};

/* False if there is no format of that name. */
bool render_format_find(const char *name, enum render_format *out);

/* A listing: the first row has the names. `has_header` is for all but JSON, which is a list of
 * objects. */
void render_listing(struct bytes rows, enum render_format format, bool has_header, struct buf *out);

/* Rows of section, name and value. A table is one for people: sections with headings, numbers with
 * units. JSON is an object of objects. */
void render_status(struct bytes rows, enum render_format format, bool has_header, struct buf *out);

#endif
