#include "broker/session/access.h"

#include "broker/base/mem.h"
#include "broker/session/worker.h"

static struct auth *
auth_of(const struct connection *c)
{
    return c->worker->broker->auth;
}

#define SLOTS 128u
/* Longer names, which arguments can hold, are looked up each time. */
#define NAMES_BYTES_MAX 512u

/* May the user have `access` to what is called `name`; for topics, with this key? */
struct question {
    enum access access;
    bool is_topic;
    struct bytes name;
    struct bytes key;
};

/* What was asked, octet for octet: equal hashes must not let anybody in. */
struct answer {
    uint64_t hash;
    uint8_t *octets; /* Of name and key; NULL: nothing is remembered here. */
    uint32_t name_size;
    uint32_t key_size;
    enum access access;
    bool is_topic;
    bool allowed;
};

/* Direct-mapped. */
struct access_cache {
    struct answer answers[SLOTS];
};

static void
forget(struct connection *c)
{
    grant_unref(c->grant);
    c->grant = NULL;
    for (size_t i = 0; c->access != NULL && i < SLOTS; i++)
        mem_free(c->access->answers[i].octets);
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
is_of(const struct answer *a, uint64_t hash, const struct question *q)
{
    return a->octets != NULL && a->hash == hash && a->access == q->access &&
           a->is_topic == q->is_topic && bytes_equal(bytes_of(a->octets, a->name_size), q->name) &&
           bytes_equal(bytes_of(a->octets + a->name_size, a->key_size), q->key);
}

static void
remember(struct answer *a, uint64_t hash, const struct question *q, bool allowed)
{
    uint8_t *octets = mem_alloc(q->name.size + q->key.size + 1);
    if (q->name.size > 0)
        memcpy(octets, q->name.data, q->name.size);
    if (q->key.size > 0)
        memcpy(octets + q->name.size, q->key.data, q->key.size);
    mem_free(a->octets);
    *a = (struct answer){
        .hash = hash,
        .octets = octets,
        .name_size = (uint32_t)q->name.size,
        .key_size = (uint32_t)q->key.size,
        .access = q->access,
        .is_topic = q->is_topic,
        .allowed = allowed,
    };
}

static bool
ask(const struct grant *g, const struct question *q)
{
    return q->is_topic ? grant_allows_topic(g, q->access, q->name, q->key)
                       : grant_allows(g, q->access, q->name);
}

static bool
is_allowed(struct connection *c, const struct grant *g, const struct question *q)
{
    const uint8_t kind = (uint8_t)(q->access * 2 + q->is_topic);
    const uint64_t hash = bytes_hash2(q->name, q->key) + kind;
    if (q->name.size + q->key.size > NAMES_BYTES_MAX)
        return ask(g, q);
    if (c->access == NULL)
        c->access = mem_alloc_zeroed(sizeof(*c->access));
    struct answer *a = &c->access->answers[hash % SLOTS];
    if (!is_of(a, hash, q))
        remember(a, hash, q, ask(g, q));
    return a->allowed;
}

static bool
check(struct connection *c, const char *what, enum access access, struct bytes name,
      struct amqp_exception *ex)
{
    const struct grant *g = current_grant(c);
    const struct question q = { .access = access, .name = name };
    if (g != NULL && (grant_is_full(g, access) || is_allowed(c, g, &q)))
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
    const struct question q = { access, true, exchange, key };
    if (g == NULL || !grant_has_topics(g) || is_allowed(c, g, &q))
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
