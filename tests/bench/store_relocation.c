/*
 * What relocation costs: the model of the store (store_model.h) beside plain append and fdatasync
 * of the same octets.
 *
 *     bench_store_relocation DIRECTORY SCENARIO [--quick] [knob=value...]
 *
 * A scenario is a list of runs, a run a line of knobs (see `scenarios`); knobs of the command line
 * come after and win; --quick makes long runs shorter; --help lists both. Each run is a process of
 * its own, so that its memory, CPU and I/O are what the kernel counts for it. The store lies in
 * DIRECTORY/store-relocation, which is emptied each time.
 */

#include "tests/bench/store_model.h"

#include "broker/base/clock.h"
#include "broker/base/endian.h"
#include "broker/base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define RANGE_CHUNKS 64u    /* Chunks of a log that one DeleteRange covers. */
#define ITERATOR_PAGES 256u /* Then it is renewed: an iterator keeps deleted files. */
#define QUICK_MESSAGES 5000000u
#define RAW_SECONDS 1.5
#define MB (1024.0 * 1024.0)

/* Name of a knob and where it is. */
#define KNOB(field) #field, offsetof(struct settings, field)
static const struct {
    const char *name;
    size_t offset;
    const char *text;
} knobs[] = {
    { KNOB(messages), "to publish" },
    { KNOB(logs), "queues they go to, in turn" },
    { KNOB(round_min), "messages a round, at least" },
    { KNOB(round_max), "messages a round, at most" },
    { KNOB(settle_after), "rounds; 0: never" },
    { KNOB(stuck_every), "one message in so many is never settled; 0: none" },
    { KNOB(sync), "rounds are synced" },
    { KNOB(journal_mb), "relocation starts above" },
    { KNOB(floor_mb), "or above this if less than half of the journal is alive" },
    { KNOB(step_kb), "journal relocated at a time; 0: the more, the more logs there are" },
    { KNOB(slice_kb), "chunks written in one batch; 0: a step is one batch" },
    { KNOB(chunk_kb), "largest chunk" },
    { KNOB(thread), "1: a second thread relocates; 0: the committer, in the batches of rounds" },
    { KNOB(from_disk), "1: records are read back, not kept in memory" },
    { KNOB(families), "3: journal, chunks and rows in column families; 1: all in one" },
    { KNOB(chunk_rows), "1: a row a chunk tells what is in it; 0: a row a log" },
    { KNOB(cut_range), "1: a step cuts its rounds by one DeleteRange; 0: SingleDelete each" },
    { KNOB(drain), "afterwards read the chunks and delete them: 1 SingleDelete, 2 DeleteRange" },
    { KNOB(flush_mb), "flush the deletions of so much; 0: when the write buffer is full" },
    { KNOB(kill_at), "die after so many messages, then measure the start" },
    { KNOB(buffer_mb), "write_buffer_size of journal and chunks" },
    { KNOB(buffers), "max_write_buffer_number" },
    { KNOB(wal_mb), "max_total_wal_size" },
    { KNOB(trace), "1: a line a second" },
};

#define DEFAULTS                                                                                   \
    "messages=3000000 logs=1 round_min=1000 round_max=1000 sync=1 journal_mb=32 floor_mb=16 "      \
    "step_kb=0 slice_kb=0 chunk_kb=64 thread=0 families=3 chunk_rows=1 flush_mb=256 "              \
    "buffer_mb=64 buffers=2 wal_mb=256"

