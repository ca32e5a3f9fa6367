#ifndef BROKER_TOPOLOGY_TOPOLOGY_H
#define BROKER_TOPOLOGY_TOPOLOGY_H

/*
 * What exists, or is to exist: virtual hosts, users, permissions, exchanges, queues, bindings and
 * policies, as plain data. It comes from the configuration, from a running broker or from
 * RabbitMQ's definitions; it is compared (plan.h), applied (apply.h) and written (write.h).
 *
 * An item is a kind, the names that tell it apart, and one value for each field of its kind. Values
 * are octets in one canonical form, so that equal values are equal octets: "true" and "false",
 * decimal numbers, sorted lists with a line end behind each element, and field tables. What the
 * fields are stands in topology_kinds; reader, writer and comparison all go by it.
 *
 * A topology owns everything it points to. One thread at a time.
 */

#include "broker/base/arena.h"
#include "broker/config/diagnostics.h"
#include "broker/topology/arguments.h"

#define TOPOLOGY_FIELDS_MAX 6

/* In the order in which they are made; they are removed in the opposite one. */
enum topology_kind {
    TOPOLOGY_VHOST,
    TOPOLOGY_USER,
    TOPOLOGY_PERMISSION,
    TOPOLOGY_TOPIC_PERMISSION,
    TOPOLOGY_EXCHANGE,
    TOPOLOGY_QUEUE,
    TOPOLOGY_BINDING,
    TOPOLOGY_POLICY,
    TOPOLOGY_OPERATOR_POLICY,
};
#define TOPOLOGY_KINDS 9

enum topology_form {
    FORM_TEXT,
    FORM_WORD,    /* One of `words`. */
    FORM_PATTERN, /* A regular expression. */
    FORM_BOOL,
    FORM_INTEGER,
    FORM_LIST,
    FORM_TABLE,  /* Arguments that `schema` knows. */
    FORM_SECRET, /* Never shown, never written. */
    FORM_HASH,   /* "sha256:" and base64. */
};

struct topology_field {
    const char *group; /* The mapping it stands in, "limits"; NULL: none. */
    const char *name;
    enum topology_form form;
    const char *fallback; /* NULL: without a value when it is not given. */
    const char *const *words;
    const struct argument_schema *schema;
    bool is_fixed; /* Cannot change while the object exists. */
};

struct topology_kind_info {
    const char *name;    /* "queue". */
    const char *section; /* Of a virtual host or the file: "queues". */
    const struct topology_field *fields;
    size_t field_count;
};

extern const struct topology_kind_info topology_kinds[TOPOLOGY_KINDS];

/* Positions in `values`. */
enum {
    VHOST_DESCRIPTION,
    VHOST_TAGS,
    VHOST_DEFAULT_QUEUE_TYPE,
    VHOST_MAX_CONNECTIONS,
    VHOST_MAX_QUEUES,
};
enum {
    USER_PASSWORD,
    USER_PASSWORD_HASH,
    USER_TAGS,
    USER_MAX_CONNECTIONS,
    USER_MAX_CHANNELS,
    USER_CONNECT_FROM,
};
enum {
    PERMISSION_CONFIGURE,
    PERMISSION_WRITE,
    PERMISSION_READ,
};
enum {
    TOPIC_PERMISSION_WRITE,
    TOPIC_PERMISSION_READ,
};
enum {
    EXCHANGE_TYPE,
    EXCHANGE_DURABLE,
    EXCHANGE_AUTO_DELETE,
    EXCHANGE_INTERNAL,
    EXCHANGE_ARGUMENTS,
};
enum {
    QUEUE_DURABLE,
    QUEUE_AUTO_DELETE,
    QUEUE_ARGUMENTS,
};
enum {
    POLICY_PATTERN,
    POLICY_APPLY_TO,
    POLICY_PRIORITY,
    POLICY_DEFINITION,
};

struct topology_item {
    enum topology_kind kind;
    struct bytes vhost;     /* Of vhosts and users nothing. */
    struct bytes name;      /* Of permissions the user, of a binding the destination. */
    struct bytes other;     /* Of a topic permission the exchange, of a binding the source. */
    struct bytes key;       /* Of a binding. */
    bool to_exchange;       /* Of a binding. */
    struct bytes arguments; /* Of a binding: canonical table. */
    struct bytes identity;  /* Of these arguments: equal whatever integer types they are of. */

    struct bytes values[TOPOLOGY_FIELDS_MAX]; /* No data: no value. */

    struct place place;
    bool is_absent;   /* Must not exist. */
    bool may_replace; /* May be deleted and made again. */

    /* Of what exists. */
    bool is_owned; /* A configuration made it: this one. */
    uint64_t messages;
    uint64_t consumers;
};

enum topology_prune {
    PRUNE_NONE,
    PRUNE_OWNED, /* What this configuration made and names no more. */
    PRUNE_ALL,   /* Whatever it does not name. */
};

enum topology_delete_queues {
    DELETE_QUEUES_NEVER,
    DELETE_QUEUES_IF_EMPTY,
    DELETE_QUEUES_ALWAYS,
};

/* The section `apply`. */
struct topology_rules {
    bool on_start;
    enum topology_prune prune;
    enum topology_delete_queues delete_queues;
    bool replace_on_conflict;
};

struct topology {
    struct arena arena;
    struct topology_item *items; /* Sorted by topology_order once topology_sort has been called. */
    size_t count;
    size_t capacity;
    struct topology_rules rules;
};

void topology_init(struct topology *t);
void topology_fini(struct topology *t);

/* Makes `to` a copy that owns all it points to, but for places. */
void topology_copy(const struct topology *from, struct topology *to);

/* A new item with the names copied and the fallbacks as values; valid until the next one. */
struct topology_item *topology_add(struct topology *t, const struct topology_item *names);

/* Stores a copy. */
void topology_set(struct topology *t, struct topology_item *item, size_t field, struct bytes value);
void topology_set_text(struct topology *t, struct topology_item *item, size_t field,
                       const char *value);
void topology_set_bool(struct topology *t, struct topology_item *item, size_t field, bool value);

bool topology_bool(const struct topology_item *item, size_t field);

/* `fallback` if it has no value. */
int64_t topology_integer(const struct topology_item *item, size_t field, int64_t fallback);

/* By kind, names and what else tells items apart: 0 for the same object. */
int topology_order(const struct topology_item *a, const struct topology_item *b);

void topology_sort(struct topology *t);

/* In a sorted topology; NULL if there is no such object. Only what tells it apart is looked at. */
const struct topology_item *topology_find(const struct topology *t,
                                          const struct topology_item *names);

/* The same for an exchange, a queue, a vhost or a user. */
const struct topology_item *topology_find_named(const struct topology *t, enum topology_kind kind,
                                                struct bytes vhost, struct bytes name);

/* The bindings to a queue or an exchange of a sorted topology, which lie one behind the other; NULL
 * without any. */
const struct topology_item *topology_bindings_to(const struct topology *t,
                                                 const struct topology_item *destination,
                                                 size_t *count);

/* What AMQP predeclares under that name, but for its vhost; NULL: nothing. */
const struct topology_item *topology_predeclared(struct bytes exchange);

/* Appends what people call it: queue "orders" in vhost "/". */
void topology_describe(const struct topology_item *item, struct buf *out);

#endif
