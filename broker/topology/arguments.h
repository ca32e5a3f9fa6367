#ifndef BROKER_TOPOLOGY_ARGUMENTS_H
#define BROKER_TOPOLOGY_ARGUMENTS_H

/*
 * Argument tables of queues, exchanges, bindings and policies between YAML and AMQP. A schema says
 * which keys there are and what they take: sizes and durations may be written with units. Keys that
 * an open schema does not know are taken as they are written: whole numbers, true and false, text,
 * lists and mappings. What YAML has no way to write is a mapping of "@tag" (the octet that AMQP
 * marks the type with) and "@octets" (in hexadecimal). Pure but for ${...}; one thread.
 */

#include "broker/config/yaml_tree.h"

enum argument_form {
    ARGUMENT_COUNT,
    ARGUMENT_MILLISECONDS,
    ARGUMENT_BYTES,
    ARGUMENT_BOOL,
    ARGUMENT_TEXT,
    ARGUMENT_WORD,
    ARGUMENT_IGNORED, /* Read as it is written; a warning says that it has no effect. */
};

struct argument_rule {
    const char *name;
    enum argument_form form;
    int64_t least;
    int64_t most;
    const char *const *words;
};

struct argument_schema {
    const struct argument_rule *rules;
    size_t rule_count;
    bool is_open;      /* Other keys are fine. */
    bool drops_others; /* Otherwise, they are warned of instead of being errors. */
};

extern const struct argument_schema queue_argument_schema;
extern const struct argument_schema exchange_argument_schema;
extern const struct argument_schema binding_argument_schema;
extern const struct argument_schema policy_schema;
extern const struct argument_schema operator_policy_schema;

/* Appends the canonical table of a mapping. `subject` is who has the arguments: queue "q". Text is
 * taken literally unless it `expands`. False after an error that has been reported; out holds
 * nothing of use then. */
bool arguments_read(struct diagnostics *d, const struct tree_node *node,
                    const struct argument_schema *schema, const char *subject, bool expands,
                    struct buf *out);

/* A field of the table as text; false if there is none or it is something else. */
bool arguments_text(struct bytes table, const char *name, struct bytes *out);

/* Whether the table has the field. */
bool arguments_have(struct bytes table, const char *name);

/* Appends a canonical form in which all integers are of one type, as they are equal for AMQP. */
void arguments_identity(struct bytes table, struct buf *out);

/* Appends the table as a YAML mapping in one line; arguments_read makes the same table of it, but
 * for the types of integers. */
void arguments_show(struct bytes table, struct buf *out);

/* Appends a field; one whose name has no address is an element of an array. */
struct table_field;
void argument_append(struct buf *out, const struct table_field *f);

/* The same as arguments_show for one value. */
void argument_show(const struct table_field *f, struct buf *out);

#endif
