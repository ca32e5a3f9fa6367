#include "persistence/rows.h"

#include "broker/base/mem.h"
#include "tests/unit/test_random.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "tests/unit/test_persistence.h"

#include <xxhash.h>

enum { ROUNDS = 200, EFFECTS = 8 };

/* A copy of its own size, so that reading beyond it is seen by the sanitizers. */
static struct bytes
exact_copy(struct bytes b, size_t size)
{
    uint8_t *copy = mem_alloc(size);
    memcpy(copy, b.data, size);
    return bytes_of(copy, size);
}

static void
random_payload(struct random *r, struct effect *e)
{
    uint32_t offset = 0;
    for (size_t n = random_below(r, 6); n > 0; n--, e->count++) {
        offset += 1 + (uint32_t)random_below(r, 3);
        payload_add(&e->payload, offset, random_next(r), (uint32_t)random_below(r, 20));
    }
}

static void
random_runs(struct random *r, struct effect *e)
{
    for (size_t n = random_below(r, 6); n > 0; n--, e->count++)
        settled_run_append(&e->payload,
                           &(struct settled_run){ random_next(r), (uint32_t)random_next(r) | 1,
                                                  (uint32_t)random_next(r) });
}

/* Of an effect that has been told, and of one in a row. */
static void
assert_runs_equal(const struct effect *told, const struct stored_effect *got)
{
    struct bytes runs = buf_bytes(&told->payload);
    struct bytes stored = got->payload;
    struct settled_run a;
    struct settled_run b = { .first = got->sequence };
    while (settled_run_next(&runs, &a)) {
        assert_true(stored_run_next(&stored, &b));
        assert_int_equal(b.first, a.first);
        assert_int_equal(b.count, a.count);
        assert_int_equal(b.weight, a.weight);
    }
    assert_int_equal(stored.size, 0);
}

static void
random_effects(struct random *r, struct effect effects[EFFECTS])
{
    for (size_t i = 0; i < EFFECTS; i++) {
        effects[i] = (struct effect){
            .kind = EFFECT_RECORDS + (enum effect_kind)random_below(r, 3),
            .log = random_next(r),
            .sequence = random_next(r),
        };
        if (effects[i].kind == EFFECT_SETTLE)
            random_runs(r, &effects[i]);
        else
            random_payload(r, &effects[i]);
    }
}

static void
round_encode(const struct effect effects[EFFECTS], uint64_t previous, struct buf *row)
{
    struct row_builder builder = { 0 };
    for (size_t i = 0; i < EFFECTS; i++)
        row_builder_add(&builder, &effects[i]);
    row_builder_close(&builder);
    const struct row_head head = { builder.effects, previous, previous + 1 };
    row_finish(&builder.row, &head);
    *row = builder.row;
}

static void
effects_fini(struct effect effects[EFFECTS])
{
    for (size_t i = 0; i < EFFECTS; i++)
        buf_fini(&effects[i].payload);
}

/* Whether it is a sound row with as many effects as it says. */
static bool
round_is_sound(struct bytes row, uint64_t *previous)
{
    struct row_head head;
    struct bytes content;
    struct stored_effect effect = { 0 };
    if (!row_open(row, &head, &content))
        return false;
    *previous = head.previous;
    for (; head.count > 0; head.count--)
        if (!row_next_effect(&content, &effect))
            return false;
    return content.size == 0;
}

static void
test_round_comes_back(void **state)
{
    (void)state;
    struct random r = random_start(__func__);
    for (int i = 0; i < ROUNDS; i++) {
        struct effect effects[EFFECTS];
        struct buf row = { 0 };
        struct bytes content;
        struct stored_effect got = { 0 };
        struct row_head head;
        const uint64_t before = random_next(&r);
        random_effects(&r, effects);
        round_encode(effects, before, &row);
        assert_true(row_open(buf_bytes(&row), &head, &content));
        assert_int_equal(head.count, EFFECTS);
        assert_int_equal(head.previous, before);
        assert_int_equal(head.round, before + 1);
        for (size_t k = 0; k < EFFECTS; k++) {
            assert_true(row_next_effect(&content, &got));
            assert_int_equal(got.kind, effects[k].kind);
            assert_int_equal(got.log, effects[k].log);
            assert_int_equal(got.count, effects[k].count);
            if (got.kind == EFFECT_SETTLE) {
                assert_runs_equal(&effects[k], &got);
                continue;
            }
            assert_int_equal(got.sequence, effects[k].sequence);
            assert_true(bytes_equal(got.payload, buf_bytes(&effects[k].payload)));
        }
        assert_false(row_next_effect(&content, &got));
        assert_int_equal(content.size, 0);
        buf_fini(&row);
        effects_fini(effects);
    }
}

