#include "persistence/log_index.h"

#include "broker/base/mem.h"
#include "tests/unit/test_random.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "tests/unit/test_persistence.h"

/* The model: every record ever added, and nothing but. */

enum { LOGS = 7, RECORDS_MAX = 400, STEPS = 30000, ROUNDS_MAX = 40 };
/* What each record of every other log weighs, so that long runs are alike. */
enum { ALIKE = 5 };

struct model_record {
    uint64_t sequence;
    uint32_t weight;
    uint64_t round; /* Where it lies; 0: in a chunk. */
};

struct model_log {
    uint64_t id;
    uint64_t next;
    size_t count;
    struct model_record alive[RECORDS_MAX]; /* In order. */
};

struct model_round {
    uint64_t number;
    uint64_t bytes;
    uint64_t records;
};

struct world {
    struct random random;
    struct log_index index;
    uint64_t next_round;
    uint64_t next_id;
    size_t chunks_gone;   /* Told by log_index_end. */
    uint64_t purge_first; /* The range that is being purged. */
    uint64_t purge_last;
    size_t round_count;
    struct model_round rounds[ROUNDS_MAX + 1];
    struct model_log logs[LOGS];
};

static struct world world;

static struct journal_row *
oldest_round(struct log_index *x)
{
    struct list *first = list_first(&x->journal);
    return first == NULL ? NULL : LIST_CONTAINER(first, struct journal_row, in_journal);
}

static size_t
list_length(const struct list *head)
{
    size_t length = 0;
    for (const struct list *l = head->next; l != head; l = l->next)
        length++;
    return length;
}

/* What the index tells of all segments, by looking at each. */
struct sums {
    size_t dead;
    size_t unfolded;
    size_t sparse;
    uint64_t journal_segments;
    uint64_t chunk_count;
    uint64_t chunk_bytes;
    uint64_t chunk_bytes_alive;
};

/* What the segment says of itself adds up. */
static void
segment_check(const struct segment *s, struct sums *sums)
{
    uint32_t alive = 0;
    for (uint32_t i = 0; i < s->count; i++)
        alive += !segment_is_settled(s, i);
    assert_int_equal(alive, s->alive);
    assert_true(s->count > 0 && s->count <= s->span);
    assert_int_equal(s->offsets == NULL, s->count == s->span);
    sums->journal_segments += s->row != NULL;
    if (s->row != NULL)
        return;
    sums->dead += alive == 0;
    sums->unfolded += alive > 0 && s->unfolded != 0;
    sums->sparse += alive > 0 && alive < s->count / 2;
    sums->chunk_count++;
    sums->chunk_bytes += s->bytes;
    sums->chunk_bytes_alive += (uint64_t)s->bytes * alive / s->count;
}

static void
log_check(const struct world *w, const struct model_log *m, struct sums *sums)
{
    const struct log *log = log_find(&w->index, m->id);
    size_t at = 0;
    for (size_t k = log == NULL ? 0 : log->first; log != NULL && k < log->count; k++) {
        const struct segment *s = log->segments[k];
        assert_ptr_equal(s->log, log);
        assert_true(k == log->first || log->segments[k - 1]->base < s->base);
        segment_check(s, sums);
        for (uint32_t i = 0; i < s->count; i++) {
            if (segment_is_settled(s, i))
                continue;
            assert_true(at < m->count);
            assert_int_equal(segment_sequence(s, i), m->alive[at].sequence);
            assert_int_equal(s->row == NULL ? 0 : s->row->number, m->alive[at].round);
            at++;
        }
    }
    assert_int_equal(at, m->count);
    uint64_t weight = 0;
    for (size_t i = 0; i < m->count; i++)
        weight += m->alive[i].weight;
    assert_int_equal(log == NULL ? 0 : log->weight, weight);
    assert_int_equal(log == NULL ? 0 : log->alive, m->count);
    uint64_t first = 0;
    uint64_t last = 0;
    if (log != NULL)
        assert_int_equal(log_bounds(log, &first, &last), m->count > 0);
    if (m->count > 0) {
        assert_int_equal(first, m->alive[0].sequence);
        assert_int_equal(last, m->alive[m->count - 1].sequence);
    }
}

static void
unfolded_check(const struct world *w, size_t length)
{
    uint64_t least = 1;
    LIST_FOREACH (link, &w->index.unfolded) {
        const struct segment *s = LIST_CONTAINER(link, struct segment, in_row);
        assert_true(s->unfolded >= least);
        least = s->unfolded;
    }
    assert_int_equal(list_length(&w->index.unfolded), length);
}

