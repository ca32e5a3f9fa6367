/* queue.declare and queue.delete. */

#include "amqp/table.h"
#include "broker/core/definition.h"
#include "broker/core/policy.h"
#include "broker/core/vhost_internal.h"

static bool
raise_locked(const struct queue *q, struct amqp_exception *ex)
{
    char subject[OBJECT_NAME_SIZE];
    queue_subject(subject, q->vhost, q->name);
    return amqp_raise(ex, AMQP_RESOURCE_LOCKED,
                      "cannot obtain exclusive access to locked %s. It could be originally "
                      "declared on another connection or the exclusive property value does not "
                      "match that of the original declaration.",
                      subject);
}

bool
queue_check_owner(const struct queue *q, uint64_t connection, struct amqp_exception *ex)
{
    return q->owner == 0 || q->owner == connection || raise_locked(q, ex);
}

struct queue *
vhost_use_queue(struct vhost *v, struct bytes name, uint64_t connection, struct amqp_exception *ex)
{
    rwlock_read(&v->topology);
    struct queue *q = vhost_find_queue(v, name);
    if (q != NULL)
        queue_ref(q);
    rwlock_read_end(&v->topology);
    if (q == NULL) {
        vhost_raise_no_queue(v, name, ex);
        return NULL;
    }
    if (!queue_check_owner(q, connection, ex)) {
        queue_unref(q);
        return NULL;
    }
    return q;
}

static bool
queue_equivalent(const struct queue *q, const struct queue_spec *spec, uint64_t connection,
                 struct amqp_exception *ex)
{
    char subject[OBJECT_NAME_SIZE];
    queue_subject(subject, q->vhost, q->name);
    if (q->owner != spec->owner || (q->owner != 0 && q->owner != connection))
        return raise_locked(q, ex);
    return bool_equivalent("durable", spec->durable, q->durable, subject, ex) &&
           bool_equivalent("auto_delete", spec->auto_delete, q->auto_delete, subject, ex) &&
           queue_arguments_equivalent(spec->arguments, q->arguments, q->name, q->vhost->name, ex);
}

/* Arguments and policies together. Texts of the result point into both. */
static void
add_policies(const struct vhost *v, struct bytes name, struct queue_arguments *a,
             struct policy_in_force found[POLICY_SORTS])
{
    static const enum policy_target targets[] = {
        [QUEUE_CLASSIC] = POLICY_FOR_CLASSIC_QUEUE,
        [QUEUE_QUORUM] = POLICY_FOR_QUORUM_QUEUE,
        [QUEUE_STREAM] = POLICY_FOR_STREAM,
    };
    const enum policy_target target = targets[a->type];
    if (v->policies != NULL && policy_for(v->policies, v->name, name, target, found))
        queue_arguments_add_policy(a, buf_bytes(&found[POLICY_USERS].definition),
                                   buf_bytes(&found[POLICY_OPERATORS].definition));
}

bool
queue_rules_find(const struct queue *q, struct queue_rules *out)
{
    struct amqp_exception ex;
    *out = (struct queue_rules){ .arguments = QUEUE_ARGUMENTS_NONE };
    if (q->delays_for.size > 0 ||
        !queue_arguments_parse(q->arguments, q->name, q->vhost->name, &out->arguments, &ex))
        return false;
    add_policies(q->vhost, q->name, &out->arguments, out->policies);
    return true;
}

void
queue_rules_fini(struct queue_rules *rules)
{
    policies_in_force_fini(rules->policies);
}

void
queue_apply_policies(struct queue *q)
{
    struct queue_rules rules;
    if (queue_rules_find(q, &rules))
        queue_set_limits(q, &rules.arguments);
    queue_rules_fini(&rules);
}

static struct queue *
queue_insert(struct vhost *v, const struct queue_spec *spec) REQUIRES(v->topology)
{
    struct queue *q = queue_create(v, v->door, spec);
    map_insert(&v->queues, &q->by_name, bytes_hash(q->name));
    if (q->durable)
        q->ticket = definition_keep_queue(v, q);
    return q;
}

struct queue *
pending_queue_get(struct vhost *v, const struct exchange *x)
{
    struct buf name = { 0 };
    buf_append_bytes(&name, BYTES_LITERAL(PENDING_QUEUE_PREFIX));
    buf_append_bytes(&name, x->name);
    struct queue *q = vhost_find_queue(v, buf_bytes(&name));
    if (q == NULL)
        q = queue_insert(v, &(struct queue_spec){
                                .name = buf_bytes(&name),
                                .effective = QUEUE_ARGUMENTS_NONE,
                                .durable = x->durable,
                                .window = 1,
                                .delays_for = x->name,
                            });
    buf_fini(&name);
    queue_ref(q);
    return q;
}