static void
test_round_damaged_anywhere_is_refused(void **state)
{
    (void)state;
    struct random r = random_start(__func__);
    struct effect effects[EFFECTS];
    struct buf row = { 0 };
    uint64_t previous;
    random_effects(&r, effects);
    round_encode(effects, 7, &row);
    assert_true(round_is_sound(buf_bytes(&row), &previous));
    for (size_t size = 0; size < row.size; size++) {
        const struct bytes cut = exact_copy(buf_bytes(&row), size);
        assert_false(round_is_sound(cut, &previous));
        mem_free_const(cut.data);
    }
    for (size_t bit = 0; bit < row.size * 8; bit++) {
        row.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_false(round_is_sound(buf_bytes(&row), &previous));
        row.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_true(round_is_sound(buf_bytes(&row), &previous));
    buf_fini(&row);
    effects_fini(effects);
}

/* Beyond the checksum: content that does not hold what it says is never read beyond its end. */
static void
test_effects_are_read_within_their_octets(void **state)
{
    (void)state;
    struct random r = random_start(__func__);
    for (int i = 0; i < ROUNDS * 10; i++) {
        struct effect effects[EFFECTS];
        struct buf row = { 0 };
        struct stored_effect got = { 0 };
        uint32_t count;
        random_effects(&r, effects);
        round_encode(effects, 7, &row);
        const size_t size = random_below(&r, row.size - ROW_HEAD_SIZE);
        uint8_t *octets = mem_alloc(size + 1);
        memcpy(octets, row.data + ROW_HEAD_SIZE, size);
        for (size_t n = random_below(&r, 10); n > 0 && size > 0; n--)
            octets[random_below(&r, size)] = (uint8_t)random_next(&r);
        const struct bytes whole = exact_copy(bytes_of(octets, size), size);
        struct bytes content = whole;
        while (row_next_effect(&content, &got)) {
            assert_true(got.payload.data >= whole.data);
            assert_true(got.payload.data + got.payload.size <= whole.data + whole.size);
            payload_is_sound(got.payload, &count);
        }
        mem_free_const(whole.data);
        mem_free(octets);
        buf_fini(&row);
        effects_fini(effects);
    }
}

static bool
frames_are_sound(const uint32_t *numbers, size_t count)
{
    struct buf payload = { 0 };
    uint32_t records;
    for (size_t i = 0; i < count; i++) {
        store_be32(buf_reserve(&payload, 4), numbers[i]);
        payload.size += 4;
    }
    const struct bytes exact = exact_copy(buf_bytes(&payload), payload.size);
    const bool sound = payload_is_sound(exact, &records);
    assert_true(!sound || records <= count / 2);
    mem_free_const(exact.data);
    buf_fini(&payload);
    return sound;
}

#define FRAMES_ARE_SOUND(...)                                                                      \
    frames_are_sound((const uint32_t[]){ __VA_ARGS__ }, COUNT(((const uint32_t[]){ __VA_ARGS__ })))

static void
test_payloads_are_checked(void **state)
{
    (void)state;
    uint32_t records;
    assert_true(payload_is_sound(BYTES_NONE, &records));
    assert_int_equal(records, 0);
    assert_true(FRAMES_ARE_SOUND(12, 0, 7));
    assert_true(FRAMES_ARE_SOUND(16, 5, 7, 99, 12, 6, 0));
    assert_true(FRAMES_ARE_SOUND(12, UINT32_MAX - 1, 0));
    assert_false(FRAMES_ARE_SOUND(12, UINT32_MAX, 0)); /* One past it is no number. */
    assert_false(FRAMES_ARE_SOUND(12));
    assert_false(FRAMES_ARE_SOUND(12, 0));
    assert_false(FRAMES_ARE_SOUND(0, 0, 0));
    assert_false(FRAMES_ARE_SOUND(11, 0, 0));
    assert_false(FRAMES_ARE_SOUND(13, 0, 0));
    assert_false(FRAMES_ARE_SOUND(UINT32_MAX, 0, 0));
    assert_false(FRAMES_ARE_SOUND(12, 0, 0, 12, 0, 0));
    assert_false(FRAMES_ARE_SOUND(12, 1, 0, 12, 0, 0));
    assert_false(FRAMES_ARE_SOUND(12, 0, 0, 12));
}

/* A chunk of random shape, of which something, but not all, is settled. */
static struct segment *
random_chunk(struct random *r, struct log_index *x)
{
    const bool sparse = random_below(r, 2) == 0;
    struct segment_shape shape = { .count = 1 + (uint32_t)random_below(r, 200), .bytes = 4096 };
    shape.span = shape.count;
    if (sparse) {
        shape.offsets = mem_alloc(shape.count * sizeof(*shape.offsets));
        uint32_t offset = 1;
        for (uint32_t i = 0; i < shape.count; i++, offset++)
            shape.offsets[i] = offset += (uint32_t)random_below(r, 3);
        shape.span = offset;
    }
    shape.weight = shape.count * UINT64_C(3);
    struct segment *s =
        log_index_add(x, 5, 1000, &shape, &(struct segment_place){ .generation = 9 });
    for (uint32_t i = 0; i + 1 < s->count; i++)
        if (random_below(r, 3) == 0)
            assert_true(log_index_settle(x, 5, segment_sequence(s, i), 1, 3, 1));
    return s;
}

static struct segment *
decode(struct log_index *x, struct bytes row)
{
    log_index_init(x);
    return chunk_row_decode(x, 5, 1000, 9, row);
}

static void
assert_chunk_refused(struct bytes row, size_t size)
{
    struct log_index x;
    const struct bytes exact = exact_copy(row, size);
    assert_null(decode(&x, exact));
    const struct log *log = log_find(&x, 5);
    assert_true(log == NULL || log->first == log->count);
    assert_int_equal(x.journal_alive, 0);
    assert_true(list_is_empty(&x.dead) && list_is_empty(&x.unfolded));
    log_index_fini(&x);
    mem_free_const(exact.data);
}

static void
test_chunk_row_comes_back(void **state)
{
    (void)state;
    struct random r = random_start(__func__);
    for (int i = 0; i < ROUNDS; i++) {
        struct log_index x;
        struct log_index y;
        struct buf row = { 0 };
        log_index_init(&x);
        const struct segment *s = random_chunk(&r, &x);
        chunk_row_encode(s, &row);
        const struct segment *got = decode(&y, buf_bytes(&row));
        assert_non_null(got);
        assert_null(got->row);
        assert_int_equal(got->log->id, 5);
        assert_int_equal(got->base, 1000);
        assert_int_equal(got->generation, 9);
        assert_int_equal(got->count, s->count);
        assert_int_equal(got->span, s->span);
        assert_int_equal(got->alive, s->alive);
        assert_int_equal(got->bytes, s->bytes);
        assert_int_equal(got->weight, s->alive * UINT64_C(3));
        assert_int_equal(got->log->weight, got->weight);
        assert_int_equal(y.chunk_bytes_alive, x.chunk_bytes_alive);
        assert_int_equal(got->unfolded, 0);
        for (uint32_t k = 0; k < s->count; k++) {
            assert_int_equal(segment_sequence(got, k), segment_sequence(s, k));
            assert_int_equal(segment_is_settled(got, k), segment_is_settled(s, k));
        }
        log_index_fini(&x);
        log_index_fini(&y);
        buf_fini(&row);
    }
}

static void
test_chunk_row_damaged_anywhere_is_refused(void **state)
{
    (void)state;
    struct random r = random_start(__func__);
    for (int i = 0; i < 10; i++) {
        struct log_index x;
        struct buf row = { 0 };
        log_index_init(&x);
        chunk_row_encode(random_chunk(&r, &x), &row);
        log_index_fini(&x);
        for (size_t size = 0; size < row.size; size++)
            assert_chunk_refused(buf_bytes(&row), size);
        for (size_t bit = 0; bit < row.size * 8; bit++) {
            row.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
            assert_chunk_refused(buf_bytes(&row), row.size);
            row.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        buf_fini(&row);
    }
}

/* A row with a good checksum: count, span, sparse, offsets and one word of the bitmap. */
static void
chunk_row_forge(struct buf *row, uint32_t count, uint32_t span, uint8_t sparse,
                const uint32_t offsets[2], uint64_t word)
{
    uint8_t *at = buf_reserve(row, 80);
    store_be32(at + 8, count);
    store_be32(at + 12, span);
    store_be32(at + 16, 100);
    store_be64(at + 20, 5);
    at[28] = sparse;
    row->size = 29;
    for (size_t i = 0; offsets != NULL && i < 2; i++, row->size += 4)
        store_be32(at + row->size, offsets[i]);
    store_be64(at + row->size, word);
    row->size += 8;
    store_be64(at, XXH3_64bits(at + 8, row->size - 8));
}

static bool
forged_is_taken(uint32_t count, uint32_t span, uint8_t sparse, const uint32_t offsets[2],
                uint64_t word)
{
    struct log_index x;
    struct buf row = { 0 };
    chunk_row_forge(&row, count, span, sparse, offsets, word);
    const bool taken = decode(&x, buf_bytes(&row)) != NULL;
    log_index_fini(&x);
    if (!taken)
        assert_chunk_refused(buf_bytes(&row), row.size);
    buf_fini(&row);
    return taken;
}

static void
test_chunk_rows_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    assert_true(forged_is_taken(2, 2, 0, NULL, 1));
    assert_true(forged_is_taken(2, 9, 1, (const uint32_t[]){ 3, 8 }, 2));
    assert_true(forged_is_taken(64, 64, 0, NULL, UINT64_MAX - 1));
    assert_false(forged_is_taken(0, 0, 0, NULL, 0));
    assert_false(forged_is_taken(2, 1, 0, NULL, 0));
    assert_false(forged_is_taken(2, 3, 0, NULL, 0)); /* Holes, and not where. */
    assert_false(forged_is_taken(2, 2, 1, (const uint32_t[]){ 0, 1 }, 0));
    assert_false(forged_is_taken(2, 9, 2, (const uint32_t[]){ 3, 8 }, 0));
    assert_false(forged_is_taken(2, 9, 1, (const uint32_t[]){ 8, 3 }, 0));
    assert_false(forged_is_taken(2, 9, 1, (const uint32_t[]){ 8, 8 }, 0));
    assert_false(forged_is_taken(2, 9, 1, (const uint32_t[]){ 3, 7 }, 0));
    assert_false(forged_is_taken(2, 9, 1, (const uint32_t[]){ 3, 9 }, 0));
    assert_false(forged_is_taken(2, 9, 1, (const uint32_t[]){ 3, UINT32_MAX }, 0));
    assert_false(forged_is_taken(2, 2, 0, NULL, 4)); /* A record that is not there is settled. */
    assert_false(forged_is_taken(2, 2, 0, NULL, 3)); /* Its row would have gone. */
    assert_false(forged_is_taken(UINT32_MAX, UINT32_MAX, 0, NULL, 0));
    assert_false(forged_is_taken(65, 65, 0, NULL, 0));
}

static void
test_format_row(void **state)
{
    (void)state;
    struct buf row = { 0 };
    uint32_t version;
    uint64_t epoch;
    format_row_encode(UINT64_C(0x123456789A), &row);
    assert_true(format_row_decode(buf_bytes(&row), &version, &epoch));
    assert_int_equal(version, STORE_FORMAT);
    assert_int_equal(epoch, UINT64_C(0x123456789A));
    for (size_t size = 0; size < row.size; size++) {
        const struct bytes cut = exact_copy(buf_bytes(&row), size);
        assert_false(format_row_decode(cut, &version, &epoch));
        mem_free_const(cut.data);
    }
    for (size_t bit = 0; bit < row.size * 8; bit++) {
        row.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        /* Another version is another version, whatever it holds. */
        assert_true(!format_row_decode(buf_bytes(&row), &version, &epoch) ||
                    version != STORE_FORMAT);
        row.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    buf_fini(&row);
}

static int
key_compare(struct key a, struct key b)
{
    const int order = bytes_compare(bytes_of(a.octets, a.size), bytes_of(b.octets, b.size));
    return (order > 0) - (order < 0);
}

static int
number_compare(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

/* Numbers that differ in few octets, high or low. */
static uint64_t
near_number(struct random *r)
{
    return (uint64_t)random_below(r, 3) << (8 * random_below(r, 8));
}

static void
test_order_of_keys_is_order_of_numbers(void **state)
{
    (void)state;
    struct random r = random_start(__func__);
    for (int i = 0; i < ROUNDS * 100; i++) {
        struct log logs[2] = { { .id = near_number(&r) }, { .id = near_number(&r) } };
        struct segment *s[2];
        for (int k = 0; k < 2; k++) {
            s[k] = mem_alloc_zeroed(sizeof(*s[k]));
            s[k]->log = &logs[k];
            s[k]->base = near_number(&r);
            s[k]->generation = near_number(&r);
        }
        int order = number_compare(logs[0].id, logs[1].id);
        order = order != 0 ? order : number_compare(s[0]->base, s[1]->base);
        order = order != 0 ? order : number_compare(s[0]->generation, s[1]->generation);
        assert_int_equal(key_compare(key_of_chunk('C', s[0]), key_of_chunk('C', s[1])), order);
        assert_int_equal(key_compare(key_of_row(s[0]->base), key_of_row(s[1]->base)),
                         number_compare(s[0]->base, s[1]->base));
        assert_true(key_compare(key_of_row(s[0]->base), key_of_chunk('K', s[0])) < 0);
        mem_free(s[0]);
        mem_free(s[1]);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_comes_back),
        cmocka_unit_test(test_round_damaged_anywhere_is_refused),
        cmocka_unit_test(test_effects_are_read_within_their_octets),
        cmocka_unit_test(test_payloads_are_checked),
        cmocka_unit_test(test_chunk_row_comes_back),
        cmocka_unit_test(test_chunk_row_damaged_anywhere_is_refused),
        cmocka_unit_test(test_chunk_rows_that_make_no_sense_are_refused),
        cmocka_unit_test(test_format_row),
        cmocka_unit_test(test_order_of_keys_is_order_of_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
