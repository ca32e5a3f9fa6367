#ifndef BROKER_CONFIG_DIAGNOSTICS_H
#define BROKER_CONFIG_DIAGNOSTICS_H

/*
 * Errors in a text file, collected and shown as compilers do: FILE:LINE:COLUMN, what is wrong, a
 * code to search for, the line itself and a caret. All errors of a file, and of those it includes,
 * are shown in one go, in the order of the files, up to DIAGNOSTICS_MAX; warnings likewise. One
 * thread.
 */

#include "broker/base/buf.h"

#define DIAGNOSTICS_MAX 20

/* The codes are for people to search for, so a number is never used again for something else. */
enum diagnostic_code {
    DIAGNOSTIC_FILE = 1,            /* The file cannot be read. */
    DIAGNOSTIC_SYNTAX = 2,          /* Not YAML. */
    DIAGNOSTIC_DUPLICATE = 3,       /* The same key or object twice. */
    DIAGNOSTIC_UNKNOWN_KEY = 4,     /* A key this version does not know. */
    DIAGNOSTIC_TAG = 5,             /* A YAML tag. */
    DIAGNOSTIC_ALIAS = 6,           /* A YAML alias without anchor, or too many. */
    DIAGNOSTIC_ENVIRONMENT = 7,     /* ${env:} without a value. */
    DIAGNOSTIC_EXPANSION_FILE = 8,  /* ${file:} or ${cred:} that cannot be read. */
    DIAGNOSTIC_EXPANSION = 9,       /* ${...} that is not well formed. */
    DIAGNOSTIC_DEPTH = 10,          /* Nested too deeply. */
    DIAGNOSTIC_SHAPE = 11,          /* A mapping, list or value where another is due. */
    DIAGNOSTIC_SECTION_LATER = 12,  /* A section that this version does not read. */
    DIAGNOSTIC_MISSING = 13,        /* A key that must be there. */
    DIAGNOSTIC_SCHEMA = 14,         /* A version of the file format that is not known. */
    DIAGNOSTIC_DOCUMENTS = 15,      /* More than one YAML document. */
    DIAGNOSTIC_VALUE = 21,          /* A value of the wrong form. */
    DIAGNOSTIC_RANGE = 22,          /* A value too small or too large, a list too short or long. */
    DIAGNOSTIC_PATTERN = 23,        /* A regular expression that does not compile. */
    DIAGNOSTIC_ARGUMENT = 24,       /* An argument that the broker refuses. */
    DIAGNOSTIC_NAME = 25,           /* A name that is reserved, too long or not text. */
    DIAGNOSTIC_CONFLICT = 26,       /* Keys that exclude each other. */
    DIAGNOSTIC_INCLUDE = 27,        /* An include that cannot be followed. */
    DIAGNOSTIC_UNKNOWN_OBJECT = 34, /* A name of something that is not declared. */
    DIAGNOSTIC_TLS = 41,            /* A certificate or key that does not do. */
    DIAGNOSTIC_UNDECLARED = 101,    /* A warning: the name may be declared at run time. */
    DIAGNOSTIC_DEAD_LETTER = 102,   /* A warning: dead letters that go nowhere. */
    DIAGNOSTIC_CYCLE = 103,         /* A warning: dead letters that come back. */
    DIAGNOSTIC_UNREACHABLE = 104,   /* A warning: a queue that no exchange leads to. */
    DIAGNOSTIC_IGNORED = 105,       /* A warning: something that is read and has no effect. */
    DIAGNOSTIC_TLS_CARE = 106, /* A warning: a certificate or key that needs to be looked to. */
};

/* Where in a file; lines and columns count from 1, in characters. Line 0 means the whole file. */
struct place {
    size_t line;
    size_t column;
    size_t width;    /* Characters on this line; at least 1. */
    unsigned source; /* Which of the files, in the order of diagnostics_enter. */
};

struct diagnostic_source {
    const char *file;    /* Borrowed. */
    struct bytes source; /* Borrowed; the content of the file. */
};

struct diagnostic {
    struct place place;
    enum diagnostic_code code;
    bool is_warning;
    struct buf path;    /* Which value, as far as the reader has said. */
    struct buf message; /* The first line without its place. */
    struct buf text;    /* As shown, with line ends. */
};

struct diagnostics {
    struct diagnostic_source *sources;
    unsigned current; /* The file that is being read. */
    unsigned source_count;
    bool hides_long_lines;   /* Somebody's passwords may be beside what is meant. */
    size_t count;            /* All errors, also those not kept. */
    size_t warning_count;    /* The same for warnings. */
    size_t kept_count;       /* At most DIAGNOSTICS_MAX of each. */
    struct diagnostic *last; /* What a note belongs to; NULL: it is not kept. */
    struct buf path;         /* Of the value that is being read. */
    struct diagnostic kept[2 * DIAGNOSTICS_MAX];
};

/* With one file, which is being read. */
void diagnostics_init(struct diagnostics *d, const char *file, struct bytes source);
void diagnostics_fini(struct diagnostics *d);

/* Another file, which is being read from now on. Its number, for struct place. */
unsigned diagnostics_enter(struct diagnostics *d, const char *file, struct bytes source);

const struct diagnostic_source *diagnostics_source(const struct diagnostics *d);

/* `hint` may be NULL. */
void diagnostics_error(struct diagnostics *d, enum diagnostic_code code, struct place place,
                       const char *hint, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* What is allowed and looks like a mistake. */
void diagnostics_warning(struct diagnostics *d, enum diagnostic_code code, struct place place,
                         const char *hint, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* A second place that belongs to the last error or warning. */
void diagnostics_note(struct diagnostics *d, struct place place, const char *text);

/* The path grows by a key, which is quoted if it needs to be; the result shortens it again. */
size_t diagnostics_path_push(struct diagnostics *d, struct bytes key);
void diagnostics_path_pop(struct diagnostics *d, size_t size);

/* Appends everything, and how many errors and warnings there were. */
void diagnostics_print(struct diagnostics *d, struct buf *out);

/* Appends an array of objects with file, line, column, severity, code, path and message. */
void diagnostics_print_json(struct diagnostics *d, struct buf *out);

#endif
