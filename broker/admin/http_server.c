#include "broker/admin/http_server.h"

#include "broker/base/log.h"
#include "broker/base/mem.h"

#include <microhttpd.h>
#include <pthread.h>
#include <stdio.h>

#define CONNECTIONS_MAX 256u
#define CONNECTIONS_OF_ADDRESS_MAX 64u
#define IDLE_SECONDS_MAX 15u
/* For the head of a request and of its answer. */
#define CONNECTION_MEMORY ((size_t)16384)

struct http_server {
    struct MHD_Daemon *daemon;
    http_handler *handler;
    void *context;
    bool is_named; /* The thread has its name; its own. */
};

static void log_library(void *context, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));

/* Mostly about what clients did wrong. */
static void
log_library(void *context, const char *format, va_list args)
{
    char text[256];
    char quoted[300];
    (void)context;
    if (!log_enabled(LOG_LEVEL_DEBUG))
        return;
    vsnprintf(text, sizeof(text), format, args);
    log_debug("http.library", "msg=\"%s\"",
              log_quote(bytes_of_string(text), quoted, sizeof(quoted)));
}

static enum MHD_Result
send_answer(struct MHD_Connection *connection, struct http_answer *answer)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(
        answer->body.size, answer->body.data, MHD_RESPMEM_MUST_COPY);
    buf_fini(&answer->body);
    if (response == NULL)
        return MHD_NO;
    if (answer->content_type != NULL)
        MHD_add_response_header(response, "Content-Type", answer->content_type);
    MHD_add_response_header(response, "Cache-Control", "no-store");
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    if (answer->status == MHD_HTTP_METHOD_NOT_ALLOWED) {
        /* What it wants to send is not read. */
        MHD_add_response_header(response, "Allow", "GET, HEAD");
        MHD_add_response_header(response, "Connection", "close");
    }
    const enum MHD_Result result = MHD_queue_response(connection, answer->status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result
answer_request(void *context, struct MHD_Connection *connection, const char *path,
               const char *method, const char *version, const char *body, size_t *body_size,
               void **request)
{
    struct http_server *server = context;
    struct http_answer answer = { .status = MHD_HTTP_OK, .content_type = "text/plain" };
    (void)version;
    (void)body;
    if (!server->is_named)
        pthread_setname_np(pthread_self(), "http");
    server->is_named = true;
    const bool reads = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
    if (reads && *request == NULL) {
        *request = server; /* The head is there; an answer now would close the connection. */
        return MHD_YES;
    }
    *body_size = 0; /* Nobody wants it. */
    if (reads) {
        server->handler(server->context, path, &answer);
    } else {
        answer.status = MHD_HTTP_METHOD_NOT_ALLOWED;
        buf_printf(&answer.body, "only GET and HEAD are served here\n");
    }
    return send_answer(connection, &answer);
}

struct http_server *
http_server_start(const struct http_spec *spec)
{
    struct http_server *server = mem_alloc_zeroed(sizeof(*server));
    server->handler = spec->handler;
    server->context = spec->context;
    server->daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ERROR_LOG, 0, NULL, NULL, answer_request, server,
        MHD_OPTION_EXTERNAL_LOGGER, log_library, NULL, MHD_OPTION_LISTEN_SOCKET, spec->fd,
        MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
        CONNECTIONS_OF_ADDRESS_MAX, MHD_OPTION_CONNECTION_TIMEOUT, IDLE_SECONDS_MAX,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY, MHD_OPTION_STRICT_FOR_CLIENT, 1,
        MHD_OPTION_END);
    if (server->daemon != NULL)
        return server;
    mem_free(server);
    return NULL;
}

void
http_server_stop(struct http_server *server)
{
    if (server == NULL)
        return;
    MHD_stop_daemon(server->daemon);
    mem_free(server);
}
