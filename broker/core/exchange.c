#include "broker/core/exchange.h"

#include "amqp/table.h"
#include "broker/base/mem.h"
#include "broker/base/panic.h"

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
    router_init(&x->router, spec->type);
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
    mem_free_const(x->name.data);
    mem_free_const(x->arguments.data);
    mem_free(x);
}
