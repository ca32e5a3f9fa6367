#include "broker/cli/store_source.h"

#include "persistence/store_files.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

struct shown_progress {
    struct progress progress;
    char what[80];
};

static void
show_progress(void *context, uint64_t done, uint64_t total, struct bytes what)
{
    struct shown_progress *s = context;
    snprintf(s->what, sizeof(s->what), "%.*s", BYTES_ARGS(what));
    progress_start(&s->progress, s->what, PROGRESS_COUNT, total);
    progress_add(&s->progress, done);
}

static bool
open_checkpoint(struct store_source *s, const char *data_dir, char *problem, size_t problem_size)
{
    char answer[1024];
    struct shown_progress shown;
    progress_init(&shown.progress, progress_terminal(), NULL);
    const struct control_watcher watcher = { .progress = show_progress, .context = &shown };
    const bool ok = control_ask(&s->broker, "checkpoint", &watcher, answer, sizeof(answer));
    progress_end(&shown.progress);
    /* Root must not be led to another directory by whoever runs the broker. */
    if (ok && strchr(answer, '/') == NULL && answer[0] != '.') {
        snprintf(s->directory, sizeof(s->directory), "%s/%s", data_dir, answer);
        return true;
    }
    snprintf(problem, problem_size, ok ? "the broker names no checkpoint, but \"%s\"" : "%s",
             answer);
    return false;
}

static bool
open_stopped(struct store_source *s, const char *data_dir, char *problem, size_t problem_size)
{
    snprintf(s->directory, sizeof(s->directory), "%s", data_dir);
    return store_claim(data_dir, "name the data directory with --data-dir DIR", &s->lock, problem,
                       problem_size);
}

bool
store_source_open(struct store_source *s, const char *data_dir, char *problem, size_t problem_size)
{
    *s = (struct store_source){ .lock = -1 };
    switch (control_open(&s->broker, data_dir, problem, problem_size)) {
    case CONTROL_THERE:
        s->is_running = true;
        return open_checkpoint(s, data_dir, problem, problem_size);
    case CONTROL_ABSENT:
        return open_stopped(s, data_dir, problem, problem_size);
    case CONTROL_UNREACHABLE:
        return false;
    }
    return false;
}

bool
store_source_stood(const struct store_source *s, char *problem, size_t problem_size)
{
    uint8_t octet;
    /* A broker that lives says nothing more, and keeps the connection open. */
    if (!s->is_running || (recv(s->broker.fd, &octet, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
                           (errno == EAGAIN || errno == EINTR)))
        return true;
    snprintf(problem, problem_size,
             "the broker has ended while its store was being copied; run the command again");
    return false;
}

void
store_source_close(struct store_source *s)
{
    control_close(&s->broker);
    store_unlock(s->lock);
    s->lock = -1;
}
