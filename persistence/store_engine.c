#include "persistence/store_engine.h"

#include "broker/base/mem.h"
#include "persistence/store_internal.h"

#include <stdio.h>

struct store_engine {
    struct engine engine;
    struct store *store;
};

/* A walk through the store on behalf of one who recovers. */
struct retelling {
    const struct recovery *recovery;
    char *problem; /* Empty: nothing is damaged. */
    size_t problem_size;
};

static void
submit(struct engine *engine, const struct round *round)
{
    engine->done(engine->done_context, round->number, ROUND_COMMITTED);
}

static bool
retell_definition(void *context, struct bytes key, struct bytes row)
{
    const struct retelling *r = context;
    r->recovery->definition(r->recovery->context, key, row);
    return true;
}

static bool
retell_log(void *context, const struct store_log *log)
{
    const struct retelling *r = context;
    r->recovery->log(r->recovery->context, &(const struct log_summary){
                                               .log = log->log,
                                               .first = log->first,
                                               .last = log->last,
                                               .count = log->records,
                                               .weight = log->weight,
                                           });
    return true;
}

/* The first finding says enough. */
static void
retell_damage(void *context, const char *row, const char *what)
{
    const struct retelling *r = context;
    if (r->problem[0] == 0)
        snprintf(r->problem, r->problem_size,
                 "the store is damaged at %s: %s; railmq store verify finds all of it", row, what);
}

static bool
recover(struct engine *engine, const struct recovery *recovery, char *problem, size_t problem_size)
{
    struct store_engine *e = (struct store_engine *)engine;
    struct retelling retelling = { recovery, problem, problem_size };
    struct store_facts facts;
    const struct store_walk walk = {
        .definition = retell_definition,
        .log = retell_log,
        .damage = retell_damage,
        .context = &retelling,
    };
    problem[0] = 0;
    return store_walk(e->store, &walk, &facts);
}

static void
destroy(struct engine *engine)
{
    struct store_engine *e = (struct store_engine *)engine;
    store_close(e->store);
    mem_free(e);
}

static const struct engine_ops store_engine_ops = {
    .submit = submit,
    .recover = recover,
    .destroy = destroy,
};

struct engine *
store_engine_open(const char *data_dir, char *problem, size_t problem_size)
{
    struct store *store = store_open(data_dir, problem, problem_size);
    if (store == NULL)
        return NULL;
    struct store_engine *e = mem_alloc_zeroed(sizeof(*e));
    e->engine.ops = &store_engine_ops;
    e->engine.first_round = (store->epoch + 1) << EPOCH_SHIFT | 1;
    e->engine.first_log = e->engine.first_round;
    e->store = store;
    return &e->engine;
}
