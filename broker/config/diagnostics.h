#ifndef BROKER_CONFIG_DIAGNOSTICS_H
#define BROKER_CONFIG_DIAGNOSTICS_H

/*
 * Errors in a text file, collected and shown as compilers do: FILE:LINE:COLUMN, what is wrong, a
 * code to search for, the line itself and a caret. All of a file's errors are shown in one go, in
 * the order of the file, up to DIAGNOSTICS_MAX. One thread.
 */

#include "broker/base/buf.h"

#define DIAGNOSTICS_MAX 20

/* The codes are for people to search for, so a number is never used again for something else. */
enum diagnostic_code {
    DIAGNOSTIC_FILE = 1,           /* The file cannot be read. */
    DIAGNOSTIC_SYNTAX = 2,         /* Not YAML. */
    DIAGNOSTIC_DUPLICATE = 3,      /* The same key or object twice. */
    DIAGNOSTIC_UNKNOWN_KEY = 4,    /* A key this version does not know. */
    DIAGNOSTIC_TAG = 5,            /* A YAML tag. */
    DIAGNOSTIC_ALIAS = 6,          /* A YAML alias without anchor, or too many. */
    DIAGNOSTIC_ENVIRONMENT = 7,    /* ${env:} without a value. */
    DIAGNOSTIC_EXPANSION_FILE = 8, /* ${file:} or ${cred:} that cannot be read. */
    DIAGNOSTIC_EXPANSION = 9,      /* ${...} that is not well formed. */
    DIAGNOSTIC_DEPTH = 10,         /* Nested too deeply. */
    DIAGNOSTIC_SHAPE = 11,         /* A mapping, list or value where another is due. */
    DIAGNOSTIC_SECTION_LATER = 12, /* A section that this version does not read. */
    DIAGNOSTIC_MISSING = 13,       /* A key that must be there. */
    DIAGNOSTIC_SCHEMA = 14,        /* A version of the file format that is not known. */
    DIAGNOSTIC_DOCUMENTS = 15,     /* More than one YAML document. */
    DIAGNOSTIC_VALUE = 21,         /* A value of the wrong form. */
    DIAGNOSTIC_RANGE = 22,         /* A value too small or too large, a list too short or long. */
};

/* Where in the file; lines and columns count from 1, in characters. Line 0 means the whole file. */
struct place {
    size_t line;
    size_t column;
    size_t width; /* Characters on this line; at least 1. */
};

struct diagnostic {
    struct place place;
    struct buf text; /* As shown, with line ends. */
};

struct diagnostics {
    const char *file;    /* Borrowed. */
    struct bytes source; /* Borrowed; the content of the file. */
    size_t count;        /* All errors, also those beyond DIAGNOSTICS_MAX. */
    struct diagnostic kept[DIAGNOSTICS_MAX];
};

void diagnostics_init(struct diagnostics *d, const char *file, struct bytes source);
void diagnostics_fini(struct diagnostics *d);

/* `hint` may be NULL. */
void diagnostics_error(struct diagnostics *d, enum diagnostic_code code, struct place place,
                       const char *hint, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* A second place that belongs to the last error. */
void diagnostics_note(struct diagnostics *d, struct place place, const char *text);

/* Appends everything, and how many errors there were. */
void diagnostics_print(struct diagnostics *d, struct buf *out);

#endif
