#include "broker/topology/current.h"

#include "broker/auth/auth.h"
#include "broker/base/endian.h"
#include "broker/base/mem.h"
#include "broker/core/vhosts.h"

#include <stdio.h>
#include <stdlib.h>

#define KEY_MADE "made:"

static void
put_part(struct buf *out, struct bytes part)
{
    store_be32(buf_reserve(out, 4), (uint32_t)part.size);
    out->size += 4;
    buf_append_bytes(out, part);
}

static struct buf
note_key(const struct topology_item *item)
{
    struct buf key = { 0 };
    const uint8_t kind[] = { (uint8_t)item->kind, item->to_exchange };
    buf_printf(&key, KEY_MADE);
    buf_append(&key, kind, sizeof(kind));
    put_part(&key, item->vhost);
    put_part(&key, item->name);
    put_part(&key, item->other);
    put_part(&key, item->key);
    put_part(&key, item->identity);
    return key;
}

/* A durable queue's log is its own for ever: another queue of the same name has another one. */
static uint64_t
log_of(struct broker *b, const struct topology_item *item)
{
    struct vhost *v = item->kind == TOPOLOGY_QUEUE ? broker_find_vhost(b, item->vhost) : NULL;
    uint64_t log = 0;
    if (v == NULL)
        return 0;
    rwlock_read(&v->topology);
    const struct queue *q = vhost_find_queue(v, item->name);
    if (q != NULL)
        log = q->log;
    rwlock_read_end(&v->topology);
    return log;
}

uint64_t
current_note_made(struct broker *b, const struct topology_item *item, struct bytes origin)
{
    struct buf key = note_key(item);
    struct buf value = { 0 };
    store_be64(buf_reserve(&value, 8), log_of(b, item));
    value.size += 8;
    buf_append_bytes(&value, origin);
    const uint64_t ticket = notes_put(&b->notes, buf_bytes(&key), buf_bytes(&value));
    buf_fini(&key);
    buf_fini(&value);
    return ticket;
}

uint64_t
current_note_gone(struct broker *b, const struct topology_item *item)
{
    struct buf key = note_key(item);
    const uint64_t ticket = notes_delete(&b->notes, buf_bytes(&key));
    buf_fini(&key);
    return ticket;
}

static bool
made_by(struct broker *b, const struct topology_item *item, struct bytes origin)
{
    struct buf key = note_key(item);
    struct buf value = { 0 };
    const bool is_made = notes_get(&b->notes, buf_bytes(&key), &value) && value.size >= 8 &&
                         load_be64(value.data) == log_of(b, item) &&
                         bytes_equal(bytes_of(value.data + 8, value.size - 8), origin);
    buf_fini(&key);
    buf_fini(&value);
    return is_made;
}

static void
add_exchange(struct topology *t, const struct vhost *v, const struct exchange *x)
{
    const struct topology_item names = { .kind = TOPOLOGY_EXCHANGE,
                                         .vhost = v->name,
                                         .name = x->name };
    struct topology_item *item = topology_add(t, &names);
    topology_set_text(t, item, EXCHANGE_TYPE, exchange_type_name(x));
    topology_set_bool(t, item, EXCHANGE_DURABLE, x->durable);
    topology_set_bool(t, item, EXCHANGE_AUTO_DELETE, x->auto_delete);
    topology_set_bool(t, item, EXCHANGE_INTERNAL, x->internal);
    topology_set(t, item, EXCHANGE_ARGUMENTS, x->arguments);
    if (x->pending != NULL)
        item->messages = queue_counts(x->pending).ready;
}

static bool
is_planned(const struct queue *q)
{
    return q->owner == 0 && q->delays_for.size == 0 &&
           !bytes_start_with(q->name, BYTES_LITERAL("amq."));
}

