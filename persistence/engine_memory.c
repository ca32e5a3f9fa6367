#include "persistence/engine.h"

#include "broker/base/list.h"
#include "broker/base/mem.h"

#include <errno.h>
#include <time.h>

struct engine_memory {
    struct engine engine;
    uint64_t delay_ms;
};

static void
sleep_ms(uint64_t ms)
{
    struct timespec left = { (time_t)(ms / 1000u), (long)(ms % 1000u) * 1000000L };
    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        ;
}

static void
engine_memory_submit(struct engine *engine, const struct round *round)
{
    const struct engine_memory *m = (const struct engine_memory *)engine;
    if (m->delay_ms > 0)
        sleep_ms(m->delay_ms); /* On the committer's thread: the next round fills meanwhile. */
    engine->done(engine->done_context, round->number, ROUND_COMMITTED);
}

static void
engine_memory_destroy(struct engine *engine)
{
    mem_free(engine);
}

static const struct engine_ops engine_memory_ops = {
    .submit = engine_memory_submit,
    .destroy = engine_memory_destroy,
};

struct engine *
engine_memory_create(uint64_t delay_ms)
{
    struct engine_memory *m = mem_alloc_zeroed(sizeof(*m));
    m->engine.ops = &engine_memory_ops;
    m->engine.first_round = 1;
    m->engine.first_log = 1;
    m->delay_ms = delay_ms;
    return &m->engine;
}
