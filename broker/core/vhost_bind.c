/* queue.bind, exchange.bind and their opposites. */

#include "amqp/table.h"
#include "broker/base/mem.h"
#include "broker/core/definition.h"
#include "broker/core/headers.h"
#include "broker/core/vhost_internal.h"

static bool
raise_invalid_match(struct bytes arguments, struct amqp_exception *ex)
{
    struct table_field f;
    const bool found = table_find(arguments, BYTES_LITERAL("x-match"), &f);
    ASSERT(found);
    if (f.tag == 'S')
        return amqp_raise(ex, AMQP_PRECONDITION_FAILED,
                          "Invalid x-match field value <<\"%.*s\">>; expected all, any, "
                          "all-with-x, or any-with-x",
                          BYTES_ARGS(f.value));
    int64_t value = 0;
    table_field_integer(&f, &value);
    return amqp_raise(ex, AMQP_PRECONDITION_FAILED,
                      "Invalid x-match field type %s (value %lld); expected longstr",
                      table_tag_name(f.tag), (long long)value);
}

/* The two ends of a binding; NULL where something is missing. */
struct ends {
    struct exchange *source;
    struct queue *queue;
    struct exchange *exchange;
    struct destination *destination;
};

static struct ends
find_ends(struct vhost *v, const struct bind_spec *spec) REQUIRES_SHARED(v->topology)
{
    struct ends ends = { .source = vhost_find_exchange(v, spec->source) };
    if (spec->destination_kind == DESTINATION_QUEUE) {
        ends.queue = vhost_find_queue(v, spec->destination);
        ends.destination = ends.queue == NULL ? NULL : &ends.queue->destination;
    } else {
        ends.exchange = vhost_find_exchange(v, spec->destination);
        ends.destination = ends.exchange == NULL ? NULL : &ends.exchange->router.destination;
    }
    return ends;
}

static bool
both_ends_durable(const struct ends *ends)
{
    return ends->source->durable &&
           (ends->queue != NULL ? ends->queue->durable : ends->exchange->durable);
}

static bool
check_ends(struct vhost *v, const struct bind_spec *spec, const struct ends *ends,
           struct amqp_exception *ex)
{
    if (ends->destination == NULL)
        return spec->destination_kind == DESTINATION_QUEUE
                   ? vhost_raise_no_queue(v, spec->destination, ex)
                   : vhost_raise_no_exchange(v, spec->destination, ex);
    if (ends->source == NULL)
        return vhost_raise_no_exchange(v, spec->source, ex);
    return true;
}

bool
vhost_restore_binding(struct vhost *v, const struct bind_spec *spec)
{
    struct headers headers;
    headers_init(&headers, spec->arguments);
    struct binding_request request = {
        .key = spec->key,
        .arguments = spec->arguments,
        .headers = headers.items,
        .header_count = headers.count,
    };
    rwlock_write(&v->topology);
    const struct ends ends = find_ends(v, spec);
    request.destination = ends.destination;
    const bool ok = ends.source != NULL && ends.destination != NULL &&
                    router_bind(&ends.source->router, &request) == BIND_ADDED;
    rwlock_write_end(&v->topology);
    headers_fini(&headers);
    return ok;
}

/* Another connection's exclusive queue may not be bound; its look-up says so. */
static bool
check_access(struct vhost *v, const struct bind_spec *spec, uint64_t connection,
             struct amqp_exception *ex)
{
    if (spec->destination_kind != DESTINATION_QUEUE)
        return true;
    struct queue *q = vhost_use_queue(v, spec->destination, connection, ex);
    if (q == NULL)
        return false;
    queue_unref(q);
    return true;
}

static bool
bind_locked(struct vhost *v, const struct bind_spec *spec, struct binding_request *request,
            uint64_t *ticket, struct amqp_exception *ex) REQUIRES(v->topology)
{
    const struct ends ends = find_ends(v, spec);
    if (!check_ends(v, spec, &ends, ex))
        return false;
    request->destination = ends.destination;
    switch (router_bind(&ends.source->router, request)) {
    case BIND_INVALID_MATCH:
        return raise_invalid_match(spec->arguments, ex);
    case BIND_NOT_A_WEIGHT:
        return amqp_raise(ex, AMQP_PRECONDITION_FAILED,
                          "The binding key must be an integer: <<\"%.*s\">>",
                          BYTES_ARGS(spec->key));
    case BIND_NO_WEIGHT:
        return amqp_raise(ex, AMQP_PRECONDITION_FAILED, "The binding key must be greater than 0");
    case BIND_EXISTS:
        return true;
    case BIND_ADDED:
        break;
    }
    exchange_changed(ends.source);
    if (both_ends_durable(&ends))
        *ticket = definition_keep_binding(v, spec, request->arguments);
    return true;
}

bool
vhost_bind(struct vhost *v, const struct bind_spec *spec, uint64_t connection, uint64_t *ticket,
           struct amqp_exception *ex)
{
    *ticket = 0;
    if (!check_access(v, spec, connection, ex))
        return false;
    struct buf arguments = { 0 };
    table_canonical(spec->arguments, &arguments);
    struct headers headers;
    headers_init(&headers, buf_bytes(&arguments));
    struct binding_request request = {
        .key = spec->key,
        .arguments = buf_bytes(&arguments),
        .headers = headers.items,
        .header_count = headers.count,
    };
    rwlock_write(&v->topology);
    const bool ok = bind_locked(v, spec, &request, ticket, ex);
    rwlock_write_end(&v->topology);
    headers_fini(&headers);
    buf_fini(&arguments);
    return ok;
}

static uint64_t
unbound(struct vhost *v, const struct bind_spec *spec, const struct ends *ends,
        struct bytes arguments) REQUIRES(v->topology)
{
    uint64_t ticket = 0;
    exchange_changed(ends->source);
    if (both_ends_durable(ends))
        ticket = definition_forget_binding(v, spec, arguments);
    if (ends->source->auto_delete && router_binding_count(&ends->source->router) == 0) {
        const uint64_t later = exchange_remove(v, ends->source);
        ticket = later > ticket ? later : ticket;
    }
    return ticket;
}

bool
vhost_unbind(struct vhost *v, const struct bind_spec *spec, uint64_t connection, uint64_t *ticket,
             struct amqp_exception *ex)
{
    bool ok = true;
    struct buf arguments = { 0 };
    *ticket = 0;
    table_canonical(spec->arguments, &arguments);
    rwlock_write(&v->topology);
    const struct ends ends = find_ends(v, spec);
    const struct binding_request request = {
        .destination = ends.destination,
        .key = spec->key,
        .arguments = buf_bytes(&arguments),
    };
    if (ends.source != NULL && ends.destination != NULL &&
        router_has(&ends.source->router, &request)) {
        ok = ends.queue == NULL || queue_check_owner(ends.queue, connection, ex);
        if (ok) {
            router_unbind(&ends.source->router, &request);
            *ticket = unbound(v, spec, &ends, request.arguments);
        }
    }
    rwlock_write_end(&v->topology);
    buf_fini(&arguments);
    return ok;
}
