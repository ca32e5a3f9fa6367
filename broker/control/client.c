#include "broker/control/client.h"

#include "broker/control/control.h"
#include "broker/control/socket_path.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define RECEIVE_BYTES 4096u

enum control_found
control_open(struct control_connection *c, const char *directory, char *problem,
             size_t problem_size)
{
    *c = (struct control_connection){ .fd = -1 };
    const int folder = socket_directory_open(directory);
    if (folder < 0 && errno == ENOENT)
        return CONTROL_ABSENT;
    if (folder >= 0) {
        const struct sockaddr_un address = socket_address(folder);
        c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        const int result =
            c->fd < 0 ? -1 : connect(c->fd, (const struct sockaddr *)&address, sizeof(address));
        const int error = errno;
        close(folder);
        errno = error;
        if (result == 0)
            return CONTROL_THERE;
        if (errno == ENOENT || errno == ECONNREFUSED)
            return CONTROL_ABSENT;
    }
    snprintf(
        problem, problem_size,
        "cannot reach the broker through %s/%s: %s; run this as root or as the user the broker "
        "runs as",
        directory, CONTROL_SOCKET, strerror(errno));
    return CONTROL_UNREACHABLE;
}

void
control_close(struct control_connection *c)
{
    if (c->fd >= 0)
        close(c->fd);
    buf_fini(&c->in);
    *c = (struct control_connection){ .fd = -1 };
}

static bool
send_all(int fd, const void *octets, size_t size)
{
    const char *data = octets;
    while (size > 0) {
        const ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);
        if (sent < 0 && errno != EINTR)
            return false;
        data += sent > 0 ? sent : 0;
        size -= sent > 0 ? (size_t)sent : 0;
    }
    return true;
}

/* The next line, without its end; valid until the next call. False if there is none any more. */
static bool
next_line(struct control_connection *c, struct bytes *line)
{
    for (;;) {
        const size_t rest = c->in.size - c->read;
        const uint8_t *start = c->in.data + c->read;
        const uint8_t *end = rest == 0 ? NULL : memchr(start, '\n', rest);
        if (end != NULL) {
            *line = bytes_of(start, (size_t)(end - start));
            c->read += line->size + 1;
            return true;
        }
        if (rest > 2 * (size_t)CONTROL_LINE_MAX)
            return false;
        if (rest > 0 && c->read > 0)
            memmove(c->in.data, start, rest);
        c->in.size = rest;
        c->read = 0;
        const ssize_t got = recv(c->fd, buf_reserve(&c->in, RECEIVE_BYTES), RECEIVE_BYTES, 0);
        if (got == 0 || (got < 0 && errno != EINTR))
            return false;
        c->in.size += got > 0 ? (size_t)got : 0;
    }
}

static bool
take_word(struct bytes *line, const char *word)
{
    const size_t size = strlen(word);
    if (!bytes_start_with(*line, bytes_of(word, size)))
        return false;
    line->data += size;
    line->size -= size;
    return true;
}

static bool
take_number(struct bytes *line, uint64_t *out)
{
    size_t i = 0;
    *out = 0;
    for (; i < line->size && line->data[i] >= '0' && line->data[i] <= '9'; i++)
        *out = *out * 10 + (uint64_t)(line->data[i] - '0');
    if (i == 0 || i == line->size || line->data[i] != ' ')
        return false;
    line->data += i + 1;
    line->size -= i + 1;
    return true;
}

static void
show(const struct control_watcher *watcher, struct bytes line)
{
    uint64_t done;
    uint64_t total;
    if (take_word(&line, "= ")) {
        if (watcher->line != NULL)
            watcher->line(watcher->context, line);
    } else if (take_word(&line, "progress ") && take_number(&line, &done) &&
               take_number(&line, &total)) {
        if (watcher->progress != NULL)
            watcher->progress(watcher->context, done, total, line);
    }
}

/* The octets behind "data N". False if the connection ends before. */
static bool
take_data(struct control_connection *c, size_t size, const struct control_watcher *watcher)
{
    while (c->in.size - c->read < size) {
        const ssize_t got = recv(c->fd, buf_reserve(&c->in, RECEIVE_BYTES), RECEIVE_BYTES, 0);
        if (got == 0 || (got < 0 && errno != EINTR))
            return false;
        c->in.size += got > 0 ? (size_t)got : 0;
    }
    if (watcher->data != NULL)
        watcher->data(watcher->context, bytes_of(c->in.data + c->read, size));
    c->read += size;
    return true;
}

/* How many octets follow the line, if it says so. */
static bool
is_data(struct bytes line, size_t *size)
{
    if (!take_word(&line, "data ") || line.size == 0 || line.size > 5)
        return false;
    *size = 0;
    for (size_t i = 0; i < line.size; i++) {
        if (line.data[i] < '0' || line.data[i] > '9')
            return false;
        *size = *size * 10 + (size_t)(line.data[i] - '0');
    }
    return true;
}

static bool
take_answer(struct control_connection *c, const struct control_watcher *watcher, char *text,
            size_t text_size)
{
    struct bytes line;
    size_t size;
    while (next_line(c, &line)) {
        if (is_data(line, &size)) {
            if (!take_data(c, size, watcher))
                break;
            continue;
        }
        const bool is_ok = take_word(&line, "ok ");
        if (is_ok || take_word(&line, "error ")) {
            snprintf(text, text_size, "%.*s", BYTES_ARGS(line));
            return is_ok;
        }
        show(watcher, line);
    }
    snprintf(text, text_size,
             "the broker ended, or closed the control connection, before it had answered; see its "
             "log");
    return false;
}

bool
control_ask(struct control_connection *c, const char *request,
            const struct control_watcher *watcher, char *text, size_t text_size)
{
    /* A broker that refuses says so without reading: a failed send is not yet the end. */
    if (send_all(c->fd, request, strlen(request)))
        send_all(c->fd, "\n", 1);
    return take_answer(c, watcher, text, text_size);
}

bool
control_ask_about(struct control_connection *c, const char *request, struct bytes body,
                  const struct control_watcher *watcher, char *text, size_t text_size)
{
    char size[32];
    snprintf(size, sizeof(size), "body %zu ", body.size);
    if (send_all(c->fd, size, strlen(size)) && send_all(c->fd, request, strlen(request)) &&
        send_all(c->fd, "\n", 1))
        send_all(c->fd, body.data, body.size);
    return take_answer(c, watcher, text, text_size);
}
