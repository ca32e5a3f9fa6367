/*
 * Spreads messages over the destinations by a hash of the routing key, a header or a property: the
 * same value always takes the same way, and when a binding comes or goes only what it gets or had
 * takes another one. The binding key is a weight.
 *
 * Each message goes to the binding that draws the highest number for its value (rendezvous hashing,
 * Thaler and Ravishankar 1998, with weights as Schindelhauer and Schomaker 2005 have them). The
 * draw hangs on the value and the destination alone, so a restart changes nothing. Routes by key
 * are remembered by whoever caches them, so going through all bindings is rare.
 */

#include "routing/router_internal.h"

#include <math.h>
#include <stdio.h>

#define WEIGHT_MAX 1000000000u

/* The weight in a binding key; 0 if there is none, -1 if it is no number. */
static int64_t
weight_of(struct bytes key)
{
    size_t at = key.size > 0 && (key.data[0] == '-' || key.data[0] == '+') ? 1 : 0;
    int64_t weight = 0;
    if (at == key.size)
        return -1;
    for (; at < key.size; at++) {
        if (key.data[at] < '0' || key.data[at] > '9')
            return -1;
        if (weight < WEIGHT_MAX)
            weight = weight * 10 + (key.data[at] - '0');
    }
    return key.data[0] == '-' ? 0 : weight;
}

static enum bind_result
hash_add(struct router *r, struct binding *binding, const struct binding_request *request)
{
    (void)r;
    (void)request;
    const int64_t weight = weight_of(binding->key);
    return weight < 0 ? BIND_NOT_A_WEIGHT : weight == 0 ? BIND_NO_WEIGHT : BIND_ADDED;
}

/* Stable: the process's own hash has a key of its own each time. */
static uint64_t
octets_hash(struct bytes octets)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < octets.size; i++)
        hash = (hash ^ octets.data[i]) * UINT64_C(0x100000001b3);
    return hash;
}

/* Every bit of the result hangs on every bit of the number. */
static uint64_t
mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/* Higher is better; with twice the weight it is the highest twice as often. */
static double
draw(uint64_t value, const struct binding *b)
{
    const uint64_t number = mix(value ^ mix(b->destination->number));
    const double unit = ((double)(number >> 11) + 0.5) / 9007199254740992.0;
    return -(double)weight_of(b->key) / log(unit);
}

static void
follow_best(const struct router *r, struct route_pass *pass, struct bytes value)
{
    const uint64_t hash = octets_hash(value);
    const struct binding *best = NULL;
    double highest = -1;
    for (const struct binding *b = NULL; (b = router_next_binding(r, b)) != NULL;) {
        const double number = draw(hash, b);
        if (number > highest) {
            highest = number;
            best = b;
        }
    }
    route_pass_follow(pass, best);
}

/* Text of the header, so that 7 and "7" go the same way. */
static struct bytes
header_value(const struct router *r, const struct route_pass *pass, char text[32])
{
    const struct route_query *q = pass->query;
    for (size_t i = 0; i < q->header_count; i++) {
        const struct header *h = &q->headers[i];
        if (!bytes_equal(h->name, r->hash_header))
            continue;
        if (h->kind == HEADER_STRING || h->kind == HEADER_OPAQUE)
            return h->value.octets;
        if (h->kind == HEADER_INTEGER)
            snprintf(text, 32, "%lld", (long long)h->value.integer);
        else if (h->kind == HEADER_UNSIGNED)
            snprintf(text, 32, "%llu", (unsigned long long)h->value.unsigned_integer);
        else if (h->kind == HEADER_FLOAT)
            snprintf(text, 32, "%.17g", h->value.floating);
        else if (h->kind == HEADER_BOOL)
            snprintf(text, 32, "%d", h->value.boolean);
        return bytes_of_string(text);
    }
    return BYTES_NONE;
}

static void
hash_route(const struct router *r, struct route_pass *pass)
{
    char text[32] = "";
    if (r->hash_source == HASH_HEADER) {
        follow_best(r, pass, header_value(r, pass, text));
        return;
    }
    if (r->hash_source != HASH_KEY) {
        const struct bytes *properties = pass->query->properties;
        follow_best(r, pass, properties == NULL ? BYTES_NONE : properties[r->hash_source]);
        return;
    }
    for (size_t i = 0; i < route_pass_key_count(pass); i++)
        follow_best(r, pass, route_pass_key(pass, i));
}

const struct router_ops router_hash = {
    .name = "x-consistent-hash",
    .add = hash_add,
    .route = hash_route,
};
