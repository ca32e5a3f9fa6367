#ifndef BROKER_CORE_MESSAGE_H
#define BROKER_CORE_MESSAGE_H

/*
 * A message: one refcounted block that holds exchange, routing key, properties and body as the
 * publisher sent them, octet for octet. It is filled by the worker that receives it and does not
 * change once it is routed; queues, outboxes and unacked lists on any thread hold references.
 *
 * Every block is charged to the process's message memory, which the memory alarm watches.
 */

#include "broker/base/bytes.h"

#include <stdatomic.h>

struct message {
    _Atomic uint32_t refs;
    uint32_t properties_size;
    uint64_t body_size;
    uint8_t exchange_size;
    uint8_t key_size;
    uint8_t priority;    /* 0 if the publisher gave none. */
    bool is_persistent;  /* delivery-mode 2 */
    bool has_expiration; /* The property is there. */
    bool has_bcc;        /* There is a header that nobody must see. */
    uint8_t data[];      /* exchange, routing key, properties, body */
};

/* With one reference and the body yet to be filled in; NULL if there is no memory for it.
 * The names are at most 255 octets. */
struct message *message_create(struct bytes exchange, struct bytes key, struct bytes properties,
                               uint64_t body_size);

static inline void
message_ref(struct message *m)
{
    atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
}

static inline void
message_ref_many(struct message *m, uint32_t count)
{
    atomic_fetch_add_explicit(&m->refs, count, memory_order_relaxed);
}

void message_unref(struct message *m);

/* Octets that are held on behalf of messages: bodies as they come in, and what lists of messages
 * take beside them. Negative when they go. Any thread. */
void message_charge(int64_t octets);

/* Lets go of a message whose body never came to its end; `missing` octets were not received. */
void message_abandon(struct message *m, uint64_t missing);

/* Whether exchange, routing key and properties are the same octets. */
bool message_differs_in_body_only(const struct message *a, const struct message *b);

static inline struct bytes
message_exchange(const struct message *m)
{
    return bytes_of(m->data, m->exchange_size);
}

static inline struct bytes
message_key(const struct message *m)
{
    return bytes_of(m->data + m->exchange_size, m->key_size);
}

static inline struct bytes
message_properties(const struct message *m)
{
    return bytes_of(m->data + m->exchange_size + m->key_size, m->properties_size);
}

static inline uint8_t *
message_body(struct message *m)
{
    return m->data + m->exchange_size + m->key_size + m->properties_size;
}

static inline struct bytes
message_body_bytes(const struct message *m)
{
    return bytes_of(m->data + m->exchange_size + m->key_size + m->properties_size, m->body_size);
}

/* What holding it costs, in octets. */
static inline uint64_t
message_cost(const struct message *m)
{
    return sizeof(*m) + m->exchange_size + m->key_size + m->properties_size + m->body_size;
}

/* Octets of all messages of the process, give or take 64 KiB a thread. Any thread. */
int64_t message_memory(void);

/* What queues may hold in memory; beyond it they page. Set once, before there are queues. */
void message_set_budget(uint64_t octets);
uint64_t message_budget(void);
bool message_is_over_budget(void);
uint64_t message_over_budget(void); /* By how much. */

#endif
