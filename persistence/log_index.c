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
    list_init(&x->sparse);
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
        log->index = x;
        map_insert(&x->logs, &log->by_id, id_hash(id));
    }
    return log;
}

struct journal_row *
log_index_add_row(struct log_index *x, uint64_t number, uint64_t bytes)
{
    struct journal_row *row = mem_alloc_zeroed(sizeof(*row));
    row->number = number;
    row->bytes = bytes;
    list_init(&row->segments);
    list_push(&x->journal, &row->in_journal);
    x->journal_bytes += bytes;
    return row;
}

void
payload_append(struct buf *payload, struct bytes record, uint32_t offset)
{
    const size_t at = payload->size;
    buf_append_bytes(payload, record);
    store_be32(payload->data + at + 4, offset);
}

bool
payload_next(struct bytes *payload, struct record *out)
{
    if (payload->size == 0)
        return false;
    const uint32_t size = load_be32(payload->data);
    out->offset = load_be32(payload->data + 4);
    out->weight = load_be32(payload->data + 8);
    out->octets = bytes_of(payload->data, size);
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
    struct segment_shape shape = { .bytes = (uint32_t)payload.size };
    const bool sound = payload_is_sound(payload, &shape.count);
    ASSERT(sound);
    ASSERT(shape.count > 0);
    shape.offsets = mem_alloc(shape.count * sizeof(*shape.offsets));
    struct record record = { 0 };
    for (uint32_t i = 0; i < shape.count; i++) {
        payload_next(&payload, &record);
        shape.offsets[i] = record.offset;
        shape.weight += record.weight;
    }
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

static void
log_free(struct log *log)
{
    map_remove(&log->index->logs, &log->by_id);
    mem_free(log->segments);
    mem_free(log);
}

static void
log_free_if_empty(struct log *log)
{
    if (log->first == log->count)
        log_free(log);
}

/* What of a chunk's octets is alive, taking its records as equally large. */
static uint64_t
bytes_alive(const struct segment *s)
{
    return (uint64_t)s->bytes * s->alive / s->count;
}

static void
segment_enter_row(struct segment *s, struct journal_row *row)
{
    struct log_index *x = s->log->index;
    list_push(&row->segments, &s->in_row);
    row->alive += s->count;
    row->records += s->count;
    x->journal_records += s->count;
    x->journal_alive += s->count;
    x->journal_segments++;
}

struct segment *
log_index_add(struct log_index *x, uint64_t id, uint64_t base, const struct segment_shape *shape,
              const struct segment_place *place)
{
    struct log *log = log_get(x, id);
    if (!span_is_free(log, base, shape->span)) {
        mem_free(shape->offsets);
        log_free_if_empty(log);
        return NULL;
    }
    const size_t words = segment_bitmap_words(shape->count);
    struct segment *s = mem_alloc_zeroed(sizeof(*s) + words * sizeof(s->settled[0]));
    s->log = log;
    s->row = place->row;
    s->at = place->at;
    s->generation = place->generation;
    s->base = base;
    s->weight = shape->weight;
    s->bytes = shape->bytes;
    s->count = shape->count;
    s->alive = shape->count;
    s->span = shape->span;
    s->offsets = shape->offsets;
    list_init(&s->in_row);
    list_init(&s->in_sparse);
    if (s->row != NULL) {
        segment_enter_row(s, s->row);
    } else {
        x->chunk_count++;
        x->chunk_bytes += s->bytes;
        x->chunk_bytes_alive += bytes_alive(s);
    }
    log->alive += s->alive;
    log->weight += s->weight;
    log_insert(log, s);
    return s;
}

size_t
log_place_reaching(const struct log *log, uint64_t sequence)
{
    size_t low = log->first;
    size_t high = log->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (log->segments[middle]->base + (log->segments[middle]->span - 1) < sequence)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The number of the first record at offset `offset` or behind it; `count` if there is none. */
static uint32_t
record_from(const struct segment *s, uint32_t offset)
{
    if (s->offsets == NULL)
        return offset < s->count ? offset : s->count;
    uint32_t low = 0;
    uint32_t high = s->count;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (s->offsets[middle] < offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The same for a sequence anywhere. */
static uint32_t
record_from_sequence(const struct segment *s, uint64_t sequence)
{
    if (sequence <= s->base)
        return 0;
    return sequence - s->base >= s->span ? s->count
                                         : record_from(s, (uint32_t)(sequence - s->base));
}

static void
chunk_settled(struct segment *s, uint64_t row)
{
    struct log_index *x = s->log->index;
    if (s->alive == 0) {
        list_unlink(&s->in_row);
        list_unlink(&s->in_sparse);
        list_push(&x->dead, &s->in_row);
    } else {
        if (s->unfolded == 0)
            list_push(&x->unfolded, &s->in_row);
        if (s->alive < s->count / 2 && !list_is_linked(&s->in_sparse))
            list_push(&x->sparse, &s->in_sparse);
    }
    if (s->unfolded == 0)
        s->unfolded = row;
}

/* `alive` and `weight` of the segment have become less: everything that sums them up follows. */
static void
segment_settled(struct segment *s, uint32_t alive_before, uint64_t weight_before, uint64_t row)
{
    struct log_index *x = s->log->index;
    const uint32_t gone = alive_before - s->alive;
    if (gone == 0)
        return;
    s->log->alive -= gone;
    s->log->weight -= weight_before - s->weight;
    if (s->row != NULL) {
        s->row->alive -= gone;
        x->journal_alive -= gone;
        return;
    }
    x->chunk_bytes_alive -= (uint64_t)s->bytes * alive_before / s->count - bytes_alive(s);
    chunk_settled(s, row);
}

/* False if it would weigh more than all that is alive. */
static bool
settle_one(struct segment *s, uint32_t i, uint32_t weight)
{
    if (segment_is_settled(s, i))
        return true;
    if (s->weight < weight)
        return false;
    s->settled[i / 64] |= UINT64_C(1) << (i % 64);
    s->weight -= weight;
    s->alive--;
    return true;
}

bool
log_index_settle(struct log_index *x, uint64_t id, uint64_t first, uint32_t count, uint32_t weight,
                 uint64_t row)
{
    struct log *log = log_find(x, id);
    const uint64_t last = first + (count - 1);
    if (count == 0 || last < first)
        return false;
    if (log == NULL)
        return true;
    for (size_t k = log_place_reaching(log, first); k < log->count; k++) {
        struct segment *s = log->segments[k];
        if (s->base > last)
            break;
        const uint32_t alive = s->alive;
        const uint64_t before = s->weight;
        bool ok = true;
        for (uint32_t i = record_from_sequence(s, first);
             ok && i < s->count && segment_sequence(s, i) <= last; i++)
            ok = settle_one(s, i, weight);
        segment_settled(s, alive, before, row);
        if (!ok)
            return false;
    }
    return true;
}

static void
settle_all(struct segment *s)
{
    for (uint32_t i = 0; i < s->count; i++)
        s->settled[i / 64] |= UINT64_C(1) << (i % 64);
    s->alive = 0;
    s->weight = 0;
}

static bool
settle_range(struct segment *s, uint64_t first, uint64_t last, segment_payload *payload,
             void *context)
{
    struct bytes octets;
    struct record record;
    if (!payload(context, s, &octets))
        return false;
    for (uint32_t i = 0; payload_next(&octets, &record); i++)
        if (s->base + record.offset >= first && s->base + record.offset <= last &&
            !settle_one(s, i, record.weight))
            return false;
    return true;
}

bool
log_index_purge(struct log_index *x, uint64_t id, uint64_t first, uint64_t last, uint64_t row,
                segment_payload *payload, void *context)
{
    struct log *log = log_find(x, id);
    if (log == NULL)
        return true;
    for (size_t k = log_place_reaching(log, first); k < log->count; k++) {
        struct segment *s = log->segments[k];
        if (s->base > last)
            return true;
        const uint32_t alive = s->alive;
        const uint64_t before = s->weight;
        if (alive == 0)
            continue;
        if (first <= s->base && s->base + (s->span - 1) <= last)
            settle_all(s);
        else if (!settle_range(s, first, last, payload, context))
            return false;
        segment_settled(s, alive, before, row);
    }
    return true;
}

bool
log_bounds(const struct log *log, uint64_t *first, uint64_t *last)
{
    if (log->alive == 0)
        return false;
    size_t k = log->first;
    while (log->segments[k]->alive == 0)
        k++;
    uint32_t i = 0;
    while (segment_is_settled(log->segments[k], i))
        i++;
    *first = segment_sequence(log->segments[k], i);
    k = log->count - 1;
    while (log->segments[k]->alive == 0)
        k--;
    i = log->segments[k]->count - 1;
    while (segment_is_settled(log->segments[k], i))
        i--;
    *last = segment_sequence(log->segments[k], i);
    return true;
}

void
segment_restore_settled(struct segment *s, const uint8_t *settled, uint32_t alive)
{
    struct log_index *x = s->log->index;
    ASSERT(s->row == NULL && s->alive == s->count);
    for (size_t i = 0; i < segment_bitmap_words(s->count); i++)
        s->settled[i] = load_be64(settled + i * 8);
    x->chunk_bytes_alive -= bytes_alive(s);
    s->log->alive -= s->count - alive;
    s->alive = alive;
    x->chunk_bytes_alive += bytes_alive(s);
    if (s->alive < s->count / 2)
        list_push(&x->sparse, &s->in_sparse);
}

void
segment_folded(struct segment *s)
{
    ASSERT(s->row == NULL);
    s->unfolded = 0;
    list_unlink(&s->in_row);
}

static void
segment_free(struct segment *s)
{
    list_unlink(&s->in_row);
    list_unlink(&s->in_sparse);
    mem_free(s->offsets);
    mem_free(s);
}

/* What the sums over rows, chunks and logs lose with the segment. */
static void
segment_leave(struct segment *s)
{
    struct log_index *x = s->log->index;
    s->log->alive -= s->alive;
    s->log->weight -= s->weight;
    if (s->row != NULL) {
        s->row->alive -= s->alive;
        x->journal_alive -= s->alive;
        x->journal_segments--;
        return;
    }
    x->chunk_count--;
    x->chunk_bytes -= s->bytes;
    x->chunk_bytes_alive -= bytes_alive(s);
}

/* Closes the gap from the nearer end. */
static void
log_remove(struct log *log, const struct segment *s)
{
    const size_t place = place_from(log, s->base);
    ASSERT(place < log->count && log->segments[place] == s);
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
}

void
segment_forget(struct segment *s)
{
    struct log *log = s->log;
    segment_leave(s);
    log_remove(log, s);
    segment_free(s);
    log_free_if_empty(log);
}

void
log_index_end(struct log_index *x, uint64_t id,
              void (*chunk_gone)(void *context, const struct segment *s), void *context)
{
    struct log *log = log_find(x, id);
    if (log == NULL)
        return;
    for (size_t left = log->count - log->first; left > 0; left--) {
        struct segment *s = log->segments[log->count - 1];
        if (s->row == NULL)
            chunk_gone(context, s);
        segment_forget(s);
    }
}

void
log_index_cut(struct log_index *x, struct journal_row *row)
{
    while (!list_is_empty(&row->segments)) {
        struct segment *s = LIST_CONTAINER(row->segments.next, struct segment, in_row);
        ASSERT(s->alive == 0);
        segment_forget(s);
    }
    x->journal_bytes -= row->bytes;
    x->journal_records -= row->records;
    list_unlink(&row->in_journal);
    mem_free(row);
}

void
log_index_fini(struct log_index *x)
{
    struct map_node *node;
    while ((node = map_any(&x->logs)) != NULL) {
        struct log *log = MAP_CONTAINER(node, struct log, by_id);
        for (size_t i = log->first; i < log->count; i++)
            segment_free(log->segments[i]);
        log_free(log);
    }
    while (!list_is_empty(&x->journal)) {
        struct journal_row *row = LIST_CONTAINER(x->journal.next, struct journal_row, in_journal);
        list_unlink(&row->in_journal);
        mem_free(row);
    }
    map_fini(&x->logs);
}
