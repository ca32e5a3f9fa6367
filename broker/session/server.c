#include "broker/session/server.h"

#include "amqp/table.h"
#include "broker/auth/auth.h"
#include "broker/auth/setup.h"
#include "broker/base/clock.h"
#include "broker/base/log.h"
#include "broker/base/mem.h"
#include "broker/core/recover.h"
#include "broker/core/vhosts.h"
#include "broker/session/server_control.h"
#include "broker/session/server_tls.h"
#include "broker/session/server_topology.h"
#include "persistence/engine_clean.h"
#include "persistence/engine_sim.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

/* What may wait for the store before publishers pause. */
#define DOOR_BYTES_MAX (64u * 1024u * 1024u)

static void
wake_workers(void *context)
{
    struct server *s = context;
    const unsigned count = atomic_load(&s->workers_ready);
    for (unsigned i = 0; i < count; i++)
        worker_post_committed(&s->workers[i]);
}

static void
door_moved(void *context)
{
    struct server *s = context;
    if (door_has_failed(s->door)) {
        /* No confirm will ever be true again: publishers must not wait, and we must not go on. */
        if (!atomic_exchange(&s->store_failed, true) && atomic_load(&s->phase) != SERVER_STOPPING)
            kill(getpid(), SIGTERM);
        return;
    }
    if (s->pager != NULL)
        pager_post_committed(s->pager);
    wake_workers(s);
}

struct worker *
server_least_loaded(struct server *s)
{
    const uint32_t first = atomic_fetch_add(&s->next_worker, 1) % s->worker_count;
    struct worker *best = &s->workers[first];
    for (unsigned i = 1; i < s->worker_count; i++) {
        struct worker *w = &s->workers[(first + i) % s->worker_count];
        if (atomic_load(&w->connection_count) < atomic_load(&best->connection_count))
            best = w;
    }
    return best;
}

static void
close_listeners(struct server *s)
{
    for (size_t i = 0; i < s->listener_count; i++)
        listener_close(&s->listeners[i]);
    s->listener_count = 0;
}

static bool
open_listeners(struct server *s, const struct config *config, char *problem, size_t problem_size)
{
    for (size_t i = 0; i < config->listener_count; i++) {
        const struct config_listener *l = &config->listeners[i];
        struct listener *listener = &s->listeners[s->listener_count];
        struct tls_profile *tls =
            l->protocol == CONFIG_PROTOCOL_AMQPS ? server_tls_find(s, l->tls) : NULL;
        if (l->protocol == CONFIG_PROTOCOL_HTTP)
            continue;
        if (!listener_open(listener, s, l, tls, problem, problem_size)) {
            close_listeners(s);
            return false;
        }
        s->ports[s->listener_count++] = listener_port(listener);
    }
    return true;
}

static void
stop_listening(struct mail *mail)
{
    struct server *s = LIST_CONTAINER(mail, struct server, stop_listening);
    for (size_t i = 0; i < s->listener_count; i++)
        loop_unwatch(&s->workers[0].loop, &s->listeners[i].source);
    close_listeners(s);
    broker_quiet(&s->broker);
    for (unsigned i = 0; i < s->worker_count; i++)
        worker_stop(&s->workers[i]);
}

static bool
watch_listeners(struct server *s, char *problem, size_t problem_size)
{
    for (size_t i = 0; i < s->listener_count; i++) {
        if (!loop_watch(&s->workers[0].loop, &s->listeners[i].source, EPOLLIN)) {
            snprintf(problem, problem_size, "cannot watch a listening socket: %s", strerror(errno));
            return false;
        }
    }
    return true;
}

static void
free_workers(struct server *s, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        worker_fini(&s->workers[i]);
    mem_free(s->workers);
}

static bool
create_workers(struct server *s, const struct config *config, char *problem, size_t problem_size)
{
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    s->worker_count = config->server.workers != 0 ? config->server.workers
                      : cores > 0                 ? (unsigned)cores
                                                  : 1;
    s->workers = mem_alloc_zeroed(s->worker_count * sizeof(*s->workers));
    for (unsigned i = 0; i < s->worker_count; i++) {
        if (worker_init(&s->workers[i], s, &s->broker, i))
            continue;
        snprintf(problem, problem_size, "cannot create worker %u: %s", i, strerror(errno));
        free_workers(s, i);
        return false;
    }
    atomic_store(&s->workers_ready, s->worker_count);
    return true;
}

/* What a test says is free: digits in a file. */
static bool
measure_file(void *context, struct space_reading *reading)
{
    const char *path = context;
    char text[32] = "";
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    const bool is_read = fgets(text, sizeof(text), file) != NULL;
    fclose(file);
    *reading = (struct space_reading){ .total = UINT64_C(1) << 40 };
    reading->free = strtoull(text, NULL, 10);
    return is_read;
}

static void
open_space(struct server *s, const struct config *config)
{
    const bool is_test = config->testing.disk_free[0] != 0;
    s->space = space_create(&(const struct space_options){
        .directory = config->server.data_dir,
        .watermark = config->limits.disk_free_watermark,
        .measure = is_test ? measure_file : NULL,
        .context = (void *)(uintptr_t)config->testing.disk_free,
    });
}

static bool
clean_store(void *context, uint64_t room)
{
    return engine_local_clean(context, room);
}

