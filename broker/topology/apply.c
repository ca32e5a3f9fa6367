#include "broker/topology/apply.h"

#include "broker/auth/auth.h"
#include "broker/auth/password.h"
#include "broker/base/clock.h"
#include "broker/base/panic.h"
#include "broker/core/vhosts.h"
#include "broker/topology/current.h"

#include <stdio.h>
#include <time.h>

#define COMMIT_WAIT_MS 10000u
#define COMMIT_LOOK_NS 1000000L

struct applier {
    const struct apply_request *request;
    const struct topology *current;
    uint64_t ticket; /* The last of all. */
};

/* Does one thing to one object: false with the exception's text. */
typedef bool apply_step(struct applier *a, const struct topology_item *item,
                        struct amqp_exception *ex);

static void
wait_for(struct applier *a, uint64_t ticket)
{
    if (ticket > a->ticket)
        a->ticket = ticket;
}

static struct vhost *
vhost_of(const struct applier *a, const struct topology_item *item, struct amqp_exception *ex)
{
    struct vhost *v = broker_find_vhost(a->request->broker, item->vhost);
    if (v == NULL)
        amqp_raise(ex, AMQP_NOT_FOUND, "no vhost '%.*s'", BYTES_ARGS(item->vhost));
    return v;
}

/* What the file does not say stays as it is; no data if nothing is said anywhere. */
static struct bytes
value_of(const struct applier *a, const struct topology_item *item, size_t field)
{
    if (item->values[field].data != NULL)
        return item->values[field];
    const struct topology_item *current = topology_find(a->current, item);
    return current == NULL ? BYTES_NONE : current->values[field];
}

static int64_t
limit_of(const struct applier *a, const struct topology_item *item, size_t field)
{
    struct topology_item merged = *item;
    merged.values[field] = value_of(a, item, field);
    return topology_integer(&merged, field, NO_LIMIT);
}

static bool
make_vhost(struct applier *a, const struct topology_item *item, struct amqp_exception *ex)
{
    (void)ex;
    const struct vhost_spec spec = {
        .name = item->name,
        .description = value_of(a, item, VHOST_DESCRIPTION),
        .tags = value_of(a, item, VHOST_TAGS),
        .default_queue_type = value_of(a, item, VHOST_DEFAULT_QUEUE_TYPE),
        .max_connections = limit_of(a, item, VHOST_MAX_CONNECTIONS),
        .max_queues = limit_of(a, item, VHOST_MAX_QUEUES),
    };
    wait_for(a, broker_put_vhost(a->request->broker, &spec));
    return true;
}

static bool
drop_vhost(struct applier *a, const struct topology_item *item, struct amqp_exception *ex)
{
    (void)ex;
    wait_for(a, broker_delete_vhost(a->request->broker, item->name));
    return true;
}

static bool
password_is(void *context, const struct topology_item *user, struct bytes password)
{
    char hash[PASSWORD_TEXT_SIZE];
    struct broker *b = context;
    return auth_copy_hash(b->auth, user->name, hash, sizeof(hash)) &&
           password_verify(bytes_of_string(hash), password);
}

/* A password that is right already keeps its hash. */
static bool
hash_of(const struct applier *a, const struct topology_item *item, char text[PASSWORD_TEXT_SIZE],
        struct amqp_exception *ex)
{
    const struct bytes password = item->values[USER_PASSWORD];
    const struct bytes hash = value_of(a, item, USER_PASSWORD_HASH);
    if (password.data != NULL && !password_is(a->request->broker, item, password))
        return password_hash(PASSWORD_SCRYPT, password, text) ||
               amqp_raise(ex, AMQP_PRECONDITION_FAILED,
                          "the password is empty, or longer than %u octets", PASSWORD_BYTES_MAX);
    snprintf(text, PASSWORD_TEXT_SIZE, "%.*s", BYTES_ARGS(hash));
    return true;
}

static bool
make_user(struct applier *a, const struct topology_item *item, struct amqp_exception *ex)
{
    char hash[PASSWORD_TEXT_SIZE];
    if (!hash_of(a, item, hash, ex))
        return false;
    const struct user_spec spec = {
        .name = item->name,
        .hash = bytes_of_string(hash),
        .tags = value_of(a, item, USER_TAGS),
        .loopback_only = value_of(a, item, USER_CONNECT_FROM).size > 0,
        .max_connections = limit_of(a, item, USER_MAX_CONNECTIONS),
        .max_channels = limit_of(a, item, USER_MAX_CHANNELS),
    };
    wait_for(a, auth_put_user(a->request->broker->auth, &spec));
    return true;
}

