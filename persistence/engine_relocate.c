/* Keeping the store short: dead chunks go, settlements of chunks are told by their rows, dead
 * journal rows are cut, what is alive in old ones moves into chunks, and chunks of which little is
 * alive are written again. */

#include "persistence/engine_local.h"

#include "broker/base/endian.h"
#include "broker/base/fault.h"
#include "broker/base/log.h"
#include "broker/base/mem.h"
#include "broker/base/panic.h"

#define CHUNK_BYTES_MAX (64u * 1024u)
/* Journal that is relocated at a time: the more, the longer the chunks of many logs. */
#define RELOCATE_BYTES (8u * 1024u * 1024u)
/* Rows of many small segments cost memory rather than disk. */
#define JOURNAL_SEGMENTS_MAX 131072u
/* Dead rows that tell settlements of chunks stay as long as this allows: most chunks die whole, and
 * then need not be told. */
#define DEAD_ROWS_BYTES (4u * 1024u * 1024u)
#define REWRITE_BYTES (2u * 1024u * 1024u)

/* Records of one log on their way into a chunk. */
struct builder {
    struct map_node by_log;
    uint64_t log;
    uint64_t base; /* Sequence of its first record. */
    uint32_t count;
    struct buf row;
};

/* A chunk that is complete: the index learns of it when the old segments have gone. */
struct new_chunk {
    uint64_t log;
    uint64_t base;
    struct segment_shape shape;
};

/* One step of moving records. */
struct move {
    struct engine_local *engine;
    uint64_t generation;
    struct map builders;
    struct new_chunk *chunks;
    size_t chunk_count;
    size_t chunk_capacity;
};

static void
delete_chunk_rows(struct engine_local *e, const struct segment *s)
{
    const struct key chunk = key_of_chunk('C', s);
    const struct key row = key_of_chunk('K', s);
    batch_single_delete(e, &chunk);
    batch_delete(e, &row);
    engine_witness_chunk(e, &row, false);
    FAULT_POINT("chunk.deleted");
}

static void
put_chunk_row(struct engine_local *e, const struct segment *s)
{
    struct buf row = { 0 };
    const struct key key = key_of_chunk('K', s);
    chunk_row_encode(s, &row);
    batch_put(e, &key, buf_bytes(&row));
    buf_fini(&row);
}

static void
delete_dead_chunks(struct engine_local *e)
{
    while (!list_is_empty(&e->index.dead)) {
        struct segment *s = LIST_CONTAINER(e->index.dead.next, struct segment, in_row);
        delete_chunk_rows(e, s);
        segment_forget(s);
    }
}

/* A journal row may go only when the settlements it tells are told elsewhere. */
static void
fold_chunks(struct engine_local *e, uint64_t up_to)
{
    while (!list_is_empty(&e->index.unfolded)) {
        struct segment *s = LIST_CONTAINER(e->index.unfolded.next, struct segment, in_row);
        if (s->unfolded > up_to)
            return;
        put_chunk_row(e, s);
        segment_folded(s);
    }
}

static void
cut(struct engine_local *e, struct journal_row *row)
{
    const struct key key = key_of_row(row->number);
    fold_chunks(e, row->number);
    batch_single_delete(e, &key);
    log_index_cut(&e->index, row);
}

static struct journal_row *
oldest(const struct engine_local *e)
{
    struct list *first = list_first(&e->index.journal);
    return first == NULL ? NULL : LIST_CONTAINER(first, struct journal_row, in_journal);
}

static bool
tells_settlements(const struct engine_local *e, const struct journal_row *row)
{
    struct list *first = e->index.unfolded.next;
    return first != &e->index.unfolded &&
           LIST_CONTAINER(first, struct segment, in_row)->unfolded <= row->number;
}

/* The newest row stays: it tells the number of its round. */
static void
cut_dead_rows(struct engine_local *e)
{
    struct journal_row *row;
    while ((row = oldest(e)) != NULL && row->alive == 0 && row->number != e->newest_row &&
           (e->index.journal_bytes > DEAD_ROWS_BYTES || !tells_settlements(e, row)))
        cut(e, row);
}

static bool
log_matches(const struct map_node *node, const void *key)
{
    (void)node; /* Hashes of ids are unique. */
    (void)key;
    return true;
}

static struct builder *
builder_get(struct move *m, uint64_t log)
{
    const uint64_t hash = log * UINT64_C(0x9E3779B97F4A7C15);
    struct map_node *node = map_find(&m->builders, hash, log_matches, NULL);
    if (node != NULL)
        return MAP_CONTAINER(node, struct builder, by_log);
    struct builder *builder = mem_alloc_zeroed(sizeof(*builder));
    builder->log = log;
    map_insert(&m->builders, &builder->by_log, hash);
    return builder;
}

