/* The swap: pages come back as they were written, files go with their pages, what little is alive
 * in an old file moves out of it, and damage is told. */

#include "persistence/swap.h"

#include "broker/base/mem.h"
#include "tests/unit/test_random.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "tests/unit/test_persistence.h"

enum { PAGES_MAX = 300, PAGE_BYTES = 1024 * 1024, FILE_BYTES = 64 * PAGE_BYTES };

struct model_page {
    struct swap_page page;
    uint64_t mark;
    size_t size;
    bool is_there;
};

static char directory[PATH_SIZE];
static struct swap *swap;
static struct model_page pages[PAGES_MAX];

static int
setup(void **state)
{
    (void)state;
    directory_make(directory);
    swap = swap_create(directory);
    memset(pages, 0, sizeof(pages));
    return 0;
}

/* The directory goes with the swap. */
static int
teardown(void **state)
{
    (void)state;
    char folder[NAME_SIZE];
    swap_destroy(swap);
    assert_int_equal(access(directory, F_OK), -1);
    path_beside(directory, "", folder);
    assert_int_equal(rmdir(folder), 0);
    return 0;
}

static size_t
file_count(void)
{
    size_t count = 0;
    DIR *d = opendir(directory);
    assert_non_null(d);
    for (const struct dirent *entry; (entry = readdir(d)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(d);
    return count;
}

static struct buf
page_octets(const struct model_page *m)
{
    struct buf octets = { 0 };
    uint8_t *at = buf_reserve(&octets, m->size);
    for (size_t i = 0; i < m->size; i++)
        at[i] = (uint8_t)(m->mark * 131 + i * 7 + i / 251);
    octets.size = m->size;
    return octets;
}

static void
page_write(struct model_page *m, uint64_t mark, size_t size)
{
    *m = (struct model_page){ .mark = mark, .size = size, .is_there = true };
    struct buf octets = page_octets(m);
    assert_true(swap_write(swap, &m->page, buf_bytes(&octets)));
    buf_fini(&octets);
}

/* Appended to what is there already. */
static void
page_check(const struct model_page *m)
{
    struct buf expected = page_octets(m);
    struct buf octets = { 0 };
    buf_append(&octets, "x", 1);
    assert_true(swap_read(swap, &m->page, &octets));
    assert_int_equal(octets.size, 1 + m->size);
    assert_int_equal(octets.data[0], 'x');
    assert_memory_equal(octets.data + 1, expected.data, m->size);
    buf_fini(&octets);
    buf_fini(&expected);
}

static void
page_free(struct model_page *m)
{
    swap_free(swap, &m->page);
    assert_null(m->page.file);
    m->is_there = false;
}

static void
test_pages_come_back(void **state)
{
    (void)state;
    struct random r = random_start(__func__);
    for (uint64_t step = 1; step < 3000; step++) {
        struct model_page *m = &pages[random_below(&r, PAGES_MAX)];
        if (!m->is_there)
            page_write(m, step, 1 + random_below(&r, 5000));
        else if (random_below(&r, 2) == 0)
            page_check(m);
        else
            page_free(m);
    }
    for (size_t i = 0; i < PAGES_MAX; i++) {
        if (pages[i].is_there) {
            page_check(&pages[i]);
            page_free(&pages[i]);
        }
    }
    assert_int_equal(swap_bytes(swap), 0);
    assert_int_equal(file_count(), 0);
    const struct swap_page nowhere = { 0 };
    struct swap_page none = nowhere;
    swap_free(swap, &none);
}

static void
test_files_go_with_their_pages(void **state)
{
    (void)state;
    const size_t in_file = FILE_BYTES / PAGE_BYTES;
    for (size_t i = 0; i < 3 * in_file; i++)
        page_write(&pages[i], i, PAGE_BYTES);
    assert_int_equal(file_count(), 3);
    assert_int_equal(swap_bytes(swap), 3 * (uint64_t)FILE_BYTES);
    for (size_t i = 0; i < in_file; i++)
        page_free(&pages[i]);
    assert_int_equal(file_count(), 2);
    assert_int_equal(swap_bytes(swap), 2 * (uint64_t)FILE_BYTES);
    for (size_t i = in_file; i < 3 * in_file; i++)
        page_free(&pages[i]);
    assert_int_equal(file_count(), 0);
}

/* One page of each file stays: all files but few go, and the pages are as they were. */
static void
test_what_is_alive_moves_together(void **state)
{
    (void)state;
    enum { FILES = 4 };
    const size_t in_file = FILE_BYTES / PAGE_BYTES;
    for (size_t i = 0; i < FILES * in_file; i++)
        page_write(&pages[i], i, PAGE_BYTES);
    for (size_t i = 0; i < FILES * in_file; i++)
        if (i % in_file != 20)
            page_free(&pages[i]);
    assert_true(swap_bytes(swap) <= 2 * FILES * (uint64_t)PAGE_BYTES + 2 * (uint64_t)FILE_BYTES);
    for (size_t i = 20; i < FILES * in_file; i += in_file)
        page_check(&pages[i]);
    for (size_t i = 20; i < FILES * in_file; i += in_file)
        page_free(&pages[i]);
    assert_int_equal(file_count(), 0);
    assert_int_equal(swap_bytes(swap), 0);
}

static int
open_file(void)
{
    char path[NAME_SIZE];
    snprintf(path, sizeof(path), "%s/0.pages", directory);
    const int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static void
assert_unreadable(const struct model_page *m)
{
    struct buf octets = { 0 };
    buf_append(&octets, "x", 1);
    assert_false(swap_read(swap, &m->page, &octets));
    assert_int_equal(octets.size, 1);
    buf_fini(&octets);
}

static void
test_damage_is_told(void **state)
{
    (void)state;
    page_write(&pages[0], 1, 1000);
    page_write(&pages[1], 2, 1000);
    page_write(&pages[2], 3, 1000);
    const int fd = open_file();
    assert_int_equal(pwrite(fd, "\xff\x00\xff", 3, 1500), 3);
    page_check(&pages[0]);
    assert_unreadable(&pages[1]);
    page_check(&pages[2]);
    assert_int_equal(ftruncate(fd, 2999), 0);
    assert_unreadable(&pages[2]);
    close(fd);
}

/* A page that cannot be written leaves nothing behind, and the next one can be. */
static void
test_a_failed_write(void **state)
{
    (void)state;
    struct swap_page page = { 0 };
    assert_int_equal(rmdir(directory), 0);
    const int fd = open(directory, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
    assert_false(swap_write(swap, &page, BYTES_LITERAL("octets")));
    assert_int_equal(errno, ENOTDIR);
    assert_int_equal(swap_bytes(swap), 0);
    assert_int_equal(unlink(directory), 0);
    page_write(&pages[0], 1, 10);
    page_check(&pages[0]);
}

/* Only what a swap has left goes. */
static void
test_leftovers_are_removed(void **state)
{
    (void)state;
    char name[NAME_SIZE];
    static const char *const names[] = { "7.pages", "other" };
    for (size_t i = 0; i < COUNT(names); i++) {
        snprintf(name, sizeof(name), "%s/%s", directory, names[i]);
        const int fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        close(fd);
    }
    struct swap *another = swap_create(directory);
    assert_int_equal(file_count(), 1);
    assert_int_equal(unlink(name), 0);
    swap_destroy(another);
    page_write(&pages[0], 1, 10); /* The first one makes the directory again. */
    page_check(&pages[0]);
}

#define SWAP_TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        SWAP_TEST(test_pages_come_back),
        SWAP_TEST(test_files_go_with_their_pages),
        SWAP_TEST(test_what_is_alive_moves_together),
        SWAP_TEST(test_damage_is_told),
        SWAP_TEST(test_a_failed_write),
        SWAP_TEST(test_leftovers_are_removed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
