#include "persistence/door.h"

#include "broker/base/clock.h"
#include "broker/base/lock.h"
#include "broker/base/log.h"
#include "broker/base/mem.h"

#include <stdatomic.h>
#include <time.h>

/* Settlements alone make a round after this time, and one that is synced after the other. */
#define SETTLE_PATIENCE_MS 50
#define SETTLE_SYNC_MS 1000

struct effects {
    struct effect *items;
    size_t count;
    size_t capacity;
    uint64_t bytes;
};

struct door {
    struct engine *engine;
    door_notify *notify;
    void *context;
    uint64_t bytes_max;

    struct lock lock; /* The effects list's: guards what follows up to `stopping`. */
    pthread_cond_t wake;
    struct effects open;
    uint64_t round_open; /* The round that what is pushed now goes into. */
    bool hurry;          /* Somebody waits for the open round. */
    bool stopping;

    _Atomic uint64_t committed;
    _Atomic uint64_t bytes_pending;
    _Atomic uint64_t next_log;
    atomic_bool failed;
    pthread_t committer;
};

static void
effects_push(struct effects *list, const struct effect *effect)
{
    if (list->count == list->capacity) {
        list->capacity = list->capacity == 0 ? 64 : list->capacity * 2;
        list->items = mem_resize(list->items, list->capacity * sizeof(*list->items));
    }
    list->items[list->count++] = *effect;
    list->bytes += effect->payload.size + effect->key.size;
}

/* Empties the list and keeps its array, unless a burst has made that large. */
static void
effects_clear(struct effects *list)
{
    for (size_t i = 0; i < list->count; i++) {
        buf_fini(&list->items[i].key);
        buf_fini(&list->items[i].payload);
    }
    list->count = 0;
    list->bytes = 0;
    if (list->capacity > 4096) {
        mem_free(list->items);
        *list = (struct effects){ 0 };
    }
}

uint64_t
door_push(struct door *door, const struct effect *effect)
{
    const uint64_t bytes = effect->payload.size + effect->key.size;
    atomic_fetch_add_explicit(&door->bytes_pending, bytes, memory_order_relaxed);
    lock_acquire(&door->lock);
    ASSERT(!door->stopping);
    const bool was_empty = door->open.count == 0;
    effects_push(&door->open, effect);
    const uint64_t ticket = door->round_open;
    const bool hurries = effect->kind != EFFECT_SETTLE && !door->hurry;
    door->hurry = door->hurry || hurries;
    lock_release(&door->lock);
    if (was_empty || hurries)
        pthread_cond_signal(&door->wake);
    return ticket;
}

void
door_hurry(struct door *door)
{
    lock_acquire(&door->lock);
    door->hurry = true;
    lock_release(&door->lock);
    pthread_cond_signal(&door->wake);
}

static void
door_round_done(void *context, uint64_t round_number, enum round_outcome outcome)
{
    struct door *door = context;
    if (outcome != ROUND_COMMITTED && !atomic_exchange(&door->failed, true))
        log_error("store.failed",
                  "round=%llu msg=\"the outcome of a commit is unknown: nothing more is confirmed; "
                  "restart the broker once the disk is sound\"",
                  (unsigned long long)round_number);
    if (!atomic_load(&door->failed)) {
        ASSERT(round_number == atomic_load_explicit(&door->committed, memory_order_relaxed) + 1);
        atomic_store_explicit(&door->committed, round_number, memory_order_release);
    }
    door->notify(door->context);
}

static struct timespec
monotonic_after(uint64_t ms)
{
    const uint64_t due_ns = clock_monotonic_ns() + ms * 1000000u;
    return (struct timespec){ (time_t)(due_ns / 1000000000u), (long)(due_ns % 1000000000u) };
}

/* Takes the list and the round's number in one step. False when there is nothing left to do. */
static bool
door_take_round(struct door *door, struct effects *taken, uint64_t *number,
                bool *sync) UNCHECKED_LOCKING
{
    lock_acquire(&door->lock);
    while (door->open.count == 0 && !door->stopping)
        pthread_cond_wait(&door->wake, &door->lock.mutex);
    const struct timespec patience = monotonic_after(SETTLE_PATIENCE_MS);
    while (!door->hurry && !door->stopping &&
           pthread_cond_timedwait(&door->wake, &door->lock.mutex, &patience) == 0)
        ;
    const bool any = door->open.count > 0;
    if (any) {
        const struct effects empty = *taken;
        *taken = door->open;
        door->open = empty;
        *number = door->round_open++;
    }
    *sync = door->hurry || door->stopping;
    door->hurry = false;
    lock_release(&door->lock);
    return any;
}

static void *
door_committer(void *argument)
{
    struct door *door = argument;
    struct effects taken = { 0 };
    uint64_t number = 0;
    uint64_t synced_ms = clock_monotonic_ms();
    bool sync = false;
    while (door_take_round(door, &taken, &number, &sync)) {
        const uint64_t now_ms = clock_monotonic_ms();
        sync = sync || now_ms - synced_ms >= SETTLE_SYNC_MS;
        synced_ms = sync ? now_ms : synced_ms;
        const struct round round = { number, taken.items, taken.count, taken.bytes, sync };
        door->engine->ops->submit(door->engine, &round);
        atomic_fetch_sub_explicit(&door->bytes_pending, taken.bytes, memory_order_relaxed);
        effects_clear(&taken);
    }
    mem_free(taken.items);
    return NULL;
}

struct door *
door_create(struct engine *engine, uint64_t bytes_max, door_notify *notify, void *context)
{
    struct door *door = mem_alloc_zeroed(sizeof(*door));
    door->engine = engine;
    door->notify = notify;
    door->context = context;
    door->bytes_max = bytes_max;
    door->round_open = engine->first_round;
    atomic_init(&door->committed, engine->first_round - 1);
    atomic_init(&door->next_log, engine->first_log);
    lock_init(&door->lock);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&door->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    engine->done = door_round_done;
    engine->done_context = door;
    const int error = pthread_create(&door->committer, NULL, door_committer, door);
    if (error != 0)
        PANIC("cannot start the committer thread: error %d; raise the limit of threads", error);
    pthread_setname_np(door->committer, "committer");
    return door;
}

void
door_destroy(struct door *door)
{
    lock_acquire(&door->lock);
    door->stopping = true;
    lock_release(&door->lock);
    pthread_cond_signal(&door->wake);
    pthread_join(door->committer, NULL);
    door->engine->ops->destroy(door->engine);
    mem_free(door->open.items);
    pthread_cond_destroy(&door->wake);
    lock_fini(&door->lock);
    mem_free(door);
}

uint64_t
door_committed(const struct door *door)
{
    return atomic_load_explicit(&door->committed, memory_order_acquire);
}

bool
door_has_failed(const struct door *door)
{
    return atomic_load(&door->failed);
}

bool
door_is_full(const struct door *door)
{
    return atomic_load_explicit(&door->bytes_pending, memory_order_relaxed) > door->bytes_max;
}

uint64_t
door_new_log(struct door *door)
{
    return atomic_fetch_add_explicit(&door->next_log, 1, memory_order_relaxed);
}
