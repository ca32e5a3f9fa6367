/*
 * Tickets, exhaustively: two pushers with two pushes each and a committer, as small state machines
 * whose every interleaving is walked. What must hold for the protocol of door.c:
 *   - a push is in exactly the round that its ticket names,
 *   - when a ticket counts as committed, its push has been committed,
 *   - in the end everything is committed: nobody waits for ever.
 * Two variants that look as good are walked as well, and must be found wrong: a model that cannot
 * fail shows nothing.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum variant {
    AS_BUILT,           /* Push and ticket under the lock; number and list taken in one step. */
    NUMBER_FIRST,       /* The committer moves the number on, and swaps the list later. */
    TICKET_BEFORE_PUSH, /* The pusher reads its ticket, and pushes later. */
};

enum { PUSHERS = 2, PUSHES = 2, ALL = PUSHERS * PUSHES, ROUNDS_MAX = 8 };

struct pusher {
    uint8_t step;
    uint8_t pushed;
    uint8_t ticket;
};

struct world {
    struct pusher pushers[PUSHERS];
    uint8_t list;      /* Set of pushes in the open list. */
    uint8_t open;      /* Number that a ticket read now gets. */
    uint8_t taken;     /* Set of pushes in the round being committed. */
    uint8_t number;    /* Of that round. */
    uint8_t committer; /* Its step. */
    uint8_t committed; /* Highest round that is said to be committed. */
    uint8_t durable;   /* Set of pushes that are. */
    uint8_t tickets[ALL];
    uint8_t rounds[ALL]; /* In which each push went out; 0: not yet. */
};

struct walk {
    enum variant variant;
    bool confirmed_too_early;
    bool wrong_round;
    bool waits_for_ever;
    uint64_t ends;
};

static bool
pusher_step(struct world *w, int i, enum variant variant)
{
    struct pusher *p = &w->pushers[i];
    if (p->pushed == PUSHES)
        return false;
    const uint8_t push = (uint8_t)(i * PUSHES + p->pushed);
    if (variant == TICKET_BEFORE_PUSH && p->step == 0) {
        p->ticket = w->open;
        p->step = 1;
        return true;
    }
    w->list |= (uint8_t)(1u << push);
    w->tickets[push] = variant == TICKET_BEFORE_PUSH ? p->ticket : w->open;
    p->step = 0;
    p->pushed++;
    return true;
}

static void
take_list(struct world *w)
{
    w->taken = w->list;
    w->list = 0;
    for (uint8_t push = 0; push < ALL; push++)
        if (w->taken & 1u << push)
            w->rounds[push] = w->number;
}

/* Steps of the committer: 0 waits for work, 1 (NUMBER_FIRST only) swaps, 2 commits. */
static bool
committer_step(struct world *w, enum variant variant)
{
    switch (w->committer) {
    case 0:
        if (w->list == 0 || w->open == ROUNDS_MAX)
            return false;
        w->number = w->open++;
        if (variant == NUMBER_FIRST) {
            w->committer = 1;
            return true;
        }
        take_list(w);
        w->committer = 2;
        return true;
    case 1:
        take_list(w);
        w->committer = 2;
        return true;
    default:
        w->durable |= w->taken;
        w->committed = w->number;
        w->taken = 0;
        w->committer = 0;
        return true;
    }
}

static bool
is_pushed(const struct world *w, uint8_t push)
{
    return push % PUSHES < w->pushers[push / PUSHES].pushed;
}

static void
check(const struct world *w, struct walk *walk)
{
    for (uint8_t push = 0; push < ALL; push++) {
        if (!is_pushed(w, push))
            continue;
        if (w->tickets[push] <= w->committed && !(w->durable & 1u << push))
            walk->confirmed_too_early = true;
        if (w->rounds[push] != 0 && w->rounds[push] != w->tickets[push])
            walk->wrong_round = true;
    }
}

static void
check_end(const struct world *w, struct walk *walk)
{
    walk->ends++;
    for (uint8_t push = 0; push < ALL; push++)
        if (w->tickets[push] > w->committed)
            walk->waits_for_ever = true;
}

/* Depth is bounded by the number of steps there are. */
static void
explore(const struct world *w, struct walk *walk)
{
    bool moved = false;
    check(w, walk);
    for (int actor = 0; actor <= PUSHERS; actor++) {
        struct world next = *w;
        const bool stepped = actor < PUSHERS ? pusher_step(&next, actor, walk->variant)
                                             : committer_step(&next, walk->variant);
        if (!stepped)
            continue;
        moved = true;
        explore(&next, walk);
    }
    if (!moved)
        check_end(w, walk);
}

static struct walk
walk_all(enum variant variant)
{
    struct walk walk = { .variant = variant };
    const struct world start = { .open = 1 };
    explore(&start, &walk);
    assert_true(walk.ends > 100);
    return walk;
}

static void
test_as_built_nothing_goes_wrong(void **state)
{
    (void)state;
    const struct walk walk = walk_all(AS_BUILT);
    assert_false(walk.confirmed_too_early);
    assert_false(walk.wrong_round);
    assert_false(walk.waits_for_ever);
}

/* A push between the two steps gets the next number and goes out with the list before: it waits for
 * a round that, if nobody pushes any more, never comes. */
static void
test_number_first_hangs_a_lone_publisher(void **state)
{
    (void)state;
    const struct walk walk = walk_all(NUMBER_FIRST);
    assert_true(walk.wrong_round);
    assert_true(walk.waits_for_ever);
}

/* The round of the ticket is taken and committed before the push is in. */
static void
test_ticket_before_push_confirms_too_early(void **state)
{
    (void)state;
    const struct walk walk = walk_all(TICKET_BEFORE_PUSH);
    assert_true(walk.confirmed_too_early);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_as_built_nothing_goes_wrong),
        cmocka_unit_test(test_number_first_hangs_a_lone_publisher),
        cmocka_unit_test(test_ticket_before_push_confirms_too_early),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
