#include "broker/base/list.h"

#include "tests/unit/test_random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

struct item {
    int number;
    struct list link;
};

enum { ITEMS = 40, LISTS = 3 };

static struct item items[ITEMS];

static int
number_of(struct list *link)
{
    return LIST_CONTAINER(link, struct item, link)->number;
}

/* The list has exactly these elements, seen from both ends. */
static void
assert_list(struct list *head, const int *numbers, size_t count)
{
    struct list *forward = head->next;
    struct list *backward = head->prev;
    for (size_t i = 0; i < count; i++) {
        assert_ptr_not_equal(forward, head);
        assert_ptr_not_equal(backward, head);
        assert_int_equal(number_of(forward), numbers[i]);
        assert_int_equal(number_of(backward), numbers[count - 1 - i]);
        forward = forward->next;
        backward = backward->prev;
    }
    assert_ptr_equal(forward, head);
    assert_ptr_equal(backward, head);
    assert_int_equal(list_is_empty(head), count == 0);
}

static int
items_setup(void **state)
{
    (void)state;
    for (int i = 0; i < ITEMS; i++) {
        items[i].number = i;
        list_init(&items[i].link);
    }
    return 0;
}

static void
test_empty(void **state)
{
    (void)state;
    struct list head;
    list_init(&head);
    assert_list(&head, NULL, 0);
    LIST_FOREACH (link, &head)
        fail();
    assert_null(list_first(&head));
}

static void
test_push_at_both_ends_and_between(void **state)
{
    (void)state;
    struct list head;
    list_init(&head);
    list_push(&head, &items[1].link);
    list_push(&head, &items[2].link);
    list_push_front(&head, &items[0].link);
    list_insert_before(&items[1].link, &items[3].link);
    assert_list(&head, (const int[]){ 0, 3, 1, 2 }, 4);
    assert_ptr_equal(list_first(&head), &items[0].link);
    assert_true(list_is_linked(&items[0].link));
    assert_false(list_is_linked(&items[4].link));
}

static void
test_unlink_twice_is_fine(void **state)
{
    (void)state;
    struct list head;
    list_init(&head);
    for (int i = 0; i < 3; i++)
        list_push(&head, &items[i].link);
    for (int again = 0; again < 2; again++) {
        list_unlink(&items[1].link);
        assert_false(list_is_linked(&items[1].link));
        assert_list(&head, (const int[]){ 0, 2 }, 2);
    }
    list_unlink(&items[0].link);
    list_unlink(&items[2].link);
    assert_list(&head, NULL, 0);
}

static void
test_foreach_may_unlink_the_current(void **state)
{
    (void)state;
    struct list head;
    list_init(&head);
    for (int i = 0; i < 6; i++)
        list_push(&head, &items[i].link);
    int seen = 0;
    LIST_FOREACH (link, &head) {
        assert_int_equal(number_of(link), seen++);
        if (seen % 2 == 0)
            list_unlink(link);
    }
    assert_int_equal(seen, 6);
    assert_list(&head, (const int[]){ 0, 2, 4 }, 3);
}

static void
test_move_all(void **state)
{
    (void)state;
    struct list to;
    struct list from;
    list_init(&to);
    list_init(&from);
    list_move_all(&to, &from);
    assert_list(&to, NULL, 0);

    list_push(&from, &items[0].link);
    list_push(&from, &items[1].link);
    list_move_all(&to, &from);
    assert_list(&to, (const int[]){ 0, 1 }, 2);
    assert_list(&from, NULL, 0);

    list_push(&from, &items[2].link);
    list_move_all(&to, &from);
    list_move_all(&to, &from);
    assert_list(&to, (const int[]){ 0, 1, 2 }, 3);
    assert_list(&from, NULL, 0);
}

/* Arrays of numbers, moved about with memmove. */
struct model {
    int numbers[LISTS][ITEMS];
    size_t counts[LISTS];
};

static void
model_insert(struct model *m, size_t l, size_t at, int number)
{
    memmove(&m->numbers[l][at + 1], &m->numbers[l][at], (m->counts[l] - at) * sizeof(int));
    m->numbers[l][at] = number;
    m->counts[l]++;
}

static bool
model_find(const struct model *m, int number, size_t *l, size_t *at)
{
    for (*l = 0; *l < LISTS; ++*l)
        for (*at = 0; *at < m->counts[*l]; ++*at)
            if (m->numbers[*l][*at] == number)
                return true;
    return false;
}

static void
model_remove(struct model *m, size_t l, size_t at)
{
    m->counts[l]--;
    memmove(&m->numbers[l][at], &m->numbers[l][at + 1], (m->counts[l] - at) * sizeof(int));
}

static void
insert_somewhere(struct random *r, struct list *heads, struct model *m, int number)
{
    const size_t l = random_below(r, LISTS);
    const size_t at = random_below(r, m->counts[l] + 1);
    struct list *link = &items[number].link;
    if (at == 0)
        list_push_front(&heads[l], link);
    else if (at == m->counts[l])
        list_push(&heads[l], link);
    else
        list_insert_before(&items[m->numbers[l][at]].link, link);
    model_insert(m, l, at, number);
}

static void
move_all(struct random *r, struct list *heads, struct model *m)
{
    const size_t to = random_below(r, LISTS);
    const size_t from = (to + 1 + random_below(r, LISTS - 1)) % LISTS;
    list_move_all(&heads[to], &heads[from]);
    memcpy(&m->numbers[to][m->counts[to]], m->numbers[from], m->counts[from] * sizeof(int));
    m->counts[to] += m->counts[from];
    m->counts[from] = 0;
}

static void
test_random_operations(void **state)
{
    (void)state;
    struct random r = random_start(__func__);
    struct list heads[LISTS];
    struct model m = { 0 };
    for (size_t l = 0; l < LISTS; l++)
        list_init(&heads[l]);
    for (int step = 0; step < 20000; step++) {
        const int number = (int)random_below(&r, ITEMS);
        size_t l = 0;
        size_t at = 0;
        if (random_below(&r, 100) == 0) {
            move_all(&r, heads, &m);
        } else if (model_find(&m, number, &l, &at)) {
            list_unlink(&items[number].link);
            model_remove(&m, l, at);
        } else {
            insert_somewhere(&r, heads, &m, number);
        }
        for (l = 0; l < LISTS; l++)
            assert_list(&heads[l], m.numbers[l], m.counts[l]);
    }
}

#define TEST(name) cmocka_unit_test_setup(name, items_setup)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_empty),
        TEST(test_push_at_both_ends_and_between),
        TEST(test_unlink_twice_is_fine),
        TEST(test_foreach_may_unlink_the_current),
        TEST(test_move_all),
        TEST(test_random_operations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
