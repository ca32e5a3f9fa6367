#include "persistence/space.h"

#include "broker/base/clock.h"
#include "broker/base/log.h"
#include "broker/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define MIB (UINT64_C(1) << 20)
#define LOOK_MS 1000
#define LOOK_LOW_SHARE 10 /* Of that, while it is low. */

/* Shares of the file system, for small ones, and what is enough on large ones. */
#define WATERMARK_SHARE 4
#define BALLAST_SHARE 16
#define BALLAST_BYTES (32 * MIB)
#define MARGIN_SHARE 16
/* For the store's small files, and for the old rounds that it may move along with any round. */
#define MARGIN_BYTES (16 * MIB)
/* Of a compaction of the first two levels: four write buffers, and what RocksDB lets the level
 * below have. Starting one is RocksDB's decision, and if it takes all that is free, flushing fails.
 */
#define COMPACTION_BYTES (384 * MIB)
/* It is lifted only when this share of what raised it is free beyond it, so it does not flap. */
#define HYSTERESIS 8

struct space {
    space_measure *measure;
    void *context;
    space_clean *clean;
    void *clean_context;
    uint64_t watermark;
    char ballast_path[4200];
    char directory[4096];

    struct space_reading last;
    uint64_t written; /* Since the last reading. */
    uint64_t look_ms; /* Between two looks, and two cleanings. */
    uint64_t looked_ms;
    uint64_t cleaned_ms;
    uint64_t ballast; /* Octets of it; 0: there is none. */
    bool is_full;     /* The store has found it so. */
    bool has_freed;   /* Something in the store is dead since the last cleaning. */
    bool no_ballast;  /* The file system cannot allocate ahead. */
    bool failing;     /* The last measurement failed; it has been logged. */
    atomic_bool low;
};

static uint64_t
at_most(uint64_t value, uint64_t limit)
{
    return value < limit ? value : limit;
}

static uint64_t
beyond(uint64_t value, uint64_t limit)
{
    return value > limit ? value - limit : 0;
}

static uint64_t
watermark(const struct space *s)
{
    return at_most(s->watermark, s->last.total / WATERMARK_SHARE);
}

static uint64_t
margin(const struct space *s)
{
    return at_most(MARGIN_BYTES, s->last.total / MARGIN_SHARE);
}

static uint64_t
ballast_wanted(const struct space *s)
{
    return s->no_ballast ? 0 : at_most(BALLAST_BYTES, s->last.total / BALLAST_SHARE);
}

/* What has been written since the last reading has gone to the log. */
static uint64_t
free_now(const struct space *s)
{
    return beyond(s->last.free, beyond(s->written, s->last.ahead));
}

static uint64_t
ahead_now(const struct space *s)
{
    return beyond(s->last.ahead, s->written);
}

static uint64_t
unflushed_now(const struct space *s)
{
    return s->last.unflushed + s->written;
}

/* What must be free so that `bytes` can go to the log and all of the log be flushed. */
static uint64_t
needed_for(const struct space *s, uint64_t bytes)
{
    return unflushed_now(s) + bytes + beyond(bytes, ahead_now(s)) + s->last.log_file;
}

/* Below it publishers are blocked: the watermark, or where what waits would come near the floor. */
static uint64_t
low_mark(const struct space *s, uint64_t waiting)
{
    const uint64_t compaction = at_most(s->last.tables, COMPACTION_BYTES);
    const uint64_t needed = needed_for(s, waiting) + compaction + 3 * margin(s);
    const uint64_t mark = beyond(watermark(s), ahead_now(s));
    return needed > mark ? needed : mark;
}

static void
ballast_drop(struct space *s)
{
    if (s->ballast == 0)
        return;
    log_warning("store.ballast",
                "state=dropped bytes=%llu msg=\"no room is left but for what "
                "frees room\"",
                (unsigned long long)s->ballast);
    unlink(s->ballast_path);
    s->ballast = 0;
    s->looked_ms = 0;
}

/* A half made one would only take room away. */
static void
ballast_make(struct space *s)
{
    const uint64_t wanted = ballast_wanted(s);
    const int fd = open(s->ballast_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd >= 0 && fallocate(fd, 0, 0, (off_t)wanted) == 0) {
        s->ballast = wanted;
        s->last.free -= at_most(wanted, s->last.free);
    } else {
        s->no_ballast = errno != ENOSPC && errno != EINTR;
        unlink(s->ballast_path);
    }
    if (fd >= 0)
        close(fd);
}

/* What a run before has left. */
static void
ballast_find(struct space *s)
{
    struct stat status;
    if (stat(s->ballast_path, &status) == 0 && S_ISREG(status.st_mode))
        s->ballast = (uint64_t)status.st_blocks * 512u;
}

static bool
measure_now(struct space *s)
{
    struct space_reading reading = { 0 };
    s->looked_ms = clock_monotonic_ms();
    if (s->measure(s->context, &reading)) {
        s->last = reading;
        s->written = 0;
        s->failing = false;
        return true;
    }
    if (!s->failing)
        log_warning("store.space", "errno=%d msg=\"cannot tell how much room %s has\"", errno,
                    s->directory);
    s->failing = true;
    return false;
}

