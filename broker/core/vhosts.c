#include "broker/core/vhosts.h"

#include "broker/base/endian.h"
#include "broker/base/log.h"
#include "broker/base/mem.h"
#include "broker/core/definition.h"

#include <stdio.h>

#define KEY_VHOST "vhost:"
#define KEY_BEGUN "begun" /* There, once a store has been given all that new ones are given. */

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

static struct buf
note_key(struct bytes name)
{
    struct buf key = { 0 };
    buf_append_bytes(&key, BYTES_LITERAL(KEY_VHOST));
    buf_append_bytes(&key, name);
    return key;
}

static void
spec_encode(const struct vhost_spec *spec, struct buf *out)
{
    store_be64(buf_reserve(out, 16), (uint64_t)spec->max_connections);
    store_be64(out->data + 8, (uint64_t)spec->max_queues);
    out->size += 16;
    put_part(out, spec->description);
    put_part(out, spec->tags);
    put_part(out, spec->default_queue_type);
}

static bool
spec_decode(struct bytes name, struct bytes value, struct vhost_spec *out)
{
    if (value.size < 16)
        return false;
    out->name = name;
    out->max_connections = (int64_t)load_be64(value.data);
    out->max_queues = (int64_t)load_be64(value.data + 8);
    value = bytes_of(value.data + 16, value.size - 16);
    return take_part(&value, &out->description) && take_part(&value, &out->tags) &&
           take_part(&value, &out->default_queue_type) && value.size == 0;
}

static void
spec_free(struct vhost_spec *spec)
{
    if (spec == NULL)
        return;
    mem_free_const(spec->description.data);
    mem_free_const(spec->tags.data);
    mem_free_const(spec->default_queue_type.data);
    mem_free(spec);
}

static void
set_spec(struct vhost *v, const struct vhost_spec *spec)
{
    struct vhost_spec *copy = mem_alloc(sizeof(*copy));
    *copy = *spec;
    copy->name = v->name;
    copy->description = bytes_copy(spec->description);
    copy->tags = bytes_copy(spec->tags);
    copy->default_queue_type = bytes_copy(spec->default_queue_type);
    spec_free(v->spec);
    v->spec = copy;
    atomic_store(&v->max_connections, spec->max_connections);
    atomic_store(&v->max_queues, spec->max_queues);
    enum queue_type type = QUEUE_CLASSIC;
    queue_type_find(spec->default_queue_type, &type);
    atomic_store(&v->default_type, (unsigned)type);
}

static bool
vhost_matches(const struct map_node *node, const void *name)
{
    const struct vhost *v =
        (const struct vhost *)((const char *)node - offsetof(struct vhost, by_name));
    return bytes_equal(v->name, *(const struct bytes *)name);
}

static struct vhost *
find(const struct broker *b, struct bytes name) REQUIRES_SHARED(b->vhosts_lock)
{
    struct map_node *node = map_find(&b->vhosts, bytes_hash(name), vhost_matches, &name);
    return node == NULL ? NULL : MAP_CONTAINER(node, struct vhost, by_name);
}

static struct vhost *
make(struct broker *b, struct bytes name) REQUIRES(b->vhosts_lock)
{
    struct vhost *v = vhost_create(name, b->door);
    v->pager = b->pager;
    v->dead_letters = b->dead_letters;
    v->policies = &b->policies;
    map_insert(&b->vhosts, &v->by_name, bytes_hash(v->name));
    return v;
}

void
vhosts_init(struct broker *b)
{
    rwlock_init(&b->vhosts_lock);
    list_init(&b->dead_vhosts);
}

static void
end(struct vhost *v)
{
    spec_free(v->spec);
    vhost_destroy(v);
}

void
vhosts_fini(struct broker *b)
{
    struct map_node *node;
    while ((node = map_any(&b->vhosts)) != NULL) {
        map_remove(&b->vhosts, node);
        end(MAP_CONTAINER(node, struct vhost, by_name));
    }
    while (!list_is_empty(&b->dead_vhosts)) {
        struct vhost *v = LIST_CONTAINER(b->dead_vhosts.next, struct vhost, in_dead);
        list_unlink(&v->in_dead);
        end(v);
    }
    map_fini(&b->vhosts);
    rwlock_fini(&b->vhosts_lock);
}

