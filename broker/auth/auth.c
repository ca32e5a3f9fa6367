#include "broker/auth/auth.h"

#include "broker/auth/grant.h"
#include "broker/base/endian.h"
#include "broker/base/mem.h"
#include "broker/base/panic.h"

#include <stdio.h>

#define KEY_USER "user:"
#define KEY_PERMISSION "permission:"
#define KEY_TOPIC "topic-permission:"

/* The permissions of a user in a virtual host, ready for use. */
struct permission {
    struct map_node by_key;
    struct buf key; /* Of the note. */
    struct grant *grant;
};

struct auth {
    struct notes *notes;
    struct lock lock;
    struct map accounts;    /* Guarded by lock. Of struct account. */
    struct map permissions; /* Guarded by lock. Of struct permission. */
    _Atomic uint64_t epoch;
    void (*told)(void *context); /* May be NULL. */
    void *told_context;
};

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
    if (from->size < 4 || load_be32(from->data) > from->size - 4)
        return false;
    *part = bytes_of(from->data + 4, load_be32(from->data));
    *from = bytes_of(part->data + part->size, from->size - 4 - part->size);
    return true;
}

static void
put_number(struct buf *out, int64_t number)
{
    store_be64(buf_reserve(out, 8), (uint64_t)number);
    out->size += 8;
}

static bool
take_number(struct bytes *from, int64_t *number)
{
    if (from->size < 8)
        return false;
    *number = (int64_t)load_be64(from->data);
    *from = bytes_of(from->data + 8, from->size - 8);
    return true;
}

static struct buf
key_of(const char *kind, const struct bytes *parts, size_t count)
{
    struct buf key = { 0 };
    buf_append_bytes(&key, bytes_of_string(kind));
    for (size_t i = 0; i < count; i++)
        put_part(&key, parts[i]);
    return key;
}

/* Takes the parts of a key apart, behind its kind. */
static bool
key_parts(struct bytes key, const char *kind, struct bytes *parts, size_t count)
{
    struct bytes rest = bytes_of(key.data + strlen(kind), key.size - strlen(kind));
    bool ok = true;
    for (size_t i = 0; ok && i < count; i++)
        ok = take_part(&rest, &parts[i]);
    return ok && rest.size == 0;
}

static bool
user_decode(struct bytes key, struct bytes row, struct user_spec *out)
{
    if (!key_parts(key, KEY_USER, &out->name, 1) || !take_part(&row, &out->hash) ||
        !take_part(&row, &out->tags) || !take_number(&row, &out->max_connections) ||
        !take_number(&row, &out->max_channels) || row.size != 1)
        return false;
    out->loopback_only = row.data[0] != 0;
    return true;
}

static bool
permission_decode(struct bytes key, struct bytes row, struct permission_spec *out)
{
    struct bytes parts[2];
    if (!key_parts(key, KEY_PERMISSION, parts, 2))
        return false;
    out->user = parts[0];
    out->vhost = parts[1];
    return take_part(&row, &out->configure) && take_part(&row, &out->write) &&
           take_part(&row, &out->read) && row.size == 0;
}

static bool
topic_decode(struct bytes key, struct bytes row, struct topic_permission_spec *out)
{
    struct bytes parts[3];
    if (!key_parts(key, KEY_TOPIC, parts, 3))
        return false;
    out->user = parts[0];
    out->vhost = parts[1];
    out->exchange = parts[2];
    return take_part(&row, &out->write) && take_part(&row, &out->read) && row.size == 0;
}

static bool
account_matches(const struct map_node *node, const void *name)
{
    const struct account *a =
        (const struct account *)((const char *)node - offsetof(struct account, by_name));
    return bytes_equal(a->name, *(const struct bytes *)name);
}

static struct account *
find_account(const struct auth *a, struct bytes name)
{
    struct map_node *node = map_find(&a->accounts, bytes_hash(name), account_matches, &name);
    return node == NULL ? NULL : MAP_CONTAINER(node, struct account, by_name);
}

static bool
permission_matches(const struct map_node *node, const void *key)
{
    const struct permission *p =
        (const struct permission *)((const char *)node - offsetof(struct permission, by_key));
    return bytes_equal(buf_bytes(&p->key), *(const struct bytes *)key);
}

