/* `railmq store backup` and `restore`. A backup is a data directory: it holds a store, its witness,
 * and nothing else, and every command that reads a stopped store reads a backup. The store gets its
 * name last, so what has the name is complete; what has not is refused by all who open a store
 * (store_files_is_unfinished), and the next backup or restore begins anew in its place. */

#include "broker/base/fault.h"
#include "broker/cli/options.h"
#include "broker/cli/store_commands.h"
#include "broker/cli/store_place.h"
#include "broker/cli/store_source.h"
#include "persistence/store_files.h"
#include "persistence/witness.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define PROBLEM_SIZE (2 * SOURCE_PATH_MAX + 512)

static bool
copy_source(const struct store_source *source, const char *to, char *problem, size_t problem_size)
{
    char store[SOURCE_PATH_MAX + 8];
    struct progress progress;
    struct store_sizes sizes = { 0 };
    progress_init(&progress, progress_terminal(), NULL);
    snprintf(store, sizeof(store), "%s/store", source->directory);
    store_files_size(store, &sizes);
    progress_start(&progress, "copying the store", PROGRESS_OCTETS, sizes.bytes);
    const struct store_copy copy = {
        .from = source->directory, .to = to, .may_link = true, .progress = &progress
    };
    const bool ok = store_files_copy(&copy, problem, problem_size);
    progress_end(&progress);
    return ok;
}

/* The broker's checkpoint is held no longer than the copying takes. */
static bool
copy_store_of(const char *data_dir, const char *to, char *problem, size_t problem_size)
{
    struct store_source source;
    const bool ok = store_source_open(&source, data_dir, problem, problem_size) &&
                    copy_source(&source, to, problem, problem_size) &&
                    store_source_stood(&source, problem, problem_size);
    store_source_close(&source);
    return ok;
}

static int
back_up(const char *data_dir, const char *backup, bool verifies)
{
    char problem[PROBLEM_SIZE];
    char copy[SOURCE_PATH_MAX];
    char name[SOURCE_PATH_MAX];
    snprintf(copy, sizeof(copy), "%s/" STORE_UNFINISHED_BACKUP "%ld", backup, (long)getpid());
    snprintf(name, sizeof(name), "the backup in %s", backup);
    if (!copy_store_of(data_dir, copy, problem, sizeof(problem))) {
        store_files_remove(copy);
        return store_fail("backup", "%s", problem);
    }
    if (verifies && !store_is_sound(copy, name)) {
        store_files_remove(copy);
        return store_fail("backup",
                          "the store is damaged, so there is no backup; --no-verify makes one of "
                          "what is there");
    }
    FAULT_POINT("copy.complete");
    if (!place_copy(backup, copy, problem, sizeof(problem)))
        return store_fail("backup", "%s", problem);
    printf("the store of %s is in %s\n", data_dir, backup);
    return EXIT_FINE;
}

int
store_backup(const char *data_dir, const char *backup, bool verifies)
{
    char problem[PROBLEM_SIZE];
    int lock;
    const int status = place_prepare(backup, &lock, problem, sizeof(problem))
                           ? back_up(data_dir, backup, verifies)
                           : store_fail("backup", "%s", problem);
    place_release(lock);
    return status;
}

static bool
no_broker_runs(const char *data_dir, char *problem, size_t problem_size)
{
    struct control_connection broker;
    const enum control_found found = control_open(&broker, data_dir, problem, problem_size);
    control_close(&broker);
    if (found == CONTROL_THERE)
        snprintf(problem, problem_size, "a broker runs on %s; stop it first", data_dir);
    return found == CONTROL_ABSENT;
}

static bool
copy_backup(const char *from, const char *data_dir, char *problem, size_t problem_size)
{
    char store[SOURCE_PATH_MAX + 8];
    char to[SOURCE_PATH_MAX];
    struct progress progress;
    struct store_sizes sizes = { 0 };
    snprintf(to, sizeof(to), "%s/" STORE_UNFINISHED_RESTORE "%ld", data_dir, (long)getpid());
    progress_init(&progress, progress_terminal(), NULL);
    snprintf(store, sizeof(store), "%s/store", from);
    store_files_size(store, &sizes);
    progress_start(&progress, "copying the backup", PROGRESS_OCTETS, sizes.bytes);
    const struct store_copy copy = {
        .from = from, .to = to, .owner_of = data_dir, .progress = &progress
    };
    bool ok = store_files_copy(&copy, problem, problem_size);
    if (ok) {
        FAULT_POINT("copy.complete");
        ok = place_copy(data_dir, to, problem, problem_size);
    }
    progress_end(&progress);
    if (!ok)
        store_files_remove(to);
    return ok;
}

/* A broker that is started meanwhile finds its witness locked, and refuses. */
struct guard {
    char path[SOURCE_PATH_MAX];
    struct witness *witness;
    int backup; /* Lock of the backup: it may be a data directory that brokers run on. */
};

static bool
guard_open(struct guard *g, const char *data_dir, const char *backup, char *problem,
           size_t problem_size)
{
    bool busy;
    char why[SOURCE_PATH_MAX + 128];
    snprintf(g->path, sizeof(g->path), "%s/witness", data_dir);
    g->witness = witness_open(g->path, &busy, why, sizeof(why));
    if (g->witness == NULL)
        snprintf(problem, problem_size, "%s%s", why,
                 busy ? "; a broker uses the data directory, or another restore does" : "");
    return g->witness != NULL && store_lock(backup, &g->backup, problem, problem_size);
}

static void
guard_close(struct guard *g, bool is_restored)
{
    struct witness_state ignored;
    store_unlock(g->backup);
    if (g->witness == NULL)
        return;
    if (!is_restored && witness_read(g->witness, &ignored) == WITNESS_NONE)
        unlink(g->path); /* It is ours. */
    witness_close(g->witness);
}

static int
restore(const char *data_dir, const char *backup)
{
    char problem[PROBLEM_SIZE];
    char name[SOURCE_PATH_MAX];
    snprintf(name, sizeof(name), "the backup in %s", backup);
    if (!store_is_sound(backup, name))
        return store_fail("restore", "nothing was restored");
    if (!copy_backup(backup, data_dir, problem, sizeof(problem)))
        return store_fail("restore", "%s", problem);
    printf("%s is restored into %s\n", name, data_dir);
    return EXIT_FINE;
}

int
store_restore(const char *data_dir, const char *backup)
{
    char problem[PROBLEM_SIZE];
    char store[SOURCE_PATH_MAX + 8];
    struct guard guard = { .backup = -1 };
    int lock = -1;
    int status = EXIT_FAILED;
    snprintf(store, sizeof(store), "%s/store", backup);
    if (store_files_is_unfinished(backup, problem, sizeof(problem)))
        return store_fail("restore", "%s", problem);
    if (access(store, R_OK | X_OK) != 0)
        return store_fail("restore", "%s is not a backup: %s: %s", backup, store, strerror(errno));
    if (!no_broker_runs(data_dir, problem, sizeof(problem)) ||
        !place_prepare(data_dir, &lock, problem, sizeof(problem)) ||
        !guard_open(&guard, data_dir, backup, problem, sizeof(problem)))
        store_fail("restore", "%s", problem);
    else
        status = restore(data_dir, backup);
    guard_close(&guard, status == EXIT_FINE);
    place_release(lock);
    return status;
}
