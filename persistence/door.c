#include "persistence/door.h"

#include "broker/base/clock.h"
#include "broker/base/fault.h"
#include "broker/base/lock.h"
#include "broker/base/log.h"
#include "broker/base/mem.h"
#include "persistence/gathering.h"

#include <sched.h>
#include <stdatomic.h>
#include <time.h>

/* Settlements alone make a round after this time, and one that is synced after the other. */
#define SETTLE_PATIENCE_MS 50
#define SETTLE_SYNC_MS 1000
/* How long the committer looks for what is expected before it sleeps again. */
#define EXPECT_NS 30000u
/* Between two looks at a disk that has no room. */
#define ROOM_WAIT_MS 100
/* Between two attempts to open a store that has met a full disk, at most. */
#define REOPEN_WAIT_MS_MAX 3200

struct effects {
    struct effect *items;
    size_t count;
    size_t capacity;
    uint64_t bytes;
    uint64_t records;
    bool frees; /* Settlements, or ends of logs and rows. */
};

struct committer_state;

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
    uint64_t gathered;      /* The committer sleeps until the round has so many records; or 0. */
    bool is_idle;           /* The committer sleeps until there is something to do. */
    bool is_expecting;      /* It has been woken because there soon will be. */
    bool stopping;
    bool gives_up; /* A round that has met a full disk is not tried again. Also if stopping. */
    struct space *space; /* NULL: there is always room. What it is used for is the committer's. */

    _Atomic uint64_t committed;
    _Atomic uint64_t bytes_pending;
    uint64_t round_bytes;                     /* Of the round at the engine; the committer's. */
    uint64_t round_began_ns;                  /* Likewise. */
    const struct committer_state *submitting; /* Likewise. */
    bool is_out_of_room;                      /* Likewise: the engine has met a full disk. */
    struct door_counters counters;
    _Atomic uint64_t next_log;
    atomic_bool failed;
    bool is_incomplete; /* The committer has ended with rounds that were not written. */
    pthread_t committer;
    struct committer_state *stepped; /* Instead of that thread: its owner's. */
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
    if (effect->kind == EFFECT_RECORDS)
        list->records += effect->count;
    else if (effect->kind != EFFECT_PUT)
        list->frees = true;
}

/* Empties the list and keeps its array, unless a burst has made that large. */
static void
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

static void
count_round(struct door *door)
{
    const uint64_t took_ns = clock_monotonic_ns() - door->round_began_ns;
    size_t i = 0;
    while (i < DOOR_COMMIT_BOUNDS && (double)took_ns > door_commit_bounds[i] * 1e9)
        i++;
    atomic_fetch_add_explicit(&door->counters.commits[i], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&door->counters.commit_ns, took_ns, memory_order_relaxed);
    atomic_fetch_add_explicit(&door->counters.commit_bytes, door->round_bytes,
                              memory_order_relaxed);
}

const struct door_counters *
door_counters(const struct door *door)
{
    return &door->counters;
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
        count_round(door);
        ASSERT(round_number == atomic_load_explicit(&door->committed, memory_order_relaxed) + 1);
        /* In one order with what those who wait for it do before they look (pager.c). */
        atomic_store(&door->committed, round_number);
    }
    /* Before the notice: whoever was told to wait for room looks again because of it. */
    atomic_fetch_sub(&door->bytes_pending, door->round_bytes);
    door->notify(door->context);
    FAULT_POINT("commit.reported");
}

