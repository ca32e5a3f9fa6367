#include "persistence/door_internal.h"

#include "broker/base/clock.h"
#include "broker/base/fault.h"
#include "broker/base/log.h"
#include "broker/base/mem.h"

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
    if (effect->kind == EFFECT_RECORDS)
        list->records += effect->count;
    else if (effect->kind != EFFECT_PUT)
        list->frees = true;
}

void
effects_clear(struct effects *list)
{
    for (size_t i = 0; i < list->count; i++)
        effect_fini(&list->items[i]);
    list->count = 0;
    list->bytes = 0;
    list->records = 0;
    list->frees = false;
    if (list->capacity > 4096) {
        mem_free(list->items);
        *list = (struct effects){ 0 };
    }
}

uint64_t
door_push(struct door *door, const struct effect *effect)
{
    struct door_place place;
    return door_push_at(door, effect, &place);
}

uint64_t
door_push_at(struct door *door, const struct effect *effect, struct door_place *place)
{
    atomic_fetch_add_explicit(&door->bytes_pending, effect_bytes(effect), memory_order_relaxed);
    lock_acquire(&door->lock);
    ASSERT(!door->stopping);
    const bool was_empty = door->open.count == 0;
    if (was_empty)
        door->open_since_ms = clock_monotonic_ms();
    *place = (struct door_place){ door->round_open, door->open.count };
    effects_push(&door->open, effect);
    const bool is_settlement = effect->kind == EFFECT_SETTLE || effect->kind == EFFECT_PURGE;
    const bool hurries = !is_settlement && !door->hurry;
    door->hurry = door->hurry || hurries;
    const bool is_gathered = door->gathered > 0 && door->open.records >= door->gathered;
    if (is_gathered)
        door->gathered = 0;
    lock_release(&door->lock);
    if (was_empty || hurries || is_gathered)
        pthread_cond_signal(&door->wake);
    if (effect->kind == EFFECT_RECORDS)
        FAULT_POINT("publish.pushed");
    else if (effect->kind == EFFECT_SETTLE)
        FAULT_POINT("settle.pushed");
    return place->round;
}

bool
door_amend(struct door *door, const struct door_place *place, struct bytes payload)
{
    lock_acquire(&door->lock);
    const bool is_open = place->round == door->round_open;
    if (is_open) {
        struct buf *present = &door->open.items[place->index].payload;
        ASSERT(place->index < door->open.count && present->size == payload.size);
        memcpy(present->data, payload.data, payload.size);
    }
    lock_release(&door->lock);
    return is_open;
}

void
door_expect(struct door *door)
{
    lock_acquire(&door->lock);
    const bool is_idle = door->is_idle;
    door->is_expecting = is_idle;
    lock_release(&door->lock);
    if (is_idle)
        pthread_cond_signal(&door->wake);
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

const double door_commit_bounds[DOOR_COMMIT_BOUNDS] = { 0.0001, 0.00025, 0.0005, 0.001, 0.0025,
                                                        0.005,  0.01,    0.025,  0.05,  0.1,
                                                        0.25,   0.5,     1,      2.5,   10 };

const struct door_counters *
door_counters(const struct door *door)
{
    return &door->counters;
}

static struct door *
door_prepare(struct engine *engine, uint64_t bytes_max, door_notify *notify, void *context)
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
    cond_init(&door->wake);
    engine->done = committer_round_done;
    engine->await_room = committer_await_room;
    engine->done_context = door;
    return door;
}

struct door *
door_create(struct engine *engine, uint64_t bytes_max, door_notify *notify, void *context)
{
    struct door *door = door_prepare(engine, bytes_max, notify, context);
    const int error = pthread_create(&door->committer, NULL, committer_run, door);
    if (error != 0)
        PANIC("cannot start the committer thread: error %d; raise the limit of threads", error);
    pthread_setname_np(door->committer, "committer");
    return door;
}

struct door *
door_create_stepped(struct engine *engine, uint64_t bytes_max, door_notify *notify, void *context)
{
    struct door *door = door_prepare(engine, bytes_max, notify, context);
    door->stepped = mem_alloc_zeroed(sizeof(*door->stepped));
    return door;
}

bool
door_is_stepped(const struct door *door)
{
    return door->stepped != NULL;
}

bool
door_step(struct door *door, bool sync)
{
    struct committer_state *c = door->stepped;
    lock_acquire(&door->lock);
    const bool is_due = door->open.count > 0 || door->hurry || (sync && c->is_unsynced);
    if (is_due)
        committer_take(door, c, sync);
    lock_release(&door->lock);
    if (is_due)
        committer_submit(door, c);
    return is_due;
}

static void
stop_committer(struct door *door)
{
    lock_acquire(&door->lock);
    door->stopping = true;
    door->gives_up = true;
    lock_release(&door->lock);
    if (door->stepped == NULL) {
        pthread_cond_signal(&door->wake);
        pthread_join(door->committer, NULL);
        return;
    }
    door_step(door, true);
    mem_free(door->stepped->taken.items);
    mem_free(door->stepped);
}

void
door_give_up_waiting(struct door *door)
{
    lock_acquire(&door->lock);
    door->gives_up = true;
    lock_release(&door->lock);
    pthread_cond_signal(&door->wake);
}

void
door_set_space(struct door *door, struct space *space)
{
    lock_acquire(&door->lock);
    ASSERT(door->open.count == 0);
    door->space = space;
    lock_release(&door->lock);
    pthread_cond_signal(&door->wake);
}

bool
door_destroy(struct door *door)
{
    stop_committer(door);
    door->engine->ops->destroy(door->engine);
    const bool is_complete = !door->is_incomplete;
    if (!is_complete)
        log_error("store.unwritten",
                  "bytes=%llu msg=\"the disk has no room for the last changes: they are not "
                  "written, and were never confirmed\"",
                  (unsigned long long)atomic_load(&door->bytes_pending));
    effects_clear(&door->open);
    mem_free(door->open.items);
    pthread_cond_destroy(&door->wake);
    lock_fini(&door->lock);
    mem_free(door);
    return is_complete;
}

uint64_t
door_committed(const struct door *door)
{
    return atomic_load(&door->committed);
}

uint64_t
door_last_ticket(struct door *door)
{
    lock_acquire(&door->lock);
    const uint64_t ticket = door->round_open - (door->open.count == 0);
    lock_release(&door->lock);
    return ticket;
}

bool
door_has_failed(const struct door *door)
{
    return atomic_load(&door->failed);
}

uint64_t
door_bytes_pending(const struct door *door)
{
    return atomic_load_explicit(&door->bytes_pending, memory_order_relaxed);
}

bool
door_is_full(const struct door *door)
{
    return atomic_load_explicit(&door->bytes_pending, memory_order_relaxed) > door->bytes_max;
}

bool
door_is_short(const struct door *door)
{
    return door->space != NULL && space_is_low(door->space);
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
