#include "broker/session/worker.h"

#include "broker/auth/auth.h"
#include "broker/base/log.h"
#include "broker/base/mem.h"
#include "broker/net/output.h"
#include "broker/session/channel.h"
#include "broker/session/connection.h"
#include "broker/session/pulse.h"
#include "broker/session/survey.h"

#include <stdio.h>
#include <unistd.h>

#define READ_BUFFER_SIZE (256u * 1024u)
#define ALARM_CHECK_MS 50
#define HOUSEKEEPING_MS 60000
#define STOP_TIMEOUT_MS 5000
/* Deliveries that let go of their messages in one turn. */
#define SHED_A_TURN 8192u

static void
stop_if_empty(struct worker *w)
{
    if (w->stopping && list_is_empty(&w->connections) && w->logins_under_way == 0)
        loop_stop(&w->loop);
}

static void
confirm_committed(struct worker *w)
{
    const uint64_t committed = door_committed(w->broker->door);
    while (!list_is_empty(&w->confirming)) {
        struct channel *ch = LIST_CONTAINER(w->confirming.next, struct channel, in_confirming);
        if (confirms_ticket(&ch->confirms) > committed)
            return;
        channel_confirm(ch, committed);
    }
}

static void
unstall_committed(struct worker *w)
{
    const uint64_t committed = door_committed(w->broker->door);
    LIST_FOREACH (link, &w->stalled)
        connection_unstall(LIST_CONTAINER(link, struct connection, in_stalled), committed);
}

/* Tells the committer whether a round means anything here. What was committed before it could know
 * is looked at once more: either it sees that we wait, or we see the round. */
static void
note_awaited(struct worker *w)
{
    if (list_is_empty(&w->confirming) && list_is_empty(&w->stalled)) {
        atomic_store(&w->awaits_commit, false);
    } else if (!atomic_exchange(&w->awaits_commit, true)) {
        unstall_committed(w);
        confirm_committed(w);
    }
}

static void
worker_turn_end(void *context)
{
    struct worker *w = context;
    w->tls_handshakes = 0;
    confirm_committed(w);
    note_awaited(w);
    while (!list_is_empty(&w->dirty))
        connection_flush(LIST_CONTAINER(w->dirty.next, struct connection, in_dirty));
    while (!list_is_empty(&w->dead))
        connection_destroy(LIST_CONTAINER(w->dead.next, struct connection, in_worker));
    stop_if_empty(w);
}

/* The turn's end confirms; here those go on who waited before they did anything else. */
static void
committed_deliver(struct mail *mail)
{
    unstall_committed(LIST_CONTAINER(mail, struct worker, committed_mail));
}

/* Why the connection cannot go on; false if it can. */
static bool
is_orphan(const struct connection *c, struct amqp_exception *ex)
{
    if (c->state != CONNECTION_RUNNING)
        return false;
    if (atomic_load(&c->vhost->is_deleted))
        amqp_raise(ex, AMQP_CONNECTION_FORCED, "vhost '%.*s' is down", BYTES_ARGS(c->vhost->name));
    else if (atomic_load(&c->account->is_deleted))
        amqp_raise(ex, AMQP_CONNECTION_FORCED, "user '%.*s' was deleted", BYTES_ARGS(c->user));
    else
        return false;
    return true;
}

static void
deleted_deliver(struct mail *mail)
{
    struct worker *w = LIST_CONTAINER(mail, struct worker, deleted_mail);
    LIST_FOREACH (link, &w->connections) {
        struct amqp_exception ex = { 0 };
        struct connection *c = LIST_CONTAINER(link, struct connection, in_worker);
        if (is_orphan(c, &ex))
            connection_raise(c, &ex);
    }
}

void
worker_post_deleted(struct worker *w)
{
    loop_post(&w->loop, &w->deleted_mail);
}

void
worker_post_committed(struct worker *w)
{
    if (atomic_load(&w->awaits_commit))
        loop_post(&w->loop, &w->committed_mail);
}

