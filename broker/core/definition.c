#include "broker/core/definition.h"

#include "amqp/table.h"
#include "broker/base/endian.h"
#include "broker/base/fault.h"
#include "broker/core/stream.h"

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
push_at(struct vhost *v, enum effect_kind kind, struct buf key, struct buf row,
        struct door_place *place)
{
    if (v->is_closing) {
        buf_fini(&key);
        buf_fini(&row);
        return 0;
    }
    const struct effect effect = { .kind = kind, .key = key, .payload = row };
    const uint64_t ticket = door_push_at(v->door, &effect, place);
    FAULT_POINT("definition.pushed");
    return ticket;
}

static uint64_t
push(struct vhost *v, enum effect_kind kind, struct buf key, struct buf row)
{
    struct door_place place;
    return push_at(v, kind, key, row, &place);
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
    const uint8_t flags[] = { (uint8_t)x->router.type, x->auto_delete,
                              (uint8_t)((x->internal ? 1u : 0u) | (x->is_delayed ? 2u : 0u)) };
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
    const uint8_t flags[] = { (uint8_t)((q->auto_delete ? 1u : 0u) |
                                        (q->delays_for.size > 0 ? 2u : 0u)) };
    buf_append(&row, flags, sizeof(flags));
    key_add(&row, q->arguments);
    return push(v, EFFECT_PUT, queue_key(v, q), row);
}

static struct buf
watermark_key(const struct vhost *v, uint64_t log)
{
    struct buf key = { 0 };
    key_start(&key, 'w', v);
    store_be64(buf_reserve(&key, 8), log);
    key.size += 8;
    return key;
}

uint64_t
definition_keep_watermark(struct vhost *v, uint64_t log, uint64_t sequence)
{
    struct buf row = { 0 };
    store_be64(buf_reserve(&row, 8), sequence);
    row.size += 8;
    return door_push(
        v->door,
        &(struct effect){ .kind = EFFECT_PUT, .key = watermark_key(v, log), .payload = row });
}

static struct buf
dues_key(const struct vhost *v, uint64_t log)
{
    struct buf key = { 0 };
    key_start(&key, 's', v);
    store_be64(buf_reserve(&key, 8), log);
    key.size += 8;
    return key;
}

uint64_t
definition_keep_dues(struct vhost *v, uint64_t log)
{
    return push(v, EFFECT_PUT, dues_key(v, log), (struct buf){ 0 });
}

static struct buf
sequence_key(char kind, const struct vhost *v, uint64_t log, uint64_t sequence)
{
    struct buf key = { 0 };
    key_start(&key, kind, v);
    uint8_t *at = buf_reserve(&key, 16);
    store_be64(at, log);
    store_be64(at + 8, sequence);
    key.size += 16;
    return key;
}

uint64_t
definition_keep_segment(struct vhost *v, uint64_t log, const struct stream_segment *segment)
{
    struct buf row = { 0 };
    uint8_t *at = buf_reserve(&row, 16);
    store_be64(at, segment->wall_ms);
    store_be64(at + 8, segment->octets_before);
    row.size += 16;
    return push(v, EFFECT_PUT, sequence_key('o', v, log, segment->first), row);
}

uint64_t
definition_forget_segment(struct vhost *v, uint64_t log, uint64_t first)
{
    return push(v, EFFECT_DELETE, sequence_key('o', v, log, first), (struct buf){ 0 });
}

void
definition_keep_deliveries(struct vhost *v, uint64_t log, uint64_t sequence, uint32_t count,
                           struct door_place *place)
{
    struct buf row = { 0 };
    uint8_t octets[4];
    store_be32(octets, count);
    if (v->is_closing || door_amend(v->door, place, bytes_of(octets, sizeof(octets))))
        return;
    buf_append(&row, octets, sizeof(octets));
    push_at(v, EFFECT_PUT, sequence_key('r', v, log, sequence), row, place);
}

uint64_t
definition_forget_deliveries(struct vhost *v, uint64_t log, uint64_t sequence)
{
    return push(v, EFFECT_DELETE, sequence_key('r', v, log, sequence), (struct buf){ 0 });
}

