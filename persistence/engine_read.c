/* Giving records back: from chunks, and from rows of the journal that have not been relocated. */

#include "persistence/engine_local.h"

#include "broker/base/log.h"
#include "broker/base/mem.h"

#include <stdio.h>
#include <string.h>

#define ATTEMPTS_MAX 5

struct key
engine_key_of_segment(const struct segment *s)
{
    return s->row == NULL ? key_of_chunk('C', s) : key_of_row(s->row->number);
}

enum row_found
engine_get(struct engine_local *e, const struct key *key, rocksdb_pinnableslice_t **slice,
           struct bytes *out)
{
    char *error = NULL;
    size_t size = 0;
    *slice = rocksdb_get_pinned(e->db, e->reading, (const char *)key->octets, key->size, &error);
    if (error != NULL) {
        log_error("store.read", "msg=\"%s\"", error);
        rocksdb_free(error);
        return ROW_UNREADABLE;
    }
    if (*slice == NULL)
        return ROW_MISSING;
    const char *data = rocksdb_pinnableslice_value(*slice, &size);
    *out = bytes_of(data, size);
    return ROW_THERE;
}

void
engine_log_damage(const struct key *key)
{
    char name[2 * KEY_SIZE_MAX + 1] = "";
    for (size_t i = 1; i < key->size; i++)
        snprintf(name + 2 * (i - 1), 3, "%02x", key->octets[i]);
    log_error("store.damaged",
              "row=\"%c %s\" msg=\"the row is missing or damaged: stop the broker, look at all of "
              "it with railmq store verify, and restore a backup or save what can be read with "
              "railmq store salvage\"",
              key->octets[0], name);
}

/* Where the records of a segment lie, and which of them are settled: as of one moment. */
struct extract {
    struct key key;
    uint64_t base;
    uint64_t end; /* One past its highest sequence. */
    uint32_t at;
    uint32_t bytes;
    uint32_t count;
    bool in_chunk;
    uint64_t *settled;
};

static struct extract
extract_take(const struct segment *s)
{
    const size_t size = segment_bitmap_words(s->count) * sizeof(uint64_t);
    struct extract x = {
        .key = engine_key_of_segment(s),
        .base = s->base,
        .end = s->base + s->span,
        .at = s->at,
        .bytes = s->bytes,
        .count = s->count,
        .in_chunk = s->row == NULL,
        .settled = mem_alloc(size),
    };
    memcpy(x.settled, s->settled, size);
    return x;
}

static bool
find_payload(const struct extract *x, struct bytes row, struct bytes *payload)
{
    struct row_head head;
    struct bytes content;
    uint32_t count;
    if (!row_open(row, &head, &content) || x->at > content.size ||
        x->bytes > content.size - x->at || (x->in_chunk && head.count != x->count))
        return false;
    *payload = bytes_of(content.data + x->at, x->bytes);
    return payload_is_sound(*payload, &count) && count == x->count;
}

bool
engine_find_payload(const struct segment *s, struct bytes row, struct bytes *payload)
{
    const struct extract x = {
        .at = s->at, .bytes = s->bytes, .count = s->count, .in_chunk = s->row == NULL
    };
    return find_payload(&x, row, payload);
}

/* The next segment with something alive at `from` or behind it. `written` gets the number of
 * batches that had been written then. */
static bool
next_extract(struct engine_local *e, const struct log_reading *r, uint64_t from,
             struct extract *out, uint64_t *written)
{
    bool found = false;
    lock_acquire(&e->lock);
    *written = e->written;
    const struct log *log = log_find(&e->index, r->log);
    size_t k = log == NULL ? 0 : log_place_reaching(log, from);
    while (log != NULL && k < log->count && log->segments[k]->alive == 0)
        k++;
    if (log != NULL && k < log->count && log->segments[k]->base <= r->to) {
        *out = extract_take(log->segments[k]);
        found = true;
    }
    lock_release(&e->lock);
    return found;
}

/* A row was not there, though `written` batches were. The batch that brings it may be under way, or
 * one that has moved its records meanwhile: true once that is written. */
