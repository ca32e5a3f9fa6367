#include "broker/core/replies.h"

#include "tests/unit/test_random.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "tests/unit/test_core.h"

enum { SENDERS = 3, SENDS = 3000 };

struct requester {
    struct replies *replies;
    struct reply_consumer consumer;
    struct loop loop;
    unsigned mails;
    uint64_t came;
    uint32_t next[SENDERS];
};

static struct bytes
token_of(const struct requester *r)
{
    return bytes_of(r->consumer.token, REPLY_TOKEN_SIZE);
}

static void
count_mail(struct mail *mail)
{
    struct reply_consumer *c = LIST_CONTAINER(mail, struct reply_consumer, mail);
    LIST_CONTAINER(c, struct requester, consumer)->mails++;
}

static void
start(struct requester *r, struct replies *replies, void (*deliver)(struct mail *mail))
{
    *r = (struct requester){ .replies = replies };
    assert_true(loop_init(&r->loop));
    replies_register(replies, &r->consumer, &r->loop, deliver);
    assert_int_equal(strlen(r->consumer.token), REPLY_TOKEN_SIZE);
}

static void
end(struct requester *r)
{
    replies_unregister(r->replies, &r->consumer);
    loop_fini(&r->loop);
}

static bool
send(struct replies *replies, struct bytes token, uint32_t number)
{
    struct message *m = message_sized(number, 8, false);
    const bool sent = replies_send(replies, token, m);
    message_unref(m);
    return sent;
}

static void
test_replies_reach_their_requester(void **state)
{
    (void)state;
    struct replies replies;
    struct requester a;
    struct requester b;
    size_t count;
    replies_init(&replies);
    start(&a, &replies, count_mail);
    start(&b, &replies, count_mail);
    assert_false(bytes_equal(token_of(&a), token_of(&b)));
    assert_true(replies_exist(&replies, token_of(&a)));
    for (uint32_t i = 1; i <= 9; i++)
        assert_true(send(&replies, token_of(&a), i));
    loop_turn(&a.loop, 0);
    loop_turn(&b.loop, 0);
    assert_int_equal(a.mails, 1);
    assert_int_equal(b.mails, 0);
    struct message **messages = replies_take(&replies, &a.consumer, &count);
    assert_int_equal(count, 9);
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(message_number(messages[i]), i + 1);
        message_unref(messages[i]);
    }
    mem_free(messages);
    assert_null(replies_take(&replies, &a.consumer, &count));
    assert_int_equal(count, 0);
    end(&a);
    end(&b);
    replies_fini(&replies);
    assert_no_messages();
}

static void
test_who_has_gone_gets_nothing(void **state)
{
    (void)state;
    struct replies replies;
    struct requester a;
    replies_init(&replies);
    start(&a, &replies, count_mail);
    const struct bytes token = bytes_copy(token_of(&a));
    assert_true(send(&replies, token, 1)); /* Released when nobody takes it. */
    replies_unregister(&replies, &a.consumer);
    loop_turn(&a.loop, 0);
    assert_int_equal(a.mails, 0);
    loop_fini(&a.loop);
    assert_false(replies_exist(&replies, token));
    assert_false(send(&replies, token, 2));
    assert_false(send(&replies, BYTES_NONE, 3));
    assert_false(send(&replies, bytes_of(token.data, token.size - 1), 4));
    mem_free_const(token.data);
    replies_fini(&replies);
    assert_no_messages();
}

/* Replies that nobody takes do not pile up without end. */
static void
test_what_waits_is_bounded(void **state)
{
    (void)state;
    struct replies replies;
    struct requester a;
    size_t count;
    replies_init(&replies);
    start(&a, &replies, count_mail);
    for (uint32_t i = 0; i < 20000; i++)
        send(&replies, token_of(&a), i);
    struct message **messages = replies_take(&replies, &a.consumer, &count);
    assert_true(count >= 1000 && count < 20000);
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(message_number(messages[i]), i);
        message_unref(messages[i]);
    }
    mem_free(messages);
    end(&a);
    replies_fini(&replies);
    assert_no_messages();
}

static void
test_addresses(void **state)
{
    (void)state;
    static const struct {
        const char *address;
        const char *token; /* NULL: not a reply address. */
    } rows[] = {
        { "amq.rabbitmq.reply-to.abc", "abc" },
        { "amq.rabbitmq.reply-to.a.b", "a.b" },
        { "amq.rabbitmq.reply-to.", "" },
        { "amq.rabbitmq.reply-to", NULL },
        { "amq.rabbitmq.reply-tox", NULL },
        { "Amq.rabbitmq.reply-to.abc", NULL },
        { "", NULL },
        { "abc", NULL },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct bytes token;
        const bool found = replies_parse(bytes_of_string(rows[i].address), &token);
        assert_int_equal(found, rows[i].token != NULL);
        if (found)
            assert_true(bytes_equal(token, bytes_of_string(rows[i].token)));
    }
}

struct sender {
    pthread_t thread;
    uint32_t index;
    struct requester *requester;
};

static void
take_all(struct mail *mail)
{
    struct reply_consumer *c = LIST_CONTAINER(mail, struct reply_consumer, mail);
    struct requester *r = LIST_CONTAINER(c, struct requester, consumer);
    size_t count;
    struct message **messages = replies_take(r->replies, c, &count);
    for (size_t i = 0; i < count; i++) {
        const uint32_t number = message_number(messages[i]);
        assert_true(number % SENDS >= r->next[number / SENDS]); /* In each sender's order. */
        r->next[number / SENDS] = number % SENDS + 1;
        message_unref(messages[i]);
    }
    mem_free(messages);
    r->came += count;
}

static void *
send_all(void *argument)
{
    struct sender *s = argument;
    for (uint32_t i = 0; i < SENDS; i++)
        send(s->requester->replies, token_of(s->requester), s->index * SENDS + i);
    return NULL;
}

static void
test_many_threads_send(void **state)
{
    (void)state;
    struct replies replies;
    struct requester a;
    struct sender senders[SENDERS];
    replies_init(&replies);
    start(&a, &replies, take_all);
    for (uint32_t i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){ .index = i, .requester = &a };
        assert_int_equal(pthread_create(&senders[i].thread, NULL, send_all, &senders[i]), 0);
    }
    for (int turn = 0; turn < 100; turn++)
        loop_turn(&a.loop, 0);
    for (uint32_t i = 0; i < SENDERS; i++)
        pthread_join(senders[i].thread, NULL);
    loop_turn(&a.loop, 0);
    assert_true(a.came > 0);
    for (uint32_t i = 0; i < SENDERS; i++)
        assert_true(a.next[i] <= SENDS);
    end(&a);
    replies_fini(&replies);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replies_reach_their_requester),
        cmocka_unit_test(test_who_has_gone_gets_nothing),
        cmocka_unit_test(test_what_waits_is_bounded),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_many_threads_send),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
