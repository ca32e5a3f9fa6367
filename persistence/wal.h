#ifndef PERSISTENCE_WAL_H
#define PERSISTENCE_WAL_H

/*
 * RocksDB's write-ahead log as octets, for logs that are damaged: RocksDB ends at the first damaged
 * place, and when it is told to go on drops what it need not, and with some damage never ends. A
 * log is blocks of 32 KiB; these hold frames of checksum(4), length(2), type(1) and octets, little
 * endian; the octets are a record, or its first, a middle, or the last part. No frame crosses the
 * end of a block. Any thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WAL_FRAME_HEAD_SIZE 7u

/* Where something is damaged and something sound comes behind. A log may end anyhow: that is what a
 * crash leaves. */
struct wal_damage {
    uint64_t places;
    uint64_t first; /* The offset of the first of them. */
};

/* Reads a log from where the descriptor stands. The records that are sound are written to `to` as a
 * log of their own, unless that is -1. False with errno. */
bool wal_mend(int from, int to, struct wal_damage *damage);

#endif
