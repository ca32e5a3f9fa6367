#include "persistence/rows.h"

#include "broker/base/endian.h"
#include "broker/base/mem.h"

#include <xxhash.h>

#define FORMAT_ROW_SIZE 20u
#define CHUNK_ROW_HEAD_SIZE 29u
#define MERGED_BYTES_MAX (256u * 1024u)
#define MERGED_SPAN_MAX (UINT32_MAX / 4)

struct key
key_of_row(uint64_t number)
{
    struct key k = { .octets = { 'J' }, .size = 9 };
    store_be64(k.octets + 1, number);
    return k;
}

struct key
key_of_chunk(char kind, const struct segment *s)
{
    struct key k = { .octets = { (uint8_t)kind }, .size = 25 };
    store_be64(k.octets + 1, s->log->id);
    store_be64(k.octets + 9, s->base);
    store_be64(k.octets + 17, s->generation);
    return k;
}

void
format_row_encode(uint64_t epoch, struct buf *out)
{
    uint8_t *at = buf_reserve(out, FORMAT_ROW_SIZE);
    store_be32(at, STORE_FORMAT);
    store_be64(at + 4, epoch);
    store_be64(at + 12, XXH3_64bits(at, 12));
    out->size += FORMAT_ROW_SIZE;
}

bool
format_row_decode(struct bytes row, uint32_t *version, uint64_t *epoch)
{
    if (row.size < 4)
        return false;
    *version = load_be32(row.data);
    *epoch = 0;
    if (*version != STORE_FORMAT)
        return true;
    if (row.size != FORMAT_ROW_SIZE || load_be64(row.data + 12) != XXH3_64bits(row.data, 12))
        return false;
    *epoch = load_be64(row.data + 4);
    return true;
}

void
row_start(struct buf *row)
{
    memset(buf_reserve(row, ROW_HEAD_SIZE), 0, ROW_HEAD_SIZE);
    row->size += ROW_HEAD_SIZE;
}

void
row_finish(struct buf *row, const struct row_head *head)
{
    store_be32(row->data, STORE_FORMAT);
    store_be32(row->data + 4, head->count);
    store_be64(row->data + 16, head->previous);
    store_be64(row->data + 24, head->round);
    store_be64(row->data + 8, XXH3_64bits(row->data + 16, row->size - 16));
}

bool
row_open(struct bytes row, struct row_head *head, struct bytes *content)
{
    if (row.size < ROW_HEAD_SIZE || load_be32(row.data) != STORE_FORMAT ||
        load_be64(row.data + 8) != XXH3_64bits(row.data + 16, row.size - 16))
        return false;
    head->count = load_be32(row.data + 4);
    head->previous = load_be64(row.data + 16);
    head->round = load_be64(row.data + 24);
    *content = bytes_of(row.data + ROW_HEAD_SIZE, row.size - ROW_HEAD_SIZE);
    return true;
}

static void
effect_append(struct row_builder *b, const struct effect *e)
{
    b->last = b->row.size;
    uint8_t *at = buf_reserve(&b->row, EFFECT_HEAD_SIZE);
    at[0] = (uint8_t)e->kind;
    store_be64(at + 1, e->log);
    store_be64(at + 9, e->sequence);
    store_be32(at + 17, e->count);
    store_be32(at + 21, (uint32_t)effect_payload_size(e));
    b->row.size += EFFECT_HEAD_SIZE;
    buf_append_bytes(&b->row, buf_bytes(&e->payload));
    buf_append_bytes(&b->row, e->tail.octets);
    b->effects++;
}

/* Appends the payload of records whose sequences count from `shift` later. */
static void
records_append(struct buf *row, struct bytes payload, uint32_t shift)
{
    const size_t start = row->size;
    struct record record;
    buf_append_bytes(row, payload);
    for (uint8_t *at = row->data + start; payload_next(&payload, &record); at += record.octets.size)
        store_be32(at + 4, record.offset + shift);
}

/* Appends runs; the first of them may go on where the last one of the row ends. */
static uint32_t
runs_append(struct buf *row, struct bytes payload)
{
    uint8_t *last = row->data + row->size - SETTLED_RUN_SIZE;
    struct bytes rest = payload;
    struct settled_run run;
    const uint32_t count = load_be32(last + 8);
    if (settled_run_next(&rest, &run) && load_be64(last) + count == run.first &&
        load_be32(last + 12) == run.weight && count < UINT32_MAX - run.count) {
        store_be32(last + 8, count + run.count);
        payload = rest;
    }
    buf_append_bytes(row, payload);
    return (uint32_t)(payload.size / SETTLED_RUN_SIZE);
}

