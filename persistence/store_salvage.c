/* A new store of what can be read of a damaged one. */

#include "persistence/store.h"

#include "persistence/door.h"
#include "persistence/engine_local.h"
#include "persistence/store_internal.h"

#include <stdio.h>

#define ROUND_BYTES (4u * 1024u * 1024u)

struct salvaging {
    struct store *store;
    const struct store_salvage *how;
    struct door *door; /* Of the new store. */
};

static void
no_notify(void *context)
{
    (void)context;
}

static void
commit_some(struct salvaging *s)
{
    if (door_bytes_pending(s->door) >= ROUND_BYTES)
        door_step(s->door, false);
}

static void
no_gap(void *context, const char *row, const char *what)
{
    (void)context; /* The walk has told of it. */
    (void)row;
    (void)what;
}

static void
save_definitions(struct salvaging *s)
{
    struct scan scan;
    struct bytes key;
    struct bytes row;
    scan_start(&scan, s->store, 'D', no_gap, NULL);
    for (; scan_get(&scan, &key, &row); scan_next(&scan)) {
        const struct bytes name = bytes_of(key.data + 1, key.size - 1);
        struct effect put = { .kind = EFFECT_PUT };
        if (!s->how->keeps(s->how->context, name, row))
            continue;
        buf_append_bytes(&put.key, name);
        buf_append_bytes(&put.payload, row);
        door_push(s->door, &put);
        commit_some(s);
    }
    scan_finish(&scan);
    s->how->complete(s->how->context, s->door);
}

/* Those records that are alive and sound, as one effect. Returns how many. */
static uint32_t
save_payload(struct salvaging *s, const struct segment *segment, struct bytes payload)
{
    struct effect records = { .kind = EFFECT_RECORDS, .log = segment->log->id };
    struct record record;
    for (uint32_t i = 0; payload_next(&payload, &record); i++) {
        const uint64_t sequence = segment->base + record.offset;
        if (segment_is_settled(segment, i) || !s->how->record(s->how->context, record.octets))
            continue;
        if (records.count++ == 0)
            records.sequence = sequence;
        payload_append(&records.payload, record.octets, (uint32_t)(sequence - records.sequence));
    }
    if (records.count > 0)
        door_push(s->door, &records);
    return records.count;
}

static void
save_segment(struct salvaging *s, const struct segment *segment)
{
    struct engine_local *e = &s->store->reader;
    const struct key key = engine_key_of_segment(segment);
    rocksdb_pinnableslice_t *slice = NULL;
    struct bytes row;
    struct bytes payload;
    uint32_t kept = 0;
    const enum row_found found = engine_get(e, &key, &slice, &row);
    if (found == ROW_THERE && engine_find_payload(segment, row, &payload))
        kept = save_payload(s, segment, payload);
    if (found == ROW_THERE)
        rocksdb_pinnableslice_destroy(slice);
    s->how->saved(s->how->context, segment->log->id, kept, segment->alive - kept);
    progress_add(s->how->progress, segment->bytes);
    commit_some(s);
}

/* In order of sequence: whatever is in chunks is older than what is in the journal. */
static void
save_log(struct salvaging *s, const struct log *log)
{
    const bool has_queue = s->how->has_queue(s->how->context, log->id);
    for (size_t i = log->first; i < log->count; i++) {
        const struct segment *segment = log->segments[i];
        if (segment->alive > 0 && has_queue)
            save_segment(s, segment);
        else if (segment->alive > 0)
            s->how->saved(s->how->context, log->id, 0, segment->alive);
    }
}

static void
save_logs(struct salvaging *s)
{
    const struct map *logs = &s->store->reader.index.logs;
    for (struct map_node *node = map_next(logs, NULL); node != NULL; node = map_next(logs, node))
        save_log(s, MAP_CONTAINER(node, struct log, by_id));
}

static void
no_definition(void *context, struct bytes key, struct bytes row)
{
    (void)context;
    (void)key;
    (void)row;
}

static void
no_log(void *context, const struct log_summary *summary)
{
    (void)context;
    (void)summary;
}

/* The next start must not give numbers that the old store has given. */
static bool
continue_epoch(struct engine *engine, uint64_t epoch, char *problem, size_t problem_size)
{
    struct engine_local *e = (struct engine_local *)engine;
    const struct key key = { .octets = { 'F' }, .size = 1 };
    struct buf row = { 0 };
    format_row_encode(epoch, &row);
    batch_put(e, &key, buf_bytes(&row));
    buf_fini(&row);
    if (engine_write_batch(e, true))
        return true;
    snprintf(problem, problem_size, "the new store cannot be written; see the log line before");
    return false;
}

static struct engine *
open_new(const struct store *store, const char *to, char *problem, size_t problem_size)
{
    char directory[sizeof(store->reader.directory)];
    const struct recovery nothing = { no_definition, no_log, NULL };
    snprintf(directory, sizeof(directory), "%s/store", to);
    struct engine *engine = engine_local_open(directory, problem, problem_size);
    if (engine == NULL)
        return NULL;
    if (continue_epoch(engine, store->epoch, problem, problem_size) &&
        engine->ops->recover(engine, &nothing, problem, problem_size))
        return engine;
    engine->ops->destroy(engine);
    return NULL;
}

bool
store_salvage(struct store *store, const char *to, const struct store_salvage *salvage,
              char *problem, size_t problem_size)
{
    struct engine *engine = open_new(store, to, problem, problem_size);
    if (engine == NULL)
        return false;
    struct salvaging s = { .store = store, .how = salvage };
    s.door = door_create_stepped(engine, UINT64_MAX, no_notify, NULL);
    progress_start(salvage->progress, "writing the new store", PROGRESS_OCTETS, 0);
    save_definitions(&s);
    save_logs(&s);
    door_step(s.door, true);
    progress_end(salvage->progress);
    const bool failed = door_has_failed(s.door);
    if (door_destroy(s.door) && !failed)
        return true;
    snprintf(problem, problem_size,
             "the new store in %s cannot be written; see the log line before, and make room", to);
    return false;
}
