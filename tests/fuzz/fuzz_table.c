/*
 * Field tables: what is valid can be walked, searched, copied and brought to a canonical form, and
 * what is not is refused wherever it stands.
 */

#include "amqp/table.h"
#include "amqp/wire.h"
#include "tests/exact.h"
#include "tests/fuzz/fuzz.h"

static void
check_scalar(const struct table_field *f)
{
    ASSERT(strcmp(table_tag_name(f->tag), "unknown") != 0);
    int64_t integer = 0;
    if (table_field_integer(f, &integer)) {
        ASSERT(strchr("bBsuIilL", f->tag) != NULL);
        ASSERT(f->value.size > 0 && f->value.size <= 8);
    }
    bool truth = false;
    ASSERT(table_field_bool(f, &truth) == (f->tag == 't'));
}

/* Walks all levels. Returns the number of fields and elements. */
static unsigned
walk(struct table_iterator i)
{
    unsigned count = 0;
    struct table_field f;
    while (table_next(&i, &f)) {
        ASSERT(i.named || f.name.size == 0);
        count++;
        if (f.tag == 'F')
            count += walk(table_iterate(f.value));
        else if (f.tag == 'A')
            count += walk(table_iterate_array(f.value));
        else
            check_scalar(&f);
    }
    ASSERT(i.at == i.end);
    return count;
}

static void
check_append(struct bytes table)
{
    struct buf again = { 0 };
    struct table_iterator i = table_iterate(table);
    struct table_field f;
    while (table_next(&i, &f))
        table_append(&again, &f);
    ASSERT(bytes_equal(buf_bytes(&again), table));
    buf_fini(&again);
}

/* Few are searched for, or large inputs take the time of their square. */
static void
check_find(struct bytes table, struct bytes sorted)
{
    struct table_iterator i = table_iterate(table);
    struct table_field f;
    for (int k = 0; k < 16 && table_next(&i, &f); k++) {
        struct table_field first;
        struct table_field first_sorted;
        ASSERT(table_find(table, f.name, &first));
        ASSERT(first.value.data <= f.value.data);
        ASSERT(table_find(sorted, f.name, &first_sorted));
        ASSERT(first.tag == first_sorted.tag);
        ASSERT(first.value.size == first_sorted.value.size);
    }
}

static void
check_canonical(struct bytes table)
{
    struct buf once = { 0 };
    table_canonical(table, &once);
    ASSERT(once.size == table.size);
    ASSERT(table_is_valid(buf_bytes(&once)));
    ASSERT(walk(table_iterate(table)) == walk(table_iterate(buf_bytes(&once))));
    check_find(table, buf_bytes(&once));

    struct buf twice = { 0 };
    table_canonical(buf_bytes(&once), &twice);
    ASSERT(bytes_equal(buf_bytes(&once), buf_bytes(&twice)));
    buf_fini(&twice);
    buf_fini(&once);
}

/* As an argument of a method, with its length in front. */
static void
check_as_argument(struct bytes table, bool valid)
{
    struct exact e = { .block = mem_alloc(table.size + 5) };
    e.bytes = bytes_of(e.block + 1, table.size + 4);
    struct wire_writer w = wire_writer_of(e.block + 1, table.size + 4);
    wire_write_longstr(&w, table);
    struct wire_reader r = wire_reader_of(e.bytes);
    const struct bytes got = wire_read_table(&r);
    ASSERT(wire_reader_finish(&r) == (valid ? WIRE_OK : WIRE_BAD_TABLE));
    ASSERT(!valid || bytes_equal(got, table));
    exact_free(&e);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct exact e = exact_copy(bytes_of(data, size));
    const bool valid = table_is_valid(e.bytes);
    check_as_argument(e.bytes, valid);
    if (valid) {
        check_append(e.bytes);
        check_canonical(e.bytes);
    }
    exact_free(&e);
    return 0;
}
