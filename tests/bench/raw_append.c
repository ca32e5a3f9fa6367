/*
 * The limit that the disk sets to confirms of persistent messages, with the same number of them in
 * flight: records are appended to a file, `window` of them in one write, and each batch is synced
 * with fdatasync before the next begins.
 *
 *     bench_raw_append DIRECTORY RECORD-OCTETS WINDOW SECONDS [--echo]
 *
 * A publisher with at most `window` unconfirmed messages never has more than that many waiting for
 * the disk, so a broker that confirms only what is synced cannot pass this rate, unless syncing
 * fewer records at a time is quicker than syncing all of them. The file is made the way a
 * write-ahead log is: its blocks are allocated ahead but unwritten, so a sync also writes the new
 * end of the file; when it is full, the next one is begun and the old one deleted.
 *
 * What is not in it: receiving messages, telling the publisher, routing, delivering, settling,
 * checksums, an index; everything that makes the file useful. --echo adds one of these: another
 * thread sends each batch over a TCP connection, and sends the next when the answer (one octet)
 * says that it is synced. That is the round trip that a window makes a publisher wait for.
 *
 * Prints a line of JSON: records, seconds, records a second; p50 and p99 of a batch in us; octets
 * that the kernel counted as written for this process, and octets of records.
 */

#include "broker/base/clock.h"
#include "broker/base/mem.h"
#include "broker/base/rand.h"
#include "broker/perf/histogram.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LOG_SIZE (64ll << 20)

struct appender {
    int folder;
    int fd;
    unsigned number; /* Of the file. */
    off_t used;
    uint8_t *batch;
    size_t batch_size;
};

static void
fail(const char *what)
{
    fprintf(stderr, "bench_raw_append: %s: %s\n", what, strerror(errno));
    exit(EXIT_FAILURE);
}

/* The next file takes over; a directory that is not synced may lose it. */
static void
log_begin(struct appender *a)
{
    char name[32];
    char old[32];
    snprintf(old, sizeof(old), "raw-%u.log", a->number);
    snprintf(name, sizeof(name), "raw-%u.log", ++a->number);
    const int fd = openat(a->folder, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
    if (fd < 0)
        fail(name);
    if (fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, LOG_SIZE) != 0 && errno != EOPNOTSUPP)
        fail("fallocate");
    if (fsync(a->folder) != 0)
        fail("fsync of the directory");
    if (a->fd >= 0) {
        close(a->fd);
        unlinkat(a->folder, old, 0);
    }
    a->fd = fd;
    a->used = 0;
}

static void
append(struct appender *a)
{
    if (a->used + (off_t)a->batch_size > LOG_SIZE)
        log_begin(a);
    if (write(a->fd, a->batch, a->batch_size) != (ssize_t)a->batch_size)
        fail("write");
    if (fdatasync(a->fd) != 0)
        fail("fdatasync");
    a->used += (off_t)a->batch_size;
}

static void
appender_init(struct appender *a, const char *directory, size_t batch_size)
{
    *a = (struct appender){ .fd = -1, .batch_size = batch_size };
    a->folder = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (a->folder < 0)
        fail(directory);
    a->batch = mem_alloc(batch_size);
    rand_bytes(a->batch, batch_size);
    log_begin(a);
    append(a); /* The first write to a file costs more than the others. */
}

static void
appender_fini(struct appender *a)
{
    char name[32];
    snprintf(name, sizeof(name), "raw-%u.log", a->number);
    unlinkat(a->folder, name, 0);
    close(a->fd);
    close(a->folder);
    mem_free(a->batch);
}

/* Octets written by this process, as the kernel counts them: whole pages. */
static unsigned long long
written_octets(void)
{
    char line[128];
    unsigned long long value = 0;
    FILE *file = fopen("/proc/self/io", "r");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL)
        if (strncmp(line, "write_bytes:", 12) == 0)
            value = strtoull(line + 12, NULL, 10);
    if (file != NULL)
        fclose(file);
    return value;
}

struct echo {
    struct appender *appender;
    pthread_t thread;
    int listener;
    int client;
};

/* False at the end of the stream. */
static bool
receive_all(int fd, uint8_t *out, size_t size)
{
    for (ssize_t got; size > 0; out += got, size -= (size_t)got) {
        got = recv(fd, out, size, 0);
        if (got < 0)
            fail("recv");
        if (got == 0)
            return false;
    }
    return true;
}

