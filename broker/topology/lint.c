/* What is written correctly and makes no sense. */

#include "amqp/table.h"
#include "broker/base/mem.h"
#include "broker/config/text.h"
#include "broker/topology/load.h"

#include <stdio.h>

/* Of those whose dead letters may go round; a multiple of 64. */
#define CYCLE_QUEUES_MAX 1024

struct lint {
    const struct topology *t;
    struct diagnostics *d;
};

/* The nearest name of that kind in the vhost. */
static struct bytes
nearest(const struct lint *l, enum topology_kind kind, struct bytes vhost, struct bytes name)
{
    struct suggestion s = { .text = name };
    for (size_t i = 0; i < l->t->count; i++) {
        const struct topology_item *item = &l->t->items[i];
        if (item->kind == kind && !item->is_absent && bytes_equal(item->vhost, vhost))
            suggestion_offer(&s, item->name);
    }
    return s.best;
}

static bool
exists(const struct lint *l, enum topology_kind kind, struct bytes vhost, struct bytes name)
{
    if (kind == TOPOLOGY_EXCHANGE && topology_predeclared(name) != NULL)
        return true;
    const struct topology_item *item = topology_find_named(l->t, kind, vhost, name);
    return item != NULL && !item->is_absent;
}

/* "unknown exchange "x" in vhost "/"; did you mean "y"?" */
static void
append_unknown(const struct lint *l, struct buf *out, enum topology_kind kind, struct bytes vhost,
               struct bytes name)
{
    const struct bytes near = nearest(l, kind, vhost, name);
    buf_printf(out, "unknown %s ", topology_kinds[kind].name);
    text_quote(out, name);
    if (kind != TOPOLOGY_USER) {
        buf_printf(out, " in vhost ");
        text_quote(out, vhost);
    }
    if (near.size > 0) {
        buf_printf(out, "; did you mean ");
        text_quote(out, near);
        buf_append(out, "?", 1);
    }
}

static void
append_item(struct buf *out, enum topology_kind kind, struct bytes name)
{
    buf_printf(out, "%s ", topology_kinds[kind].name);
    text_quote(out, name);
}

static void
lint_binding(const struct lint *l, const struct topology_item *b)
{
    struct buf text = { 0 };
    const enum topology_kind kind = b->to_exchange ? TOPOLOGY_EXCHANGE : TOPOLOGY_QUEUE;
    append_item(&text, kind, b->name);
    if (b->other.size == 0) {
        diagnostics_error(
            l->d, DIAGNOSTIC_VALUE, b->place, "every queue is bound to it by its name already",
            "%.*s cannot be bound to the default exchange", BYTES_ARGS(buf_bytes(&text)));
    } else if (!exists(l, TOPOLOGY_EXCHANGE, b->vhost, b->other)) {
        buf_printf(&text, " binds from ");
        append_unknown(l, &text, TOPOLOGY_EXCHANGE, b->vhost, b->other);
        diagnostics_error(l->d, DIAGNOSTIC_UNKNOWN_OBJECT, b->place,
                          "declare the exchange in the file, too, also if a program declares it: "
                          "without it there can be no binding",
                          "%.*s", BYTES_ARGS(buf_bytes(&text)));
    } else if (!exists(l, kind, b->vhost, b->name)) {
        text.size = 0;
        buf_printf(&text, "a binding leads to ");
        append_unknown(l, &text, kind, b->vhost, b->name);
        diagnostics_error(l->d, DIAGNOSTIC_UNKNOWN_OBJECT, b->place, NULL, "%.*s",
                          BYTES_ARGS(buf_bytes(&text)));
    }
    buf_fini(&text);
}

