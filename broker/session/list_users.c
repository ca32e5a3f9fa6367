#include "broker/session/list_users.h"

#include "broker/auth/auth.h"
#include "broker/base/mem.h"
#include "broker/config/text.h"

#include <stdlib.h>

#define USER(object) ((const struct user_spec *)(object))
#define PERMISSION(object) ((const struct permission_spec *)(object))
#define TOPIC(object) ((const struct topic_permission_spec *)(object))

static void
put_user(struct rows *r, const void *object)
{
    cell_put_text(r, USER(object)->name);
}

/* A JSON array, as RabbitMQ has it. */
static void
put_tags(struct rows *r, const void *object)
{
    struct bytes tags = USER(object)->tags;
    struct bytes tag;
    struct buf json = { 0 };
    buf_append(&json, "[", 1);
    while (rows_next(&tags, &tag)) {
        if (json.size > 1)
            buf_append(&json, ",", 1);
        text_json(&json, tag);
    }
    buf_append(&json, "]", 1);
    cell_put_json(r, buf_bytes(&json));
    buf_fini(&json);
}

static void
put_limit(struct rows *r, int64_t limit)
{
    if (limit == NO_LIMIT)
        cell_put_none(r);
    else
        cell_put_signed(r, limit);
}

static void
put_max_connections(struct rows *r, const void *object)
{
    put_limit(r, USER(object)->max_connections);
}

static void
put_max_channels(struct rows *r, const void *object)
{
    put_limit(r, USER(object)->max_channels);
}

static void
put_loopback_only(struct rows *r, const void *object)
{
    cell_put_bool(r, USER(object)->loopback_only);
}

const struct column user_columns[] = {
    { "user", put_user, true, "The name." },
    { "tags", put_tags, true, "Tags, as JSON." },
    { "max_connections", put_max_connections, false, "Connections it may have; none: any number." },
    { "max_channels", put_max_channels, false, "Channels it may have; none: any number." },
    { "loopback_only", put_loopback_only, false, "It may log in from this machine only." },
};
const size_t user_column_count = sizeof(user_columns) / sizeof(user_columns[0]);

static void
put_permission_user(struct rows *r, const void *object)
{
    cell_put_text(r, PERMISSION(object)->user);
}

static void
put_configure(struct rows *r, const void *object)
{
    cell_put_text(r, PERMISSION(object)->configure);
}

static void
put_write(struct rows *r, const void *object)
{
    cell_put_text(r, PERMISSION(object)->write);
}

static void
put_read(struct rows *r, const void *object)
{
    cell_put_text(r, PERMISSION(object)->read);
}

const struct column permission_columns[] = {
    { "user", put_permission_user, true, "Who." },
    { "configure", put_configure, true, "May make and delete what fits this regular expression." },
    { "write", put_write, true, "May publish and bind to what fits this one." },
    { "read", put_read, true, "May consume and bind from what fits this one." },
};
const size_t permission_column_count = sizeof(permission_columns) / sizeof(permission_columns[0]);

static void
put_topic_user(struct rows *r, const void *object)
{
    cell_put_text(r, TOPIC(object)->user);
}

static void
put_exchange(struct rows *r, const void *object)
{
    cell_put_text(r, TOPIC(object)->exchange);
}

static void
put_topic_write(struct rows *r, const void *object)
{
    cell_put_text(r, TOPIC(object)->write);
}

static void
put_topic_read(struct rows *r, const void *object)
{
    cell_put_text(r, TOPIC(object)->read);
}

const struct column topic_permission_columns[] = {
    { "user", put_topic_user, true, "Who." },
    { "exchange", put_exchange, true, "The exchange, of the type topic." },
    { "write", put_topic_write, true, "May publish with routing keys that fit." },
    { "read", put_topic_read, true, "May bind with routing keys that fit." },
};
const size_t topic_permission_column_count =
    sizeof(topic_permission_columns) / sizeof(topic_permission_columns[0]);

/* Users come in no order: rows are kept apart until they are all there. */
struct keyed_row {
    struct buf key;
    struct rows row;
};

struct user_listing {
    const struct selection *selection;
    struct bytes vhost;
    struct keyed_row *items;
    size_t count;
};

static void
keep(struct user_listing *l, struct bytes user, struct bytes other, const void *object)
{
    l->items = mem_resize(l->items, (l->count + 1) * sizeof(l->items[0]));
    struct keyed_row *item = &l->items[l->count++];
    *item = (struct keyed_row){ 0 };
    buf_append_bytes(&item->key, user);
    buf_append(&item->key, "", 1);
    buf_append_bytes(&item->key, other);
    selection_put(l->selection, &item->row, object);
}

static void
keep_user(void *context, const struct user_spec *spec)
{
    keep(context, spec->name, BYTES_NONE, spec);
}

static void
keep_permission(void *context, const struct permission_spec *spec)
{
    struct user_listing *l = context;
    if (bytes_equal(spec->vhost, l->vhost))
        keep(l, spec->user, BYTES_NONE, spec);
}

static void
keep_topic_permission(void *context, const struct topic_permission_spec *spec)
{
    struct user_listing *l = context;
    if (bytes_equal(spec->vhost, l->vhost))
        keep(l, spec->user, spec->exchange, spec);
}

static int
row_order(const void *a, const void *b)
{
    const struct keyed_row *x = a;
    const struct keyed_row *y = b;
    return bytes_compare(buf_bytes(&x->key), buf_bytes(&y->key));
}

static void
list(struct broker *b, struct auth_visitor visitor, struct user_listing *l, struct rows *r)
{
    visitor.context = l;
    auth_visit(b->auth, &visitor);
    if (l->count > 0)
        qsort(l->items, l->count, sizeof(l->items[0]), row_order);
    for (size_t i = 0; i < l->count; i++) {
        rows_join(r, &l->items[i].row);
        buf_fini(&l->items[i].key);
    }
    mem_free(l->items);
}

void
list_users(struct broker *b, const struct selection *s, struct rows *r)
{
    list(b, (struct auth_visitor){ .user = keep_user }, &(struct user_listing){ .selection = s },
         r);
}

void
list_permissions(struct broker *b, struct vhost *v, const struct selection *s, struct rows *r)
{
    list(b, (struct auth_visitor){ .permission = keep_permission },
         &(struct user_listing){ .selection = s, .vhost = v->name }, r);
}

void
list_topic_permissions(struct broker *b, struct vhost *v, const struct selection *s, struct rows *r)
{
    list(b, (struct auth_visitor){ .topic_permission = keep_topic_permission },
         &(struct user_listing){ .selection = s, .vhost = v->name }, r);
}
