#include "persistence/engine_sim.h"

#include "broker/base/lock.h"
#include "broker/base/mem.h"
#include "persistence/rows.h"
#include "persistence/sim_state.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

struct engine_sim {
    struct engine engine;
    struct sim_disk *disk;
    uint64_t next_round;
    bool has_failed;
    bool has_crashed;
    bool owns_disk;
};

struct sim_disk {
    struct lock lock; /* A leaf. Guards everything. */
    pthread_cond_t changed;
    struct sim_options options;
    uint64_t dice;
    uint64_t epoch;
    struct sim_state state;
    uint64_t written; /* The moment up to which rounds have been reported as committed, */
    uint64_t synced;  /* and synced. */
    uint64_t synced_round;
    struct engine_sim *open; /* NULL: none. */
    bool is_held;
    sim_watch *watch;
    void *watch_context;
};

/* splitmix64. The bound is not 0. */
static uint64_t
roll(struct sim_disk *d, uint64_t bound)
{
    uint64_t z = d->dice += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return (z ^ (z >> 31)) % bound;
}

struct sim_disk *
sim_disk_create(const struct sim_options *options)
{
    struct sim_disk *d = mem_alloc_zeroed(sizeof(*d));
    d->options = *options;
    d->dice = options->seed;
    lock_init(&d->lock);
    pthread_cond_init(&d->changed, NULL);
    return d;
}

void
sim_disk_destroy(struct sim_disk *d)
{
    ASSERT(d->open == NULL);
    sim_state_fini(&d->state);
    pthread_cond_destroy(&d->changed);
    lock_fini(&d->lock);
    mem_free(d);
}

struct sim_disk *
sim_disk_copy(struct sim_disk *d)
{
    struct sim_disk *copy = sim_disk_create(&d->options);
    lock_acquire(&d->lock);
    sim_state_copy(&copy->state, &d->state);
    copy->epoch = d->epoch;
    lock_release(&d->lock);
    return copy;
}

void
sim_disk_set_failures(struct sim_disk *d, uint32_t one_in)
{
    lock_acquire(&d->lock);
    d->options.failure_one_in = one_in;
    lock_release(&d->lock);
}

void
sim_disk_watch(struct sim_disk *d, sim_watch *watch, void *context)
{
    lock_acquire(&d->lock);
    d->watch = watch;
    d->watch_context = context;
    lock_release(&d->lock);
}

void
sim_disk_hold(struct sim_disk *d, bool held)
{
    lock_acquire(&d->lock);
    d->is_held = held;
    lock_release(&d->lock);
    pthread_cond_broadcast(&d->changed);
}

/* What came after the moment is kept in part: up to some effect. A round is cut in the middle as
 * well, since nobody but the committer knows where rounds end. */
static void
lose_after(struct sim_disk *d, uint64_t moment)
{
    const uint64_t kept = roll(d, d->state.now - moment + 1);
    sim_state_go_back(&d->state, moment + kept);
    d->written = d->state.now;
}

void
sim_disk_crash(struct sim_disk *d, enum sim_crash kind)
{
    lock_acquire(&d->lock);
    lose_after(d, kind == SIM_CRASH_POWER ? d->synced : d->written);
    if (d->open != NULL)
        d->open->has_crashed = true;
    d->is_held = false;
    lock_release(&d->lock);
    pthread_cond_broadcast(&d->changed);
}

uint64_t
sim_disk_synced(struct sim_disk *d)
{
    lock_acquire(&d->lock);
    const uint64_t round = d->synced_round;
    lock_release(&d->lock);
    return round;
}

bool
sim_disk_record(struct sim_disk *d, uint64_t log, uint64_t sequence, struct bytes *octets)
{
    bool found = false;
    lock_acquire(&d->lock);
    const struct sim_log *l = sim_state_log(&d->state, log);
    const size_t place = l == NULL ? 0 : sim_log_place(l, sequence);
    if (l != NULL && place < l->count && l->records[place].sequence == sequence) {
        *octets = l->records[place].octets;
        found = l->records[place].died == SIM_NEVER;
    }
    lock_release(&d->lock);
    return found;
}

