#include "broker/core/memory_total.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* UINT64_MAX if the file is missing or says "max". */
static uint64_t
limit_read(const char *path)
{
    char text[32] = "";
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return UINT64_MAX;
    char *line = fgets(text, sizeof(text), file);
    fclose(file);
    char *end = text;
    const unsigned long long value = strtoull(text, &end, 10);
    return line == NULL || end == text || value == 0 ? UINT64_MAX : value;
}

/* The limit of a group is the tightest among its own and its ancestors'. Cuts `group` to pieces. */
static uint64_t
group_limit(const char *root, char *group, const char *name)
{
    uint64_t tightest = UINT64_MAX;
    char path[PATH_MAX];
    for (;;) {
        const int size = snprintf(path, sizeof(path), "%s%s/%s", root, group, name);
        if (size > 0 && (size_t)size < sizeof(path)) {
            const uint64_t limit = limit_read(path);
            tightest = limit < tightest ? limit : tightest;
        }
        char *slash = strrchr(group, '/');
        if (slash == NULL)
            return tightest;
        *slash = 0;
    }
}

/* A line is "hierarchy:controllers:group"; version 2 is hierarchy 0 without controllers. */
static uint64_t
line_limit(char *line, const char *root)
{
    line[strcspn(line, "\n")] = 0;
    char *controllers = strchr(line, ':');
    char *group = controllers == NULL ? NULL : strchr(controllers + 1, ':');
    if (group == NULL)
        return UINT64_MAX;
    *controllers++ = 0;
    *group++ = 0;
    if (strcmp(line, "0") == 0 && *controllers == 0)
        return group_limit(root, group, "memory.max");
    if (strcmp(controllers, "memory") != 0)
        return UINT64_MAX;
    char memory_root[PATH_MAX];
    snprintf(memory_root, sizeof(memory_root), "%s/memory", root);
    return group_limit(memory_root, group, "memory.limit_in_bytes");
}

uint64_t
memory_cgroup_limit(const char *cgroup_file, const char *cgroup_root)
{
    uint64_t tightest = UINT64_MAX;
    FILE *file = fopen(cgroup_file, "re");
    if (file == NULL)
        return UINT64_MAX;
    char line[PATH_MAX];
    while (fgets(line, sizeof(line), file) != NULL) {
        const uint64_t limit = line_limit(line, cgroup_root);
        tightest = limit < tightest ? limit : tightest;
    }
    fclose(file);
    return tightest;
}

uint64_t
memory_total_bytes(void)
{
    const long pages = sysconf(_SC_PHYS_PAGES);
    const long page_size = sysconf(_SC_PAGESIZE);
    const uint64_t limit = memory_cgroup_limit("/proc/self/cgroup", "/sys/fs/cgroup");
    /* Without any answer, a gibibyte: small enough to block publishers before the system suffers.
     */
    uint64_t total = 1ull << 30;
    if (pages > 0 && page_size > 0)
        total = (uint64_t)pages * (uint64_t)page_size;
    return limit < total ? limit : total;
}
