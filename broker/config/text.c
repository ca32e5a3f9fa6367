#include "broker/config/text.h"

#define QUOTE_BYTES_MAX 60
#define SUGGESTION_BYTES_MAX 40

/* Octets since the last line end. */
static size_t
column_of(const struct buf *out)
{
    size_t column = 0;
    while (column < out->size && out->data[out->size - column - 1] != '\n')
        column++;
    return column;
}

static void
pad_to(struct buf *out, size_t column)
{
    for (size_t at = column_of(out); at < column; at++)
        buf_append(out, " ", 1);
}

void
text_wrap(struct buf *out, const char *text, size_t indent)
{
    if (column_of(out) > 0 && column_of(out) + 2 > indent)
        buf_append(out, "\n", 1);
    bool first = true;
    for (const char *word = text + strspn(text, " "); *word != 0; word += strspn(word, " ")) {
        const size_t size = strcspn(word, " ");
        if (!first && column_of(out) + 1 + size > TEXT_COLUMNS) {
            buf_append(out, "\n", 1);
            first = true;
        }
        if (first)
            pad_to(out, indent);
        else
            buf_append(out, " ", 1);
        buf_append(out, word, size);
        first = false;
        word += size;
    }
    buf_append(out, "\n", 1);
}

/* The C1 controls, U+0080 to U+009F, steer terminals too; in UTF-8 they are C2 80 to C2 9F. */
static bool
is_control(struct bytes text, size_t i)
{
    const uint8_t c = text.data[i];
    if (c < 0x20 || c == 0x7F)
        return true;
    return c == 0xC2 && i + 1 < text.size && text.data[i + 1] >= 0x80 && text.data[i + 1] <= 0x9F;
}

void
text_quote(struct buf *out, struct bytes text)
{
    buf_append(out, "\"", 1);
    for (size_t i = 0; i < text.size; i++) {
        /* Cut only where a character starts. */
        if (i >= QUOTE_BYTES_MAX && (text.data[i] & 0xC0) != 0x80) {
            buf_append(out, "...", 3);
            break;
        }
        if (is_control(text, i))
            buf_printf(out, "\\x%02x", text.data[i]);
        else if (text.data[i] == '"' || text.data[i] == '\\')
            buf_printf(out, "\\%c", text.data[i]);
        else
            buf_append(out, &text.data[i], 1);
    }
    buf_append(out, "\"", 1);
}

void
text_plain(struct buf *out, struct bytes text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (is_control(text, i) || text.data[i] == '\\')
            buf_printf(out, "\\x%02x", text.data[i]);
        else
            buf_append(out, &text.data[i], 1);
    }
}

void
text_size(struct buf *out, uint64_t octets)
{
    static const char *const units[] = { "KiB", "MiB", "GiB", "TiB" };
    double size = (double)octets / 1024;
    size_t i = 0;
    for (; size >= 1024 && i + 1 < sizeof(units) / sizeof(units[0]); i++)
        size /= 1024;
    if (octets < 1024)
        buf_printf(out, "%u B", (unsigned)octets);
    else
        buf_printf(out, "%.1f %s", size, units[i]);
}

void
text_json(struct buf *out, struct bytes text)
{
    const bool is_text = bytes_are_utf8(text);
    buf_append(out, "\"", 1);
    for (size_t i = 0; i < text.size; i++) {
        const uint8_t c = text.data[i];
        if (c == '"' || c == '\\')
            buf_printf(out, "\\%c", c);
        else if (c < 0x20 || c == 0x7F)
            buf_printf(out, "\\u%04x", c);
        else if (c >= 0x80 && !is_text)
            buf_printf(out, "\\ufffd");
        else
            buf_append(out, &c, 1);
    }
    buf_append(out, "\"", 1);
}

static size_t
least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* How many letters must be added, removed, replaced or swapped with their neighbour. */
static size_t
edit_distance(struct bytes a, struct bytes b)
{
    size_t rows[3][SUGGESTION_BYTES_MAX + 1];
    size_t *before = rows[0];
    size_t *last = rows[1];
    size_t *row = rows[2];
    for (size_t j = 0; j <= b.size; j++)
        last[j] = j;
    for (size_t i = 1; i <= a.size; i++) {
        row[0] = i;
        for (size_t j = 1; j <= b.size; j++) {
            const size_t replaced = last[j - 1] + (a.data[i - 1] != b.data[j - 1]);
            row[j] = least(replaced, least(last[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a.data[i - 1] == b.data[j - 2] && a.data[i - 2] == b.data[j - 1])
                row[j] = least(row[j], before[j - 2] + 1);
        }
        size_t *free_row = before;
        before = last;
        last = row;
        row = free_row;
    }
    return last[b.size];
}

void
suggestion_offer(struct suggestion *s, struct bytes candidate)
{
    if (s->text.size > SUGGESTION_BYTES_MAX || candidate.size > SUGGESTION_BYTES_MAX)
        return;
    const size_t distance = edit_distance(s->text, candidate);
    const size_t near = 1 + least(s->text.size, candidate.size) / 4;
    if (distance > near || distance >= candidate.size)
        return;
    if (s->best.size > 0 && distance >= s->distance)
        return;
    s->best = candidate;
    s->distance = distance;
}
