/* Giving space back. Rows that are deleted leave their octets in files until RocksDB merges them,
 * which it does in its own time, and maybe never. A thread compares what the directory takes with
 * what is alive, and has it merged when most of it is dead: so that each octet that is alive is
 * written again about once for each that is freed. */

#include "persistence/engine_local.h"

#include "broker/base/clock.h"
#include "broker/base/log.h"
#include "broker/base/mem.h"
#include "broker/base/panic.h"
#include "persistence/tidy_rule.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>

#define LOOK_MS 1000

struct engine_tidy {
    struct engine_local *engine;
    char *directory;
    pthread_t thread;
    struct lock lock;
    pthread_cond_t wake;
    bool stopping;

    /* The thread's. */
    uint64_t written_before; /* Batches at the last look. */
    struct tidy_rule rule;
};

static uint64_t
directory_bytes(const char *directory)
{
    uint64_t bytes = 0;
    char path[4400];
    struct stat status;
    DIR *d = opendir(directory);
    if (d == NULL)
        return 0;
    for (const struct dirent *entry; (entry = readdir(d)) != NULL;) {
        snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
        if (stat(path, &status) == 0 && S_ISREG(status.st_mode))
            bytes += (uint64_t)status.st_size;
    }
    closedir(d);
    return bytes;
}

static void
merge_open(struct engine_local *e)
{
    char *error = NULL;
    rocksdb_flushoptions_t *flush = rocksdb_flushoptions_create();
    rocksdb_flush(e->db, flush, &error);
    rocksdb_flushoptions_destroy(flush);
    if (error != NULL) {
        log_error("store.flush", "msg=\"%s\"", error);
        rocksdb_free(error);
        return;
    }
    rocksdb_compactoptions_t *options = rocksdb_compactoptions_create();
    rocksdb_compactoptions_set_exclusive_manual_compaction(options, 0);
    rocksdb_compact_range_opt(e->db, options, NULL, 0, NULL, 0);
    rocksdb_compactoptions_destroy(options);
}

static void
merge_all(struct engine_local *e)
{
    rwlock_read(&e->opened);
    if (e->db != NULL)
        merge_open(e);
    rwlock_read_end(&e->opened);
}

/* What there is to merge, unless nothing can be written any more. */
static bool
view_store(struct engine_tidy *t, struct tidy_view *v)
{
    struct engine_local *e = t->engine;
    lock_acquire(&e->lock);
    v->alive = e->index.journal_bytes + e->index.chunk_bytes_alive;
    v->is_idle = e->written == t->written_before && !e->is_writing;
    const bool is_broken = e->unreadable;
    t->written_before = e->written;
    lock_release(&e->lock);
    v->bytes = directory_bytes(t->directory);
    v->now_ms = clock_monotonic_ms();
    return !is_broken;
}

static void
look(struct engine_tidy *t)
{
    struct tidy_view v;
    if (!view_store(t, &v) || !tidy_rule_is_due(&t->rule, &v) ||
        !engine_has_room(t->engine, 2 * v.alive))
        return;
    merge_all(t->engine);
    const uint64_t now_ms = clock_monotonic_ms();
    const uint64_t left = directory_bytes(t->directory);
    tidy_rule_note_merged(&t->rule, &v, left, now_ms);
    log_info("store.merged", "before_bytes=%llu after_bytes=%llu alive_bytes=%llu ms=%llu",
             (unsigned long long)v.bytes, (unsigned long long)left, (unsigned long long)v.alive,
             (unsigned long long)(now_ms - v.now_ms));
}

/* False when it is time to stop. */
static bool
wait_a_while(struct engine_tidy *t) UNCHECKED_LOCKING
{
    const uint64_t due = clock_monotonic_ms() + LOOK_MS;
    lock_acquire(&t->lock);
    while (!t->stopping && clock_monotonic_ms() < due)
        cond_wait_until_ms(&t->wake, &t->lock, due);
    const bool goes_on = !t->stopping;
    lock_release(&t->lock);
    return goes_on;
}

static void *
tidy_main(void *argument)
{
    struct engine_tidy *t = argument;
    while (wait_a_while(t))
        look(t);
    return NULL;
}

struct engine_tidy *
engine_tidy_start(struct engine_local *e, const char *directory)
{
    struct engine_tidy *t = mem_alloc_zeroed(sizeof(*t));
    const size_t size = strlen(directory) + 1;
    t->engine = e;
    t->directory = mem_alloc(size);
    memcpy(t->directory, directory, size);
    lock_init(&t->lock);
    cond_init(&t->wake);
    const int error = pthread_create(&t->thread, NULL, tidy_main, t);
    if (error != 0)
        PANIC("cannot start the tidy thread: error %d; raise the limit of threads", error);
    pthread_setname_np(t->thread, "store-tidy");
    return t;
}

void
engine_tidy_stop(struct engine_tidy *t)
{
    lock_acquire(&t->lock);
    t->stopping = true;
    lock_release(&t->lock);
    pthread_cond_signal(&t->wake);
    if (t->engine->db != NULL)
        rocksdb_disable_manual_compaction(t->engine->db);
    pthread_join(t->thread, NULL);
    pthread_cond_destroy(&t->wake);
    lock_fini(&t->lock);
    mem_free(t->directory);
    mem_free(t);
}