static void
builder_emit(struct move *m, struct builder *b)
{
    const struct row_head head = { .count = b->count };
    const struct segment where = { .log = &(struct log){ .id = b->log },
                                   .base = b->base,
                                   .generation = m->generation };
    const struct key key = key_of_chunk('C', &where);
    row_finish(&b->row, &head);
    batch_put(m->engine, &key, buf_bytes(&b->row));
    if (m->chunk_count == m->chunk_capacity) {
        m->chunk_capacity = m->chunk_capacity == 0 ? 16 : m->chunk_capacity * 2;
        m->chunks = mem_resize(m->chunks, m->chunk_capacity * sizeof(*m->chunks));
    }
    m->chunks[m->chunk_count++] = (struct new_chunk){
        b->log, b->base,
        payload_shape(bytes_of(b->row.data + ROW_HEAD_SIZE, b->row.size - ROW_HEAD_SIZE))
    };
    b->count = 0;
    b->row.size = 0;
}

static void
builder_add(struct move *m, struct builder *b, uint64_t sequence, struct bytes record)
{
    if (b->count > 0 &&
        (b->row.size + record.size > CHUNK_BYTES_MAX || sequence - b->base > UINT32_MAX / 2))
        builder_emit(m, b);
    if (b->count == 0) {
        row_start(&b->row);
        b->base = sequence;
    }
    payload_append(&b->row, record, (uint32_t)(sequence - b->base));
    b->count++;
}

static void
move_records(struct move *m, const struct segment *s, struct bytes payload)
{
    struct builder *b = builder_get(m, s->log->id);
    struct record record;
    for (uint32_t i = 0; payload_next(&payload, &record); i++)
        if (!segment_is_settled(s, i))
            builder_add(m, b, s->base + record.offset, record.octets);
}

static void
move_finish_builders(struct move *m)
{
    struct map_node *node;
    while ((node = map_any(&m->builders)) != NULL) {
        struct builder *b = MAP_CONTAINER(node, struct builder, by_log);
        if (b->count > 0)
            builder_emit(m, b);
        map_remove(&m->builders, node);
        buf_fini(&b->row);
        mem_free(b);
    }
}

/* The new chunks take the place of what the caller has just forgotten. */
static void
move_index_chunks(struct move *m)
{
    struct engine_local *e = m->engine;
    const struct segment_place place = { .generation = m->generation };
    for (size_t i = 0; i < m->chunk_count; i++) {
        const struct new_chunk *c = &m->chunks[i];
        const struct segment *s = log_index_add(&e->index, c->log, c->base, &c->shape, &place);
        ASSERT(s != NULL);
        const struct key key = key_of_chunk('K', s);
        engine_witness_chunk(e, &key, true);
        put_chunk_row(e, s);
        FAULT_POINT("chunk.written");
    }
    mem_free(m->chunks);
}

static void
move_abandon(struct move *m)
{
    for (size_t i = 0; i < m->chunk_count; i++)
        mem_free(m->chunks[i].shape.offsets);
    mem_free(m->chunks);
}

/* Copies what is alive in one row of the store; `segments` are those that lie in it. */
static bool
move_row(struct move *m, const struct key *key, struct segment **segments, size_t count)
{
    rocksdb_pinnableslice_t *slice = NULL;
    struct bytes row;
    struct bytes payload;
    bool ok = engine_get(m->engine, key, &slice, &row) == ROW_THERE;
    for (size_t i = 0; ok && i < count; i++) {
        ok = segments[i]->alive == 0 || engine_find_payload(segments[i], row, &payload);
        if (ok && segments[i]->alive > 0)
            move_records(m, segments[i], payload);
    }
    if (slice != NULL)
        rocksdb_pinnableslice_destroy(slice);
    if (!ok)
        engine_log_damage(key);
    return ok;
}

/* In order of sequence, as segments of one log stand in a row. */
static bool
move_journal_row(struct move *m, struct journal_row *row)
{
    struct segment **segments = NULL;
    size_t count = 0;
    if (row->alive == 0)
        return true;
    LIST_FOREACH (link, &row->segments)
        count++;
    segments = mem_alloc(count * sizeof(struct segment *));
    count = 0;
    LIST_FOREACH (link, &row->segments)
        segments[count++] = LIST_CONTAINER(link, struct segment, in_row);
    const struct key key = key_of_row(row->number);
    const bool ok = move_row(m, &key, segments, count);
    mem_free(segments);
    return ok;
}