static void
lint_permission(const struct lint *l, const struct topology_item *p)
{
    struct buf text = { 0 };
    if (exists(l, TOPOLOGY_USER, BYTES_NONE, p->name) || p->is_absent ||
        bytes_equal(p->name, BYTES_LITERAL("guest")))
        return;
    buf_printf(&text, "permissions in vhost ");
    text_quote(&text, p->vhost);
    buf_printf(&text, " for ");
    append_unknown(l, &text, TOPOLOGY_USER, BYTES_NONE, p->name);
    diagnostics_error(l->d, DIAGNOSTIC_UNKNOWN_OBJECT, p->place,
                      "declare the user in the file, under users", "%.*s",
                      BYTES_ARGS(buf_bytes(&text)));
    buf_fini(&text);
}

/* `arguments` are the item's own, or what a policy says for others. */
static void
lint_alternate(const struct lint *l, const struct topology_item *item, struct bytes arguments)
{
    struct bytes alternate;
    struct buf text = { 0 };
    if (!arguments_text(arguments, "alternate-exchange", &alternate) ||
        exists(l, TOPOLOGY_EXCHANGE, item->vhost, alternate))
        return;
    append_item(&text, item->kind, item->name);
    buf_printf(&text, " has as alternate ");
    append_unknown(l, &text, TOPOLOGY_EXCHANGE, item->vhost, alternate);
    diagnostics_warning(l->d, DIAGNOSTIC_UNDECLARED, item->place,
                        "messages that lead nowhere are dropped until it exists", "%.*s",
                        BYTES_ARGS(buf_bytes(&text)));
    buf_fini(&text);
}

/* Where dead letters go, by the arguments of a queue or by a policy, whose keys have no "x-". */
struct dead_letter_keys {
    const char *exchange;
    const char *routing_key;
};

static const struct dead_letter_keys of_queues = { "x-dead-letter-exchange",
                                                   "x-dead-letter-routing-key" };
static const struct dead_letter_keys of_policies = { "dead-letter-exchange",
                                                     "dead-letter-routing-key" };

/* The default exchange leads to the queue that the key names. */
static void
lint_dead_letters(const struct lint *l, const struct topology_item *item, struct bytes arguments,
                  const struct dead_letter_keys *keys)
{
    struct bytes exchange;
    struct bytes key = BYTES_NONE;
    struct buf text = { 0 };
    if (!arguments_text(arguments, keys->exchange, &exchange))
        return;
    const bool has_key = arguments_text(arguments, keys->routing_key, &key);
    append_item(&text, item->kind, item->name);
    buf_printf(&text, " sends dead letters to ");
    if (exchange.size > 0 && !exists(l, TOPOLOGY_EXCHANGE, item->vhost, exchange)) {
        append_unknown(l, &text, TOPOLOGY_EXCHANGE, item->vhost, exchange);
    } else if (exchange.size == 0 && has_key && !exists(l, TOPOLOGY_QUEUE, item->vhost, key)) {
        append_unknown(l, &text, TOPOLOGY_QUEUE, item->vhost, key);
    } else {
        buf_fini(&text);
        return;
    }
    diagnostics_warning(l->d, DIAGNOSTIC_DEAD_LETTER, item->place,
                        "dead letters are dropped until it exists", "%.*s",
                        BYTES_ARGS(buf_bytes(&text)));
    buf_fini(&text);
}

/* A queue out of which messages fall by themselves. Where somebody must reject them, going round is
 * what people build on purpose. */
static bool
drops_by_itself(struct bytes arguments)
{
    static const char *const reasons[] = { "x-message-ttl", "x-max-length", "x-max-length-bytes" };
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
        if (arguments_have(arguments, reasons[i]))
            return true;
    return false;
}

static bool
is_type(const struct topology_item *x, const char *type)
{
    return x != NULL && bytes_equal(x->values[EXCHANGE_TYPE], bytes_of_string(type));
}

/* Whether dead letters of `from` come straight to the queue `to`. Keys of messages are not known,
 * and topics may match anything: only what is sure counts. */