static bool
wait_for_writing(struct engine_local *e, uint64_t written) UNCHECKED_LOCKING
{
    lock_acquire(&e->lock);
    while (e->written == written && e->is_writing && !e->unreadable)
        pthread_cond_wait(&e->written_changed, &e->lock.mutex);
    const bool changed = e->written != written;
    lock_release(&e->lock);
    return changed;
}

/* What is missing then was never written. */
static bool
is_unreadable(struct engine_local *e)
{
    lock_acquire(&e->lock);
    const bool unreadable = e->unreadable;
    lock_release(&e->lock);
    return unreadable;
}

/* The row that was read last: many small segments lie in one. */
struct row_cache {
    struct engine_local *engine; /* Not NULL: its store is kept open. */
    struct key key;
    rocksdb_pinnableslice_t *slice;
    struct bytes row;
};

static void
row_cache_drop(struct row_cache *c) UNCHECKED_LOCKING
{
    if (c->slice != NULL)
        rocksdb_pinnableslice_destroy(c->slice);
    c->slice = NULL;
    if (c->engine != NULL)
        rwlock_read_end(&c->engine->opened);
    c->engine = NULL;
}

/* The store stays open as long as a row of it is looked at; one that is waited for may need it to
 * be opened again. */
static enum row_found
row_cache_get(struct engine_local *e, struct row_cache *c, const struct key *key) UNCHECKED_LOCKING
{
    if (c->slice != NULL && c->key.size == key->size &&
        memcmp(c->key.octets, key->octets, key->size) == 0)
        return ROW_THERE;
    row_cache_drop(c);
    c->key = *key;
    c->engine = e;
    rwlock_read(&e->opened);
    const enum row_found found =
        e->db == NULL ? ROW_UNREADABLE : engine_get(e, key, &c->slice, &c->row);
    if (found != ROW_THERE)
        row_cache_drop(c);
    return found;
}

/* Visits what is alive from `*from` on, and moves it behind. False: the visitor has had enough. */
static bool
visit_payload(const struct extract *x, struct bytes payload, const struct log_reading *r,
              uint64_t *from)
{
    struct record record;
    for (uint32_t i = 0; payload_next(&payload, &record); i++) {
        const uint64_t sequence = x->base + record.offset;
        if (sequence < *from || (x->settled[i / 64] >> (i % 64) & 1u))
            continue;
        if (sequence > r->to || !r->visit(r->context, sequence, record.octets))
            return false;
        *from = sequence + 1;
    }
    return true;
}

enum step {
    STEP_NEXT,
    STEP_END,
    STEP_DAMAGED,
};

static enum step
read_extract(const struct log_reading *r, const struct extract *x, struct bytes row, uint64_t *from)
{
    struct bytes payload;
    if (!find_payload(x, row, &payload)) {
        engine_log_damage(&x->key);
        return STEP_DAMAGED;
    }
    if (!visit_payload(x, payload, r, from))
        return STEP_END;
    *from = x->end;
    return STEP_NEXT;
}

/* A row that is missing is looked for again where the index tells by then; it moves seldom, so it
 * is soon found or really missing. */

static enum step
read_step(struct engine_local *e, const struct log_reading *r, struct row_cache *cache,
          uint64_t *from)
{
    struct extract x;
    uint64_t written;
    enum step step = STEP_DAMAGED;
    for (int attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
        if (!next_extract(e, r, *from, &x, &written))
            return STEP_END;
        const enum row_found found = row_cache_get(e, cache, &x.key);
        if (found == ROW_THERE)
            step = read_extract(r, &x, cache->row, from);
        const bool again = found == ROW_MISSING && wait_for_writing(e, written);
        mem_free(x.settled);
        if (found == ROW_THERE)
            return step;
        if (!again)
            break;
    }
    if (!is_unreadable(e))
        engine_log_damage(&x.key);
    return STEP_DAMAGED;
}

bool
engine_local_read(struct engine *engine, const struct log_reading *reading)
{
    struct engine_local *e = (struct engine_local *)engine;
    struct row_cache cache = { .slice = NULL };
    uint64_t from = reading->from;
    enum step step;
    do
        step = read_step(e, reading, &cache, &from);
    while (step == STEP_NEXT);
    row_cache_drop(&cache);
    return step == STEP_END;
}