uint64_t
definition_forget_queue(struct vhost *v, const struct queue *q)
{
    push(v, EFFECT_DELETE, watermark_key(v, q->log), (struct buf){ 0 });
    if (q->keeps_dues)
        push(v, EFFECT_DELETE, dues_key(v, q->log), (struct buf){ 0 });
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

static struct buf
note_key(struct bytes key)
{
    struct buf out = { 0 };
    buf_append(&out, "n", 1);
    key_add(&out, BYTES_NONE);
    buf_append_bytes(&out, key);
    return out;
}

uint64_t
definition_keep_note(struct door *door, struct bytes key, struct bytes value)
{
    struct effect effect = { .kind = EFFECT_PUT, .key = note_key(key) };
    buf_append_bytes(&effect.payload, value);
    return door_push(door, &effect);
}

uint64_t
definition_forget_note(struct door *door, struct bytes key)
{
    return door_push(door, &(struct effect){ .kind = EFFECT_DELETE, .key = note_key(key) });
}

static bool
take_part(struct bytes *from, struct bytes *part)
{
    if (from->size < 4)
        return false;
    const size_t size = load_be32(from->data);
    if (size > from->size - 4)
        return false;
    *part = bytes_of(from->data + 4, size);
    from->data += 4 + size;
    from->size -= 4 + size;
    return true;
}

static bool
take_arguments(struct bytes row, struct definition *out)
{
    return take_part(&row, &out->arguments) && row.size == 0 && table_is_valid(out->arguments);
}

static bool
decode_exchange(struct bytes key, struct bytes row, struct definition *out)
{
    if (!take_part(&key, &out->name) || key.size != 0 || row.size < 3 ||
        row.data[0] > ROUTER_RANDOM)
        return false;
    out->kind = DEFINITION_EXCHANGE;
    out->type = (enum router_type)row.data[0];
    out->auto_delete = row.data[1] != 0;
    out->internal = (row.data[2] & 1u) != 0;
    out->is_delayed = (row.data[2] & 2u) != 0;
    return take_arguments(bytes_of(row.data + 3, row.size - 3), out);
}

static bool
decode_queue(struct bytes key, struct bytes row, struct definition *out)
{
    if (!take_part(&key, &out->name) || key.size != 0 || row.size < 9)
        return false;
    out->kind = DEFINITION_QUEUE;
    out->log = load_be64(row.data);
    out->auto_delete = (row.data[8] & 1u) != 0;
    out->is_delayed = (row.data[8] & 2u) != 0;
    return out->log != 0 && take_arguments(bytes_of(row.data + 9, row.size - 9), out);
}

static bool
decode_watermark(struct bytes key, struct bytes row, struct definition *out)
{
    if (key.size != 8 || row.size != 8)
        return false;
    out->kind = DEFINITION_WATERMARK;
    out->log = load_be64(key.data);
    out->sequence = load_be64(row.data);
    return true;
}

static bool
decode_dues(struct bytes key, struct bytes row, struct definition *out)
{
    if (key.size != 8 || row.size != 0)
        return false;
    out->kind = DEFINITION_DUES;
    out->log = load_be64(key.data);
    return true;
}

static bool
decode_deliveries(struct bytes key, struct bytes row, struct definition *out)
{
    if (key.size != 16 || row.size != 4)
        return false;
    out->kind = DEFINITION_DELIVERIES;
    out->log = load_be64(key.data);
    out->sequence = load_be64(key.data + 8);
    out->count = load_be32(row.data);
    return true;
}

static bool
decode_segment(struct bytes key, struct bytes row, struct definition *out)
{
    if (key.size != 16 || row.size != 16)
        return false;
    out->kind = DEFINITION_SEGMENT;
    out->log = load_be64(key.data);
    out->sequence = load_be64(key.data + 8);
    out->wall_ms = load_be64(row.data);
    out->octets_before = load_be64(row.data + 8);
    return true;
}

static bool
decode_binding(struct bytes key, enum destination_kind kind, struct definition *out)
{
    struct bind_spec *b = &out->binding;
    out->kind = DEFINITION_BINDING;
    b->destination_kind = kind;
    return take_part(&key, &b->source) && take_part(&key, &b->destination) &&
           take_part(&key, &b->key) && take_part(&key, &b->arguments) && key.size == 0 &&
           table_is_valid(b->arguments);
}

bool
definition_decode(struct bytes key, struct bytes row, struct definition *out)
{
    *out = (struct definition){ 0 };
    if (key.size == 0)
        return false;
    const uint8_t kind = key.data[0];
    struct bytes rest = bytes_of(key.data + 1, key.size - 1);
    if (!take_part(&rest, &out->vhost))
        return false;
    switch (kind) {
    case 'x':
        return decode_exchange(rest, row, out);
    case 'q':
        return decode_queue(rest, row, out);
    case 'n':
        out->kind = DEFINITION_NOTE;
        out->name = rest;
        out->arguments = row;
        return out->vhost.size == 0;
    case 'w':
        return decode_watermark(rest, row, out);
    case 'r':
        return decode_deliveries(rest, row, out);
    case 's':
        return decode_dues(rest, row, out);
    case 'o':
        return decode_segment(rest, row, out);
    case 'b':
        return decode_binding(rest, DESTINATION_QUEUE, out);
    case 'e':
        return decode_binding(rest, DESTINATION_EXCHANGE, out);
    default:
        return false;
    }
}