static void
alarm_fire(struct timer *timer)
{
    struct worker *w = LIST_CONTAINER(timer, struct worker, alarm_timer);
    if (broker_check_alarms(w->broker) != 0) {
        timer_start(&w->loop, timer, w->loop.now_ms + ALARM_CHECK_MS);
        return;
    }
    /* Those who go on may meet the alarm again: they are not looked at twice, and nobody follows.
     */
    struct list waiting;
    list_init(&waiting);
    list_move_all(&waiting, &w->blocked);
    while (!list_is_empty(&waiting) && alarms_on(&w->broker->alarms) == 0)
        connection_unblock(LIST_CONTAINER(waiting.next, struct connection, in_blocked));
    list_move_all(&w->blocked, &waiting);
    if (!list_is_empty(&w->blocked))
        worker_watch_alarm(w);
}

void
worker_watch_alarm(struct worker *w)
{
    if (w->alarm_timer.heap_place == 0)
        timer_start(&w->loop, &w->alarm_timer, w->loop.now_ms + ALARM_CHECK_MS);
}

static void
check_timeouts(struct connection *c, uint64_t now_ms, uint64_t timeout_ms)
{
    /* A channel that times out stays in the map until its close is answered. */
    for (struct map_node *node = map_next(&c->channels, NULL); node != NULL;
         node = map_next(&c->channels, node))
        channel_check_timeout(MAP_CONTAINER(node, struct channel, by_number), now_ms, timeout_ms);
}

static size_t
shed_connection(struct connection *c, size_t items_max)
{
    size_t count = 0;
    for (struct map_node *node = map_next(&c->channels, NULL); node != NULL && count < items_max;
         node = map_next(&c->channels, node))
        count += channel_shed(MAP_CONTAINER(node, struct channel, by_number), items_max - count);
    return count;
}

void
worker_shed(struct worker *w)
{
    size_t count = 0;
    if (!message_is_over_budget())
        return;
    LIST_FOREACH (link, &w->connections)
        if (count < SHED_A_TURN)
            count += shed_connection(LIST_CONTAINER(link, struct connection, in_worker),
                                     SHED_A_TURN - count);
    if (count == SHED_A_TURN)
        loop_post(&w->loop, &w->shed_mail);
}

static void
shed_deliver(struct mail *mail)
{
    worker_shed(LIST_CONTAINER(mail, struct worker, shed_mail));
}

static void
housekeeping_start(struct worker *w)
{
    const uint64_t timeout_ms = w->broker->config->limits.consumer_timeout_ms;
    const uint64_t period_ms =
        timeout_ms != 0 && timeout_ms < HOUSEKEEPING_MS ? timeout_ms : HOUSEKEEPING_MS;
    timer_start(&w->loop, &w->housekeeping, w->loop.now_ms + period_ms);
}

static void
housekeeping_fire(struct timer *timer)
{
    struct worker *w = LIST_CONTAINER(timer, struct worker, housekeeping);
    const uint64_t timeout_ms = w->broker->config->limits.consumer_timeout_ms;
    LIST_FOREACH (link, &w->connections)
        check_timeouts(LIST_CONTAINER(link, struct connection, in_worker), w->loop.now_ms,
                       timeout_ms);
    housekeeping_start(w);
}

static void
stop_fire(struct timer *timer)
{
    struct worker *w = LIST_CONTAINER(timer, struct worker, stop_timer);
    LIST_FOREACH (link, &w->connections)
        connection_drop(LIST_CONTAINER(link, struct connection, in_worker),
                        "it did not answer connection.close in time");
    stop_if_empty(w);
}

static void
stop_deliver(struct mail *mail)
{
    struct worker *w = LIST_CONTAINER(mail, struct worker, stop_mail);
    w->stopping = true;
    timer_start(&w->loop, &w->stop_timer, w->loop.now_ms + STOP_TIMEOUT_MS);
    LIST_FOREACH (link, &w->connections) {
        struct connection *c = LIST_CONTAINER(link, struct connection, in_worker);
        if (c->state == CONNECTION_RUNNING) {
            struct amqp_exception ex = { 0 };
            amqp_raise(&ex, AMQP_CONNECTION_FORCED,
                       "broker forced connection closure with reason '%s'",
                       door_has_failed(w->broker->door) ? "the store has failed" : "shutdown");
            connection_raise(c, &ex);
        } else if (c->state < CONNECTION_RUNNING) {
            connection_drop(c, "the broker stops");
        }
    }
    stop_if_empty(w);
}