static bool
drop_user(struct applier *a, const struct topology_item *item, struct amqp_exception *ex)
{
    (void)ex;
    wait_for(a, auth_delete_user(a->request->broker->auth, item->name));
    return true;
}

static bool
make_permission(struct applier *a, const struct topology_item *item, struct amqp_exception *ex)
{
    uint64_t ticket;
    char problem[200];
    const struct permission_spec spec = {
        .user = item->name,
        .vhost = item->vhost,
        .configure = item->values[PERMISSION_CONFIGURE],
        .write = item->values[PERMISSION_WRITE],
        .read = item->values[PERMISSION_READ],
    };
    if (vhost_of(a, item, ex) == NULL)
        return false;
    if (!auth_put_permission(a->request->broker->auth, &spec, &ticket, problem, sizeof(problem)))
        return amqp_raise(ex, AMQP_PRECONDITION_FAILED, "%s", problem);
    wait_for(a, ticket);
    return true;
}

static bool
drop_permission(struct applier *a, const struct topology_item *item, struct amqp_exception *ex)
{
    (void)ex;
    wait_for(a, auth_delete_permission(a->request->broker->auth, item->name, item->vhost));
    return true;
}

static bool
make_topic_permission(struct applier *a, const struct topology_item *item,
                      struct amqp_exception *ex)
{
    uint64_t ticket;
    char problem[200];
    const struct topic_permission_spec spec = {
        .user = item->name,
        .vhost = item->vhost,
        .exchange = item->other,
        .write = item->values[TOPIC_PERMISSION_WRITE],
        .read = item->values[TOPIC_PERMISSION_READ],
    };
    if (vhost_of(a, item, ex) == NULL)
        return false;
    if (!auth_put_topic_permission(a->request->broker->auth, &spec, &ticket, problem,
                                   sizeof(problem)))
        return amqp_raise(ex, AMQP_PRECONDITION_FAILED, "%s", problem);
    wait_for(a, ticket);
    return true;
}

static bool
drop_topic_permission(struct applier *a, const struct topology_item *item,
                      struct amqp_exception *ex)
{
    (void)ex;
    wait_for(a, auth_delete_topic_permission(a->request->broker->auth, item->name, item->vhost,
                                             item->other));
    return true;
}

static bool
make_exchange(struct applier *a, const struct topology_item *item, struct amqp_exception *ex)
{
    uint64_t ticket;
    struct vhost *v = vhost_of(a, item, ex);
    struct exchange_spec spec = {
        .name = item->name,
        .arguments = item->values[EXCHANGE_ARGUMENTS],
        .durable = topology_bool(item, EXCHANGE_DURABLE),
        .auto_delete = topology_bool(item, EXCHANGE_AUTO_DELETE),
        .internal = topology_bool(item, EXCHANGE_INTERNAL),
    };
    if (v == NULL || !exchange_spec_parse(&spec, item->values[EXCHANGE_TYPE], v->name, ex) ||
        !vhost_declare_exchange(v, &spec, &ticket, ex))
        return false;
    wait_for(a, ticket);
    return true;
}

static bool
drop_exchange(struct applier *a, const struct topology_item *item, struct amqp_exception *ex)
{
    uint64_t ticket;
    struct vhost *v = vhost_of(a, item, ex);
    if (v == NULL || !vhost_delete_exchange(v, item->name, false, &ticket, ex))
        return false;
    wait_for(a, ticket);
    return true;
}

static bool
make_queue(struct applier *a, const struct topology_item *item, struct amqp_exception *ex)
{
    struct queue *q;
    bool created;
    uint64_t ticket;
    struct vhost *v = vhost_of(a, item, ex);
    const struct queue_spec spec = {
        .name = item->name,
        .arguments = item->values[QUEUE_ARGUMENTS],
        .durable = topology_bool(item, QUEUE_DURABLE),
        .auto_delete = topology_bool(item, QUEUE_AUTO_DELETE),
        .window = a->request->broker->config->limits.outbox_bytes,
    };
    if (v == NULL || !vhost_declare_queue(v, &spec, 0, &q, &created, &ticket, ex))
        return false;
    queue_unref(q);
    wait_for(a, ticket);
    return true;
}

