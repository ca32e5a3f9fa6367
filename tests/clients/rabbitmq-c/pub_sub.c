/* Publish/subscribe: a fanout exchange copies each message to every subscriber's own queue. */
#include "support.h"

enum { SUBSCRIBERS = 3 };

static const char *const logs[] = { "log 1", "log 2", "log 3", "", "log 5", NULL };

int
main(void)
{
    watchdog_start();
    struct name exchange = unique_name("pub_sub");
    struct name queues[SUBSCRIBERS];
    amqp_connection_state_t subscribers[SUBSCRIBERS];
    amqp_connection_state_t publisher = connection_open();
    declare_exchange(publisher, exchange.text, "fanout");
    publish(publisher, exchange.text, "", NULL, "nobody listens yet");
    /* The answer shows that the broker has dealt with the message. */
    declare_exchange(publisher, exchange.text, "fanout");

    for (int i = 0; i < SUBSCRIBERS; i++) {
        subscribers[i] = connection_open();
        queues[i] = declare_private_queue(subscribers[i]);
        CHECK(strncmp(queues[i].text, "amq.gen-", strlen("amq.gen-")) == 0);
        CHECK(i == 0 || strcmp(queues[i].text, queues[i - 1].text) != 0);
        bind_queue(subscribers[i], queues[i].text, exchange.text, "");
    }
    for (size_t i = 0; logs[i] != NULL; i++) {
        publish(publisher, exchange.text, logs[i], NULL, logs[i]);
    }
    publish(publisher, exchange.text, "", NULL, "end");
    for (int i = 0; i < SUBSCRIBERS; i++) {
        expect_bodies_then_end(subscribers[i], queues[i].text, logs);
        connection_close(subscribers[i]);
    }
    delete_exchange(publisher, exchange.text);
    connection_close(publisher);
    return 0;
}
