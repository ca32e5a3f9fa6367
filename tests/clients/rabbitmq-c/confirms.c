/* Publisher confirms: one by one, in a batch, asynchronously; a returned message comes first. */
#include "support.h"

enum { ONE_BY_ONE = 20, BATCH = 100, STREAM = 1000 };

/* The delivery tags, counted from 1, that were published, and which of them still wait. */
struct confirms {
    uint64_t published;
    uint64_t outstanding;
    bool waiting[ONE_BY_ONE + BATCH + STREAM + 4];
};

static void
publish_tracked(struct confirms *confirms, amqp_connection_state_t connection, const char *key)
{
    const amqp_basic_properties_t properties = {
        ._flags = AMQP_BASIC_DELIVERY_MODE_FLAG,
        .delivery_mode = AMQP_DELIVERY_PERSISTENT,
    };
    int status = amqp_basic_publish(connection, CHANNEL, amqp_empty_bytes, amqp_cstring_bytes(key),
                                    true, false, &properties, amqp_cstring_bytes("body"));
    CHECK(status == AMQP_STATUS_OK);
    confirms->published++;
    confirms->outstanding++;
    confirms->waiting[confirms->published] = true;
}

static void
settle(struct confirms *confirms, uint64_t tag)
{
    if (confirms->waiting[tag]) {
        confirms->waiting[tag] = false;
        confirms->outstanding--;
    }
}

/* Waits for one method frame of the broker and returns its id; an ack settles what it covers. */
static amqp_method_number_t
next_method(struct confirms *confirms, amqp_connection_state_t connection)
{
    amqp_frame_t frame;
    amqp_maybe_release_buffers(connection);
    CHECK(amqp_simple_wait_frame(connection, &frame) == AMQP_STATUS_OK);
    CHECK(frame.frame_type == AMQP_FRAME_METHOD);
    if (frame.payload.method.id != AMQP_BASIC_ACK_METHOD) {
        return frame.payload.method.id;
    }
    const amqp_basic_ack_t *ack = frame.payload.method.decoded;
    CHECK(ack->delivery_tag >= 1 && ack->delivery_tag <= confirms->published);
    CHECK(confirms->waiting[ack->delivery_tag]);
    for (uint64_t tag = 1; ack->multiple && tag < ack->delivery_tag; tag++) {
        settle(confirms, tag);
    }
    settle(confirms, ack->delivery_tag);
    return AMQP_BASIC_ACK_METHOD;
}

static void
wait_until_confirmed(struct confirms *confirms, amqp_connection_state_t connection)
{
    while (confirms->outstanding > 0) {
        CHECK(next_method(confirms, connection) == AMQP_BASIC_ACK_METHOD);
    }
}

static void
check_returned_first(struct confirms *confirms, amqp_connection_state_t connection)
{
    struct name nowhere = unique_name("nowhere");
    amqp_message_t message;
    publish_tracked(confirms, connection, nowhere.text);
    CHECK(next_method(confirms, connection) == AMQP_BASIC_RETURN_METHOD);
    expect_normal(amqp_read_message(connection, CHANNEL, &message, 0), "reading the returned");
    CHECK(bytes_equal(message.body, "body"));
    amqp_destroy_message(&message);
    CHECK(confirms->outstanding == 1);
    wait_until_confirmed(confirms, connection);
}

int
main(void)
{
    static struct confirms confirms;
    watchdog_start();
    amqp_connection_state_t connection = connection_open();
    struct name queue = declare_private_queue(connection);
    amqp_confirm_select(connection, CHANNEL);
    expect_normal(amqp_get_rpc_reply(connection), "confirm.select");

    for (uint32_t i = 1; i <= ONE_BY_ONE; i++) {
        publish_tracked(&confirms, connection, queue.text);
        wait_until_confirmed(&confirms, connection);
        CHECK(count_messages(connection, queue.text) == i);
    }
    for (int i = 0; i < BATCH; i++) {
        publish_tracked(&confirms, connection, queue.text);
    }
    wait_until_confirmed(&confirms, connection);
    CHECK(count_messages(connection, queue.text) == ONE_BY_ONE + BATCH);

    /* Each publish after the first 100 waits only for room in a window of 100. */
    for (int i = 0; i < STREAM; i++) {
        while (confirms.outstanding >= BATCH) {
            CHECK(next_method(&confirms, connection) == AMQP_BASIC_ACK_METHOD);
        }
        publish_tracked(&confirms, connection, queue.text);
    }
    wait_until_confirmed(&confirms, connection);
    CHECK(count_messages(connection, queue.text) == ONE_BY_ONE + BATCH + STREAM);

    check_returned_first(&confirms, connection);
    connection_close(connection);
    return 0;
}