bool
sim_disk_row(struct sim_disk *d, struct bytes key, struct bytes *row)
{
    lock_acquire(&d->lock);
    const bool found = sim_state_row(&d->state, key, row);
    lock_release(&d->lock);
    return found;
}

struct log_summary
sim_disk_summary(struct sim_disk *d, uint64_t log)
{
    struct log_summary summary = { .log = log };
    lock_acquire(&d->lock);
    const struct sim_log *l = sim_state_log(&d->state, log);
    if (l != NULL)
        summary = sim_log_summary(l);
    lock_release(&d->lock);
    return summary;
}

static void
check_round(struct engine_sim *e, const struct round *round)
{
    uint64_t bytes = 0;
    if (round->number != e->next_round++)
        PANIC("a rule of the door is broken: round %llx comes out of order",
              (unsigned long long)round->number);
    for (size_t i = 0; i < round->effect_count; i++)
        bytes += round->effects[i].key.size + effect_payload_size(&round->effects[i]);
    if (round->bytes != bytes)
        PANIC("a rule of the door is broken: round %llx says %llu octets and has %llu",
              (unsigned long long)round->number, (unsigned long long)round->bytes,
              (unsigned long long)bytes);
}

/* The disk is locked. */
static enum round_outcome
commit(struct engine_sim *e, const struct round *round)
{
    struct sim_disk *d = e->disk;
    const uint32_t one_in = d->options.failure_one_in;
    check_round(e, round);
    if (e->has_crashed || e->has_failed)
        return ROUND_UNKNOWN;
    d->state.round_from = d->state.now;
    for (size_t i = 0; i < round->effect_count; i++)
        sim_state_apply(&d->state, &round->effects[i]);
    e->has_failed = one_in > 0 && roll(d, one_in) == 0;
    if (e->has_failed)
        return ROUND_UNKNOWN; /* How much of it is there is seen later. */
    d->written = d->state.now;
    if (round->sync) {
        d->synced = d->state.now;
        d->synced_round = round->number;
        sim_state_keep(&d->state, d->synced);
    }
    if (d->watch != NULL)
        d->watch(d->watch_context, round);
    return ROUND_COMMITTED;
}

static void
sleep_ms(uint64_t ms)
{
    struct timespec left = { (time_t)(ms / 1000u), (long)(ms % 1000u) * 1000000L };
    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        ;
}

static void
engine_sim_submit(struct engine *engine, const struct round *round) UNCHECKED_LOCKING
{
    struct engine_sim *e = (struct engine_sim *)engine;
    struct sim_disk *d = e->disk;
    const struct sim_options *o = &d->options;
    lock_acquire(&d->lock);
    while (d->is_held)
        pthread_cond_wait(&d->changed, &d->lock.mutex);
    const enum round_outcome outcome = commit(e, round);
    uint64_t delay_ms = o->delay_max_ms;
    if (o->delay_max_ms > o->delay_min_ms)
        delay_ms = o->delay_min_ms + roll(d, o->delay_max_ms - o->delay_min_ms + 1);
    lock_release(&d->lock);
    if (delay_ms > 0)
        sleep_ms(delay_ms); /* On the committer's thread: the next round fills meanwhile. */
    engine->done(engine->done_context, round->number, outcome);
}

/* The next record alive from there on. */
static const struct sim_record *
next_alive(const struct sim_disk *d, uint64_t log, uint64_t from)
{
    const struct sim_log *l = sim_state_log(&d->state, log);
    for (size_t i = l == NULL ? 0 : sim_log_place(l, from); l != NULL && i < l->count; i++)
        if (l->records[i].died == SIM_NEVER)
            return &l->records[i];
    return NULL;
}

static bool
engine_sim_read(struct engine *engine, const struct log_reading *r)
{
    struct engine_sim *e = (struct engine_sim *)engine;
    struct sim_disk *d = e->disk;
    const struct sim_record *record;
    uint64_t from = r->from;
    bool goes_on = true;
    lock_acquire(&d->lock);
    const bool is_sound = !e->has_crashed && !e->has_failed;
    while (is_sound && goes_on && from <= r->to && (record = next_alive(d, r->log, from)) != NULL &&
           record->sequence <= r->to) {
        from = record->sequence + 1;
        goes_on = r->visit(r->context, record->sequence, record->octets);
    }
    lock_release(&d->lock);
    return is_sound;
}

