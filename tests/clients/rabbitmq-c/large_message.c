/* Bodies of every awkward size, from none to ten megabytes, come back byte for byte. */
#include "support.h"

enum { FULL_FRAME = 131072 - 8, LARGE = 10 * 1024 * 1024 };

static const size_t sizes[] = {
    0, 1, FULL_FRAME - 1, FULL_FRAME, FULL_FRAME + 1, 2 * FULL_FRAME, 2 * FULL_FRAME + 1, LARGE, 0,
};

/* Repeatable bytes without a period near any frame size (xorshift). */
static void
fill(unsigned char *bytes, size_t size)
{
    uint32_t state = 20100308;
    for (size_t i = 0; i < size; i++) {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        bytes[i] = (unsigned char)state;
    }
}

static void
check_round_trip(amqp_connection_state_t connection, const char *queue, amqp_bytes_t sent)
{
    int status = amqp_basic_publish(connection, CHANNEL, amqp_empty_bytes,
                                    amqp_cstring_bytes(queue), false, false, NULL, sent);
    CHECK(status == AMQP_STATUS_OK);
    amqp_envelope_t received = next_delivery(connection);
    CHECK(received.message.body.len == sent.len);
    CHECK(sent.len == 0 || memcmp(received.message.body.bytes, sent.bytes, sent.len) == 0);
    amqp_destroy_envelope(&received);
}

int
main(void)
{
    watchdog_start();
    unsigned char *bytes = malloc(LARGE);
    CHECK(bytes != NULL);
    fill(bytes, LARGE);
    amqp_connection_state_t connection = connection_open();
    struct name queue = declare_private_queue(connection);
    consume(connection, queue.text, true);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        check_round_trip(connection, queue.text, (amqp_bytes_t){ .len = sizes[i], .bytes = bytes });
    }
    connection_close(connection);
    free(bytes);
    return 0;
}
