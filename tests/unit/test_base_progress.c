#include "broker/base/progress.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <unistd.h>

static char seen[4096];

/* What the function writes to stderr. */
static void
capture(void (*run)(struct progress *p), struct progress *p)
{
    FILE *file = tmpfile();
    assert_non_null(file);
    fflush(stderr);
    const int kept = dup(STDERR_FILENO);
    assert_true(dup2(fileno(file), STDERR_FILENO) >= 0);
    run(p);
    fflush(stderr);
    assert_true(dup2(kept, STDERR_FILENO) >= 0);
    close(kept);
    rewind(file);
    seen[fread(seen, 1, sizeof(seen) - 1, file)] = 0;
    fclose(file);
}

/* Works on until something has been said. */
static void
work(struct progress *p)
{
    progress_start(p, "reading", PROGRESS_OCTETS, UINT64_C(3) << 60);
    do
        progress_add(p, 1);
    while (p->shown == 0);
}

static void
work_and_end(struct progress *p)
{
    work(p);
    progress_start(p, "x", PROGRESS_COUNT, 0);
    p->due_ms = 1; /* Long ago. */
    progress_add(p, 7);
    progress_end(p);
    progress_end(p);
}

static void
test_terminal(void **state)
{
    (void)state;
    struct progress p;
    progress_init(&p, PROGRESS_TERMINAL, NULL);
    capture(work, &p);
    assert_memory_equal(seen, "\rreading: ", 10);
    assert_non_null(strstr(seen, " of 3298534883328.0 MiB"));
    assert_null(strchr(seen, '\n'));
    progress_init(&p, PROGRESS_TERMINAL, NULL);
    capture(work_and_end, &p);
    /* The shorter line hides all of the longer one, and in the end there is none. */
    const char *second = strstr(seen, "\rx: 7");
    assert_non_null(second);
    const char *last = strrchr(seen, '\r');
    assert_string_equal(last, "\r");
    assert_int_equal(strspn(second + 5, " "), second - seen - 5);
}

static void
work_in_log(struct progress *p)
{
    progress_start(p, "reading", PROGRESS_COUNT, 10);
    progress_add(p, 1); /* Not yet. */
    p->due_ms = 1;      /* Long ago. */
    progress_add(p, 3);
    progress_add(p, 1);
    progress_end(p);
}

static void
test_log(void **state)
{
    (void)state;
    struct progress p;
    progress_init(&p, PROGRESS_LOG, "test.reading");
    capture(work_in_log, &p);
    assert_non_null(
        strstr(seen, "event=test.reading done=4 total=10 unit=count msg=\"reading\"\n"));
    assert_ptr_equal(strchr(seen, '\n'), strrchr(seen, '\n'));
}

static void
work_in_silence(struct progress *p)
{
    progress_start(p, "reading", PROGRESS_COUNT, 10);
    progress_add(p, 3);
    progress_end(p);
}

static void
test_nobody(void **state)
{
    (void)state;
    struct progress p;
    progress_init(&p, PROGRESS_SILENT, NULL);
    capture(work_in_silence, &p);
    assert_string_equal(seen, "");
    capture(work_in_silence, NULL);
    assert_string_equal(seen, "");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_terminal),
        cmocka_unit_test(test_log),
        cmocka_unit_test(test_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