static void
engine_sim_destroy(struct engine *engine)
{
    struct engine_sim *e = (struct engine_sim *)engine;
    lock_acquire(&e->disk->lock);
    e->disk->open = NULL;
    lock_release(&e->disk->lock);
    if (e->owns_disk)
        sim_disk_destroy(e->disk);
    mem_free(e);
}

static int
row_order(const void *a, const void *b)
{
    const struct sim_row *const *x = a;
    const struct sim_row *const *y = b;
    return bytes_compare((*x)->key, (*y)->key);
}

static int
log_order(const void *a, const void *b)
{
    const struct sim_log *const *x = a;
    const struct sim_log *const *y = b;
    return ((*x)->id > (*y)->id) - ((*x)->id < (*y)->id);
}

/* All nodes of a map, as pointers to what holds them. */
static void **
nodes_of(const struct map *map, size_t offset)
{
    void **all = mem_alloc(map->count * sizeof(*all));
    size_t count = 0;
    for (struct map_node *n = map_next(map, NULL); n != NULL; n = map_next(map, n))
        all[count++] = (char *)n - offset;
    return all;
}

static void
give_rows(const struct sim_disk *d, const struct recovery *r)
{
    const size_t count = d->state.rows.count;
    struct sim_row **rows =
        (struct sim_row **)nodes_of(&d->state.rows, offsetof(struct sim_row, by_key));
    if (count > 0)
        qsort(rows, count, sizeof(struct sim_row *), row_order);
    for (size_t i = 0; i < count; i++) {
        struct bytes octets;
        if (sim_state_row(&d->state, rows[i]->key, &octets))
            r->definition(r->context, rows[i]->key, octets);
    }
    mem_free(rows);
}

static void
give_logs(const struct sim_disk *d, const struct recovery *r)
{
    const size_t count = d->state.logs.count;
    struct sim_log **logs =
        (struct sim_log **)nodes_of(&d->state.logs, offsetof(struct sim_log, by_id));
    if (count > 0)
        qsort(logs, count, sizeof(struct sim_log *), log_order);
    for (size_t i = 0; i < count; i++) {
        const struct log_summary summary = sim_log_summary(logs[i]);
        if (summary.count > 0)
            r->log(r->context, &summary);
    }
    mem_free(logs);
}

static bool
engine_sim_recover(struct engine *engine, const struct recovery *recovery, char *problem,
                   size_t problem_size)
{
    struct sim_disk *d = ((struct engine_sim *)engine)->disk;
    (void)problem;
    (void)problem_size;
    /* Nobody else knows of the engine yet, and who is told may ask the disk for more. */
    give_rows(d, recovery);
    give_logs(d, recovery);
    return true;
}

static const struct engine_ops engine_sim_ops = {
    .submit = engine_sim_submit,
    .read = engine_sim_read,
    .recover = engine_sim_recover,
    .destroy = engine_sim_destroy,
};

struct engine *
engine_sim_open(struct sim_disk *d)
{
    struct engine_sim *e = mem_alloc_zeroed(sizeof(*e));
    lock_acquire(&d->lock);
    ASSERT(d->open == NULL);
    d->open = e;
    lose_after(d, d->written); /* A round that failed. */
    sim_state_restart(&d->state);
    d->synced = d->state.now; /* With the new epoch, as the local engine does. */
    sim_state_keep(&d->state, d->synced);
    e->engine.first_round = ++d->epoch << EPOCH_SHIFT | 1;
    e->engine.first_log = e->engine.first_round;
    d->state.sequence_from = e->engine.first_log;
    d->synced_round = e->engine.first_round - 1;
    lock_release(&d->lock);
    e->engine.ops = &engine_sim_ops;
    e->disk = d;
    e->next_round = e->engine.first_round;
    return &e->engine;
}

struct engine *
engine_sim_create(uint32_t delay_ms)
{
    const struct sim_options options = { .delay_min_ms = delay_ms, .delay_max_ms = delay_ms };
    struct engine *engine = engine_sim_open(sim_disk_create(&options));
    ((struct engine_sim *)engine)->owns_disk = true;
    return engine;
}
