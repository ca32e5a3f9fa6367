#include "persistence/wal.h"

#include "broker/base/buf.h"
#include "broker/base/mem.h"
#include "persistence/rocksdb_crc32c.h"

#include <errno.h>
#include <unistd.h>

#define BLOCK_SIZE 32768u

enum frame_type { FRAME_NONE, FRAME_FULL, FRAME_FIRST, FRAME_MIDDLE, FRAME_LAST };

struct frame {
    enum frame_type type;
    struct bytes octets;
};

struct mending {
    int to;
    struct buf record; /* What has come of it so far. */
    bool has_begun;    /* It has. */
    struct buf out;
    size_t block_used; /* Of the last block that was written. */
    uint64_t bad;      /* Places behind which nothing sound has come yet, */
    uint64_t first_bad;
    struct wal_damage *damage;
};

static uint32_t
load_le32(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

/* Of the type and what follows it, as RocksDB changes it before it is written. */
static uint32_t
checksum(const uint8_t *type, size_t size)
{
    const uint32_t crc = rocksdb_crc32c(type, size);
    return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

/* How long the frame is, whether it is sound or not; 0 if it cannot be that long, or has never been
 * written. */
static size_t
frame_size(struct bytes block)
{
    const size_t size = WAL_FRAME_HEAD_SIZE + (block.data[4] | (size_t)block.data[5] << 8);
    return size > block.size || (size == WAL_FRAME_HEAD_SIZE && block.data[6] == FRAME_NONE) ? 0
                                                                                             : size;
}

static bool
frame_read(struct bytes block, size_t size, struct frame *out)
{
    if (size == 0 || block.data[6] == FRAME_NONE || block.data[6] > FRAME_LAST ||
        load_le32(block.data) != checksum(block.data + 6, size - 6))
        return false;
    out->type = (enum frame_type)block.data[6];
    out->octets = bytes_of(block.data + WAL_FRAME_HEAD_SIZE, size - WAL_FRAME_HEAD_SIZE);
    return true;
}

static void
frame_write(struct mending *m, enum frame_type type, struct bytes octets)
{
    uint8_t *at = buf_reserve(&m->out, WAL_FRAME_HEAD_SIZE);
    const size_t start = m->out.size;
    at[4] = (uint8_t)octets.size;
    at[5] = (uint8_t)(octets.size >> 8);
    at[6] = (uint8_t)type;
    m->out.size += WAL_FRAME_HEAD_SIZE;
    buf_append_bytes(&m->out, octets);
    at = m->out.data + start;
    const uint32_t sum = checksum(at + 6, octets.size + 1);
    for (unsigned i = 0; i < 4; i++)
        at[i] = (uint8_t)(sum >> 8 * i);
    m->block_used += WAL_FRAME_HEAD_SIZE + octets.size;
}

static bool
write_out(struct mending *m)
{
    struct bytes left = buf_bytes(&m->out);
    while (left.size > 0) {
        const ssize_t written = write(m->to, left.data, left.size);
        if (written < 0 && errno != EINTR)
            return false;
        if (written > 0)
            left = bytes_of(left.data + written, left.size - (size_t)written);
    }
    m->out.size = 0;
    return true;
}

static void
fill_block(struct mending *m)
{
    static const uint8_t zeros[WAL_FRAME_HEAD_SIZE] = { 0 };
    const size_t left = BLOCK_SIZE - m->block_used;
    if (left >= WAL_FRAME_HEAD_SIZE)
        return;
    buf_append(&m->out, zeros, left);
    m->block_used = 0;
}

static bool
record_write(struct mending *m)
{
    struct bytes left = buf_bytes(&m->record);
    bool is_first = true;
    bool is_last;
    if (m->to < 0)
        return true;
    do {
        fill_block(m);
        const size_t room = BLOCK_SIZE - m->block_used - WAL_FRAME_HEAD_SIZE;
        const size_t size = left.size < room ? left.size : room;
        is_last = size == left.size;
        frame_write(m,
                    is_first  ? is_last ? FRAME_FULL : FRAME_FIRST
                    : is_last ? FRAME_LAST
                              : FRAME_MIDDLE,
                    bytes_of(left.data, size));
        left = bytes_of(left.data + size, left.size - size);
        is_first = false;
    } while (!is_last);
    return write_out(m);
}

/* What is damaged belongs to the record that has begun, or has another begin. */
static void
note_bad(struct mending *m, uint64_t at)
{
    if (m->bad++ == 0)
        m->first_bad = at;
    m->has_begun = false;
}

static void
note_sound(struct mending *m)
{
    if (m->bad > 0 && m->damage->places == 0)
        m->damage->first = m->first_bad;
    m->damage->places += m->bad;
    m->bad = 0;
}

static bool
frame_take(struct mending *m, const struct frame *f)
{
    const bool begins = f->type == FRAME_FULL || f->type == FRAME_FIRST;
    note_sound(m);
    if (begins)
        m->record.size = 0;
    else if (!m->has_begun)
        return true;
    buf_append_bytes(&m->record, f->octets);
    m->has_begun = f->type == FRAME_FIRST || f->type == FRAME_MIDDLE;
    return m->has_begun || record_write(m);
}

/* A damaged frame is as long as it says if what comes then is sound. Nothing is looked for within
 * it: messages may hold octets that look like frames. */
static bool
block_mend(struct mending *m, struct bytes block, uint64_t offset)
{
    struct frame frame;
    for (size_t at = 0; block.size - at >= WAL_FRAME_HEAD_SIZE;) {
        const struct bytes rest = bytes_of(block.data + at, block.size - at);
        const size_t size = frame_size(rest);
        if (!frame_read(rest, size, &frame))
            note_bad(m, offset + at);
        else if (!frame_take(m, &frame))
            return false;
        if (size == 0)
            return true;
        at += size;
    }
    return true;
}

/* How much there is, up to a block; -1 with errno. */
static ssize_t
block_read(int fd, uint8_t *block)
{
    size_t size = 0;
    while (size < BLOCK_SIZE) {
        const ssize_t got = read(fd, block + size, BLOCK_SIZE - size);
        if (got < 0 && errno != EINTR)
            return -1;
        if (got == 0)
            break;
        size += got > 0 ? (size_t)got : 0;
    }
    return (ssize_t)size;
}

bool
wal_mend(int from, int to, struct wal_damage *damage)
{
    struct mending m = { .to = to, .damage = damage };
    uint8_t *block = mem_alloc(BLOCK_SIZE);
    uint64_t offset = 0;
    ssize_t size;
    bool ok = true;
    *damage = (struct wal_damage){ 0 };
    while (ok && (size = block_read(from, block)) != 0) {
        ok = size > 0 && block_mend(&m, bytes_of(block, (size_t)size), offset);
        offset += BLOCK_SIZE;
    }
    const int error = errno;
    buf_fini(&m.record);
    buf_fini(&m.out);
    mem_free(block);
    errno = error;
    return ok;
}
