/* The effects in a row of the journal: put together, and taken apart. */

#include "persistence/rows.h"

#include "broker/base/endian.h"
#include "broker/base/panic.h"
#include "persistence/varint.h"

#define EFFECT_HEAD_MAX (1u + 4u * VARINT_SIZE_MAX)
#define RUN_SIZE_MAX (3u * VARINT_SIZE_MAX)
#define MERGED_BYTES_MAX (256u * 1024u)
#define MERGED_SPAN_MAX (UINT32_MAX / 4)

/* How a settled run lies in the payload of an effect on its way to the engine. */
#define SETTLED_RUN_SIZE 16u

void
settled_run_append(struct buf *payload, const struct settled_run *run)
{
    uint8_t *at = buf_reserve(payload, SETTLED_RUN_SIZE);
    store_be64(at, run->first);
    store_be32(at + 8, run->count);
    store_be32(at + 12, run->weight);
    payload->size += SETTLED_RUN_SIZE;
}

uint32_t
settled_runs_add(struct buf *payload, uint64_t sequence, uint32_t weight)
{
    if (payload->size >= SETTLED_RUN_SIZE) {
        uint8_t *last = payload->data + payload->size - SETTLED_RUN_SIZE;
        const uint32_t count = load_be32(last + 8);
        if (load_be64(last) + count == sequence && load_be32(last + 12) == weight &&
            count < UINT32_MAX) {
            store_be32(last + 8, count + 1);
            return 0;
        }
    }
    settled_run_append(payload, &(struct settled_run){ sequence, 1, weight });
    return 1;
}

bool
settled_run_next(struct bytes *payload, struct settled_run *out)
{
    if (payload->size < SETTLED_RUN_SIZE)
        return false;
    out->first = load_be64(payload->data);
    out->count = load_be32(payload->data + 8);
    out->weight = load_be32(payload->data + 12);
    payload->data += SETTLED_RUN_SIZE;
    payload->size -= SETTLED_RUN_SIZE;
    return true;
}

static void
run_write(struct row_builder *b)
{
    const struct settled_run *last = &b->last_run;
    uint8_t *start = buf_reserve(&b->row, RUN_SIZE_MAX);
    uint8_t *at = varint_put(start, delta_fold(last->first + last->count, b->run.first));
    at = varint_put(at, b->run.count);
    at = varint_put(at, delta_fold(last->weight, b->run.weight));
    b->row.size += (size_t)(at - start);
    b->last_run = b->run;
    b->run.count = 0;
    b->count++;
}

static void
runs_add(struct row_builder *b, struct bytes payload)
{
    struct settled_run next;
    while (settled_run_next(&payload, &next)) {
        struct settled_run *run = &b->run;
        if (run->count > 0 && run->first + run->count == next.first && run->weight == next.weight &&
            run->count < UINT32_MAX - next.count) {
            run->count += next.count;
            continue;
        }
        if (run->count > 0)
            run_write(b);
        *run = next;
    }
    ASSERT(payload.size == 0);
}

bool
stored_run_next(struct bytes *payload, struct settled_run *run)
{
    uint64_t first;
    uint64_t count;
    uint64_t weight;
    if (!varint_take(payload, &first) || !varint_take(payload, &count) ||
        !varint_take(payload, &weight) || count > UINT32_MAX)
        return false;
    run->first = delta_unfold(run->first + run->count, first);
    run->count = (uint32_t)count;
    weight = delta_unfold(run->weight, weight);
    run->weight = (uint32_t)weight;
    return weight <= UINT32_MAX;
}

/* Appends the payload of records whose sequences count from `shift` later. */
static void
records_add(struct row_builder *b, struct bytes payload, uint32_t shift)
{
    const size_t start = b->row.size;
    struct record record;
    buf_append_bytes(&b->row, payload);
    if (shift == 0)
        return;
    for (uint8_t *at = b->row.data + start; payload_next(&payload, &record);
         at += record.octets.size)
        store_be32(at + 4, record.offset + shift);
}

