#ifndef PERSISTENCE_STORE_FILES_H
#define PERSISTENCE_STORE_FILES_H

/*
 * A store as files: a data directory has the flat directory `store` and the file `witness` beside
 * it. Copying and removing them while no process writes them, and keeping it so. Any thread.
 */

#include "broker/base/progress.h"

/* What backup and restore call the directory that a copy lies in until it is complete begins so. */
#define STORE_UNFINISHED_BACKUP "tmp-backup-"
#define STORE_UNFINISHED_RESTORE "tmp-restore-"

/* What to do about a store that is damaged. */
#define STORE_ADVICE                                                                               \
    "restore a backup, or make a new store of what can be read with railmq store salvage"

struct store_sizes {
    uint64_t table_count;
    uint64_t table_bytes;
    uint64_t wal_count; /* Write-ahead logs. */
    uint64_t wal_bytes;
    uint64_t bytes; /* Of all files. */
};

/* Of a store, by its own directory. False with errno if that cannot be read. */
bool store_files_size(const char *store, struct store_sizes *out);

struct store_copy {
    const char *from;
    const char *to;        /* Must not exist. */
    bool may_link;         /* Share tables, which never change, where the file system can. */
    bool may_lack_current; /* A store that is damaged, as it is. */
    const char *owner_of;  /* If run by root: gives the files to the owner of this directory. */
    struct progress *progress;
};

/* Copies store and witness; all of it is on disk when it returns, but for the entry of `to` in its
 * parent. False with a line for people; then `to` may be there in part: without CURRENT, which is
 * copied last, so that nobody takes it for a store. */
bool store_files_copy(const struct store_copy *copy, char *problem, size_t problem_size);

/* Makes the data directory `to` with a copy of this witness, if there is one, and nothing else. */
bool store_files_start_copy(const char *to, const char *witness, char *problem,
                            size_t problem_size);

/* Whether the directory was to become a data directory or a backup, and has not yet: a backup or a
 * restore is at work there, or was interrupted. Then with a line for people. */
bool store_files_is_unfinished(const char *directory, char *problem, size_t problem_size);

/* Removes a copy, whole or in part; one that is not there is fine. Follows no links. False with
 * errno. */
bool store_files_remove(const char *directory);

/* Removes the copies in `parent` whose names begin with `prefix`. */
void store_files_remove_leftovers(const char *parent, const char *prefix);

/* Puts the entries of a directory on disk. */
bool store_directory_sync(const char *directory);

/* Keeps brokers from opening the store of a data directory until the descriptor is closed. False if
 * one has it open, or with a line for people if that cannot be found out. A copy that no broker has
 * opened yet has no lock; then *fd is -1. */
bool store_lock(const char *data_dir, int *fd, char *problem, size_t problem_size);

/* The same for whoever is about to read the store: it must be there, and complete. `advice` is what
 * to do if there is none. Release *fd in any case. */
bool store_claim(const char *data_dir, const char *advice, int *fd, char *problem,
                 size_t problem_size);

/* Of a lock that may be none, -1. */
void store_unlock(int fd);

#endif
