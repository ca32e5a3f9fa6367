#include "broker/config/expand.h"

#include "broker/config/file.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define EXPAND_FILE_MAX 65536
#define EXPAND_NAME_MAX 255

static bool problem_fill(struct expand_problem *problem, enum diagnostic_code code,
                         const char *hint, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static bool
problem_fill(struct expand_problem *problem, enum diagnostic_code code, const char *hint,
             const char *format, ...)
{
    problem->code = code;
    problem->hint = hint;
    va_list args;
    va_start(args, format);
    vsnprintf(problem->text, sizeof(problem->text), format, args);
    va_end(args);
    return false;
}

static bool
is_variable_name(struct bytes name)
{
    for (size_t i = 0; i < name.size; i++) {
        const uint8_t c = name.data[i];
        const bool letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
        if (!letter && (i == 0 || c < '0' || c > '9'))
            return false;
    }
    return name.size > 0 && name.size <= EXPAND_NAME_MAX;
}

/* As in the shell, a default also stands in for an empty variable. */
static bool
expand_env(struct bytes argument, struct buf *out, struct expand_problem *problem)
{
    const uint8_t *dash = argument.size == 0 ? NULL : memmem(argument.data, argument.size, ":-", 2);
    const size_t size = dash == NULL ? argument.size : (size_t)(dash - argument.data);
    char name[EXPAND_NAME_MAX + 1];
    if (!is_variable_name(bytes_of(argument.data, size)))
        return problem_fill(problem, DIAGNOSTIC_EXPANSION,
                            "write ${env:NAME} or ${env:NAME:-default}",
                            "${env:...} has no valid variable name");
    memcpy(name, argument.data, size);
    name[size] = 0;
    const char *value = getenv(name);
    if (dash != NULL && (value == NULL || *value == 0)) {
        buf_append(out, dash + 2, argument.size - size - 2);
        return true;
    }
    if (value == NULL)
        return problem_fill(problem, DIAGNOSTIC_ENVIRONMENT, NULL,
                            "environment variable %s is not set", name);
    buf_append(out, value, strlen(value));
    return true;
}

/* The line end that editors and echo leave at the end of a file is not part of the value. */
static bool
expand_path(const char *path, struct buf *out, struct expand_problem *problem)
{
    const size_t start = out->size;
    if (!file_read(path, EXPAND_FILE_MAX, out))
        return problem_fill(problem, DIAGNOSTIC_EXPANSION_FILE, NULL,
                            "file %.300s cannot be read: %s", path, strerror(errno));
    if (out->size > start && out->data[out->size - 1] == '\n')
        out->size--;
    return true;
}

static bool
expand_file(struct bytes argument, struct buf *out, struct expand_problem *problem)
{
    char path[PATH_MAX];
    if (argument.size == 0 || argument.data[0] != '/' || argument.size >= sizeof(path))
        return problem_fill(problem, DIAGNOSTIC_EXPANSION, "write ${file:/path/of/the/file}",
                            "${file:...} needs an absolute path");
    memcpy(path, argument.data, argument.size);
    path[argument.size] = 0;
    return expand_path(path, out, problem);
}

static bool
expand_cred(struct bytes argument, struct buf *out, struct expand_problem *problem)
{
    const char *directory = getenv("CREDENTIALS_DIRECTORY");
    if (argument.size == 0 || memchr(argument.data, '/', argument.size) != NULL)
        return problem_fill(problem, DIAGNOSTIC_EXPANSION, "write ${cred:name}",
                            "${cred:...} needs the name of a credential");
    if (directory == NULL)
        return problem_fill(problem, DIAGNOSTIC_ENVIRONMENT,
                            "run as a systemd service with LoadCredential=",
                            "environment variable CREDENTIALS_DIRECTORY is not set");
    char path[PATH_MAX];
    const int size = snprintf(path, sizeof(path), "%s/%.*s", directory, BYTES_ARGS(argument));
    if (size < 0 || (size_t)size >= sizeof(path))
        return problem_fill(problem, DIAGNOSTIC_EXPANSION, NULL, "${cred:...} is too long");
    return expand_path(path, out, problem);
}

static const struct {
    const char *prefix;
    bool (*expand)(struct bytes argument, struct buf *out, struct expand_problem *problem);
} expand_sources[] = {
    { "env:", expand_env },
    { "file:", expand_file },
    { "cred:", expand_cred },
};

/* `inside` is what stands between the braces. */
static bool
expand_reference(struct bytes inside, struct buf *out, struct expand_problem *problem)
{
    for (size_t i = 0; i < sizeof(expand_sources) / sizeof(expand_sources[0]); i++) {
        const struct bytes prefix = bytes_of_string(expand_sources[i].prefix);
        if (!bytes_start_with(inside, prefix))
            continue;
        const struct bytes argument =
            bytes_of(inside.data + prefix.size, inside.size - prefix.size);
        return expand_sources[i].expand(argument, out, problem);
    }
    return problem_fill(problem, DIAGNOSTIC_EXPANSION,
                        "write ${env:NAME}, ${file:/path} or ${cred:name}, or $${ for a plain ${",
                        "${...} names no source of a value");
}

bool
expand_needed(struct bytes text)
{
    return text.size > 0 && memchr(text.data, '$', text.size) != NULL;
}

bool
expand(struct bytes text, struct buf *out, struct expand_problem *problem)
{
    for (size_t i = 0; i < text.size;) {
        const struct bytes rest = bytes_of(text.data + i, text.size - i);
        if (bytes_start_with(rest, BYTES_LITERAL("$$"))) {
            buf_append(out, "$", 1);
            i += 2;
        } else if (bytes_start_with(rest, BYTES_LITERAL("${"))) {
            const uint8_t *end = memchr(rest.data, '}', rest.size);
            if (end == NULL)
                return problem_fill(problem, DIAGNOSTIC_EXPANSION, "write $${ for a plain ${",
                                    "${ has no closing }");
            const struct bytes inside = bytes_of(rest.data + 2, (size_t)(end - rest.data) - 2);
            if (!expand_reference(inside, out, problem))
                return false;
            i += inside.size + 3;
        } else {
            buf_append(out, rest.data, 1);
            i++;
        }
    }
    return true;
}
