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
 *         20    1  flags: RECORD_PERSISTENT, RECORD_DUE, RECORD_EXPIRATION, RECORD_BCC
 *         21    1  priority of the message, maybe above what its queue tells apart
 *         22    1  size of the exchange name
 *         23    1  size of the routing key
 *         24    4  size of the properties
 *         28       with RECORD_DUE: wall time of expiry(8), milliseconds
 *                  exchange, routing key, properties, body
 */

#include "broker/base/buf.h"
#include "broker/core/entry.h"

#define RECORD_HEAD_SIZE 28u
#define RECORD_PERSISTENT 1u
#define RECORD_DUE 2u
#define RECORD_EXPIRATION 4u
#define RECORD_BCC 8u

/* Fills message, with one reference, and due time of the entry. Its priority is the message's: the
 * caller knows that in the queue. False if the octets are not a record. */
bool record_decode(struct bytes record, struct entry *e);

/* When the message of a record expires, by the monotonic clock, or 0, without decoding it. Its
 * weight goes to `weight`. False if the octets are not a record. */
bool record_due(struct bytes record, uint64_t *due_ms, uint32_t *weight);

/* When it was enqueued: wall time. False if the octets are not a record. */
bool record_wall(struct bytes record, uint64_t *wall_us);

/* All but the body, which must follow. It is at most 2 GiB. */
void record_append_head(struct buf *out, const struct entry *e, uint32_t offset, uint64_t wall_us);

void record_append(struct buf *out, const struct entry *e, uint32_t offset, uint64_t wall_us);

#endif
