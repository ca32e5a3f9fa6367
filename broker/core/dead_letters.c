#include "broker/core/dead_letters.h"

#include "amqp/table.h"
#include "broker/base/clock.h"
#include "broker/base/log.h"
#include "broker/base/mem.h"
#include "broker/base/panic.h"
#include "broker/core/dead_recall.h"
#include "broker/core/death.h"
#include "broker/core/effects.h"
#include "broker/core/message_properties.h"
#include "broker/core/queue.h"
#include "broker/core/route.h"

#include <stdlib.h>

/* Dead letters that are routed, appended and settled together. */
#define SLICE DEAD_SLICE
#define RETRY_MS 1000u
#define FULL_WAIT_MS 2u

/* What one queue has handed over in one step. */
struct batch_of_dead {
    struct list link;
    struct queue *queue; /* A reference. */
    struct dead *items;
    size_t count;
};

/* What the last letter had above its body: most that die together differ in their bodies only. */
struct letterhead {
    const struct message *of; /* Of the slice at hand; NULL: there is none. */
    enum death_reason reason;
    struct buf properties;
};

struct dead_letters {
    struct door *door;
    pthread_t thread;
    struct lock lock; /* A leaf. Guards what follows. */
    pthread_cond_t wake;
    struct list posted;
    bool stopping;

    /* The thread's. */
    struct list retried; /* Of at-least-once queues whose targets did not take all. */
    uint64_t retried_ms; /* When they were tried last. */
    struct route_cache routes;
    struct append *appends;
    size_t append_count;
    size_t append_capacity;
    struct letterhead head;
    struct properties properties; /* Of the last letter; points into it, or into the letterhead. */
    struct bytes *keys;           /* Its CC and BCC, likewise. */
    size_t key_count;
    size_t key_capacity;
};

void
dead_letters_post(struct dead_letters *d, struct queue *q, struct dead *dead, size_t count)
{
    struct batch_of_dead *b = NULL;
    if (d != NULL) {
        b = mem_alloc_zeroed(sizeof(*b));
        *b = (struct batch_of_dead){ .queue = q, .items = dead, .count = count };
        lock_acquire(&d->lock);
        if (d->stopping) {
            mem_free(b);
            b = NULL;
        } else {
            queue_ref(q);
            list_push(&d->posted, &b->link);
        }
        lock_release(&d->lock);
    }
    if (b != NULL) {
        pthread_cond_signal(&d->wake);
        return;
    }
    for (size_t i = 0; i < count; i++)
        entry_unref(&dead[i].entry);
    mem_free(dead);
}

/* When and where a queue's dead letters go, copied out of it: policies may change it at any time.
 */
struct address {
    uint64_t wall_s;
    bool has_exchange;
    bool has_key;
    bool at_least_once;
    uint8_t exchange_size;
    uint8_t key_size;
    uint8_t exchange[255];
    uint8_t key[255];
};

static uint8_t
copy_name(uint8_t *to, struct bytes name)
{
    const size_t size = name.size < 255 ? name.size : 255;
    if (size > 0)
        memcpy(to, name.data, size);
    return (uint8_t)size;
}

static struct address
address_of(struct queue *q)
{
    struct address a = { .wall_s = clock_wall_us() / 1000000 };
    lock_acquire(&q->lock);
    const struct queue_limits *l = &q->limits;
    a.has_exchange = l->dead_letters;
    a.has_key = l->has_dead_letter_key;
    a.at_least_once = l->at_least_once;
    a.exchange_size = copy_name(a.exchange, l->dead_letter_exchange);
    a.key_size = copy_name(a.key, l->dead_letter_key);
    lock_release(&q->lock);
    return a;
}

static void
collect_keys(struct dead_letters *d, struct bytes headers, const char *name)
{
    struct table_field f;
    struct table_field key;
    if (!table_find(headers, bytes_of_string(name), &f) || f.tag != 'A')
        return;
    for (struct table_iterator i = table_iterate_array(f.value); table_next(&i, &key);) {
        if (key.tag != 'S')
            continue;
        if (d->key_count == d->key_capacity) {
            d->key_capacity = d->key_capacity == 0 ? 8 : d->key_capacity * 2;
            d->keys = mem_resize(d->keys, d->key_capacity * sizeof(*d->keys));
        }
        d->keys[d->key_count++] = key.value;
    }
}

