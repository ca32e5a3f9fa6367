/* Effects that are put together into a row: however they are merged, the row tells record by record
 * and settlement by settlement what they told, in order. */

#include "persistence/rows.h"

#include "broker/base/mem.h"
#include "tests/unit/test_random.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "tests/unit/test_persistence.h"

enum { LOGS = 3, EFFECTS = 60, ROUNDS = 1500, MERGED_BYTES_MAX = 256 * 1024 };

/* One thing that an effect tells. */
struct fact {
    enum effect_kind kind;
    uint64_t log;
    uint64_t sequence;
    uint64_t detail; /* Of a record its mark, of a settlement its weight, of a purge its end. */
};

struct facts {
    struct fact *items;
    size_t count;
    size_t capacity;
};

static void
fact_add(struct facts *f, const struct fact *fact)
{
    if (f->count == f->capacity) {
        f->capacity = f->capacity == 0 ? 64 : f->capacity * 2;
        f->items = mem_resize(f->items, f->capacity * sizeof(*f->items));
    }
    f->items[f->count++] = *fact;
}

static void
records_tell(struct facts *f, const struct stored_effect *e)
{
    struct bytes rest = e->payload;
    struct record record;
    uint32_t count;
    assert_true(payload_is_sound(rest, &count));
    assert_int_equal(count, e->count);
    while (payload_next(&rest, &record))
        fact_add(f, &(struct fact){ e->kind, e->log, e->sequence + record.offset,
                                    record_mark(record.octets) });
}

/* An effect is told with runs as structs, and has them otherwise in its row. */
static bool
run_next(struct bytes *rest, struct settled_run *run, bool is_stored)
{
    return is_stored ? stored_run_next(rest, run) : settled_run_next(rest, run);
}

static void
settlements_tell(struct facts *f, const struct stored_effect *e, bool is_stored)
{
    struct bytes rest = e->payload;
    struct settled_run run = { .first = e->sequence };
    uint32_t count = 0;
    for (; run_next(&rest, &run, is_stored); count++)
        for (uint32_t i = 0; i < run.count; i++)
            fact_add(f, &(struct fact){ e->kind, e->log, run.first + i, run.weight });
    assert_int_equal(count, e->count);
    assert_int_equal(rest.size, 0);
}

static void
effect_tells(struct facts *f, const struct stored_effect *e, bool is_stored)
{
    if (e->kind == EFFECT_RECORDS)
        records_tell(f, e);
    else if (e->kind == EFFECT_SETTLE)
        settlements_tell(f, e, is_stored);
    else
        fact_add(f, &(struct fact){ e->kind, e->log, e->sequence,
                                    e->kind == EFFECT_PURGE ? load_be64(e->payload.data) : 0 });
}

struct writer {
    struct random dice;
    struct row_builder builder;
    struct facts told;
    uint64_t next[LOGS];
    uint64_t last_mark;
};

static void
make_records(struct writer *w, struct effect *e, size_t log)
{
    const uint32_t fill = random_below(&w->dice, 40) == 0 ? 60000 : 20;
    uint32_t offset = 0;
    e->sequence = w->next[log];
    for (size_t n = 1 + random_below(&w->dice, 4); n > 0; n--, offset++, e->count++) {
        offset += random_below(&w->dice, 3) == 0 ? (uint32_t)random_below(&w->dice, 50) : 0;
        payload_add(&e->payload, offset, ++w->last_mark, fill);
    }
    w->next[log] += offset + random_below(&w->dice, 3);
    if (random_below(&w->dice, 100) == 0)
        w->next[log] += UINT32_MAX / 8 * random_below(&w->dice, 10);
}

static void
make_settlements(struct writer *w, struct effect *e)
{
    uint64_t sequence = random_below(&w->dice, 5);
    for (size_t n = 1 + random_below(&w->dice, 10); n > 0; n--) {
        e->count += settled_runs_add(&e->payload, sequence, (uint32_t)random_below(&w->dice, 2));
        sequence += random_below(&w->dice, 4) == 0 ? 2 : 1;
    }
}

/* A record whose end lies elsewhere. */
static void
move_to_tail(struct effect *e, struct buf *end)
{
    const size_t keep = e->payload.size - 10;
    buf_append(end, e->payload.data + keep, 10);
    e->payload.size = keep;
    e->tail.octets = buf_bytes(end);
}

/* Tells the row of it, and keeps apart what it told. */
static void
add_effect(struct writer *w)
{
    static const enum effect_kind kinds[] = { EFFECT_RECORDS, EFFECT_RECORDS, EFFECT_RECORDS,
                                              EFFECT_SETTLE,  EFFECT_SETTLE,  EFFECT_SETTLE,
                                              EFFECT_PURGE,   EFFECT_LOG_END };
    const size_t log = random_below(&w->dice, LOGS) * random_below(&w->dice, 2);
    struct effect e = { .kind = kinds[random_below(&w->dice, COUNT(kinds))], .log = 100 + log };
    struct buf end = { 0 };
    if (e.kind == EFFECT_RECORDS)
        make_records(w, &e, log);
    else if (e.kind == EFFECT_SETTLE)
        make_settlements(w, &e);
    if (e.kind == EFFECT_PURGE) {
        store_be64(buf_reserve(&e.payload, 8), random_next(&w->dice));
        e.payload.size = 8;
    }
    effect_tells(
        &w->told,
        &(struct stored_effect){ e.kind, e.log, e.sequence, e.count, buf_bytes(&e.payload) },
        false);
    if (e.kind == EFFECT_RECORDS && random_below(&w->dice, 5) == 0)
        move_to_tail(&e, &end);
    row_builder_add(&w->builder, &e);
    buf_fini(&e.payload);
    buf_fini(&end);
}

