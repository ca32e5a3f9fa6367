#include "broker/core/outbox.h"

#include "broker/base/mem.h"

#define DELIVERIES_CAPACITY_FIRST 32

void
outbox_init(struct outbox *o, struct loop *loop, void (*deliver)(struct mail *mail))
{
    *o = (struct outbox){ .loop = loop };
    lock_init(&o->lock);
    mail_init(&o->mail, deliver);
}

void
outbox_fini(struct outbox *o)
{
    loop_unpost(o->loop, &o->mail);
    mem_free(o->pushed.items);
    mem_free(o->taken.items);
    lock_fini(&o->lock);
}

void
outbox_open(struct outbox *o)
{
    lock_acquire(&o->lock);
}

void
outbox_push(struct outbox *o, struct consumer *consumer, const struct entry *e)
{
    struct deliveries *d = &o->pushed;
    if (d->count == d->capacity) {
        d->capacity = d->capacity == 0 ? DELIVERIES_CAPACITY_FIRST : d->capacity * 2;
        d->items = mem_resize(d->items, d->capacity * sizeof(*d->items));
    }
    d->items[d->count++] = (struct delivery){ consumer, *e };
}

void
outbox_close(struct outbox *o)
{
    const bool any = o->pushed.count > 0;
    lock_release(&o->lock);
    if (any)
        loop_post(o->loop, &o->mail);
}

bool
outbox_take(struct outbox *o, struct delivery *out)
{
    if (o->next == o->taken.count) {
        mem_free(o->taken.items);
        o->next = 0;
        lock_acquire(&o->lock);
        o->taken = o->pushed;
        o->pushed = (struct deliveries){ 0 };
        lock_release(&o->lock);
        if (o->taken.count == 0)
            return false;
    }
    *out = o->taken.items[o->next++];
    return true;
}

void
outbox_untake(struct outbox *o)
{
    ASSERT(o->next > 0);
    o->next--;
}

static void
deliveries_visit(struct deliveries *d, uint32_t from, const struct consumer *consumer,
                 bool (*visit)(void *context, struct delivery *d), void *context)
{
    uint32_t kept = from;
    for (uint32_t i = from; i < d->count; i++) {
        if (d->items[i].consumer == consumer && visit(context, &d->items[i]))
            continue;
        d->items[kept++] = d->items[i];
    }
    d->count = kept;
}

void
outbox_visit(struct outbox *o, const struct consumer *consumer,
             bool (*visit)(void *context, struct delivery *d), void *context)
{
    deliveries_visit(&o->taken, o->next, consumer, visit, context);
    lock_acquire(&o->lock);
    deliveries_visit(&o->pushed, 0, consumer, visit, context);
    lock_release(&o->lock);
}
