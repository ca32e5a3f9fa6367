#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "persistence/witness.h"
#include "tests/unit/test_persistence.h"
#include "tests/unit/test_random.h"

#include <string.h>
#include <xxhash.h>

static char directory[PATH_SIZE];
static char path[NAME_SIZE];

static int
setup(void **state)
{
    (void)state;
    directory_make(directory);
    path_beside(directory, "witness", path);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    directory_remove(directory);
    return 0;
}

static struct witness *
open_it(void)
{
    bool busy;
    char problem[NAME_SIZE];
    struct witness *w = witness_open(path, &busy, problem, sizeof(problem));
    if (w == NULL)
        fail_msg("%s", problem);
    return w;
}

/* A state in which every field tells its number. */
static struct witness_state
state_of(uint64_t n)
{
    return (struct witness_state){ n << 1, n << 2, n << 3, n << 4, { n << 5, n << 6 }, { n, ~n } };
}

static void
begin(struct witness *w, uint64_t n)
{
    char problem[NAME_SIZE];
    const struct witness_state s = state_of(n);
    if (!witness_begin(w, &s, problem, sizeof(problem)))
        fail_msg("%s", problem);
}

static void
tell(struct witness *w, uint64_t n)
{
    const struct witness_state s = state_of(n);
    witness_tell(w, &s);
}

/* The number of the state that the file tells; 0 if it tells nothing. */
static uint64_t
told(void)
{
    struct witness_state s;
    struct witness *w = open_it();
    const bool tells = witness_read(w, &s) == WITNESS_TELLS;
    witness_close(w);
    if (!tells)
        return 0;
    const struct witness_state expected = state_of(s.definitions.count);
    assert_memory_equal(&s, &expected, sizeof(s));
    return s.definitions.count;
}

static enum witness_word
word(void)
{
    struct witness_state s;
    struct witness *w = open_it();
    const enum witness_word found = witness_read(w, &s);
    witness_close(w);
    return found;
}

static void
file_read(uint8_t octets[WITNESS_SIZE])
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(pread(fd, octets, WITNESS_SIZE, 0), WITNESS_SIZE);
    close(fd);
}

static void
file_write(const void *octets, size_t size)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, octets, size), size);
    close(fd);
}

static void
test_tells_the_last(void **state)
{
    (void)state;
    assert_int_equal(word(), WITNESS_NONE);
    for (uint64_t n = 1; n < 20; n += 7) {
        struct witness *w = open_it();
        begin(w, n);
        for (uint64_t i = 1; i < 7; i++)
            tell(w, n + i);
        witness_close(w);
        assert_int_equal(told(), n + 6);
    }
}

/* A process that dies while it tells: any number of octets of the slot have been written. */
static void
test_torn_telling_leaves_the_one_before(void **state)
{
    (void)state;
    uint8_t before[WITNESS_SIZE];
    uint8_t after[WITNESS_SIZE];
    struct witness *w = open_it();
    begin(w, 1);
    tell(w, 2);
    for (uint64_t n = 3; n < 6; n++) {
        file_read(before);
        tell(w, n);
        file_read(after);
        for (size_t k = 0; k < WITNESS_SLOT_SIZE; k++) {
            char problem[NAME_SIZE];
            bool busy;
            uint8_t torn[WITNESS_SIZE];
            for (size_t i = 0; i < WITNESS_SIZE; i++)
                torn[i] = i % WITNESS_SLOT_SPACING < k ? after[i] : before[i];
            char original[NAME_SIZE];
            memcpy(original, path, sizeof(path));
            path_beside(directory, "store/torn", path);
            file_write(torn, sizeof(torn));
            /* The last octets of two checksums may be the same. */
            const bool is_whole = memcmp(torn, after, sizeof(after)) == 0;
            assert_int_equal(told(), is_whole ? n : n - 1);
            memcpy(path, original, sizeof(path));
            assert_null(witness_open(path, &busy, problem, sizeof(problem)));
            assert_true(busy);
        }
    }
    witness_close(w);
}