static void
forget_rows(struct engine_local *e, uint64_t up_to)
{
    struct journal_row *row;
    while ((row = oldest(e)) != NULL && row->number <= up_to) {
        while (!list_is_empty(&row->segments))
            segment_forget(LIST_CONTAINER(row->segments.next, struct segment, in_row));
        cut(e, row);
    }
}

static uint64_t
new_generation(struct engine_local *e)
{
    return ++e->generation;
}

/* Old rows move into chunks: reading and copying first, then the index in one step, so that readers
 * never miss a record. */
static bool
relocate_step(struct engine_local *e)
{
    struct move m = { .engine = e, .generation = new_generation(e) };
    uint64_t taken = 0;
    uint64_t last = 0;
    bool ok = true;
    LIST_FOREACH (link, &e->index.journal) {
        struct journal_row *row = LIST_CONTAINER(link, struct journal_row, in_journal);
        if (!ok || taken >= RELOCATE_BYTES || row->number == e->newest_row)
            break;
        ok = move_journal_row(&m, row);
        taken += row->bytes;
        last = row->number;
    }
    move_finish_builders(&m);
    if (!ok) {
        move_abandon(&m);
        return false;
    }
    lock_acquire(&e->lock);
    e->is_writing = true;
    forget_rows(e, last);
    move_index_chunks(&m);
    lock_release(&e->lock);
    return engine_write_batch(e, false);
}

/* Long by itself, or long for the little that is alive behind an old row. */
static bool
journal_is_long(const struct engine_local *e)
{
    const struct log_index *x = &e->index;
    return x->journal.next->next != &x->journal &&
           (x->journal_bytes > e->journal_bytes_max || x->journal_segments > JOURNAL_SEGMENTS_MAX ||
            (x->journal_bytes > e->journal_bytes_max / 8 &&
             x->journal_alive < x->journal_records / 2));
}

static bool
chunks_are_sparse(const struct engine_local *e)
{
    const struct log_index *x = &e->index;
    return !list_is_empty(&x->sparse) &&
           x->chunk_bytes > 2 * x->chunk_bytes_alive + e->dead_chunks_bytes_max;
}

/* The longest sparse chunk and those behind it in its log that are sparse, too. */
static size_t
sparse_run(struct engine_local *e, struct segment **out, size_t most)
{
    struct segment *s = LIST_CONTAINER(e->index.sparse.next, struct segment, in_sparse);
    const struct log *log = s->log;
    size_t count = 0;
    uint64_t bytes = 0;
    for (size_t k = log_place_reaching(log, s->base); k < log->count && count < most; k++) {
        s = log->segments[k];
        if (!list_is_linked(&s->in_sparse) || bytes > REWRITE_BYTES)
            break;
        bytes += s->bytes;
        out[count++] = s;
    }
    return count;
}

/* Writes sparse neighbours again as fewer chunks. */
static bool
rewrite_step(struct engine_local *e)
{
    struct segment *segments[64];
    struct move m = { .engine = e, .generation = new_generation(e) };
    const size_t count = sparse_run(e, segments, sizeof(segments) / sizeof(segments[0]));
    bool ok = true;
    for (size_t i = 0; ok && i < count; i++) {
        const struct key key = key_of_chunk('C', segments[i]);
        ok = move_row(&m, &key, &segments[i], 1);
    }
    move_finish_builders(&m);
    if (!ok) {
        move_abandon(&m);
        return false;
    }
    lock_acquire(&e->lock);
    e->is_writing = true;
    for (size_t i = 0; i < count; i++) {
        delete_chunk_rows(e, segments[i]);
        segment_forget(segments[i]);
    }
    move_index_chunks(&m);
    lock_release(&e->lock);
    return true;
}

bool
engine_shorten(struct engine_local *e)
{
    lock_acquire(&e->lock);
    delete_dead_chunks(e);
    cut_dead_rows(e);
    lock_release(&e->lock);
    if (!journal_is_long(e) && !chunks_are_sparse(e))
        return true;
    if (!engine_has_room(e, RELOCATE_BYTES))
        return true; /* It can wait. */
    /* What is relocated is read from the store: the rows of this very round must be there. */
    if (journal_is_long(e) && !engine_write_batch(e, false))
        return false;
    while (journal_is_long(e) && engine_has_room(e, RELOCATE_BYTES))
        if (!relocate_step(e))
            return false;
    return !chunks_are_sparse(e) || rewrite_step(e);
}
