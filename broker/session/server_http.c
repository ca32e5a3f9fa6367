#include "broker/session/server_http.h"

#include "broker/admin/prometheus.h"
#include "broker/base/log.h"
#include "broker/session/server.h"

#include <stdio.h>
#include <unistd.h>

#define STATUS_NOT_FOUND 404u
#define STATUS_UNAVAILABLE 503u

static void
answer_metrics(struct server *s, bool is_detailed, struct http_answer *answer)
{
    answer->content_type = PROMETHEUS_CONTENT_TYPE;
    if (atomic_load(&s->phase) == SERVER_STARTING)
        server_metrics_starting(s, &answer->body);
    else
        server_metrics(s, is_detailed, &answer->body);
}

static void
serve_metrics(struct server *s, struct http_answer *answer)
{
    answer_metrics(s, false, answer);
}

static void
serve_detailed_metrics(struct server *s, struct http_answer *answer)
{
    answer_metrics(s, true, answer);
}

static void
serve_alive(struct server *s, struct http_answer *answer)
{
    if (atomic_load(&s->phase) != SERVER_RUNNING || pulse_is_fine(s)) {
        buf_printf(&answer->body, "alive\n");
        return;
    }
    answer->status = STATUS_UNAVAILABLE;
    buf_printf(&answer->body, "a worker has not gone round for %u s\n", PULSE_STALE_MS / 1000u);
}

static void
serve_ready(struct server *s, struct http_answer *answer)
{
    static const char *const words[] = {
        [SERVER_STARTING] = "starting: the store is being read",
        [SERVER_RUNNING] = "ready",
        [SERVER_STOPPING] = "stopping: connections are being closed",
    };
    const enum server_phase phase = atomic_load(&s->phase);
    const bool has_failed = phase == SERVER_RUNNING && door_has_failed(s->door);
    if (phase != SERVER_RUNNING || has_failed)
        answer->status = STATUS_UNAVAILABLE;
    buf_printf(&answer->body, "%s\n",
               has_failed ? "failed: the store takes no more" : words[phase]);
}

static const struct http_page {
    const char *path;
    unsigned service;
    void (*serve)(struct server *s, struct http_answer *answer);
} pages[] = {
    { "/metrics", CONFIG_SERVE_METRICS, serve_metrics },
    { "/metrics/per-object", CONFIG_SERVE_METRICS, serve_detailed_metrics },
    { "/health/live", CONFIG_SERVE_HEALTH, serve_alive },
    { "/health/ready", CONFIG_SERVE_HEALTH, serve_ready },
};
#define PAGE_COUNT (sizeof(pages) / sizeof(pages[0]))

static void
handle(void *context, const char *path, struct http_answer *answer)
{
    struct http_listener *l = context;
    for (size_t i = 0; i < PAGE_COUNT; i++) {
        if ((l->config->serve & pages[i].service) != 0 && strcmp(path, pages[i].path) == 0) {
            pages[i].serve(l->server, answer);
            return;
        }
    }
    answer->status = STATUS_NOT_FOUND;
    buf_printf(&answer->body, "there is no such page; these are served here:\n");
    for (size_t i = 0; i < PAGE_COUNT; i++)
        if ((l->config->serve & pages[i].service) != 0)
            buf_printf(&answer->body, "%s\n", pages[i].path);
}

static bool
start_one(struct server *s, const struct config_listener *config, char *problem,
          size_t problem_size)
{
    struct http_listener *l = &s->http[s->http_count];
    const int fd = listener_bind(config, problem, problem_size);
    if (fd < 0)
        return false;
    *l = (struct http_listener){ .server = s, .config = config, .port = socket_port(fd) };
    l->http = http_server_start(&(const struct http_spec){ fd, handle, l });
    if (l->http == NULL) {
        snprintf(problem, problem_size, "cannot serve HTTP on %s port %u", config->bind.host,
                 l->port);
        close(fd);
        return false;
    }
    s->http_count++;
    log_info("server.listen", "protocol=http host=%s port=%u", config->bind.host, l->port);
    return true;
}

bool
server_http_start(struct server *s, char *problem, size_t problem_size)
{
    const struct config *config = &s->setup->config;
    for (size_t i = 0; i < config->listener_count; i++)
        if (config->listeners[i].protocol == CONFIG_PROTOCOL_HTTP &&
            !start_one(s, &config->listeners[i], problem, problem_size))
            return false;
    return true;
}

void
server_http_stop(struct server *s)
{
    for (size_t i = 0; i < s->http_count; i++) {
        http_server_stop(s->http[i].http);
        if (s->http[i].config->bind.is_path)
            unlink(s->http[i].config->bind.host);
    }
    s->http_count = 0;
}
