#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "broker/base/mem.h"
#include "persistence/wal.h"
#include "tests/unit/test_persistence.h"
#include "tests/unit/test_random.h"

#include <rocksdb/c.h>

enum { BLOCK = 32768, HEAD = 7, ROWS = 150, VALUE_MAX = 80000, FLIPS = 400, FRAMES_MAX = 1000 };

static struct random random_source;

struct frame {
    size_t at;
    size_t size;
    size_t record; /* Number of the record that it is a part of. */
};

/* A sound log, taken apart. */
struct wal {
    struct buf octets;
    struct frame frames[FRAMES_MAX];
    size_t frame_count;
    struct buf records[ROWS];
    size_t record_count;
};

static struct wal sound;

static void
wal_parse(struct wal *log)
{
    const struct buf *o = &log->octets;
    for (size_t at = 0; at + HEAD <= o->size;) {
        const size_t left = BLOCK - at % BLOCK;
        if (left < HEAD) {
            at += left;
            continue;
        }
        const size_t size = HEAD + (o->data[at + 4] | (size_t)o->data[at + 5] << 8);
        const int type = o->data[at + 6];
        assert_in_range(type, 1, 4);
        assert_true(at + size <= o->size && log->frame_count < FRAMES_MAX);
        log->frames[log->frame_count++] = (struct frame){ at, size, log->record_count };
        assert_true(log->record_count < ROWS);
        buf_append(&log->records[log->record_count], o->data + at + HEAD, size - HEAD);
        log->record_count += type == 1 || type == 4;
        at += size;
    }
}

static void
wal_fini(struct wal *log)
{
    buf_fini(&log->octets);
    for (size_t i = 0; i < log->record_count; i++)
        buf_fini(&log->records[i]);
}

static size_t
value_size(uint32_t row)
{
    return row % 3 == 0 ? 10 : row * 7919u % VALUE_MAX;
}

/* A RocksDB of some rows, all in its log. */
static void
store_make(char directory[PATH_SIZE], char log[NAME_SIZE])
{
    char *error = NULL;
    uint8_t *value = mem_alloc(VALUE_MAX);
    for (size_t i = 0; i < VALUE_MAX; i++)
        value[i] = (uint8_t)(i * 31 + i / 251);
    rocksdb_options_t *options = rocksdb_options_create();
    rocksdb_writeoptions_t *writing = rocksdb_writeoptions_create();
    directory_make(directory);
    rocksdb_options_set_create_if_missing(options, 1);
    rocksdb_t *db = rocksdb_open(options, directory, &error);
    assert_null(error);
    for (uint32_t i = 0; i < ROWS; i++) {
        rocksdb_put(db, writing, (const char *)&i, sizeof(i), (const char *)value, value_size(i),
                    &error);
        assert_null(error);
    }
    rocksdb_close(db);
    rocksdb_options_destroy(options);
    rocksdb_writeoptions_destroy(writing);
    mem_free(value);
    DIR *d = opendir(directory);
    for (struct dirent *entry; (entry = readdir(d)) != NULL;)
        if (strstr(entry->d_name, ".log") != NULL)
            snprintf(log, NAME_SIZE, "%s/%s", directory, entry->d_name);
    closedir(d);
}

static void
file_read(int fd, struct buf *out)
{
    ssize_t got;
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    while ((got = read(fd, buf_reserve(out, BLOCK), BLOCK)) > 0)
        out->size += (size_t)got;
    assert_int_equal(got, 0);
}

static int
file_of(struct bytes octets)
{
    char path[] = "/tmp/rail-test-wal-XXXXXX";
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    unlink(path);
    assert_int_equal(write(fd, octets.data, octets.size), octets.size);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    return fd;
}

static void
mend(struct bytes octets, struct wal *out, struct wal_damage *damage)
{
    struct wal_damage looked;
    const int from = file_of(octets);
    const int to = file_of(BYTES_NONE);
    *out = (struct wal){ 0 };
    assert_true(wal_mend(from, to, damage));
    file_read(to, &out->octets);
    wal_parse(out);
    assert_int_equal(lseek(from, 0, SEEK_SET), 0);
    assert_true(wal_mend(from, -1, &looked));
    assert_int_equal(looked.places, damage->places);
    assert_int_equal(looked.first, damage->first);
    close(from);
    close(to);
}

enum fate { KEPT, LOST, EITHER };

/* The records that are left, in their order, are those that they should be. */
static void
assert_left(const struct wal *mended, const enum fate *fates, const char *harm)
{
    size_t next = 0;
    for (size_t i = 0; i < sound.record_count; i++) {
        const bool is_there =
            next < mended->record_count &&
            bytes_equal(buf_bytes(&sound.records[i]), buf_bytes(&mended->records[next]));
        if (!is_there && fates[i] == KEPT)
            fail_msg("record %zu is not there with %s", i, harm);
        next += is_there && fates[i] != LOST;
    }
    if (next != mended->record_count)
        fail_msg("%zu records more with %s", mended->record_count - next, harm);
}

/* What a flipped bit costs: its own record, and if the frame is no longer known to end where it
 * does, perhaps those behind it in the block. */
