#include "broker/admin/list_core.h"

#include "broker/base/mem.h"
#include "broker/core/vhosts.h"

struct vhost_view {
    struct vhost *vhost;
    struct queue_totals totals;
};

#define VIEW(object) ((const struct vhost_view *)(object))

struct vhost_array {
    struct vhost **items;
    size_t count;
};

static void
collect(void *context, struct vhost *v, const struct vhost_spec *spec)
{
    struct vhost_array *all = context;
    (void)spec;
    all->items = mem_resize(all->items, (all->count + 1) * sizeof(struct vhost *));
    all->items[all->count++] = v;
}

void
admin_each_vhost(struct broker *b, void (*each)(void *context, struct vhost *v), void *context)
{
    struct vhost_array all = { 0 };
    broker_each_vhost(b, collect, &all);
    for (size_t i = 0; i < all.count; i++)
        each(context, all.items[i]);
    mem_free(all.items);
}

static void
put_name(struct rows *r, const void *object)
{
    cell_put_text(r, VIEW(object)->vhost->name);
}

static void
put_queues(struct rows *r, const void *object)
{
    cell_put_number(r, VIEW(object)->totals.queues);
}

static void
put_exchanges(struct rows *r, const void *object)
{
    cell_put_number(r, VIEW(object)->totals.exchanges);
}

static void
put_ready(struct rows *r, const void *object)
{
    cell_put_number(r, VIEW(object)->totals.ready);
}

static void
put_unacked(struct rows *r, const void *object)
{
    cell_put_number(r, VIEW(object)->totals.unacked);
}

static void
put_messages(struct rows *r, const void *object)
{
    cell_put_number(r, VIEW(object)->totals.ready + VIEW(object)->totals.unacked);
}

static void
put_consumers(struct rows *r, const void *object)
{
    cell_put_number(r, VIEW(object)->totals.consumers);
}

const struct column vhost_columns[] = {
    { "name", put_name, true, "Its name." },
    { "queues", put_queues, true, "Queues in it." },
    { "exchanges", put_exchanges, true, "Exchanges in it, those that always exist included." },
    { "messages", put_messages, true, "Messages in its queues." },
    { "messages_ready", put_ready, false, "Those of them that wait for a consumer." },
    { "messages_unacknowledged", put_unacked, false, "Those that are sent and not settled." },
    { "consumers", put_consumers, true, "Consumers of its queues." },
};
const size_t vhost_column_count = sizeof(vhost_columns) / sizeof(vhost_columns[0]);

struct vhost_listing {
    struct broker *broker;
    const struct selection *selection;
    struct rows *rows;
};

static void
list_vhost(void *context, struct vhost *v)
{
    const struct vhost_listing *listing = context;
    struct vhost_view view = { .vhost = v };
    admin_totals(listing->broker, v, &view.totals);
    selection_put(listing->selection, listing->rows, &view);
}

void
list_vhosts(struct broker *b, const struct selection *s, struct rows *r)
{
    struct vhost_listing listing = { .broker = b, .selection = s, .rows = r };
    admin_each_vhost(b, list_vhost, &listing);
}
