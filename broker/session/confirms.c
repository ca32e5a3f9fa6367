#include "broker/session/confirms.h"

#include "broker/base/mem.h"
#include "broker/base/panic.h"

static struct confirm_run *
run_at(const struct confirms *c, size_t place)
{
    return &c->runs[place & (c->capacity - 1)];
}

static void
grow(struct confirms *c)
{
    const size_t capacity = c->capacity == 0 ? 4 : c->capacity * 2;
    struct confirm_run *runs = mem_alloc(capacity * sizeof(*runs));
    size_t count = 0;
    for (size_t place = c->head; place != c->tail; place++)
        runs[count++] = *run_at(c, place);
    mem_free(c->runs);
    c->runs = runs;
    c->capacity = capacity;
    c->head = 0;
    c->tail = count;
}

uint64_t
confirms_ticket(const struct confirms *c)
{
    ASSERT(!confirms_are_empty(c));
    return run_at(c, c->head)->ticket;
}

void
confirms_add(struct confirms *c, uint64_t number, uint64_t ticket, bool rejected)
{
    if (!confirms_are_empty(c)) {
        struct confirm_run *last = run_at(c, c->tail - 1);
        ASSERT(number == last->last + 1);
        /* What waits for less than the one before it waits for that anyway: answers keep order. */
        if (last->rejected == rejected && ticket <= last->ticket) {
            last->last = number;
            return;
        }
    }
    if (c->tail - c->head == c->capacity)
        grow(c);
    *run_at(c, c->tail++) = (struct confirm_run){ number, number, ticket, rejected };
}

bool
confirms_take(struct confirms *c, uint64_t committed, struct confirm_run *out)
{
    if (confirms_are_empty(c) || run_at(c, c->head)->ticket > committed)
        return false;
    *out = *run_at(c, c->head++);
    while (!confirms_are_empty(c)) {
        const struct confirm_run *next = run_at(c, c->head);
        if (next->rejected != out->rejected || next->ticket > committed)
            break;
        out->last = next->last;
        c->head++;
    }
    return true;
}

void
confirms_fini(struct confirms *c)
{
    mem_free(c->runs);
    *c = (struct confirms){ 0 };
}
