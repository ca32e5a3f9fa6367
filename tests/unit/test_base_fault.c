#include "broker/base/fault.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static bool
parses(const char *text)
{
    struct fault fault;
    return fault_parse(bytes_of_string(text), &fault);
}

static void
test_parse(void **state)
{
    (void)state;
    struct fault fault;
    assert_true(fault_parse(BYTES_LITERAL("commit.written:12"), &fault));
    assert_string_equal(fault.name, "commit.written");
    assert_int_equal(fault.count, 12);
    assert_true(parses("publish.pushed:999999999"));
    const char *wrong[] = {
        "",
        ":",
        "commit.written",
        "commit.written:",
        "commit.written:0",
        "commit.written:-1",
        "commit.written:1 ",
        "commit.written:1:1",
        "commit.written:1000000000",
        "commit.writte:1",
        "commit.written :1",
        ":1",
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        if (parses(wrong[i]))
            fail_msg("\"%s\" was taken", wrong[i]);
}

static void
test_names_are_listed(void **state)
{
    (void)state;
#define FAULT(name, what) assert_non_null(strstr(fault_names, " " name));
#include "broker/base/fault.def"
}

/* How often the child comes by before it is killed; it exits by itself if it is not. */
static int
status_after(const char *text, int times)
{
    int status;
    struct fault fault;
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (text != NULL && fault_parse(bytes_of_string(text), &fault))
            fault_arm(&fault);
        for (int i = 0; i < times; i++) {
            FAULT_POINT("commit.taken");
            FAULT_POINT("commit.written");
        }
        _exit(7);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void
test_kills_at_the_count(void **state)
{
    (void)state;
    int status = status_after(NULL, 100);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    status = status_after("commit.written:5", 4);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    status = status_after("commit.written:5", 5);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    status = status_after("chunk.written:1", 100);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_names_are_listed),
        cmocka_unit_test(test_kills_at_the_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
