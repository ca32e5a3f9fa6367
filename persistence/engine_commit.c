/* Committing: a round's effects become journal rows and rows of definitions. */

#include "persistence/engine_local.h"

#include "broker/base/endian.h"
#include "broker/base/fault.h"
#include "broker/base/log.h"
#include "broker/base/panic.h"

/* A journal row is closed at this size: whoever reads one record back reads its whole row. */
#define ROW_BYTES (1024u * 1024u)
/* Batches of this size are written before the round's last one, which alone is synced. */
#define BATCH_BYTES (8u * 1024u * 1024u)
/* rocksdb_disable of its enumeration: counting costs a tenth of the committer's time. */
#define PERF_LEVEL_DISABLE 1

void
batch_put(struct engine_local *e, const struct key *key, struct bytes value)
{
    rocksdb_writebatch_put(e->batch, (const char *)key->octets, key->size, (const char *)value.data,
                           value.size);
    e->batch_bytes += key->size + value.size;
}

void
batch_delete(struct engine_local *e, const struct key *key)
{
    rocksdb_writebatch_delete(e->batch, (const char *)key->octets, key->size);
}

void
batch_single_delete(struct engine_local *e, const struct key *key)
{
    rocksdb_writebatch_singledelete(e->batch, (const char *)key->octets, key->size);
}

/* A batch keeps its memory; one that was large is not kept. */
static void
batch_clear(struct engine_local *e)
{
    if (e->batch_bytes > BATCH_BYTES) {
        rocksdb_writebatch_destroy(e->batch);
        e->batch = rocksdb_writebatch_create();
    } else {
        rocksdb_writebatch_clear(e->batch);
    }
    e->batch_bytes = 0;
}

static bool
write_batch(struct engine_local *e, bool sync)
{
    char *error = NULL;
    const bool is_empty = rocksdb_writebatch_count(e->batch) == 0;
    if (is_empty)
        rocksdb_flush_wal(e->db, sync, &error); /* Only what is there already. */
    else
        rocksdb_write(e->db, sync ? e->synced : e->unsynced, e->batch, &error);
    if (error == NULL)
        return true;
    log_error("store.write", "msg=\"%s\"", error);
    const bool is_final = is_empty || e->engine.await_room == NULL || !engine_is_out_of_room(error);
    rocksdb_free(error);
    return !is_final && engine_write_when_room(e, sync);
}

bool
engine_write_batch(struct engine_local *e, bool sync)
{
    const bool ok = write_batch(e, sync);
    size_t written;
    rocksdb_writebatch_data(e->batch, &written);
    wal_ahead_note(&e->ahead, written);
    batch_clear(e);
    lock_acquire(&e->lock);
    e->written++;
    e->is_writing = false;
    e->unreadable = !ok;
    lock_release(&e->lock);
    pthread_cond_broadcast(&e->written_changed);
    e->failed = e->failed || !ok;
    return ok;
}

static void
chunk_gone(void *context, const struct segment *s)
{
    struct engine_local *e = context;
    const struct key chunk = key_of_chunk('C', s);
    const struct key row = key_of_chunk('K', s);
    batch_single_delete(e, &chunk);
    batch_delete(e, &row);
    engine_witness_chunk(e, &row, false);
}

static bool
apply_settle(struct engine_local *e, const struct stored_effect *effect, uint64_t row)
{
    struct bytes payload = effect->payload;
    struct settled_run run = { .first = effect->sequence };
    uint32_t count = 0;
    for (; stored_run_next(&payload, &run); count++)
        if (!log_index_settle(&e->index, effect->log, run.first, run.count, run.weight, row))
            return false;
    return payload.size == 0 && count == effect->count;
}

/* A purge that ends in the middle of a segment wants to know what the records in it weigh. */
struct payload_reader {
    struct engine_local *engine;
    rocksdb_pinnableslice_t *slice;
};

static bool
read_payload(void *context, const struct segment *s, struct bytes *out)
{
    struct payload_reader *reader = context;
    struct bytes row;
    const struct key key = engine_key_of_segment(s);
    if (reader->slice != NULL)
        rocksdb_pinnableslice_destroy(reader->slice);
    if (engine_get(reader->engine, &key, &reader->slice, &row) == ROW_THERE &&
        engine_find_payload(s, row, out))
        return true;
    engine_log_damage(&key);
    return false;
}

static bool
apply_purge(struct engine_local *e, const struct stored_effect *effect, uint64_t row)
{
    struct payload_reader reader = { e, NULL };
    if (effect->payload.size != 8)
        return false;
    const bool ok = log_index_purge(&e->index, effect->log, effect->sequence,
                                    load_be64(effect->payload.data), row, read_payload, &reader);
    if (reader.slice != NULL)
        rocksdb_pinnableslice_destroy(reader.slice);
    return ok;
}

