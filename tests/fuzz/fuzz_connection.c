/*
 * A whole connection: any octets from a client, through a real struct connection on a socket pair,
 * with real queues behind it. The first octet of the input says whether the rest comes first of all
 * (an even one) or after a handshake and channel.open (an odd one, frame_max 4096 with bit 1). Two
 * connections of one worker get the same octets in turn, so that they meet in the queues.
 *
 * What must hold: no assertion, no leak, no connection left, and no message still charged.
 */

#include "amqp/table.h"
#include "broker/auth/setup.h"
#include "broker/base/mem.h"
#include "broker/session/server.h"
#include "persistence/engine_sim.h"
#include "tests/fuzz/fuzz.h"

#include <sys/socket.h>
#include <unistd.h>

#define CLIENTS 2
#define TURNS_MAX 1000
#define MEMORY_SLACK (64 * 1024) /* That a thread may owe to the account of messages. */

static struct config config;
static struct broker broker;
static struct worker worker;
static struct door *door;

static void
door_moved(void *context)
{
    (void)context;
    worker_post_committed(&worker);
}

static void
open_auth(void)
{
    char problem[300];
    const bool opened = auth_setup(&broker, problem, sizeof(problem));
    ASSERT(opened);
}

static void
start_once(void)
{
    static bool started;
    if (started)
        return;
    started = true;
    log_set_level(LOG_LEVEL_ERROR + 1);
    config_init(&config);
    config.limits.max_message_size = 1u << 20;
    config.limits.consumer_timeout_ms = 0;
    door = door_create(engine_sim_create(0), 1u << 30, door_moved, NULL);
    broker_init(&broker, &config, door, NULL);
    const bool ready = worker_init(&worker, NULL, &broker, 0);
    ASSERT(ready);
    open_auth(); /* Its commits wake the worker. */
}

static void
put_method(struct buf *out, uint16_t channel, const union amqp_method *m)
{
    const size_t size = amqp_method_frame_size(m);
    amqp_method_frame_encode(buf_reserve(out, size), size, channel, m);
    out->size += size;
}

static void
put_handshake(struct buf *out, uint32_t frame_max)
{
    static const char login[] = "\0guest\0guest";
    buf_append(out, AMQP_PROTOCOL_HEADER, AMQP_PROTOCOL_HEADER_SIZE);
    put_method(out, 0,
               &(const union amqp_method){ .connection_start_ok = {
                                               .id = AMQP_ID_connection_start_ok,
                                               .mechanism = BYTES_LITERAL("PLAIN"),
                                               .response = bytes_of(login, sizeof(login) - 1),
                                           } });
    put_method(out, 0,
               &(const union amqp_method){ .connection_tune_ok = {
                                               .id = AMQP_ID_connection_tune_ok,
                                               .channel_max = 2047,
                                               .frame_max = frame_max,
                                           } });
    put_method(out, 0,
               &(const union amqp_method){ .connection_open = {
                                               .id = AMQP_ID_connection_open,
                                               .virtual_host = BYTES_LITERAL("/"),
                                           } });
    put_method(out, 1, &(const union amqp_method){ .id = AMQP_ID_channel_open });
}

/* Somebody's next step depends on the committer, which is a thread of its own. */
static bool
store_is_awaited(void)
{
    return !list_is_empty(&worker.stalled) || !list_is_empty(&worker.confirming);
}

static bool
is_awaited(void)
{
    return store_is_awaited() || worker.logins_under_way > 0;
}

/* Lets the worker work, and throws away what it says, until it has nothing more to do. Commits are
 * waited for, so that the same input does the same again. */
static void
settle_down(const int *sockets)
{
    uint8_t sink[4096];
    for (int idle = 0, turn = 0; idle < 3 && turn < TURNS_MAX; turn++) {
        ssize_t got = 0;
        loop_turn(&worker.loop, is_awaited() ? 10 : 0);
        for (int i = 0; i < CLIENTS; i++)
            got += sockets[i] < 0 ? 0 : recv(sockets[i], sink, sizeof(sink), MSG_DONTWAIT) > 0;
        idle = got > 0 || is_awaited() ? 0 : idle + 1;
    }
}

static void
feed(const int *sockets, struct bytes octets)
{
    /* In uneven pieces, so that frames are cut anywhere. */
    for (size_t at = 0, piece = 1; at < octets.size; at += piece, piece = piece * 3 + 7) {
        const size_t left = octets.size - at;
        const size_t size = left < piece ? left : piece;
        for (int i = 0; i < CLIENTS; i++) {
            const ssize_t sent =
                send(sockets[i], octets.data + at, size, MSG_DONTWAIT | MSG_NOSIGNAL);
            (void)sent; /* The broker may have hung up. */
        }
        settle_down(sockets);
    }
}

static void
hang_up(int *sockets)
{
    for (int i = 0; i < CLIENTS; i++) {
        close(sockets[i]);
        sockets[i] = -1;
    }
    for (int turn = 0; turn < TURNS_MAX && worker.connection_count > 0; turn++)
        loop_turn(&worker.loop, 0);
    ASSERT(worker.connection_count == 0);
    ASSERT(broker.connection_count == 0);
}

/* Each input finds a broker that has seen nothing. */
static void
forget_everything(void)
{
    route_cache_fini(&worker.routes);
    auth_stop(&broker);
    broker_stop(&broker);
    broker_fini(&broker);
    auth_teardown(&broker);
    ASSERT(message_memory() <= MEMORY_SLACK && message_memory() >= -MEMORY_SLACK);
    broker_init(&broker, &config, door, NULL);
    open_auth();
    route_cache_init(&worker.routes);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int sockets[CLIENTS];
    struct buf octets = { 0 };
    if (size == 0)
        return 0;
    start_once();
    if (data[0] & 1u)
        put_handshake(&octets, data[0] & 2u ? 4096 : 131072);
    buf_append(&octets, data + 1, size - 1);
    for (int i = 0; i < CLIENTS; i++) {
        int pair[2];
        const int error = socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair);
        ASSERT(error == 0);
        sockets[i] = pair[0];
        worker_adopt(&worker, pair[1], NULL, "fuzz");
    }
    feed(sockets, buf_bytes(&octets));
    hang_up(sockets);
    forget_everything();
    buf_fini(&octets);
    return 0;
}
