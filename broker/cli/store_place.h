#ifndef BROKER_CLI_STORE_PLACE_H
#define BROKER_CLI_STORE_PLACE_H

/*
 * The empty directory in which backup, restore and salvage put a store. It is made in a directory
 * of its own in there, one that store_files_is_unfinished knows, and gets its name last: what has
 * the name is complete. One thread.
 */

#include <stdbool.h>
#include <stddef.h>

/* Makes the directory if it is not there, empties it of what means nothing, and keeps others like
 * us out until *lock is released. False with a line for people; release *lock in any case. */
bool place_prepare(const char *directory, int *lock, char *problem, size_t problem_size);
void place_release(int lock);

/* Puts the copy in its place, unless a store is there already. The witness is on disk before the
 * store is; one that is not there belongs to a store from before there were any. False with a line
 * for people. */
bool place_copy(const char *directory, const char *copy, char *problem, size_t problem_size);

#endif
