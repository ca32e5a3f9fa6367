/* The ready messages of one priority against a sorted array: whatever is appended, taken and
 * returned, the lowest sequence comes first. */

#include "broker/core/ready.h"
#include "tests/unit/test_random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct random dice;
static struct message *message; /* One stands for all. */

#define STEPS 200000
#define MODEL_MAX 4096

struct model {
    uint64_t ready[MODEL_MAX];
    size_t ready_count;
    uint64_t taken[MODEL_MAX];
    size_t taken_count;
    uint64_t next;
};

static int
order(const void *a, const void *b)
{
    const uint64_t *x = a;
    const uint64_t *y = b;
    return (*x > *y) - (*x < *y);
}

static void
append(struct ready *r, struct model *m)
{
    const struct entry e = { .sequence = ++m->next, .message = message };
    if (m->ready_count + m->taken_count == MODEL_MAX)
        return;
    ready_append(r, &e, 0);
    m->ready[m->ready_count++] = e.sequence;
}

static void
take(struct ready *r, struct model *m)
{
    if (m->ready_count == 0) {
        assert_null(ready_front(r));
        return;
    }
    qsort(m->ready, m->ready_count, sizeof(m->ready[0]), order);
    assert_int_equal(ready_front(r)->sequence, m->ready[0]);
    const struct entry e = ready_take(r);
    assert_int_equal(e.sequence, m->ready[0]);
    memmove(m->ready, m->ready + 1, --m->ready_count * sizeof(m->ready[0]));
    m->taken[m->taken_count++] = e.sequence;
}

/* Back it goes, in any order. */
static void
give_back(struct ready *r, struct model *m)
{
    if (m->taken_count == 0)
        return;
    const size_t which = random_below(&dice, m->taken_count);
    const struct entry e = { .sequence = m->taken[which], .message = message };
    ready_return(r, &e);
    m->taken[which] = m->taken[--m->taken_count];
    m->ready[m->ready_count++] = e.sequence;
}

/* It is settled: never to come back. */
static void
forget(struct model *m)
{
    if (m->taken_count > 0)
        m->taken_count--;
}

static void
test_order_is_kept(void **state)
{
    (void)state;
    static struct model m;
    struct ready r = { 0 };
    dice = random_start(__func__);
    message = message_create(BYTES_NONE, BYTES_NONE, BYTES_NONE, 0);
    for (int step = 0; step < STEPS; step++) {
        /* Phases of growing and of draining. */
        const bool growing = step / 3000 % 2 == 0;
        const uint64_t choice = random_below(&dice, 10);
        if (choice < (growing ? 6 : 1))
            append(&r, &m);
        else if (choice < 7)
            take(&r, &m);
        else if (choice < 9)
            give_back(&r, &m);
        else
            forget(&m);
        assert_int_equal(ready_count(&r), m.ready_count);
    }
    while (m.ready_count > 0)
        take(&r, &m);
    assert_null(r.head.first); /* An empty one holds no blocks. */
    ready_fini(&r);
    message_unref(message);
}

int
main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_order_is_kept) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