static uint64_t
model_alive_in(const struct world *w, uint64_t round)
{
    uint64_t alive = 0;
    for (size_t l = 0; l < LOGS; l++)
        for (size_t i = 0; i < w->logs[l].count; i++)
            alive += w->logs[l].alive[i].round == round;
    return alive;
}

static void
rounds_check(const struct world *w)
{
    uint64_t bytes = 0;
    uint64_t records = 0;
    uint64_t alive = 0;
    size_t at = 0;
    LIST_FOREACH (link, &w->index.journal) {
        const struct journal_row *round = LIST_CONTAINER(link, struct journal_row, in_journal);
        const struct model_round *m = &w->rounds[at++];
        assert_true(at <= w->round_count);
        assert_int_equal(round->number, m->number);
        assert_int_equal(round->records, m->records);
        assert_int_equal(round->alive, model_alive_in(w, round->number));
        bytes += m->bytes;
        records += m->records;
        alive += round->alive;
    }
    assert_int_equal(at, w->round_count);
    assert_int_equal(w->index.journal_bytes, bytes);
    assert_int_equal(w->index.journal_records, records);
    assert_int_equal(w->index.journal_alive, alive);
}

static void
world_check(const struct world *w)
{
    struct sums sums = { 0 };
    for (size_t l = 0; l < LOGS; l++)
        log_check(w, &w->logs[l], &sums);
    assert_int_equal(list_length(&w->index.dead), sums.dead);
    assert_int_equal(list_length(&w->index.sparse), sums.sparse);
    assert_int_equal(w->index.journal_segments, sums.journal_segments);
    assert_int_equal(w->index.chunk_count, sums.chunk_count);
    assert_int_equal(w->index.chunk_bytes, sums.chunk_bytes);
    assert_int_equal(w->index.chunk_bytes_alive, sums.chunk_bytes_alive);
    unfolded_check(w, sums.unfolded);
    rounds_check(w);
}

/* Up to `most` records with holes, from the log's next sequence on. */
static void
segment_add(struct world *w, struct model_log *m, struct journal_row *round, size_t most)
{
    const bool holes = random_below(&w->random, 2) == 0;
    const uint64_t base = m->next;
    struct buf payload = { 0 };
    uint32_t offset = 0;
    uint32_t count;
    for (size_t i = 0; i < most && m->count < RECORDS_MAX; i++, offset++) {
        offset += holes ? (uint32_t)random_below(&w->random, 4) : 0;
        const uint32_t fill = m->id % 2 != 0 ? ALIKE : (uint32_t)random_below(&w->random, 10);
        payload_add(&payload, offset, base + offset, fill);
        m->alive[m->count++] = (struct model_record){ base + offset, fill, round->number };
        w->rounds[w->round_count - 1].records++;
    }
    assert_true(payload_is_sound(buf_bytes(&payload), &count));
    if (count > 0) {
        const struct segment_shape shape = payload_shape(buf_bytes(&payload));
        assert_int_equal(shape.count, count);
        assert_int_equal(shape.span, offset);
        assert_non_null(
            log_index_add(&w->index, m->id, base, &shape, &(struct segment_place){ .row = round }));
        m->next = base + offset + random_below(&w->random, 3);
    }
    buf_fini(&payload);
}

static void
round_add(struct world *w)
{
    const uint64_t number = w->next_round += 1 + random_below(&w->random, 2);
    const uint64_t bytes = random_below(&w->random, 1000);
    if (w->round_count == ROUNDS_MAX)
        return;
    struct journal_row *round = log_index_add_row(&w->index, number, bytes);
    w->rounds[w->round_count++] = (struct model_round){ number, bytes, 0 };
    for (size_t l = 0; l < LOGS; l++)
        if (random_below(&w->random, 3) == 0)
            segment_add(w, &w->logs[l], round, 1 + random_below(&w->random, 100));
}

static void
model_remove(struct model_log *m, size_t at)
{
    memmove(m->alive + at, m->alive + at + 1, (m->count - at - 1) * sizeof(*m->alive));
    m->count--;
}