struct vhost *
broker_find_vhost(struct broker *b, struct bytes name)
{
    rwlock_read(&b->vhosts_lock);
    struct vhost *v = find(b, name);
    rwlock_read_end(&b->vhosts_lock);
    return v;
}

uint64_t
broker_put_vhost(struct broker *b, const struct vhost_spec *spec)
{
    struct buf key = note_key(spec->name);
    struct buf value = { 0 };
    spec_encode(spec, &value);
    rwlock_write(&b->vhosts_lock);
    struct vhost *v = find(b, spec->name);
    if (v == NULL)
        v = make(b, spec->name);
    set_spec(v, spec);
    const uint64_t ticket = notes_put(&b->notes, buf_bytes(&key), buf_bytes(&value));
    rwlock_write_end(&b->vhosts_lock);
    buf_fini(&key);
    buf_fini(&value);
    return ticket;
}

static uint64_t
later_of(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* The note goes first: a crash in between leaves rows without one, which are known for what they
 * are. */
uint64_t
broker_delete_vhost(struct broker *b, struct bytes name)
{
    struct buf key = note_key(name);
    uint64_t ticket = 0;
    rwlock_write(&b->vhosts_lock);
    struct vhost *v = find(b, name);
    if (v != NULL) {
        map_remove(&b->vhosts, &v->by_name);
        list_push(&b->dead_vhosts, &v->in_dead);
        atomic_store(&v->is_deleted, true);
        ticket = notes_delete(&b->notes, buf_bytes(&key));
    }
    rwlock_write_end(&b->vhosts_lock);
    buf_fini(&key);
    if (v == NULL)
        return 0;
    if (b->vhost_deleted != NULL)
        ticket = later_of(ticket, b->vhost_deleted(b->vhost_deleted_context, v));
    ticket = later_of(ticket, policies_delete_vhost(&b->policies, v->name));
    return later_of(ticket, vhost_clear(v));
}

void
broker_each_vhost(struct broker *b,
                  void (*each)(void *context, struct vhost *v, const struct vhost_spec *spec),
                  void *context)
{
    rwlock_read(&b->vhosts_lock);
    for (struct map_node *node = map_next(&b->vhosts, NULL); node != NULL;
         node = map_next(&b->vhosts, node)) {
        struct vhost *v = MAP_CONTAINER(node, struct vhost, by_name);
        each(context, v, v->spec);
    }
    rwlock_read_end(&b->vhosts_lock);
}

struct vhost *
vhosts_restore(struct broker *b, struct bytes name)
{
    rwlock_write(&b->vhosts_lock);
    struct vhost *v = find(b, name);
    if (v == NULL)
        v = make(b, name);
    rwlock_write_end(&b->vhosts_lock);
    return v;
}

static void
quiet(void *context, struct vhost *v, const struct vhost_spec *spec)
{
    (void)context;
    (void)spec;
    atomic_store(&v->is_quiet, true);
}

void
broker_quiet(struct broker *b)
{
    broker_each_vhost(b, quiet, NULL);
}

static void
apply_policies(void *context, struct vhost *v, const struct vhost_spec *spec)
{
    (void)context;
    (void)spec;
    vhost_apply_policies(v);
}

void
broker_apply_policies(struct broker *b)
{
    broker_each_vhost(b, apply_policies, NULL);
}

bool
vhosts_is_note(struct bytes key, struct bytes *name)
{
    const struct bytes prefix = BYTES_LITERAL(KEY_VHOST);
    if (key.size < prefix.size || memcmp(key.data, prefix.data, prefix.size) != 0)
        return false;
    *name = bytes_of(key.data + prefix.size, key.size - prefix.size);
    return true;
}

uint64_t
vhosts_keep_note(struct door *door, struct bytes name)
{
    struct buf key = note_key(name);
    struct buf value = { 0 };
    spec_encode(&(struct vhost_spec){ .max_connections = -1, .max_queues = -1 }, &value);
    const uint64_t ticket = definition_keep_note(door, buf_bytes(&key), buf_bytes(&value));
    buf_fini(&key);
    buf_fini(&value);
    return ticket;
}

/* Names of all notes: vhosts are not made while notes are visited. */
struct found_notes {
    struct broker *broker;
    struct buf *keys;
    struct buf *values;
    size_t count;
};

static void
gather_note(void *context, struct bytes key, struct bytes value)
{
    struct found_notes *f = context;
    f->keys = mem_resize(f->keys, (f->count + 1) * sizeof(*f->keys));
    f->values = mem_resize(f->values, (f->count + 1) * sizeof(*f->values));
    f->keys[f->count] = f->values[f->count] = (struct buf){ 0 };
    buf_append_bytes(&f->keys[f->count], key);
    buf_append_bytes(&f->values[f->count++], value);
}

static bool
restore_notes(struct broker *b, char *problem, size_t problem_size)
{
    struct found_notes f = { .broker = b };
    bool ok = true;
    notes_each(&b->notes, BYTES_LITERAL(KEY_VHOST), gather_note, &f);
    for (size_t i = 0; i < f.count; i++) {
        struct vhost_spec spec;
        const size_t prefix = strlen(KEY_VHOST);
        const struct bytes name = bytes_of(f.keys[i].data + prefix, f.keys[i].size - prefix);
        struct vhost *v = vhosts_restore(b, name);
        if (spec_decode(name, buf_bytes(&f.values[i]), &spec)) {
            set_spec(v, &spec);
        } else {
            snprintf(problem, problem_size,
                     "what the store says of virtual host \"%.*s\" cannot be understood; was it "
                     "written by a later version of railmq?",
                     BYTES_ARGS(name));
            ok = false;
        }
        buf_fini(&f.keys[i]);
        buf_fini(&f.values[i]);
    }
    mem_free(f.keys);
    mem_free(f.values);
    return ok;
}

/* Finishes deletions that a crash has cut short. */
static void
delete_without_notes(struct broker *b)
{
    for (;;) {
        struct vhost *v = NULL;
        rwlock_read(&b->vhosts_lock);
        for (struct map_node *node = map_next(&b->vhosts, NULL); node != NULL && v == NULL;
             node = map_next(&b->vhosts, node))
            if (MAP_CONTAINER(node, struct vhost, by_name)->spec == NULL)
                v = MAP_CONTAINER(node, struct vhost, by_name);
        rwlock_read_end(&b->vhosts_lock);
        if (v == NULL)
            return;
        char quoted[300];
        log_warning("vhost.deleted",
                    "vhost=\"%s\" msg=\"its deletion was cut short by the end of the broker, and "
                    "has been finished\"",
                    log_quote(v->name, quoted, sizeof(quoted)));
        broker_delete_vhost(b, v->name);
    }
}

bool
vhosts_recovered(struct broker *b, bool *is_new, char *problem, size_t problem_size)
{
    struct buf value = { 0 };
    *is_new = !notes_get(&b->notes, BYTES_LITERAL(KEY_BEGUN), &value);
    buf_fini(&value);
    if (!restore_notes(b, problem, problem_size))
        return false;
    if (*is_new)
        /* Of a store without notes every virtual host counts as made. */
        broker_put_vhost(b,
                         &(struct vhost_spec){ .name = BYTES_LITERAL("/"),
                                               .description = BYTES_LITERAL("Default virtual host"),
                                               .max_connections = -1,
                                               .max_queues = -1 });
    delete_without_notes(b);
    broker_apply_policies(b);
    return true;
}

void
vhosts_have_begun(struct broker *b)
{
    notes_put(&b->notes, BYTES_LITERAL(KEY_BEGUN), BYTES_LITERAL("1"));
}
