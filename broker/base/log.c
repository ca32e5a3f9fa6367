#include "broker/base/log.h"

#include "broker/base/clock.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define LOG_LINE_MAX 1024

static enum log_level log_level_min = LOG_LEVEL_INFO;

void
log_set_level(enum log_level level)
{
    log_level_min = level;
}

bool
log_enabled(enum log_level level)
{
    return level >= log_level_min;
}

static int
log_prefix(char *line, size_t size, enum log_level level, const char *event)
{
    static const char *const names[] = {
        [LOG_LEVEL_DEBUG] = "debug",
        [LOG_LEVEL_INFO] = "info",
        [LOG_LEVEL_WARNING] = "warning",
        [LOG_LEVEL_ERROR] = "error",
    };
    const uint64_t now_us = clock_wall_us();
    const time_t seconds = (time_t)(now_us / 1000000u);
    struct tm utc;
    gmtime_r(&seconds, &utc);
    return snprintf(line, size, "ts=%04d-%02d-%02dT%02d:%02d:%02d.%06uZ level=%s event=%s ",
                    utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min,
                    utc.tm_sec, (unsigned)(now_us % 1000000u), names[level], event);
}

void
log_write(enum log_level level, const char *event, const char *format, ...)
{
    if (!log_enabled(level))
        return;
    char line[LOG_LINE_MAX];
    size_t used = (size_t)log_prefix(line, sizeof(line), level, event);
    va_list args;
    va_start(args, format);
    const int more = vsnprintf(line + used, sizeof(line) - used - 1, format, args);
    va_end(args);
    used += more > 0 ? (size_t)more : 0;
    if (used > sizeof(line) - 2)
        used = sizeof(line) - 2;
    line[used++] = '\n';
    /* A log that cannot be written has nowhere to say so. */
    const ssize_t written = write(STDERR_FILENO, line, used);
    (void)written;
}

const char *
log_quote(struct bytes text, char *out, size_t out_size)
{
    static const char hex[] = "0123456789abcdef";
    size_t used = 0;
    for (size_t i = 0; i < text.size; i++) {
        if (used + 8 >= out_size) {
            memcpy(out + used, "...", 3);
            used += 3;
            break;
        }
        const uint8_t c = text.data[i];
        if (c >= 0x20 && c < 0x7F && c != '"' && c != '\\') {
            out[used++] = (char)c;
            continue;
        }
        out[used++] = '\\';
        out[used++] = 'x';
        out[used++] = hex[c >> 4];
        out[used++] = hex[c & 15];
    }
    out[used] = 0;
    return out;
}
