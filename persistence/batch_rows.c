#include "persistence/batch_rows.h"

#include "broker/base/mem.h"
#include "persistence/varint.h"

#include <stdlib.h>

#define HEAD_SIZE 12u

enum tag {
    TAG_DELETE = 0,
    TAG_PUT = 1,
    TAG_SINGLE_DELETE = 7,
};

static bool
take_sized(struct bytes *in, struct bytes *out)
{
    uint64_t size;
    if (!varint_take(in, &size) || size > in->size)
        return false;
    *out = bytes_of(in->data, (size_t)size);
    in->data += size;
    in->size -= (size_t)size;
    return true;
}

static bool
take_row(struct bytes *in, struct batch_row *row)
{
    if (in->size == 0)
        return false;
    const uint8_t tag = in->data[0];
    in->data++;
    in->size--;
    row->is_put = tag == TAG_PUT;
    if (!row->is_put && tag != TAG_DELETE && tag != TAG_SINGLE_DELETE)
        return false;
    return take_sized(in, &row->key) && (!row->is_put || take_sized(in, &row->value));
}

static int
compare(const void *a, const void *b)
{
    const struct batch_row *x = a;
    const struct batch_row *y = b;
    const int order = bytes_compare(x->key, y->key);
    if (order != 0)
        return order;
    return x->change < y->change ? -1 : x->change > y->change;
}

/* Of several changes of a key the last one counts. */
static void
keep_last(struct batch_rows *rows)
{
    size_t kept = 0;
    for (size_t i = 0; i < rows->count; i++) {
        if (i + 1 < rows->count && bytes_equal(rows->items[i].key, rows->items[i + 1].key))
            continue;
        rows->items[kept++] = rows->items[i];
    }
    rows->count = kept;
}

bool
batch_rows_parse(struct batch_rows *rows, struct bytes batch)
{
    *rows = (struct batch_rows){ 0 };
    if (batch.size < HEAD_SIZE)
        return false;
    const uint8_t *head = batch.data + 8;
    const uint32_t count = (uint32_t)head[0] | (uint32_t)head[1] << 8 | (uint32_t)head[2] << 16 |
                           (uint32_t)head[3] << 24;
    struct bytes rest = bytes_of(batch.data + HEAD_SIZE, batch.size - HEAD_SIZE);
    if (count > rest.size / 2)
        return false;
    rows->items = mem_alloc_zeroed((count + (size_t)1) * sizeof(*rows->items));
    for (; rows->count < count; rows->count++) {
        rows->items[rows->count].change = rows->count;
        if (!take_row(&rest, &rows->items[rows->count]))
            return false;
    }
    qsort(rows->items, rows->count, sizeof(*rows->items), compare);
    keep_last(rows);
    return rest.size == 0;
}

void
batch_rows_fini(struct batch_rows *rows)
{
    mem_free(rows->items);
    *rows = (struct batch_rows){ 0 };
}

const struct batch_row *
batch_rows_first_put(const struct batch_rows *rows, char kind)
{
    for (size_t i = 0; i < rows->count; i++)
        if (rows->items[i].is_put && rows->items[i].key.size > 0 &&
            rows->items[i].key.data[0] == (uint8_t)kind)
            return &rows->items[i];
    return NULL;
}