/* Some settlements of one log: in order, at random, or of what is not there. */
static void
settle_some(struct world *w)
{
    struct model_log *m = &w->logs[random_below(&w->random, LOGS)];
    const size_t mode = random_below(&w->random, 3);
    for (size_t n = random_below(&w->random, 60); n > 0; n--) {
        uint64_t sequence = random_below(&w->random, m->next + 10);
        uint32_t weight = 0;
        if (m->count > 0 && mode < 2) {
            const size_t at = mode == 0 ? 0 : random_below(&w->random, m->count);
            sequence = m->alive[at].sequence;
        }
        for (size_t at = 0; at < m->count; at++) {
            if (m->alive[at].sequence != sequence)
                continue;
            weight = m->alive[at].weight;
            model_remove(m, at);
        }
        for (size_t again = 1 + random_below(&w->random, 2); again > 0; again--)
            assert_true(log_index_settle(&w->index, m->id, sequence, 1, weight, w->next_round));
    }
    assert_true(log_index_settle(&w->index, UINT64_MAX, 1, 1, 0, w->next_round));
}

/* A run of sequences over holes, segments and what is settled already. */
static void
settle_run(struct world *w)
{
    struct model_log *m = &w->logs[random_below(&w->random, LOGS)];
    if (m->id % 2 == 0 || m->count == 0)
        return;
    const uint64_t first = m->alive[random_below(&w->random, m->count)].sequence;
    const uint32_t count = 1 + (uint32_t)random_below(&w->random, 300);
    for (size_t at = m->count; at > 0; at--)
        if (m->alive[at - 1].sequence >= first && m->alive[at - 1].sequence - first < count)
            model_remove(m, at - 1);
    assert_true(log_index_settle(&w->index, m->id, first, count, ALIKE, w->next_round));
}

/* The payload of a segment of which only a part is purged; what its settled records weighed does
 * not matter. Owned by the world's purge. */
static struct buf purge_payload;

static bool
give_payload(void *context, const struct segment *s, struct bytes *out)
{
    const struct world *w = context;
    const struct model_log *m = w->logs;
    while (m->id != s->log->id)
        m++;
    assert_true(s->base < w->purge_first || s->base + s->span - 1 > w->purge_last);
    assert_true(s->alive > 0);
    purge_payload.size = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        const uint64_t sequence = segment_sequence(s, i);
        uint32_t weight = 1000;
        for (size_t at = 0; at < m->count; at++)
            weight = m->alive[at].sequence == sequence ? m->alive[at].weight : weight;
        payload_add(&purge_payload, (uint32_t)(sequence - s->base), 0, weight);
    }
    *out = buf_bytes(&purge_payload);
    return true;
}

/* A range of a log that begins and ends at a record, or anywhere. */
static void
purge_some(struct world *w)
{
    struct model_log *m = &w->logs[random_below(&w->random, LOGS)];
    if (m->count == 0)
        return;
    const size_t from = random_below(&w->random, m->count);
    const size_t to = from + random_below(&w->random, m->count - from);
    const uint64_t least = from == 0 ? 0 : m->alive[from - 1].sequence + 1;
    const uint64_t first = m->alive[from].sequence;
    w->purge_first = random_below(&w->random, 2) == 0 || first - least > 10 ? first : least;
    w->purge_last = m->alive[to].sequence;
    if (random_below(&w->random, 8) == 0)
        w->purge_last = UINT64_MAX;
    /* The model goes second: give_payload looks at weights. */
    assert_true(log_index_purge(&w->index, m->id, w->purge_first, w->purge_last, w->next_round,
                                give_payload, w));
    for (size_t at = m->count; at > 0; at--)
        if (m->alive[at - 1].sequence >= w->purge_first &&
            m->alive[at - 1].sequence <= w->purge_last)
            model_remove(m, at - 1);
    assert_true(
        log_index_purge(&w->index, UINT64_MAX, 0, UINT64_MAX, w->next_round, give_payload, w));
}

static void
count_chunk(void *context, const struct segment *s)
{
    struct world *w = context;
    assert_null(s->row);
    w->chunks_gone++;
}

static void
log_end(struct world *w)
{
    struct model_log *m = &w->logs[random_below(&w->random, LOGS)];
    const struct log *log = log_find(&w->index, m->id);
    size_t chunks = 0;
    for (size_t k = log == NULL ? 0 : log->first; log != NULL && k < log->count; k++)
        chunks += log->segments[k]->row == NULL;
    w->chunks_gone = 0;
    log_index_end(&w->index, m->id, count_chunk, w);
    assert_int_equal(w->chunks_gone, chunks);
    assert_null(log_find(&w->index, m->id));
    *m = (struct model_log){ .id = ++w->next_id, .next = 1 };
}

