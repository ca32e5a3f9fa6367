#ifndef BROKER_CORE_RECORD_H
#define BROKER_CORE_RECORD_H

/*
 * A message as octets: all that a redelivery after a restart, or after it had left memory, needs.
 * Records of one append lie back to back in one payload; the log and the base sequence stand beside
 * it in the effect.
 *
 *     offset size
 *          0    4  size of the whole record
 *          4    4  sequence, counted from the effect's base
 *          8    4  size of the body, which is the record's weight
 *         12    8  wall time of enqueueing, microseconds
 *         20    1  flags: RECORD_PERSISTENT
 *         21    1  priority in its queue
 *         22    1  size of the exchange name
 *         23    1  size of the routing key
 *         24    4  size of the properties
 *         28       exchange, routing key, properties, body
 */

#include "broker/base/buf.h"
#include "broker/core/message.h"

#define RECORD_HEAD_SIZE 28u
#define RECORD_PERSISTENT 1u

/* The message of a record, with one reference, and its priority in the queue. NULL if the octets
 * are not a record. */
struct message *record_decode(struct bytes record, uint8_t *priority);

/* All but the body, which must follow. It is at most 2 GiB. */
void record_append_head(struct buf *out, const struct message *m, uint32_t offset, uint8_t priority,
                        uint64_t wall_us);

void record_append(struct buf *out, const struct message *m, uint32_t offset, uint8_t priority,
                   uint64_t wall_us);

#endif
