#ifndef TESTS_UNIT_TEST_CORE_WORLD_CRASH_H
#define TESTS_UNIT_TEST_CORE_WORLD_CRASH_H

/*
 * Starts and ends of the broker of test_core_world.h, and the audit between them: what was
 * confirmed is there, what was settled is not, unless the settlement was not safe yet, nothing has
 * changed its place, and dead letters are in one of two queues at least.
 */

#include "tests/unit/test_core_world.h"

static inline void
world_moved(void *context)
{
    (void)context;
    if (world.pager != NULL)
        pager_post_committed(world.pager);
}

static inline void
world_start(void)
{
    char problem[400] = "";
    struct recovered recovered;
    struct engine *engine = engine_sim_open(world.disk);
    world.open_round = engine->first_round;
    world.door = door_create_stepped(engine, UINT64_MAX, world_moved, NULL);
    world.pager = pager_create(world.door, world.directory, world_moved, NULL);
    broker_init(&world.broker, &world.config, world.door, world.pager);
    if (!broker_recover(&world.broker, engine, &recovered, problem, sizeof(problem)))
        fail_msg("%s", problem);
    bool is_new;
    if (!vhosts_recovered(&world.broker, &is_new, problem, sizeof(problem)))
        fail_msg("%s", problem);
    vhosts_have_begun(&world.broker);
    world.vhost = broker_find_vhost(&world.broker, BYTES_LITERAL("/"));
    assert_non_null(world.vhost);
}

/* Commits what has been pushed. */
static inline void
world_commit(bool sync)
{
    if (door_step(world.door, sync))
        world.open_round++;
    TRACE("commit %d: round %" PRIx64 " is open\n", sync, world.open_round);
}

/* Until nothing moves any more. */
static inline void
world_idle(void)
{
    bool moves = true;
    for (int i = 0; moves && i < 1000; i++) {
        const uint64_t before = world.open_round;
        world_commit(false);
        moves = pager_step(world.pager);
        moves = moves || world.open_round != before;
    }
    assert_false(moves);
}

static inline void
forget_entries(void)
{
    struct delivery d;
    for (uint32_t i = 0; i < world.copy_count; i++)
        if (world.copies[i].state == COPY_OUT)
            entry_unref(&world.copies[i].entry);
    for (size_t i = 0; i < CONSUMERS; i++)
        if (world.consumers[i].is_active)
            queue_unref(world.consumers[i].consumer.queue);
    while (outbox_take(&world.client.outbox, &d))
        if (d.entry.message != NULL)
            message_unref(d.entry.message);
    memset(world.consumers, 0, sizeof(world.consumers));
}

/* As server_join does it. */
static inline void
world_stop(void)
{
    pager_stop(world.pager);
    broker_stop(&world.broker);
    broker_fini(&world.broker);
    forget_entries();
    for (uint32_t i = 0; i < world.incarnation_count; i++) {
        struct incarnation *x = &world.incarnations[i];
        if (x->queue != NULL)
            queue_unref(x->queue);
        x->queue = NULL;
        x->out_count = 0;
        for (size_t level = 0; level < LEVELS; level++)
            x->ready[level].count = 0;
    }
    door_destroy(world.door);
    pager_destroy(world.pager);
    world.pager = NULL;
    world.dying.count = 0;
}

/* The audit. Rounds up to `kept` are there as far as records and definitions go, and up to
 * `settled` as far as settlements do. */
struct audit {
    uint64_t kept;
    uint64_t settled;
    bool is_orderly;
    struct incarnation *x;
    uint32_t home;
    uint8_t level;
    uint64_t last;
    size_t found;
    bool was_deleting; /* Its deletion was under way: how much is left nobody knows. */
    bool seen[COPIES_MAX];
};

static inline struct copy *
copy_by_sequence(uint32_t home, uint8_t level, uint64_t sequence)
{
    for (uint32_t i = 0; i < world.copy_count; i++) {
        struct copy *c = &world.copies[i];
        if (c->home == home && c->level == level && c->sequence == sequence)
            return c;
    }
    return NULL;
}

static inline bool
audit_record(void *context, uint64_t sequence, struct bytes octets)
{
    struct audit *a = context;
    struct entry e = { .sequence = sequence };
    assert_true(sequence > a->last);
    a->last = sequence;
    struct copy *c = copy_by_sequence(a->home, a->level, sequence);
    if (c == NULL || !record_decode(octets, &e))
        fail_msg("%s has a record that nobody published", world_names[a->x->name]);
    copy_identify(c, message_number(e.message));
    message_check(e.message, c->number);
    message_unref(e.message);
    const unsigned top = a->x->levels - 1u;
    assert_int_equal(e.priority < top ? e.priority : top, a->level);
    if (c->settled <= a->settled)
        fail_msg("message %u has come back to %s", c->number, world_names[a->x->name]);
    a->seen[c - world.copies] = true;
    a->found++;
    return true;
}

static inline void
audit_queue(struct audit *a)
{
    a->found = 0;
    for (uint8_t level = 0; level < a->x->levels; level++) {
        const struct log_reading reading = {
            .log = a->x->log + level, .to = UINT64_MAX, .visit = audit_record, .context = a
        };
        a->level = level;
        a->last = 0;
        assert_true(door_read(world.door, &reading));
    }
    const struct queue_counts counts = queue_counts(a->x->queue);
    assert_int_equal(counts.ready, a->found);
    assert_int_equal(counts.unacked + counts.consumers, 0);
    for (uint32_t i = 0; i < world.copy_count; i++) {
        const struct copy *c = &world.copies[i];
        if (c->home == a->home && c->is_durable && c->ticket <= a->kept && c->settled == NEVER &&
            !a->was_deleting && !a->seen[i])
            fail_msg("message %u is lost from %s", c->number, world_names[a->x->name]);
    }
}