/* A loss of power while a page is written: whatever it holds, the other tells. */
static void
test_either_page_may_be_lost(void **state)
{
    (void)state;
    struct random r = random_start(__func__);
    uint8_t whole[WITNESS_SIZE];
    for (uint64_t n = 1; n < 5; n++) { /* Each start takes the other page. */
        struct witness *w = open_it();
        begin(w, n);
        witness_close(w);
    }
    file_read(whole);
    for (size_t page = 0; page < 2; page++) {
        for (int fill = 0; fill < 3; fill++) {
            uint8_t octets[WITNESS_SIZE];
            memcpy(octets, whole, sizeof(octets));
            for (size_t i = 0; i < WITNESS_SIZE / 2; i++)
                octets[page * WITNESS_SIZE / 2 + i] =
                    (uint8_t)(fill == 0   ? 0
                              : fill == 1 ? 0xff
                                          : random_below(&r, 256));
            file_write(octets, sizeof(octets));
            const uint64_t left = told();
            assert_true(left == 3 || left == 4);
        }
    }
    file_write(whole, sizeof(whole));
    assert_int_equal(told(), 4);
}

/* No flipped octet makes it tell what never was. */
static void
test_flipped_octets(void **state)
{
    (void)state;
    uint8_t octets[WITNESS_SIZE];
    struct witness *w = open_it();
    begin(w, 1);
    witness_close(w);
    file_read(octets);
    size_t damaged = 0;
    for (size_t i = 0; i < WITNESS_SIZE; i++) {
        if (i % WITNESS_SLOT_SPACING >= WITNESS_SLOT_SIZE)
            continue;
        for (unsigned bit = 1; bit < 256; bit <<= 1) {
            octets[i] ^= (uint8_t)bit;
            file_write(octets, sizeof(octets));
            const uint64_t n = told();
            damaged += n == 0;
            assert_true(n == 1 || word() == WITNESS_DAMAGED);
            octets[i] ^= (uint8_t)bit;
        }
    }
    assert_int_equal(damaged, WITNESS_SLOT_SIZE * 8); /* All of the one slot there is. */
}

static void
test_truncated(void **state)
{
    (void)state;
    struct witness *w = open_it();
    begin(w, 1);
    for (uint64_t n = 2; n < 5; n++)
        tell(w, n);
    witness_close(w);
    uint8_t octets[WITNESS_SIZE];
    file_read(octets);
    for (size_t size = 0; size < WITNESS_SIZE; size += size < 100 ? 1 : 61) {
        file_write(octets, size);
        w = open_it();
        begin(w, 7);
        tell(w, 8);
        witness_close(w);
        assert_int_equal(told(), 8);
    }
}

static void
test_words(void **state)
{
    (void)state;
    file_write(WITNESS_ACCEPT "\n", strlen(WITNESS_ACCEPT) + 1);
    assert_int_equal(word(), WITNESS_ACCEPTS);
    file_write("acceptable", 6);
    assert_int_equal(word(), WITNESS_ACCEPTS);
    file_write("accep", 5);
    assert_int_equal(word(), WITNESS_DAMAGED);
    file_write("", 0);
    assert_int_equal(word(), WITNESS_NONE);
    file_write(WITNESS_ACCEPT, strlen(WITNESS_ACCEPT));
    struct witness *w = open_it();
    begin(w, 5);
    witness_close(w);
    assert_int_equal(told(), 5);
}

static void
test_newer_version(void **state)
{
    (void)state;
    uint8_t octets[WITNESS_SIZE];
    struct witness *w = open_it();
    begin(w, 1);
    tell(w, 2);
    witness_close(w);
    file_read(octets);
    uint8_t *slot = octets;
    while (load_be32(slot) == 0)
        slot += WITNESS_SLOT_SPACING;
    store_be32(slot, WITNESS_VERSION + 1);
    store_be64(slot + 80, XXH3_64bits(slot, 80));
    file_write(octets, sizeof(octets));
    assert_int_equal(word(), WITNESS_NEWER);
}

static void
test_place_that_cannot_be_written(void **state)
{
    (void)state;
    bool busy = true;
    char problem[NAME_SIZE] = "";
    assert_null(witness_open("/proc/rail-witness", &busy, problem, sizeof(problem)));
    assert_false(busy);
    assert_non_null(strstr(problem, "/proc/rail-witness"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_tells_the_last),
        TEST(test_torn_telling_leaves_the_one_before),
        TEST(test_either_page_may_be_lost),
        TEST(test_flipped_octets),
        TEST(test_truncated),
        TEST(test_words),
        TEST(test_newer_version),
        TEST(test_place_that_cannot_be_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
