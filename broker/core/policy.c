#include "broker/core/policy.h"

#include "amqp/table.h"
#include "broker/base/endian.h"
#include "broker/base/mem.h"

#include <stdatomic.h>

/* The key of a note is the sort, the vhost with its length, and the name. */
#define KEY_POLICY "policy:"
#define KEY_OPERATORS "operator-policy:"

struct policy {
    struct list in_all;
    struct policy_spec spec; /* Its texts are copies. */
    struct pattern *pattern;
};

static const char *const apply_words[] = {
    [POLICY_TO_ALL] = "all",
    [POLICY_TO_QUEUES] = "queues",
    [POLICY_TO_EXCHANGES] = "exchanges",
    [POLICY_TO_CLASSIC_QUEUES] = "classic_queues",
    [POLICY_TO_QUORUM_QUEUES] = "quorum_queues",
    [POLICY_TO_STREAMS] = "streams",
};
#define APPLY_WORDS (sizeof(apply_words) / sizeof(apply_words[0]))

const char *
policy_apply_to_name(enum policy_apply_to apply_to)
{
    return apply_words[apply_to];
}

bool
policy_apply_to_find(struct bytes name, enum policy_apply_to *out)
{
    for (size_t i = 0; i < APPLY_WORDS; i++) {
        if (bytes_equal(name, bytes_of_string(apply_words[i]))) {
            *out = (enum policy_apply_to)i;
            return true;
        }
    }
    return false;
}

void
policies_init(struct policies *p, struct notes *notes)
{
    *p = (struct policies){ .notes = notes };
    lock_init(&p->lock);
    list_init(&p->all);
}

static void
policy_free(struct policy *policy)
{
    list_unlink(&policy->in_all);
    mem_free_const(policy->spec.vhost.data);
    mem_free_const(policy->spec.name.data);
    mem_free_const(policy->spec.pattern.data);
    mem_free_const(policy->spec.definition.data);
    pattern_destroy(policy->pattern);
    mem_free(policy);
}

void
policies_fini(struct policies *p)
{
    lock_acquire(&p->lock);
    LIST_FOREACH (link, &p->all)
        policy_free(LIST_CONTAINER(link, struct policy, in_all));
    lock_release(&p->lock);
    lock_fini(&p->lock);
}

static int
spec_order(const struct policy_spec *a, const struct policy_spec *b)
{
    const int order = bytes_compare(a->vhost, b->vhost);
    if (order != 0)
        return order;
    if (a->is_operators != b->is_operators)
        return a->is_operators ? 1 : -1;
    return bytes_compare(a->name, b->name);
}

/* Replaces one of the same name. The list stays sorted. */
static void
insert(struct policies *p, const struct policy_spec *spec, struct pattern *pattern)
    REQUIRES(p->lock)
{
    struct policy *policy = mem_alloc_zeroed(sizeof(*policy));
    struct list *place = &p->all;
    policy->spec = *spec;
    policy->spec.vhost = bytes_copy(spec->vhost);
    policy->spec.name = bytes_copy(spec->name);
    policy->spec.pattern = bytes_copy(spec->pattern);
    policy->spec.definition = bytes_copy(spec->definition);
    policy->pattern = pattern;
    LIST_FOREACH (link, &p->all) {
        struct policy *other = LIST_CONTAINER(link, struct policy, in_all);
        const int order = spec_order(&other->spec, &policy->spec);
        if (order == 0)
            policy_free(other);
        if (order > 0) {
            place = link;
            break;
        }
    }
    list_insert_before(place, &policy->in_all);
    atomic_fetch_add(&p->epoch, 1);
}

static void
put_part(struct buf *out, struct bytes part)
{
    store_be32(buf_reserve(out, 4), (uint32_t)part.size);
    out->size += 4;
    buf_append_bytes(out, part);
}

static bool
take_part(struct bytes *from, struct bytes *part)
{
    if (from->size < 4)
        return false;
    const size_t size = load_be32(from->data);
    if (size > from->size - 4)
        return false;
    *part = bytes_of(from->data + 4, size);
    *from = bytes_of(from->data + 4 + size, from->size - 4 - size);
    return true;
}

static struct buf
note_key(struct bytes vhost, bool is_operators, struct bytes name)
{
    struct buf key = { 0 };
    buf_printf(&key, "%s", is_operators ? KEY_OPERATORS : KEY_POLICY);
    put_part(&key, vhost);
    put_part(&key, name);
    return key;
}

static struct buf
note_value(const struct policy_spec *spec)
{
    struct buf value = { 0 };
    const uint8_t apply_to = (uint8_t)spec->apply_to;
    buf_append(&value, &apply_to, 1);
    store_be32(buf_reserve(&value, 4), (uint32_t)spec->priority);
    value.size += 4;
    put_part(&value, spec->pattern);
    put_part(&value, spec->definition);
    return value;
}

bool
policy_put(struct policies *p, const struct policy_spec *spec, uint64_t *ticket, char *problem,
           size_t problem_size)
{
    struct pattern *pattern = pattern_create(spec->pattern, problem, problem_size);
    *ticket = 0;
    if (pattern == NULL)
        return false;
    struct buf key = note_key(spec->vhost, spec->is_operators, spec->name);
    struct buf value = note_value(spec);
    lock_acquire(&p->lock);
    insert(p, spec, pattern);
    *ticket = notes_put(p->notes, buf_bytes(&key), buf_bytes(&value));
    lock_release(&p->lock);
    buf_fini(&key);
    buf_fini(&value);
    return true;
}

