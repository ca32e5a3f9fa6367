#include "broker/core/effects.h"

#include "broker/base/mem.h"
#include "broker/core/queue.h"
#include "broker/core/record.h"
#include "persistence/rows.h"

/* Bodies from this size on are referred to. */
#define BODY_REFER_MIN 16384u

void
effects_init(struct effects *x, const struct queue *q, enum effect_kind kind)
{
    *x = (struct effects){ .kind = kind, .levels = q->effective.max_priority + 1u };
    x->by_level = x->levels == 1 ? &x->one : mem_alloc_zeroed(x->levels * sizeof(*x->by_level));
}

void
effects_fini(struct effects *x)
{
    for (size_t i = 0; i < x->closed_count; i++)
        effect_fini(&x->closed[i].effect);
    for (unsigned i = 0; i < x->levels; i++)
        effect_fini(&x->by_level[i].effect);
    mem_free(x->closed);
    if (x->by_level != &x->one)
        mem_free(x->by_level);
}

static void
message_release(void *owner)
{
    message_unref(owner);
}

/* The level begins a new effect: spans of one log's effects must not reach into each other. */
static void
part_close(struct effects *x, struct effect_part *part)
{
    if (part->effect.count == 0)
        return;
    x->closed = mem_resize(x->closed, (x->closed_count + 1) * sizeof(*x->closed));
    x->closed[x->closed_count++] = *part;
    *part = (struct effect_part){ 0 };
}

static void
add_large_record(struct effects *x, const struct entry *e, uint32_t offset, uint64_t wall_us)
{
    struct effect_part *part = &x->by_level[e->priority];
    part_close(x, part);
    part->offset = offset;
    part->effect.log = e->priority;
    part->effect.count = 1;
    record_append_head(&part->effect.payload, e, 0, wall_us);
    message_ref(e->message);
    part->effect.tail =
        (struct effect_tail){ message_body_bytes(e->message), message_release, e->message };
    part_close(x, part);
}

void
effects_add_record(struct effects *x, const struct entry *e, uint32_t offset, uint64_t wall_us)
{
    if (e->message->body_size >= BODY_REFER_MIN) {
        add_large_record(x, e, offset, wall_us);
        return;
    }
    struct effect_part *part = &x->by_level[e->priority];
    if (part->effect.count++ == 0)
        part->offset = offset;
    part->effect.log = e->priority;
    record_append(&part->effect.payload, e, offset - part->offset, wall_us);
}

void
effects_add_settled(struct effects *x, const struct entry *e)
{
    if (!e->is_durable)
        return;
    struct effect *effect = &x->by_level[e->priority].effect;
    effect->log = e->priority;
    effect->count += settled_runs_add(&effect->payload, e->sequence, (uint32_t)entry_body_size(e));
}

static uint64_t
part_push(struct effects *x, struct queue *q, struct effect_part *part, uint64_t base)
{
    if (part->effect.count == 0)
        return 0;
    part->effect.kind = x->kind;
    part->effect.log += q->log;
    part->effect.sequence = base + part->offset;
    const uint64_t ticket = door_push(q->door, &part->effect);
    *part = (struct effect_part){ 0 };
    return ticket;
}

uint64_t
effects_push(struct effects *x, struct queue *q, uint64_t base)
{
    uint64_t ticket = 0;
    if (atomic_load_explicit(&q->deleted, memory_order_relaxed))
        return 0;
    for (size_t i = 0; i < x->closed_count; i++)
        ticket = part_push(x, q, &x->closed[i], base);
    for (unsigned i = 0; i < x->levels; i++) {
        const uint64_t last = part_push(x, q, &x->by_level[i], base);
        ticket = last != 0 ? last : ticket;
    }
    return ticket;
}
