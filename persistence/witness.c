#include "persistence/witness.h"

#include "broker/base/endian.h"
#include "broker/base/lock.h"
#include "broker/base/log.h"
#include "broker/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#define WITNESS_PAGE (WITNESS_SIZE / 2)
#define SLOTS (WITNESS_SIZE / WITNESS_SLOT_SPACING)
#define SYNC_INTERVAL_S 1

struct witness {
    char path[4300];
    int fd;
    enum witness_word word;
    struct witness_state found;
    uint64_t serial; /* Of what was told last. */
    uint8_t *map;    /* NULL until it begins. */
    pthread_t syncer;

    struct lock lock; /* Of the page that is told into, and what follows. Never held across I/O. */
    pthread_cond_t wake;
    unsigned page;
    bool is_told; /* Something, since the page was changed to. */
    bool stopping;
};

static void
slot_encode(uint8_t slot[WITNESS_SLOT_SIZE], uint64_t serial, const struct witness_state *s)
{
    store_be32(slot, WITNESS_VERSION);
    store_be32(slot + 4, 0);
    store_be64(slot + 8, serial);
    store_be64(slot + 16, s->id);
    store_be64(slot + 24, s->epoch);
    store_be64(slot + 32, s->newest);
    store_be64(slot + 40, s->oldest);
    store_be64(slot + 48, s->chunks.count);
    store_be64(slot + 56, s->chunks.digest);
    store_be64(slot + 64, s->definitions.count);
    store_be64(slot + 72, s->definitions.digest);
    store_be64(slot + 80, XXH3_64bits(slot, 80));
}

static void
slot_decode(const uint8_t slot[WITNESS_SLOT_SIZE], struct witness_state *s)
{
    s->id = load_be64(slot + 16);
    s->epoch = load_be64(slot + 24);
    s->newest = load_be64(slot + 32);
    s->oldest = load_be64(slot + 40);
    s->chunks = (struct tally){ load_be64(slot + 48), load_be64(slot + 56) };
    s->definitions = (struct tally){ load_be64(slot + 64), load_be64(slot + 72) };
}

static bool
is_zero(const uint8_t *octets, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (octets[i] != 0)
            return false;
    return true;
}

/* The newest slot that is whole becomes what was found. */
static void
slots_read(struct witness *w, const uint8_t octets[WITNESS_SIZE])
{
    for (unsigned i = 0; i < SLOTS; i++) {
        const uint8_t *slot = octets + i * WITNESS_SLOT_SPACING;
        if (load_be64(slot + 80) != XXH3_64bits(slot, 80))
            continue;
        if (load_be32(slot) != WITNESS_VERSION) {
            w->word = WITNESS_NEWER;
            return;
        }
        if (w->word == WITNESS_TELLS && load_be64(slot + 8) < w->serial)
            continue;
        w->word = WITNESS_TELLS;
        w->serial = load_be64(slot + 8);
        w->page = i * WITNESS_SLOT_SPACING / WITNESS_PAGE;
        slot_decode(slot, &w->found);
    }
}

static bool
file_read(struct witness *w)
{
    uint8_t octets[WITNESS_SIZE] = { 0 };
    const ssize_t size = pread(w->fd, octets, sizeof(octets), 0);
    if (size < 0)
        return false;
    w->word = is_zero(octets, sizeof(octets)) ? WITNESS_NONE : WITNESS_DAMAGED;
    if (size < (ssize_t)WITNESS_PAGE && memcmp(octets, WITNESS_ACCEPT, strlen(WITNESS_ACCEPT)) == 0)
        w->word = WITNESS_ACCEPTS;
    slots_read(w, octets);
    return true;
}

enum witness_word
witness_peek(const char *path, struct witness_state *state)
{
    struct witness w = { .fd = open(path, O_RDONLY | O_CLOEXEC) };
    if (w.fd < 0)
        return errno == ENOENT ? WITNESS_NONE : WITNESS_DAMAGED;
    const bool is_read = file_read(&w);
    close(w.fd);
    return is_read ? witness_read(&w, state) : WITNESS_DAMAGED;
}

struct witness *
witness_open(const char *path, bool *busy, char *problem, size_t problem_size)
{
    struct witness *w = mem_alloc_zeroed(sizeof(*w));
    snprintf(w->path, sizeof(w->path), "%s", path);
    *busy = false;
    w->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (w->fd >= 0 && flock(w->fd, LOCK_EX | LOCK_NB) == 0 && file_read(w)) {
        lock_init(&w->lock);
        pthread_cond_init(&w->wake, NULL);
        return w;
    }
    *busy = errno == EWOULDBLOCK;
    snprintf(problem, problem_size, "%s: %s", path, strerror(errno));
    if (w->fd >= 0)
        close(w->fd);
    mem_free(w);
    return NULL;
}

