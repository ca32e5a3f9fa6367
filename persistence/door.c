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
    uint64_t round_open;    /* The round that what is pushed now goes into. */
    uint64_t open_since_ms; /* When the first effect came into it. */
    bool hurry;             /* Somebody waits for it: at once, and synced. */
    bool stopping;

    _Atomic uint64_t committed;
    _Atomic uint64_t bytes_pending;
    uint64_t round_bytes; /* Of the round at the engine; the committer's. */
    _Atomic uint64_t next_log;
    atomic_bool failed;
    pthread_t committer;
};

void
effect_fini(struct effect *e)
{
    buf_fini(&e->key);
    buf_fini(&e->payload);
    if (e->tail.release != NULL)
        e->tail.release(e->tail.owner);
    e->tail = (struct effect_tail){ 0 };
}

static uint64_t
effect_bytes(const struct effect *e)
{
    return e->key.size + effect_payload_size(e);
}

static void
effects_push(struct effects *list, const struct effect *effect)
{
    if (list->count == list->capacity) {
        list->capacity = list->capacity == 0 ? 64 : list->capacity * 2;
        list->items = mem_resize(list->items, list->capacity * sizeof(*list->items));
    }
    list->items[list->count++] = *effect;
    list->bytes += effect_bytes(effect);
}

/* Empties the list and keeps its array, unless a burst has made that large. */
static void
effects_clear(struct effects *list)
{
    for (size_t i = 0; i < list->count; i++)
        effect_fini(&list->items[i]);
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
    atomic_fetch_add_explicit(&door->bytes_pending, effect_bytes(effect), memory_order_relaxed);
    lock_acquire(&door->lock);
    ASSERT(!door->stopping);
    const bool was_empty = door->open.count == 0;
    if (was_empty)
        door->open_since_ms = clock_monotonic_ms();
    effects_push(&door->open, effect);
    const uint64_t ticket = door->round_open;
    const bool is_settlement = effect->kind == EFFECT_SETTLE || effect->kind == EFFECT_PURGE;
    const bool hurries = !is_settlement && !door->hurry;
    door->hurry = door->hurry || hurries;
    lock_release(&door->lock);
    if (was_empty || hurries)
        pthread_cond_signal(&door->wake);
    return ticket;
}

uint64_t
door_hurry(struct door *door)
{
    lock_acquire(&door->lock);
    door->hurry = true;
    const uint64_t ticket = door->round_open;
    lock_release(&door->lock);
    pthread_cond_signal(&door->wake);
    return ticket;
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
    /* Before the notice: whoever was told to wait for room looks again because of it. */
    atomic_fetch_sub(&door->bytes_pending, door->round_bytes);
    door->notify(door->context);
}

/* What the committer knows between two rounds. */
struct committer_state {
    struct effects taken;
    uint64_t number;
    bool sync;        /* Of the round that was taken. */
    bool is_unsynced; /* Rounds have been committed since the last synced one. */
    uint64_t unsynced_since_ms;
};

/* When the next round is due by itself; UINT64_MAX if nothing waits. */
static uint64_t
round_due_ms(const struct door *door, const struct committer_state *c)
{
    uint64_t due = UINT64_MAX;
    if (door->open.count > 0)
        due = door->open_since_ms + SETTLE_PATIENCE_MS;
    if (c->is_unsynced && c->unsynced_since_ms + SETTLE_SYNC_MS < due)
        due = c->unsynced_since_ms + SETTLE_SYNC_MS;
    return due;
}

static void
wait_for_work(struct door *door, const struct committer_state *c) UNCHECKED_LOCKING
{
    while (!door->hurry && !door->stopping) {
        const uint64_t due = round_due_ms(door, c);
        if (due == UINT64_MAX) {
            pthread_cond_wait(&door->wake, &door->lock.mutex);
            continue;
        }
        if (clock_monotonic_ms() >= due)
            return;
        const struct timespec until = { (time_t)(due / 1000u), (long)(due % 1000u) * 1000000L };
        pthread_cond_timedwait(&door->wake, &door->lock.mutex, &until);
    }
}

/* Takes the list and the round's number in one step; a round that only syncs may be empty. False
 * when the door closes and nothing is left to do. */
static bool
door_take_round(struct door *door, struct committer_state *c) UNCHECKED_LOCKING
{
    lock_acquire(&door->lock);
    wait_for_work(door, c);
    const bool any = door->open.count > 0 || door->hurry || c->is_unsynced;
    if (any) {
        const struct effects empty = c->taken;
        c->taken = door->open;
        door->open = empty;
        c->number = door->round_open++;
        c->sync = door->hurry || door->stopping ||
                  (c->is_unsynced && clock_monotonic_ms() >= c->unsynced_since_ms + SETTLE_SYNC_MS);
        door->hurry = false;
    }
    lock_release(&door->lock);
    return any;
}

static void
note_synced(struct committer_state *c)
{
    if (!c->sync && !c->is_unsynced)
        c->unsynced_since_ms = clock_monotonic_ms();
    c->is_unsynced = !c->sync;
}

static void *
door_committer(void *argument)
{
    struct door *door = argument;
    struct committer_state c = { 0 };
    while (door_take_round(door, &c)) {
        const struct round round = { c.number, c.taken.items, c.taken.count, c.taken.bytes,
                                     c.sync };
        door->round_bytes = c.taken.bytes;
        door->engine->ops->submit(door->engine, &round);
        note_synced(&c);
        effects_clear(&c.taken);
    }
    mem_free(c.taken.items);
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

bool
door_can_read(const struct door *door)
{
    return door->engine->ops->read != NULL;
}

bool
door_read(struct door *door, const struct log_reading *reading)
{
    return door->engine->ops->read(door->engine, reading);
}

uint64_t
door_new_logs(struct door *door, uint32_t count)
{
    return atomic_fetch_add_explicit(&door->next_log, count, memory_order_relaxed);
}

uint64_t
door_first_sequence(const struct door *door)
{
    return door->engine->first_log;
}
