#include "broker/core/message.h"

#include "broker/base/mem.h"
#include "broker/base/panic.h"

/* Threads settle with the total when they owe this much, so that the hot path shares nothing. */
#define CHARGE_BATCH (64 * 1024)

static _Atomic int64_t memory_total;
static _Thread_local int64_t memory_owed;

static int64_t memory_budget = INT64_MAX;

void
message_charge(int64_t octets)
{
    memory_owed += octets;
    if (memory_owed > CHARGE_BATCH || memory_owed < -CHARGE_BATCH) {
        atomic_fetch_add_explicit(&memory_total, memory_owed, memory_order_relaxed);
        memory_owed = 0;
    }
}

int64_t
message_memory(void)
{
    return atomic_load_explicit(&memory_total, memory_order_relaxed);
}

struct message *
message_create(struct bytes exchange, struct bytes key, struct bytes properties, uint64_t body_size)
{
    ASSERT(exchange.size <= 255);
    ASSERT(key.size <= 255);
    ASSERT(properties.size <= UINT32_MAX);
    const size_t names = exchange.size + key.size + properties.size;
    struct message *m = mem_try_alloc(sizeof(*m) + names + body_size);
    if (m == NULL)
        return NULL;
    atomic_init(&m->refs, 1);
    m->properties_size = (uint32_t)properties.size;
    m->body_size = body_size;
    m->exchange_size = (uint8_t)exchange.size;
    m->key_size = (uint8_t)key.size;
    m->priority = 0;
    m->is_persistent = false;
    m->has_expiration = false;
    m->has_bcc = false;
    uint8_t *at = m->data;
    if (exchange.size > 0)
        memcpy(at, exchange.data, exchange.size);
    at += exchange.size;
    if (key.size > 0)
        memcpy(at, key.data, key.size);
    at += key.size;
    if (properties.size > 0)
        memcpy(at, properties.data, properties.size);
    message_charge((int64_t)(message_cost(m) - body_size));
    return m;
}

bool
message_differs_in_body_only(const struct message *a, const struct message *b)
{
    return a->exchange_size == b->exchange_size && a->key_size == b->key_size &&
           a->properties_size == b->properties_size &&
           memcmp(a->data, b->data, a->exchange_size + a->key_size + a->properties_size) == 0;
}

void
message_set_budget(uint64_t octets)
{
    memory_budget = octets > INT64_MAX ? INT64_MAX : (int64_t)octets;
}

uint64_t
message_budget(void)
{
    return (uint64_t)memory_budget;
}

bool
message_is_over_budget(void)
{
    return message_memory() > memory_budget;
}

uint64_t
message_over_budget(void)
{
    const int64_t over = message_memory() - memory_budget;
    return over > 0 ? (uint64_t)over : 0;
}

void
message_abandon(struct message *m, uint64_t missing)
{
    message_charge((int64_t)missing);
    message_unref(m);
}

void
message_unref(struct message *m)
{
    const uint32_t before = atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel);
    ASSERT(before > 0);
    if (before > 1)
        return;
    message_charge(-(int64_t)message_cost(m));
    mem_free(m);
}