void
worker_stop(struct worker *w)
{
    loop_post(&w->loop, &w->stop_mail);
}

/* A socket on its way from the acceptor to its worker. */
struct arrival {
    struct mail mail;
    struct worker *worker;
    int fd;
    struct tls_profile *tls;
    char peer[CONNECTION_PEER_SIZE];
};

static void
forget_connection(struct worker *w)
{
    atomic_fetch_sub(&w->connection_count, 1);
    atomic_fetch_sub(&w->broker->connection_count, 1);
}

static void
arrival_deliver(struct mail *mail)
{
    struct arrival *a = LIST_CONTAINER(mail, struct arrival, mail);
    struct worker *w = a->worker;
    if (w->stopping) {
        close(a->fd);
        forget_connection(w);
    } else if (connection_create(w, a->fd, a->tls, a->peer) == NULL) {
        forget_connection(w);
    }
    mem_free(a);
}

void
worker_adopt(struct worker *w, int fd, struct tls_profile *tls, const char *peer)
{
    struct arrival *a = mem_alloc_zeroed(sizeof(*a));
    mail_init(&a->mail, arrival_deliver);
    a->worker = w;
    a->fd = fd;
    a->tls = tls;
    snprintf(a->peer, sizeof(a->peer), "%s", peer);
    atomic_fetch_add(&w->connection_count, 1);
    atomic_fetch_add(&w->broker->connection_count, 1);
    loop_post(&w->loop, &a->mail);
}

bool
worker_init(struct worker *w, struct server *server, struct broker *broker, unsigned index)
{
    *w = (struct worker){ .server = server, .broker = broker, .index = index };
    if (!loop_init(&w->loop))
        return false;
    w->loop.turn_end = worker_turn_end;
    w->loop.turn_context = w;
    /* A frame that is not a body must fit whole, behind what was kept of it. */
    const size_t frame_max = broker->config->limits.frame_max;
    w->read_buffer_size = frame_max * 2 > READ_BUFFER_SIZE ? frame_max * 2 : READ_BUFFER_SIZE;
    w->read_buffer_size += 4096;
    w->read_buffer = mem_alloc(w->read_buffer_size);
    route_cache_init(&w->routes);
    batch_init(&w->batch);
    list_init(&w->connections);
    list_init(&w->dirty);
    list_init(&w->dead);
    list_init(&w->stalled);
    list_init(&w->blocked);
    list_init(&w->confirming);
    mail_init(&w->committed_mail, committed_deliver);
    mail_init(&w->deleted_mail, deleted_deliver);
    mail_init(&w->stop_mail, stop_deliver);
    mail_init(&w->survey_mail, survey_deliver);
    mail_init(&w->tick_mail, pulse_deliver);
    mail_init(&w->shed_mail, shed_deliver);
    w->alarm_timer.fire = alarm_fire;
    w->stop_timer.fire = stop_fire;
    w->housekeeping.fire = housekeeping_fire;
    housekeeping_start(w);
    return true;
}

void
worker_fini(struct worker *w)
{
    ASSERT(list_is_empty(&w->connections));
    batch_fini(&w->batch);
    route_cache_fini(&w->routes);
    mem_free(w->read_buffer);
    transport_scratch_fini(&w->tls_scratch);
    loop_fini(&w->loop);
}

static void *
worker_main(void *argument)
{
    struct worker *w = argument;
    char name[16];
    snprintf(name, sizeof(name), "worker-%u", w->index);
    pthread_setname_np(pthread_self(), name);
    loop_run(&w->loop);
    timer_stop(&w->loop, &w->stop_timer);
    output_thread_fini();
    return NULL;
}

void
worker_start(struct worker *w)
{
    const int error = pthread_create(&w->thread, NULL, worker_main, w);
    if (error != 0)
        PANIC("cannot start worker %u: error %d; raise the limit of threads", w->index, error);
}