/* The letterhead is that of the last letter, or none: the two never tell different things. */
static void
read_properties(struct dead_letters *d, struct bytes encoded)
{
    d->head.of = NULL;
    d->key_count = 0;
    if (properties_decode(encoded, &d->properties) != WIRE_OK)
        d->properties = (struct properties){ 0 };
    if (!(d->properties.flags & PROPERTY_HEADERS))
        return;
    collect_keys(d, d->properties.headers, "CC");
    collect_keys(d, d->properties.headers, "BCC");
}

static const struct route *
find_route(struct dead_letters *d, struct vhost *v, const struct message *letter,
           struct bytes exchange)
{
    struct amqp_exception ex;
    const struct route_address address = {
        .exchange = exchange,
        .key = message_key(letter),
        .more_keys = d->keys,
        .more_key_count = d->key_count,
        .headers = d->properties.headers,
        .properties = &d->properties,
        .is_ours = true,
    };
    return route_find(&d->routes, v, &address, &ex);
}

static void
append_later(struct dead_letters *d, struct queue *q, struct message *letter, uint32_t number)
{
    if (d->append_count == d->append_capacity) {
        d->append_capacity = d->append_capacity == 0 ? SLICE : d->append_capacity * 2;
        d->appends = mem_resize(d->appends, d->append_capacity * sizeof(*d->appends));
    }
    message_ref(letter);
    d->appends[d->append_count++] = (struct append){
        .queue = q,
        .entry = { .message = letter, .priority = letter->priority },
        .publish = number,
    };
}

static void
take_letterhead(struct dead_letters *d, const struct message *m, const struct death *death)
{
    struct letterhead *h = &d->head;
    if (h->of != NULL && h->reason == death->reason && message_differs_in_body_only(m, h->of))
        return;
    h->properties.size = 0;
    death_properties(m, death, &h->properties);
    read_properties(d, buf_bytes(&h->properties));
    h->of = m;
    h->reason = death->reason;
}

static struct message *
delayed_letter(struct dead_letters *d, const struct message *m)
{
    struct message *letter = message_without_delay(m);
    if (letter != NULL)
        read_properties(d, message_properties(letter));
    return letter;
}

static struct message *
letter_of(struct dead_letters *d, const struct queue *q, const struct address *a,
          const struct dead *dead)
{
    const struct message *m = dead->entry.message;
    if (dead->reason == DEATH_DELAYED)
        return delayed_letter(d, m);
    const struct death death = {
        .reason = dead->reason,
        .queue = q->name,
        .wall_s = a->wall_s,
        .exchange = bytes_of(a->exchange, a->exchange_size),
        .key = a->has_key ? bytes_of(a->key, a->key_size) : message_key(m),
        .has_new_key = a->has_key,
    };
    take_letterhead(d, m, &death);
    return death_letter(m, &death, buf_bytes(&d->head.properties));
}

/* One dead message on its way: its letter, and the queues that are to get it. Returns whether any
 * is. */
static bool
route_one(struct dead_letters *d, struct queue *q, const struct address *a, const struct dead *dead,
          uint32_t number)
{
    struct message *letter = letter_of(d, q, a, dead);
    if (letter == NULL)
        return false;
    const bool is_delayed = dead->reason == DEATH_DELAYED;
    const struct route *route =
        find_route(d, q->vhost, letter, is_delayed ? q->delays_for : message_exchange(letter));
    bool any = false;
    for (uint32_t i = 0; route != NULL && i < route->queue_count; i++) {
        if (!is_delayed && death_is_cycle(letter, dead->reason, route->queues[i]->name))
            continue;
        append_later(d, route->queues[i], letter, number);
        any = true;
    }
    message_unref(letter);
    return any;
}

