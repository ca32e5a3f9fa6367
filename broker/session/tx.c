#include "broker/session/tx.h"

#include "broker/base/mem.h"

struct tx *
tx_create(void)
{
    return mem_alloc_zeroed(sizeof(struct tx));
}

void
tx_add_publish(struct tx *t, struct message *m, bool mandatory)
{
    if (t->publish_count == t->publish_capacity) {
        t->publish_capacity = t->publish_capacity == 0 ? 16 : t->publish_capacity * 2;
        t->publishes = mem_resize(t->publishes, t->publish_capacity * sizeof(*t->publishes));
    }
    t->publishes[t->publish_count++] = (struct tx_publish){ m, mandatory };
}

void
tx_add_settle(struct tx *t, struct unacked_item *item, enum tx_fate fate)
{
    ASSERT(!item->in_tx);
    item->in_tx = true;
    if (t->settle_count == t->settle_capacity) {
        t->settle_capacity = t->settle_capacity == 0 ? 16 : t->settle_capacity * 2;
        t->settles = mem_resize(t->settles, t->settle_capacity * sizeof(*t->settles));
    }
    t->settles[t->settle_count++] = (struct tx_settle){ item->tag, fate };
}

void
tx_clear(struct tx *t)
{
    for (size_t i = 0; i < t->publish_count; i++)
        message_unref(t->publishes[i].message);
    mem_free(t->publishes);
    mem_free(t->settles);
    *t = (struct tx){ 0 };
}

void
tx_destroy(struct tx *t)
{
    tx_clear(t);
    mem_free(t);
}
