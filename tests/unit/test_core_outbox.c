#include "broker/core/outbox.h"

#include "tests/unit/test_random.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <sched.h>

#include "tests/unit/test_core.h"

enum { CONSUMERS = 3, MODEL_MAX = 2000, STEPS = 100000 };
enum { PUSHERS = 3, PUSHES = 20000 };

static unsigned mails;

static void
count_mail(struct mail *mail)
{
    (void)mail;
    mails++;
}

static void
push(struct outbox *o, struct consumer *c, uint64_t sequence)
{
    const struct entry e = { .sequence = sequence };
    outbox_open(o);
    outbox_push(o, c, &e);
    outbox_close(o);
}

/* What waits, in order. */
struct model {
    struct delivery items[MODEL_MAX];
    size_t count;
};

struct choice {
    struct random *dice;
    struct model *model;
    size_t at; /* Place in the model that is visited next. */
    const struct consumer *consumer;
    bool drops[MODEL_MAX];
};

static bool
visit(void *context, struct delivery *d)
{
    struct choice *choice = context;
    while (choice->model->items[choice->at].consumer != choice->consumer)
        choice->at++;
    assert_int_equal(d->entry.sequence, choice->model->items[choice->at].entry.sequence);
    choice->drops[choice->at] = random_below(choice->dice, 2) == 0;
    return choice->drops[choice->at++];
}

/* Every delivery of one consumer is seen once, in order, and only those that are dropped go. */
static void
visit_some(struct outbox *o, struct model *m, struct consumer *c, struct random *dice)
{
    static struct choice choice;
    choice = (struct choice){ .dice = dice, .model = m, .consumer = c };
    outbox_visit(o, c, visit, &choice);
    size_t kept = 0;
    size_t unseen = 0;
    for (size_t i = 0; i < m->count; i++) {
        unseen += i >= choice.at && m->items[i].consumer == c;
        if (!choice.drops[i])
            m->items[kept++] = m->items[i];
    }
    m->count = kept;
    assert_int_equal(unseen, 0);
}

static void
take(struct outbox *o, struct model *m, bool puts_back)
{
    struct delivery d;
    assert_int_equal(outbox_take(o, &d), m->count > 0);
    if (m->count == 0)
        return;
    assert_int_equal(d.entry.sequence, m->items[0].entry.sequence);
    assert_ptr_equal(d.consumer, m->items[0].consumer);
    if (puts_back)
        outbox_untake(o);
    else
        memmove(m->items, m->items + 1, --m->count * sizeof(m->items[0]));
}

static void
test_against_a_model(void **state)
{
    (void)state;
    struct random dice = random_start("test_against_a_model");
    static struct model model;
    struct consumer consumers[CONSUMERS] = { 0 };
    struct loop loop;
    struct outbox o;
    uint64_t next = 1;
    assert_true(loop_init(&loop));
    outbox_init(&o, &loop, count_mail);
    for (int step = 0; step < STEPS; step++) {
        const size_t what = random_below(&dice, 100);
        struct consumer *c = &consumers[random_below(&dice, CONSUMERS)];
        const size_t most = step / 2000 % 2 == 0 ? 45 : 60; /* It grows, and then it shrinks. */
        if (what == 0) {
            visit_some(&o, &model, c, &dice);
        } else if (what < most) {
            take(&o, &model, random_below(&dice, 5) == 0);
        } else if (model.count < MODEL_MAX) {
            model.items[model.count++] = (struct delivery){ c, { .sequence = next } };
            push(&o, c, next++);
        }
    }
    while (model.count > 0)
        take(&o, &model, false);
    take(&o, &model, false);
    outbox_fini(&o);
    loop_fini(&loop);
}

static void
test_the_worker_is_told_of_what_came(void **state)
{
    (void)state;
    struct consumer c = { 0 };
    struct loop loop;
    struct outbox o;
    mails = 0;
    assert_true(loop_init(&loop));
    outbox_init(&o, &loop, count_mail);
    outbox_open(&o);
    outbox_close(&o); /* Nothing was pushed. */
    loop_turn(&loop, 0);
    assert_int_equal(mails, 0);
    push(&o, &c, 1);
    push(&o, &c, 2);
    loop_turn(&loop, 0);
    assert_int_equal(mails, 1);
    push(&o, &c, 3);
    outbox_fini(&o); /* With mail under way, which is never delivered. */
    loop_turn(&loop, 0);
    assert_int_equal(mails, 1);
    loop_fini(&loop);
}

struct pusher {
    pthread_t thread;
    struct outbox *outbox;
    struct consumer consumer;
    uint64_t seen; /* Sequence that was taken last. */
};

static void *
push_all(void *argument)
{
    struct pusher *p = argument;
    for (uint64_t i = 1; i <= PUSHES; i++)
        push(p->outbox, &p->consumer, i);
    return NULL;
}

/* Every pusher's deliveries come once and in its order. */
static void
test_many_threads_push(void **state)
{
    (void)state;
    struct pusher pushers[PUSHERS] = { 0 };
    struct loop loop;
    struct outbox o;
    struct delivery d;
    size_t taken = 0;
    assert_true(loop_init(&loop));
    outbox_init(&o, &loop, count_mail);
    for (int i = 0; i < PUSHERS; i++) {
        pushers[i].outbox = &o;
        assert_int_equal(pthread_create(&pushers[i].thread, NULL, push_all, &pushers[i]), 0);
    }
    while (taken < PUSHERS * PUSHES) {
        if (!outbox_take(&o, &d)) {
            loop_turn(&loop, -1); /* There is mail when there is more. */
            continue;
        }
        struct pusher *p = LIST_CONTAINER(d.consumer, struct pusher, consumer);
        assert_int_equal(d.entry.sequence, ++p->seen);
        taken++;
    }
    for (int i = 0; i < PUSHERS; i++)
        pthread_join(pushers[i].thread, NULL);
    assert_false(outbox_take(&o, &d));
    outbox_fini(&o);
    loop_fini(&loop);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_a_model),
        cmocka_unit_test(test_the_worker_is_told_of_what_came),
        cmocka_unit_test(test_many_threads_push),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
