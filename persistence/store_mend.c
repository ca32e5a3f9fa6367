/* A copy of a damaged store, made so that RocksDB opens it. */

#include "persistence/store.h"

#include "persistence/store_files.h"
#include "persistence/store_internal.h"
#include "persistence/wal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define LOG_SUFFIX ".log"
#define TABLE_SUFFIX ".sst"
#define MENDED "mended"
#define PATH_BYTES_MAX 4352

static bool
ends_in(const char *name, const char *suffix)
{
    const size_t size = strlen(name);
    return size > strlen(suffix) && strcmp(name + size - strlen(suffix), suffix) == 0;
}

static bool
is_log(const char *name)
{
    return ends_in(name, LOG_SUFFIX);
}

static void
tell_log(const struct store_files_look *look, const char *name, const struct wal_damage *damage)
{
    char what[256];
    if (damage->places == 0)
        return;
    snprintf(what, sizeof(what),
             "the write-ahead log is damaged at octet %llu%s: the record there is lost",
             (unsigned long long)damage->first,
             damage->places > 1 ? ", and behind it at other places" : "");
    look->damage(look->context, name, what);
}

/* False if it is damaged. */
static bool
look_at_log(const struct store_files_look *look, int directory, const char *name)
{
    char what[256];
    struct wal_damage damage;
    const int fd = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    const bool is_read = fd >= 0 && wal_mend(fd, -1, &damage);
    if (is_read) {
        tell_log(look, name, &damage);
    } else {
        snprintf(what, sizeof(what), "the write-ahead log cannot be read: %s", strerror(errno));
        look->damage(look->context, name, what);
    }
    if (fd >= 0)
        close(fd);
    return is_read && damage.places == 0;
}

bool
store_logs_are_sound(const char *data_dir, const struct store_files_look *look)
{
    char store[PATH_BYTES_MAX];
    bool are_sound = true;
    snprintf(store, sizeof(store), "%s/store", data_dir);
    DIR *dir = opendir(store);
    if (dir == NULL)
        return true; /* Opening the store tells why. */
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;)
        if (is_log(entry->d_name))
            are_sound = look_at_log(look, dirfd(dir), entry->d_name) && are_sound;
    closedir(dir);
    return are_sound;
}

static bool
is_live(const rocksdb_livefiles_t *live, const char *name)
{
    const int count = rocksdb_livefiles_count(live);
    for (int i = 0; i < count; i++)
        if (strcmp(rocksdb_livefiles_name(live, i) + 1, name) == 0) /* Behind a slash. */
            return true;
    return false;
}

static bool
tables_are_live(const char *directory, const rocksdb_livefiles_t *live,
                const struct store_files_look *look)
{
    bool are_live = true;
    DIR *dir = opendir(directory);
    for (const struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;) {
        if (!ends_in(entry->d_name, TABLE_SUFFIX) || is_live(live, entry->d_name))
            continue;
        are_live = false;
        look->damage(look->context, entry->d_name, "the manifest does not tell of this table");
    }
    if (dir != NULL)
        closedir(dir);
    return are_live;
}

bool
store_tables_are_known(struct store *store, const struct store_files_look *look)
{
    char problem[1024];
    if (engine_witness_compare(&store->reader, problem, sizeof(problem)))
        return true; /* What a crash has left, if anything. */
    const rocksdb_livefiles_t *live = rocksdb_livefiles(store->reader.db);
    const bool are_known = tables_are_live(store->reader.directory, live, look);
    rocksdb_livefiles_destroy(live);
    return are_known;
}

static bool
mend_log(int directory, const char *name)
{
    struct wal_damage damage;
    const int from = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    const int to =
        from < 0 ? -1 : openat(directory, MENDED, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    const bool ok =
        to >= 0 && wal_mend(from, to, &damage) && renameat(directory, MENDED, directory, name) == 0;
    const int error = errno;
    if (to >= 0)
        close(to);
    if (from >= 0)
        close(from);
    errno = error;
    return ok;
}

static bool
mend_logs(const char *copy, char *problem, size_t problem_size)
{
    char store[PATH_BYTES_MAX];
    bool ok = true;
    snprintf(store, sizeof(store), "%s/store", copy);
    DIR *dir = opendir(store);
    for (const struct dirent *entry; ok && dir != NULL && (entry = readdir(dir)) != NULL;)
        ok = !is_log(entry->d_name) || mend_log(dirfd(dir), entry->d_name);
    if (dir == NULL || !ok)
        snprintf(problem, problem_size, "cannot mend the write-ahead logs in %s: %s", store,
                 strerror(errno));
    if (dir != NULL)
        closedir(dir);
    return dir != NULL && ok;
}

bool
store_copy_mended(const char *data_dir, const char *copy, struct progress *progress, char *problem,
                  size_t problem_size)
{
    const struct store_copy copying = {
        .from = data_dir,
        .to = copy,
        .may_link = true,
        .may_lack_current = true,
        .progress = progress,
    };
    return store_files_copy(&copying, problem, problem_size) &&
           mend_logs(copy, problem, problem_size);
}

bool
store_repair(const char *copy, char *problem, size_t problem_size)
{
    char directory[sizeof(((struct engine_local *)NULL)->directory)];
    char *error = NULL;
    snprintf(directory, sizeof(directory), "%s/store", copy);
    rocksdb_options_t *options = store_reading_options();
    rocksdb_repair_db(options, directory, &error);
    rocksdb_options_destroy(options);
    if (error == NULL)
        return true;
    snprintf(problem, problem_size, "RocksDB cannot repair a copy of the store: %s", error);
    rocksdb_free(error);
    return false;
}