static void
effect_open(struct row_builder *b, const struct effect *e)
{
    struct bytes payload = buf_bytes(&e->payload);
    struct settled_run first;
    buf_reserve(&b->row, EFFECT_HEAD_MAX);
    b->row.size += EFFECT_HEAD_MAX;
    b->is_open = true;
    b->kind = e->kind;
    b->log = e->log;
    b->sequence = e->sequence;
    b->payload = b->row.size;
    b->count = e->count;
    b->effects++;
    if (e->kind != EFFECT_SETTLE) {
        buf_append_bytes(&b->row, payload);
        buf_append_bytes(&b->row, e->tail.octets);
        return;
    }
    b->count = 0; /* Runs are counted as they are written. */
    if (settled_run_next(&payload, &first))
        b->sequence = first.first;
    b->last_run = (struct settled_run){ .first = b->sequence };
    b->run.count = 0;
    runs_add(b, buf_bytes(&e->payload));
}

/* Makes the effect a part of the open one, if they go together. */
static bool
effect_merge(struct row_builder *b, const struct effect *e)
{
    const size_t size = b->row.size - b->payload;
    if (b->kind != e->kind || b->log != e->log || e->tail.octets.size > 0 ||
        size + e->payload.size > MERGED_BYTES_MAX)
        return false;
    if (e->kind == EFFECT_SETTLE) {
        runs_add(b, buf_bytes(&e->payload));
        return true;
    }
    if (e->kind != EFFECT_RECORDS || e->sequence <= b->sequence ||
        e->sequence - b->sequence >= MERGED_SPAN_MAX)
        return false;
    records_add(b, buf_bytes(&e->payload), (uint32_t)(e->sequence - b->sequence));
    b->count += e->count;
    return true;
}

/* The head is as long as its numbers; the payload moves up to it. */
static void
effect_close(struct row_builder *b)
{
    uint8_t head[EFFECT_HEAD_MAX];
    uint8_t *at = head;
    if (b->kind == EFFECT_SETTLE && b->run.count > 0)
        run_write(b);
    const size_t size = b->row.size - b->payload;
    *at++ = (uint8_t)b->kind;
    at = varint_put(at, delta_fold(b->last_log, b->log));
    at = varint_put(at, delta_fold(b->last_sequence, b->sequence));
    at = varint_put(at, b->count);
    at = varint_put(at, size);
    const size_t head_size = (size_t)(at - head);
    uint8_t *start = b->row.data + b->payload - EFFECT_HEAD_MAX;
    memcpy(start, head, head_size);
    memmove(start + head_size, b->row.data + b->payload, size);
    b->row.size -= EFFECT_HEAD_MAX - head_size;
    b->last_log = b->log;
    b->last_sequence = b->sequence;
    b->is_open = false;
}

void
row_builder_add(struct row_builder *b, const struct effect *e)
{
    if (b->row.size == 0)
        row_start(&b->row);
    if (b->is_open && effect_merge(b, e))
        return;
    row_builder_close(b);
    effect_open(b, e);
}

void
row_builder_close(struct row_builder *b)
{
    if (b->row.size == 0)
        row_start(&b->row); /* Of a round of definitions alone. */
    if (b->is_open)
        effect_close(b);
}

void
row_builder_reset(struct row_builder *b)
{
    struct buf row = b->row;
    row.size = 0;
    *b = (struct row_builder){ .row = row };
}

bool
row_next_effect(struct bytes *content, struct stored_effect *effect)
{
    uint64_t log;
    uint64_t sequence;
    uint64_t count;
    uint64_t size;
    struct bytes rest = *content;
    if (rest.size == 0)
        return false;
    const uint8_t kind = rest.data[0];
    rest = bytes_of(rest.data + 1, rest.size - 1);
    if (!varint_take(&rest, &log) || !varint_take(&rest, &sequence) ||
        !varint_take(&rest, &count) || !varint_take(&rest, &size) || count > UINT32_MAX ||
        size > rest.size)
        return false;
    effect->kind = (enum effect_kind)kind;
    effect->log = delta_unfold(effect->log, log);
    effect->sequence = delta_unfold(effect->sequence, sequence);
    effect->count = (uint32_t)count;
    effect->payload = bytes_of(rest.data, size);
    *content = bytes_of(rest.data + size, rest.size - size);
    return true;
}