static uint64_t
delete_locked(struct policies *p, struct policy *policy) REQUIRES(p->lock)
{
    struct buf key = note_key(policy->spec.vhost, policy->spec.is_operators, policy->spec.name);
    const uint64_t ticket = notes_delete(p->notes, buf_bytes(&key));
    buf_fini(&key);
    policy_free(policy);
    atomic_fetch_add(&p->epoch, 1);
    return ticket;
}

uint64_t
policy_delete(struct policies *p, struct bytes vhost, bool is_operators, struct bytes name)
{
    uint64_t ticket = 0;
    const struct policy_spec wanted = { .vhost = vhost,
                                        .name = name,
                                        .is_operators = is_operators };
    lock_acquire(&p->lock);
    LIST_FOREACH (link, &p->all) {
        struct policy *policy = LIST_CONTAINER(link, struct policy, in_all);
        if (spec_order(&policy->spec, &wanted) == 0)
            ticket = delete_locked(p, policy);
    }
    lock_release(&p->lock);
    return ticket;
}

uint64_t
policies_delete_vhost(struct policies *p, struct bytes vhost)
{
    uint64_t ticket = 0;
    lock_acquire(&p->lock);
    LIST_FOREACH (link, &p->all) {
        struct policy *policy = LIST_CONTAINER(link, struct policy, in_all);
        if (bytes_equal(policy->spec.vhost, vhost))
            ticket = delete_locked(p, policy);
    }
    lock_release(&p->lock);
    return ticket;
}

static bool
fits(enum policy_apply_to apply_to, enum policy_target target)
{
    switch (apply_to) {
    case POLICY_TO_ALL:
        return true;
    case POLICY_TO_QUEUES:
        return target != POLICY_FOR_EXCHANGE;
    case POLICY_TO_EXCHANGES:
        return target == POLICY_FOR_EXCHANGE;
    case POLICY_TO_CLASSIC_QUEUES:
        return target == POLICY_FOR_CLASSIC_QUEUE;
    case POLICY_TO_QUORUM_QUEUES:
        return target == POLICY_FOR_QUORUM_QUEUE;
    case POLICY_TO_STREAMS:
        return target == POLICY_FOR_STREAM;
    }
    return false;
}

bool
policy_for(struct policies *p, struct bytes vhost, struct bytes name, enum policy_target target,
           struct policy_in_force found[POLICY_SORTS])
{
    const struct policy *best[POLICY_SORTS] = { NULL, NULL };
    lock_acquire(&p->lock);
    LIST_FOREACH (link, &p->all) {
        const struct policy *policy = LIST_CONTAINER(link, struct policy, in_all);
        const struct policy **sort = &best[policy->spec.is_operators];
        if (!bytes_equal(policy->spec.vhost, vhost) || !fits(policy->spec.apply_to, target) ||
            (*sort != NULL && (*sort)->spec.priority >= policy->spec.priority))
            continue;
        if (pattern_matches(policy->pattern, name))
            *sort = policy;
    }
    for (size_t sort = 0; sort < POLICY_SORTS; sort++) {
        found[sort] = (struct policy_in_force){ 0 };
        if (best[sort] == NULL)
            continue;
        buf_append_bytes(&found[sort].name, best[sort]->spec.name);
        buf_append_bytes(&found[sort].definition, best[sort]->spec.definition);
    }
    lock_release(&p->lock);
    return best[POLICY_USERS] != NULL || best[POLICY_OPERATORS] != NULL;
}

void
policies_in_force_fini(struct policy_in_force found[POLICY_SORTS])
{
    for (size_t sort = 0; sort < POLICY_SORTS; sort++) {
        buf_fini(&found[sort].name);
        buf_fini(&found[sort].definition);
    }
}

void
policies_each(struct policies *p, void (*each)(void *context, const struct policy_spec *policy),
              void *context)
{
    lock_acquire(&p->lock);
    LIST_FOREACH (link, &p->all)
        each(context, &LIST_CONTAINER(link, struct policy, in_all)->spec);
    lock_release(&p->lock);
}

static bool
spec_decode(struct bytes key, struct bytes value, struct policy_spec *out)
{
    if (!take_part(&key, &out->vhost) || !take_part(&key, &out->name) || key.size != 0 ||
        value.size < 5 || value.data[0] >= APPLY_WORDS)
        return false;
    out->apply_to = (enum policy_apply_to)value.data[0];
    out->priority = (int32_t)load_be32(value.data + 1);
    value = bytes_of(value.data + 5, value.size - 5);
    return take_part(&value, &out->pattern) && take_part(&value, &out->definition) &&
           value.size == 0 && table_is_valid(out->definition);
}

struct restoring {
    struct policies *policies;
    bool is_operators;
    bool is_sound;
};

/* Whoever calls notes_each holds the lock, which comes before the notes'. */
static void
restore_one(void *context, struct bytes key, struct bytes value) UNCHECKED_LOCKING
{
    struct restoring *r = context;
    struct policy_spec spec = { .is_operators = r->is_operators };
    char problem[200];
    const size_t prefix = strlen(r->is_operators ? KEY_OPERATORS : KEY_POLICY);
    struct pattern *pattern = NULL;
    if (spec_decode(bytes_of(key.data + prefix, key.size - prefix), value, &spec))
        pattern = pattern_create(spec.pattern, problem, sizeof(problem));
    r->is_sound = r->is_sound && pattern != NULL;
    if (pattern == NULL)
        return;
    insert(r->policies, &spec, pattern);
}

bool
policies_restore(struct policies *p)
{
    struct restoring r = { .policies = p, .is_sound = true };
    lock_acquire(&p->lock);
    notes_each(p->notes, BYTES_LITERAL(KEY_POLICY), restore_one, &r);
    r.is_operators = true;
    notes_each(p->notes, BYTES_LITERAL(KEY_OPERATORS), restore_one, &r);
    lock_release(&p->lock);
    return r.is_sound;
}
