#include "broker/admin/rows.h"

#include "broker/admin/table_json.h"

#include <stdio.h>

#define TABLE_JSON_MAX 16384u

void
rows_fini(struct rows *r)
{
    buf_fini(&r->text);
    *r = (struct rows){ 0 };
}

static void
escape(struct buf *out, struct bytes text)
{
    size_t plain = 0;
    for (size_t i = 0; i < text.size; i++) {
        const uint8_t c = text.data[i];
        if (c != '\t' && c != '\n' && c != '\\')
            continue;
        buf_append(out, text.data + plain, i - plain);
        buf_append(out, c == '\t' ? "\\t" : c == '\n' ? "\\n" : "\\\\", 2);
        plain = i + 1;
    }
    if (plain < text.size)
        buf_append(out, text.data + plain, text.size - plain);
}

static void
cell_begin(struct rows *r, enum cell_kind kind)
{
    const uint8_t start[] = { '\t', (uint8_t)kind };
    if (r->in_row++ == 0)
        buf_append(&r->text, start + 1, 1);
    else
        buf_append(&r->text, start, 2);
}

void
cell_put_none(struct rows *r)
{
    cell_begin(r, CELL_NONE);
}

void
cell_put_text(struct rows *r, struct bytes text)
{
    cell_begin(r, CELL_TEXT);
    escape(&r->text, text);
}

void
cell_put_string(struct rows *r, const char *text)
{
    cell_put_text(r, bytes_of_string(text));
}

void
cell_put_number(struct rows *r, uint64_t value)
{
    cell_begin(r, CELL_NUMBER);
    buf_printf(&r->text, "%llu", (unsigned long long)value);
}

void
cell_put_signed(struct rows *r, int64_t value)
{
    cell_begin(r, CELL_NUMBER);
    buf_printf(&r->text, "%lld", (long long)value);
}

void
cell_put_bool(struct rows *r, bool value)
{
    cell_begin(r, CELL_BOOL);
    buf_printf(&r->text, "%s", value ? "true" : "false");
}

void
cell_put_json(struct rows *r, struct bytes json)
{
    cell_begin(r, CELL_JSON);
    escape(&r->text, json);
}

void
cell_put_rows(struct rows *r, const struct rows *inner)
{
    cell_begin(r, CELL_ROWS);
    escape(&r->text, buf_bytes(&inner->text));
}

void
cell_put_table(struct rows *r, struct bytes table)
{
    char text[64];
    struct buf json = { 0 };
    if (table_json(&json, table, TABLE_JSON_MAX)) {
        cell_put_json(r, buf_bytes(&json));
    } else {
        snprintf(text, sizeof(text), "(a table of %zu octets)", table.size);
        cell_put_string(r, text);
    }
    buf_fini(&json);
}

void
rows_end(struct rows *r)
{
    buf_append(&r->text, "\n", 1);
    r->in_row = 0;
    r->count++;
}

void
rows_join(struct rows *to, struct rows *from)
{
    buf_append_bytes(&to->text, buf_bytes(&from->text));
    to->count += from->count;
    rows_fini(from);
}

static bool
split(struct bytes *text, uint8_t separator, struct bytes *out)
{
    if (text->data == NULL)
        return false;
    const uint8_t *end = text->size == 0 ? NULL : memchr(text->data, separator, text->size);
    if (end == NULL) {
        *out = *text;
        *text = BYTES_NONE;
        return true;
    }
    *out = bytes_of(text->data, (size_t)(end - text->data));
    *text = bytes_of(end + 1, text->size - out->size - 1);
    return true;
}

bool
rows_next(struct bytes *text, struct bytes *row)
{
    return text->size > 0 && split(text, '\n', row);
}

static struct bytes
unescape(struct bytes text, struct buf *scratch)
{
    if (text.size == 0 || memchr(text.data, '\\', text.size) == NULL)
        return text;
    uint8_t *out = buf_reserve(scratch, text.size);
    size_t size = 0;
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        if (c == '\\' && i + 1 < text.size) {
            c = text.data[++i];
            c = c == 't' ? '\t' : c == 'n' ? '\n' : c;
        }
        out[size++] = c;
    }
    return bytes_of(out, size);
}

bool
row_next(struct bytes *row, struct buf *scratch, struct cell *out)
{
    struct bytes cell;
    if (!split(row, '\t', &cell) || cell.size == 0)
        return false;
    out->kind = (enum cell_kind)cell.data[0];
    out->text = unescape(bytes_of(cell.data + 1, cell.size - 1), scratch);
    return true;
}

void
words_put(struct buf *out, struct bytes word)
{
    if (out->size > 0)
        buf_append(out, "\t", 1);
    escape(out, word);
}

bool
words_next(struct bytes *words, struct buf *scratch, struct bytes *out)
{
    struct bytes word;
    if (!split(words, '\t', &word))
        return false;
    *out = unescape(word, scratch);
    return true;
}