static struct permission *
find_permission(const struct auth *a, struct bytes key)
{
    struct map_node *node = map_find(&a->permissions, bytes_hash(key), permission_matches, &key);
    return node == NULL ? NULL : MAP_CONTAINER(node, struct permission, by_key);
}

static bool
has_tag(struct bytes tags, struct bytes tag)
{
    while (tags.size > 0) {
        const uint8_t *end = memchr(tags.data, '\n', tags.size);
        const size_t size = end == NULL ? tags.size : (size_t)(end - tags.data);
        if (bytes_equal(bytes_of(tags.data, size), tag))
            return true;
        if (end == NULL)
            return false;
        tags = bytes_of(end + 1, tags.size - size - 1);
    }
    return false;
}

/* Makes the account, or changes it: connections that hold it see the change. */
static void
account_set(struct auth *a, const struct user_spec *spec)
{
    struct account *account = find_account(a, spec->name);
    if (account == NULL) {
        account = mem_alloc_zeroed(sizeof(*account));
        atomic_init(&account->refs, 1);
        account->name = bytes_copy(spec->name);
        map_insert(&a->accounts, &account->by_name, bytes_hash(account->name));
    }
    mem_free_const(account->hash.data);
    mem_free_const(account->tags.data);
    account->hash = bytes_copy(spec->hash);
    account->tags = bytes_copy(spec->tags);
    atomic_store(&account->loopback_only, spec->loopback_only);
    atomic_store(&account->impersonates, has_tag(spec->tags, BYTES_LITERAL("impersonator")));
    atomic_store(&account->max_connections, spec->max_connections);
    atomic_store(&account->max_channels, spec->max_channels);
}

void
account_unref(struct account *account)
{
    if (account == NULL)
        return;
    const uint32_t before = atomic_fetch_sub_explicit(&account->refs, 1, memory_order_acq_rel);
    ASSERT(before > 0);
    if (before > 1)
        return;
    mem_free_const(account->name.data);
    mem_free_const(account->hash.data);
    mem_free_const(account->tags.data);
    mem_free(account);
}

/* Topic permissions of one user in one virtual host go into its grant. */
struct topic_gathering {
    struct grant *grant;
    struct bytes user;
    struct bytes vhost;
    bool ok;
    char *problem;
    size_t problem_size;
};

static void
gather_topic(void *context, struct bytes key, struct bytes value)
{
    struct topic_gathering *g = context;
    struct topic_permission_spec spec;
    if (!topic_decode(key, value, &spec)) {
        snprintf(g->problem, g->problem_size, "a topic permission cannot be understood");
        g->ok = false;
        return;
    }
    if (g->ok && bytes_equal(spec.user, g->user) && bytes_equal(spec.vhost, g->vhost))
        g->ok = grant_add_topic(g->grant, &spec, g->problem, g->problem_size);
}

static struct grant *
grant_of(struct auth *a, const struct permission_spec *spec, char *problem, size_t problem_size)
{
    struct grant *grant = grant_create(spec, problem, problem_size);
    if (grant == NULL)
        return NULL;
    struct topic_gathering g = { grant, spec->user, spec->vhost, true, problem, problem_size };
    notes_each(a->notes, BYTES_LITERAL(KEY_TOPIC), gather_topic, &g);
    if (g.ok)
        return grant;
    grant_unref(grant);
    return NULL;
}

/* Takes over the grant. */
static void
permission_set(struct auth *a, struct bytes key, struct grant *grant)
{
    struct permission *p = find_permission(a, key);
    if (p == NULL) {
        p = mem_alloc_zeroed(sizeof(*p));
        buf_append_bytes(&p->key, key);
        map_insert(&a->permissions, &p->by_key, bytes_hash(key));
    }
    grant_unref(p->grant);
    p->grant = grant;
}

static void
permission_free(struct auth *a, struct permission *p)
{
    map_remove(&a->permissions, &p->by_key);
    grant_unref(p->grant);
    buf_fini(&p->key);
    mem_free(p);
}

