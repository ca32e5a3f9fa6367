#include "broker/core/definition.h"

#include "broker/base/endian.h"

/* Keys are a kind octet and length-prefixed parts, so that no name can run into the next. */
static void
key_add(struct buf *key, struct bytes part)
{
    store_be32(buf_reserve(key, 4), (uint32_t)part.size);
    key->size += 4;
    buf_append_bytes(key, part);
}

static void
key_start(struct buf *key, char kind, const struct vhost *v)
{
    buf_append(key, &kind, 1);
    key_add(key, v->name);
}

static uint64_t
push(struct vhost *v, enum effect_kind kind, struct buf key, struct buf row)
{
    return door_push(v->door, &(struct effect){ .kind = kind, .key = key, .payload = row });
}

static struct buf
exchange_key(const struct vhost *v, const struct exchange *x)
{
    struct buf key = { 0 };
    key_start(&key, 'x', v);
    key_add(&key, x->name);
    return key;
}

static struct buf
queue_key(const struct vhost *v, const struct queue *q)
{
    struct buf key = { 0 };
    key_start(&key, 'q', v);
    key_add(&key, q->name);
    return key;
}

static struct buf
binding_key(const struct vhost *v, const struct bind_spec *spec, struct bytes arguments)
{
    struct buf key = { 0 };
    key_start(&key, spec->destination_kind == DESTINATION_QUEUE ? 'b' : 'e', v);
    key_add(&key, spec->source);
    key_add(&key, spec->destination);
    key_add(&key, spec->key);
    key_add(&key, arguments);
    return key;
}

uint64_t
definition_keep_exchange(struct vhost *v, const struct exchange *x)
{
    struct buf row = { 0 };
    const uint8_t flags[] = { (uint8_t)x->router.type, x->auto_delete, x->internal };
    buf_append(&row, flags, sizeof(flags));
    key_add(&row, x->arguments);
    return push(v, EFFECT_PUT, exchange_key(v, x), row);
}

uint64_t
definition_forget_exchange(struct vhost *v, const struct exchange *x)
{
    return push(v, EFFECT_DELETE, exchange_key(v, x), (struct buf){ 0 });
}

uint64_t
definition_keep_queue(struct vhost *v, const struct queue *q)
{
    struct buf row = { 0 };
    store_be64(buf_reserve(&row, 8), q->log);
    row.size += 8;
    const uint8_t flags[] = { q->auto_delete };
    buf_append(&row, flags, sizeof(flags));
    key_add(&row, q->arguments);
    return push(v, EFFECT_PUT, queue_key(v, q), row);
}

uint64_t
definition_forget_queue(struct vhost *v, const struct queue *q)
{
    return push(v, EFFECT_DELETE, queue_key(v, q), (struct buf){ 0 });
}

uint64_t
definition_keep_binding(struct vhost *v, const struct bind_spec *spec, struct bytes arguments)
{
    return push(v, EFFECT_PUT, binding_key(v, spec, arguments), (struct buf){ 0 });
}

uint64_t
definition_forget_binding(struct vhost *v, const struct bind_spec *spec, struct bytes arguments)
{
    return push(v, EFFECT_DELETE, binding_key(v, spec, arguments), (struct buf){ 0 });
}