static int
append_order(const void *a, const void *b)
{
    const struct append *x = a;
    const struct append *y = b;
    if (x->queue != y->queue)
        return (uintptr_t)x->queue < (uintptr_t)y->queue ? -1 : 1;
    return (x->publish > y->publish) - (x->publish < y->publish);
}

/* Appends all, each queue's together. `is_left` gets which numbers a queue did not take. */
static void
append_all(struct dead_letters *d, bool *is_left)
{
    if (d->append_count > 1)
        qsort(d->appends, d->append_count, sizeof(*d->appends), append_order);
    for (size_t from = 0; from < d->append_count;) {
        size_t to = from + 1;
        while (to < d->append_count && d->appends[to].queue == d->appends[from].queue)
            to++;
        queue_append(d->appends[from].queue, d->appends + from, to - from);
        from = to;
    }
    for (size_t i = 0; i < d->append_count; i++) {
        const struct append *item = &d->appends[i];
        if (item->outcome == APPEND_REJECTED)
            is_left[item->publish] = true;
        if (item->outcome != APPEND_DONE)
            message_unref(item->entry.message);
    }
    d->append_count = 0;
}

/* What has been moved need not be kept any more. */
static void
bury(struct queue *q, const struct dead *items, size_t count)
{
    struct effects settled;
    effects_init(&settled, q, EFFECT_SETTLE);
    for (size_t i = 0; i < count; i++)
        effects_add_settled(&settled, &items[i].entry);
    lock_acquire(&q->lock);
    queue_forget_deliveries(q, items, count);
    queue_note_moved(q, items, count, effects_push(&settled, q, 0));
    lock_release(&q->lock);
    effects_fini(&settled);
    for (size_t i = 0; i < count; i++)
        entry_unref(&items[i].entry);
}

static void
try_later(struct dead_letters *d, struct queue *q, const struct dead *item)
{
    struct list *last = d->retried.prev;
    struct batch_of_dead *b = NULL;
    if (last != &d->retried)
        b = LIST_CONTAINER(last, struct batch_of_dead, link);
    if (b == NULL || b->queue != q) {
        b = mem_alloc_zeroed(sizeof(*b));
        b->queue = q;
        queue_ref(q);
        list_push(&d->retried, &b->link);
    }
    b->items = mem_resize(b->items, (b->count + 1) * sizeof(*b->items));
    b->items[b->count] = *item;
    if (item->was_absent)
        message_unref(entry_part(&b->items[b->count].entry));
    b->count++;
}

static void
move_slice(struct dead_letters *d, struct queue *q, struct dead *items, size_t count)
{
    const struct address a = address_of(q);
    bool is_left[SLICE] = { false };
    const bool moves = a.has_exchange || q->delays_for.size > 0;
    for (size_t i = 0; moves && i < count; i++)
        is_left[i] = !route_one(d, q, &a, &items[i], (uint32_t)i) && a.at_least_once;
    append_all(d, is_left);
    route_cache_release(&d->routes);
    d->head.of = NULL;
    size_t moved = 0;
    for (size_t i = 0; i < count; i++) {
        if (is_left[i] && a.at_least_once && !atomic_load(&q->deleted))
            try_later(d, q, &items[i]);
        else
            items[moved++] = items[i];
    }
    bury(q, items, moved);
}

static bool
is_stopping(struct dead_letters *d)
{
    lock_acquire(&d->lock);
    const bool stopping = d->stopping;
    lock_release(&d->lock);
    return stopping;
}

static void
sleep_ms(struct dead_letters *d, uint32_t ms) REQUIRES(d->lock)
{
    cond_wait_until_ms(&d->wake, &d->lock, clock_monotonic_ms() + ms);
}

/* The store is behind: what is dead can wait where it is. */
static void
wait_for_store(struct dead_letters *d)
{
    while (door_is_full(d->door) && !is_stopping(d)) {
        lock_acquire(&d->lock);
        sleep_ms(d, FULL_WAIT_MS);
        lock_release(&d->lock);
    }
}

