#include "broker/base/log_line.h"

#include <stdio.h>
#include <time.h>

#define EVENT_MAX 64

static const char *const level_names[] = {
    [LOG_LEVEL_DEBUG] = "debug",
    [LOG_LEVEL_INFO] = "info",
    [LOG_LEVEL_WARNING] = "warning",
    [LOG_LEVEL_ERROR] = "error",
};

/* The line as far as it is written. Sizes have been worked out so that all fits. */
struct writer {
    char *at;
    char *end;
};

static void
put_bytes(struct writer *w, struct bytes text)
{
    const size_t room = (size_t)(w->end - w->at);
    const size_t size = text.size < room ? text.size : room;
    if (size > 0)
        memcpy(w->at, text.data, size);
    w->at += size;
}

static void
put(struct writer *w, const char *text)
{
    put_bytes(w, bytes_of_string(text));
}

static void
put_time(struct writer *w, uint64_t wall_us)
{
    char text[64];
    const time_t seconds = (time_t)(wall_us / 1000000u);
    struct tm utc;
    gmtime_r(&seconds, &utc);
    snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02d.%06uZ", utc.tm_year + 1900,
             utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec,
             (unsigned)(wall_us % 1000000u));
    put(w, text);
}

/* Octets of the well-formed UTF-8 character at the front; 0 if there is none. */
static size_t
character_size(struct bytes text)
{
    for (size_t size = 1; size <= 4 && size <= text.size; size++)
        if (bytes_are_utf8(bytes_of(text.data, size)))
            return size;
    return 0;
}

static void
put_character(struct writer *w, struct bytes c)
{
    char escape[8];
    const bool is_c1 = c.size == 2 && c.data[0] == 0xC2 && c.data[1] < 0xA0;
    if (c.data[0] == '"' || c.data[0] == '\\') {
        put(w, "\\");
        put_bytes(w, c);
    } else if (c.data[0] < 0x20 || c.data[0] == 0x7F || is_c1) {
        snprintf(escape, sizeof(escape), "\\u%04x", c.data[c.size - 1]);
        put(w, escape);
    } else {
        put_bytes(w, c);
    }
}

static int
hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Undoes log_quote: "\xNN" is an octet. Everything else stands for itself. */
static struct bytes
unquote(struct bytes text, uint8_t *out)
{
    size_t size = 0;
    for (size_t i = 0; i < text.size; i++) {
        const bool is_escape = text.size - i >= 4 && text.data[i] == '\\' &&
                               text.data[i + 1] == 'x' && hex_digit(text.data[i + 2]) >= 0 &&
                               hex_digit(text.data[i + 3]) >= 0;
        if (is_escape) {
            out[size++] = (uint8_t)(hex_digit(text.data[i + 2]) << 4 | hex_digit(text.data[i + 3]));
            i += 3;
        } else {
            out[size++] = text.data[i];
        }
    }
    return bytes_of(out, size);
}

/* As in a JSON string, which is also how logfmt is read. */
static void
put_escaped(struct writer *w, struct bytes text)
{
    while (text.size > 0) {
        const size_t size = character_size(text);
        if (size == 0)
            put(w, "\xEF\xBF\xBD");
        else
            put_character(w, bytes_of(text.data, size));
        const size_t used = size == 0 ? 1 : size;
        text = bytes_of(text.data + used, text.size - used);
    }
}

struct pair {
    struct bytes key;
    struct bytes value;
    bool is_quoted;
};

static bool
is_key_octet(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.';
}

static size_t
key_size(struct bytes text)
{
    size_t size = 0;
    while (size < text.size && is_key_octet(text.data[size]))
        size++;
    return size > 0 && size < text.size && text.data[size] == '=' ? size : 0;
}

/* A value in quotes goes up to one behind which the line ends or the next pair begins: an error
 * text of a library may have quotes of its own. */
static size_t
quoted_size(struct bytes text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] != '"')
            continue;
        const struct bytes rest = bytes_of(text.data + i + 1, text.size - i - 1);
        if (rest.size == 0 ||
            (rest.data[0] == ' ' && key_size(bytes_of(rest.data + 1, rest.size - 1)) > 0))
            return i;
    }
    return text.size;
}

static struct bytes
skip(struct bytes text, size_t size)
{
    return size < text.size ? bytes_of(text.data + size, text.size - size) : BYTES_NONE;
}