static bool
leads_to(const struct lint *l, const struct topology_item *from, const struct topology_item *to)
{
    struct bytes exchange;
    struct bytes key = BYTES_NONE;
    const struct bytes arguments = from->values[QUEUE_ARGUMENTS];
    if (!bytes_equal(from->vhost, to->vhost) || !drops_by_itself(arguments) ||
        !arguments_text(arguments, "x-dead-letter-exchange", &exchange))
        return false;
    const bool has_key = arguments_text(arguments, "x-dead-letter-routing-key", &key);
    if (exchange.size == 0)
        return has_key && bytes_equal(key, to->name);
    const struct topology_item *x =
        topology_find_named(l->t, TOPOLOGY_EXCHANGE, from->vhost, exchange);
    const bool is_fanout = is_type(x, "fanout");
    size_t count;
    const struct topology_item *bindings = topology_bindings_to(l->t, to, &count);
    for (size_t i = 0; i < count; i++) {
        const struct topology_item *b = &bindings[i];
        if (!bytes_equal(b->other, exchange))
            continue;
        if (is_fanout || bytes_equal(b->key, BYTES_LITERAL("#")) ||
            (has_key && bytes_equal(key, b->key)))
            return true;
    }
    return false;
}

/* Queues that drop dead letters by themselves, and for each the set of those it leads to, as bits.
 */
struct cycles {
    size_t queues[CYCLE_QUEUES_MAX]; /* Their items. */
    size_t count;
    uint64_t reach[CYCLE_QUEUES_MAX][CYCLE_QUEUES_MAX / 64];
};

static bool
reaches(const struct cycles *c, size_t from, size_t to)
{
    return (c->reach[from][to / 64] >> (to % 64) & 1u) != 0;
}

static bool
collect_droppers(const struct lint *l, struct cycles *c)
{
    for (size_t i = 0; i < l->t->count; i++) {
        const struct topology_item *q = &l->t->items[i];
        if (q->kind != TOPOLOGY_QUEUE || !drops_by_itself(q->values[QUEUE_ARGUMENTS]) ||
            !arguments_have(q->values[QUEUE_ARGUMENTS], "x-dead-letter-exchange"))
            continue;
        if (c->count == CYCLE_QUEUES_MAX)
            return false;
        c->queues[c->count++] = i;
    }
    return true;
}

/* From who leads to whom to who reaches whom. */
static void
close_reach(const struct lint *l, struct cycles *c)
{
    for (size_t i = 0; i < c->count; i++)
        for (size_t j = 0; j < c->count; j++)
            if (leads_to(l, &l->t->items[c->queues[i]], &l->t->items[c->queues[j]]))
                c->reach[i][j / 64] |= UINT64_C(1) << (j % 64);
    for (size_t k = 0; k < c->count; k++)
        for (size_t i = 0; i < c->count; i++)
            for (size_t word = 0; reaches(c, i, k) && word < CYCLE_QUEUES_MAX / 64; word++)
                c->reach[i][word] |= c->reach[k][word];
}

/* In a file of very many such queues they are not looked for: it would take long. */
static void
lint_cycles(const struct lint *l)
{
    struct cycles *c = mem_alloc_zeroed(sizeof(*c));
    if (collect_droppers(l, c))
        close_reach(l, c);
    else
        c->count = 0;
    for (size_t i = 0; i < c->count; i++) {
        const struct topology_item *q = &l->t->items[c->queues[i]];
        struct buf text = { 0 };
        if (!reaches(c, i, i))
            continue;
        append_item(&text, q->kind, q->name);
        diagnostics_warning(l->d, DIAGNOSTIC_CYCLE, q->place,
                            "a message is dropped when it comes to a queue for the second time",
                            "dead letters of %.*s come back to it without anybody's rejecting them",
                            BYTES_ARGS(buf_bytes(&text)));
        buf_fini(&text);
    }
    mem_free(c);
}

