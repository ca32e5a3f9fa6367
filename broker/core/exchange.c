#include "broker/core/exchange.h"

#include "amqp/table.h"
#include "broker/base/mem.h"
#include "broker/base/panic.h"
#include "broker/core/queue.h"

/* The same after every start. */
uint64_t
name_number(struct bytes name)
{
    uint64_t number = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < name.size; i++)
        number = (number ^ name.data[i]) * UINT64_C(0x100000001b3);
    return number;
}

struct property_name {
    const char *name;
    enum hash_source source;
};

static const struct property_name property_names[] = {
    { "message_id", HASH_MESSAGE_ID },
    { "correlation_id", HASH_CORRELATION_ID },
    { "timestamp", HASH_TIMESTAMP },
};

static enum hash_source
source_of_property(struct bytes name)
{
    for (size_t i = 0; i < sizeof(property_names) / sizeof(property_names[0]); i++)
        if (bytes_equal(name, bytes_of_string(property_names[i].name)))
            return property_names[i].source;
    return HASH_KEY;
}

static void
set_hash_source(struct exchange *x)
{
    struct table_field f;
    if (table_find(x->arguments, BYTES_LITERAL("hash-header"), &f) && f.tag == 'S') {
        x->router.hash_source = HASH_HEADER;
        x->router.hash_header = f.value;
    } else if (table_find(x->arguments, BYTES_LITERAL("hash-property"), &f) && f.tag == 'S') {
        x->router.hash_source = source_of_property(f.value);
    }
    if (x->router.type != ROUTER_HASH)
        x->router.hash_source = HASH_KEY;
}

static bool
check_hash_arguments(const struct exchange_spec *spec, struct amqp_exception *ex)
{
    struct table_field f;
    if (spec->type != ROUTER_HASH)
        return true;
    const bool has_header = table_find(spec->arguments, BYTES_LITERAL("hash-header"), &f);
    const bool has_property = table_find(spec->arguments, BYTES_LITERAL("hash-property"), &f);
    if (has_header && has_property)
        return amqp_raise(ex, AMQP_PRECONDITION_FAILED,
                          "hash-header and hash-property are mutually exclusive");
    if (has_property && (f.tag != 'S' || source_of_property(f.value) == HASH_KEY))
        return amqp_raise(ex, AMQP_PRECONDITION_FAILED,
                          "Unsupported property: hash-property is message_id, correlation_id or "
                          "timestamp");
    return true;
}

static bool
raise_unknown_type(struct bytes type, struct amqp_exception *ex)
{
    return amqp_raise(ex, AMQP_COMMAND_INVALID, "unknown exchange type '%.*s'", BYTES_ARGS(type));
}

bool
exchange_spec_parse(struct exchange_spec *spec, struct bytes type, struct bytes vhost,
                    struct amqp_exception *ex)
{
    struct table_field f;
    (void)vhost;
    spec->is_delayed = bytes_equal(type, BYTES_LITERAL(EXCHANGE_DELAYED_TYPE));
    if (spec->is_delayed) {
        if (!table_find(spec->arguments, BYTES_LITERAL("x-delayed-type"), &f) || f.tag != 'S' ||
            !router_type_find(f.value, &spec->type))
            return amqp_raise(ex, AMQP_PRECONDITION_FAILED,
                              "Invalid argument, 'x-delayed-type' must be an existing exchange "
                              "type");
    } else if (!router_type_find(type, &spec->type)) {
        return raise_unknown_type(type, ex);
    }
    return check_hash_arguments(spec, ex);
}

const char *
exchange_type_name(const struct exchange *x)
{
    return x->is_delayed ? EXCHANGE_DELAYED_TYPE : router_type_name(x->router.type);
}

struct exchange *
exchange_create(struct vhost *vhost, const struct exchange_spec *spec)
{
    struct exchange *x = mem_alloc_zeroed(sizeof(*x));
    x->vhost = vhost;
    x->name = bytes_copy(spec->name);
    x->arguments = bytes_copy(spec->arguments);
    x->durable = spec->durable;
    x->auto_delete = spec->auto_delete;
    x->internal = spec->internal;
    x->is_delayed = spec->is_delayed;
    router_init(&x->router, spec->type);
    x->router.destination.number = name_number(x->name);
    set_hash_source(x);
    atomic_init(&x->refs, 1);
    struct table_field alternate;
    if (table_find(x->arguments, BYTES_LITERAL("alternate-exchange"), &alternate)) {
        x->has_alternate = true;
        x->alternate = alternate.value;
    }
    return x;
}

void
exchange_unref(struct exchange *x)
{
    const uint32_t before = atomic_fetch_sub_explicit(&x->refs, 1, memory_order_acq_rel);
    ASSERT(before > 0);
    if (before > 1)
        return;
    if (x->pending != NULL)
        queue_unref(x->pending);
    mem_free_const(x->policy_alternate.data);
    mem_free_const(x->name.data);
    mem_free_const(x->arguments.data);
    mem_free(x);
}
