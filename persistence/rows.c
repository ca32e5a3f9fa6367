#include "persistence/rows.h"

#include "broker/base/endian.h"
#include "broker/base/mem.h"

#include <xxhash.h>

#define FORMAT_ROW_SIZE 20u
#define CHUNK_ROW_HEAD_SIZE 29u

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
