#include "persistence/rows.h"

#include "broker/base/endian.h"
#include "broker/base/mem.h"

#include <xxhash.h>

#define CHUNK_ROW_HEAD_SIZE 9u

struct key
key_of_round(uint64_t number)
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
row_start(struct buf *row)
{
    memset(buf_reserve(row, ROW_HEAD_SIZE), 0, ROW_HEAD_SIZE);
    row->size += ROW_HEAD_SIZE;
}

void
row_finish(struct buf *row, uint32_t count, uint64_t previous)
{
    store_be32(row->data, STORE_FORMAT);
    store_be32(row->data + 4, count);
    store_be64(row->data + 16, previous);
    store_be64(row->data + 8, XXH3_64bits(row->data + 16, row->size - 16));
}

bool
row_open(struct bytes row, uint32_t *count, uint64_t *previous, struct bytes *content)
{
    if (row.size < ROW_HEAD_SIZE || load_be32(row.data) != STORE_FORMAT ||
        load_be64(row.data + 8) != XXH3_64bits(row.data + 16, row.size - 16))
        return false;
    *count = load_be32(row.data + 4);
    *previous = load_be64(row.data + 16);
    *content = bytes_of(row.data + ROW_HEAD_SIZE, row.size - ROW_HEAD_SIZE);
    return true;
}

void
row_add_effect(struct buf *row, const struct effect *e)
{
    uint8_t *at = buf_reserve(row, EFFECT_HEAD_SIZE);
    at[0] = (uint8_t)e->kind;
    store_be64(at + 1, e->log);
    store_be64(at + 9, e->sequence);
    store_be32(at + 17, e->count);
    store_be32(at + 21, (uint32_t)e->payload.size);
    row->size += EFFECT_HEAD_SIZE;
    buf_append_bytes(row, buf_bytes(&e->payload));
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
chunk_row_encode(const struct segment *s, struct buf *out)
{
    const size_t words = segment_bitmap_words(s);
    uint8_t *at = buf_reserve(out, CHUNK_ROW_HEAD_SIZE + s->count * 4u + words * 8);
    const uint8_t *start = at;
    store_be32(at, s->count);
    store_be32(at + 4, s->span);
    at[8] = s->offsets != NULL;
    at += CHUNK_ROW_HEAD_SIZE;
    for (uint32_t i = 0; s->offsets != NULL && i < s->count; i++, at += 4)
        store_be32(at, s->offsets[i]);
    for (size_t i = 0; i < words; i++, at += 8)
        store_be64(at, s->settled[i]);
    out->size += (size_t)(at - start);
}

struct segment *
chunk_row_decode(struct log_index *x, uint64_t log, uint64_t base, uint64_t generation,
                 struct bytes row)
{
    if (row.size < CHUNK_ROW_HEAD_SIZE)
        return NULL;
    struct segment_shape shape = { load_be32(row.data), load_be32(row.data + 4), NULL };
    const bool sparse = row.data[8] != 0;
    const size_t words = ((size_t)shape.count + 63) / 64;
    if (shape.count == 0 || shape.span < shape.count ||
        row.size != CHUNK_ROW_HEAD_SIZE + (sparse ? shape.count * (size_t)4 : 0) + words * 8)
        return NULL;
    const uint8_t *at = row.data + CHUNK_ROW_HEAD_SIZE;
    if (sparse)
        shape.offsets = mem_alloc(shape.count * sizeof(*shape.offsets));
    for (uint32_t i = 0; sparse && i < shape.count; i++, at += 4)
        shape.offsets[i] = load_be32(at);
    struct segment *s = log_index_add(x, log, base, &shape, NULL, generation);
    for (size_t i = 0; i < words; i++, at += 8) {
        s->settled[i] = load_be64(at);
        s->alive -= (uint32_t)__builtin_popcountll(s->settled[i]);
    }
    return s;
}