static void
raise_or_lift(struct space *s, uint64_t waiting)
{
    const uint64_t mark = low_mark(s, waiting);
    const uint64_t wanted = ballast_wanted(s);
    const uint64_t missing = s->ballast == 0 ? wanted : 0;
    const bool has_plenty = !s->is_full && free_now(s) >= mark + mark / HYSTERESIS + missing;
    const bool was_low = atomic_load_explicit(&s->low, memory_order_relaxed);
    if (has_plenty && missing > 0)
        ballast_make(s);
    const bool is_low = was_low ? !has_plenty : s->is_full || free_now(s) < mark;
    if (is_low == was_low)
        return;
    atomic_store(&s->low, is_low);
    if (is_low)
        log_warning("alarm.disk",
                    "state=on free=%llu needed=%llu directory=%s msg=\"publishers are blocked "
                    "until there is room again: consume messages, delete queues, or free "
                    "the disk\"",
                    (unsigned long long)free_now(s), (unsigned long long)mark, s->directory);
    else
        log_info("alarm.disk", "state=off free=%llu", (unsigned long long)free_now(s));
}

/* Cleaning writes tables before the log goes: it needs the room that was kept for it. */
static void
clean_if_useful(struct space *s)
{
    const uint64_t now_ms = clock_monotonic_ms();
    if (s->clean == NULL || !s->has_freed || !space_is_low(s) ||
        now_ms < s->cleaned_ms + s->look_ms)
        return;
    if (!measure_now(s) || free_now(s) < unflushed_now(s) + margin(s)) {
        ballast_drop(s);
        if (!measure_now(s) || free_now(s) < unflushed_now(s) + margin(s))
            return;
    }
    s->has_freed = !s->clean(s->clean_context, free_now(s) - unflushed_now(s));
    s->cleaned_ms = clock_monotonic_ms();
    measure_now(s);
}

uint64_t
space_due_ms(const struct space *s)
{
    return s->looked_ms + (space_is_low(s) ? s->look_ms / LOOK_LOW_SHARE : s->look_ms);
}

void
space_look(struct space *s, uint64_t waiting)
{
    const uint64_t mark = low_mark(s, waiting);
    const uint64_t spare = beyond(free_now(s), mark);
    const bool is_near = s->written > spare / 8 && !space_is_low(s);
    if (clock_monotonic_ms() < space_due_ms(s) && !is_near)
        return;
    measure_now(s);
    clean_if_useful(s);
    raise_or_lift(s, waiting);
}

static bool
has_room(const struct space *s, uint64_t bytes)
{
    return free_now(s) >= needed_for(s, bytes) + margin(s);
}

/* The same with less to spare: for what is worth the last room. What has records can take the room
 * that is kept for flushing only if it brings its own; all that waits is written then, because
 * order must hold. */
static bool
has_last_room(const struct space *s, const struct space_claim *claim)
{
    if (!claim->has_records)
        return free_now(s) + ahead_now(s) >= 2 * claim->bytes + margin(s) / 2;
    return free_now(s) >= needed_for(s, claim->waiting) + margin(s) / 2;
}

bool
space_admits(struct space *s, const struct space_claim *claim)
{
    space_look(s, claim->waiting);
    if (claim->bytes == 0 || s->last.total == 0 || has_room(s, claim->bytes))
        return true;
    if (s->written > 0) {
        measure_now(s);
        raise_or_lift(s, claim->waiting);
    }
    if (has_room(s, claim->bytes))
        return true;
    if (claim->has_records && !claim->frees)
        return false;
    if (s->ballast > 0) {
        ballast_drop(s);
        measure_now(s);
        raise_or_lift(s, claim->waiting);
    }
    return has_last_room(s, claim);
}

void
space_wrote(struct space *s, const struct space_claim *claim)
{
    s->written += claim->bytes;
    s->has_freed = s->has_freed || claim->frees;
    clean_if_useful(s);
}

void
space_ran_out(struct space *s, uint64_t waiting)
{
    s->is_full = true;
    ballast_drop(s);
    measure_now(s);
    raise_or_lift(s, waiting);
}

void
space_recovered(struct space *s, uint64_t waiting)
{
    s->is_full = false;
    measure_now(s);
    raise_or_lift(s, waiting);
}

void
space_set_cleaner(struct space *s, space_clean *clean, void *context)
{
    s->clean = clean;
    s->clean_context = context;
}

uint64_t
space_free(const struct space *s)
{
    return free_now(s);
}

bool
space_is_low(const struct space *s)
{
    return atomic_load_explicit(&s->low, memory_order_relaxed);
}

struct space *
space_create(const struct space_options *options)
{
    struct space *s = mem_alloc_zeroed(sizeof(*s));
    snprintf(s->directory, sizeof(s->directory), "%s", options->directory);
    snprintf(s->ballast_path, sizeof(s->ballast_path), "%s/ballast", options->directory);
    s->measure = options->measure != NULL ? options->measure : space_measure_directory;
    s->context = options->measure != NULL ? options->context : s->directory;
    s->watermark = options->watermark;
    s->look_ms = options->look_ms != 0 ? options->look_ms : LOOK_MS;
    atomic_init(&s->low, false);
    ballast_find(s);
    if (!measure_now(s))
        return s;
    /* Opening flushes the log. */
    if (free_now(s) < unflushed_now(s) + margin(s)) {
        ballast_drop(s);
        measure_now(s);
    }
    raise_or_lift(s, 0);
    return s;
}

void
space_destroy(struct space *s)
{
    mem_free(s);
}
