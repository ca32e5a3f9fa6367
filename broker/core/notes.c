#include "broker/core/notes.h"

#include "broker/base/mem.h"
#include "broker/core/definition.h"

struct note {
    struct map_node by_key;
    struct bytes key;
    struct bytes value;
};

void
notes_init(struct notes *n, struct door *door)
{
    *n = (struct notes){ .door = door };
    lock_init(&n->lock);
}

static void
note_free(struct note *note)
{
    mem_free_const(note->key.data);
    mem_free_const(note->value.data);
    mem_free(note);
}

void
notes_fini(struct notes *n)
{
    struct map_node *node;
    lock_acquire(&n->lock);
    while ((node = map_any(&n->by_key)) != NULL) {
        map_remove(&n->by_key, node);
        note_free(MAP_CONTAINER(node, struct note, by_key));
    }
    lock_release(&n->lock);
    lock_fini(&n->lock);
}

static bool
key_matches(const struct map_node *node, const void *key)
{
    const struct note *note =
        (const struct note *)((const char *)node - offsetof(struct note, by_key));
    return bytes_equal(note->key, *(const struct bytes *)key);
}

static struct note *
find(const struct notes *n, struct bytes key) REQUIRES(n->lock)
{
    struct map_node *node = map_find(&n->by_key, bytes_hash(key), key_matches, &key);
    return node == NULL ? NULL : MAP_CONTAINER(node, struct note, by_key);
}

/* Whether it is news. */
static bool
store(struct notes *n, struct bytes key, struct bytes value) REQUIRES(n->lock)
{
    struct note *note = find(n, key);
    if (note == NULL) {
        note = mem_alloc_zeroed(sizeof(*note));
        note->key = bytes_copy(key);
        map_insert(&n->by_key, &note->by_key, bytes_hash(key));
    } else if (bytes_equal(note->value, value)) {
        return false;
    }
    mem_free_const(note->value.data);
    note->value = bytes_copy(value);
    return true;
}

void
notes_restore(struct notes *n, struct bytes key, struct bytes value)
{
    lock_acquire(&n->lock);
    store(n, key, value);
    lock_release(&n->lock);
}

uint64_t
notes_put(struct notes *n, struct bytes key, struct bytes value)
{
    lock_acquire(&n->lock);
    const uint64_t ticket = store(n, key, value) ? definition_keep_note(n->door, key, value) : 0;
    lock_release(&n->lock);
    return ticket;
}

uint64_t
notes_delete(struct notes *n, struct bytes key)
{
    uint64_t ticket = 0;
    lock_acquire(&n->lock);
    struct note *note = find(n, key);
    if (note != NULL) {
        ticket = definition_forget_note(n->door, key);
        map_remove(&n->by_key, &note->by_key);
        note_free(note);
    }
    lock_release(&n->lock);
    return ticket;
}

bool
notes_get(struct notes *n, struct bytes key, struct buf *value)
{
    lock_acquire(&n->lock);
    const struct note *note = find(n, key);
    if (note != NULL)
        buf_append_bytes(value, note->value);
    lock_release(&n->lock);
    return note != NULL;
}

void
notes_each(struct notes *n, struct bytes prefix,
           void (*each)(void *context, struct bytes key, struct bytes value), void *context)
{
    lock_acquire(&n->lock);
    for (struct map_node *node = NULL; (node = map_next(&n->by_key, node)) != NULL;) {
        const struct note *note = MAP_CONTAINER(node, struct note, by_key);
        if (bytes_start_with(note->key, prefix))
            each(context, note->key, note->value);
    }
    lock_release(&n->lock);
}