static void
row_check(struct writer *w)
{
    struct facts facts = { 0 };
    struct row_head head;
    struct bytes content;
    struct stored_effect e = { 0 };
    row_builder_close(&w->builder);
    row_finish(&w->builder.row, &(struct row_head){ w->builder.effects, 7, 8 });
    assert_true(row_open(buf_bytes(&w->builder.row), &head, &content));
    assert_int_equal(head.count, w->builder.effects);
    for (uint32_t i = 0; i < head.count; i++) {
        assert_true(row_next_effect(&content, &e));
        assert_true(e.payload.size <= MERGED_BYTES_MAX);
        effect_tells(&facts, &e, true);
    }
    assert_int_equal(content.size, 0);
    assert_int_equal(facts.count, w->told.count);
    for (size_t i = 0; i < facts.count; i++) {
        assert_int_equal(facts.items[i].kind, w->told.items[i].kind);
        assert_int_equal(facts.items[i].log, w->told.items[i].log);
        assert_int_equal(facts.items[i].sequence, w->told.items[i].sequence);
        assert_int_equal(facts.items[i].detail, w->told.items[i].detail);
    }
    mem_free(facts.items);
}

static void
test_rows_tell_what_effects_told(void **state)
{
    (void)state;
    struct writer w = { .dice = random_start(__func__) };
    uint64_t effects = 0;
    uint64_t merged = 0;
    for (size_t round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < EFFECTS; i++)
            add_effect(&w);
        effects += EFFECTS;
        merged += EFFECTS - w.builder.effects;
        row_check(&w);
        row_builder_reset(&w.builder);
        w.told.count = 0;
    }
    assert_true(merged > effects / 10);
    buf_fini(&w.builder.row);
    mem_free(w.told.items);
}

static void
add_run(struct row_builder *b, uint64_t first, uint32_t count, uint32_t weight)
{
    struct effect e = { .kind = EFFECT_SETTLE, .log = 1, .count = 1 };
    settled_run_append(&e.payload, &(struct settled_run){ first, count, weight });
    row_builder_add(b, &e);
    buf_fini(&e.payload);
}

/* How many runs the only effect of the row has by now; goes on with a copy. */
static void
assert_runs(const struct row_builder *b, uint32_t count)
{
    struct row_builder copy = *b;
    struct stored_effect e = { 0 };
    copy.row = (struct buf){ 0 };
    buf_append_bytes(&copy.row, buf_bytes(&b->row));
    row_builder_close(&copy);
    struct bytes content = bytes_of(copy.row.data + ROW_HEAD_SIZE, copy.row.size - ROW_HEAD_SIZE);
    assert_true(row_next_effect(&content, &e));
    assert_int_equal(e.count, count);
    assert_int_equal(content.size, 0);
    buf_fini(&copy.row);
}

/* Settlements in order are one run, however they come; others are runs of one effect. */
static void
test_runs_join(void **state)
{
    (void)state;
    struct row_builder b = { 0 };
    for (uint64_t first = 10; first < 1000; first += 10)
        add_run(&b, first, 10, 3);
    assert_int_equal(b.effects, 1);
    assert_runs(&b, 1);
    add_run(&b, 1000, 10, 4);             /* Weighs something else. */
    add_run(&b, 1011, 10, 4);             /* A gap. */
    add_run(&b, 1021, UINT32_MAX - 5, 4); /* More than a run can hold. */
    assert_int_equal(b.effects, 1);
    assert_runs(&b, 4);
    buf_fini(&b.row);
}

static void
add_record(struct row_builder *b, uint64_t log, uint64_t sequence)
{
    struct effect e = { .kind = EFFECT_RECORDS, .log = log, .sequence = sequence, .count = 1 };
    payload_add(&e.payload, 0, sequence, 1);
    row_builder_add(b, &e);
    buf_fini(&e.payload);
}

static void
test_records_that_do_not_go_together(void **state)
{
    (void)state;
    struct row_builder b = { 0 };
    add_record(&b, 1, 100);
    add_record(&b, 1, 101);
    add_record(&b, 1, 200);
    assert_int_equal(b.effects, 1);
    add_record(&b, 2, 201); /* Of another log. */
    assert_int_equal(b.effects, 2);
    add_record(&b, 1, 202);
    assert_int_equal(b.effects, 3);
    add_record(&b, 1, 150); /* Before it. */
    assert_int_equal(b.effects, 4);
    add_record(&b, 1, UINT64_C(1) << 40); /* Too far. */
    assert_int_equal(b.effects, 5);
    buf_fini(&b.row);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_tell_what_effects_told),
        cmocka_unit_test(test_runs_join),
        cmocka_unit_test(test_records_that_do_not_go_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