/* Whether the queue of that name in the vhost is this incarnation. */
static inline bool
audit_incarnation(struct audit *a, struct queue *q)
{
    struct incarnation *x = a->x;
    const bool is_there = q != NULL && q->log == x->log;
    const bool must_be = x->declared <= a->kept && x->deleted == NEVER;
    if (must_be && !is_there)
        fail_msg("queue %s is lost", world_names[x->name]);
    if (x->deleted <= a->kept && is_there)
        fail_msg("queue %s has come back", world_names[x->name]);
    x->is_gone = !is_there;
    if (!is_there)
        return false;
    assert_true(bytes_equal(q->arguments, buf_bytes(&x->arguments)));
    a->was_deleting = x->was_deleting = x->deleted != NEVER;
    x->declared = 0;
    x->deleted = NEVER;
    x->queue = q;
    world.current[x->name] = a->home;
    audit_queue(a);
    return true;
}

static inline void
audit_name(struct audit *a, size_t name)
{
    struct amqp_exception ex;
    bool is_known = false;
    struct queue *q = vhost_use_queue(world.vhost, bytes_of_string(world_names[name]), 1, &ex);
    world.current[name] = INCARNATIONS_MAX;
    for (uint32_t i = 0; i < world.incarnation_count; i++) {
        a->x = &world.incarnations[i];
        a->home = i;
        if (a->x->name == name && a->x->is_durable && !a->x->is_gone)
            is_known = audit_incarnation(a, q) || is_known;
        else if (a->x->name == name)
            a->x->is_gone = true;
    }
    if (q != NULL && !is_known)
        fail_msg("queue %s is one that nobody declared", world_names[name]);
}

/* Where the source has gone from its queue, the target must have come. */
static inline void
audit_move(const struct audit *a, uint32_t copy)
{
    const struct copy *c = &world.copies[copy];
    const struct copy *t = c->target == NO_COPY ? NULL : &world.copies[c->target];
    if (!c->is_durable || c->ticket > a->kept || t == NULL || !t->is_durable || a->seen[copy] ||
        home_of(c)->is_gone || home_of(c)->was_deleting || home_of(t)->is_gone ||
        home_of(t)->was_deleting || t->settled != NEVER)
        return;
    if (c->settled != NEVER && !a->seen[c->target])
        fail_msg("dead letter %u is lost on its way", c->number);
}

static inline void
copy_recover(const struct audit *a, uint32_t copy)
{
    struct copy *c = &world.copies[copy];
    if (!a->seen[copy]) {
        if (c->state != COPY_GONE || c->settled == NEVER)
            c->settled = 0;
        c->state = COPY_GONE;
        return;
    }
    if (!home_of(c)->is_quorum && home_of(c)->delivery_limit == NEVER)
        c->deliveries = c->safe_deliveries = 0;
    else if (c->counted <= a->kept && !home_of(c)->was_deleting)
        c->safe_deliveries = c->deliveries;
    else
        c->counted = NEVER; /* Until it is seen. */
    if (home_of(c)->was_deleting)
        c->safe_deliveries = 0; /* Counts go first. */
    c->deliveries_min = c->safe_deliveries;
    c->is_redelivered_known = c->was_sent;
    c->redelivered = true;
    c->ticket = 0;
    c->settled = NEVER;
    c->target = NO_COPY;
    TRACE("  %s: has %u, sent %d\n", world_names[home_of(c)->name], c->number, c->was_sent);
    ready_add(copy);
}

static inline void
world_audit(uint64_t kept, uint64_t settled)
{
    static struct audit audit;
    audit = (struct audit){ .kept = kept, .settled = settled };
    for (size_t name = 0; name < NAMES; name++)
        audit_name(&audit, name);
    for (uint32_t i = 0; i < world.copy_count; i++)
        audit_move(&audit, i);
    for (uint32_t i = 0; i < world.copy_count; i++)
        copy_recover(&audit, i);
    world.crashes++;
}

/* Dies in the middle of things, maybe in the middle of a round, and starts again. */
static inline void
world_crash(enum sim_crash kind, bool in_round)
{
    world_look();
    if (in_round) {
        sim_disk_set_failures(world.disk, 1);
        world_commit(true);
        sim_disk_set_failures(world.disk, 0);
    }
    TRACE("crash, %s, %s\n", kind == SIM_CRASH_POWER ? "power" : "process",
          in_round ? "in a round" : "");
    const uint64_t kept = door_committed(world.door);
    const uint64_t settled = kind == SIM_CRASH_POWER ? sim_disk_synced(world.disk) : kept;
    sim_disk_crash(world.disk, kind);
    world_stop();
    world_start();
    world_audit(kept, settled);
}

/* A round fails, though all of it may be there afterwards. The broker goes on as long as it takes
 * to stop it in order, and nothing of that is kept. */
static inline void
world_fail(void (*goes_on)(void))
{
    world_look();
    TRACE("a sync fails\n");
    sim_disk_set_failures(world.disk, 1);
    world_commit(true);
    sim_disk_set_failures(world.disk, 0);
    if (!door_has_failed(world.door))
        return; /* There was nothing to commit. */
    goes_on();
    world_look();
    const uint64_t kept = door_committed(world.door);
    world_stop();
    world_start();
    world_audit(kept, kept);
}

/* Stops in order; whatever has been pushed is safe. */
static inline void
world_restart(void)
{
    world_look();
    TRACE("restart\n");
    world_stop();
    world_start();
    world_audit(NEVER - 1, NEVER - 1);
}

#endif
