/* The thread behind the door: which effects become a round and when, room on the disk for it, and
 * what its outcome means for those who wait. */

#include "persistence/door_internal.h"

#include "broker/base/clock.h"
#include "broker/base/fault.h"
#include "broker/base/log.h"
#include "broker/base/mem.h"

#include <sched.h>

/* Settlements alone make a round after this time, and one that is synced after the other. */
#define SETTLE_PATIENCE_MS 50
#define SETTLE_SYNC_MS 1000
/* How long the committer looks for what is expected before it sleeps again. */
#define EXPECT_NS 30000u
/* Between two looks at a disk that has no room. */
#define ROOM_WAIT_MS 100
/* Between two attempts to open a store that has met a full disk, at most. */
#define REOPEN_WAIT_MS_MAX 3200

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

void
committer_round_done(void *context, uint64_t round_number, enum round_outcome outcome)
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

/* The processor is left to others at once: what is expected may come from one of them. */
static void
look_for_expected(struct door *door) UNCHECKED_LOCKING
{
    const uint64_t until_ns = clock_monotonic_ns() + EXPECT_NS;
    const uint64_t before = door_bytes_pending(door);
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
    door->is_expecting = false;
    if (until_ms == UINT64_MAX)
        pthread_cond_wait(&door->wake, &door->lock.mutex);
    else
        cond_wait_until_ms(&door->wake, &door->lock, until_ms);
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
    while (door->gathered > 0 && !door->stopping &&
           cond_wait_until_ns(&door->wake, &door->lock, until_ns))
        continue;
    door->gathered = 0;
    gathering_end(g, door->open.records);
}

void
committer_take(struct door *door, struct committer_state *c, bool sync)
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
    if (work == WORK_ROUND) {
        gather(door, &c->gathering);
        committer_take(door, c,
                       c->is_unsynced &&
                           clock_monotonic_ms() >= c->unsynced_since_ms + SETTLE_SYNC_MS);
    }
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
        cond_wait_until_ms(&door->wake, &door->lock, until);
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
bool
committer_await_room(void *context, unsigned attempt)
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

void
committer_submit(struct door *door, struct committer_state *c)
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

void *
committer_run(void *argument)
{
    struct door *door = argument;
    struct committer_state c = { 0 };
    enum work work;
    while ((work = door_take_round(door, &c)) != WORK_NONE) {
        if (work == WORK_LOOK) {
            space_look(c.space, atomic_load(&door->bytes_pending));
        } else if (c.space == NULL || await_room(door, &c)) {
            committer_submit(door, &c);
        } else {
            door->is_incomplete = true;
            break;
        }
    }
    effects_clear(&c.taken);
    mem_free(c.taken.items);
    return NULL;
}
