#include "persistence/log_index.h"

#include "broker/base/endian.h"
#include "broker/base/mem.h"
#include "broker/base/panic.h"

void
log_index_init(struct log_index *x)
{
    *x = (struct log_index){ 0 };
    list_init(&x->journal);
    list_init(&x->unfolded);
    list_init(&x->dead);
}

static bool
id_matches(const struct map_node *node, const void *key)
{
    (void)node; /* The hash is the id itself, spread. */
    (void)key;
    return true;
}

/* A bijection, so that equal hashes are equal ids. */
static uint64_t
id_hash(uint64_t id)
{
    return id * UINT64_C(0x9E3779B97F4A7C15);
}

struct log *
log_find(const struct log_index *x, uint64_t id)
{
    struct map_node *node = map_find(&x->logs, id_hash(id), id_matches, NULL);
    return node == NULL ? NULL : MAP_CONTAINER(node, struct log, by_id);
}

static struct log *
log_get(struct log_index *x, uint64_t id)
{
    struct log *log = log_find(x, id);
    if (log == NULL) {
        log = mem_alloc_zeroed(sizeof(*log));
        log->id = id;
        map_insert(&x->logs, &log->by_id, id_hash(id));
    }
    return log;
}

struct journal_round *
log_index_add_round(struct log_index *x, uint64_t number, uint64_t bytes)
{
    struct journal_round *round = mem_alloc_zeroed(sizeof(*round));
    round->number = number;
    round->bytes = bytes;
    list_init(&round->segments);
    list_push(&x->journal, &round->in_journal);
    x->journal_bytes += bytes;
    return round;
}

bool
payload_next(struct bytes *payload, uint32_t *offset, struct bytes *record)
{
    if (payload->size == 0)
        return false;
    const uint32_t size = load_be32(payload->data);
    *offset = load_be32(payload->data + 4);
    *record = bytes_of(payload->data, size);
    payload->data += size;
    payload->size -= size;
    return true;
}

bool
payload_is_sound(struct bytes payload, uint32_t *count)
{
    uint64_t least = 0;
    *count = 0;
    while (payload.size > 0) {
        if (payload.size < RECORD_FRAME_SIZE)
            return false;
        const uint32_t size = load_be32(payload.data);
        const uint32_t offset = load_be32(payload.data + 4);
        if (size < RECORD_FRAME_SIZE || size > payload.size || offset < least ||
            offset == UINT32_MAX)
            return false;
        least = (uint64_t)offset + 1;
        payload.data += size;
        payload.size -= size;
        ++*count;
    }
    return true;
}

struct segment_shape
payload_shape(struct bytes payload)
{
    struct segment_shape shape = { 0 };
    const bool sound = payload_is_sound(payload, &shape.count);
    ASSERT(sound);
    ASSERT(shape.count > 0);
    shape.offsets = mem_alloc(shape.count * sizeof(*shape.offsets));
    struct bytes record;
    for (uint32_t i = 0; i < shape.count; i++)
        payload_next(&payload, &shape.offsets[i], &record);
    shape.span = shape.offsets[shape.count - 1] + 1;
    if (shape.span == shape.count) {
        mem_free(shape.offsets);
        shape.offsets = NULL;
    }
    return shape;
}

/* The place of the first segment that begins at `base` or later. */
static size_t
place_from(const struct log *log, uint64_t base)
{
    size_t low = log->first;
    size_t high = log->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (log->segments[middle]->base < base)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Whether no segment of the log has any of these sequences: a settlement must find the one that is
 * meant. */
static bool
span_is_free(const struct log *log, uint64_t base, uint32_t span)
{
    if (base > UINT64_MAX - span)
        return false;
    const size_t place = place_from(log, base);
    if (place < log->count && log->segments[place]->base < base + span)
        return false;
    return place == log->first ||
           log->segments[place - 1]->base + log->segments[place - 1]->span <= base;
}

/* Segments come in order of base, except a relocated one, which takes the place of older ones. */
static void
log_insert(struct log *log, struct segment *s)
{
    if (log->count == log->capacity && log->first > log->capacity / 2) {
        memmove(log->segments, log->segments + log->first,
                (log->count - log->first) * sizeof(struct segment *));
        log->count -= log->first;
        log->first = 0;
    }
    if (log->count == log->capacity) {
        log->capacity = log->capacity == 0 ? 4 : log->capacity * 2;
        log->segments = mem_resize(log->segments, log->capacity * sizeof(struct segment *));
    }
    const size_t place = place_from(log, s->base);
    memmove(log->segments + place + 1, log->segments + place,
            (log->count - place) * sizeof(struct segment *));
    log->segments[place] = s;
    log->count++;
}

struct segment *
log_index_add(struct log_index *x, uint64_t id, uint64_t base, const struct segment_shape *shape,
              struct journal_round *round, uint64_t generation)
{
    struct log *log = log_get(x, id);
    if (!span_is_free(log, base, shape->span)) {
        mem_free(shape->offsets);
        return NULL;
    }
    struct segment *s = mem_alloc_zeroed(sizeof(*s));
    s->log = log;
    s->round = round;
    s->base = base;
    s->generation = generation;
    s->count = shape->count;
    s->alive = shape->count;
    s->span = shape->span;
    s->offsets = shape->offsets;
    s->settled = mem_alloc_zeroed(segment_bitmap_words(s) * sizeof(uint64_t));
    list_init(&s->in_round);
    if (round != NULL) {
        list_push(&round->segments, &s->in_round);
        round->alive += s->count;
        round->records += s->count;
        x->journal_records += s->count;
        x->journal_alive += s->count;
    }
    s->index = x;
    log_insert(log, s);
    return s;
}

/* The segment whose span holds the sequence, or NULL. */
static struct segment *
segment_find(const struct log *log, uint64_t sequence)
{
    size_t low = log->first;
    size_t high = log->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (log->segments[middle]->base <= sequence)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == log->first)
        return NULL;
    struct segment *s = log->segments[low - 1];
    return sequence - s->base < s->span ? s : NULL;
}

