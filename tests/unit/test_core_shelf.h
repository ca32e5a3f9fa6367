#ifndef TESTS_UNIT_TEST_CORE_SHELF_H
#define TESTS_UNIT_TEST_CORE_SHELF_H

/*
 * The simulated engine (persistence/engine_sim.h) as the tests of one queue use it: beside what it
 * keeps, the shelf knows each log's watermark, and what it was when a record was committed. A copy
 * of it is what a crash would leave. Include after cmocka.h.
 */

#include "broker/core/definition.h"
#include "persistence/engine_sim.h"
#include "tests/unit/test_core.h"

/* Records that were committed together. */
struct shelf_mark {
    uint64_t log;
    uint64_t first;
    uint64_t watermark; /* Of the queue, once they were committed. */
};

struct shelf_watermark {
    uint64_t log;
    uint64_t sequence;
};

struct shelf {
    struct sim_disk *disk;
    struct engine *engine; /* NULL: not open. */
    struct lock lock;
    pthread_cond_t changed;
    struct shelf_watermark watermarks[16];
    size_t watermark_count;
    struct shelf_mark *marks;
    size_t mark_count;
    size_t mark_capacity;
};

static inline void
shelf_note_watermark(struct shelf *s, const struct effect *e)
{
    struct definition d;
    size_t i = 0;
    if (e->kind != EFFECT_PUT)
        return;
    assert_true(definition_decode(buf_bytes(&e->key), buf_bytes(&e->payload), &d));
    assert_int_equal(d.kind, DEFINITION_WATERMARK);
    while (i < s->watermark_count && s->watermarks[i].log != d.log)
        i++;
    assert_true(i < sizeof(s->watermarks) / sizeof(s->watermarks[0]));
    s->watermark_count += i == s->watermark_count;
    s->watermarks[i] = (struct shelf_watermark){ d.log, d.sequence };
}

/* That of the first level's log is that of all of them; tests have one queue. */
static inline uint64_t
shelf_highest_watermark(const struct shelf *s)
{
    uint64_t highest = 0;
    for (size_t i = 0; i < s->watermark_count; i++)
        if (s->watermarks[i].sequence > highest)
            highest = s->watermarks[i].sequence;
    return highest;
}

static inline void
shelf_note_round(void *context, const struct round *round)
{
    struct shelf *s = context;
    lock_acquire(&s->lock);
    for (size_t i = 0; i < round->effect_count; i++)
        shelf_note_watermark(s, &round->effects[i]);
    for (size_t i = 0; i < round->effect_count; i++) {
        const struct effect *e = &round->effects[i];
        if (e->kind != EFFECT_RECORDS)
            continue;
        if (s->mark_count == s->mark_capacity) {
            s->mark_capacity = s->mark_capacity == 0 ? 64 : s->mark_capacity * 2;
            s->marks = mem_resize(s->marks, s->mark_capacity * sizeof(*s->marks));
        }
        s->marks[s->mark_count++] =
            (struct shelf_mark){ e->log, e->sequence, shelf_highest_watermark(s) };
    }
    lock_release(&s->lock);
}

static inline void
shelf_start(struct shelf *s, struct sim_disk *disk)
{
    *s = (struct shelf){ .disk = disk };
    lock_init(&s->lock);
    pthread_cond_init(&s->changed, NULL);
    sim_disk_watch(disk, shelf_note_round, s);
}

static inline void
shelf_init(struct shelf *s)
{
    shelf_start(s, sim_disk_create(&(const struct sim_options){ .seed = 1 }));
}

/* The engine for a door, which destroys it. */
static inline void
shelf_open(struct shelf *s)
{
    if (s->engine == NULL)
        s->engine = engine_sim_open(s->disk);
}

/* The door has destroyed the engine, or there was none. */
static inline void
shelf_fini(struct shelf *s)
{
    sim_disk_destroy(s->disk);
    mem_free(s->marks);
    pthread_cond_destroy(&s->changed);
    lock_fini(&s->lock);
}

/* What a crash now would leave, for a run whose numbers begin above. */
static inline void
shelf_copy(struct shelf *from, struct shelf *to)
{
    shelf_start(to, sim_disk_copy(from->disk));
    lock_acquire(&from->lock);
    memcpy(to->watermarks, from->watermarks, sizeof(to->watermarks));
    to->watermark_count = from->watermark_count;
    lock_release(&from->lock);
}

static inline void
shelf_hold(struct shelf *s, bool held)
{
    sim_disk_hold(s->disk, held);
}

/* The record, if it is committed and not settled. */
static inline bool
shelf_has(struct shelf *s, uint64_t log, uint64_t sequence)
{
    struct bytes octets;
    return sim_disk_record(s->disk, log, sequence, &octets);
}

/* The queue's watermark when the record's round was committed. */
static inline uint64_t
shelf_mark_of(struct shelf *s, uint64_t log, uint64_t sequence)
{
    uint64_t watermark = 0;
    uint64_t highest = 0;
    lock_acquire(&s->lock);
    for (size_t i = 0; i < s->mark_count; i++) {
        const struct shelf_mark *m = &s->marks[i];
        if (m->log == log && m->first <= sequence && m->first > highest) {
            highest = m->first;
            watermark = m->watermark;
        }
    }
    lock_release(&s->lock);
    return watermark;
}

static inline uint64_t
shelf_watermark(struct shelf *s, uint64_t log)
{
    uint64_t watermark = 0;
    lock_acquire(&s->lock);
    for (size_t i = 0; i < s->watermark_count; i++)
        if (s->watermarks[i].log == log)
            watermark = s->watermarks[i].sequence;
    lock_release(&s->lock);
    return watermark;
}

/* Visits all that is alive of a log, after the run that wrote it. */
static inline void
shelf_visit(struct shelf *s, uint64_t log, log_visit *visit, void *context)
{
    struct engine *engine = engine_sim_open(s->disk);
    const struct log_reading reading = {
        .log = log, .to = UINT64_MAX, .visit = visit, .context = context
    };
    assert_true(engine->ops->read(engine, &reading));
    engine->ops->destroy(engine);
}

#endif
