#ifndef BROKER_CORE_RECORD_H
#define BROKER_CORE_RECORD_H

/*
 * A durable message as octets: all that a redelivery after a restart needs. Records of one append
 * lie back to back in one payload; the log and the base sequence stand beside it in the effect.
 *
 *     offset size
 *          0    4  size of the whole record
 *          4    4  sequence, counted from the effect's base
 *          8    8  wall time of enqueueing, microseconds
 *         16    1  flags (none yet)
 *         17    1  priority
 *         18    1  size of the exchange name
 *         19    1  size of the routing key
 *         20    4  size of the properties
 *         24    8  size of the body
 *         32       exchange, routing key, properties, body
 */

#include "broker/base/buf.h"
#include "broker/core/message.h"

#define RECORD_HEAD_SIZE 32u

/* The message of a record, with one reference, and its priority in the queue. NULL if the octets
 * are not a record. */
struct message *record_decode(struct bytes record, uint8_t *priority);

void record_append(struct buf *out, const struct message *m, uint32_t offset, uint8_t priority,
                   uint64_t wall_us);

#endif
