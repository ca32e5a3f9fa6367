#ifndef BROKER_ADMIN_TABLE_JSON_H
#define BROKER_ADMIN_TABLE_JSON_H

/*
 * Field tables as JSON, as RabbitMQ shows them: numbers as numbers, timestamps as seconds, octets
 * that are no text as text with U+FFFD in it. Pure; any thread.
 */

#include "amqp/table.h"
#include "broker/base/buf.h"

/* Appends the valid table as a JSON object. False, with the buf as it was, if that takes more than
 * `size_max` octets. */
bool table_json(struct buf *out, struct bytes table, size_t size_max);

/* The same for the value of one field. */
bool table_field_json(struct buf *out, const struct table_field *f, size_t size_max);

#endif