uint64_t
pending_queue_end(struct vhost *v, struct queue *q)
{
    struct queue_remains remains = { 0 };
    struct amqp_exception ex;
    if (vhost_find_queue(v, q->name) != q)
        return 0;
    queue_end(q, false, false, &remains, &ex);
    map_remove(&v->queues, &q->by_name);
    const uint64_t ticket = q->durable ? definition_forget_queue(v, q) : 0;
    queue_release_remains(q, &remains);
    queue_unref(q);
    return ticket;
}

struct queue *
vhost_restore_queue(struct vhost *v, const struct queue_spec *spec)
{
    rwlock_write(&v->topology);
    struct queue *q = queue_create(v, v->door, spec);
    map_insert(&v->queues, &q->by_name, bytes_hash(q->name));
    rwlock_write_end(&v->topology);
    return q;
}

/* Where the virtual host says so, queues that can be are of another type. */
static void
add_default_type(const struct vhost *v, struct queue_spec *spec, struct buf *typed)
{
    struct table_field f;
    struct buf longer = { 0 };
    const enum queue_type type = (enum queue_type)atomic_load(&v->default_type);
    if (type == QUEUE_CLASSIC || !spec->durable || spec->owner != 0 || spec->auto_delete ||
        table_find(spec->arguments, BYTES_LITERAL("x-queue-type"), &f))
        return;
    buf_append_bytes(&longer, spec->arguments);
    table_put_string(&longer, "x-queue-type", bytes_of_string(queue_type_name(type)));
    table_canonical(buf_bytes(&longer), typed);
    buf_fini(&longer);
    spec->arguments = buf_bytes(typed);
}

static bool
has_room(struct vhost *v, struct bytes name, struct amqp_exception *ex) REQUIRES_SHARED(v->topology)
{
    const int64_t most = atomic_load(&v->max_queues);
    return most < 0 || (int64_t)v->queues.count < most ||
           amqp_raise(ex, AMQP_PRECONDITION_FAILED,
                      "cannot declare queue '%.*s': queue limit in vhost '%.*s' (%lld) is reached",
                      BYTES_ARGS(name), BYTES_ARGS(v->name), (long long)most);
}

bool
vhost_declare_queue(struct vhost *v, const struct queue_spec *spec, uint64_t connection,
                    struct queue **out, bool *created, uint64_t *ticket, struct amqp_exception *ex)
{
    bool ok = true;
    *ticket = 0;
    *created = false;
    struct queue_spec parsed = *spec;
    struct policy_in_force found[POLICY_SORTS] = { 0 };
    struct buf typed = { 0 };
    add_default_type(v, &parsed, &typed);
    spec = &parsed;
    rwlock_write(&v->topology);
    struct queue *q = vhost_find_queue(v, spec->name);
    if (q != NULL) {
        ok = queue_equivalent(q, spec, connection, ex);
        queue_touch(q);
    } else {
        ok = vhost_is_up(v, ex) && has_room(v, spec->name, ex) &&
             queue_arguments_parse(spec->arguments, spec->name, v->name, &parsed.effective, ex) &&
             queue_type_allows(&parsed.effective, spec->durable, spec->owner != 0,
                               spec->auto_delete, spec->name, v->name, ex);
        if (ok) {
            add_policies(v, spec->name, &parsed.effective, found);
            q = queue_insert(v, &parsed);
            *created = true;
        }
    }
    if (ok) {
        *ticket = q->ticket; /* Also for those who find it there: it may not be committed yet. */
        queue_ref(q);
        *out = q;
    }
    rwlock_write_end(&v->topology);
    policies_in_force_fini(found);
    buf_fini(&typed);
    return ok;
}

bool
vhost_delete_queue(struct vhost *v, struct queue *q, bool if_unused, bool if_empty, size_t *ready,
                   uint64_t *ticket, struct amqp_exception *ex)
{
    bool ok = true;
    bool removed = false;
    struct queue_remains remains = { 0 };
    *ready = 0;
    *ticket = 0;
    if (q->delays_for.size > 0 && !v->is_closing)
        return amqp_raise(ex, AMQP_ACCESS_REFUSED,
                          "queue '%.*s' in vhost '%.*s' belongs to exchange '%.*s': delete that",
                          BYTES_ARGS(q->name), BYTES_ARGS(v->name), BYTES_ARGS(q->delays_for));
    rwlock_write(&v->topology);
    if (vhost_find_queue(v, q->name) == q) {
        ok = queue_end(q, if_unused, if_empty, &remains, ex);
        if (ok) {
            removed = true;
            map_remove(&v->queues, &q->by_name);
            list_unlink(&q->in_connection);
            *ticket = destination_remove_bindings(v, &q->destination);
            if (q->durable)
                *ticket = definition_forget_queue(v, q); /* Not before the other. */
        }
    }
    rwlock_write_end(&v->topology);
    if (removed) {
        *ready = remains.count;
        queue_release_remains(q, &remains);
        queue_unref(q);
    }
    return ok;
}