/* Makes the effect a part of the last one, if they go together. */
static bool
effect_merge(struct row_builder *b, const struct effect *e)
{
    const uint8_t *last = b->row.data + b->last;
    const uint64_t base = load_be64(last + 9);
    const size_t size = b->row.size - b->last - EFFECT_HEAD_SIZE;
    uint32_t count = load_be32(last + 17);
    if (last[0] != e->kind || load_be64(last + 1) != e->log || e->tail.octets.size > 0 ||
        size + e->payload.size > MERGED_BYTES_MAX)
        return false;
    if (e->kind == EFFECT_RECORDS && e->sequence > base && e->sequence - base < MERGED_SPAN_MAX) {
        records_append(&b->row, buf_bytes(&e->payload), (uint32_t)(e->sequence - base));
        count += e->count;
    } else if (e->kind == EFFECT_SETTLE) {
        count += runs_append(&b->row, buf_bytes(&e->payload));
    } else {
        return false;
    }
    uint8_t *head = b->row.data + b->last;
    store_be32(head + 17, count);
    store_be32(head + 21, (uint32_t)(b->row.size - b->last - EFFECT_HEAD_SIZE));
    return true;
}

void
row_builder_add(struct row_builder *b, const struct effect *e)
{
    if (b->row.size == 0)
        row_start(&b->row);
    if (b->effects == 0 || !effect_merge(b, e))
        effect_append(b, e);
}

bool
row_next_effect(struct bytes *content, struct stored_effect *out)
{
    if (content->size < EFFECT_HEAD_SIZE)
        return false;
    const uint8_t *at = content->data;
    const uint32_t size = load_be32(at + 21);
    if (content->size - EFFECT_HEAD_SIZE < size)
        return false;
    *out = (struct stored_effect){
        .kind = (enum effect_kind)at[0],
        .log = load_be64(at + 1),
        .sequence = load_be64(at + 9),
        .count = load_be32(at + 17),
        .payload = bytes_of(at + EFFECT_HEAD_SIZE, size),
    };
    content->data += EFFECT_HEAD_SIZE + size;
    content->size -= EFFECT_HEAD_SIZE + size;
    return true;
}

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

void
chunk_row_encode(const struct segment *s, struct buf *out)
{
    const size_t words = segment_bitmap_words(s->count);
    uint8_t *at = buf_reserve(out, CHUNK_ROW_HEAD_SIZE + s->count * 4u + words * 8);
    uint8_t *start = at;
    store_be32(at + 8, s->count);
    store_be32(at + 12, s->span);
    store_be32(at + 16, s->bytes);
    store_be64(at + 20, s->weight);
    at[28] = s->offsets != NULL;
    at += CHUNK_ROW_HEAD_SIZE;
    for (uint32_t i = 0; s->offsets != NULL && i < s->count; i++, at += 4)
        store_be32(at, s->offsets[i]);
    for (size_t i = 0; i < words; i++, at += 8)
        store_be64(at, s->settled[i]);
    store_be64(start, XXH3_64bits(start + 8, (size_t)(at - start) - 8));
    out->size += (size_t)(at - start);
}

/* Reads the offsets of a sparse chunk; false if they do not ascend to the end of the span. */
static bool
offsets_decode(const uint8_t *at, struct segment_shape *shape)
{
    uint64_t least = 0;
    shape->offsets = mem_alloc(shape->count * sizeof(*shape->offsets));
    for (uint32_t i = 0; i < shape->count; i++, at += 4) {
        shape->offsets[i] = load_be32(at);
        if (shape->offsets[i] < least)
            break;
        least = (uint64_t)shape->offsets[i] + 1;
        if (i + 1 == shape->count && least == shape->span)
            return true;
    }
    mem_free(shape->offsets);
    return false;
}

/* False if bits are set that stand for no record, or for all. */
static bool
settled_is_sound(const uint8_t *at, uint32_t count, uint32_t *alive)
{
    const size_t words = segment_bitmap_words(count);
    *alive = count;
    for (size_t i = 0; i < words; i++)
        *alive -= (uint32_t)__builtin_popcountll(load_be64(at + i * 8));
    return *alive > 0 && *alive <= count &&
           (count % 64 == 0 || load_be64(at + (words - 1) * 8) >> (count % 64) == 0);
}

struct segment *
chunk_row_decode(struct log_index *x, uint64_t log, uint64_t base, uint64_t generation,
                 struct bytes row)
{
    if (row.size < CHUNK_ROW_HEAD_SIZE ||
        load_be64(row.data) != XXH3_64bits(row.data + 8, row.size - 8))
        return NULL;
    struct segment_shape shape = {
        .count = load_be32(row.data + 8),
        .span = load_be32(row.data + 12),
        .bytes = load_be32(row.data + 16),
        .weight = load_be64(row.data + 20),
    };
    const bool sparse = shape.span > shape.count;
    const size_t words = segment_bitmap_words(shape.count);
    uint32_t alive;
    if (shape.count == 0 || shape.span < shape.count || row.data[28] != sparse ||
        row.size != CHUNK_ROW_HEAD_SIZE + (sparse ? shape.count * (size_t)4 : 0) + words * 8)
        return NULL;
    const uint8_t *settled = row.data + row.size - words * 8;
    if (!settled_is_sound(settled, shape.count, &alive) ||
        (sparse && !offsets_decode(row.data + CHUNK_ROW_HEAD_SIZE, &shape)))
        return NULL;
    const struct segment_place place = { .generation = generation };
    struct segment *s = log_index_add(x, log, base, &shape, &place);
    if (s != NULL)
        segment_restore_settled(s, settled, alive);
    return s;
}
