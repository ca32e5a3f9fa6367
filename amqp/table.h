#ifndef AMQP_TABLE_H
#define AMQP_TABLE_H

/*
 * Field tables, with RabbitMQ's tags (they differ from the 0-9-1 document: s is a signed 16-bit
 * integer, l is signed 64-bit, b is signed and B unsigned). A table is handled as the octets of its
 * fields, without the length in front; it is checked once, when it comes in, and then read by
 * iterators that trust it. Duplicate names: the first wins. Pure; any thread.
 */

#include "broker/base/buf.h"
#include "broker/base/bytes.h"

struct table_field {
    struct bytes name; /* Empty for the elements of an array. */
    char tag;
    struct bytes value; /* Encoded value without the tag, and without the length for S x F A. */
};

struct table_iterator {
    const uint8_t *at;
    const uint8_t *end;
    bool named; /* Table fields have names, array elements have none. */
};

/* True if every field is complete, every tag known, and depth and count are within the limits. */
bool table_is_valid(struct bytes table);

/* Nesting of tables and arrays, and fields of all levels together, that a table from a peer may
 * have; AMQP_TABLE_DEPTH_MAX and AMQP_TABLE_FIELDS_MAX until set. Before threads start. */
void table_set_limits(uint32_t depth_max, uint32_t fields_max);

/* Iterate over a valid table, or over the value of a valid field with tag A. */
struct table_iterator table_iterate(struct bytes table);
struct table_iterator table_iterate_array(struct bytes array);

/* False at the end. */
bool table_next(struct table_iterator *i, struct table_field *out);

/* The first field of that name in a valid table. */
bool table_find(struct bytes table, struct bytes name, struct table_field *out);

/* Any of b B s u I i l L; false for other tags, and for 64-bit values no int64_t holds. */
bool table_field_integer(const struct table_field *f, int64_t *out);

/* t only. */
bool table_field_bool(const struct table_field *f, bool *out);

/* RabbitMQ's name of the type in error texts: "signedint", "longstr", ... */
const char *table_tag_name(char tag);

/* Appends a field as it was read. */
void table_append(struct buf *out, const struct table_field *f);

/* Appends fields of the tags brokers send. Names are at most 255 octets. */
void table_put_string(struct buf *out, const char *name, struct bytes value);
void table_put_bool(struct buf *out, const char *name, bool value);
void table_put_integer(struct buf *out, const char *name, int64_t value);      /* Tag l. */
void table_put_timestamp(struct buf *out, const char *name, uint64_t seconds); /* Tag T. */
void table_put_table(struct buf *out, const char *name, struct bytes table);
void table_put_array(struct buf *out, const char *name, struct bytes elements);

/* Elements of an array. */
void array_put_string(struct buf *out, struct bytes value);
void array_put_table(struct buf *out, struct bytes table);

/* Appends the fields of a valid table sorted by name, nested tables too, so that equal sets of
 * fields become equal octets. */
void table_canonical(struct bytes table, struct buf *out);

#endif