/* A message that has come since the plan was made is safe, too. */
static bool
drop_queue(struct applier *a, const struct topology_item *item, struct amqp_exception *ex)
{
    size_t ready;
    uint64_t ticket;
    const bool if_empty = a->request->rules.delete_queues != DELETE_QUEUES_ALWAYS;
    struct vhost *v = vhost_of(a, item, ex);
    if (v == NULL)
        return false;
    struct queue *q = vhost_use_queue(v, item->name, 0, ex);
    if (q == NULL)
        return ex->code == AMQP_NOT_FOUND; /* Somebody was faster. */
    const bool done = vhost_delete_queue(v, q, false, if_empty, &ready, &ticket, ex);
    queue_unref(q);
    if (done)
        wait_for(a, ticket);
    return done;
}

static struct bind_spec
bind_spec_of(const struct topology_item *item)
{
    return (struct bind_spec){
        .source = item->other,
        .destination_kind = item->to_exchange ? DESTINATION_EXCHANGE : DESTINATION_QUEUE,
        .destination = item->name,
        .key = item->key,
        .arguments = item->arguments,
    };
}

static bool
make_binding(struct applier *a, const struct topology_item *item, struct amqp_exception *ex)
{
    uint64_t ticket;
    struct vhost *v = vhost_of(a, item, ex);
    const struct bind_spec spec = bind_spec_of(item);
    if (v == NULL || !vhost_bind(v, &spec, 0, &ticket, ex))
        return false;
    wait_for(a, ticket);
    return true;
}

static bool
drop_binding(struct applier *a, const struct topology_item *item, struct amqp_exception *ex)
{
    uint64_t ticket;
    struct vhost *v = vhost_of(a, item, ex);
    const struct bind_spec spec = bind_spec_of(item);
    if (v == NULL || !vhost_unbind(v, &spec, 0, &ticket, ex))
        return false;
    wait_for(a, ticket);
    return true;
}

static bool
make_policy(struct applier *a, const struct topology_item *item, struct amqp_exception *ex)
{
    uint64_t ticket;
    char problem[200];
    struct policy_spec spec = {
        .vhost = item->vhost,
        .name = item->name,
        .is_operators = item->kind == TOPOLOGY_OPERATOR_POLICY,
        .pattern = item->values[POLICY_PATTERN],
        .priority = (int32_t)topology_integer(item, POLICY_PRIORITY, 0),
        .definition = item->values[POLICY_DEFINITION],
    };
    const bool is_known = policy_apply_to_find(item->values[POLICY_APPLY_TO], &spec.apply_to);
    ASSERT(is_known);
    if (!policy_put(&a->request->broker->policies, &spec, &ticket, problem, sizeof(problem)))
        return amqp_raise(ex, AMQP_PRECONDITION_FAILED, "%s", problem);
    broker_apply_policies(a->request->broker);
    wait_for(a, ticket);
    return true;
}

static bool
drop_policy(struct applier *a, const struct topology_item *item, struct amqp_exception *ex)
{
    (void)ex;
    wait_for(a, policy_delete(&a->request->broker->policies, item->vhost,
                              item->kind == TOPOLOGY_OPERATOR_POLICY, item->name));
    broker_apply_policies(a->request->broker);
    return true;
}

/* Making is also updating. */
static const struct {
    apply_step *make;
    apply_step *drop;
} steps[TOPOLOGY_KINDS] = {
    [TOPOLOGY_VHOST] = { make_vhost, drop_vhost },
    [TOPOLOGY_USER] = { make_user, drop_user },
    [TOPOLOGY_PERMISSION] = { make_permission, drop_permission },
    [TOPOLOGY_TOPIC_PERMISSION] = { make_topic_permission, drop_topic_permission },
    [TOPOLOGY_EXCHANGE] = { make_exchange, drop_exchange },
    [TOPOLOGY_QUEUE] = { make_queue, drop_queue },
    [TOPOLOGY_BINDING] = { make_binding, drop_binding },
    [TOPOLOGY_POLICY] = { make_policy, drop_policy },
    [TOPOLOGY_OPERATOR_POLICY] = { make_policy, drop_policy },
};