static void
add_queue(struct topology *t, const struct vhost *v, struct queue *q)
{
    const struct topology_item names = { .kind = TOPOLOGY_QUEUE,
                                         .vhost = v->name,
                                         .name = q->name };
    const struct queue_counts counts = queue_counts(q);
    struct topology_item *item = topology_add(t, &names);
    topology_set_bool(t, item, QUEUE_DURABLE, q->durable);
    topology_set_bool(t, item, QUEUE_AUTO_DELETE, q->auto_delete);
    topology_set(t, item, QUEUE_ARGUMENTS, q->arguments);
    item->messages = counts.ready + counts.unacked;
    item->consumers = counts.consumers;
}

static void
add_bindings(struct topology *t, const struct vhost *v, const struct exchange *x)
{
    for (const struct binding *b = NULL; (b = router_next_binding(&x->router, b)) != NULL;) {
        struct topology_item names = {
            .kind = TOPOLOGY_BINDING,
            .vhost = v->name,
            .other = x->name,
            .key = b->key,
            .arguments = b->arguments,
        };
        if (b->destination->kind == DESTINATION_QUEUE) {
            const struct queue *q = LIST_CONTAINER(b->destination, struct queue, destination);
            if (!is_planned(q))
                continue;
            names.name = q->name;
        } else {
            names.name = exchange_of_router(router_of_destination(b->destination))->name;
            names.to_exchange = true;
        }
        topology_add(t, &names);
    }
}

/* Without a limit it is -1: what the file says is compared with that. */
static void
set_limit(struct topology *t, struct topology_item *item, size_t field, int64_t limit)
{
    char text[24];
    snprintf(text, sizeof(text), "%lld", limit < 0 ? -1LL : (long long)limit);
    topology_set_text(t, item, field, text);
}

/* Nothing said is no value. */
static void
set_unless_empty(struct topology *t, struct topology_item *item, size_t field, struct bytes value)
{
    if (value.size > 0)
        topology_set(t, item, field, value);
}

static void
add_each_vhost(void *context, struct vhost *v, const struct vhost_spec *spec)
{
    struct topology *t = context;
    const struct topology_item names = { .kind = TOPOLOGY_VHOST, .name = v->name };
    struct topology_item *item = topology_add(t, &names);
    set_unless_empty(t, item, VHOST_DESCRIPTION, spec->description);
    set_unless_empty(t, item, VHOST_TAGS, spec->tags);
    set_unless_empty(t, item, VHOST_DEFAULT_QUEUE_TYPE, spec->default_queue_type);
    set_limit(t, item, VHOST_MAX_CONNECTIONS, spec->max_connections);
    set_limit(t, item, VHOST_MAX_QUEUES, spec->max_queues);
    rwlock_read(&v->topology);
    for (struct map_node *n = NULL; (n = map_next(&v->exchanges, n)) != NULL;) {
        const struct exchange *x = MAP_CONTAINER(n, struct exchange, by_name);
        add_exchange(t, v, x);
        add_bindings(t, v, x);
    }
    for (struct map_node *n = NULL; (n = map_next(&v->queues, n)) != NULL;) {
        struct queue *q = MAP_CONTAINER(n, struct queue, by_name);
        if (is_planned(q))
            add_queue(t, v, q);
    }
    rwlock_read_end(&v->topology);
}

static void
add_user(void *context, const struct user_spec *spec)
{
    struct topology *t = context;
    const struct topology_item names = { .kind = TOPOLOGY_USER, .name = spec->name };
    struct topology_item *item = topology_add(t, &names);
    set_unless_empty(t, item, USER_PASSWORD_HASH, spec->hash);
    topology_set(t, item, USER_TAGS, spec->tags);
    set_limit(t, item, USER_MAX_CONNECTIONS, spec->max_connections);
    set_limit(t, item, USER_MAX_CHANNELS, spec->max_channels);
    if (spec->loopback_only)
        topology_set_text(t, item, USER_CONNECT_FROM, "loopback\n");
}

