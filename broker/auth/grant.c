#include "broker/auth/grant.h"

#include "broker/base/mem.h"
#include "broker/base/panic.h"

#include <stdio.h>

#define ACCESS_KINDS 3

struct topic_grant {
    struct list link;
    struct bytes exchange;
    struct pattern *write;
    struct pattern *read;
};

struct grant {
    _Atomic uint32_t refs;
    struct bytes user;
    struct bytes vhost;
    struct pattern *patterns[ACCESS_KINDS];
    bool is_full[ACCESS_KINDS];
    struct list topics; /* Of struct topic_grant. */
};

/* RabbitMQ's rule: an empty pattern fits the empty name only. */
static struct pattern *
compile(struct bytes text, const char *what, char *problem, size_t problem_size)
{
    char reason[256];
    if (text.size == 0)
        text = BYTES_LITERAL("^$");
    struct pattern *p = pattern_create(text, reason, sizeof(reason));
    if (p == NULL)
        snprintf(problem, problem_size, "the pattern for %s is no regular expression: %s", what,
                 reason);
    return p;
}

static bool
is_everything(struct bytes text)
{
    return bytes_equal(text, BYTES_LITERAL(".*")) || bytes_equal(text, BYTES_LITERAL("^.*$"));
}

struct grant *
grant_create(const struct permission_spec *spec, char *problem, size_t problem_size)
{
    const struct bytes texts[] = { spec->configure, spec->write, spec->read };
    static const char *const names[] = { "configure", "write", "read" };
    struct grant *g = mem_alloc_zeroed(sizeof(*g));
    bool ok = true;
    atomic_init(&g->refs, 1);
    g->user = bytes_copy(spec->user);
    g->vhost = bytes_copy(spec->vhost);
    list_init(&g->topics);
    for (size_t i = 0; ok && i < ACCESS_KINDS; i++) {
        g->patterns[i] = compile(texts[i], names[i], problem, problem_size);
        g->is_full[i] = is_everything(texts[i]);
        ok = g->patterns[i] != NULL;
    }
    if (ok)
        return g;
    grant_unref(g);
    return NULL;
}

/* Puts a name into a pattern as it is, whatever characters it has. */
static void
append_quoted(struct buf *out, struct bytes name)
{
    for (size_t i = 0; i < name.size; i++) {
        const uint8_t c = name.data[i];
        const bool is_plain = c >= 0x80 || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
                              (c >= 'a' && c <= 'z') || c == '_';
        if (!is_plain)
            buf_append(out, "\\", 1);
        buf_append(out, &c, 1);
    }
}

static struct bytes
without_start(struct bytes text, size_t size)
{
    return bytes_of(text.data + size, text.size - size);
}

static void
expand(struct bytes text, struct bytes user, struct bytes vhost, struct buf *out)
{
    while (text.size > 0) {
        if (bytes_start_with(text, BYTES_LITERAL("{username}"))) {
            append_quoted(out, user);
            text = without_start(text, strlen("{username}"));
        } else if (bytes_start_with(text, BYTES_LITERAL("{vhost}"))) {
            append_quoted(out, vhost);
            text = without_start(text, strlen("{vhost}"));
        } else {
            buf_append(out, text.data, 1);
            text = without_start(text, 1);
        }
    }
}

static struct pattern *
compile_topic(struct bytes text, struct bytes user, struct bytes vhost, const char *what,
              char *problem, size_t problem_size)
{
    struct buf expanded = { 0 };
    expand(text, user, vhost, &expanded);
    struct pattern *p = compile(buf_bytes(&expanded), what, problem, problem_size);
    buf_fini(&expanded);
    return p;
}

bool
topic_pattern_is_sound(struct bytes text, char *problem, size_t problem_size)
{
    struct pattern *p = compile_topic(text, BYTES_LITERAL("u"), BYTES_LITERAL("v"), "a topic",
                                      problem, problem_size);
    pattern_destroy(p);
    return p != NULL;
}

static void
topic_free(struct topic_grant *t)
{
    list_unlink(&t->link);
    mem_free_const(t->exchange.data);
    pattern_destroy(t->write);
    pattern_destroy(t->read);
    mem_free(t);
}

bool
grant_add_topic(struct grant *g, const struct topic_permission_spec *spec, char *problem,
                size_t problem_size)
{
    struct topic_grant *t = mem_alloc_zeroed(sizeof(*t));
    t->exchange = bytes_copy(spec->exchange);
    t->write = compile_topic(spec->write, g->user, g->vhost, "writing", problem, problem_size);
    t->read = compile_topic(spec->read, g->user, g->vhost, "reading", problem, problem_size);
    list_push(&g->topics, &t->link);
    return t->write != NULL && t->read != NULL;
}

void
grant_unref(struct grant *g)
{
    if (g == NULL)
        return;
    const uint32_t before = atomic_fetch_sub_explicit(&g->refs, 1, memory_order_acq_rel);
    ASSERT(before > 0);
    if (before > 1)
        return;
    while (!list_is_empty(&g->topics))
        topic_free(LIST_CONTAINER(g->topics.next, struct topic_grant, link));
    for (size_t i = 0; i < ACCESS_KINDS; i++)
        pattern_destroy(g->patterns[i]);
    mem_free_const(g->user.data);
    mem_free_const(g->vhost.data);
    mem_free(g);
}

void
grant_ref(struct grant *g)
{
    atomic_fetch_add_explicit(&g->refs, 1, memory_order_relaxed);
}

bool
grant_is_full(const struct grant *g, enum access access)
{
    return g->is_full[access];
}

bool
grant_allows(const struct grant *g, enum access access, struct bytes name)
{
    if (name.size == 0)
        name = BYTES_LITERAL("amq.default"); /* The default exchange is judged by this name. */
    return g->is_full[access] || pattern_matches(g->patterns[access], name);
}

bool
grant_has_topics(const struct grant *g)
{
    return !list_is_empty(&g->topics);
}

bool
grant_allows_topic(const struct grant *g, enum access access, struct bytes exchange,
                   struct bytes key)
{
    LIST_FOREACH (link, &g->topics) {
        const struct topic_grant *t = LIST_CONTAINER(link, struct topic_grant, link);
        if (bytes_equal(t->exchange, exchange))
            return pattern_matches(access == ACCESS_WRITE ? t->write : t->read, key);
    }
    return true; /* Where nothing is said, nothing is refused. */
}
