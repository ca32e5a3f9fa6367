#include "broker/config/diagnostics.h"

#include "broker/base/mem.h"
#include "broker/base/panic.h"
#include "broker/config/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* A file may be one long line; this much of it is shown, and so much of it before the place. */
#define EXCERPT_COLUMNS 100
#define EXCERPT_BEFORE 60

void
diagnostics_init(struct diagnostics *d, const char *file, struct bytes source)
{
    *d = (struct diagnostics){ 0 };
    diagnostics_enter(d, file, source);
}

unsigned
diagnostics_enter(struct diagnostics *d, const char *file, struct bytes source)
{
    d->sources = mem_resize(d->sources, (d->source_count + 1) * sizeof(d->sources[0]));
    d->sources[d->source_count] = (struct diagnostic_source){ file, source };
    d->current = d->source_count++;
    return d->current;
}

const struct diagnostic_source *
diagnostics_source(const struct diagnostics *d)
{
    return &d->sources[d->current];
}

void
diagnostics_fini(struct diagnostics *d)
{
    for (size_t i = 0; i < d->kept_count; i++) {
        buf_fini(&d->kept[i].path);
        buf_fini(&d->kept[i].message);
        buf_fini(&d->kept[i].text);
    }
    buf_fini(&d->path);
    mem_free(d->sources);
    *d = (struct diagnostics){ 0 };
}

size_t
diagnostics_path_push(struct diagnostics *d, struct bytes key)
{
    const size_t size = d->path.size;
    bool is_plain = key.size > 0;
    for (size_t i = 0; i < key.size; i++) {
        const uint8_t c = key.data[i];
        is_plain = is_plain && c > ' ' && c != '.' && c != '"' && c != 0x7F;
    }
    if (size > 0 && (key.size == 0 || key.data[0] != '['))
        buf_append(&d->path, ".", 1);
    if (is_plain)
        buf_append_bytes(&d->path, key);
    else
        text_quote(&d->path, key);
    return size;
}

void
diagnostics_path_pop(struct diagnostics *d, size_t size)
{
    d->path.size = size;
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
    const struct bytes line = source_line(d->sources[place.source].source, place.line);
    if (line.size == 0 || (d->hides_long_lines && line.size > EXCERPT_COLUMNS))
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
    const char *file = d->sources[place.source].file;
    if (place.line == 0)
        buf_printf(out, "%s: %s: ", file, word);
    else
        buf_printf(out, "%s:%zu:%zu: %s: ", file, place.line, place.column, word);
}

static void __attribute__((format(printf, 5, 0)))
diagnostic_render(struct diagnostics *d, struct diagnostic *kept, struct place place,
                  const char *hint, const char *format, va_list args)
{
    char *message = NULL;
    const int size = vasprintf(&message, format, args);
    ASSERT(size >= 0);
    buf_append(&kept->message, message, (size_t)size);
    free(message);
    buf_append_bytes(&kept->path, buf_bytes(&d->path));
    place_append(d, &kept->text, place, kept->is_warning ? "warning" : "error");
    buf_printf(&kept->text, "%.*s [RAIL-%c%03d]\n", BYTES_ARGS(buf_bytes(&kept->message)),
               kept->is_warning ? 'W' : 'E', (int)kept->code);
    if (place.line > 0)
        excerpt_show(d, &kept->text, place);
    if (hint != NULL)
        buf_printf(&kept->text, "   = hint: %s\n", hint);
}

static struct diagnostic *
diagnostic_keep(struct diagnostics *d, enum diagnostic_code code, struct place place,
                bool is_warning)
{
    size_t *count = is_warning ? &d->warning_count : &d->count;
    d->last = NULL;
    if ((*count)++ >= DIAGNOSTICS_MAX)
        return NULL;
    d->last = &d->kept[d->kept_count++];
    *d->last = (struct diagnostic){ .place = place, .code = code, .is_warning = is_warning };
    return d->last;
}

void
diagnostics_error(struct diagnostics *d, enum diagnostic_code code, struct place place,
                  const char *hint, const char *format, ...)
{
    struct diagnostic *kept = diagnostic_keep(d, code, place, false);
    if (kept == NULL)
        return;
    va_list args;
    va_start(args, format);
    diagnostic_render(d, kept, place, hint, format, args);
    va_end(args);
}

void
diagnostics_warning(struct diagnostics *d, enum diagnostic_code code, struct place place,
                    const char *hint, const char *format, ...)
{
    struct diagnostic *kept = diagnostic_keep(d, code, place, true);
    if (kept == NULL)
        return;
    va_list args;
    va_start(args, format);
    diagnostic_render(d, kept, place, hint, format, args);
    va_end(args);
}

void
diagnostics_note(struct diagnostics *d, struct place place, const char *text)
{
    if (d->last == NULL)
        return;
    struct buf *out = &d->last->text;
    place_append(d, out, place, "note");
    buf_printf(out, "%s\n", text);
    excerpt_show(d, out, place);
}

static int
place_order(const void *a, const void *b)
{
    const struct place *left = &((const struct diagnostic *)a)->place;
    const struct place *right = &((const struct diagnostic *)b)->place;
    if (left->source != right->source)
        return left->source < right->source ? -1 : 1;
    if (left->line != right->line)
        return left->line < right->line ? -1 : 1;
    return (left->column > right->column) - (left->column < right->column);
}

static void
diagnostics_sort(struct diagnostics *d)
{
    d->last = NULL;
    if (d->kept_count > 1)
        qsort(d->kept, d->kept_count, sizeof(d->kept[0]), place_order);
}

static void
count_append(struct buf *out, size_t count, const char *what)
{
    buf_printf(out, "%zu %s%s", count, what, count == 1 ? "" : "s");
    if (count > DIAGNOSTICS_MAX)
        buf_printf(out, ", of which the first %d are shown", DIAGNOSTICS_MAX);
}

void
diagnostics_print(struct diagnostics *d, struct buf *out)
{
    if (d->kept_count == 0)
        return;
    diagnostics_sort(d);
    for (size_t i = 0; i < d->kept_count; i++)
        buf_append_bytes(out, buf_bytes(&d->kept[i].text));
    if (d->count > 0)
        count_append(out, d->count, "error");
    if (d->count > 0 && d->warning_count > 0)
        buf_append(out, ", ", 2);
    if (d->warning_count > 0)
        count_append(out, d->warning_count, "warning");
    buf_append(out, "\n", 1);
}

void
diagnostics_print_json(struct diagnostics *d, struct buf *out)
{
    diagnostics_sort(d);
    buf_printf(out, "[");
    for (size_t i = 0; i < d->kept_count; i++) {
        const struct diagnostic *kept = &d->kept[i];
        buf_printf(out, "%s\n  {\"file\": ", i == 0 ? "" : ",");
        text_json(out, bytes_of_string(d->sources[kept->place.source].file));
        buf_printf(out, ", \"line\": %zu, \"column\": %zu, \"severity\": \"%s\"", kept->place.line,
                   kept->place.column, kept->is_warning ? "warning" : "error");
        buf_printf(out, ", \"code\": \"RAIL-%c%03d\", \"path\": ", kept->is_warning ? 'W' : 'E',
                   (int)kept->code);
        text_json(out, buf_bytes(&kept->path));
        buf_printf(out, ", \"message\": ");
        text_json(out, buf_bytes(&kept->message));
        buf_printf(out, "}");
    }
    buf_printf(out, "%s]\n", d->kept_count == 0 ? "" : "\n");
}
