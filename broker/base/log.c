#include "broker/base/log.h"

#include "broker/base/clock.h"
#include "broker/base/log_line.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* Lines that wait for the thread, in octets. There are two such queues: one is filled while the
 * other is written. */
#define QUEUE_BYTES (512u * 1024u)
#define WRITE_BYTES (64u * 1024u)
#define STOP_PATIENCE_MS 2000u
#define PATH_BYTES_MAX 4096

/* In front of the pairs in the queue. */
struct queued {
    uint64_t wall_us;
    const char *event;
    enum log_level level;
    uint32_t size;
};

struct queue_of_lines {
    char *data;
    size_t size;
};

static struct {
    _Atomic enum log_level level_min;
    enum log_format format;
    char path[PATH_BYTES_MAX]; /* Empty: stderr. */
    int fd;                    /* The thread's, while there is one. */
    pthread_t thread;
    atomic_bool is_running; /* The thread takes lines. */
    atomic_bool is_stuck;   /* It did not come to its end: nothing can be written any more. */
    atomic_bool reopen;
    _Atomic uint64_t dropped;
    _Atomic uint64_t queued;  /* Octets that ever came into the queue, */
    _Atomic uint64_t written; /* and that have left it. */

    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct queue_of_lines open;  /* Guarded by lock. */
    bool is_waiting;             /* Likewise: the thread sleeps. */
    bool is_stopping;            /* Likewise. */
    struct queue_of_lines taken; /* The thread's. */
    uint64_t told;               /* Likewise: dropped lines that have been logged. */
} log_state = {
    .level_min = LOG_LEVEL_INFO,
    .fd = STDERR_FILENO,
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .wake = PTHREAD_COND_INITIALIZER,
};

void
log_set_level(enum log_level level)
{
    atomic_store_explicit(&log_state.level_min, level, memory_order_relaxed);
}

void
log_set_format(enum log_format format)
{
    log_state.format = format;
}

bool
log_enabled(enum log_level level)
{
    return level >= atomic_load_explicit(&log_state.level_min, memory_order_relaxed);
}

uint64_t
log_dropped(void)
{
    return atomic_load_explicit(&log_state.dropped, memory_order_relaxed);
}

/* A log that cannot be written has nowhere to say so. */
static void
write_all(int fd, const char *data, size_t size)
{
    while (size > 0) {
        const ssize_t written = write(fd, data, size);
        if (written < 0 && errno == EAGAIN) {
            struct pollfd wanted = { .fd = fd, .events = POLLOUT };
            poll(&wanted, 1, -1);
        } else if (written < 0 && errno != EINTR) {
            return;
        }
        data += written > 0 ? written : 0;
        size -= written > 0 ? (size_t)written : 0;
    }
}

static void
write_here(const struct log_line *line)
{
    char text[LOG_LINE_MAX];
    const size_t size = log_line_render(line, log_state.format, text);
    write_all(log_state.fd, text, size);
}

/* False if the thread has ended meanwhile. */
static bool
enqueue(const struct log_line *line)
{
    const struct queued head = { line->wall_us, line->event, line->level,
                                 (uint32_t)line->pairs.size };
    if (atomic_load_explicit(&log_state.is_stuck, memory_order_relaxed))
        return true;
    pthread_mutex_lock(&log_state.lock);
    struct queue_of_lines *q = &log_state.open;
    const bool is_taken = !log_state.is_stopping;
    const bool fits = is_taken && QUEUE_BYTES - q->size >= sizeof(head) + head.size;
    if (fits) {
        memcpy(q->data + q->size, &head, sizeof(head));
        memcpy(q->data + q->size + sizeof(head), line->pairs.data, head.size);
        q->size += sizeof(head) + head.size;
        atomic_fetch_add(&log_state.queued, sizeof(head) + head.size);
    } else if (is_taken) {
        atomic_fetch_add_explicit(&log_state.dropped, 1, memory_order_relaxed);
    }
    const bool must_wake = log_state.is_waiting;
    log_state.is_waiting = false;
    pthread_mutex_unlock(&log_state.lock);
    if (must_wake)
        pthread_cond_signal(&log_state.wake);
    return is_taken;
}

void
log_write(enum log_level level, const char *event, const char *format, ...)
{
    if (!log_enabled(level))
        return;
    char pairs[LOG_PAIRS_MAX + 1];
    va_list args;
    va_start(args, format);
    const int size = vsnprintf(pairs, sizeof(pairs), format, args);
    va_end(args);
    const struct log_line line = {
        .wall_us = clock_wall_us(),
        .level = level,
        .event = event,
        .pairs = bytes_of(pairs, size < 0                       ? 0
                                 : (size_t)size > LOG_PAIRS_MAX ? LOG_PAIRS_MAX
                                                                : (size_t)size),
    };
    if (!atomic_load(&log_state.is_running) || !enqueue(&line))
        write_here(&line);
}

static int
open_file(const char *path)
{
    return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
}

bool
log_open(const char *path)
{
    const int fd = open_file(path);
    if (fd < 0)
        return false;
    if (log_state.fd != STDERR_FILENO)
        close(log_state.fd);
    log_state.fd = fd;
    snprintf(log_state.path, sizeof(log_state.path), "%s", path);
    return true;
}

/* What cannot be opened is not left: the old file is better than none. */
static void
reopen(void)
{
    if (log_state.path[0] == 0)
        return;
    const int fd = open_file(log_state.path);
    if (fd < 0) {
        log_warning("log.reopen",
                    "file=\"%s\" errno=%d msg=\"cannot be opened: the log goes on in "
                    "the file from before\"",
                    log_state.path, errno);
        return;
    }
    close(log_state.fd);
    log_state.fd = fd;
}

