#include "broker/config/diagnostics.h"

#include "broker/base/panic.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* A file may be one long line; this much of it is shown, and so much of it before the place. */
#define EXCERPT_COLUMNS 100
#define EXCERPT_BEFORE 60

void
diagnostics_init(struct diagnostics *d, const char *file, struct bytes source)
{
    *d = (struct diagnostics){ .file = file, .source = source };
}

static size_t
kept_count(const struct diagnostics *d)
{
    return d->count < DIAGNOSTICS_MAX ? d->count : DIAGNOSTICS_MAX;
}

void
diagnostics_fini(struct diagnostics *d)
{
    for (size_t i = 0; i < kept_count(d); i++)
        buf_fini(&d->kept[i].text);
    d->count = 0;
}

/* The line without its end; empty if there is no such line. Lines end as YAML's do, but for the
 * line ends beyond ASCII. */
static struct bytes
source_line(struct bytes source, size_t number)
{
    size_t start = 0;
    for (size_t line = 1;; line++) {
        size_t end = start;
        while (end < source.size && source.data[end] != '\n' && source.data[end] != '\r')
            end++;
        if (line == number)
            return source.data == NULL ? BYTES_NONE : bytes_of(source.data + start, end - start);
        if (end == source.size)
            return BYTES_NONE;
        const bool pair = end + 1 < source.size && memcmp(source.data + end, "\r\n", 2) == 0;
        start = end + (pair ? 2 : 1);
    }
}

static bool
starts_character(uint8_t c)
{
    return (c & 0xC0) != 0x80;
}

/* Appends the characters [first, first + EXCERPT_COLUMNS) of the line. A tab takes one column, so
 * that the caret below stands right. */
static void
excerpt_append(struct buf *out, struct bytes line, size_t first)
{
    size_t column = 0; /* Of the character at hand, from 1. */
    if (first > 1)
        buf_append(out, "...", 3);
    for (size_t i = 0; i < line.size; i++) {
        const uint8_t c = line.data[i];
        column += starts_character(c);
        if (column < first)
            continue;
        if (column >= first + EXCERPT_COLUMNS) {
            buf_append(out, "...", 3);
            return;
        }
        buf_append(out, c == '\t' ? " " : c < 0x20 || c == 0x7F ? "?" : (const char *)&c, 1);
    }
}

static void
excerpt_show(const struct diagnostics *d, struct buf *out, struct place place)
{
    const struct bytes line = source_line(d->source, place.line);
    if (line.size == 0)
        return;
    const size_t first = place.column > EXCERPT_COLUMNS ? place.column - EXCERPT_BEFORE : 1;
    buf_printf(out, "%5zu | ", place.line);
    excerpt_append(out, line, first);
    buf_append(out, "\n", 1);
    const size_t before = place.column - first + (first > 1 ? 3 : 0);
    buf_printf(out, "      | %*s^", (int)before, "");
    size_t width = place.width;
    if (width > first + EXCERPT_COLUMNS - place.column)
        width = first + EXCERPT_COLUMNS - place.column;
    for (size_t i = 1; i < width; i++)
        buf_append(out, "~", 1);
    buf_append(out, "\n", 1);
}

static void
place_append(const struct diagnostics *d, struct buf *out, struct place place, const char *word)
{
    if (place.line == 0)
        buf_printf(out, "%s: %s: ", d->file, word);
    else
        buf_printf(out, "%s:%zu:%zu: %s: ", d->file, place.line, place.column, word);
}

void
diagnostics_error(struct diagnostics *d, enum diagnostic_code code, struct place place,
                  const char *hint, const char *format, ...)
{
    if (d->count++ >= DIAGNOSTICS_MAX)
        return;
    struct diagnostic *kept = &d->kept[d->count - 1];
    *kept = (struct diagnostic){ .place = place };
    place_append(d, &kept->text, place, "error");
    char *message = NULL;
    va_list args;
    va_start(args, format);
    const int size = vasprintf(&message, format, args);
    va_end(args);
    ASSERT(size >= 0);
    buf_printf(&kept->text, "%s [RAIL-E%03d]\n", message, (int)code);
    free(message);
    if (place.line > 0)
        excerpt_show(d, &kept->text, place);
    if (hint != NULL)
        buf_printf(&kept->text, "   = hint: %s\n", hint);
}

void
diagnostics_note(struct diagnostics *d, struct place place, const char *text)
{
    if (d->count == 0 || d->count > DIAGNOSTICS_MAX)
        return;
    struct buf *out = &d->kept[d->count - 1].text;
    place_append(d, out, place, "note");
    buf_printf(out, "%s\n", text);
    excerpt_show(d, out, place);
}

static int
place_order(const void *a, const void *b)
{
    const struct place *left = &((const struct diagnostic *)a)->place;
    const struct place *right = &((const struct diagnostic *)b)->place;
    if (left->line != right->line)
        return left->line < right->line ? -1 : 1;
    return (left->column > right->column) - (left->column < right->column);
}

void
diagnostics_print(struct diagnostics *d, struct buf *out)
{
    const size_t kept = kept_count(d);
    if (kept == 0)
        return;
    qsort(d->kept, kept, sizeof(d->kept[0]), place_order);
    for (size_t i = 0; i < kept; i++)
        buf_append_bytes(out, buf_bytes(&d->kept[i].text));
    buf_printf(out, "%zu error%s", d->count, d->count == 1 ? "" : "s");
    if (d->count > kept)
        buf_printf(out, ", of which the first %zu are shown", kept);
    buf_append(out, "\n", 1);
}
