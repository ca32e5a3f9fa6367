#ifndef BROKER_CORE_PAGED_H
#define BROKER_CORE_PAGED_H

/*
 * The stretch of a queue's ready messages that is not in memory. Durable ones are records of the
 * queue's log: all that is alive there from `first` to `last` is meant, so a number is all that
 * need be kept. The others lie in pages of the swap. A zeroed struct is empty. Guarded by the
 * queue's lock.
 */

#include "broker/core/entry.h"
#include "persistence/swap.h"

/* Messages without a record. While they wait for being written they are still in memory. */
struct page {
    struct page *next;
    uint64_t first;
    uint64_t last;
    size_t count;
    size_t taken;          /* So many are in memory again. */
    struct entry *entries; /* NULL once written. */
    size_t entry_count;
    uint64_t octets;        /* That wait to be written; the pager's, once it is in the queue. */
    struct swap_page place; /* The pager's. */
};

struct page_list {
    struct page *first;
    struct page *last;
};

struct paged {
    uint64_t first; /* Lowest and highest sequence of the records, if there are any. */
    uint64_t last;
    size_t records;
    size_t others; /* In pages. */
    struct page_list pages;
    struct page *unwritten; /* None before it is still in memory. */
    uint64_t version;       /* Changes when what is paged goes otherwise than by being read back. */
    bool is_wanted;         /* Back in memory. */
    bool is_broken;         /* It cannot be read. */
};

static inline size_t
paged_count(const struct paged *p)
{
    return p->records + p->others;
}

static inline void
page_list_push(struct page_list *l, struct page *page)
{
    page->next = NULL;
    if (l->last == NULL)
        l->first = page;
    else
        l->last->next = page;
    l->last = page;
}

static inline struct page *
page_list_pop(struct page_list *l)
{
    struct page *page = l->first;
    l->first = page->next;
    if (l->first == NULL)
        l->last = NULL;
    return page;
}

/* Appends all of `from`, which is empty afterwards. */
static inline void
page_list_join(struct page_list *l, struct page_list *from)
{
    if (from->first == NULL)
        return;
    if (l->last == NULL)
        l->first = from->first;
    else
        l->last->next = from->first;
    l->last = from->last;
    *from = (struct page_list){ 0 };
}

#endif
