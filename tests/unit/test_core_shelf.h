#ifndef TESTS_UNIT_TEST_CORE_SHELF_H
#define TESTS_UNIT_TEST_CORE_SHELF_H

/*
 * An engine in memory that gives records back, so that queues can page: it keeps what is alive of
 * each log and each log's watermark, and is strict about what it is told. Commits can be held back.
 * A copy of it is what a crash would leave. Include after cmocka.h.
 */

#include "broker/core/definition.h"
#include "persistence/rows.h"
#include "tests/unit/test_core.h"

struct shelf_record {
    uint64_t sequence;
    uint64_t mark; /* The log's watermark when the record's round was committed. */
    uint32_t weight;
    struct bytes octets; /* Its own; none once it is settled. */
};

struct shelf_log {
    uint64_t id;
    uint64_t watermark;
    struct shelf_record *records; /* All there have ever been, in order of sequence. */
    size_t count;
    size_t capacity;
    size_t marked; /* So many have their mark. */
};

struct shelf {
    struct engine engine;
    struct lock lock;
    pthread_cond_t changed;
    struct shelf_log *logs;
    size_t log_count;
    bool is_held;
    bool destroyed;
    const char *broken; /* What made no sense first. */
};

static inline void
shelf_break(struct shelf *s, const char *what)
{
    if (s->broken == NULL)
        s->broken = what;
}

static inline struct shelf_log *
shelf_log(struct shelf *s, uint64_t id)
{
    for (size_t i = 0; i < s->log_count; i++)
        if (s->logs[i].id == id)
            return &s->logs[i];
    s->logs = mem_resize(s->logs, (s->log_count + 1) * sizeof(*s->logs));
    s->logs[s->log_count] = (struct shelf_log){ .id = id };
    return &s->logs[s->log_count++];
}

static inline void
shelf_add(struct shelf_log *log, uint64_t sequence, uint32_t weight, struct bytes octets)
{
    if (log->count == log->capacity) {
        log->capacity = log->capacity == 0 ? 64 : log->capacity * 2;
        log->records = mem_resize(log->records, log->capacity * sizeof(*log->records));
    }
    log->records[log->count++] = (struct shelf_record){ sequence, 0, weight, bytes_copy(octets) };
}

