/* Work queue: workers share a durable queue fairly, and the task of a dead worker is redone. */
#include "support.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static amqp_connection_state_t
worker_start(const char *queue)
{
    amqp_connection_state_t worker = connection_open();
    amqp_basic_qos(worker, CHANNEL, 0, 1, false);
    expect_normal(amqp_get_rpc_reply(worker), "basic.qos");
    consume(worker, queue, false);
    return worker;
}

static void
worker_ack(amqp_connection_state_t worker, uint64_t delivery_tag)
{
    CHECK(amqp_basic_ack(worker, CHANNEL, delivery_tag, false) == AMQP_STATUS_OK);
}

/* Takes the one task that has to be this, and returns its delivery tag. */
static uint64_t
worker_take(amqp_connection_state_t worker, const char *body, bool redelivered)
{
    amqp_envelope_t envelope = next_delivery(worker);
    CHECK(bytes_equal(envelope.message.body, body));
    CHECK(envelope.redelivered == redelivered);
    CHECK(envelope.message.properties.delivery_mode == AMQP_DELIVERY_PERSISTENT);
    uint64_t tag = envelope.delivery_tag;
    amqp_destroy_envelope(&envelope);
    return tag;
}

/* Publishes a persistent task and waits for its confirm. */
static void
new_task(amqp_connection_state_t producer, const char *queue, const char *body)
{
    const amqp_basic_properties_t properties = {
        ._flags = AMQP_BASIC_DELIVERY_MODE_FLAG,
        .delivery_mode = AMQP_DELIVERY_PERSISTENT,
    };
    amqp_frame_t frame;
    publish(producer, "", queue, &properties, body);
    CHECK(amqp_simple_wait_frame(producer, &frame) == AMQP_STATUS_OK);
    CHECK(frame.frame_type == AMQP_FRAME_METHOD);
    CHECK(frame.payload.method.id == AMQP_BASIC_ACK_METHOD);
}

static void
check_fair_dispatch(amqp_connection_state_t producer, const char *queue)
{
    /* A busy worker takes no more, so the second task goes to the other one. */
    amqp_connection_state_t one = worker_start(queue);
    new_task(producer, queue, "first");
    uint64_t first = worker_take(one, "first", false);
    amqp_connection_state_t other = worker_start(queue);
    new_task(producer, queue, "second");
    uint64_t second = worker_take(other, "second", false);

    new_task(producer, queue, "third");
    CHECK(count_messages(producer, queue) == 1);
    worker_ack(one, first);
    uint64_t third = worker_take(one, "third", false);
    worker_ack(one, third);
    worker_ack(other, second);
    connection_close(one);
    connection_close(other);
    CHECK(count_messages(producer, queue) == 0);
}

/* The worker that dies: it reports its task and never acknowledges. */
static _Noreturn void
work_forever(const char *queue, int report)
{
    watchdog_start();
    amqp_connection_state_t worker = worker_start(queue);
    worker_take(worker, "task that kills", false);
    CHECK(write(report, "x", 1) == 1);
    for (;;) {
        pause();
    }
}

static void
check_dead_worker(amqp_connection_state_t producer, const char *queue)
{
    int report[2];
    char taken;
    new_task(producer, queue, "task that kills");
    CHECK(pipe(report) == 0);
    pid_t doomed = fork();
    CHECK(doomed >= 0);
    if (doomed == 0) {
        work_forever(queue, report[1]);
    }
    close(report[1]);
    CHECK(read(report[0], &taken, 1) == 1);
    close(report[0]);
    CHECK(kill(doomed, SIGKILL) == 0);
    CHECK(waitpid(doomed, NULL, 0) == doomed);

    amqp_connection_state_t survivor = worker_start(queue);
    worker_ack(survivor, worker_take(survivor, "task that kills", true));
    connection_close(survivor);
    CHECK(count_messages(producer, queue) == 0);
}

int
main(void)
{
    watchdog_start();
    struct name queue = unique_name("work_queue");
    amqp_connection_state_t producer = connection_open();
    amqp_queue_declare(producer, CHANNEL, amqp_cstring_bytes(queue.text), false, true, false, false,
                       amqp_empty_table);
    expect_normal(amqp_get_rpc_reply(producer), "queue.declare");
    amqp_confirm_select(producer, CHANNEL);
    expect_normal(amqp_get_rpc_reply(producer), "confirm.select");

    check_fair_dispatch(producer, queue.text);
    check_dead_worker(producer, queue.text);

    amqp_queue_delete(producer, CHANNEL, amqp_cstring_bytes(queue.text), false, true);
    expect_normal(amqp_get_rpc_reply(producer), "queue.delete");
    connection_close(producer);
    return 0;
}
