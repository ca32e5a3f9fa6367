#include "persistence/store_files.h"

#include "broker/base/fault.h"
#include "broker/base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE_BYTES (1024u * 1024u)
#define PATH_BYTES_MAX 4352

static bool
has_suffix(const char *name, const char *suffix)
{
    const size_t size = strlen(name);
    const size_t suffix_size = strlen(suffix);
    return size > suffix_size && strcmp(name + size - suffix_size, suffix) == 0;
}

static bool
has_prefix(const char *name, const char *prefix)
{
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

static bool
is_table(const char *name)
{
    return has_suffix(name, ".sst");
}

/* What belongs to a process that had the store open, not to the store. */
static bool
is_of_process(const char *name)
{
    return strcmp(name, "LOCK") == 0 || has_prefix(name, "LOG");
}

static DIR *
open_flat(const char *directory)
{
    const int fd = open(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir == NULL && fd >= 0)
        close(fd);
    return dir;
}

/* The next entry but "." and "..". */
static const char *
next_name(DIR *dir)
{
    const struct dirent *entry;
    do
        entry = readdir(dir);
    while (entry != NULL && (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0));
    return entry == NULL ? NULL : entry->d_name;
}

bool
store_files_size(const char *store, struct store_sizes *out)
{
    struct stat status;
    *out = (struct store_sizes){ 0 };
    DIR *dir = open_flat(store);
    if (dir == NULL)
        return false;
    for (const char *name; (name = next_name(dir)) != NULL;) {
        if (fstatat(dirfd(dir), name, &status, AT_SYMLINK_NOFOLLOW) != 0 ||
            !S_ISREG(status.st_mode))
            continue;
        const uint64_t size = (uint64_t)status.st_size;
        out->bytes += size;
        if (is_table(name)) {
            out->table_count++;
            out->table_bytes += size;
        } else if (has_suffix(name, ".log")) {
            out->wal_count++;
            out->wal_bytes += size;
        }
    }
    closedir(dir);
    return true;
}

/* One copying: the two directories, and whom the files are for. */
struct copying {
    int from;
    int to;
    bool gives_away;
    uid_t owner;
    gid_t group;
    bool may_link;
    bool may_lack_current;
    struct progress *progress;
};

static bool
write_all(int fd, const uint8_t *data, size_t size)
{
    while (size > 0) {
        const ssize_t written = write(fd, data, size);
        if (written < 0 && errno != EINTR)
            return false;
        data += written > 0 ? written : 0;
        size -= written > 0 ? (size_t)written : 0;
    }
    return true;
}

static bool
copy_content(const struct copying *c, int from, int to)
{
    uint8_t *piece = mem_alloc(PIECE_BYTES);
    ssize_t got;
    bool ok = true;
    while (ok && (got = read(from, piece, PIECE_BYTES)) != 0) {
        if (got < 0) {
            ok = errno == EINTR;
            continue;
        }
        ok = write_all(to, piece, (size_t)got);
        progress_add(c->progress, (uint64_t)got);
    }
    const int error = errno;
    mem_free(piece);
    errno = error;
    return ok && fsync(to) == 0;
}

static bool
copy_file(const struct copying *c, const char *name)
{
    const int from = openat(c->from, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    const int to =
        from < 0 ? -1 : openat(c->to, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    const bool ok = to >= 0 && (!c->gives_away || fchown(to, c->owner, c->group) == 0) &&
                    copy_content(c, from, to);
    const int error = errno;
    if (to >= 0)
        close(to);
    if (from >= 0)
        close(from);
    errno = error;
    return ok;
}

static bool
link_file(const struct copying *c, const char *name, const struct stat *status)
{
    if (!c->may_link || !is_table(name) || linkat(c->from, name, c->to, name, 0) != 0)
        return false;
    progress_add(c->progress, (uint64_t)status->st_size);
    return true;
}

static bool
copy_entry(const struct copying *c, const char *name)
{
    struct stat status;
    if (is_of_process(name))
        return true;
    if (fstatat(c->from, name, &status, AT_SYMLINK_NOFOLLOW) != 0)
        return false;
    if (!S_ISREG(status.st_mode)) {
        errno = EINVAL; /* Nothing that a store consists of. */
        return false;
    }
    return link_file(c, name, &status) || copy_file(c, name);
}

static bool
fail(const char *what, const char *path, char *problem, size_t problem_size)
{
    snprintf(problem, problem_size, "cannot %s %s: %s", what, path, strerror(errno));
    return false;
}

static bool
find_owner(const struct store_copy *copy, struct copying *c)
{
    struct stat status;
    if (copy->owner_of == NULL || geteuid() != 0)
        return true;
    if (stat(copy->owner_of, &status) != 0)
        return false;
    c->gives_away = true;
    c->owner = status.st_uid;
    c->group = status.st_gid;
    return true;
}

/* -1 with errno. */
static int
make_directory(const struct copying *c, const char *path)
{
    const int fd =
        mkdir(path, 0750) != 0 ? -1 : open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0 && c->gives_away && fchown(fd, c->owner, c->group) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static bool
copy_named(const struct copying *c, const char *name, const char *from, char *problem,
           size_t problem_size)
{
    char path[PATH_BYTES_MAX + 256];
    snprintf(path, sizeof(path), "%s/%s", from, name);
    if (!copy_entry(c, name))
        return fail("copy", path, problem, problem_size);
    FAULT_POINT("copy.file");
    return true;
}

static bool
sync_copy(const struct copying *c, const char *from, char *problem, size_t problem_size)
{
    return fsync(c->to) == 0 || fail("sync the copy of", from, problem, problem_size);
}

/* Without the file that names the manifest nothing is a store: it comes when the rest is on disk.
 */
static bool
copy_entries(const struct copying *c, DIR *dir, const char *from, char *problem,
             size_t problem_size)
{
    for (const char *name; (name = next_name(dir)) != NULL;) {
        if (strcmp(name, "CURRENT") != 0 && !copy_named(c, name, from, problem, problem_size))
            return false;
    }
    if (!sync_copy(c, from, problem, problem_size))
        return false;
    if (c->may_lack_current && faccessat(c->from, "CURRENT", F_OK, 0) != 0)
        return true;
    return copy_named(c, "CURRENT", from, problem, problem_size) &&
           sync_copy(c, from, problem, problem_size);
}

static bool
copy_store(struct copying *c, const char *from, const char *to, char *problem, size_t problem_size)
{
    char source[PATH_BYTES_MAX];
    char target[PATH_BYTES_MAX];
    snprintf(source, sizeof(source), "%s/store", from);
    snprintf(target, sizeof(target), "%s/store", to);
    DIR *dir = open_flat(source);
    if (dir == NULL)
        return fail("read", source, problem, problem_size);
    c->from = dirfd(dir);
    c->to = make_directory(c, target);
    const bool ok = c->to < 0 ? fail("create", target, problem, problem_size)
                              : copy_entries(c, dir, source, problem, problem_size);
    if (c->to >= 0)
        close(c->to);
    closedir(dir);
    return ok;
}

/* A witness that is not there belongs to a store from before there were any. */
static bool
copy_witness(struct copying *c, int folder, const char *path, char *problem, size_t problem_size)
{
    const int from = open(path, O_RDONLY | O_CLOEXEC);
    if (from < 0)
        return errno == ENOENT || fail("open", path, problem, problem_size);
    const int to = openat(folder, "witness", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    const bool ok = to >= 0 && (!c->gives_away || fchown(to, c->owner, c->group) == 0) &&
                    copy_content(c, from, to);
    if (!ok)
        fail("copy", path, problem, problem_size);
    if (to >= 0)
        close(to);
    close(from);
    return ok;
}

static bool
start_copy(struct copying *c, const char *to, const char *witness, char *problem,
           size_t problem_size)
{
    const int folder = make_directory(c, to);
    if (folder < 0)
        return fail("create", to, problem, problem_size);
    const bool ok = copy_witness(c, folder, witness, problem, problem_size);
    close(folder);
    return ok;
}

bool
store_files_start_copy(const char *to, const char *witness, char *problem, size_t problem_size)
{
    struct copying c = { .from = -1 };
    return start_copy(&c, to, witness, problem, problem_size);
}

bool
store_files_copy(const struct store_copy *copy, char *problem, size_t problem_size)
{
    struct copying c = { .may_link = copy->may_link,
                         .may_lack_current = copy->may_lack_current,
                         .progress = copy->progress };
    char witness[PATH_BYTES_MAX];
    snprintf(witness, sizeof(witness), "%s/witness", copy->from);
    if (!find_owner(copy, &c))
        return fail("find the owner of", copy->owner_of, problem, problem_size);
    if (!start_copy(&c, copy->to, witness, problem, problem_size))
        return false;
    FAULT_POINT("copy.started");
    if (!copy_store(&c, copy->from, copy->to, problem, problem_size))
        return false;
    return store_directory_sync(copy->to) || fail("sync", copy->to, problem, problem_size);
}

/* Directories lie in it down to `depth`. */
static bool
remove_at(int parent, const char *name, unsigned depth)
{
    if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
        return true;
    const int fd =
        depth == 0 ? -1 : openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir == NULL)
        return false;
    bool ok = true;
    for (const char *inner; ok && (inner = next_name(dir)) != NULL;)
        ok = remove_at(fd, inner, depth - 1);
    closedir(dir);
    return ok && unlinkat(parent, name, AT_REMOVEDIR) == 0;
}

bool
store_files_remove(const char *directory)
{
    return remove_at(AT_FDCWD, directory, 3);
}

void
store_files_remove_leftovers(const char *parent, const char *prefix)
{
    DIR *dir = opendir(parent);
    if (dir == NULL)
        return;
    for (const char *name; (name = next_name(dir)) != NULL;) {
        char path[PATH_BYTES_MAX];
        if (!has_prefix(name, prefix))
            continue;
        snprintf(path, sizeof(path), "%s/%s", parent, name);
        store_files_remove(path);
    }
    closedir(dir);
}

static void
explain_unfinished(const char *directory, const char *name, char *problem, size_t problem_size)
{
    if (has_prefix(name, STORE_UNFINISHED_BACKUP))
        snprintf(problem, problem_size,
                 "the backup in %s is not complete: it is still being made, or making it was "
                 "interrupted (%s is in it); make it again with railmq store backup %s",
                 directory, name, directory);
    else
        snprintf(problem, problem_size,
                 "the store in %s is not complete: it is still being restored, or that was "
                 "interrupted (%s is in it); run railmq store restore again, or remove %s/%s to "
                 "begin with an empty store",
                 directory, name, directory, name);
}

bool
store_files_is_unfinished(const char *directory, char *problem, size_t problem_size)
{
    char path[PATH_BYTES_MAX];
    bool found = false;
    snprintf(path, sizeof(path), "%s/store", directory);
    DIR *dir = access(path, F_OK) == 0 ? NULL : opendir(directory);
    if (dir == NULL)
        return false;
    for (const char *name; !found && (name = next_name(dir)) != NULL;) {
        found =
            has_prefix(name, STORE_UNFINISHED_BACKUP) || has_prefix(name, STORE_UNFINISHED_RESTORE);
        if (found)
            explain_unfinished(directory, name, problem, problem_size);
    }
    closedir(dir);
    return found;
}

bool
store_directory_sync(const char *directory)
{
    const int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const bool ok = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    return ok;
}

bool
store_lock(const char *data_dir, int *fd, char *problem, size_t problem_size)
{
    char path[PATH_BYTES_MAX];
    struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET };
    snprintf(path, sizeof(path), "%s/store/LOCK", data_dir);
    *fd = open(path, O_RDONLY | O_CLOEXEC);
    if (*fd < 0)
        return errno == ENOENT || fail("open", path, problem, problem_size);
    /* The engine locks all of the file for writing: one who reads keeps it out, and lets others
     * read. */
    if (fcntl(*fd, F_SETLK, &lock) == 0)
        return true;
    if (errno == EACCES || errno == EAGAIN)
        snprintf(problem, problem_size,
                 "the store in %s is in use by another process that has no control socket; wait "
                 "for it to end, or stop it",
                 data_dir);
    else
        fail("lock", path, problem, problem_size);
    close(*fd);
    *fd = -1;
    return false;
}

bool
store_claim(const char *data_dir, const char *advice, int *fd, char *problem, size_t problem_size)
{
    char store[PATH_BYTES_MAX];
    *fd = -1;
    if (store_files_is_unfinished(data_dir, problem, problem_size))
        return false;
    snprintf(store, sizeof(store), "%s/store", data_dir);
    if (access(store, R_OK | X_OK) == 0)
        return store_lock(data_dir, fd, problem, problem_size);
    snprintf(problem, problem_size, "there is no store in %s: %s; %s", data_dir, strerror(errno),
             advice);
    return false;
}

void
store_unlock(int fd)
{
    if (fd >= 0)
        close(fd);
}
