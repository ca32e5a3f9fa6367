#include "persistence/store_internal.h"

#include "broker/base/log.h"

#include <stdio.h>
#include <stdlib.h>

#define POSITION_BITS (8u * POSITION_SIZE)

void
row_name(struct bytes key, char name[ROW_NAME_SIZE])
{
    char quoted[ROW_NAME_SIZE - 8];
    if (key.size == 0) {
        snprintf(name, ROW_NAME_SIZE, "without a key");
        return;
    }
    const struct bytes rest = bytes_of(key.data + 1, key.size - 1);
    const char kind = (char)key.data[0];
    if (kind != 'J' && kind != 'K' && kind != 'C') {
        const struct bytes all = kind == 'D' ? rest : key;
        snprintf(name, ROW_NAME_SIZE, "%s\"%s\"", kind == 'D' ? "D " : "",
                 log_quote(all, quoted, sizeof(quoted)));
        return;
    }
    size_t used =
        (size_t)snprintf(name, ROW_NAME_SIZE, rest.size == 0 ? "start of %c" : "%c ", kind);
    for (size_t i = 0; i < rest.size && used + 3 < ROW_NAME_SIZE; i++)
        used += (size_t)snprintf(name + used, ROW_NAME_SIZE - used, "%02x", rest.data[i]);
}

void
scan_start(struct scan *s, struct store *store, char kind,
           void (*gap)(void *context, const char *row, const char *what), void *context)
{
    *s = (struct scan){ .store = store, .kind = kind, .gap = gap, .context = context };
    s->last[0] = (uint8_t)kind;
    s->last_size = 1;
    s->iterator = rocksdb_create_iterator(store->reader.db, store->reader.reading);
    rocksdb_iter_seek(s->iterator, &kind, 1);
}

/* The number that is 2^bit above; false if it is no longer of the same kind. */
static bool
position_add(const uint8_t *from, unsigned bit, uint8_t *out)
{
    unsigned carry = 1u << (bit % 8);
    memcpy(out, from, POSITION_SIZE);
    for (size_t i = POSITION_SIZE - bit / 8; carry != 0 && i > 0; i--) {
        carry += out[i - 1];
        out[i - 1] = (uint8_t)carry;
        carry >>= 8;
    }
    return carry == 0 && out[0] == from[0];
}

/* With a new iterator: one that has met damage may take the next seek for the end. */
static bool
can_seek(struct scan *s, const uint8_t *position)
{
    char *error = NULL;
    rocksdb_iter_destroy(s->iterator);
    s->iterator = rocksdb_create_iterator(s->store->reader.db, s->store->reader.reading);
    rocksdb_iter_seek(s->iterator, (const char *)position, POSITION_SIZE);
    rocksdb_iter_get_error(s->iterator, &error);
    rocksdb_free(error);
    return error == NULL;
}

/* The lowest position found above the last row from which on rows can be read again: first ever
 * longer steps, then back bit by bit. */
static bool
find_end_of_gap(struct scan *s, uint8_t *out)
{
    uint8_t base[POSITION_SIZE] = { 0 };
    uint8_t next[POSITION_SIZE];
    unsigned bit = 0;
    memcpy(base, s->last, s->last_size);
    for (; bit < POSITION_BITS; bit++) {
        if (!position_add(base, bit, out))
            return false;
        if (can_seek(s, out))
            break;
    }
    /* What is below `base` fails, and `out` is 2^bit above the last row. */
    if (bit > 0 && position_add(base, bit - 1, next))
        memcpy(base, next, POSITION_SIZE);
    while (bit-- > 1) {
        if (!position_add(base, bit - 1, next))
            continue;
        if (can_seek(s, next))
            memcpy(out, next, POSITION_SIZE);
        else
            memcpy(base, next, POSITION_SIZE);
    }
    return can_seek(s, out);
}

/* The iterator stands nowhere because octets could not be read. */
static void
skip_gap(struct scan *s, const char *error)
{
    char name[ROW_NAME_SIZE];
    char what[1024];
    uint8_t position[POSITION_SIZE];
    row_name(bytes_of(s->last, s->last_size), name);
    snprintf(what, sizeof(what), "rows behind it cannot be read: %s", error);
    s->gap(s->context, name, what);
    s->has_gap = true;
    s->has_ended = !find_end_of_gap(s, position);
}

bool
scan_get(struct scan *s, struct bytes *key, struct bytes *row)
{
    size_t size;
    while (!rocksdb_iter_valid(s->iterator)) {
        char *error = NULL;
        rocksdb_iter_get_error(s->iterator, &error);
        if (error == NULL || s->has_ended) {
            rocksdb_free(error);
            return false;
        }
        skip_gap(s, error);
        rocksdb_free(error);
    }
    const char *data = rocksdb_iter_key(s->iterator, &size);
    if (size == 0 || data[0] != s->kind)
        return false;
    *key = bytes_of(data, size);
    s->last_size = size < POSITION_SIZE ? size : POSITION_SIZE;
    memcpy(s->last, data, s->last_size);
    data = rocksdb_iter_value(s->iterator, &size);
    *row = bytes_of(data, size);
    return true;
}

void
scan_next(struct scan *s)
{
    s->has_gap = false;
    rocksdb_iter_next(s->iterator);
}

void
scan_finish(struct scan *s)
{
    rocksdb_iter_destroy(s->iterator);
}
