#include "persistence/rocksdb_crc32c.h"

#include <dlfcn.h>
#include <isa-l/crc.h>

/* rocksdb::crc32c::Extend(uint32_t, const char *, size_t), in 7.8 as in all since 2.0. */
#define EXTEND "_ZN7rocksdb6crc32c6ExtendEjPKcm"
#define PIECE (1u << 30) /* ISA-L counts in int. */

uint32_t extend(uint32_t crc, const char *data, size_t size) __asm__(EXTEND)
    __attribute__((visibility("default")));

/* The sum of what `crc` is the sum of, and `data` behind it. */
uint32_t
extend(uint32_t crc, const char *data, size_t size)
{
    uint32_t state = ~crc;
    for (size_t at = 0; at < size; at += PIECE) {
        const size_t left = size - at;
        /* It only reads, although it takes a pointer to what might be written. */
        unsigned char *piece = (unsigned char *)(uintptr_t)(data + at);
        state = crc32_iscsi(piece, (int)(left < PIECE ? left : PIECE), state);
    }
    return ~state;
}

bool
rocksdb_crc32c_is_ours(void)
{
    return dlsym(RTLD_DEFAULT, EXTEND) == (void *)(uintptr_t)extend;
}

uint32_t
rocksdb_crc32c(const void *data, size_t size)
{
    return extend(0, data, size);
}