uint64_t
auth_put_user(struct auth *a, const struct user_spec *spec)
{
    struct buf key = key_of(KEY_USER, &spec->name, 1);
    struct buf row = { 0 };
    const uint8_t loopback_only = spec->loopback_only;
    put_part(&row, spec->hash);
    put_part(&row, spec->tags);
    put_number(&row, spec->max_connections);
    put_number(&row, spec->max_channels);
    buf_append(&row, &loopback_only, 1);
    lock_acquire(&a->lock);
    account_set(a, spec);
    const uint64_t ticket = notes_put(a->notes, buf_bytes(&key), buf_bytes(&row));
    atomic_fetch_add(&a->epoch, 1);
    lock_release(&a->lock);
    buf_fini(&key);
    buf_fini(&row);
    return ticket;
}

bool
auth_put_permission(struct auth *a, const struct permission_spec *spec, uint64_t *ticket,
                    char *problem, size_t problem_size)
{
    const struct bytes parts[] = { spec->user, spec->vhost };
    struct buf key = key_of(KEY_PERMISSION, parts, 2);
    struct buf row = { 0 };
    put_part(&row, spec->configure);
    put_part(&row, spec->write);
    put_part(&row, spec->read);
    lock_acquire(&a->lock);
    struct grant *grant = grant_of(a, spec, problem, problem_size);
    if (grant != NULL) {
        permission_set(a, buf_bytes(&key), grant);
        *ticket = notes_put(a->notes, buf_bytes(&key), buf_bytes(&row));
        atomic_fetch_add(&a->epoch, 1);
    }
    lock_release(&a->lock);
    buf_fini(&key);
    buf_fini(&row);
    return grant != NULL;
}

/* After topic permissions have changed: the grant anew. All patterns have compiled before. */
static void
renew_grant(struct auth *a, struct bytes user, struct bytes vhost)
{
    const struct bytes parts[] = { user, vhost };
    struct buf key = key_of(KEY_PERMISSION, parts, 2);
    struct buf row = { 0 };
    struct permission_spec spec;
    char problem[300];
    if (notes_get(a->notes, buf_bytes(&key), &row) &&
        permission_decode(buf_bytes(&key), buf_bytes(&row), &spec)) {
        struct grant *grant = grant_of(a, &spec, problem, sizeof(problem));
        if (grant != NULL)
            permission_set(a, buf_bytes(&key), grant);
    }
    buf_fini(&key);
    buf_fini(&row);
    atomic_fetch_add(&a->epoch, 1);
}

bool
auth_put_topic_permission(struct auth *a, const struct topic_permission_spec *spec,
                          uint64_t *ticket, char *problem, size_t problem_size)
{
    const struct bytes parts[] = { spec->user, spec->vhost, spec->exchange };
    if (!topic_pattern_is_sound(spec->write, problem, problem_size) ||
        !topic_pattern_is_sound(spec->read, problem, problem_size))
        return false;
    struct buf key = key_of(KEY_TOPIC, parts, 3);
    struct buf row = { 0 };
    put_part(&row, spec->write);
    put_part(&row, spec->read);
    lock_acquire(&a->lock);
    *ticket = notes_put(a->notes, buf_bytes(&key), buf_bytes(&row));
    renew_grant(a, spec->user, spec->vhost);
    lock_release(&a->lock);
    buf_fini(&key);
    buf_fini(&row);
    return true;
}

uint64_t
auth_delete_topic_permission(struct auth *a, struct bytes user, struct bytes vhost,
                             struct bytes exchange)
{
    const struct bytes parts[] = { user, vhost, exchange };
    struct buf key = key_of(KEY_TOPIC, parts, 3);
    lock_acquire(&a->lock);
    const uint64_t ticket = notes_delete(a->notes, buf_bytes(&key));
    renew_grant(a, user, vhost);
    lock_release(&a->lock);
    buf_fini(&key);
    return ticket;
}

/* Keys of the notes of a kind that belong to a user, or to a virtual host. */
struct selection {
    const char *kind;
    size_t parts;
    size_t which; /* The part that is compared. */
    struct bytes wanted;
    struct buf *keys;
    size_t count;
};

static void
select_key(void *context, struct bytes key, struct bytes value)
{
    struct selection *s = context;
    struct bytes parts[3];
    (void)value;
    if (!key_parts(key, s->kind, parts, s->parts) || !bytes_equal(parts[s->which], s->wanted))
        return;
    s->keys = mem_resize(s->keys, (s->count + 1) * sizeof(*s->keys));
    s->keys[s->count] = (struct buf){ 0 };
    buf_append_bytes(&s->keys[s->count++], key);
}

