#ifndef ROUTING_ROUTER_H
#define ROUTING_ROUTER_H

/*
 * Where a message goes: exchanges as routing tables (struct router), what they lead to (struct
 * destination, part of a queue or of another router), and the bindings between them.
 *
 * Owner: the broker embeds routers in its exchanges and destinations in its queues; this library
 * owns the bindings. Nothing in here locks, blocks or does I/O. Threads: the caller lets either
 * one thread change (bind, unbind, fini) or any number resolve and iterate; resolving writes into
 * nothing but the caller's route set.
 *
 * A type of exchange is one file router_<type>.c and one row in router.c.
 */

#include "broker/base/bytes.h"
#include "broker/base/list.h"
#include "broker/base/map.h"
#include "routing/header.h"
#include "routing/route_set.h"

enum router_type {
    ROUTER_DIRECT,
    ROUTER_FANOUT,
    ROUTER_TOPIC,
    ROUTER_HEADERS,
    ROUTER_HASH,
    ROUTER_RANDOM,
};

/* "direct", "fanout", "topic", "headers", "x-consistent-hash" or "x-random". */
const char *router_type_name(enum router_type type);

/* False if there is no type of that name. */
bool router_type_find(struct bytes name, enum router_type *out);

enum destination_kind {
    DESTINATION_QUEUE,
    DESTINATION_EXCHANGE,
};

/* Something that bindings lead to. Must not move while it has bindings. */
struct destination {
    enum destination_kind kind;
    uint64_t number;      /* Of the owner's choice, the same after a restart; for ROUTER_HASH. */
    struct list bindings; /* Of struct binding, by in_destination. */
};

/* A destination without bindings holds nothing: there is no fini, only destination_unbind_all. */
void destination_init(struct destination *d, enum destination_kind kind);

/* What of a message a ROUTER_HASH looks at. */
enum hash_source {
    HASH_KEY,
    HASH_HEADER,
    HASH_MESSAGE_ID,
    HASH_CORRELATION_ID,
    HASH_TIMESTAMP,
    HASH_SOURCE_COUNT,
};

/* The routing table of one exchange. Must not move after router_init. */
struct router {
    enum router_type type;
    enum hash_source hash_source;   /* Set by the owner, after router_init. */
    struct bytes hash_header;       /* For HASH_HEADER. Borrowed. */
    struct list bindings;           /* As their source, oldest first; by in_source. */
    struct map identities;          /* The same bindings, by all that tells them apart. */
    void *index;                    /* What the type looks keys up in; NULL without bindings. */
    struct destination destination; /* For bindings from other exchanges to this one. */
};

void router_init(struct router *r, enum router_type type);

/* Removes what bindings are left from and to it. Tells nobody: see destination_unbind_all. */
void router_fini(struct router *r);

/* The router that a destination of kind DESTINATION_EXCHANGE is part of. */
static inline struct router *
router_of_destination(struct destination *d)
{
    return LIST_CONTAINER(d, struct router, destination);
}

/*
 * One binding, allocated together with its key and arguments. Source, destination, key and
 * arguments make its identity and never change. Readable by whoever may iterate.
 */
struct binding {
    struct router *source;
    struct destination *destination;
    struct bytes key;
    struct bytes arguments; /* Canonical octets, as they were given to router_bind. */
    struct list in_source;
    struct list in_destination;
    struct map_node in_identities;
    struct list in_index; /* These two belong to the router's type. */
    void *index_entry;
};

/* What to bind or unbind; borrowed for the call. */
struct binding_request {
    struct destination *destination;
    struct bytes key;
    struct bytes arguments; /* Sorted by the caller: identity is equality of octets. */
    /* The same arguments parsed. Only router_bind on a headers exchange looks at them. */
    const struct header *headers;
    size_t header_count;
};

enum bind_result {
    BIND_ADDED,
    BIND_EXISTS,        /* There is an equal one already; nothing changed. */
    BIND_INVALID_MATCH, /* x-match is not a string or not one of the known ones; nothing changed. */
    BIND_NOT_A_WEIGHT,  /* The key is to be a number; nothing changed. */
    BIND_NO_WEIGHT,     /* The number is 0, or less; nothing changed. */
};

/* Copies the key and the arguments. */
enum bind_result router_bind(struct router *r, const struct binding_request *request);

/* Whether there is such a binding. */
bool router_has(const struct router *r, const struct binding_request *request);

/* False if there is no such binding. */
bool router_unbind(struct router *r, const struct binding_request *request);

/* Bindings that have this router as their source. */
size_t router_binding_count(const struct router *r);

/*
 * Removes every binding that leads to d and costs no more than these. After each one `removed`
 * (may be NULL) hears of its source, as often as it had bindings to d. `removed` may unbind and
 * may delete the source; but deleting may in turn leave other exchanges without bindings, in
 * chains as long as peers like, so it should note the source and delete when this has returned.
 */
void destination_unbind_all(struct destination *d,
                            void (*removed)(void *context, struct router *source), void *context);

/* Bindings from r, oldest first: start with NULL, ends with NULL. No changes meanwhile. */
const struct binding *router_next_binding(const struct router *r, const struct binding *previous);

/* Bindings to d, oldest first, in the same way. */
const struct binding *destination_next_binding(const struct destination *d,
                                               const struct binding *previous);

/* What is known of a message; borrowed for the call. */
struct route_query {
    struct bytes key;
    /* In message order; of several with the same name the first is taken. */
    const struct header *headers;
    size_t header_count;
    /* Further keys (CC and BCC). All keys count as one routing: only if none of them leads
     * anywhere is there reason to use an alternate. */
    const struct bytes *more_keys;
    size_t more_key_count;
    /* By hash_source, from HASH_MESSAGE_ID on; octets that stand for the property's value. May be
     * NULL. */
    const struct bytes *properties;
};

/* What routing needs to know from the broker. */
struct route_context {
    /* Where messages go that r leads nowhere, or NULL. Asked at most once for each router. */
    struct router *(*alternate)(void *context, const struct router *r);
    void *context;
};

/* What the result hung on, for those who cache it. */
struct route_trace {
    bool through_others;     /* Other routers than the first were consulted. */
    bool depends_on_headers; /* The same key may lead elsewhere with another message. */
    bool alternate_missing;  /* A router led nowhere and had no alternate: that may change. */
};

/*
 * Adds to `out` (which is not cleared) every queue destination that a message published to `start`
 * reaches: through bindings between exchanges, each visited once, and through the alternate of
 * each visited router that led to no queue and no exchange. `context` may be NULL: no alternates.
 * Any thread, while nothing changes. Allocates only for many results or long detours.
 */
struct route_trace router_resolve(struct router *start, const struct route_query *query,
                                  const struct route_context *context, struct route_set *out);

#endif
