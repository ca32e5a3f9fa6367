#ifndef PERSISTENCE_SWAP_H
#define PERSISTENCE_SWAP_H

/*
 * Room on disk for what memory has no room for and a restart may forget: pages of octets, in plain
 * files below a directory of their own that is emptied when it is opened. Pages are appended to the
 * newest file; a file goes when its last page does, and one that is mostly dead has its live pages
 * moved, so that a page that nobody wants does not pin its neighbours.
 *
 * Nothing is synced. Owner: one thread (the pager's).
 */

#include "broker/base/buf.h"
#include "broker/base/list.h"

struct swap;
struct swap_file;

/* Where a page lies; embedded in what it is about. Zeroed: nowhere. */
struct swap_page {
    struct list in_file;
    struct swap_file *file;
    uint64_t offset;
    uint64_t size;
    uint64_t checksum;
};

/* Empties the directory, or makes it once the first page is written. `directory` is copied. */
struct swap *swap_create(const char *directory);

/* Removes all files; the pages are gone. */
void swap_destroy(struct swap *swap);

/* Writes the page. False with errno set, and nothing kept, if the disk has no room or fails. */
bool swap_write(struct swap *swap, struct swap_page *page, struct bytes octets);

/* Appends the page to `out`. False, after a line in the log, if it cannot be read as written. */
bool swap_read(struct swap *swap, const struct swap_page *page, struct buf *out);

/* Gives the page's room back. */
void swap_free(struct swap *swap, struct swap_page *page);

/* Octets of all files. */
uint64_t swap_bytes(const struct swap *swap);

#endif
