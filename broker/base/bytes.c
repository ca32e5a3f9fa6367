#include "broker/base/bytes.h"

#include "broker/base/mem.h"
#include "broker/base/rand.h"

#include <pthread.h>
#include <xxhash.h>

static uint64_t hash_key;
static pthread_once_t hash_key_once = PTHREAD_ONCE_INIT;

static void
hash_key_draw(void)
{
    rand_bytes(&hash_key, sizeof(hash_key));
}

uint64_t
bytes_hash(struct bytes b)
{
    pthread_once(&hash_key_once, hash_key_draw);
    return XXH3_64bits_withSeed(b.data, b.size, hash_key);
}

uint64_t
bytes_hash2(struct bytes a, struct bytes b)
{
    return XXH3_64bits_withSeed(b.data, b.size, bytes_hash(a));
}

struct bytes
bytes_copy(struct bytes b)
{
    uint8_t *copy = mem_alloc(b.size + 1);
    if (b.size > 0)
        memcpy(copy, b.data, b.size);
    copy[b.size] = 0; /* Handy in a debugger; nobody relies on it. */
    return bytes_of(copy, b.size);
}

/* How many continuation octets follow this lead, and the smallest scalar it may encode. */
static int
utf8_lead(uint8_t lead, uint32_t *bits, uint32_t *smallest)
{
    if (lead >= 0xC2 && lead <= 0xDF) {
        *bits = lead & 0x1Fu;
        *smallest = 0x80;
        return 1;
    }
    if (lead >= 0xE0 && lead <= 0xEF) {
        *bits = lead & 0x0Fu;
        *smallest = 0x800;
        return 2;
    }
    if (lead >= 0xF0 && lead <= 0xF4) {
        *bits = lead & 0x07u;
        *smallest = 0x10000;
        return 3;
    }
    return -1;
}

bool
bytes_are_utf8(struct bytes b)
{
    size_t i = 0;
    while (i < b.size) {
        if (b.data[i] < 0x80) {
            i++;
            continue;
        }
        uint32_t scalar = 0;
        uint32_t smallest = 0;
        const int more = utf8_lead(b.data[i++], &scalar, &smallest);
        if (more < 0 || b.size - i < (size_t)more)
            return false;
        for (int k = 0; k < more; k++, i++) {
            if ((b.data[i] & 0xC0) != 0x80)
                return false;
            scalar = scalar << 6 | (b.data[i] & 0x3Fu);
        }
        if (scalar < smallest || scalar > 0x10FFFF || (scalar >= 0xD800 && scalar <= 0xDFFF))
            return false;
    }
    return true;
}
