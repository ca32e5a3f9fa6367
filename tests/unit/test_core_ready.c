/* The ready messages of one priority against a sorted array: whatever is appended, taken, returned,
 * paged and restored, the lowest sequence comes first. */

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

/* An absent front gets its message, and is in its place again. */
static void
recall(struct ready *r, uint64_t expected)
{
    if (!ready_front_is_absent(r))
        return;
    assert_null(ready_front(r));
    struct entry e = ready_take(r);
    assert_true(e.is_absent);
    assert_int_equal(e.sequence, expected);
    entry_rejoin(&e, message);
    ready_return(r, &e);
}

static void
take(struct ready *r, struct model *m)
{
    if (m->ready_count == 0) {
        assert_null(ready_front(r));
        return;
    }
    qsort(m->ready, m->ready_count, sizeof(m->ready[0]), order);
    recall(r, m->ready[0]);
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
    struct entry e = { .sequence = m->taken[which], .message = message, .is_durable = true };
    if (random_below(&dice, 2) == 0)
        (void)entry_part(&e);
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

/* The same with paging, the part of which the test itself plays: what is shed is kept in order, and
 * restored from its front. */

#define TICKET_LAG 100

struct paging {
    struct model model;
    uint64_t paged[MODEL_MAX];
    size_t paged_count;
    size_t shed_total;
};

static void
append_paged(struct ready *r, struct paging *p)
{
    struct model *m = &p->model;
    if (m->ready_count + m->taken_count == MODEL_MAX)
        return;
    const struct entry e = { .sequence = ++m->next, .message = message };
    ready_append(r, &e, m->next);
    m->ready[m->ready_count++] = e.sequence;
}

/* What is shed is the oldest behind what is paged already, and committed. */
static void
shed(struct ready *r, struct paging *p)
{
    const uint64_t committed = p->model.next > TICKET_LAG ? p->model.next - TICKET_LAG : 0;
    struct ready_block *b = ready_shed(r, committed);
    if (b == NULL)
        return;
    assert_true(p->paged_count > 0 || r->head.count > 0); /* The head keeps something. */
    for (uint32_t i = b->first; i < b->end; i++) {
        const uint64_t sequence = b->entries[i].sequence;
        assert_true(sequence <= committed);
        assert_true(p->paged_count == 0 || p->paged[p->paged_count - 1] < sequence);
        p->paged[p->paged_count++] = sequence;
        r->paged.records++;
    }
    p->shed_total += b->end - b->first;
    ready_block_free(b);
}

static void
restore_some(struct ready *r, struct paging *p)
{
    size_t count = random_below(&dice, p->paged_count + 1);
    count = count < 100 ? count : 100;
    for (size_t i = 0; i < count; i++) {
        const struct entry e = { .sequence = p->paged[i], .message = message };
        ready_restore(r, &e);
        r->paged.records--;
    }
    p->paged_count -= count;
    memmove(p->paged, p->paged + count, p->paged_count * sizeof(p->paged[0]));
    ready_join(r);
}

static void
take_paged(struct ready *r, struct paging *p)
{
    if (p->model.ready_count > 0 && ready_front(r) == NULL && !ready_front_is_absent(r)) {
        assert_true(p->paged_count > 0); /* It is the front that is paged. */
        assert_true(ready_runs_low(r));
        while (ready_front(r) == NULL)
            restore_some(r, p);
    }
    take(r, &p->model);
}

static void
paging_step(struct ready *r, struct paging *p, bool growing)
{
    const uint64_t choice = random_below(&dice, 12);
    if (choice < (growing ? 6 : 1))
        append_paged(r, p);
    else if (choice < 7)
        take_paged(r, p);
    else if (choice < 8)
        give_back(r, &p->model);
    else if (choice < 9)
        forget(&p->model);
    else if (choice < 11)
        shed(r, p);
    else if (random_below(&dice, 20) == 0)
        restore_some(r, p);
}

static void
test_order_is_kept_with_paging(void **state)
{
    (void)state;
    static struct paging p;
    struct ready r = { 0 };
    const int64_t before = message_memory();
    dice = random_start(__func__);
    message_set_budget(64 * 1024);
    message = message_create(BYTES_NONE, BYTES_NONE, BYTES_NONE, 1000);
    message_charge(1000);
    for (int step = 0; step < STEPS; step++) {
        paging_step(&r, &p, step / 5000 % 2 == 0);
        assert_int_equal(ready_count(&r), p.model.ready_count);
    }
    assert_true(p.shed_total > MODEL_MAX);
    while (p.model.ready_count > 0)
        take_paged(&r, &p);
    assert_null(r.head.first);
    assert_null(r.tail.first);
    assert_int_equal(r.head.octets, 0);
    assert_int_equal(r.tail.octets, 0);
    ready_fini(&r);
    message_unref(message);
    message_set_budget(INT64_MAX);
    /* What blocks were charged has been given back, but for what this thread owes. */
    assert_true(llabs((long long)(message_memory() - before)) <= 64 * 1024);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_is_kept),
        cmocka_unit_test(test_order_is_kept_with_paging),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
