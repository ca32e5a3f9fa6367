/* What a write batch leaves behind, read from the octets that RocksDB has made of it. */

#include "broker/base/mem.h"
#include "persistence/batch_rows.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <rocksdb/c.h>

static void
put(rocksdb_writebatch_t *batch, const char *key, const char *value)
{
    rocksdb_writebatch_put(batch, key, strlen(key), value, strlen(value));
}

/* Parses a copy of exactly its size. */
static uint8_t *
parse(rocksdb_writebatch_t *batch, struct batch_rows *rows, bool *ok)
{
    size_t size;
    const char *octets = rocksdb_writebatch_data(batch, &size);
    uint8_t *copy = mem_alloc(size);
    memcpy(copy, octets, size);
    *ok = batch_rows_parse(rows, bytes_of(copy, size));
    return copy;
}

static void
assert_row(const struct batch_row *row, const char *key, const char *value)
{
    assert_true(bytes_equal(row->key, bytes_of_string(key)));
    assert_int_equal(row->is_put, value != NULL);
    if (value != NULL)
        assert_true(bytes_equal(row->value, bytes_of_string(value)));
}

static void
test_the_last_change_of_a_key_counts(void **state)
{
    (void)state;
    struct batch_rows rows;
    bool ok;
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    put(batch, "J2", "two");
    put(batch, "D", "old");
    put(batch, "C", "chunk");
    rocksdb_writebatch_delete(batch, "K", 1);
    put(batch, "J1", "");
    rocksdb_writebatch_singledelete(batch, "J0", 2);
    rocksdb_writebatch_singledelete(batch, "C", 1);
    put(batch, "D", "new");
    rocksdb_writebatch_delete(batch, "E", 1);
    put(batch, "E", "again");
    uint8_t *copy = parse(batch, &rows, &ok);
    assert_true(ok);
    assert_int_equal(rows.count, 7);
    assert_row(&rows.items[0], "C", NULL);
    assert_row(&rows.items[1], "D", "new");
    assert_row(&rows.items[2], "E", "again");
    assert_row(&rows.items[3], "J0", NULL);
    assert_row(&rows.items[4], "J1", "");
    assert_row(&rows.items[5], "J2", "two");
    assert_row(&rows.items[6], "K", NULL);
    assert_ptr_equal(batch_rows_first_put(&rows, 'J'), &rows.items[4]);
    assert_null(batch_rows_first_put(&rows, 'K'));
    batch_rows_fini(&rows);
    mem_free(copy);
    rocksdb_writebatch_destroy(batch);
}

static void
test_large_values(void **state)
{
    (void)state;
    enum { SIZE = 3000000 };
    struct batch_rows rows;
    bool ok;
    char *value = mem_alloc_zeroed(SIZE);
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    rocksdb_writebatch_put(batch, "J", 1, value, SIZE);
    uint8_t *copy = parse(batch, &rows, &ok);
    assert_true(ok);
    assert_int_equal(rows.count, 1);
    assert_int_equal(rows.items[0].value.size, SIZE);
    batch_rows_fini(&rows);
    mem_free(copy);
    mem_free(value);
    rocksdb_writebatch_destroy(batch);
}

static void
test_an_empty_batch(void **state)
{
    (void)state;
    struct batch_rows rows;
    bool ok;
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    uint8_t *copy = parse(batch, &rows, &ok);
    assert_true(ok);
    assert_int_equal(rows.count, 0);
    batch_rows_fini(&rows);
    mem_free(copy);
    rocksdb_writebatch_destroy(batch);
}

/* Ranges, merges and the like are not what the engine writes: nothing is guessed. */
static void
test_other_changes_are_refused(void **state)
{
    (void)state;
    struct batch_rows rows;
    bool ok;
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    rocksdb_writebatch_delete_range(batch, "A", 1, "B", 1);
    uint8_t *copy = parse(batch, &rows, &ok);
    assert_false(ok);
    batch_rows_fini(&rows);
    mem_free(copy);
    rocksdb_writebatch_destroy(batch);
}

static void
test_cut_octets_are_refused(void **state)
{
    (void)state;
    struct batch_rows rows;
    size_t size;
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    put(batch, "J1", "value");
    rocksdb_writebatch_delete(batch, "K", 1);
    const char *octets = rocksdb_writebatch_data(batch, &size);
    for (size_t cut = 0; cut < size; cut++) {
        uint8_t *copy = mem_alloc(cut + 1);
        memcpy(copy, octets, cut);
        assert_false(batch_rows_parse(&rows, bytes_of(copy, cut)));
        batch_rows_fini(&rows);
        mem_free(copy);
    }
    rocksdb_writebatch_destroy(batch);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_last_change_of_a_key_counts),
        cmocka_unit_test(test_large_values),
        cmocka_unit_test(test_an_empty_batch),
        cmocka_unit_test(test_other_changes_are_refused),
        cmocka_unit_test(test_cut_octets_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
