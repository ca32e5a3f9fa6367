#include "broker/config/yaml_write.h"

bool
yaml_can_write(struct bytes text)
{
    return bytes_are_utf8(text);
}

/* Few enough that no reader of YAML, of whatever version, sees anything but text: it begins with a
 * letter or one of "/_", and is none of the words for truth or nothing. */
static bool
is_plain(struct bytes text)
{
    static const char *const words[] = {
        "true", "false", "yes", "no", "on", "off", "null", "y", "n"
    };
    if (text.size == 0 || text.size > 200)
        return false;
    for (size_t i = 0; i < text.size; i++) {
        const uint8_t c = text.data[i];
        const bool letter =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '/';
        const bool inner = (c >= '0' && c <= '9') || c == '-' || c == '.';
        if (!letter && (i == 0 || !inner))
            return false;
    }
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (text.size == strlen(words[i]) &&
            strncasecmp((const char *)text.data, words[i], text.size) == 0)
            return false;
    return true;
}

/* The code point that starts here, of valid UTF-8, and its length. */
static uint32_t
code_point(const uint8_t *at, size_t *length)
{
    if (at[0] < 0x80) {
        *length = 1;
        return at[0];
    }
    *length = at[0] < 0xE0 ? 2 : at[0] < 0xF0 ? 3 : 4;
    uint32_t value = at[0] & (0xFFu >> (*length + 1));
    for (size_t i = 1; i < *length; i++)
        value = value << 6 | (at[i] & 0x3Fu);
    return value;
}

/* Line ends of any kind would be folded, the others are not allowed. */
static bool
needs_escape(uint32_t c)
{
    return c < 0x20 || (c >= 0x7F && c < 0xA0) || c == 0x2028 || c == 0x2029 || c == 0xFEFF ||
           c == 0xFFFE || c == 0xFFFF;
}

static void
write_quoted(struct buf *out, struct bytes text, bool doubles_dollar)
{
    buf_append(out, "\"", 1);
    for (size_t i = 0; i < text.size;) {
        size_t length;
        const uint32_t c = code_point(text.data + i, &length);
        if (c == '"' || c == '\\')
            buf_printf(out, "\\%c", (char)c);
        else if (needs_escape(c))
            buf_printf(out, "\\u%04x", c);
        else if (c == '$' && doubles_dollar)
            buf_append(out, "$$", 2);
        else
            buf_append(out, text.data + i, length);
        i += length;
    }
    buf_append(out, "\"", 1);
}

void
yaml_write_key(struct buf *out, struct bytes text)
{
    if (is_plain(text))
        buf_append_bytes(out, text);
    else
        write_quoted(out, text, false);
}

void
yaml_write_text(struct buf *out, struct bytes text)
{
    if (is_plain(text))
        buf_append_bytes(out, text);
    else
        write_quoted(out, text, true);
}
