#ifndef PERSISTENCE_WAL_AHEAD_H
#define PERSISTENCE_WAL_AHEAD_H

/*
 * Writes zeros ahead of RocksDB's write-ahead log, so that syncing a small round is quick.
 *
 * RocksDB appends to blocks that are allocated but have never been written. Each sync then also
 * commits the file system's own journal, because the file has grown and its blocks are no longer
 * empty: a third of the time of a sync. Where zeros have been written before, a round only
 * overwrites, and its sync is one write to the disk. The zeros are octets that are written as well,
 * so this is done while rounds are so small that they are lost among the whole pages that the disk
 * writes for them anyway; see docs/decisions/0020.
 *
 * What makes it safe: zeros only ever go behind the end of the file as it is, by the one thread
 * that writes to the log, while it does not. RocksDB's own octets are always before that end. A log
 * that ends with zeros is read as one that ends where they begin; RocksDB cuts them off when it
 * closes the file. One thread.
 */

#include <stdbool.h>
#include <stdint.h>

#define WAL_AHEAD_OCTETS 262144u
/* Rounds that are larger on average are written as they are. */
#define WAL_AHEAD_ROUND_MAX 4096u
/* How often it is looked at how large they are. */
#define WAL_AHEAD_ROUNDS 64u

struct wal_ahead {
    const char *directory;
    bool is_of_use; /* On this file system, and so far nothing has failed. */
    int fd;         /* The newest log, or -1. */
    uint64_t number;
    uint64_t end;    /* Of the file when zeros were last written. */
    uint64_t zeros;  /* That are left, nearly: how RocksDB frames records is not seen. */
    uint64_t rounds; /* Since it was last looked, */
    uint64_t octets; /* and what they wrote. */
};

/* The directory is the store's own, and borrowed. */
void wal_ahead_init(struct wal_ahead *a, const char *directory);
void wal_ahead_fini(struct wal_ahead *a);

/* A record of so many octets has been written to the log. */
void wal_ahead_note(struct wal_ahead *a, uint64_t octets);

/* After a round that was synced: writes zeros if it is time. False, with a line in the log, if the
 * log could not be synced, which is as final as when RocksDB meets it: what else was to be written
 * may be lost. */
bool wal_ahead_extend(struct wal_ahead *a);

#endif