static const struct {
    const char *scenario, *name, *knobs;
} scenarios[] = {
    { "custom", "as the knobs say", "" },
    { "short", "1 queue", "logs=1 settle_after=20" },
    { "short", "100 queues", "logs=100 settle_after=20" },
    { "short", "1000 queues", "logs=1000 settle_after=20" },
    { "deep", "1 queue, SingleDelete", "logs=1 messages=20000000 drain=1" },
    { "deep", "1 queue, DeleteRange", "logs=1 messages=20000000 drain=2" },
    { "deep", "1000 queues, SingleDelete", "logs=1000 messages=20000000 drain=1" },
    { "deep", "1000 queues, DeleteRange", "logs=1000 messages=20000000 drain=2" },
    { "many", "10000 queues", "logs=10000 messages=10000000 drain=1" },
    { "many", "100000 queues", "logs=100000 messages=10000000 drain=1" },
    { "stuck", "1 queue, journal of 32 MiB",
      "logs=1 settle_after=20 stuck_every=1000 messages=6000000 floor_mb=32" },
    { "stuck", "1 queue", "logs=1 settle_after=20 stuck_every=1000 messages=6000000" },
    { "stuck", "1000 queues, journal of 32 MiB",
      "logs=1000 settle_after=20 stuck_every=1000 messages=6000000 floor_mb=32" },
    { "stuck", "1000 queues", "logs=1000 settle_after=20 stuck_every=1000 messages=6000000" },
    { "small", "not synced, none old",
      "logs=1000 round_min=1 round_max=8 sync=0 messages=400000 journal_mb=64 floor_mb=64" },
    { "small", "not synced", "logs=1000 round_min=1 round_max=8 sync=0 messages=2000000" },
    { "small", "not synced, DeleteRange",
      "logs=1000 round_min=1 round_max=8 sync=0 messages=2000000 cut_range=1" },
    { "small", "synced, none old", "logs=1000 round_min=1 round_max=8 messages=60000" },
    { "small", "synced, 4 MiB",
      "logs=1000 round_min=1 round_max=8 messages=60000 journal_mb=4 floor_mb=4" },
    { "reopen", "1 M, 1 queue", "logs=1 messages=2000000 kill_at=1000000" },
    { "reopen", "1 M, 1000 queues", "logs=1000 messages=2000000 kill_at=1000000" },
    { "reopen", "10 M, 1 queue", "logs=1 messages=20000000 kill_at=10000000" },
    { "reopen", "10 M, 1000 queues", "logs=1000 messages=20000000 kill_at=10000000" },
};

struct usage {
    double seconds, cpu, committer_cpu, written;
};

static double
seconds_now(void)
{
    return (double)clock_monotonic_ns() / 1e9;
}

/* A number behind `name` in one of the kernel's files about this process. */
static double
process_number(const char *path, const char *name)
{
    char line[256];
    double value = 0;
    FILE *file = fopen(path, "r");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL)
        if (strncmp(line, name, strlen(name)) == 0)
            value = strtod(line + strlen(name), NULL);
    if (file != NULL)
        fclose(file);
    return value;
}