static uint64_t
delete_notes(struct auth *a, const char *kind, size_t parts, size_t which, struct bytes wanted)
{
    struct selection s = { .kind = kind, .parts = parts, .which = which, .wanted = wanted };
    uint64_t ticket = 0;
    notes_each(a->notes, bytes_of_string(kind), select_key, &s);
    for (size_t i = 0; i < s.count; i++) {
        struct permission *p = find_permission(a, buf_bytes(&s.keys[i]));
        const uint64_t later = notes_delete(a->notes, buf_bytes(&s.keys[i]));
        ticket = later > ticket ? later : ticket;
        if (p != NULL)
            permission_free(a, p);
        buf_fini(&s.keys[i]);
    }
    mem_free(s.keys);
    return ticket;
}

uint64_t
auth_delete_permission(struct auth *a, struct bytes user, struct bytes vhost)
{
    const struct bytes parts[] = { user, vhost };
    struct buf key = key_of(KEY_PERMISSION, parts, 2);
    lock_acquire(&a->lock);
    struct permission *p = find_permission(a, buf_bytes(&key));
    if (p != NULL)
        permission_free(a, p);
    const uint64_t ticket = notes_delete(a->notes, buf_bytes(&key));
    atomic_fetch_add(&a->epoch, 1);
    lock_release(&a->lock);
    buf_fini(&key);
    return ticket;
}

static uint64_t
delete_permissions(struct auth *a, size_t which, struct bytes wanted)
{
    const uint64_t topics = delete_notes(a, KEY_TOPIC, 3, which, wanted);
    const uint64_t ticket = delete_notes(a, KEY_PERMISSION, 2, which, wanted);
    atomic_fetch_add(&a->epoch, 1);
    return topics > ticket ? topics : ticket;
}

uint64_t
auth_delete_user(struct auth *a, struct bytes name)
{
    struct buf key = key_of(KEY_USER, &name, 1);
    lock_acquire(&a->lock);
    const uint64_t permissions = delete_permissions(a, 0, name);
    struct account *account = find_account(a, name);
    if (account != NULL) {
        map_remove(&a->accounts, &account->by_name);
        atomic_store(&account->is_deleted, true);
        account_unref(account);
    }
    const uint64_t ticket = notes_delete(a->notes, buf_bytes(&key));
    lock_release(&a->lock);
    buf_fini(&key);
    if (a->told != NULL)
        a->told(a->told_context);
    return permissions > ticket ? permissions : ticket;
}

void
auth_tell_deletions(struct auth *a, void (*told)(void *context), void *context)
{
    a->told = told;
    a->told_context = context;
}

uint64_t
auth_delete_vhost(struct auth *a, struct bytes vhost)
{
    lock_acquire(&a->lock);
    const uint64_t ticket = delete_permissions(a, 1, vhost);
    lock_release(&a->lock);
    return ticket;
}

static void
visit_user(void *context, struct bytes key, struct bytes value)
{
    const struct auth_visitor *v = context;
    struct user_spec spec;
    if (user_decode(key, value, &spec))
        v->user(v->context, &spec);
}

static void
visit_permission(void *context, struct bytes key, struct bytes value)
{
    const struct auth_visitor *v = context;
    struct permission_spec spec;
    if (permission_decode(key, value, &spec))
        v->permission(v->context, &spec);
}

static void
visit_topic(void *context, struct bytes key, struct bytes value)
{
    const struct auth_visitor *v = context;
    struct topic_permission_spec spec;
    if (topic_decode(key, value, &spec))
        v->topic_permission(v->context, &spec);
}

void
auth_visit(struct auth *a, const struct auth_visitor *visitor)
{
    struct auth_visitor v = *visitor;
    if (v.user != NULL)
        notes_each(a->notes, BYTES_LITERAL(KEY_USER), visit_user, &v);
    if (v.permission != NULL)
        notes_each(a->notes, BYTES_LITERAL(KEY_PERMISSION), visit_permission, &v);
    if (v.topic_permission != NULL)
        notes_each(a->notes, BYTES_LITERAL(KEY_TOPIC), visit_topic, &v);
}

struct account *
auth_find_account(struct auth *a, struct bytes name)
{
    lock_acquire(&a->lock);
    struct account *account = find_account(a, name);
    if (account != NULL)
        atomic_fetch_add_explicit(&account->refs, 1, memory_order_relaxed);
    lock_release(&a->lock);
    return account;
}

