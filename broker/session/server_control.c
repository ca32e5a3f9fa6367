#include "broker/session/server_control.h"

#include "broker/base/clock.h"
#include "broker/base/log.h"
#include "broker/base/mem.h"
#include "broker/control/control.h"
#include "broker/session/listings.h"
#include "broker/session/server.h"
#include "broker/session/server_status.h"
#include "broker/session/server_topology.h"
#include "persistence/store.h"
#include "persistence/store_files.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TIMEOUT_MS 10000u
/* Each keeps tables on disk that the store has no use for any more. */
#define CHECKPOINTS_MAX 4u
#define PATH_BYTES_MAX 4352

struct server_control {
    struct server *server;
    const char *data_dir;
    struct control *socket;
    unsigned checkpoints; /* Held now. */
    unsigned checkpoints_made;
};

struct held_checkpoint {
    struct server_control *control;
    char path[PATH_BYTES_MAX];
};

static void
on_ping(void *context, struct control_client *client, struct bytes arguments)
{
    (void)context;
    (void)arguments;
    control_ok(client, "railmq %s pid %ld", RAIL_VERSION, (long)getpid());
}

static void
checkpoint_release(void *held)
{
    struct held_checkpoint *h = held;
    if (!store_files_remove(h->path))
        log_warning("store.checkpoint_left", "path=%s", h->path);
    h->control->checkpoints--;
    mem_free(h);
}

/* "checkpoint": what the store holds now, in a directory of the data directory whose name is the
 * answer; it is removed when the client closes the connection. */
static void
on_checkpoint(void *context, struct control_client *client, struct bytes arguments)
{
    struct server_control *c = context;
    char problem[512];
    (void)arguments;
    if (c->server->store == NULL || door_has_failed(c->server->door)) {
        control_error(client, "the broker has no store that works");
        return;
    }
    if (c->checkpoints == CHECKPOINTS_MAX) {
        control_error(client, "%u other commands are looking at the store; wait for one to end",
                      CHECKPOINTS_MAX);
        return;
    }
    const uint64_t started_ms = clock_monotonic_ms();
    struct held_checkpoint *held = mem_alloc(sizeof(*held));
    held->control = c;
    const int name = snprintf(held->path, sizeof(held->path), "%s/", c->data_dir);
    snprintf(held->path + name, sizeof(held->path) - (size_t)name, "tmp-checkpoint-%u",
             c->checkpoints_made++);
    control_progress(client, 0, 0, "the broker makes a checkpoint of its store");
    if (!engine_local_checkpoint(c->server->store, held->path, problem, sizeof(problem))) {
        control_error(client, "%s", problem);
        store_files_remove(held->path);
        mem_free(held);
        return;
    }
    c->checkpoints++;
    log_info("store.checkpoint", "path=%s ms=%llu", held->path,
             (unsigned long long)(clock_monotonic_ms() - started_ms));
    control_ok(client, "%s", held->path + name);
    control_hold(client, checkpoint_release, held);
}

static void
on_plan(void *context, struct control_client *client, struct bytes arguments)
{
    const struct server_control *c = context;
    server_on_plan(c->server, client, arguments);
}

static void
on_apply(void *context, struct control_client *client, struct bytes arguments)
{
    const struct server_control *c = context;
    server_on_apply(c->server, client, arguments);
}

static void
on_export(void *context, struct control_client *client, struct bytes arguments)
{
    const struct server_control *c = context;
    (void)arguments;
    server_on_export(c->server, client);
}

/* "list WORDS", see listings.h. */
static void
on_list(void *context, struct control_client *client, struct bytes arguments)
{
    const struct server_control *c = context;
    char problem[512];
    struct rows rows = { 0 };
    if (listing_answer(c->server, arguments, &rows, problem, sizeof(problem))) {
        control_data(client, buf_bytes(&rows.text));
        control_ok(client, "%zu rows", rows.count - 1);
    } else {
        control_error(client, "%s", problem);
    }
    rows_fini(&rows);
}

static void
on_status(void *context, struct control_client *client, struct bytes arguments)
{
    const struct server_control *c = context;
    struct rows rows = { 0 };
    (void)arguments;
    server_status(c->server, &rows);
    control_data(client, buf_bytes(&rows.text));
    control_ok(client, "%zu rows", rows.count);
    rows_fini(&rows);
}

static const struct control_command commands[] = {
    { "ping", on_ping },   { "checkpoint", on_checkpoint }, { "plan", on_plan },
    { "apply", on_apply }, { "export", on_export },         { "status", on_status },
    { "list", on_list },
};

void
server_control_clean(const char *data_dir)
{
    store_files_remove_leftovers(data_dir, "tmp-checkpoint-");
    store_files_remove_leftovers(data_dir, STORE_UNFINISHED_BACKUP);
    store_files_remove_leftovers(data_dir, STORE_UNFINISHED_RESTORE);
}

struct server_control *
server_control_start(struct server *s, const char *data_dir)
{
    char problem[512];
    struct server_control *c = mem_alloc_zeroed(sizeof(*c));
    c->server = s;
    c->data_dir = data_dir;
    const struct control_spec spec = {
        .directory = data_dir,
        .commands = commands,
        .command_count = sizeof(commands) / sizeof(commands[0]),
        .context = c,
        .timeout_ms = TIMEOUT_MS,
    };
    c->socket = control_start(&spec, problem, sizeof(problem));
    if (c->socket != NULL)
        return c;
    log_warning("control.unavailable",
                "msg=\"%s; railmq store can look at the store of a stopped broker only\"", problem);
    mem_free(c);
    return NULL;
}

void
server_control_stop(struct server_control *control)
{
    if (control == NULL)
        return;
    control_stop(control->socket);
    mem_free(control);
}