static double
cpu_seconds(int who)
{
    struct rusage u;
    getrusage(who, &u);
    return (double)u.ru_utime.tv_sec + (double)u.ru_stime.tv_sec +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static struct usage
usage_since(struct usage start)
{
    return (struct usage){ seconds_now() - start.seconds, cpu_seconds(RUSAGE_SELF) - start.cpu,
                           cpu_seconds(RUSAGE_THREAD) - start.committer_cpu,
                           process_number("/proc/self/io", "write_bytes:") - start.written };
}

static double
rss_mb(const char *name)
{
    return process_number("/proc/self/status", name) / 1024;
}

static double
disk_mb(const char *directory)
{
    double bytes = 0;
    struct stat st;
    DIR *folder = opendir(directory);
    const struct dirent *entry;
    while (folder != NULL && (entry = readdir(folder)) != NULL)
        if (entry->d_name[0] != '.' && fstatat(dirfd(folder), entry->d_name, &st, 0) == 0)
            bytes += (double)st.st_blocks * 512;
    if (folder != NULL)
        closedir(folder);
    return bytes / MB;
}

static void
disk_clear(const char *directory)
{
    DIR *folder = opendir(directory);
    const struct dirent *entry;
    while (folder != NULL && (entry = readdir(folder)) != NULL)
        if (entry->d_name[0] != '.')
            unlinkat(dirfd(folder), entry->d_name, 0);
    if (folder != NULL)
        closedir(folder);
}

/* The last message of which a process that kills itself knew that it was written. */
static uint64_t *confirmed;

static int
compare_floats(const void *a, const void *b)
{
    const float x = *(const float *)a;
    const float y = *(const float *)b;
    return (x > y) - (x < y);
}

/* The limit: the octets of the same rounds appended to a file. Returns messages a second. */
static double
raw_run(const struct settings *set, const char *directory, double *cpu)
{
    char path[512];
    struct store s = { .set = set, .next = 1, .oldest = 1 };
    struct buf value = { 0 };
    s.rounds = mem_alloc_zeroed(ROUNDS * sizeof(*s.rounds));
    snprintf(path, sizeof(path), "%s/raw", directory);
    const int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
    if (fd < 0)
        fail(path);
    const struct usage start = usage_since((struct usage){ 0 });
    do {
        struct round *r = round_start(&s, &value);
        if (write(fd, value.data, value.size) != (ssize_t)value.size ||
            (set->sync && fdatasync(fd) != 0))
            fail(path);
        if (set->settle_after == 0 || r->number > set->settle_after)
            mem_free(round_at(&s, r->number - set->settle_after)->settled);
    } while (seconds_now() - start.seconds < RAW_SECONDS && s.next < ROUNDS);
    const struct usage used = usage_since(start);
    close(fd);
    unlink(path);
    *cpu = used.cpu / (double)s.published * 1e6;
    return (double)s.published / used.seconds;
}

static void
trace(const struct store *s, double seconds)
{
    printf("  %5.1f s %9llu messages, journal %6.1f MiB (alive %6.2f), chunks %7.1f MiB, "
           "disk %7.1f, rss %5.0f\n",
           seconds, (unsigned long long)s->published, (double)s->journal_bytes / MB,
           (double)s->alive * RECORD_SIZE / MB, (double)s->chunk_bytes / MB, disk_mb(s->directory),
           rss_mb("VmRSS:"));
    fflush(stdout);
}

static void
report(struct store *s, struct usage used, double raw, double raw_cpu)
{
    const double n = (double)s->published;
    const double speed = n / used.seconds;
    const double octets = n * RECORD_SIZE;
    const size_t count = s->latency_count;
    qsort(s->latencies, count, sizeof(float), compare_floats);
    printf(
        "  publish %8.0f msg/s = %.2f of raw %8.0f | us/msg %5.2f (committer %5.2f, raw %5.2f) | "
        "octets/octet: WAL %.2f, tables %.2f | round ms p50 %.2f p99 %.2f p99.9 %.2f max %.1f\n",
        speed, speed / raw, raw, used.cpu / n * 1e6, used.committer_cpu / n * 1e6, raw_cpu,
        (double)s->wal_bytes / octets, (used.written - (double)s->wal_bytes) / octets,
        (double)s->latencies[count / 2], (double)s->latencies[count - count / 100 - 1],
        (double)s->latencies[count - count / 1000 - 1], (double)s->latencies[count - 1]);
    printf("  %llu steps relocated %.1f%% into %llu chunks of %.0f octets | journal %.1f MiB | "
           "disk %.0f MiB | rss %.0f, at most %.0f MiB\n",
           (unsigned long long)s->steps, 100.0 * (double)s->relocated / n,
           (unsigned long long)s->chunks,
           s->chunks == 0 ? 0.0 : (double)s->chunk_bytes / (double)s->chunks,
           (double)s->journal_bytes / MB, disk_mb(s->directory), rss_mb("VmRSS:"),
           rss_mb("VmHWM:"));
    fflush(stdout);
}

struct drainer {
    struct store *s;
    rocksdb_iterator_t *iterator;
    uint64_t *heads;  /* Of each log: the first sequence not read. */
    uint64_t *tombs;  /* The first sequence not deleted. */
    uint32_t *undead; /* Chunks from tomb to head. */
    uint64_t messages;
    uint64_t unflushed; /* Octets of deleted chunks of which no table tells. */
    double synced_at, disk_most;
};

static void
drain_delete(struct drainer *d, uint64_t log, bool last)
{
    struct store *s = d->s;
    char *error = NULL;
    if (d->undead[log] == 0 || (d->undead[log] < RANGE_CHUNKS && !last))
        return;
    const struct key from = KEY('C', log, d->tombs[log]);
    const struct key to = KEY('C', log, d->heads[log]);
    delete_range(s, s->batch, from, to);
    write_batch(s, s->batch, s->unsynced);
    /* From the log's beginning: a table is larger than what was deleted last. */
    const struct key start = KEY('C', log, 0);
    rocksdb_delete_file_in_range_cf(s->db, family_of(s, 'C'), start.octets, start.size, to.octets,
                                    to.size, &error);
    check(error);
    d->tombs[log] = d->heads[log];
    d->undead[log] = 0;
}

/* Deletions are few and small: without this they stay in memory, and the chunks on disk. */
static void
drain_flush(struct drainer *d)
{
    char *error = NULL;
    if (d->unflushed < d->s->set->flush_mb << 20 || d->s->set->flush_mb == 0)
        return;
    rocksdb_flushoptions_t *flush = rocksdb_flushoptions_create();
    rocksdb_flushoptions_set_wait(flush, 0);
    rocksdb_flush_cf(d->s->db, flush, family_of(d->s, 'C'), &error);
    check(error);
    rocksdb_flushoptions_destroy(flush);
    d->unflushed = 0;
}

/* Reads up to `most` chunks of the log from its remembered head, never past its tail: behind it lie
 * the deleted chunks of the next log. False at the end. */
static bool
drain_page(struct drainer *d, uint64_t log, uint32_t most)
{
    struct store *s = d->s;
    const struct key head = KEY('C', log, d->heads[log]);
    uint8_t settled[ROW_HEAD_SIZE + RUN_SIZE] = { 0 };
    uint32_t got = 0;
    if (d->heads[log] < s->tails[log])
        rocksdb_iter_seek(d->iterator, head.octets, head.size);
    for (; got < most && d->heads[log] < s->tails[log]; rocksdb_iter_next(d->iterator), got++) {
        size_t size = 0;
        struct key k = { .size = 25 };
        const char *octets =
            rocksdb_iter_valid(d->iterator) ? rocksdb_iter_key(d->iterator, &size) : NULL;
        if (size != k.size || memcmp(octets, head.octets, 9) != 0)
            fail("a chunk is missing");
        memcpy(k.octets, octets, size);
        const uint8_t *row = (const uint8_t *)rocksdb_iter_value(d->iterator, &size);
        if (!row_is_sound(row, size) || load_be64(row + ROW_HEAD_SIZE + 8) != d->heads[log])
            fail("a chunk is damaged or missing");
        d->heads[log] += load_be32(row + 4);
        d->messages += load_be32(row + 4);
        d->undead[log]++;
        d->unflushed += size;
        if (s->set->drain == DRAIN_SINGLE)
            single_delete(s, s->batch, k);
        k.octets[0] = 'K';
        if (s->set->chunk_rows)
            rocksdb_writebatch_delete_cf(s->batch, family_of(s, 'K'), k.octets, k.size);
    }
    put(s, s->batch, KEY('J', s->next), settled, sizeof(settled));
    s->next++;
    const bool sync = seconds_now() - d->synced_at > 1;
    write_batch(s, s->batch, sync ? s->synced : s->unsynced);
    if (sync) {
        const double disk = disk_mb(s->directory);
        d->disk_most = disk > d->disk_most ? disk : d->disk_most;
        d->synced_at = seconds_now();
    }
    drain_flush(d);
    const bool more = d->heads[log] < s->tails[log];
    if (s->set->drain == DRAIN_RANGE)
        drain_delete(d, log, !more);
    return more;
}

static void
drain_logs(struct drainer *d)
{
    const uint64_t logs = d->s->set->logs;
    const uint32_t most = logs == 1 ? 16 : 4;
    bool *ended = mem_alloc_zeroed(logs * sizeof(bool));
    for (uint64_t left = logs, turn = 0; left > 0; turn++) {
        if (turn % ITERATOR_PAGES == 0) {
            if (d->iterator != NULL)
                rocksdb_iter_destroy(d->iterator);
            d->iterator = rocksdb_create_iterator_cf(d->s->db, d->s->reading, family_of(d->s, 'C'));
        }
        const uint64_t log = turn % logs;
        if (!ended[log] && !drain_page(d, log, most)) {
            ended[log] = true;
            left--;
        }
    }
    rocksdb_iter_destroy(d->iterator);
}

static void
drain_run(struct store *s)
{
    struct drainer d = { .s = s, .synced_at = seconds_now(), .disk_most = disk_mb(s->directory) };
    d.heads = mem_alloc_zeroed(s->set->logs * sizeof(uint64_t));
    d.tombs = mem_alloc_zeroed(s->set->logs * sizeof(uint64_t));
    d.undead = mem_alloc_zeroed(s->set->logs * sizeof(uint32_t));
    const struct usage start = usage_since((struct usage){ 0 });
    drain_logs(&d);
    const struct usage used = usage_since(start);
    const double disk = disk_mb(s->directory);
    char *error = NULL;
    rocksdb_flushoptions_t *flush = rocksdb_flushoptions_create();
    for (uint64_t i = 0; i < s->set->families; i++)
        rocksdb_flush_cf(s->db, flush, s->families[i], &error);
    check(error);
    rocksdb_flushoptions_destroy(flush);
    sleep(5);
    const double disk_later = disk_mb(s->directory);
    const double compaction = seconds_now();
    rocksdb_compact_range_cf(s->db, family_of(s, 'C'), NULL, 0, NULL, 0);
    printf(
        "  drain %llu at %8.0f msg/s, %.2f us/msg (%.2f) | disk at most %.0f, after %.0f, flushed "
        "and 5 s later %.0f, compacted %.0f MiB in %.2f s | rss %.0f MiB\n",
        (unsigned long long)d.messages, (double)d.messages / used.seconds,
        used.cpu / (double)d.messages * 1e6, used.committer_cpu / (double)d.messages * 1e6,
        d.disk_most, disk, disk_later, disk_mb(s->directory), seconds_now() - compaction,
        rss_mb("VmRSS:"));
}

static void
store_run(const struct settings *set, const char *directory)
{
    struct store s;
    double raw_cpu;
    const double raw_before = raw_run(set, directory, &raw_cpu);
    store_open(&s, set, directory);
    const struct usage start = usage_since((struct usage){ 0 });
    for (double traced = 0; s.published < set->messages;) {
        round_commit(&s);
        __atomic_store_n(confirmed, s.published, __ATOMIC_RELAXED);
        if (set->kill_at != 0 && s.published >= set->kill_at)
            raise(SIGKILL);
        const double seconds = seconds_now() - start.seconds;
        if (set->trace && seconds > traced + 1) {
            trace(&s, seconds);
            traced = seconds;
        }
    }
    const struct usage used = usage_since(start);
    const double raw_after = raw_run(set, directory, &raw_cpu);
    report(&s, used, (raw_before + raw_after) / 2, raw_cpu);
    printf("  raw before %.0f, after %.0f msg/s\n", raw_before, raw_after);
    if (set->drain != DRAIN_NONE)
        drain_run(&s);
    store_close(&s);
}

/* What start-up has to read: rows that tell what is in chunks, and the journal. */
static uint64_t
load_rows(struct store *s, uint64_t *tails)
{
    const char kind = s->set->chunk_rows ? 'K' : 'L';
    uint64_t count = 0;
    rocksdb_iterator_t *it = rocksdb_create_iterator_cf(s->db, s->reading, family_of(s, kind));
    for (rocksdb_iter_seek(it, &kind, 1); rocksdb_iter_valid(it); rocksdb_iter_next(it), count++) {
        size_t size;
        const char *key = rocksdb_iter_key(it, &size);
        if (key[0] != kind)
            break;
        const uint64_t log = load_be64((const uint8_t *)key + 1);
        tails[log] = load_be64((const uint8_t *)rocksdb_iter_value(it, &size));
    }
    rocksdb_iter_destroy(it);
    return count;
}

static uint64_t
load_journal(struct store *s, uint64_t *tails, uint64_t *messages)
{
    uint64_t rounds = 0;
    rocksdb_iterator_t *it = rocksdb_create_iterator_cf(s->db, s->reading, family_of(s, 'J'));
    for (rocksdb_iter_seek(it, "J", 1); rocksdb_iter_valid(it); rocksdb_iter_next(it), rounds++) {
        size_t size;
        if (rocksdb_iter_key(it, &size)[0] != 'J')
            break;
        const uint8_t *row = (const uint8_t *)rocksdb_iter_value(it, &size);
        if (!row_is_sound(row, size))
            fail("a round is damaged");
        const uint8_t *record = row + ROW_HEAD_SIZE;
        for (uint32_t left = load_be32(row + 4); left > 0; left--, record += RECORD_SIZE)
            if (load_be64(record + 8) != tails[load_be64(record)]++)
                fail("a record is missing before one in the journal");
        *messages += load_be32(row + 4);
    }
    rocksdb_iter_destroy(it);
    return rounds;
}

/* Every record before the tails is in a chunk; chunks beyond are leftovers of a step. */
static uint64_t
verify_chunks(struct store *s, const uint64_t *tails, uint64_t *leftovers)
{
    uint64_t messages = 0;
    uint64_t log = UINT64_MAX;
    uint64_t next = 0;
    rocksdb_iterator_t *it = rocksdb_create_iterator_cf(s->db, s->reading, family_of(s, 'C'));
    for (rocksdb_iter_seek(it, "C", 1); rocksdb_iter_valid(it); rocksdb_iter_next(it)) {
        size_t size;
        const uint8_t *key = (const uint8_t *)rocksdb_iter_key(it, &size);
        if (key[0] != 'C')
            break;
        next = load_be64(key + 1) == log ? next : 0;
        log = load_be64(key + 1);
        const uint64_t base = load_be64(key + 9);
        const uint8_t *row = (const uint8_t *)rocksdb_iter_value(it, &size);
        if (base >= tails[log]) {
            ++*leftovers;
            continue;
        }
        if (!row_is_sound(row, size) || base != next)
            fail("a chunk is damaged or missing");
        next += load_be32(row + 4);
        messages += load_be32(row + 4);
    }
    rocksdb_iter_destroy(it);
    return messages;
}

static void
reopen_run(const struct settings *set, const char *directory)
{
    struct store s;
    uint64_t *tails = mem_alloc_zeroed(set->logs * 2 * sizeof(uint64_t));
    uint64_t *chunk_tails = tails + set->logs;
    uint64_t messages = 0;
    uint64_t leftovers = 0;
    const double start = seconds_now();
    store_open(&s, set, directory);
    const double opened = seconds_now();
    const uint64_t rows = load_rows(&s, tails);
    memcpy(chunk_tails, tails, set->logs * sizeof(uint64_t));
    const double rows_loaded = seconds_now();
    const uint64_t rounds = load_journal(&s, tails, &messages);
    const double loaded = seconds_now();
    printf(
        "  killed after %llu: open %.2f s, %llu rows %.3f s, %llu rounds with %llu messages %.3f s "
        "| disk %.0f, rss %.0f, at most %.0f MiB\n",
        (unsigned long long)*confirmed, opened - start, (unsigned long long)rows,
        rows_loaded - opened, (unsigned long long)rounds, (unsigned long long)messages,
        loaded - rows_loaded, disk_mb(directory), rss_mb("VmRSS:"), rss_mb("VmHWM:"));
    messages += verify_chunks(&s, chunk_tails, &leftovers);
    printf("  found %llu messages, %llu chunks left over, all rows read in %.2f s: %s\n",
           (unsigned long long)messages, (unsigned long long)leftovers, seconds_now() - loaded,
           messages >= *confirmed ? "complete" : "MESSAGES ARE LOST");
    store_close(&s);
}

/* Runs in a process of its own. */
static void
run_apart(void (*run)(const struct settings *, const char *), const struct settings *set,
          const char *directory)
{
    int status;
    const pid_t child = fork();
    if (child == 0) {
        run(set, directory);
        fflush(stdout);
        _exit(EXIT_SUCCESS);
    }
    if (child < 0 || waitpid(child, &status, 0) < 0)
        fail("cannot run a process");
    if (!WIFSIGNALED(status) && WEXITSTATUS(status) != EXIT_SUCCESS)
        exit(EXIT_FAILURE);
}

/* `name=value`, separated by blanks. */
static bool
settings_parse(struct settings *set, const char *text)
{
    char copy[512];
    char *rest = NULL;
    snprintf(copy, sizeof(copy), "%s", text);
    for (char *word = strtok_r(copy, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        char *value = strchr(word, '=');
        size_t i = 0;
        if (value == NULL)
            return false;
        *value++ = '\0';
        if (strcmp(word, "journal_options") == 0)
            snprintf(set->journal_options, sizeof(set->journal_options), "%s", value);
        else if (strcmp(word, "chunk_options") == 0)
            snprintf(set->chunk_options, sizeof(set->chunk_options), "%s", value);
        else {
            while (i < sizeof(knobs) / sizeof(knobs[0]) && strcmp(knobs[i].name, word) != 0)
                i++;
            if (i == sizeof(knobs) / sizeof(knobs[0]))
                return false;
            char *end;
            *(uint64_t *)(void *)((char *)set + knobs[i].offset) = strtoull(value, &end, 10);
            if (end == value || *end != '\0')
                return false;
        }
    }
    return true;
}

static int
usage(FILE *out, int status)
{
    fprintf(out, "usage: bench_store_relocation DIRECTORY SCENARIO [--quick] [knob=value...]\n\n"
                 "What relocation costs, on a model of the store in DIRECTORY/store-relocation,\n"
                 "which is emptied. Each scenario is a list of runs with knobs of their own;\n"
                 "knobs given here win. --quick: at most 5 M messages a run.\n\n"
                 "scenarios:");
    for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++)
        if (i == 0 || strcmp(scenarios[i].scenario, scenarios[i - 1].scenario) != 0)
            fprintf(out, " %s", scenarios[i].scenario);
    fprintf(out, "\nknobs:\n");
    for (size_t i = 0; i < sizeof(knobs) / sizeof(knobs[0]); i++)
        fprintf(out, "  %-15s %s\n", knobs[i].name, knobs[i].text);
    fprintf(out, "  %-15s %s\n  %-15s %s\n\ndefaults: %s\n", "journal_options",
            "of RocksDB: name=value;...", "chunk_options", "the same for chunks", DEFAULTS);
    return status;
}

/* The knobs of a run: those for all, those of the scenario, those of the command line. */
static bool
settings_make(struct settings *set, const char *scenario, char **words)
{
    *set = (struct settings){ 0 };
    if (!settings_parse(set, DEFAULTS) || !settings_parse(set, scenario))
        return false;
    for (; *words != NULL; words++) {
        if (strcmp(*words, "--quick") == 0 && set->messages > QUICK_MESSAGES) {
            set->kill_at = set->kill_at > QUICK_MESSAGES / 2 ? QUICK_MESSAGES / 2 : set->kill_at;
            set->messages = QUICK_MESSAGES;
        } else if (strcmp(*words, "--quick") != 0 && !settings_parse(set, *words)) {
            return false;
        }
    }
    return set->logs > 0 && set->round_min > 0 && set->round_max >= set->round_min &&
           set->chunk_kb > 0 && (set->families == 1 || set->families == 3);
}

int
main(int argc, char **argv)
{
    char directory[256];
    bool found = false;
    if (argc > 1 && strcmp(argv[1], "--help") == 0)
        return usage(stdout, EXIT_SUCCESS);
    for (size_t i = 0; argc > 2 && i < sizeof(scenarios) / sizeof(scenarios[0]); i++) {
        struct settings set;
        if (strcmp(scenarios[i].scenario, argv[2]) != 0)
            continue;
        if (!settings_make(&set, scenarios[i].knobs, argv + 3))
            return usage(stderr, EXIT_FAILURE);
        found = true;
        printf("%s: %s\n", scenarios[i].scenario, scenarios[i].name);
        fflush(stdout);
        snprintf(directory, sizeof(directory), "%s/store-relocation", argv[1]);
        if (mkdir(directory, 0700) != 0 && errno != EEXIST)
            fail("the directory cannot be made");
        disk_clear(directory);
        confirmed = mmap(NULL, sizeof(*confirmed), PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        run_apart(store_run, &set, directory);
        if (set.kill_at != 0)
            run_apart(reopen_run, &set, directory);
        disk_clear(directory);
        rmdir(directory);
    }
    return found ? EXIT_SUCCESS : usage(stderr, EXIT_FAILURE);
}
