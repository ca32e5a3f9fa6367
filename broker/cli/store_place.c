#include "broker/cli/store_place.h"

#include "broker/base/fault.h"
#include "broker/cli/store_source.h"
#include "persistence/store_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* What may lie in a data directory that is still empty to people: without a store beside it, none
 * of it has a meaning. */
static bool
is_nothing(const char *name)
{
    static const char *const names[] = { ".",       "..",        "lost+found", "control.sock",
                                         "witness", "transient", "ballast" };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(name, names[i]) == 0)
            return true;
    }
    return strncmp(name, "tmp-", 4) == 0;
}

/* False with a line for people if the directory has something in it. */
static bool
is_empty(const char *directory, char *problem, size_t problem_size)
{
    DIR *dir = opendir(directory);
    if (dir == NULL) {
        snprintf(problem, problem_size, "cannot read %s: %s", directory, strerror(errno));
        return false;
    }
    const struct dirent *entry;
    do
        entry = readdir(dir);
    while (entry != NULL && is_nothing(entry->d_name));
    if (entry != NULL)
        snprintf(problem, problem_size,
                 "%s is not empty, there is \"%s\" in it; give an empty "
                 "directory, or one that does not exist",
                 directory, entry->d_name);
    closedir(dir);
    return entry == NULL;
}

/* One process at a time writes into the directory; what an earlier one left there goes. Some
 * network file systems cannot lock a directory: there it is left. */
static bool
take_over(const char *directory, int lock, char *problem, size_t problem_size)
{
    const bool is_locked = flock(lock, LOCK_EX | LOCK_NB) == 0;
    if (!is_locked && errno == EWOULDBLOCK) {
        snprintf(problem, problem_size, "another backup or restore is writing to %s", directory);
        return false;
    }
    if (!is_empty(directory, problem, problem_size))
        return false;
    if (is_locked) {
        store_files_remove_leftovers(directory, STORE_UNFINISHED_BACKUP);
        store_files_remove_leftovers(directory, STORE_UNFINISHED_RESTORE);
    }
    return true;
}

bool
place_prepare(const char *directory, int *lock, char *problem, size_t problem_size)
{
    *lock = -1;
    if (mkdir(directory, 0750) != 0 && errno != EEXIST) {
        snprintf(problem, problem_size, "cannot create %s: %s", directory, strerror(errno));
        return false;
    }
    *lock = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*lock >= 0)
        return take_over(directory, *lock, problem, problem_size);
    snprintf(problem, problem_size, "cannot read %s: %s", directory, strerror(errno));
    return false;
}

void
place_release(int lock)
{
    if (lock >= 0)
        close(lock);
}

/* A directory's entry in its parent, too, must outlive a loss of power. */
static bool
sync_with_parent(const char *directory)
{
    char parent[SOURCE_PATH_MAX];
    snprintf(parent, sizeof(parent), "%s/..", directory);
    return store_directory_sync(directory) && store_directory_sync(parent);
}

static bool
place_part(const char *directory, const char *copy, const char *name, unsigned flags, char *problem,
           size_t problem_size)
{
    char from[SOURCE_PATH_MAX + 8];
    char to[SOURCE_PATH_MAX + 8];
    snprintf(from, sizeof(from), "%s/%s", copy, name);
    snprintf(to, sizeof(to), "%s/%s", directory, name);
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, flags) == 0)
        return true;
    const int error = errno;
    snprintf(problem, problem_size, "cannot put the copy in place as %s: %s", to, strerror(error));
    errno = error;
    return false;
}

bool
place_copy(const char *directory, const char *copy, char *problem, size_t problem_size)
{
    if (!place_part(directory, copy, "witness", 0, problem, problem_size) && errno != ENOENT)
        return false;
    FAULT_POINT("copy.witness_placed");
    const bool is_synced = store_directory_sync(directory);
    if (is_synced && !place_part(directory, copy, "store", RENAME_NOREPLACE, problem, problem_size))
        return false;
    FAULT_POINT("copy.placed");
    if (is_synced && rmdir(copy) == 0 && sync_with_parent(directory))
        return true;
    snprintf(problem, problem_size, "cannot sync %s: %s", directory, strerror(errno));
    return false;
}
