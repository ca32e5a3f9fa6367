#include "broker/topology/stopped.h"

#include "broker/auth/setup.h"
#include "broker/core/recover.h"
#include "persistence/store_engine.h"
#include "persistence/store_files.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

static bool
lock_store(const char *data_dir, int *lock, char *problem, size_t problem_size)
{
    char store[PATH_MAX];
    snprintf(store, sizeof(store), "%s/store", data_dir);
    if (access(store, R_OK | X_OK) == 0)
        return store_lock(data_dir, lock, problem, problem_size);
    snprintf(problem, problem_size,
             "there is no store in %s that could be read: %s; start the broker, or name its data "
             "directory with --data-dir",
             data_dir, strerror(errno));
    return false;
}

static void
unlock_store(int lock)
{
    if (lock >= 0)
        close(lock);
}

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
    if (!lock_store(data_dir, &s->lock, problem, problem_size))
        return false;
    struct engine *engine = store_engine_open(data_dir, problem, problem_size);
    if (engine != NULL && set_up(s, engine, problem, problem_size))
        return true;
    unlock_store(s->lock);
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
    unlock_store(s->lock);
}