static void
oldest_cut(struct world *w, struct journal_row *round)
{
    log_index_cut(&w->index, round);
    w->round_count--;
    memmove(w->rounds, w->rounds + 1, w->round_count * sizeof(*w->rounds));
}

/* As relocation does: forget it, and add what was alive as a chunk. */
static void
segment_relocate(struct world *w, struct segment *s, const struct model_log *m, uint64_t generation)
{
    const uint64_t log = s->log->id;
    struct buf payload = { 0 };
    uint64_t base = 0;
    for (size_t i = 0; i < m->count; i++) {
        const struct model_record *record = &m->alive[i];
        if (record->sequence < s->base || record->sequence - s->base >= s->span)
            continue;
        if (payload.size == 0)
            base = record->sequence;
        payload_add(&payload, (uint32_t)(record->sequence - base), 0, record->weight);
    }
    segment_forget(s);
    if (payload.size > 0) {
        const struct segment_shape shape = payload_shape(buf_bytes(&payload));
        const struct segment_place place = { .generation = generation };
        assert_non_null(log_index_add(&w->index, log, base, &shape, &place));
    }
    buf_fini(&payload);
}

static const struct model_log *
model_of(const struct world *w, uint64_t id)
{
    size_t l = 0;
    while (l + 1 < LOGS && w->logs[l].id != id)
        l++;
    assert_int_equal(w->logs[l].id, id);
    return &w->logs[l];
}

static void
oldest_relocate(struct world *w)
{
    struct journal_row *round = oldest_round(&w->index);
    if (round == NULL)
        return;
    const uint64_t number = round->number;
    while (!list_is_empty(&round->segments)) {
        struct segment *s = LIST_CONTAINER(round->segments.next, struct segment, in_row);
        segment_relocate(w, s, model_of(w, s->log->id), w->next_round);
    }
    for (size_t l = 0; l < LOGS; l++)
        for (size_t i = 0; i < w->logs[l].count; i++)
            if (w->logs[l].alive[i].round == number)
                w->logs[l].alive[i].round = 0;
    oldest_cut(w, round);
}

static void
tidy_up(struct world *w)
{
    while (!list_is_empty(&w->index.dead))
        segment_forget(LIST_CONTAINER(w->index.dead.next, struct segment, in_row));
    struct journal_row *round;
    while ((round = oldest_round(&w->index)) != NULL && round->alive == 0)
        oldest_cut(w, round);
    for (size_t n = random_below(&w->random, 4); n > 0; n--) {
        struct list *first = list_first(&w->index.unfolded);
        if (first != NULL)
            segment_folded(LIST_CONTAINER(first, struct segment, in_row));
    }
}

/* Sequences of another run begin far above. */
static void
sequences_leap(struct world *w)
{
    struct model_log *m = &w->logs[random_below(&w->random, LOGS)];
    m->next += random_next(&w->random) % (UINT64_C(1) << 34);
}

static void
world_step(struct world *w)
{
    const size_t what = random_below(&w->random, 100);
    if (what < 35)
        round_add(w);
    else if (what < 65)
        settle_some(w);
    else if (what < 70)
        settle_run(w);
    else if (what < 75)
        purge_some(w);
    else if (what < 77)
        log_end(w);
    else if (what < 85)
        oldest_relocate(w);
    else if (what < 88)
        sequences_leap(w);
    else
        tidy_up(w);
}

static void
world_start(struct world *w, const char *test)
{
    *w = (struct world){ .random = random_start(test) };
    log_index_init(&w->index);
    for (size_t l = 0; l < LOGS; l++)
        w->logs[l] = (struct model_log){ .id = ++w->next_id, .next = 1 };
}

static void
test_random_operations(void **state)
{
    (void)state;
    world_start(&world, __func__);
    for (size_t i = 0; i < STEPS; i++) {
        world_step(&world);
        if (i % 10 == 0)
            world_check(&world);
    }
    log_index_fini(&world.index);
    buf_fini(&purge_payload);
}

static bool
give_nothing(void *context, const struct segment *s, struct bytes *out)
{
    (void)s;
    (void)out;
    *(bool *)context = true;
    return false;
}