/* Somebody's alternate exchange, or for dead letters. */
static bool
is_fallback(const struct lint *l, const struct topology_item *x)
{
    struct bytes name;
    for (size_t i = 0; i < l->t->count; i++) {
        const struct topology_item *o = &l->t->items[i];
        if (!bytes_equal(o->vhost, x->vhost))
            continue;
        if (o->kind == TOPOLOGY_EXCHANGE &&
            arguments_text(o->values[EXCHANGE_ARGUMENTS], "alternate-exchange", &name) &&
            bytes_equal(name, x->name))
            return true;
        if (o->kind == TOPOLOGY_QUEUE &&
            arguments_text(o->values[QUEUE_ARGUMENTS], "x-dead-letter-exchange", &name) &&
            bytes_equal(name, x->name))
            return true;
        if ((o->kind == TOPOLOGY_POLICY || o->kind == TOPOLOGY_OPERATOR_POLICY) &&
            (arguments_have(o->values[POLICY_DEFINITION], "dead-letter-exchange") ||
             arguments_have(o->values[POLICY_DEFINITION], "alternate-exchange")))
            return true;
    }
    return false;
}

/* Nobody can publish to an internal exchange: it is fed by others. */
static bool
is_fed(const struct lint *l, struct bytes vhost, struct bytes name)
{
    const struct topology_item *x = topology_find_named(l->t, TOPOLOGY_EXCHANGE, vhost, name);
    if (x == NULL || !topology_bool(x, EXCHANGE_INTERNAL) || is_fallback(l, x))
        return true;
    for (size_t i = 0; i < l->t->count; i++) {
        const struct topology_item *b = &l->t->items[i];
        if (b->kind == TOPOLOGY_BINDING && b->to_exchange && bytes_equal(b->vhost, vhost) &&
            bytes_equal(b->name, name) && !bytes_equal(b->other, name))
            return true;
    }
    return false;
}

static void
lint_reach(const struct lint *l, const struct topology_item *q)
{
    struct buf text = { 0 };
    size_t count;
    const struct topology_item *bindings = topology_bindings_to(l->t, q, &count);
    if (count == 0)
        return; /* The default exchange leads to it: that is how it is meant. */
    for (size_t i = 0; i < count; i++)
        if (is_fed(l, q->vhost, bindings[i].other))
            return;
    append_item(&text, q->kind, q->name);
    diagnostics_warning(l->d, DIAGNOSTIC_UNREACHABLE, q->place,
                        "bind the internal exchange to another one, or set internal: false",
                        "%.*s is bound to internal exchanges only, and nothing leads to these",
                        BYTES_ARGS(buf_bytes(&text)));
    buf_fini(&text);
}

static void
lint_item(const struct lint *l, const struct topology_item *item)
{
    switch (item->kind) {
    case TOPOLOGY_BINDING:
        lint_binding(l, item);
        return;
    case TOPOLOGY_PERMISSION:
    case TOPOLOGY_TOPIC_PERMISSION:
        lint_permission(l, item);
        return;
    case TOPOLOGY_EXCHANGE:
        lint_alternate(l, item, item->values[EXCHANGE_ARGUMENTS]);
        return;
    case TOPOLOGY_QUEUE:
        lint_dead_letters(l, item, item->values[QUEUE_ARGUMENTS], &of_queues);
        lint_reach(l, item);
        return;
    case TOPOLOGY_POLICY:
        lint_alternate(l, item, item->values[POLICY_DEFINITION]);
        lint_dead_letters(l, item, item->values[POLICY_DEFINITION], &of_policies);
        return;
    case TOPOLOGY_VHOST:
    case TOPOLOGY_USER:
    case TOPOLOGY_OPERATOR_POLICY:
        return;
    }
}

bool
topology_lint(const struct topology *t, struct diagnostics *d)
{
    const struct lint l = { .t = t, .d = d };
    const size_t errors = d->count;
    for (size_t i = 0; i < t->count; i++)
        lint_item(&l, &t->items[i]);
    lint_cycles(&l);
    return d->count == errors;
}
