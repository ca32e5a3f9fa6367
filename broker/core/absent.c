#include "broker/core/absent.h"

#include "broker/core/queue.h"
#include "broker/core/record.h"

#include <stdlib.h>

/* Records of others that are rather read than begun anew behind them, in octets, if they are about
 * as large as those that are wanted. */
#define GAP_OCTETS (128u * 1024u)
#define RECORD_OCTETS 64u /* Of a record, beside its body. */

/* Entries of one level, in order. */
struct absent_run {
    struct entry **entries;
    size_t count;
    size_t next;
};

static void
take_record(struct entry *e, struct bytes record)
{
    struct entry found = { .sequence = e->sequence };
    if (!record_decode(record, &found))
        return;
    if (found.message->body_size == e->absent_size)
        entry_rejoin(e, found.message);
    else
        message_unref(found.message);
}

static bool
visit_record(void *context, uint64_t sequence, struct bytes record)
{
    struct absent_run *r = context;
    while (r->next < r->count && r->entries[r->next]->sequence < sequence)
        r->next++; /* It is not there. */
    if (r->next < r->count && r->entries[r->next]->sequence == sequence)
        take_record(r->entries[r->next++], record);
    return r->next < r->count;
}

static int
record_order(const void *a, const void *b)
{
    const struct entry *x = *(struct entry *const *)a;
    const struct entry *y = *(struct entry *const *)b;
    if (x->priority != y->priority)
        return x->priority < y->priority ? -1 : 1;
    return (x->sequence > y->sequence) - (x->sequence < y->sequence);
}

/* Whether the two are read at one go. */
static bool
is_near(const struct entry *e, const struct entry *next)
{
    return e->priority == next->priority &&
           (next->sequence - e->sequence - 1) <= GAP_OCTETS / (e->absent_size + RECORD_OCTETS);
}

void
absent_read(struct queue *q, struct entry **entries, size_t count)
{
    if (count > 1)
        qsort(entries, count, sizeof(struct entry *), record_order);
    for (size_t from = 0; from < count;) {
        size_t to = from + 1;
        while (to < count && is_near(entries[to - 1], entries[to]))
            to++;
        struct absent_run run = { .entries = entries + from, .count = to - from };
        /* What cannot be read has been logged, and stays absent. */
        (void)door_read(q->door, &(const struct log_reading){
                                     .log = q->log + entries[from]->priority,
                                     .from = entries[from]->sequence,
                                     .to = entries[to - 1]->sequence,
                                     .visit = visit_record,
                                     .context = &run,
                                 });
        from = to;
    }
}