static void
send_all(int fd, const uint8_t *octets, size_t size)
{
    for (ssize_t sent; size > 0; octets += sent, size -= (size_t)sent) {
        sent = send(fd, octets, size, MSG_NOSIGNAL);
        if (sent < 0)
            fail("send");
    }
}

static void
be_prompt(int fd)
{
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static void *
echo_run(void *context)
{
    const struct echo *e = context;
    const int fd = accept(e->listener, NULL, NULL);
    const uint8_t synced = 1;
    if (fd < 0)
        fail("accept");
    be_prompt(fd);
    while (receive_all(fd, e->appender->batch, e->appender->batch_size)) {
        append(e->appender);
        send_all(fd, &synced, 1);
    }
    close(fd);
    return NULL;
}

static void
echo_init(struct echo *e, struct appender *a)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    socklen_t size = sizeof(address);
    *e = (struct echo){ .appender = a };
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    e->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    e->client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(e->listener, (struct sockaddr *)&address, size) != 0 || listen(e->listener, 1) != 0 ||
        getsockname(e->listener, (struct sockaddr *)&address, &size) != 0)
        fail("listen");
    if (pthread_create(&e->thread, NULL, echo_run, e) != 0)
        fail("pthread_create");
    if (connect(e->client, (struct sockaddr *)&address, size) != 0)
        fail("connect");
    be_prompt(e->client);
}

static void
echo_fini(struct echo *e)
{
    shutdown(e->client, SHUT_WR);
    pthread_join(e->thread, NULL);
    close(e->client);
    close(e->listener);
}

/* The thread has its own copy of the batch: it receives into the appender's. */
static void
echo_append(const struct echo *e, const uint8_t *batch)
{
    uint8_t synced;
    send_all(e->client, batch, e->appender->batch_size);
    if (!receive_all(e->client, &synced, 1))
        fail("the connection ended");
}

static void
run(struct appender *a, const struct echo *echo, unsigned window, double seconds)
{
    struct histogram *latency = mem_alloc_zeroed(sizeof(*latency));
    uint8_t *copy = mem_alloc(a->batch_size);
    memcpy(copy, a->batch, a->batch_size);
    const unsigned long long written = written_octets();
    const uint64_t begin = clock_monotonic_ns();
    const uint64_t end = begin + (uint64_t)(seconds * 1e9);
    uint64_t batches = 0;
    uint64_t now = begin;
    while (now < end) {
        const uint64_t before = now;
        if (echo != NULL)
            echo_append(echo, copy);
        else
            append(a);
        now = clock_monotonic_ns();
        histogram_record(latency, now - before);
        batches++;
    }
    const double took = (double)(now - begin) / 1e9;
    const double records = (double)batches * window;
    printf("{\"records\": %.0f, \"seconds\": %.6f, \"rate\": %.1f, \"p50\": %.1f, \"p99\": %.1f, "
           "\"written\": %llu, \"octets\": %.0f}\n",
           records, took, records / took, (double)histogram_quantile(latency, 0.5) / 1e3,
           (double)histogram_quantile(latency, 0.99) / 1e3, written_octets() - written,
           (double)batches * (double)a->batch_size);
    mem_free(copy);
    mem_free(latency);
}

int
main(int argc, char **argv)
{
    const bool echoing = argc == 6 && strcmp(argv[5], "--echo") == 0;
    const unsigned long record = argc > 4 ? strtoul(argv[2], NULL, 10) : 0;
    const unsigned long window = argc > 4 ? strtoul(argv[3], NULL, 10) : 0;
    const double seconds = argc > 4 ? strtod(argv[4], NULL) : 0;
    if ((argc != 5 && !echoing) || record == 0 || window == 0 || seconds <= 0 ||
        record > LOG_SIZE / window) {
        fprintf(stderr, "usage: bench_raw_append DIRECTORY RECORD-OCTETS WINDOW SECONDS "
                        "[--echo]\n");
        return EXIT_FAILURE;
    }
    struct appender a;
    struct echo e;
    appender_init(&a, argv[1], record * window);
    if (echoing)
        echo_init(&e, &a);
    run(&a, echoing ? &e : NULL, (unsigned)window, seconds);
    if (echoing)
        echo_fini(&e);
    appender_fini(&a);
    return EXIT_SUCCESS;
}