/* Which record of the segment that is; false if it is a hole. */
static bool
record_find(const struct segment *s, uint64_t sequence, uint32_t *out)
{
    const uint32_t offset = (uint32_t)(sequence - s->base);
    if (s->offsets == NULL) {
        *out = offset;
        return true;
    }
    uint32_t low = 0;
    uint32_t high = s->count;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (s->offsets[middle] < offset)
            low = middle + 1;
        else
            high = middle;
    }
    *out = low;
    return low < s->count && s->offsets[low] == offset;
}

void
log_index_settle(struct log_index *x, uint64_t id, uint64_t sequence, uint64_t round)
{
    struct log *log = log_find(x, id);
    struct segment *s = log == NULL ? NULL : segment_find(log, sequence);
    uint32_t i;
    if (s == NULL || !record_find(s, sequence, &i) || segment_is_settled(s, i))
        return;
    s->settled[i / 64] |= UINT64_C(1) << (i % 64);
    s->alive--;
    if (s->round != NULL) {
        s->round->alive--;
        x->journal_alive--;
        return;
    }
    if (s->alive == 0) {
        list_unlink(&s->in_round);
        list_push(&x->dead, &s->in_round);
    } else if (s->unfolded == 0) {
        list_push(&x->unfolded, &s->in_round);
    }
    if (s->unfolded == 0)
        s->unfolded = round;
}

void
segment_folded(struct segment *s)
{
    ASSERT(s->round == NULL);
    s->unfolded = 0;
    list_unlink(&s->in_round);
}

void
segment_free(struct segment *s)
{
    list_unlink(&s->in_round);
    mem_free(s->offsets);
    mem_free(s->settled);
    mem_free(s);
}

static void
log_free(struct log_index *x, struct log *log)
{
    map_remove(&x->logs, &log->by_id);
    mem_free(log->segments);
    mem_free(log);
}

void
segment_detach(struct segment *s)
{
    struct log *log = s->log;
    const size_t place = place_from(log, s->base);
    ASSERT(place < log->count && log->segments[place] == s);
    if (s->round != NULL) {
        s->round->alive -= s->alive;
        s->index->journal_alive -= s->alive;
    }
    /* Close the gap from the nearer end. */
    const size_t before = place - log->first;
    const size_t after = log->count - place - 1;
    if (before <= after) {
        memmove(log->segments + log->first + 1, log->segments + log->first,
                before * sizeof(struct segment *));
        log->first++;
    } else {
        memmove(log->segments + place, log->segments + place + 1, after * sizeof(struct segment *));
        log->count--;
    }
    s->log = NULL;
    list_unlink(&s->in_round);
}

void
segment_forget(struct segment *s)
{
    segment_detach(s);
    segment_free(s);
}

void
log_index_end(struct log_index *x, uint64_t id,
              void (*chunk_gone)(void *context, const struct segment *s), void *context)
{
    struct log *log = log_find(x, id);
    if (log == NULL)
        return;
    while (log->first < log->count) {
        struct segment *s = log->segments[log->first];
        if (s->round == NULL)
            chunk_gone(context, s);
        segment_forget(s);
    }
    log_free(x, log);
}

void
log_index_cut(struct log_index *x, struct journal_round *round)
{
    while (!list_is_empty(&round->segments)) {
        struct segment *s = LIST_CONTAINER(round->segments.next, struct segment, in_round);
        ASSERT(s->alive == 0);
        segment_forget(s);
    }
    x->journal_bytes -= round->bytes;
    x->journal_records -= round->records;
    list_unlink(&round->in_journal);
    mem_free(round);
}

void
log_index_fini(struct log_index *x)
{
    struct map_node *node;
    while ((node = map_any(&x->logs)) != NULL) {
        struct log *log = MAP_CONTAINER(node, struct log, by_id);
        for (size_t i = log->first; i < log->count; i++)
            segment_free(log->segments[i]);
        log_free(x, log);
    }
    while (!list_is_empty(&x->journal)) {
        struct journal_round *round =
            LIST_CONTAINER(x->journal.next, struct journal_round, in_journal);
        list_unlink(&round->in_journal);
        mem_free(round);
    }
    map_fini(&x->logs);
}
