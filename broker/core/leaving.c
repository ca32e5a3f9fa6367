#include "broker/core/leaving.h"

#include "broker/base/mem.h"
#include "broker/core/dead_letters.h"
#include "broker/core/queue.h"
#include "broker/core/vhost.h"

void
leaving_add(struct leaving *l, const struct entry *e)
{
    if (e->is_absent)
        return;
    if (l->message_count == l->message_capacity) {
        l->message_capacity = l->message_capacity == 0 ? 16 : l->message_capacity * 2;
        l->messages = mem_resize(l->messages, l->message_capacity * sizeof(struct message *));
    }
    l->messages[l->message_count++] = e->message;
}

void
leaving_add_dead(struct leaving *l, const struct entry *e, enum death_reason reason)
{
    if (l->dead_count == l->dead_capacity) {
        l->dead_capacity = l->dead_capacity == 0 ? 16 : l->dead_capacity * 2;
        l->dead = mem_resize(l->dead, l->dead_capacity * sizeof(*l->dead));
    }
    l->dead[l->dead_count++] = (struct dead){ .entry = *e, .reason = reason };
}

void
leaving_post(struct leaving *l, struct queue *q)
{
    if (l->dead_count > 0)
        dead_letters_post(q->vhost->dead_letters, q, l->dead, l->dead_count);
    l->dead = NULL;
    l->dead_count = 0;
    l->dead_capacity = 0;
}

void
leaving_release(struct leaving *l)
{
    ASSERT(l->dead_count == 0);
    for (size_t i = 0; i < l->message_count; i++)
        message_unref(l->messages[i]);
    mem_free(l->messages);
    *l = (struct leaving){ 0 };
}