/* The place of the first record that is not below. */
static inline size_t
shelf_place(const struct shelf_log *log, uint64_t sequence)
{
    size_t low = 0;
    size_t high = log->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (log->records[middle].sequence < sequence)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static inline void
shelf_forget(struct shelf_record *r)
{
    mem_free_const(r->octets.data);
    r->octets = BYTES_NONE;
}

static inline void
shelf_apply_records(struct shelf *s, struct shelf_log *log, const struct effect *e)
{
    struct buf all = { 0 };
    struct record record;
    uint32_t count;
    buf_append_bytes(&all, buf_bytes(&e->payload));
    buf_append_bytes(&all, e->tail.octets);
    struct bytes rest = buf_bytes(&all);
    if (!payload_is_sound(rest, &count) || count != e->count || count == 0)
        shelf_break(s, "records that are not sound");
    else if (log->count > 0 && log->records[log->count - 1].sequence >= e->sequence)
        shelf_break(s, "records that come too late");
    else
        while (payload_next(&rest, &record))
            shelf_add(log, e->sequence + record.offset, record.weight, record.octets);
    buf_fini(&all);
}

static inline void
shelf_apply_settle(struct shelf *s, struct shelf_log *log, const struct effect *e)
{
    struct bytes payload = buf_bytes(&e->payload);
    struct settled_run run;
    uint32_t count = 0;
    for (; settled_run_next(&payload, &run); count++)
        for (uint32_t i = 0; i < run.count; i++) {
            const size_t place = shelf_place(log, run.first + i);
            struct shelf_record *r = place < log->count ? &log->records[place] : NULL;
            if (r == NULL || r->sequence != run.first + i || r->octets.data == NULL)
                shelf_break(s, "a settlement of what is not there");
            else if (r->weight != run.weight)
                shelf_break(s, "a settlement with another weight than the record's");
            else
                shelf_forget(r);
        }
    if (payload.size != 0 || count != e->count)
        shelf_break(s, "a settlement that is not sound");
}

static inline void
shelf_apply_purge(struct shelf *s, struct shelf_log *log, const struct effect *e)
{
    if (e->payload.size != 8) {
        shelf_break(s, "a purge that is not sound");
        return;
    }
    const uint64_t last = load_be64(e->payload.data);
    for (size_t i = shelf_place(log, e->sequence);
         i < log->count && log->records[i].sequence <= last; i++)
        shelf_forget(&log->records[i]);
}

static inline void
shelf_apply_definition(struct shelf *s, const struct effect *e)
{
    struct definition d;
    const uint8_t none[8] = { 0 };
    const bool put = e->kind == EFFECT_PUT;
    if (!definition_decode(buf_bytes(&e->key), put ? buf_bytes(&e->payload) : bytes_of(none, 8),
                           &d) ||
        d.kind != DEFINITION_WATERMARK)
        shelf_break(s, "a definition that is no watermark");
    else
        shelf_log(s, d.log)->watermark = d.sequence;
}

static inline void
shelf_apply(struct shelf *s, const struct effect *e)
{
    struct shelf_log *log;
    if (e->kind == EFFECT_PUT || e->kind == EFFECT_DELETE) {
        shelf_apply_definition(s, e);
        return;
    }
    log = shelf_log(s, e->log);
    switch (e->kind) {
    case EFFECT_RECORDS:
        shelf_apply_records(s, log, e);
        return;
    case EFFECT_SETTLE:
        shelf_apply_settle(s, log, e);
        return;
    case EFFECT_PURGE:
        shelf_apply_purge(s, log, e);
        return;
    case EFFECT_LOG_END:
        for (size_t i = 0; i < log->count; i++)
            shelf_forget(&log->records[i]);
        return;
    case EFFECT_PUT:
    case EFFECT_DELETE:
        return;
    }
}

/* The watermark of the first level's log is that of all of them; tests have one queue. */
static inline void
shelf_mark_new(struct shelf *s)
{
    uint64_t watermark = 0;
    for (size_t i = 0; i < s->log_count; i++)
        if (s->logs[i].watermark > watermark)
            watermark = s->logs[i].watermark;
    for (size_t i = 0; i < s->log_count; i++)
        for (struct shelf_log *log = &s->logs[i]; log->marked < log->count; log->marked++)
            log->records[log->marked].mark = watermark;
}

static inline void
shelf_submit(struct engine *engine, const struct round *round) UNCHECKED_LOCKING
{
    struct shelf *s = (struct shelf *)engine;
    lock_acquire(&s->lock);
    while (s->is_held)
        pthread_cond_wait(&s->changed, &s->lock.mutex);
    for (size_t i = 0; i < round->effect_count; i++)
        shelf_apply(s, &round->effects[i]);
    shelf_mark_new(s);
    lock_release(&s->lock);
    engine->done(engine->done_context, round->number, ROUND_COMMITTED);
}

static inline bool
shelf_read(struct engine *engine, const struct log_reading *r)
{
    struct shelf *s = (struct shelf *)engine;
    bool goes_on = true;
    lock_acquire(&s->lock);
    const struct shelf_log *log = shelf_log(s, r->log);
    for (size_t i = shelf_place(log, r->from);
         goes_on && i < log->count && log->records[i].sequence <= r->to; i++)
        if (log->records[i].octets.data != NULL)
            goes_on = r->visit(r->context, log->records[i].sequence, log->records[i].octets);
    lock_release(&s->lock);
    return true;
}

static inline void
shelf_destroy(struct engine *engine)
{
    struct shelf *s = (struct shelf *)engine;
    s->destroyed = true; /* The test still looks at it. */
}

static inline void
shelf_init(struct shelf *s)
{
    static const struct engine_ops ops = { shelf_submit, shelf_read, shelf_destroy };
    *s = (struct shelf){ .engine = { .ops = &ops, .first_round = 1, .first_log = 1 } };
    lock_init(&s->lock);
    pthread_cond_init(&s->changed, NULL);
}

static inline void
shelf_fini(struct shelf *s)
{
    for (size_t i = 0; i < s->log_count; i++) {
        for (size_t k = 0; k < s->logs[i].count; k++)
            shelf_forget(&s->logs[i].records[k]);
        mem_free(s->logs[i].records);
    }
    mem_free(s->logs);
    pthread_cond_destroy(&s->changed);
    lock_fini(&s->lock);
}

/* What a crash now would leave, for a run whose numbers begin far above. */
static inline void
shelf_copy(struct shelf *from, struct shelf *to)
{
    shelf_init(to);
    lock_acquire(&from->lock);
    for (size_t i = 0; i < from->log_count; i++) {
        const struct shelf_log *log = &from->logs[i];
        struct shelf_log *copy = shelf_log(to, log->id);
        copy->watermark = log->watermark;
        for (size_t k = 0; k < log->count; k++)
            if (log->records[k].octets.data != NULL)
                shelf_add(copy, log->records[k].sequence, log->records[k].weight,
                          log->records[k].octets);
        copy->marked = copy->count;
    }
    lock_release(&from->lock);
    to->engine.first_round = from->engine.first_round + (UINT64_C(1) << 40);
    to->engine.first_log = from->engine.first_log + (UINT64_C(1) << 40);
}

static inline void
shelf_hold(struct shelf *s, bool held)
{
    lock_acquire(&s->lock);
    s->is_held = held;
    lock_release(&s->lock);
    pthread_cond_broadcast(&s->changed);
}

/* The record, if it is committed and not settled. */
static inline bool
shelf_find(struct shelf *s, uint64_t log, uint64_t sequence, struct shelf_record *out)
{
    bool found = false;
    lock_acquire(&s->lock);
    const struct shelf_log *l = shelf_log(s, log);
    const size_t place = shelf_place(l, sequence);
    if (place < l->count && l->records[place].sequence == sequence) {
        *out = l->records[place];
        found = out->octets.data != NULL;
    }
    lock_release(&s->lock);
    return found;
}

static inline uint64_t
shelf_watermark(struct shelf *s, uint64_t log)
{
    lock_acquire(&s->lock);
    const uint64_t watermark = shelf_log(s, log)->watermark;
    lock_release(&s->lock);
    return watermark;
}

static inline struct log_summary
shelf_summary(const struct shelf_log *log)
{
    struct log_summary summary = { .log = log->id };
    for (size_t i = 0; i < log->count; i++) {
        const struct shelf_record *r = &log->records[i];
        if (r->octets.data == NULL)
            continue;
        if (summary.count++ == 0)
            summary.first = r->sequence;
        summary.last = r->sequence;
        summary.weight += r->weight;
    }
    return summary;
}

#endif
