/* A whole message has come in: checks, rewriting, routing, confirming. */

#include "amqp/table.h"
#include "broker/base/mem.h"
#include "broker/core/message_properties.h"
#include "broker/session/access.h"
#include "broker/session/channel.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#define EXTRA_KEYS_MAX 4096

/* CC and BCC: further routing keys. Points into the message. */
struct extra_keys {
    struct bytes *items;
    size_t count;
};

static bool raise_expiration(struct bytes text, struct amqp_exception *ex, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static bool
raise_expiration(struct bytes text, struct amqp_exception *ex, const char *format, ...)
{
    char reason[300];
    va_list args;
    va_start(args, format);
    vsnprintf(reason, sizeof(reason), format, args);
    va_end(args);
    return amqp_raise(ex, AMQP_PRECONDITION_FAILED, "invalid expiration '%.*s': %s",
                      BYTES_ARGS(text), reason);
}

/* A decimal integer with an optional sign, as Erlang's string:to_integer reads it. */
static bool
check_expiration(struct bytes text, struct amqp_exception *ex)
{
    size_t at = 0;
    const bool has_sign = text.size > 0 && (text.data[0] == '+' || text.data[0] == '-');
    const bool negative = has_sign && text.data[0] == '-';
    if (has_sign)
        at++;
    const size_t digits_from = at;
    uint64_t value = 0;
    for (; at < text.size && text.data[at] >= '0' && text.data[at] <= '9'; at++)
        if (value <= EXPIRATION_MAX_MS * 1000)
            value = value * 10 + (text.data[at] - '0');
    if (at == digits_from)
        return raise_expiration(text, ex, "no_integer");
    if (at < text.size)
        return raise_expiration(text, ex, "{leftover_string,\"%.*s\"}", (int)(text.size - at),
                                (const char *)text.data + at);
    const struct bytes digits = bytes_of(text.data + digits_from, text.size - digits_from);
    if (negative && value > 0)
        return raise_expiration(text, ex, "{value_negative,-%.*s}", BYTES_ARGS(digits));
    if (value > EXPIRATION_MAX_MS)
        return raise_expiration(text, ex, "{value_too_large,%.*s}", BYTES_ARGS(digits));
    return true;
}

static bool
collect_keys(struct bytes headers, const char *name, struct extra_keys *keys,
             struct amqp_exception *ex)
{
    struct table_field f;
    if (!table_find(headers, bytes_of_string(name), &f))
        return true;
    if (f.tag != 'A')
        return amqp_raise(ex, AMQP_PRECONDITION_FAILED,
                          "invalid message: {unacceptable_type_in_header,\"%s\",%s}", name,
                          table_tag_name(f.tag));
    struct table_field element;
    for (struct table_iterator i = table_iterate_array(f.value); table_next(&i, &element);) {
        if (element.tag != 'S' || keys->count == EXTRA_KEYS_MAX)
            continue;
        keys->items = mem_resize(keys->items, (keys->count + 1) * sizeof(*keys->items));
        keys->items[keys->count++] = element.value;
    }
    return true;
}

static bool
check_properties(const struct channel *ch, const struct properties *p, struct amqp_exception *ex)
{
    const struct bytes user = ch->connection->user;
    if ((p->flags & PROPERTY_USER_ID) && !bytes_equal(p->user_id, user) &&
        !atomic_load(&ch->connection->account->impersonates))
        return amqp_raise(ex, AMQP_PRECONDITION_FAILED,
                          "user_id property set to '%.*s' but authenticated user was '%.*s'",
                          BYTES_ARGS(p->user_id), BYTES_ARGS(user));
    if ((p->flags & PROPERTY_EXPIRATION) && !check_expiration(p->expiration, ex))
        return false;
    if ((p->flags & PROPERTY_DELIVERY_MODE) && p->delivery_mode != 1 && p->delivery_mode != 2)
        return amqp_raise(ex, AMQP_PRECONDITION_FAILED,
                          "invalid message: {delivery_mode_unknown,%u}", p->delivery_mode);
    return true;
}

static bool
raise_no_memory(const struct message *m, struct amqp_exception *ex)
{
    return amqp_raise(ex, AMQP_RESOURCE_ERROR, "no memory for a message of %" PRIu64 " octets",
                      m->body_size);
}

/* The pseudo-queue in reply-to becomes the requester's address. Replaces *m. */
static bool
fill_reply_to(const struct channel *ch, struct properties *p, struct message **m,
              struct amqp_exception *ex)
{
    if (!(p->flags & PROPERTY_REPLY_TO) || !bytes_equal(p->reply_to, BYTES_LITERAL(REPLIES_QUEUE)))
        return true;
    if (ch->reply == NULL)
        return amqp_raise(ex, AMQP_PRECONDITION_FAILED, "fast reply consumer does not exist");
    char address[sizeof(REPLIES_PREFIX) + REPLY_TOKEN_SIZE];
    snprintf(address, sizeof(address), "%s%s", REPLIES_PREFIX, ch->reply->token);
    p->reply_to = bytes_of_string(address);
    struct message *filled = message_with(*m, p);
    if (filled == NULL)
        return raise_no_memory(*m, ex);
    message_unref(*m);
    *m = filled;
    return true;
}

static void
return_message(struct channel *ch, struct message *m)
{
    const union amqp_method method = { .basic_return = {
                                           .id = AMQP_ID_basic_return,
                                           .reply_code = AMQP_NO_ROUTE,
                                           .reply_text = BYTES_LITERAL("NO_ROUTE"),
                                           .exchange = message_exchange(m),
                                           .routing_key = message_key(m),
                                       } };
    channel_send_content(ch, &method, m, NULL);
}

/* A reply goes to its requester's worker and to no queue; it counts as routed, there or not. */
static bool
send_reply(struct channel *ch, struct message *m, uint64_t number)
{
    struct bytes token;
    if (m->exchange_size != 0 || !replies_parse(message_key(m), &token))
        return false;
    replies_send(&ch->connection->worker->broker->replies, token, m);
    static const struct route nowhere = { .queue_count = 0 };
    batch_publish(ch->connection->worker, ch, &nowhere, m, number);
    return true;
}

static bool
decode_properties(struct message *m, struct properties *p, struct amqp_exception *ex)
{
    if (properties_decode(message_properties(m), p) == WIRE_OK)
        return true;
    return amqp_raise(ex, AMQP_SYNTAX_ERROR, "malformed properties of a message");
}

/* The keys of a topic exchange, those in headers too: by them a message would get around it. */
static bool
may_use_keys(struct channel *ch, const struct route *route, const struct route_address *address,
             struct amqp_exception *ex)
{
    struct connection *c = ch->connection;
    const struct exchange *x = route->exchange;
    if (x == NULL || x->router.type != ROUTER_TOPIC || !access_knows_topics(c))
        return true;
    bool ok = access_topic(c, ACCESS_WRITE, x->name, address->key, ex);
    for (size_t i = 0; ok && i < address->more_key_count; i++)
        ok = access_topic(c, ACCESS_WRITE, x->name, address->more_keys[i], ex);
    return ok;
}

/* Where to, with all that may decide it. NULL with an exception. */
static const struct route *
find_route(struct channel *ch, const struct message *m, const struct properties *p,
           struct amqp_exception *ex)
{
    struct extra_keys keys = { 0 };
    struct route_address address = {
        .exchange = message_exchange(m),
        .key = message_key(m),
        .properties = p,
    };
    bool ok = true;
    if (p->flags & PROPERTY_HEADERS) {
        address.headers = p->headers;
        ok =
            collect_keys(p->headers, "CC", &keys, ex) && collect_keys(p->headers, "BCC", &keys, ex);
        address.more_keys = keys.items;
        address.more_key_count = keys.count;
    }
    const struct route *route =
        ok ? route_find(&ch->connection->worker->routes, ch->connection->vhost, &address, ex)
           : NULL;
    const bool may = route != NULL && may_use_keys(ch, route, &address, ex);
    mem_free(keys.items);
    return may ? route : NULL;
}

static bool
is_delayed(const struct route *route, const struct message *m)
{
    return route->exchange != NULL && route->exchange->pending != NULL && message_delay_ms(m) > 0;
}

/* Routes and batches; takes over the reference, also when it fails. */
static bool
route_message(struct channel *ch, struct message *m, struct properties *p, bool mandatory,
              uint64_t number, struct amqp_exception *ex)
{
    struct worker *w = ch->connection->worker;
    if (w->batch.publish_count == BATCH_PUBLISHES_MAX)
        batch_flush(w);
    if (send_reply(ch, m, number))
        return true;
    const struct route *route = find_route(ch, m, p, ex);
    if (route != NULL && is_delayed(route, m)) {
        /* The route keeps its exchange, and that the queue, until the batch has been flushed. */
        batch_publish_to(w, ch, route->exchange->pending, m, number);
        counter_add(&w->counters.routed, 1);
        return true;
    }
    if (route != NULL && route->queue_count == 0 && mandatory)
        return_message(ch, m);
    if (route == NULL) {
        message_unref(m);
        return false;
    }
    counter_add(route->queue_count > 0 ? &w->counters.routed
                : mandatory            ? &w->counters.returned
                                       : &w->counters.dropped,
                1);
    batch_publish(w, ch, route, m, number);
    return true;
}

bool
channel_route(struct channel *ch, struct message *m, bool mandatory, struct amqp_exception *ex)
{
    struct properties p;
    if (!decode_properties(m, &p, ex)) {
        message_unref(m);
        return false;
    }
    return route_message(ch, m, &p, mandatory, 0, ex);
}

/* In a transaction the message waits, but what is wrong with it is said now. */
static bool
keep_for_commit(struct channel *ch, struct message *m, const struct properties *p, bool mandatory,
                struct amqp_exception *ex)
{
    if (find_route(ch, m, p, ex) == NULL)
        return false;
    tx_add_publish(ch->tx, m, mandatory);
    return true;
}

static bool
publish_checked(struct channel *ch, struct message **m, struct properties *p,
                struct amqp_exception *ex)
{
    if (ch->publish.immediate)
        return amqp_raise(ex, AMQP_NOT_IMPLEMENTED, "immediate=true");
    if (!access_exchange(ch->connection, ACCESS_WRITE, message_exchange(*m), ex) ||
        !decode_properties(*m, p, ex) || !check_properties(ch, p, ex))
        return false;
    (*m)->priority = p->flags & PROPERTY_PRIORITY ? p->priority : 0;
    (*m)->is_persistent = (p->flags & PROPERTY_DELIVERY_MODE) && p->delivery_mode == 2;
    message_note_properties(*m, p);
    return fill_reply_to(ch, p, m, ex);
}

bool
channel_publish(struct channel *ch, struct message *m, struct amqp_exception *ex)
{
    struct properties p;
    const bool mandatory = ch->publish.mandatory;
    bool ok = publish_checked(ch, &m, &p, ex);
    if (ok && p.flags & PROPERTY_REPLY_TO)
        ok = decode_properties(m, &p, ex); /* They may have moved. */
    if (!ok) {
        message_unref(m);
        return false;
    }
    counter_add(&ch->connection->worker->counters.published, 1);
    if (ch->mode == CHANNEL_TX) {
        ok = keep_for_commit(ch, m, &p, mandatory, ex);
        if (!ok)
            message_unref(m);
        return ok;
    }
    const uint64_t number = ch->mode == CHANNEL_CONFIRM ? ++ch->publish_number : 0;
    if (number > 0)
        counter_add(&ch->connection->worker->counters.published_confirm, 1);
    return route_message(ch, m, &p, mandatory, number, ex);
}

/* The worker's list is in order of tickets, so that a commit touches only those it concerns. */
static void
wait_for_commit(struct channel *ch)
{
    struct list *head = &ch->connection->worker->confirming;
    struct list *place = head;
    const uint64_t ticket = confirms_ticket(&ch->confirms);
    while (place->prev != head &&
           confirms_ticket(&LIST_CONTAINER(place->prev, struct channel, in_confirming)->confirms) >
               ticket)
        place = place->prev;
    list_insert_before(place, &ch->in_confirming);
}

void
channel_publish_done(struct channel *ch, uint64_t number, uint64_t ticket, bool rejected)
{
    if (number == 0) {
        ch->partial_commit = ch->partial_commit || rejected;
        return;
    }
    confirms_add(&ch->confirms, number, ticket, rejected);
    if (!list_is_linked(&ch->in_confirming))
        wait_for_commit(ch);
}

void
channel_confirm(struct channel *ch, uint64_t committed)
{
    struct confirm_run run;
    while (confirms_take(&ch->confirms, committed, &run)) {
        const bool multiple = run.first != run.last;
        struct counters *counters = &ch->connection->worker->counters;
        counter_add(run.rejected ? &counters->refused : &counters->confirmed,
                    run.last - run.first + 1);
        if (run.rejected)
            CHANNEL_SEND(ch, basic_nack, .delivery_tag = run.last, .multiple = multiple);
        else
            CHANNEL_SEND(ch, basic_ack, .delivery_tag = run.last, .multiple = multiple);
    }
    list_unlink(&ch->in_confirming);
    if (!confirms_are_empty(&ch->confirms))
        wait_for_commit(ch);
}
