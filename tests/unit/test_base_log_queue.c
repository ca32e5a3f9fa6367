/* The log's thread: order, files that are moved away, and a place that takes nothing. */

#include "broker/base/log.h"

#include "tests/exact.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define THREADS 4
#define LINES 2000
#define COLLECT_MAX ((size_t)16 << 20)

static char directory[] = "/tmp/rail-log-XXXXXX";
static char path[64];

static void *
write_lines(void *argument)
{
    const int thread = *(const int *)argument;
    for (int i = 0; i < LINES; i++) {
        log_info("test.line", "thread=%d number=%d msg=\"a line\"", thread, i);
        if (i % 100 == 0)
            log_flush(10000);
    }
    return NULL;
}

/* Every line whole, and those of one thread in their order. */
static void
test_lines_of_several_threads(void **state)
{
    pthread_t threads[THREADS];
    int numbers[THREADS];
    int next[THREADS] = { 0 };
    char line[512];
    (void)state;
    assert_true(log_open(path));
    assert_true(log_start());
    for (int i = 0; i < THREADS; i++) {
        numbers[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, write_lines, &numbers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    log_stop();
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    size_t count = 0;
    while (fgets(line, sizeof(line), file) != NULL) {
        int thread;
        int number;
        const char *pairs = strstr(line, "event=test.line ");
        assert_non_null(pairs);
        assert_int_equal(
            sscanf(pairs, "event=test.line thread=%d number=%d msg=", &thread, &number), 2);
        assert_int_equal(number, next[thread]++);
        count++;
    }
    fclose(file);
    assert_int_equal(log_dropped(), 0);
    assert_int_equal(count, THREADS * LINES);
}

static size_t
file_size(const char *name)
{
    struct stat status;
    return stat(name, &status) == 0 ? (size_t)status.st_size : 0;
}

static void
test_a_file_that_is_moved_away(void **state)
{
    char moved[80];
    (void)state;
    snprintf(moved, sizeof(moved), "%s.1", path);
    assert_true(log_start());
    log_info("test.before", "msg=\"x\"");
    log_flush(10000);
    assert_int_equal(rename(path, moved), 0);
    const size_t size = file_size(moved);
    log_reopen();
    log_info("test.after", "msg=\"x\"");
    log_stop(); /* Whatever came in between, the new file is there, and the old one has its lines.
                 */
    assert_true(file_size(moved) >= size);
    assert_int_equal(access(path, F_OK), 0);
    log_info("test.later", "msg=\"x\"");
    assert_true(file_size(path) > 0);
    unlink(moved);
}

struct collected {
    int fd;
    char *text;
    size_t size;
};

static void *
collect(void *argument)
{
    struct collected *c = argument;
    ssize_t got;
    while ((got = read(c->fd, c->text + c->size, COLLECT_MAX - c->size)) > 0)
        c->size += (size_t)got;
    c->text[c->size] = 0;
    return NULL;
}

static size_t
count_of(const char *text, const char *word)
{
    size_t count = 0;
    for (const char *at = text; (at = strstr(at, word)) != NULL; at++)
        count++;
    return count;
}

/* A pipe that nobody reads is full soon. Logging goes on, lines are dropped and counted; when it is
 * read the counts are told. */
static void
test_a_place_that_takes_nothing(void **state)
{
    int ends[2];
    char name[64];
    pthread_t collector;
    (void)state;
    assert_int_equal(pipe(ends), 0);
    snprintf(name, sizeof(name), "/proc/self/fd/%d", ends[1]);
    assert_true(log_open(name));
    close(ends[1]);
    assert_true(log_start());
    size_t count = 0;
    for (; log_dropped() < 10; count++)
        log_info("test.flood", "number=%zu msg=\"%0500d\"", count, 0);
    struct collected c = { .fd = ends[0], .text = malloc(COLLECT_MAX + 1) };
    assert_non_null(c.text);
    assert_int_equal(pthread_create(&collector, NULL, collect, &c), 0);
    log_stop();
    assert_true(log_open("/dev/null")); /* The pipe's end. */
    pthread_join(collector, NULL);
    size_t told = 0;
    for (const char *at = c.text; (at = strstr(at, "event=log.dropped count=")) != NULL; at++)
        told += strtoul(at + strlen("event=log.dropped count="), NULL, 10);
    assert_int_equal(told, log_dropped());
    assert_int_equal(count_of(c.text, "event=test.flood") + told, count);
    close(ends[0]);
    free(c.text);
}

static int
make_directory(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/log", directory);
    return 0;
}

static int
remove_directory(void **state)
{
    (void)state;
    unlink(path);
    rmdir(directory);
    return 0;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines_of_several_threads),
        cmocka_unit_test(test_a_file_that_is_moved_away),
        cmocka_unit_test(test_a_place_that_takes_nothing),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