static bool
carry_out(struct applier *a, const struct change *c, struct amqp_exception *ex)
{
    struct broker *b = a->request->broker;
    if (c->kind == CHANGE_DELETE || c->kind == CHANGE_REPLACE) {
        if (!steps[c->current->kind].drop(a, c->current, ex))
            return false;
        wait_for(a, current_note_gone(b, c->current));
    }
    if (c->kind == CHANGE_DELETE)
        return true;
    if (!steps[c->wanted->kind].make(a, c->wanted, ex))
        return false;
    if (c->kind != CHANGE_UPDATE && a->request->origin.size > 0)
        wait_for(a, current_note_made(b, c->wanted, a->request->origin));
    return true;
}

static bool
wait_for_commit(const struct door *door, uint64_t ticket)
{
    const uint64_t deadline_ms = clock_monotonic_ms() + COMMIT_WAIT_MS;
    const struct timespec pause = { .tv_nsec = COMMIT_LOOK_NS };
    while (door_committed(door) < ticket) {
        if (door_has_failed(door) || clock_monotonic_ms() > deadline_ms)
            return false;
        nanosleep(&pause, NULL);
    }
    return true;
}

static enum apply_outcome
carry_out_all(const struct apply_request *request, struct apply_result *result)
{
    struct applier a = { .request = request, .current = &result->current };
    enum apply_outcome outcome = APPLY_DONE;
    for (size_t i = 0; i < result->plan.count; i++) {
        struct change *c = &result->plan.changes[i];
        struct amqp_exception ex;
        if (carry_out(&a, c, &ex))
            continue;
        outcome = APPLY_FAILED;
        snprintf(c->failure, sizeof(c->failure), "%s", ex.text);
    }
    result->is_committed = wait_for_commit(request->broker->door, a.ticket);
    return outcome;
}

void
apply_topology(const struct apply_request *request, struct apply_result *result)
{
    *result = (struct apply_result){ .outcome = APPLY_NOTHING, .is_committed = true };
    topology_init(&result->current);
    current_read(request->broker, request->origin, &result->current);
    const struct plan_request plan = {
        .current = &result->current,
        .wanted = request->wanted,
        .rules = request->rules,
        .password_is = password_is,
        .context = request->broker,
    };
    plan_make(&result->plan, &plan);
    if (!request->is_plan_only)
        current_tidy_notes(request->broker, &result->current);
    if (result->plan.refused > 0)
        result->outcome = APPLY_REFUSED;
    else if (result->plan.count > 0)
        result->outcome = request->is_plan_only ? APPLY_DONE : carry_out_all(request, result);
}

void
apply_result_fini(struct apply_result *result)
{
    plan_fini(&result->plan);
    topology_fini(&result->current);
}

struct topology_rules
apply_rules(const struct topology *wanted, bool prunes, bool forces)
{
    struct topology_rules rules = wanted->rules;
    if (prunes && rules.prune == PRUNE_NONE)
        rules.prune = PRUNE_OWNED;
    if (forces)
        rules.delete_queues = DELETE_QUEUES_ALWAYS;
    return rules;
}

void
apply_answer(const struct apply_result *result, struct buf *out)
{
    static const char *const words[] = {
        [APPLY_NOTHING] = "nothing",
        [APPLY_DONE] = "done",
        [APPLY_REFUSED] = "refused",
        [APPLY_FAILED] = "failed",
    };
    buf_printf(out, "%s ", words[result->outcome]);
    apply_summary(result, out);
}

void
apply_summary(const struct apply_result *result, struct buf *out)
{
    const struct plan *p = &result->plan;
    switch (result->outcome) {
    case APPLY_NOTHING:
        buf_printf(out, "nothing to change");
        return;
    case APPLY_REFUSED:
        buf_printf(out, "%zu of %zu changes are refused, and nothing was changed", p->refused,
                   p->count);
        return;
    case APPLY_DONE:
    case APPLY_FAILED:
        break;
    }
    buf_printf(out, "created=%zu updated=%zu replaced=%zu deleted=%zu%s%s",
               p->counts[CHANGE_CREATE], p->counts[CHANGE_UPDATE], p->counts[CHANGE_REPLACE],
               p->counts[CHANGE_DELETE],
               result->outcome == APPLY_FAILED ? "; some of it failed" : "",
               result->is_committed ? "" : "; it waits for the disk");
}