static void
move_batch(struct dead_letters *d, struct batch_of_dead *b)
{
    for (size_t from = 0; from < b->count;) {
        const size_t count = dead_slice(b->items + from, b->count - from);
        wait_for_store(d);
        move_slice(d, b->queue, b->items + from, dead_recall(b->queue, b->items + from, count));
        from += count;
    }
    queue_unref(b->queue);
    mem_free(b->items);
    mem_free(b);
}

/* What has been posted, and now and then what is tried again. False when all is done for ever. */
static bool
take_posted(struct dead_letters *d, struct list *out) UNCHECKED_LOCKING
{
    list_init(out);
    lock_acquire(&d->lock);
    while (list_is_empty(&d->posted) && !d->stopping) {
        if (list_is_empty(&d->retried))
            pthread_cond_wait(&d->wake, &d->lock.mutex);
        else if (clock_monotonic_ms() < d->retried_ms + RETRY_MS)
            sleep_ms(d, RETRY_MS);
        else
            break;
    }
    list_move_all(out, &d->posted);
    const bool goes_on = !d->stopping || !list_is_empty(out);
    const bool stopping = d->stopping;
    lock_release(&d->lock);
    if (!stopping && clock_monotonic_ms() >= d->retried_ms + RETRY_MS) {
        d->retried_ms = clock_monotonic_ms();
        list_move_all(out, &d->retried);
    }
    return goes_on;
}

static void
move_batches(struct dead_letters *d, struct list *batches)
{
    while (!list_is_empty(batches)) {
        struct batch_of_dead *b = LIST_CONTAINER(batches->next, struct batch_of_dead, link);
        list_unlink(&b->link);
        move_batch(d, b);
    }
}

static void *
dead_letters_main(void *argument)
{
    struct dead_letters *d = argument;
    struct list batches;
    while (take_posted(d, &batches))
        move_batches(d, &batches);
    return NULL;
}

bool
dead_letters_step(struct dead_letters *d)
{
    struct list batches;
    lock_acquire(&d->lock);
    const bool has_work =
        !list_is_empty(&d->posted) ||
        (!list_is_empty(&d->retried) && clock_monotonic_ms() >= d->retried_ms + RETRY_MS);
    lock_release(&d->lock);
    if (!has_work || !take_posted(d, &batches))
        return false;
    move_batches(d, &batches);
    return true;
}

struct dead_letters *
dead_letters_create(struct door *door)
{
    struct dead_letters *d = mem_alloc_zeroed(sizeof(*d));
    d->door = door;
    lock_init(&d->lock);
    cond_init(&d->wake);
    list_init(&d->posted);
    list_init(&d->retried);
    route_cache_init(&d->routes);
    if (door_is_stepped(door))
        return d;
    const int error = pthread_create(&d->thread, NULL, dead_letters_main, d);
    if (error != 0)
        PANIC("cannot start the dead-letter thread: error %d; raise the limit of threads", error);
    pthread_setname_np(d->thread, "dead-letters");
    return d;
}

void
dead_letters_stop(struct dead_letters *d)
{
    lock_acquire(&d->lock);
    d->stopping = true;
    lock_release(&d->lock);
    pthread_cond_signal(&d->wake);
    if (door_is_stepped(d->door))
        dead_letters_step(d);
    else
        pthread_join(d->thread, NULL);
    while (!list_is_empty(&d->retried)) {
        struct batch_of_dead *b = LIST_CONTAINER(d->retried.next, struct batch_of_dead, link);
        for (size_t i = 0; i < b->count; i++)
            entry_unref(&b->items[i].entry);
        list_unlink(&b->link);
        queue_unref(b->queue);
        mem_free(b->items);
        mem_free(b);
    }
    route_cache_fini(&d->routes); /* It holds references to queues and exchanges. */
}

void
dead_letters_destroy(struct dead_letters *d)
{
    buf_fini(&d->head.properties);
    mem_free(d->appends);
    mem_free(d->keys);
    pthread_cond_destroy(&d->wake);
    lock_fini(&d->lock);
    mem_free(d);
}