/* What is no pair becomes one with the key "text". */
static bool
next_pair(struct bytes *text, struct pair *out)
{
    while (text->size > 0 && text->data[0] == ' ')
        *text = skip(*text, 1);
    if (text->size == 0)
        return false;
    const size_t size = key_size(*text);
    out->key = size == 0 ? BYTES_LITERAL("text") : bytes_of(text->data, size);
    if (size > 0)
        *text = skip(*text, size + 1);
    out->is_quoted = text->size > 0 && text->data[0] == '"';
    if (out->is_quoted) {
        *text = skip(*text, 1);
        const size_t value_size = quoted_size(*text);
        out->value = bytes_of(text->data, value_size);
        *text = skip(*text, value_size + 1);
        return true;
    }
    const uint8_t *space = text->size == 0 ? NULL : memchr(text->data, ' ', text->size);
    const size_t value_size = space == NULL ? text->size : (size_t)(space - text->data);
    out->value = bytes_of(text->data, value_size);
    *text = skip(*text, value_size);
    return true;
}

/* A number as JSON writes it: digits without a leading zero, maybe after a minus. */
static bool
is_number(struct bytes text)
{
    size_t i = text.size > 0 && text.data[0] == '-' ? 1 : 0;
    const size_t first = i;
    for (; i < text.size; i++)
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
    /* Beyond 15 digits programs that read floating point would change it. */
    return i > first && i - first <= 15 && (text.data[first] != '0' || i - first == 1);
}

static bool
is_plain(struct bytes text)
{
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] <= ' ' || text.data[i] >= 0x7F || text.data[i] == '"' ||
            text.data[i] == '=' || text.data[i] == '\\')
            return false;
    return text.size > 0;
}

static void
put_value(struct writer *w, const struct pair *pair, enum log_format format)
{
    uint8_t octets[LOG_PAIRS_MAX];
    const struct bytes value = unquote(pair->value, octets);
    const bool is_json = format == LOG_FORMAT_JSON;
    const bool is_bare =
        !pair->is_quoted && (is_json ? is_number(value) : (is_plain(value) || value.size == 0));
    if (is_bare) {
        put_bytes(w, value);
        return;
    }
    put(w, "\"");
    put_escaped(w, value);
    put(w, "\"");
}

static void
render_logfmt(struct writer *w, const struct log_line *line)
{
    struct bytes rest = line->pairs;
    struct pair pair;
    put(w, "ts=");
    put_time(w, line->wall_us);
    put(w, " level=");
    put(w, level_names[line->level]);
    put(w, " event=");
    put_bytes(w, bytes_of(line->event, strnlen(line->event, EVENT_MAX)));
    while (next_pair(&rest, &pair)) {
        put(w, " ");
        put_bytes(w, pair.key);
        put(w, "=");
        put_value(w, &pair, LOG_FORMAT_LOGFMT);
    }
}

static void
render_json(struct writer *w, const struct log_line *line)
{
    struct bytes rest = line->pairs;
    struct pair pair;
    put(w, "{\"ts\":\"");
    put_time(w, line->wall_us);
    put(w, "\",\"level\":\"");
    put(w, level_names[line->level]);
    put(w, "\",\"event\":\"");
    put_escaped(w, bytes_of(line->event, strnlen(line->event, EVENT_MAX)));
    put(w, "\"");
    while (next_pair(&rest, &pair)) {
        put(w, ",\"");
        put_escaped(w, pair.key);
        put(w, "\":");
        put_value(w, &pair, LOG_FORMAT_JSON);
    }
    put(w, "}");
}

/* The sentence, or the event where there is none; then the pairs. */
static void
render_text(struct writer *w, const struct log_line *line)
{
    struct bytes rest = line->pairs;
    struct pair pair;
    bool has_sentence = false;
    put_time(w, line->wall_us);
    put(w, " [");
    put(w, level_names[line->level]);
    put(w, "] ");
    while (!has_sentence && next_pair(&rest, &pair)) {
        uint8_t octets[LOG_PAIRS_MAX];
        has_sentence = bytes_equal(pair.key, BYTES_LITERAL("msg"));
        if (has_sentence)
            put_escaped(w, unquote(pair.value, octets));
    }
    if (!has_sentence)
        put_bytes(w, bytes_of(line->event, strnlen(line->event, EVENT_MAX)));
    rest = line->pairs;
    while (next_pair(&rest, &pair)) {
        if (bytes_equal(pair.key, BYTES_LITERAL("msg")))
            continue;
        put(w, " ");
        put_bytes(w, pair.key);
        put(w, "=");
        put_value(w, &pair, LOG_FORMAT_TEXT);
    }
}

size_t
log_line_render(const struct log_line *line, enum log_format format, char *out)
{
    struct writer w = { .at = out, .end = out + LOG_LINE_MAX - 1 };
    switch (format) {
    case LOG_FORMAT_LOGFMT:
        render_logfmt(&w, line);
        break;
    case LOG_FORMAT_JSON:
        render_json(&w, line);
        break;
    case LOG_FORMAT_TEXT:
        render_text(&w, line);
        break;
    }
    *w.at++ = '\n';
    return (size_t)(w.at - out);
}