static void
add_permission(void *context, const struct permission_spec *spec)
{
    struct topology *t = context;
    const struct topology_item names = { .kind = TOPOLOGY_PERMISSION,
                                         .vhost = spec->vhost,
                                         .name = spec->user };
    struct topology_item *item = topology_add(t, &names);
    topology_set(t, item, PERMISSION_CONFIGURE, spec->configure);
    topology_set(t, item, PERMISSION_WRITE, spec->write);
    topology_set(t, item, PERMISSION_READ, spec->read);
}

static void
add_topic_permission(void *context, const struct topic_permission_spec *spec)
{
    struct topology *t = context;
    const struct topology_item names = { .kind = TOPOLOGY_TOPIC_PERMISSION,
                                         .vhost = spec->vhost,
                                         .name = spec->user,
                                         .other = spec->exchange };
    struct topology_item *item = topology_add(t, &names);
    topology_set(t, item, TOPIC_PERMISSION_WRITE, spec->write);
    topology_set(t, item, TOPIC_PERMISSION_READ, spec->read);
}

static void
add_policy(void *context, const struct policy_spec *policy)
{
    struct topology *t = context;
    char priority[16];
    const struct topology_item names = {
        .kind = policy->is_operators ? TOPOLOGY_OPERATOR_POLICY : TOPOLOGY_POLICY,
        .vhost = policy->vhost,
        .name = policy->name,
    };
    struct topology_item *item = topology_add(t, &names);
    snprintf(priority, sizeof(priority), "%d", policy->priority);
    topology_set(t, item, POLICY_PATTERN, policy->pattern);
    topology_set_text(t, item, POLICY_APPLY_TO, policy_apply_to_name(policy->apply_to));
    topology_set_text(t, item, POLICY_PRIORITY, priority);
    topology_set(t, item, POLICY_DEFINITION, policy->definition);
}

void
current_read(struct broker *b, struct bytes origin, struct topology *t)
{
    broker_each_vhost(b, add_each_vhost, t);
    policies_each(&b->policies, add_policy, t);
    auth_visit(b->auth,
               &(const struct auth_visitor){ add_user, add_permission, add_topic_permission, t });
    topology_sort(t);
    for (size_t i = 0; origin.size > 0 && i < t->count; i++)
        t->items[i].is_owned = made_by(b, &t->items[i], origin);
}

struct keys {
    struct buf *items;
    size_t count;
};

static int
key_order(const void *a, const void *b)
{
    return bytes_compare(buf_bytes(a), buf_bytes(b));
}

static void
collect_stale(void *context, struct bytes key, struct bytes value)
{
    struct keys *keys = context; /* Those that are there, and behind them those that are not. */
    (void)value;
    keys->items = mem_resize(keys->items, (keys->count + 1) * sizeof(keys->items[0]));
    keys->items[keys->count] = (struct buf){ 0 };
    buf_append_bytes(&keys->items[keys->count++], key);
}

void
current_tidy_notes(struct broker *b, const struct topology *t)
{
    struct keys there = { .items = mem_alloc((t->count + 1) * sizeof(struct buf)) };
    struct keys noted = { 0 };
    for (size_t i = 0; i < t->count; i++)
        there.items[there.count++] = note_key(&t->items[i]);
    qsort(there.items, there.count, sizeof(there.items[0]), key_order);
    notes_each(&b->notes, BYTES_LITERAL(KEY_MADE), collect_stale, &noted);
    for (size_t i = 0; i < noted.count; i++) {
        if (bsearch(&noted.items[i], there.items, there.count, sizeof(there.items[0]), key_order) ==
            NULL)
            notes_delete(&b->notes, buf_bytes(&noted.items[i]));
        buf_fini(&noted.items[i]);
    }
    for (size_t i = 0; i < there.count; i++)
        buf_fini(&there.items[i]);
    mem_free(there.items);
    mem_free(noted.items);
}
