#ifndef PERSISTENCE_ROCKSDB_CRC32C_H
#define PERSISTENCE_ROCKSDB_CRC32C_H

/*
 * A faster checksum for RocksDB's log. Debian builds RocksDB for every x86-64, and such a build
 * computes the CRC-32C of all that is written from tables, about ten times slower than processors
 * can: at 1 KiB a message it was a quarter of the committer's time. ISA-L has the same sum for each
 * kind of processor.
 *
 * RocksDB has no option for it. But it calls one function for every such sum, and the dynamic
 * linker takes a program's definition of a function before a library's, so this module defines that
 * function. Should a RocksDB come that calls another one, or is linked statically, the only
 * difference is speed. See docs/decisions/0017.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether it is so in this process. Being called, it also keeps the linker from leaving the
 * definition out. Any thread. */
bool rocksdb_crc32c_is_ours(void);

/* The sum itself. Any thread. */
uint32_t rocksdb_crc32c(const void *data, size_t size);

#endif
