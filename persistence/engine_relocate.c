/* Keeping the journal short: dead chunks go, settlements of chunks are told by their rows, dead
 * rounds are cut, and what is alive in old rounds moves into chunks. */

#include "persistence/engine_local.h"

#include "broker/base/endian.h"
#include "broker/base/log.h"
#include "broker/base/mem.h"
#include "broker/base/panic.h"

#define CHUNK_BYTES_MAX (64u * 1024u)
/* Journal that is relocated at a time: the more, the longer the chunks of many logs. */
#define RELOCATE_BYTES (8u * 1024u * 1024u)

/* A chunk being filled. */
struct builder {
    struct map_node by_log;
    uint64_t log;
    uint64_t base; /* Sequence of its first record. */
    uint32_t count;
    struct buf row;
};

struct builders {
    struct map by_log;
    uint64_t generation;
};

static void
delete_chunk(struct engine_local *e, struct segment *s)
{
    const struct key chunk = key_of_chunk('C', s);
    const struct key row = key_of_chunk('K', s);
    batch_single_delete(e, &chunk);
    batch_delete(e, &row);
    segment_forget(s);
}

static void
delete_dead_chunks(struct engine_local *e)
{
    while (!list_is_empty(&e->index.dead))
        delete_chunk(e, LIST_CONTAINER(e->index.dead.next, struct segment, in_round));
}

/* A round may go only when the settlements it tells are told elsewhere. */
static void
fold_chunks(struct engine_local *e, uint64_t up_to)
{
    while (!list_is_empty(&e->index.unfolded)) {
        struct segment *s = LIST_CONTAINER(e->index.unfolded.next, struct segment, in_round);
        if (s->unfolded > up_to)
            return;
        struct buf row = { 0 };
        const struct key key = key_of_chunk('K', s);
        chunk_row_encode(s, &row);
        batch_put(e, &key, buf_bytes(&row));
        buf_fini(&row);
        segment_folded(s);
    }
}

static void
cut(struct engine_local *e, struct journal_round *round)
{
    const struct key key = key_of_round(round->number);
    fold_chunks(e, round->number);
    batch_single_delete(e, &key);
    log_index_cut(&e->index, round);
}

static struct journal_round *
oldest(const struct engine_local *e)
{
    struct list *first = list_first(&e->index.journal);
    return first == NULL ? NULL : LIST_CONTAINER(first, struct journal_round, in_journal);
}

/* The newest round is in the batch that is being built; it stays. */
static void
cut_dead_rounds(struct engine_local *e)
{
    struct journal_round *round;
    while ((round = oldest(e)) != NULL && round->alive == 0 && round->number != e->previous)
        cut(e, round);
}

static bool
log_matches(const struct map_node *node, const void *key)
{
    (void)node; /* Hashes of ids are unique. */
    (void)key;
    return true;
}

static struct builder *
builder_get(struct builders *b, uint64_t log)
{
    const uint64_t hash = log * UINT64_C(0x9E3779B97F4A7C15);
    struct map_node *node = map_find(&b->by_log, hash, log_matches, NULL);
    if (node != NULL)
        return MAP_CONTAINER(node, struct builder, by_log);
    struct builder *builder = mem_alloc_zeroed(sizeof(*builder));
    builder->log = log;
    map_insert(&b->by_log, &builder->by_log, hash);
    return builder;
}

/* Writes the chunk and its row; the index learns of it when the old segments have gone. */
static void
builder_emit(struct engine_local *e, struct builders *b, struct builder *builder)
{
    const struct bytes payload =
        bytes_of(builder->row.data + ROW_HEAD_SIZE, builder->row.size - ROW_HEAD_SIZE);
    const struct segment_shape shape = payload_shape(payload);
    struct segment *s =
        log_index_add(&e->index, builder->log, builder->base, &shape, NULL, b->generation);
    ASSERT(s != NULL); /* The place of what has just been detached. */
    struct buf row = { 0 };
    const struct key chunk = key_of_chunk('C', s);
    const struct key key = key_of_chunk('K', s);
    row_finish(&builder->row, builder->count, 0);
    batch_put(e, &chunk, buf_bytes(&builder->row));
    chunk_row_encode(s, &row);
    batch_put(e, &key, buf_bytes(&row));
    buf_fini(&row);
    builder->count = 0;
    builder->row.size = 0;
}

