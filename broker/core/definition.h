#ifndef BROKER_CORE_DEFINITION_H
#define BROKER_CORE_DEFINITION_H

/*
 * Durable definitions on their way through the door: each durable exchange, queue and binding is a
 * row, put when it is declared and deleted with it. The ticket says when that is committed; the
 * declaration is answered after that. Called with the topology lock held, so that rows change in
 * the order of the definitions; watermarks with the queue's lock.
 */

#include "broker/core/vhost.h"

enum definition_kind {
    DEFINITION_EXCHANGE,
    DEFINITION_QUEUE,
    DEFINITION_BINDING,
    DEFINITION_WATERMARK,
    DEFINITION_DELIVERIES,
    DEFINITION_DUES,
    DEFINITION_SEGMENT,
    DEFINITION_NOTE,
};

/* A row read back. Everything points into the key or the row. */
struct definition {
    enum definition_kind kind;
    struct bytes vhost;
    struct bytes name;      /* Of an exchange or a queue; of a note its key. */
    struct bytes arguments; /* Of a note its value. */
    enum router_type type;
    bool auto_delete;
    bool internal;
    bool is_delayed; /* An exchange that delays, or the queue of one. */
    uint64_t log;
    uint64_t sequence; /* Of a watermark, a count of deliveries, or the first of a segment. */
    uint32_t count;
    uint64_t wall_ms; /* Of a segment, as the next. */
    uint64_t octets_before;
    struct bind_spec binding;
};

/* False if they are not a definition's. A binding is all in its key. */
bool definition_decode(struct bytes key, struct bytes row, struct definition *out);

uint64_t definition_keep_exchange(struct vhost *v, const struct exchange *x);
uint64_t definition_forget_exchange(struct vhost *v, const struct exchange *x);
uint64_t definition_keep_queue(struct vhost *v, const struct queue *q);
uint64_t definition_forget_queue(struct vhost *v, const struct queue *q);

/* Up to which sequence the records of a queue may have been sent. Goes with the queue. */
uint64_t definition_keep_watermark(struct vhost *v, uint64_t log, uint64_t sequence);

/* Records of a queue are due at a moment. Goes with the queue. */
uint64_t definition_keep_dues(struct vhost *v, uint64_t log);

/* A segment of a stream (stream.h), by its first offset. Goes with the queue. */
struct stream_segment;
uint64_t definition_keep_segment(struct vhost *v, uint64_t log,
                                 const struct stream_segment *segment);
uint64_t definition_forget_segment(struct vhost *v, uint64_t log, uint64_t first);

/* How often a message of a queue came back. `place` is that of the count before, zeroed at first: a
 * client that gives a message back as fast as it can has it wait for the disk once a round. */
void definition_keep_deliveries(struct vhost *v, uint64_t log, uint64_t sequence, uint32_t count,
                                struct door_place *place);
uint64_t definition_forget_deliveries(struct vhost *v, uint64_t log, uint64_t sequence);

/* `arguments` in canonical form. */
uint64_t definition_keep_binding(struct vhost *v, const struct bind_spec *spec,
                                 struct bytes arguments);
uint64_t definition_forget_binding(struct vhost *v, const struct bind_spec *spec,
                                   struct bytes arguments);

/* See notes.h. They belong to no virtual host. */
uint64_t definition_keep_note(struct door *door, struct bytes key, struct bytes value);
uint64_t definition_forget_note(struct door *door, struct bytes key);

#endif