/* Those of one queue, in as few writes as possible. */
static void
write_taken(void)
{
    static char out[WRITE_BYTES + LOG_LINE_MAX]; /* The thread's. */
    size_t used = 0;
    for (size_t at = 0; at < log_state.taken.size;) {
        struct queued head;
        memcpy(&head, log_state.taken.data + at, sizeof(head));
        const struct log_line line = {
            .wall_us = head.wall_us,
            .level = head.level,
            .event = head.event,
            .pairs = bytes_of(log_state.taken.data + at + sizeof(head), head.size),
        };
        used += log_line_render(&line, log_state.format, out + used);
        at += sizeof(head) + head.size;
        if (used >= WRITE_BYTES) {
            write_all(log_state.fd, out, used);
            used = 0;
        }
    }
    write_all(log_state.fd, out, used);
    atomic_fetch_add(&log_state.written, log_state.taken.size);
    log_state.taken.size = 0;
}

static void
tell_dropped(void)
{
    const uint64_t dropped = log_dropped();
    if (dropped == log_state.told)
        return;
    char pairs[160];
    const int size = snprintf(pairs, sizeof(pairs),
                              "count=%llu msg=\"lines were dropped: they came faster than the log "
                              "could be written\"",
                              (unsigned long long)(dropped - log_state.told));
    log_state.told = dropped;
    write_here(&(const struct log_line){ .wall_us = clock_wall_us(),
                                         .level = LOG_LEVEL_WARNING,
                                         .event = "log.dropped",
                                         .pairs = bytes_of(pairs, (size_t)size) });
}

/* False if the log stops and nothing is left. */
static bool
take_lines(void)
{
    pthread_mutex_lock(&log_state.lock);
    while (log_state.open.size == 0 && !log_state.is_stopping && !atomic_load(&log_state.reopen)) {
        log_state.is_waiting = true;
        pthread_cond_wait(&log_state.wake, &log_state.lock);
    }
    log_state.is_waiting = false;
    const struct queue_of_lines empty = log_state.taken;
    log_state.taken = log_state.open;
    log_state.open = empty;
    const bool goes_on = log_state.taken.size > 0 || !log_state.is_stopping;
    pthread_mutex_unlock(&log_state.lock);
    return goes_on;
}

static void *
log_run(void *argument)
{
    (void)argument;
    pthread_setname_np(pthread_self(), "log");
    while (take_lines()) {
        write_taken();
        tell_dropped();
        /* After the lines from before it was asked for. */
        if (atomic_exchange(&log_state.reopen, false))
            reopen();
    }
    tell_dropped();
    return NULL;
}

void
log_reopen(void)
{
    if (!atomic_load(&log_state.is_running)) {
        reopen();
        return;
    }
    pthread_mutex_lock(&log_state.lock);
    atomic_store(&log_state.reopen, true);
    log_state.is_waiting = false;
    pthread_mutex_unlock(&log_state.lock);
    pthread_cond_signal(&log_state.wake);
}

bool
log_start(void)
{
    log_state.open = (struct queue_of_lines){ .data = malloc(QUEUE_BYTES) };
    log_state.taken = (struct queue_of_lines){ .data = malloc(QUEUE_BYTES) };
    log_state.is_stopping = false;
    const bool is_fine = log_state.open.data != NULL && log_state.taken.data != NULL &&
                         pthread_create(&log_state.thread, NULL, log_run, NULL) == 0;
    atomic_store(&log_state.is_running, is_fine);
    if (is_fine)
        return true;
    free(log_state.open.data);
    free(log_state.taken.data);
    return false;
}

void
log_stop(void)
{
    struct timespec until;
    if (!atomic_load(&log_state.is_running))
        return;
    pthread_mutex_lock(&log_state.lock);
    log_state.is_stopping = true;
    pthread_mutex_unlock(&log_state.lock);
    pthread_cond_signal(&log_state.wake);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += STOP_PATIENCE_MS / 1000u;
    if (pthread_timedjoin_np(log_state.thread, NULL, &until) != 0) {
        atomic_store(&log_state.is_stuck,
                     true); /* It hangs in a write, and ends with the process. */
        return;
    }
    atomic_store(&log_state.is_running, false);
    free(log_state.open.data);
    free(log_state.taken.data);
}

void
log_flush(unsigned timeout_ms)
{
    const uint64_t wanted = atomic_load(&log_state.queued);
    const uint64_t deadline_ms = clock_monotonic_ms() + timeout_ms;
    if (!atomic_load(&log_state.is_running) || pthread_equal(pthread_self(), log_state.thread))
        return;
    while (atomic_load(&log_state.written) < wanted && clock_monotonic_ms() < deadline_ms)
        nanosleep(&(const struct timespec){ .tv_nsec = 1000000 }, NULL);
}

const char *
log_quote(struct bytes text, char *out, size_t out_size)
{
    static const char hex[] = "0123456789abcdef";
    size_t used = 0;
    for (size_t i = 0; i < text.size; i++) {
        if (used + 8 >= out_size) {
            memcpy(out + used, "...", 3);
            used += 3;
            break;
        }
        const uint8_t c = text.data[i];
        if (c >= 0x20 && c < 0x7F && c != '"' && c != '\\') {
            out[used++] = (char)c;
            continue;
        }
        out[used++] = '\\';
        out[used++] = 'x';
        out[used++] = hex[c >> 4];
        out[used++] = hex[c & 15];
    }
    out[used] = 0;
    return out;
}
