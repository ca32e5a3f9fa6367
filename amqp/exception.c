#include "amqp/exception.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct reply_row {
    enum amqp_reply_code code;
    bool hard;
    const char *name;
} reply_rows[] = {
    { AMQP_CONTENT_TOO_LARGE, false, "CONTENT_TOO_LARGE" },
    { AMQP_NO_ROUTE, false, "NO_ROUTE" },
    { AMQP_NO_CONSUMERS, false, "NO_CONSUMERS" },
    { AMQP_CONNECTION_FORCED, true, "CONNECTION_FORCED" },
    { AMQP_INVALID_PATH, true, "INVALID_PATH" },
    { AMQP_ACCESS_REFUSED, false, "ACCESS_REFUSED" },
    { AMQP_NOT_FOUND, false, "NOT_FOUND" },
    { AMQP_RESOURCE_LOCKED, false, "RESOURCE_LOCKED" },
    { AMQP_PRECONDITION_FAILED, false, "PRECONDITION_FAILED" },
    { AMQP_FRAME_ERROR, true, "FRAME_ERROR" },
    { AMQP_SYNTAX_ERROR, true, "SYNTAX_ERROR" },
    { AMQP_COMMAND_INVALID, true, "COMMAND_INVALID" },
    { AMQP_CHANNEL_ERROR, true, "CHANNEL_ERROR" },
    { AMQP_UNEXPECTED_FRAME, true, "UNEXPECTED_FRAME" },
    { AMQP_RESOURCE_ERROR, true, "RESOURCE_ERROR" },
    { AMQP_NOT_ALLOWED, true, "NOT_ALLOWED" },
    { AMQP_NOT_IMPLEMENTED, true, "NOT_IMPLEMENTED" },
    { AMQP_INTERNAL_ERROR, true, "INTERNAL_ERROR" },
};

static const struct reply_row *
reply_find(enum amqp_reply_code code)
{
    for (size_t i = 0; i < sizeof(reply_rows) / sizeof(reply_rows[0]); i++)
        if (reply_rows[i].code == code)
            return &reply_rows[i];
    return NULL;
}

const char *
amqp_reply_name(enum amqp_reply_code code)
{
    const struct reply_row *row = reply_find(code);
    return row == NULL ? "ERROR" : row->name;
}

bool
amqp_code_is_hard(enum amqp_reply_code code)
{
    const struct reply_row *row = reply_find(code);
    return row == NULL || row->hard;
}

bool
amqp_raise(struct amqp_exception *ex, enum amqp_reply_code code, const char *format, ...)
{
    char text[1024]; /* Two names of 255 octets and a sentence around them. */
    const int prefix = snprintf(text, sizeof(text), "%s - ", amqp_reply_name(code));
    va_list args;
    va_start(args, format);
    vsnprintf(text + prefix, sizeof(text) - (size_t)prefix, format, args);
    va_end(args);

    const size_t size = strlen(text);
    if (size > AMQP_SHORTSTR_MAX) {
        memcpy(ex->text, text, 252);
        memcpy(ex->text + 252, "...", 4);
    } else {
        memcpy(ex->text, text, size + 1);
    }
    ex->code = code;
    return false;
}
