#include "broker/topology/stopped.h"

#include "broker/auth/setup.h"
#include "broker/core/recover.h"
#include "persistence/store_engine.h"
#include "persistence/store_files.h"

static void
nobody_waits(void *context)
{
    (void)context;
}

static void
close_core(struct stopped_broker *s)
{
    broker_stop(&s->broker);
    broker_fini(&s->broker);
}

/* What a start writes goes to an engine that keeps none of it. */
static bool
set_up(struct stopped_broker *s, struct engine *engine, char *problem, size_t problem_size)
{
    struct recovered counts;
    struct door *door = door_create_stepped(engine, UINT64_MAX, nobody_waits, NULL);
    config_init(&s->config);
    broker_init(&s->broker, &s->config, door, NULL);
    if (broker_recover(&s->broker, engine, &counts, problem, problem_size) &&
        auth_setup(&s->broker, problem, problem_size))
        return true;
    close_core(s);
    door_destroy(door);
    return false;
}

bool
stopped_broker_open(struct stopped_broker *s, const char *data_dir, char *problem,
                    size_t problem_size)
{
    if (!store_claim(data_dir, "start the broker, or name its data directory with --data-dir",
                     &s->lock, problem, problem_size))
        return false;
    struct engine *engine = store_engine_open(data_dir, problem, problem_size);
    if (engine != NULL && set_up(s, engine, problem, problem_size))
        return true;
    store_unlock(s->lock);
    return false;
}

void
stopped_broker_close(struct stopped_broker *s)
{
    struct door *door = s->broker.door;
    auth_stop(&s->broker);
    close_core(s);
    auth_teardown(&s->broker);
    door_destroy(door);
    store_unlock(s->lock);
}