static void
judge_flip(size_t number, size_t octet, unsigned bit)
{
    const struct frame *f = &sound.frames[number];
    const bool spoils_size = octet == 4 || octet == 5;
    enum fate fates[ROWS] = { KEPT };
    char harm[100];
    struct wal_damage damage;
    struct wal mended;
    uint8_t *at = sound.octets.data + f->at + octet;
    snprintf(harm, sizeof(harm), "bit %u of octet %zu of frame %zu flipped", bit, octet, number);
    size_t behind = number + 1;
    if (spoils_size)
        while (behind < sound.frame_count && sound.frames[behind].at / BLOCK == f->at / BLOCK)
            behind++;
    for (size_t i = number; i < behind; i++)
        fates[sound.frames[i].record] = EITHER;
    fates[f->record] = LOST;
    *at ^= (uint8_t)(1u << bit);
    mend(buf_bytes(&sound.octets), &mended, &damage);
    *at ^= (uint8_t)(1u << bit);
    assert_left(&mended, fates, harm);
    if (behind < sound.frame_count || !spoils_size)
        assert_int_equal(damage.places > 0, behind < sound.frame_count);
    if (damage.places > 0)
        assert_int_equal(damage.first, f->at);
    wal_fini(&mended);
}

static void
test_flipped_bits(void **state)
{
    (void)state;
    for (int i = 0; i < FLIPS; i++) {
        const size_t number = random_below(&random_source, sound.frame_count);
        const size_t size = sound.frames[number].size;
        const size_t octet = random_below(&random_source, i % 2 == 0 || size < HEAD ? HEAD : size);
        judge_flip(number, octet, (unsigned)random_below(&random_source, 8));
    }
}

/* Octets that were never written, and a log that ends anywhere. */
static void
test_torn_ends(void **state)
{
    (void)state;
    struct buf torn = { 0 };
    for (int i = 0; i < FLIPS / 4; i++) {
        const size_t size = random_below(&random_source, sound.octets.size);
        enum fate fates[ROWS] = { KEPT };
        struct wal_damage damage;
        struct wal mended;
        torn.size = 0;
        buf_append(&torn, sound.octets.data, size);
        for (size_t k = 0; i % 2 == 0 && k < 2 * BLOCK; k++)
            buf_append(&torn, "", 1);
        for (size_t k = 0; k < sound.frame_count; k++)
            if (sound.frames[k].at + sound.frames[k].size > size)
                fates[sound.frames[k].record] = LOST;
        mend(buf_bytes(&torn), &mended, &damage);
        assert_left(&mended, fates, "a torn end");
        assert_int_equal(damage.places, 0);
        wal_fini(&mended);
    }
    buf_fini(&torn);
}

/* A message may look like frames: it becomes none because the one that it lies in is damaged. */
static void
test_frames_within_records(void **state)
{
    (void)state;
    struct buf octets = { 0 };
    struct wal mended;
    struct wal_damage damage;
    const struct frame *f = &sound.frames[0];
    assert_true(2 * HEAD + f->size < BLOCK);
    for (size_t i = 0; i < HEAD; i++) /* Of a frame whose checksum is wrong, and its size, too. */
        buf_append(&octets, &(uint8_t){ i == 5 ? 0xff : 1 }, 1);
    buf_append(&octets, sound.octets.data + f->at, f->size);
    mend(buf_bytes(&octets), &mended, &damage);
    assert_int_equal(mended.record_count, 0);
    wal_fini(&mended);
    buf_fini(&octets);
}

/* RocksDB reads what was written anew. */
static void
test_rocksdb_opens_it(void **state)
{
    (void)state;
    char directory[PATH_SIZE];
    char path[NAME_SIZE];
    char *error = NULL;
    struct wal_damage damage;
    struct wal mended;
    enum fate fates[ROWS] = { KEPT };
    store_make(directory, path);
    const size_t number = sound.frame_count / 2;
    fates[sound.frames[number].record] = LOST;
    sound.octets.data[sound.frames[number].at] ^= 1;
    mend(buf_bytes(&sound.octets), &mended, &damage);
    sound.octets.data[sound.frames[number].at] ^= 1;
    const int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    assert_int_equal(write(fd, mended.octets.data, mended.octets.size), mended.octets.size);
    close(fd);
    rocksdb_options_t *options = rocksdb_options_create();
    rocksdb_readoptions_t *reading = rocksdb_readoptions_create();
    rocksdb_t *db = rocksdb_open_for_read_only(options, directory, 0, &error);
    assert_null(error);
    for (uint32_t i = 0; i < ROWS; i++) {
        size_t size = 0;
        char *value = rocksdb_get(db, reading, (const char *)&i, sizeof(i), &size, &error);
        assert_null(error);
        assert_int_equal(value != NULL, fates[i] == KEPT);
        assert_true(value == NULL || size == value_size(i));
        rocksdb_free(value);
    }
    rocksdb_close(db);
    rocksdb_options_destroy(options);
    rocksdb_readoptions_destroy(reading);
    wal_fini(&mended);
    directory_remove(directory);
}

static int
make_log(void **state)
{
    (void)state;
    char directory[PATH_SIZE];
    char path[NAME_SIZE];
    struct wal_damage damage;
    struct wal mended;
    enum fate fates[ROWS] = { KEPT };
    random_source = random_start(__func__);
    store_make(directory, path);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    file_read(fd, &sound.octets);
    close(fd);
    wal_parse(&sound);
    assert_int_equal(sound.record_count, ROWS);
    mend(buf_bytes(&sound.octets), &mended, &damage);
    assert_left(&mended, fates, "nothing");
    assert_int_equal(damage.places, 0);
    wal_fini(&mended);
    directory_remove(directory);
    return 0;
}

static int
drop_log(void **state)
{
    (void)state;
    wal_fini(&sound);
    return 0;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flipped_bits),
        cmocka_unit_test(test_torn_ends),
        cmocka_unit_test(test_frames_within_records),
        cmocka_unit_test(test_rocksdb_opens_it),
    };
    return cmocka_run_group_tests(tests, make_log, drop_log);
}
