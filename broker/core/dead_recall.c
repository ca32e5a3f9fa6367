#include "broker/core/dead_recall.h"

#include "broker/base/log.h"
#include "broker/core/absent.h"
#include "broker/core/queue.h"

#define SLICE_OCTETS (1024u * 1024u)

size_t
dead_slice(const struct dead *items, size_t count)
{
    uint64_t octets = 0;
    size_t slice = 0;
    while (slice < count && slice < DEAD_SLICE && octets < SLICE_OCTETS) {
        const struct entry *e = &items[slice++].entry;
        octets += e->is_absent ? e->absent_size : 0;
    }
    return slice;
}

static void
log_unreadable(const struct queue *q, size_t count)
{
    char name[300];
    log_error("queue.dead_letters",
              "queue=\"%s\" messages=%zu msg=\"what died cannot be read: it is not moved, and "
              "stays in the store; see the line before\"",
              log_quote(q->name, name, sizeof(name)), count);
}

size_t
dead_recall(struct queue *q, struct dead *items, size_t count)
{
    struct entry *absent[DEAD_SLICE];
    size_t wanted = 0;
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        items[i].was_absent = items[i].entry.is_absent;
        if (items[i].was_absent)
            absent[wanted++] = &items[i].entry;
    }
    if (wanted == 0)
        return count;
    absent_read(q, absent, wanted);
    for (size_t i = 0; i < count; i++)
        if (!items[i].entry.is_absent)
            items[kept++] = items[i];
    if (kept < count && !atomic_load(&q->deleted))
        log_unreadable(q, count - kept);
    return kept;
}