static void
builder_add(struct engine_local *e, struct builders *b, uint64_t log, uint64_t sequence,
            struct bytes record)
{
    struct builder *builder = builder_get(b, log);
    if (builder->count > 0 && (builder->row.size + record.size > CHUNK_BYTES_MAX ||
                               sequence - builder->base > UINT32_MAX / 2))
        builder_emit(e, b, builder);
    if (builder->count == 0) {
        row_start(&builder->row);
        builder->base = sequence;
    }
    const size_t at = builder->row.size;
    buf_append_bytes(&builder->row, record);
    store_be32(builder->row.data + at + 4, (uint32_t)(sequence - builder->base));
    builder->count++;
}

static void
builders_finish(struct engine_local *e, struct builders *b)
{
    struct map_node *node;
    while ((node = map_any(&b->by_log)) != NULL) {
        struct builder *builder = MAP_CONTAINER(node, struct builder, by_log);
        if (builder->count > 0)
            builder_emit(e, b, builder);
        map_remove(&b->by_log, node);
        buf_fini(&builder->row);
        mem_free(builder);
    }
}

static void
relocate_segment(struct engine_local *e, struct builders *b, struct segment *s,
                 struct bytes payload)
{
    const uint64_t log = s->log->id;
    struct bytes record;
    uint32_t offset;
    segment_detach(s); /* A new chunk may begin where it begins. */
    for (uint32_t i = 0; payload_next(&payload, &offset, &record); i++)
        if (!segment_is_settled(s, i))
            builder_add(e, b, log, s->base + offset, record);
    segment_free(s);
}

/* The round's segments stand in the order of its effects; those of ended logs are gone. */
static bool
relocate_round(struct engine_local *e, struct builders *b, struct journal_round *round)
{
    rocksdb_pinnableslice_t *slice = NULL;
    struct bytes row;
    struct bytes content;
    uint32_t count;
    uint64_t previous;
    const struct key key = key_of_round(round->number);
    if (engine_get(e, &key, &slice, &row) != ROW_THERE)
        return false;
    const bool sound = row_open(row, &count, &previous, &content);
    struct stored_effect effect;
    while (sound && !list_is_empty(&round->segments) && row_next_effect(&content, &effect)) {
        struct segment *s = LIST_CONTAINER(round->segments.next, struct segment, in_round);
        if (effect.kind == EFFECT_RECORDS && effect.log == s->log->id && effect.sequence == s->base)
            relocate_segment(e, b, s, effect.payload);
    }
    rocksdb_pinnableslice_destroy(slice);
    return sound && list_is_empty(&round->segments);
}

/* Old rounds move into chunks until the step is done. */
static bool
relocate(struct engine_local *e, uint64_t round_number)
{
    struct builders builders = { .generation = round_number };
    uint64_t moved = 0;
    bool ok = true;
    struct journal_round *round;
    while (ok && moved < RELOCATE_BYTES && (round = oldest(e)) != NULL &&
           round->number != e->previous) {
        moved += round->bytes;
        if (round->alive > 0)
            ok = relocate_round(e, &builders, round);
        if (ok)
            cut(e, round);
    }
    builders_finish(e, &builders);
    if (!ok)
        log_error("store.relocate", "msg=\"a journal row cannot be read: the store is damaged; "
                                    "nothing more is confirmed\"");
    return ok;
}

/* Long by itself, or long for the little that is alive behind an old round. */
static bool
journal_is_long(const struct engine_local *e)
{
    const struct log_index *x = &e->index;
    return x->journal_bytes > e->journal_bytes_max ||
           (x->journal_bytes > e->journal_bytes_max / 8 &&
            x->journal_alive < x->journal_records / 2);
}

bool
engine_shorten(struct engine_local *e, uint64_t round_number)
{
    delete_dead_chunks(e);
    cut_dead_rounds(e);
    return !journal_is_long(e) || relocate(e, round_number);
}
