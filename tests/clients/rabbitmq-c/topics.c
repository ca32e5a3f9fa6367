/* Topics: `*` stands for exactly one word of the routing key, `#` for any number of words. */
#include "support.h"

enum { MAX_MATCHES = 8 };

static const char *const keys[] = {
    "kern.critical",      "kern.info",           "kern", "cron.critical",
    "kern.disk.critical", "quick.orange.rabbit", "lazy", NULL
};

static const struct {
    const char *pattern;
    const char *matches[MAX_MATCHES];
} cases[] = {
    { "kern.critical", { "kern.critical" } },
    { "kern.*", { "kern.critical", "kern.info" } },
    { "*.critical", { "kern.critical", "cron.critical" } },
    { "kern.#", { "kern.critical", "kern.info", "kern", "kern.disk.critical" } },
    { "#.critical", { "kern.critical", "cron.critical", "kern.disk.critical" } },
    { "*.orange.*", { "quick.orange.rabbit" } },
    { "lazy.#", { "lazy" } },
    { "*", { "kern", "lazy" } },
    { "#",
      { "kern.critical", "kern.info", "kern", "cron.critical", "kern.disk.critical",
        "quick.orange.rabbit", "lazy" } },
};

enum { CASES = sizeof cases / sizeof cases[0] };

int
main(void)
{
    watchdog_start();
    struct name exchange = unique_name("topics");
    struct name queues[CASES];
    amqp_connection_state_t connection = connection_open();
    declare_exchange(connection, exchange.text, "topic");
    for (size_t i = 0; i < CASES; i++) {
        queues[i] = declare_private_queue(connection);
        bind_queue(connection, queues[i].text, exchange.text, cases[i].pattern);
    }
    for (size_t i = 0; keys[i] != NULL; i++) {
        publish(connection, exchange.text, keys[i], NULL, keys[i]);
    }
    for (size_t i = 0; i < CASES; i++) {
        publish(connection, "", queues[i].text, NULL, "end");
        expect_bodies_then_end(connection, queues[i].text, cases[i].matches);
    }
    delete_exchange(connection, exchange.text);
    connection_close(connection);
    return 0;
}