static void
something_deleted(void *context)
{
    struct server *s = context;
    const unsigned count = atomic_load(&s->workers_ready);
    for (unsigned i = 0; i < count; i++)
        worker_post_deleted(&s->workers[i]);
}

static uint64_t
vhost_deleted(void *context, const struct vhost *v)
{
    struct server *s = context;
    const uint64_t ticket = s->broker.auth == NULL ? 0 : auth_delete_vhost(s->broker.auth, v->name);
    something_deleted(s);
    return ticket;
}

static bool
open_auth(struct server *s, char *problem, size_t problem_size)
{
    s->broker.vhost_deleted = vhost_deleted;
    s->broker.vhost_deleted_context = s;
    if (!auth_setup(&s->broker, problem, problem_size))
        return false;
    auth_tell_deletions(s->broker.auth, something_deleted, s);
    return true;
}

/* NULL with a line for people. Only tests ask for the engine that keeps everything in memory. */
static struct engine *
open_engine(struct server *s, const struct config *config, char *problem, size_t problem_size)
{
    char store[4200];
    if (config->testing.simulate || config->testing.commit_delay_ms > 0)
        return engine_sim_create(config->testing.commit_delay_ms);
    snprintf(store, sizeof(store), "%s/store", config->server.data_dir);
    s->store = engine_local_open(store, problem, problem_size);
    if (s->store == NULL)
        return NULL;
    engine_local_set_journal_bytes(s->store, config->testing.journal_bytes);
    space_set_cleaner(s->space, clean_store, s->store);
    return s->store;
}

/* The engine, what it has kept, and the door in front of it. */
static bool
open_store(struct server *s, const struct config *config, char *problem, size_t problem_size)
{
    char directory[4200];
    open_space(s, config);
    snprintf(directory, sizeof(directory), "%s/transient", config->server.data_dir);
    struct engine *engine = open_engine(s, config, problem, problem_size);
    if (engine == NULL)
        return false;
    server_control_clean(config->server.data_dir);
    const uint64_t started_ms = clock_monotonic_ms();
    struct recovered recovered;
    s->door = door_create(engine, DOOR_BYTES_MAX, door_moved, s);
    door_set_space(s->door, s->space);
    s->pager = pager_create(s->door, directory, wake_workers, s);
    pager_hold(s->pager);
    broker_init(&s->broker, config, s->door, s->pager);
    if (!broker_recover(&s->broker, engine, &recovered, problem, problem_size) ||
        !open_auth(s, problem, problem_size))
        return false;
    pager_go_on(s->pager);
    log_info("store.recovered", "exchanges=%llu queues=%llu bindings=%llu messages=%llu ms=%llu",
             (unsigned long long)recovered.exchanges, (unsigned long long)recovered.queues,
             (unsigned long long)recovered.bindings, (unsigned long long)recovered.messages,
             (unsigned long long)(clock_monotonic_ms() - started_ms));
    return true;
}

bool
server_start(struct server *s, const struct serve_setup *setup, char *problem, size_t problem_size)
{
    const struct config *config = &setup->config;
    *s = (struct server){ .setup = setup };
    lock_init(&s->applying);
    server_drift_init(s);
    survey_init(&s->survey);
    s->started_ms = clock_monotonic_ms();
    mail_init(&s->stop_listening, stop_listening);
    table_set_limits(config->limits.table_depth, config->limits.table_entries);
    if (!server_tls_open(s, problem, problem_size) ||
        !open_listeners(s, config, problem, problem_size) ||
        !server_http_start(s, problem, problem_size))
        return false;
    if (!open_store(s, config, problem, problem_size) ||
        !server_apply_at_start(s, problem, problem_size)) {
        close_listeners(s);
        return false;
    }
    if (!create_workers(s, config, problem, problem_size) ||
        !watch_listeners(s, problem, problem_size)) {
        close_listeners(s);
        return false; /* The process ends; what is left goes with it. */
    }
    for (unsigned i = 0; i < s->worker_count; i++)
        worker_start(&s->workers[i]);
    pulse_start(s);
    s->control = server_control_start(s, config->server.data_dir);
    atomic_store(&s->phase, SERVER_RUNNING);
    return true;
}

void
server_stop(struct server *s)
{
    atomic_store(&s->phase, SERVER_STOPPING);
    loop_post(&s->workers[0].loop, &s->stop_listening);
}

void
server_join(struct server *s)
{
    auth_stop(&s->broker); /* Workers wait for what it still owes them. */
    for (unsigned i = 0; i < s->worker_count; i++)
        pthread_join(s->workers[i].thread, NULL);
    door_give_up_waiting(s->door);
    pulse_stop(s);
    survey_end(&s->survey);
    server_control_stop(s->control);
    server_http_stop(s);
    server_drift_fini(s);
    /* Queues still push effects as they go, and the committer still wakes workers. */
    pager_stop(s->pager);
    broker_stop(&s->broker);
    broker_fini(&s->broker);
    auth_teardown(&s->broker);
    s->store_is_incomplete = !door_destroy(s->door);
    pager_destroy(s->pager);
    space_destroy(s->space);
    free_workers(s, s->worker_count);
    server_tls_close(s);
    survey_fini(&s->survey);
}
