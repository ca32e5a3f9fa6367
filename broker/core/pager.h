#ifndef BROKER_CORE_PAGER_H
#define BROKER_CORE_PAGER_H

/*
 * The thread that brings messages out of memory and back, so that no worker waits for a disk. It
 * reads records from the door, and keeps messages without a record in a swap of its own. Queues ask
 * it to look at them (queue_page); what is to be done stands in the queue. It also wakes queues
 * that wait for a commit before they may send.
 */

#include "broker/base/buf.h"
#include "broker/base/lock.h"
#include "persistence/door.h"
#include "persistence/swap.h"

struct pager;
struct queue;

/* Called from the pager's thread when it is not behind any more. Must not block. */
typedef void pager_notify(void *context);

/* Starts the thread. Swaps into `directory`, which is made when it is needed. */
struct pager *pager_create(struct door *door, const char *directory, pager_notify *notify,
                           void *context);

/* Behind a door that is stepped there is no thread: does what it would do now, on this one. False
 * if there was nothing. */
bool pager_step(struct pager *p);

/* It does nothing until it is let go on: while the store is being read, nothing may be asked of it.
 */
void pager_hold(struct pager *p);
void pager_go_on(struct pager *p);

/* Ends the thread and removes the swap; queues live on without. */
void pager_stop(struct pager *p);
void pager_destroy(struct pager *p);

/* The queue's lock is held; the pager takes a reference. False if it has stopped. */
bool pager_ask(struct pager *p, struct queue *q);

/* Looks at the queue at that moment of the monotonic clock, if not asked to do so earlier. The
 * queue's lock is held. */
void pager_wake_at(struct pager *p, struct queue *q, uint64_t when_ms);

/* Rounds have been committed. Any thread; does not block. */
void pager_post_committed(struct pager *p);

/* Octets that are to be written, or negative, have been. Any thread. */
void pager_note_unwritten(struct pager *p, int64_t octets);

/* True while much waits to be written: publishers must pause until the next notify. While writing
 * fails nobody waits for it: memory is the limit then. Any thread. */
bool pager_is_behind(const struct pager *p);

/* On its own thread: the swap. Failures to write are logged once until they end. */
bool pager_write_page(struct pager *p, struct swap_page *page, struct bytes octets);
bool pager_read_page(struct pager *p, const struct swap_page *page, struct buf *out);
void pager_free_page(struct pager *p, struct swap_page *page);

#endif