static bool
apply_records(struct engine_local *e, const struct stored_effect *effect, uint32_t at,
              struct journal_row *row)
{
    uint32_t count;
    if (!payload_is_sound(effect->payload, &count) || count == 0 || count != effect->count)
        return false;
    const struct segment_shape shape = payload_shape(effect->payload);
    const struct segment_place place = { .row = row, .at = at };
    return log_index_add(&e->index, effect->log, effect->sequence, &shape, &place) != NULL;
}

bool
engine_apply(struct engine_local *e, const struct stored_effect *effect, uint32_t at,
             struct journal_row *row)
{
    switch (effect->kind) {
    case EFFECT_RECORDS:
        return apply_records(e, effect, at, row);
    case EFFECT_SETTLE:
        return apply_settle(e, effect, row->number);
    case EFFECT_PURGE:
        return apply_purge(e, effect, row->number);
    case EFFECT_LOG_END:
        log_index_end(&e->index, effect->log, chunk_gone, e);
        return true;
    case EFFECT_PUT:
    case EFFECT_DELETE:
        return false; /* Rows of their own, never in the journal. */
    }
    return false;
}

static void
commit_definition(struct engine_local *e, const struct effect *effect)
{
    struct buf key = { 0 };
    buf_append(&key, "D", 1);
    buf_append_bytes(&key, buf_bytes(&effect->key));
    const struct bytes row = buf_bytes(&effect->payload);
    engine_witness_definition(e, buf_bytes(&key), effect->kind == EFFECT_PUT ? &row : NULL);
    if (effect->kind == EFFECT_PUT)
        rocksdb_writebatch_put(e->batch, (const char *)key.data, key.size,
                               (const char *)effect->payload.data, effect->payload.size);
    else
        rocksdb_writebatch_delete(e->batch, (const char *)key.data, key.size);
    e->batch_bytes += key.size + effect->payload.size;
    buf_fini(&key);
}

/* The index learns of the row just before it is written: readers wait for the writing. */
static bool
apply_row(struct engine_local *e)
{
    const struct buf *built = &e->building.row;
    const struct bytes all = bytes_of(built->data + ROW_HEAD_SIZE, built->size - ROW_HEAD_SIZE);
    struct bytes content = all;
    struct stored_effect effect = { 0 };
    bool ok = true;
    lock_acquire(&e->lock);
    e->is_writing = true;
    struct journal_row *row = log_index_add_row(&e->index, e->newest_row, built->size);
    while (ok && row_next_effect(&content, &effect))
        ok = engine_apply(e, &effect, (uint32_t)(effect.payload.data - all.data), row);
    lock_release(&e->lock);
    return ok;
}

static bool
close_row(struct engine_local *e, uint64_t round)
{
    struct row_builder *b = &e->building;
    row_builder_close(b); /* A round of definitions alone leaves its number, too. */
    const struct row_head head = { b->effects, e->newest_row, round };
    row_finish(&b->row, &head);
    e->newest_row = e->next_row++;
    const struct key key = key_of_row(e->newest_row);
    batch_put(e, &key, buf_bytes(&b->row));
    const bool ok = apply_row(e);
    if (b->row.capacity > 2 * ROW_BYTES)
        buf_fini(&b->row);
    row_builder_reset(b);
    return ok && (e->batch_bytes < BATCH_BYTES || engine_write_batch(e, false));
}

static bool
commit_effects(struct engine_local *e, const struct round *round)
{
    bool ok = true;
    for (size_t i = 0; ok && i < round->effect_count; i++) {
        const struct effect *effect = &round->effects[i];
        if (effect->kind == EFFECT_PUT || effect->kind == EFFECT_DELETE) {
            commit_definition(e, effect);
            continue;
        }
        const size_t after = e->building.row.size + effect_payload_size(effect);
        if (e->building.effects > 0 && after > ROW_BYTES)
            ok = close_row(e, round->number);
        row_builder_add(&e->building, effect);
    }
    return ok && (round->effect_count == 0 || close_row(e, round->number));
}

void
engine_local_submit(struct engine *engine, const struct round *round)
{
    struct engine_local *e = (struct engine_local *)engine;
    rocksdb_set_perf_level(PERF_LEVEL_DISABLE); /* Of this thread. */
    /* After a failure it is not known what is on disk: nothing is written any more. */
    if (!e->failed) {
        e->failed = !commit_effects(e, round) || (round->effect_count > 0 && !engine_shorten(e));
        FAULT_POINT("commit.before_write");
        e->failed = e->failed || !engine_write_batch(e, round->sync);
        FAULT_POINT("commit.written");
    }
    if (!e->failed && round->sync)
        engine_witness_tell(e);
    engine->done(engine->done_context, round->number, e->failed ? ROUND_UNKNOWN : ROUND_COMMITTED);
    if (!e->failed && round->sync)
        e->failed = !wal_ahead_extend(&e->ahead);
}
