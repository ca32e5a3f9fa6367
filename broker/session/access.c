#include "broker/session/access.h"

#include "amqp/table.h"
#include "broker/base/mem.h"
#include "broker/session/worker.h"

static struct auth *
auth_of(const struct connection *c)
{
    return c->worker->broker->auth;
}

static void
forget(struct connection *c)
{
    grant_unref(c->grant);
    c->grant = NULL;
    mem_free(c->access);
    c->access = NULL;
}

bool
access_open(struct connection *c)
{
    forget(c);
    c->grant = auth_find_grant(auth_of(c), c->account->name, c->vhost->name, &c->grant_epoch);
    return c->grant != NULL;
}

void
access_close(struct connection *c)
{
    forget(c);
}

/* The grant as of now; NULL if the user has lost its permissions, or is gone. */
static const struct grant *
current_grant(struct connection *c)
{
    if (auth_epoch(auth_of(c)) != c->grant_epoch)
        access_open(c);
    return c->grant;
}

static bool
is_allowed(struct connection *c, const struct grant *g, enum access access, struct bytes name)
{
    const uint8_t kind = (uint8_t)access;
    const uint64_t hash = bytes_hash2(bytes_of(&kind, 1), name) | 1;
    if (c->access == NULL)
        c->access = mem_alloc_zeroed(sizeof(*c->access));
    const size_t slot = hash >> 8 & (ACCESS_SLOTS - 1);
    if (c->access->hash[slot] != hash) {
        c->access->hash[slot] = hash;
        c->access->allowed[slot] = grant_allows(g, access, name);
    }
    return c->access->allowed[slot];
}

static bool
check(struct connection *c, const char *what, enum access access, struct bytes name,
      struct amqp_exception *ex)
{
    const struct grant *g = current_grant(c);
    if (g != NULL && (grant_is_full(g, access) || is_allowed(c, g, access, name)))
        return true;
    if (name.size == 0)
        name = BYTES_LITERAL("amq.default");
    return amqp_raise(ex, AMQP_ACCESS_REFUSED,
                      "access to %s '%.*s' in vhost '%.*s' refused for user '%.*s'", what,
                      BYTES_ARGS(name), BYTES_ARGS(c->vhost->name), BYTES_ARGS(c->user));
}

bool
access_queue(struct connection *c, enum access access, struct bytes name, struct amqp_exception *ex)
{
    return check(c, "queue", access, name, ex);
}

bool
access_exchange(struct connection *c, enum access access, struct bytes name,
                struct amqp_exception *ex)
{
    return check(c, "exchange", access, name, ex);
}

bool
access_knows_topics(struct connection *c)
{
    const struct grant *g = current_grant(c);
    return g != NULL && grant_has_topics(g);
}

bool
access_topic(struct connection *c, enum access access, struct bytes exchange, struct bytes key,
             struct amqp_exception *ex)
{
    const struct grant *g = current_grant(c);
    if (g == NULL || !grant_has_topics(g) || grant_allows_topic(g, access, exchange, key))
        return true;
    return amqp_raise(ex, AMQP_ACCESS_REFUSED,
                      "access to topic '%.*s' in exchange '%.*s' in vhost '%.*s' refused for user "
                      "'%.*s'",
                      BYTES_ARGS(key), BYTES_ARGS(exchange), BYTES_ARGS(c->vhost->name),
                      BYTES_ARGS(c->user));
}

static bool
is_topic_exchange(struct vhost *v, struct bytes name)
{
    rwlock_read(&v->topology);
    const struct exchange *x = vhost_find_exchange(v, name);
    const bool is_topic = x != NULL && x->router.type == ROUTER_TOPIC;
    rwlock_read_end(&v->topology);
    return is_topic;
}

bool
access_topic_source(struct connection *c, struct bytes exchange, struct bytes key,
                    struct amqp_exception *ex)
{
    return !access_knows_topics(c) || !is_topic_exchange(c->vhost, exchange) ||
           access_topic(c, ACCESS_READ, exchange, key, ex);
}

bool
access_named_exchange(struct connection *c, struct bytes arguments, const char *argument,
                      struct amqp_exception *ex)
{
    struct table_field f;
    return !table_find(arguments, bytes_of_string(argument), &f) || f.tag != 'S' ||
           access_exchange(c, ACCESS_WRITE, f.value, ex);
}
