#ifndef BROKER_BASE_LIST_H
#define BROKER_BASE_LIST_H

/*
 * Intrusive doubly linked list: the link lives in the element, so linking never allocates and
 * unlinking needs no search. A head and an unlinked link point to themselves.
 */

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next;
    struct list *prev;
};

#define LIST_CONTAINER(link, type, member) ((type *)(void *)((char *)(link)-offsetof(type, member)))

/* Removing the current element inside the loop is fine; removing its successor is not. */
#define LIST_FOREACH(link, head)                                                                   \
    for (struct list *link = (head)->next, *link##_next = link->next; link != (head);              \
         link = link##_next, link##_next = link->next)

static inline void
list_init(struct list *l)
{
    l->next = l;
    l->prev = l;
}

static inline bool
list_is_empty(const struct list *head)
{
    return head->next == head;
}

static inline bool
list_is_linked(const struct list *link)
{
    return link->next != link;
}

static inline void
list_insert_before(struct list *place, struct list *link)
{
    link->prev = place->prev;
    link->next = place;
    place->prev->next = link;
    place->prev = link;
}

static inline void
list_push(struct list *head, struct list *link)
{
    list_insert_before(head, link);
}

static inline void
list_push_front(struct list *head, struct list *link)
{
    list_insert_before(head->next, link);
}

/* Unlinking an unlinked link does nothing. */
static inline void
list_unlink(struct list *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
    list_init(link);
}

/* First element, or NULL. */
static inline struct list *
list_first(const struct list *head)
{
    return list_is_empty(head) ? NULL : head->next;
}

/* Moves all elements of `from` to the end of `to`. */
static inline void
list_move_all(struct list *to, struct list *from)
{
    if (list_is_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

#endif