enum witness_word
witness_read(const struct witness *w, struct witness_state *state)
{
    if (w->word == WITNESS_TELLS)
        *state = w->found;
    return w->word;
}

/* The name of the file is on disk, too. */
static bool
directory_sync(const char *path)
{
    char copy[sizeof(((struct witness *)NULL)->path)];
    snprintf(copy, sizeof(copy), "%s", path);
    const int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const bool done = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    return done;
}

/* Every block exists and has been written once: nothing that follows needs space. */
static bool
file_prepare(struct witness *w)
{
    static const uint8_t zeros[WITNESS_SIZE];
    struct stat status;
    if (fstat(w->fd, &status) != 0)
        return false;
    if (w->word == WITNESS_TELLS && status.st_size == WITNESS_SIZE)
        return true;
    errno = posix_fallocate(w->fd, 0, WITNESS_SIZE);
    if (errno != 0 || ftruncate(w->fd, WITNESS_SIZE) != 0)
        return false;
    if (w->word == WITNESS_TELLS) /* A page was cut off, and reads as zeros now. */
        return true;
    return pwrite(w->fd, zeros, sizeof(zeros), 0) == (ssize_t)sizeof(zeros);
}

static void
wait_a_moment(struct witness *w) UNCHECKED_LOCKING
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += SYNC_INTERVAL_S;
    while (!w->stopping && pthread_cond_timedwait(&w->wake, &w->lock.mutex, &until) == 0)
        ;
}

/* The page that is told into is dirty, and only the other is in flight: never both. */
static void *
witness_syncer(void *argument) UNCHECKED_LOCKING
{
    struct witness *w = argument;
    lock_acquire(&w->lock);
    while (!w->stopping) {
        if (!w->is_told) {
            pthread_cond_wait(&w->wake, &w->lock.mutex);
            continue;
        }
        wait_a_moment(w);
        uint8_t *page = w->map + w->page * WITNESS_PAGE;
        w->page ^= 1u;
        w->is_told = false;
        lock_release(&w->lock);
        if (msync(page, WITNESS_PAGE, MS_SYNC) != 0)
            log_warning("store.witness", "file=%s msg=\"cannot be synced: %s\"", w->path,
                        strerror(errno));
        lock_acquire(&w->lock);
    }
    lock_release(&w->lock);
    return NULL;
}

bool
witness_begin(struct witness *w, const struct witness_state *state, char *problem,
              size_t problem_size)
{
    void *map = MAP_FAILED;
    ASSERT(w->map == NULL);
    if (file_prepare(w))
        map = mmap(NULL, WITNESS_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, w->fd, 0);
    if (map != MAP_FAILED) {
        w->map = map;
        w->page ^= 1u; /* What was found stays until this is on disk. */
        witness_tell(w, state);
        if (msync(map, WITNESS_SIZE, MS_SYNC) == 0 && fsync(w->fd) == 0 &&
            directory_sync(w->path)) {
            const int error = pthread_create(&w->syncer, NULL, witness_syncer, w);
            if (error != 0)
                PANIC("cannot start a thread: error %d; raise the limit of threads", error);
            pthread_setname_np(w->syncer, "witness");
            return true;
        }
        munmap(w->map, WITNESS_SIZE);
        w->map = NULL;
    }
    snprintf(problem, problem_size,
             "the file %s, which tells whether the store is complete, cannot be written: %s; make "
             "room or mend the disk, and start again",
             w->path, strerror(errno));
    return false;
}

void
witness_tell(struct witness *w, const struct witness_state *state)
{
    uint8_t slot[WITNESS_SLOT_SIZE];
    slot_encode(slot, ++w->serial, state);
    lock_acquire(&w->lock);
    memcpy(w->map + w->page * WITNESS_PAGE + w->serial % 2 * WITNESS_SLOT_SPACING, slot,
           sizeof(slot));
    const bool is_first = !w->is_told;
    w->is_told = true;
    lock_release(&w->lock);
    if (is_first)
        pthread_cond_signal(&w->wake);
}

void
witness_close(struct witness *w)
{
    if (w->map != NULL) {
        lock_acquire(&w->lock);
        w->stopping = true;
        lock_release(&w->lock);
        pthread_cond_signal(&w->wake);
        pthread_join(w->syncer, NULL);
        if (msync(w->map, WITNESS_SIZE, MS_SYNC) != 0)
            log_warning("store.witness", "file=%s msg=\"cannot be synced: %s\"", w->path,
                        strerror(errno));
        munmap(w->map, WITNESS_SIZE);
    }
    close(w->fd);
    pthread_cond_destroy(&w->wake);
    lock_fini(&w->lock);
    mem_free(w);
}