bool
auth_copy_hash(struct auth *a, struct bytes name, char *out, size_t size)
{
    lock_acquire(&a->lock);
    const struct account *account = find_account(a, name);
    if (account != NULL)
        snprintf(out, size, "%.*s", BYTES_ARGS(account->hash));
    lock_release(&a->lock);
    return account != NULL;
}

bool
limit_take(_Atomic int64_t *used, const _Atomic int64_t *limit)
{
    const int64_t most = atomic_load(limit);
    int64_t now = atomic_load(used);
    do {
        if (most >= 0 && now >= most)
            return false;
    } while (!atomic_compare_exchange_weak(used, &now, now + 1));
    return true;
}

uint64_t
auth_epoch(const struct auth *a)
{
    return atomic_load_explicit(&a->epoch, memory_order_acquire);
}

struct grant *
auth_find_grant(struct auth *a, struct bytes user, struct bytes vhost, uint64_t *epoch)
{
    const struct bytes parts[] = { user, vhost };
    struct buf key = key_of(KEY_PERMISSION, parts, 2);
    lock_acquire(&a->lock);
    const struct permission *p = find_permission(a, buf_bytes(&key));
    struct grant *grant = p == NULL ? NULL : p->grant;
    if (grant != NULL)
        grant_ref(grant);
    *epoch = atomic_load(&a->epoch);
    lock_release(&a->lock);
    buf_fini(&key);
    return grant;
}

/* Start-up. */
struct restoring {
    struct auth *auth;
    char *problem;
    size_t problem_size;
    bool ok;
};

static void
restore_user(void *context, struct bytes key, struct bytes value)
{
    struct restoring *r = context;
    struct user_spec spec;
    if (user_decode(key, value, &spec)) {
        account_set(r->auth, &spec);
        return;
    }
    snprintf(r->problem, r->problem_size, "a user in the store cannot be understood");
    r->ok = false;
}

/* Keys of permissions: their grants look at other notes, which must not be while notes are visited.
 */
static void
gather_permission(void *context, struct bytes key, struct bytes value)
{
    struct selection *s = context;
    (void)value;
    s->keys = mem_resize(s->keys, (s->count + 1) * sizeof(*s->keys));
    s->keys[s->count] = (struct buf){ 0 };
    buf_append_bytes(&s->keys[s->count++], key);
}

static bool
restore_permission(struct auth *a, struct bytes key, char *problem, size_t problem_size)
{
    struct buf row = { 0 };
    struct permission_spec spec;
    struct grant *grant = NULL;
    if (notes_get(a->notes, key, &row) && permission_decode(key, buf_bytes(&row), &spec))
        grant = grant_of(a, &spec, problem, problem_size);
    else
        snprintf(problem, problem_size, "a permission in the store cannot be understood");
    if (grant != NULL)
        permission_set(a, key, grant);
    buf_fini(&row);
    return grant != NULL;
}

struct auth *
auth_create(struct notes *notes, char *problem, size_t problem_size)
{
    struct auth *a = mem_alloc_zeroed(sizeof(*a));
    struct restoring r = { a, problem, problem_size, true };
    struct selection s = { 0 };
    a->notes = notes;
    lock_init(&a->lock);
    atomic_init(&a->epoch, 1);
    notes_each(notes, BYTES_LITERAL(KEY_USER), restore_user, &r);
    notes_each(notes, BYTES_LITERAL(KEY_PERMISSION), gather_permission, &s);
    for (size_t i = 0; i < s.count; i++) {
        r.ok = restore_permission(a, buf_bytes(&s.keys[i]), problem, problem_size) && r.ok;
        buf_fini(&s.keys[i]);
    }
    mem_free(s.keys);
    if (r.ok)
        return a;
    auth_destroy(a);
    return NULL;
}

void
auth_destroy(struct auth *a)
{
    struct map_node *node;
    while ((node = map_any(&a->accounts)) != NULL) {
        map_remove(&a->accounts, node);
        account_unref(MAP_CONTAINER(node, struct account, by_name));
    }
    while ((node = map_any(&a->permissions)) != NULL)
        permission_free(a, MAP_CONTAINER(node, struct permission, by_key));
    map_fini(&a->accounts);
    map_fini(&a->permissions);
    lock_fini(&a->lock);
    mem_free(a);
}
