#include "broker/core/memory_total.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* A made-up /proc/self/cgroup and /sys/fs/cgroup. */
struct groups {
    char root[64];
    char *paths[8];
    size_t path_count;
};

static int
setup(void **state)
{
    struct groups *g = calloc(1, sizeof(*g));
    snprintf(g->root, sizeof(g->root), "/tmp/rail-test-cgroup-XXXXXX");
    *state = g;
    return mkdtemp(g->root) == NULL ? -1 : 0;
}

static int
teardown(void **state)
{
    struct groups *g = *state;
    for (size_t i = g->path_count; i > 0; i--) {
        remove(g->paths[i - 1]);
        free(g->paths[i - 1]);
    }
    rmdir(g->root);
    free(g);
    return 0;
}

static const char *
path_of(struct groups *g, const char *name)
{
    char *path = NULL;
    assert_true(asprintf(&path, "%s/%s", g->root, name) > 0);
    g->paths[g->path_count++] = path;
    return path;
}

static void
folder(struct groups *g, const char *name)
{
    assert_int_equal(mkdir(path_of(g, name), 0700), 0);
}

static const char *
file(struct groups *g, const char *name, const char *content)
{
    const char *path = path_of(g, name);
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    fputs(content, out);
    fclose(out);
    return path;
}

static void
test_version_2_takes_the_tightest_ancestor(void **state)
{
    struct groups *g = *state;
    folder(g, "a");
    folder(g, "a/b");
    file(g, "a/memory.max", "4194304\n");
    file(g, "a/b/memory.max", "max\n");
    const char *self = file(g, "self", "0::/a/b\n");
    assert_int_equal(memory_cgroup_limit(self, g->root), 4194304);
}

static void
test_version_2_namespace_root(void **state)
{
    struct groups *g = *state;
    file(g, "memory.max", "12345678\n");
    assert_int_equal(memory_cgroup_limit(file(g, "self", "0::/\n"), g->root), 12345678);
}

static void
test_version_1(void **state)
{
    struct groups *g = *state;
    folder(g, "memory");
    folder(g, "memory/a");
    file(g, "memory/a/memory.limit_in_bytes", "777777\n");
    const char *self = file(g, "self", "5:cpu,cpuacct:/a\n4:memory:/a\n1:name=systemd:/a\n");
    assert_int_equal(memory_cgroup_limit(self, g->root), 777777);
}

static void
test_nonsense_limits_nothing(void **state)
{
    struct groups *g = *state;
    file(g, "memory.max", "max\n");
    const char *self = file(g, "self", "garbage\n\n:\n::\n0::/../../x\n");
    assert_true(memory_cgroup_limit(self, g->root) == UINT64_MAX);
    assert_true(memory_cgroup_limit("/nonexistent/self", g->root) == UINT64_MAX);
}

static void
test_total_is_what_the_machine_has_at_most(void **state)
{
    (void)state;
    const uint64_t machine = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    assert_true(memory_total_bytes() > 0);
    assert_true(memory_total_bytes() <= machine);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_version_2_takes_the_tightest_ancestor, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_version_2_namespace_root, setup, teardown),
        cmocka_unit_test_setup_teardown(test_version_1, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nonsense_limits_nothing, setup, teardown),
        cmocka_unit_test(test_total_is_what_the_machine_has_at_most),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