/* What the committer knows between two rounds. */
struct committer_state {
    struct effects taken;
    uint64_t number;
    bool sync; /* Of the round that was taken. */
    struct space *space;
    struct gathering gathering;
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

/* False when it is time. */
static bool
sleep_until_ns(struct door *door, uint64_t due_ns) UNCHECKED_LOCKING
{
    const struct timespec until = { (time_t)(due_ns / 1000000000u), (long)(due_ns % 1000000000u) };
    return pthread_cond_timedwait(&door->wake, &door->lock.mutex, &until) == 0;
}

static void
sleep_until(struct door *door, uint64_t due_ms)
{
    sleep_until_ns(door, due_ms * 1000000u);
}

/* The processor is left to others at once: what is expected may come from one of them. */
static void
look_for_expected(struct door *door) UNCHECKED_LOCKING
{
    const uint64_t until_ns = clock_monotonic_ns() + EXPECT_NS;
    const uint64_t before = door_bytes_pending(door);
    door->is_expecting = false;
    lock_release(&door->lock);
    while (door_bytes_pending(door) == before && clock_monotonic_ns() < until_ns)
        sched_yield();
    lock_acquire(&door->lock);
}

/* Until there is something to do, or that moment, if it is not UINT64_MAX. */
static void
be_idle(struct door *door, uint64_t until_ms) UNCHECKED_LOCKING
{
    door->is_idle = true;
    if (until_ms == UINT64_MAX)
        pthread_cond_wait(&door->wake, &door->lock.mutex);
    else
        sleep_until(door, until_ms);
    door->is_idle = false;
    if (door->is_expecting && !door->hurry)
        look_for_expected(door);
}

enum work {
    WORK_ROUND,
    WORK_LOOK, /* It is time to look at the disk. */
    WORK_NONE, /* The door closes. */
};

static enum work
wait_for_work(struct door *door, const struct committer_state *c) UNCHECKED_LOCKING
{
    while (!door->hurry && !door->stopping) {
        const uint64_t due = round_due_ms(door, c);
        const uint64_t look_due = door->space != NULL ? space_due_ms(door->space) : UINT64_MAX;
        const uint64_t first = due < look_due ? due : look_due;
        if (first == UINT64_MAX || clock_monotonic_ms() < first)
            be_idle(door, first);
        else
            return clock_monotonic_ms() >= due ? WORK_ROUND : WORK_LOOK;
    }
    return door->open.count > 0 || door->hurry || c->is_unsynced ? WORK_ROUND : WORK_NONE;
}

/* There is something to commit, and more may be about to come. */
static void
gather(struct door *door, struct gathering *g) UNCHECKED_LOCKING
{
    const uint64_t patience_ns = gathering_begin(g, door->open.records);
    if (patience_ns == 0)
        return;
    const uint64_t until_ns = clock_monotonic_ns() + patience_ns;
    door->gathered = g->wanted;
    while (door->gathered > 0 && !door->stopping && sleep_until_ns(door, until_ns))
        continue;
    door->gathered = 0;
    gathering_end(g, door->open.records);
}

/* Takes the list and the round's number in one step; a round that only syncs may be empty. */
static void
take_open(struct door *door, struct committer_state *c, bool sync)
{
    const struct effects empty = c->taken;
    c->taken = door->open;
    door->open = empty;
    c->number = door->round_open++;
    c->sync = door->hurry || door->stopping || sync;
    door->hurry = false;
}

static enum work
door_take_round(struct door *door, struct committer_state *c) UNCHECKED_LOCKING
{
    lock_acquire(&door->lock);
    const enum work work = wait_for_work(door, c);
    c->space = door->space;
    if (work == WORK_ROUND)
        gather(door, &c->gathering);
    if (work == WORK_ROUND)
        take_open(door, c,
                  c->is_unsynced && clock_monotonic_ms() >= c->unsynced_since_ms + SETTLE_SYNC_MS);
    lock_release(&door->lock);
    return work;
}

static void
note_synced(struct committer_state *c, uint64_t took_ns)
{
    if (c->sync)
        gathering_note_synced(&c->gathering, c->taken.records, took_ns);
    if (!c->sync && !c->is_unsynced)
        c->unsynced_since_ms = clock_monotonic_ms();
    c->is_unsynced = !c->sync;
}

static struct space_claim
make_claim(struct door *door, const struct committer_state *c, bool frees_later)
{
    return (struct space_claim){
        .bytes = c->taken.bytes,
        .waiting = atomic_load_explicit(&door->bytes_pending, memory_order_relaxed),
        .has_records = c->taken.records > 0,
        .frees = c->taken.frees || frees_later,
    };
}

/* Lets some time pass, unless that is ended. False if it is. */
static bool
pause_unless(struct door *door, uint64_t pause_ms, const bool *ended) UNCHECKED_LOCKING
{
    const uint64_t until = clock_monotonic_ms() + pause_ms;
    lock_acquire(&door->lock);
    while (!*ended && clock_monotonic_ms() < until)
        sleep_until(door, until);
    const bool goes_on = !*ended;
    lock_release(&door->lock);
    return goes_on;
}

/* One look; if there is no room, the time until the next one passes. */
static bool
try_room(struct door *door, const struct committer_state *c, bool *stopping) UNCHECKED_LOCKING
{
    lock_acquire(&door->lock);
    const bool frees_later = door->open.frees;
    *stopping = door->stopping;
    lock_release(&door->lock);
    const struct space_claim claim = make_claim(door, c, frees_later);
    if (space_admits(c->space, &claim))
        return true;
    if (!*stopping)
        pause_unless(door, ROOM_WAIT_MS, &door->stopping);
    return false;
}

/* The round stays with the committer until the disk has room for it. False if the door closes
 * before: then it and what came after it is not written. */
static bool
await_room(struct door *door, const struct committer_state *c)
{
    bool has_waited = false;
    bool stopping = false;
    while (!try_room(door, c, &stopping)) {
        if (stopping)
            return false;
        if (!has_waited)
            log_warning("store.wait",
                        "state=on round=%llu bytes=%llu free=%llu msg=\"the disk has no room for "
                        "what is to be written: nothing is confirmed until it has\"",
                        (unsigned long long)c->number, (unsigned long long)c->taken.bytes,
                        (unsigned long long)space_free(c->space));
        has_waited = true;
    }
    if (has_waited)
        log_info("store.wait", "state=off round=%llu", (unsigned long long)c->number);
    return true;
}

static void
note_out_of_room(struct door *door, const struct committer_state *c)
{
    door->is_out_of_room = true;
    log_warning("store.full",
                "state=on round=%llu bytes=%llu msg=\"the disk is full: nothing is confirmed "
                "until there is room, and the store has been opened again\"",
                (unsigned long long)c->number, (unsigned long long)c->taken.bytes);
    if (c->space != NULL)
        space_ran_out(c->space, atomic_load(&door->bytes_pending));
}

/* What waits may free room, so all of it may use the ballast. What is written while a store is
 * started is no round: then the start is refused. */
static bool
door_await_room(void *context, unsigned attempt)
{
    struct door *door = context;
    const struct committer_state *c = door->submitting;
    uint64_t pause_ms = attempt < 2 ? 0 : ROOM_WAIT_MS;
    if (c == NULL)
        return false;
    const struct space_claim claim = make_claim(door, c, true);
    if (!door->is_out_of_room)
        note_out_of_room(door, c);
    for (unsigned i = 2; i < attempt && pause_ms < REOPEN_WAIT_MS_MAX; i++)
        pause_ms *= 2;
    while (pause_unless(door, pause_ms, &door->gives_up)) {
        if (c->space == NULL || space_admits(c->space, &claim))
            return true;
        pause_ms = ROOM_WAIT_MS;
    }
    return false;
}

static void
note_room(struct door *door, const struct committer_state *c)
{
    door->is_out_of_room = false;
    log_info("store.full", "state=off round=%llu", (unsigned long long)c->number);
    if (c->space != NULL)
        space_recovered(c->space, atomic_load(&door->bytes_pending));
}

static void
submit_round(struct door *door, struct committer_state *c)
{
    const struct round round = { c->number, c->taken.items, c->taken.count, c->taken.bytes,
                                 c->sync };
    const struct space_claim claim = make_claim(door, c, false);
    door->round_bytes = c->taken.bytes;
    door->round_began_ns = clock_monotonic_ns();
    FAULT_POINT("commit.taken");
    door->submitting = c;
    door->engine->ops->submit(door->engine, &round);
    door->submitting = NULL;
    if (door->is_out_of_room && !atomic_load(&door->failed))
        note_room(door, c);
    note_synced(c, clock_monotonic_ns() - door->round_began_ns);
    effects_clear(&c->taken);
    if (c->space != NULL && !atomic_load(&door->failed))
        space_wrote(c->space, &claim);
}

static void *
door_committer(void *argument)
{
    struct door *door = argument;
    struct committer_state c = { 0 };
    enum work work;
    while ((work = door_take_round(door, &c)) != WORK_NONE) {
        if (work == WORK_LOOK) {
            space_look(c.space, atomic_load(&door->bytes_pending));
        } else if (c.space == NULL || await_room(door, &c)) {
            submit_round(door, &c);
        } else {
            door->is_incomplete = true;
            break;
        }
    }
    effects_clear(&c.taken);
    mem_free(c.taken.items);
    return NULL;
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
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&door->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    engine->done = door_round_done;
    engine->await_room = door_await_room;
    engine->done_context = door;
    return door;
}

struct door *
door_create(struct engine *engine, uint64_t bytes_max, door_notify *notify, void *context)
{
    struct door *door = door_prepare(engine, bytes_max, notify, context);
    const int error = pthread_create(&door->committer, NULL, door_committer, door);
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
        take_open(door, c, sync);
    lock_release(&door->lock);
    if (is_due)
        submit_round(door, c);
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