/* Whole segments are purged unread; a part of one cannot be if it cannot be read. */
static void
test_purge_reads_only_parts(void **state)
{
    (void)state;
    struct log_index x;
    bool asked = false;
    log_index_init(&x);
    struct journal_row *row = log_index_add_row(&x, 1, 1);
    for (uint64_t base = 10; base < 50; base += 10) {
        const struct segment_shape shape = { .count = 10, .span = 10, .weight = 70 };
        const struct segment_place place = { .row = row };
        assert_non_null(log_index_add(&x, 1, base, &shape, &place));
    }
    assert_true(log_index_purge(&x, 1, 20, 39, 2, give_nothing, &asked));
    assert_false(asked);
    assert_int_equal(log_find(&x, 1)->alive, 20);
    assert_int_equal(log_find(&x, 1)->weight, 140);
    assert_false(log_index_purge(&x, 1, 15, 39, 2, give_nothing, &asked));
    assert_true(asked);
    log_index_fini(&x);
}

/* What would weigh more than is alive makes no sense, nor does a run without end. */
static void
test_settlements_that_make_no_sense(void **state)
{
    (void)state;
    struct log_index x;
    log_index_init(&x);
    struct journal_row *row = log_index_add_row(&x, 1, 1);
    const struct segment_shape shape = { .count = 10, .span = 10, .weight = 30 };
    const struct segment_place place = { .row = row };
    assert_non_null(log_index_add(&x, 1, 10, &shape, &place));
    assert_false(log_index_settle(&x, 1, 10, 0, 3, 2));
    assert_false(log_index_settle(&x, 1, UINT64_MAX, 2, 3, 2));
    assert_false(log_index_settle(&x, 1, 10, 1, 31, 2));
    assert_true(log_index_settle(&x, 1, 10, 10, 3, 2));
    assert_int_equal(log_find(&x, 1)->weight, 0);
    log_index_fini(&x);
}

static void
test_settling_all_leaves_nothing(void **state)
{
    (void)state;
    world_start(&world, __func__);
    for (size_t i = 0; i < 2000; i++)
        world_step(&world);
    for (size_t l = 0; l < LOGS; l++)
        while (world.logs[l].count > 0) {
            struct model_log *m = &world.logs[l];
            const size_t at = random_below(&world.random, m->count);
            assert_true(log_index_settle(&world.index, m->id, m->alive[at].sequence, 1,
                                         m->alive[at].weight, world.next_round));
            model_remove(m, at);
        }
    world_check(&world);
    tidy_up(&world);
    world_check(&world);
    assert_int_equal(world.index.journal_bytes, 0);
    assert_int_equal(world.index.journal_records, 0);
    assert_int_equal(world.index.journal_alive, 0);
    assert_true(list_is_empty(&world.index.unfolded));
    log_index_fini(&world.index);
    buf_fini(&purge_payload);
}

static struct segment *
run_add(struct log_index *x, uint64_t base, uint32_t count, struct journal_row *round)
{
    const struct segment_shape shape = { .count = count, .span = count };
    return log_index_add(x, 1, base, &shape, &(struct segment_place){ .row = round });
}

/* What comes from a disk is refused where it would shadow something. */
static void
test_a_segment_that_reaches_into_another_is_refused(void **state)
{
    (void)state;
    struct log_index x;
    log_index_init(&x);
    struct journal_row *round = log_index_add_row(&x, 1, 1);
    assert_non_null(run_add(&x, 10, 5, round));
    assert_non_null(run_add(&x, 20, 5, round));
    assert_null(run_add(&x, 10, 5, round));
    assert_null(run_add(&x, 14, 1, NULL));
    assert_null(run_add(&x, 9, 2, NULL));
    assert_null(run_add(&x, 15, 6, round));
    assert_null(run_add(&x, 0, 100, round));
    assert_null(run_add(&x, UINT64_MAX - 1, 5, round));
    assert_int_equal(x.journal_records, 10);
    assert_int_equal(x.journal_alive, 10);
    assert_non_null(run_add(&x, 15, 5, NULL));
    assert_non_null(run_add(&x, 9, 1, NULL));
    assert_non_null(run_add(&x, 25, 1, round));
    assert_int_equal(x.journal_alive, 11);
    log_index_fini(&x);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_operations),
        cmocka_unit_test(test_purge_reads_only_parts),
        cmocka_unit_test(test_settlements_that_make_no_sense),
        cmocka_unit_test(test_settling_all_leaves_nothing),
        cmocka_unit_test(test_a_segment_that_reaches_into_another_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
