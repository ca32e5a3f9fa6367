#include "broker/control/control_client.h"

#include "broker/base/clock.h"
#include "broker/base/panic.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define BODY_PART_BYTES 65536u

void
control_client_open(struct control_client *c, int fd, uint32_t timeout_ms)
{
    c->fd = fd;
    c->timeout_ms = timeout_ms;
    c->deadline_ms = clock_monotonic_ms() + timeout_ms;
    c->is_gone = false;
    c->is_answered = false;
    c->release = NULL;
    c->request_size = 0;
    c->has_line = false;
    c->body_wanted = 0;
    c->body = (struct buf){ 0 };
    c->answer_size = 0;
}

void
control_client_close(struct control_client *c)
{
    if (c->release != NULL)
        c->release(c->held);
    c->release = NULL;
    buf_fini(&c->body);
    close(c->fd);
    c->fd = -1;
}

/* Reads "body N " off the front of the line. False if there is no such number, or it is too large.
 */
static bool
take_body_size(struct bytes *line, size_t *size)
{
    const struct bytes word = BYTES_LITERAL("body ");
    size_t i = word.size;
    *size = 0;
    if (!bytes_start_with(*line, word))
        return true;
    for (; i < line->size && line->data[i] >= '0' && line->data[i] <= '9'; i++) {
        *size = *size * 10 + (size_t)(line->data[i] - '0');
        if (*size > CONTROL_BODY_MAX)
            return false;
    }
    if (i == word.size || i == line->size || line->data[i] != ' ')
        return false;
    *line = bytes_of(line->data + i + 1, line->size - i - 1);
    return true;
}

static struct bytes
request_line(const struct control_client *c)
{
    struct bytes line = bytes_of(c->request, c->line_size);
    size_t ignored;
    take_body_size(&line, &ignored);
    return line;
}

static enum request_state
receive_body(struct control_client *c, struct bytes *line)
{
    while (c->body.size < c->body_wanted) {
        const size_t rest = c->body_wanted - c->body.size;
        const size_t part = rest < BODY_PART_BYTES ? rest : BODY_PART_BYTES;
        const ssize_t got = recv(c->fd, buf_reserve(&c->body, part), part, MSG_DONTWAIT);
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            return REQUEST_PARTIAL;
        if (got <= 0)
            return REQUEST_ENDED;
        c->body.size += (size_t)got;
    }
    *line = request_line(c);
    return REQUEST_COMPLETE;
}

/* The line is there; what has come behind it is the beginning of the body. */
static enum request_state
line_ended(struct control_client *c, size_t size, struct bytes *line)
{
    *line = bytes_of(c->request, size);
    c->line_size = size;
    c->has_line = true;
    if (!take_body_size(line, &c->body_wanted))
        return REQUEST_BODY_OVERLONG;
    const size_t behind = c->request_size - size - 1;
    buf_append(&c->body, c->request + size + 1, behind < c->body_wanted ? behind : c->body_wanted);
    return receive_body(c, line);
}

enum request_state
control_client_receive(struct control_client *c, struct bytes *line)
{
    if (c->has_line)
        return receive_body(c, line);
    char *end = c->request + c->request_size;
    const ssize_t got = recv(c->fd, end, sizeof(c->request) - c->request_size, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return REQUEST_PARTIAL;
    if (got <= 0)
        return REQUEST_ENDED;
    c->request_size += (size_t)got;
    const char *stop = memchr(end, '\n', (size_t)got);
    if (stop != NULL)
        return line_ended(c, (size_t)(stop - c->request), line);
    return c->request_size == sizeof(c->request) ? REQUEST_OVERLONG : REQUEST_PARTIAL;
}

/* False if the client has had its time. */
static bool
wait_until_it_reads(struct control_client *c, uint64_t deadline_ms)
{
    const uint64_t now_ms = clock_monotonic_ms();
    struct pollfd wanted = { .fd = c->fd, .events = POLLOUT };
    if (now_ms >= deadline_ms)
        return false;
    const int ready = poll(&wanted, 1, (int)(deadline_ms - now_ms));
    return ready > 0 || (ready < 0 && errno == EINTR);
}

void
control_client_flush(struct control_client *c)
{
    const uint64_t deadline_ms = clock_monotonic_ms() + c->timeout_ms;
    size_t done = 0;
    while (done < c->answer_size && !c->is_gone) {
        const ssize_t sent =
            send(c->fd, c->answer + done, c->answer_size - done, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent >= 0)
            done += (size_t)sent;
        else if (errno == EAGAIN)
            c->is_gone = !wait_until_it_reads(c, deadline_ms);
        else
            c->is_gone = errno != EINTR;
    }
    c->answer_size = 0;
}

static void __attribute__((format(printf, 3, 0)))
answer(struct control_client *c, const char *kind, const char *format, va_list args)
{
    char line[CONTROL_LINE_MAX];
    ASSERT(!c->is_answered);
    size_t size = (size_t)snprintf(line, sizeof(line), "%s ", kind);
    const int more = vsnprintf(line + size, sizeof(line) - size, format, args);
    size += more > 0 ? (size_t)more : 0;
    if (size > sizeof(line) - 1)
        size = sizeof(line) - 1;
    for (size_t i = 0; i < size; i++)
        if (line[i] == '\n')
            line[i] = ' ';
    line[size++] = '\n';
    if (c->answer_size + size > sizeof(c->answer))
        control_client_flush(c);
    memcpy(c->answer + c->answer_size, line, size);
    c->answer_size += size;
}

void
control_line(struct control_client *client, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    answer(client, "=", format, args);
    va_end(args);
}

static void __attribute__((format(printf, 3, 4)))
answer_now(struct control_client *client, const char *kind, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    answer(client, kind, format, args);
    va_end(args);
    control_client_flush(client);
}

void
control_progress(struct control_client *client, uint64_t done, uint64_t total, const char *what)
{
    answer_now(client, "progress", "%llu %llu %s", (unsigned long long)done,
               (unsigned long long)total, what);
}

void
control_data(struct control_client *client, struct bytes octets)
{
    ASSERT(!client->is_answered);
    while (octets.size > 0) {
        char header[32];
        const size_t part = octets.size < CONTROL_LINE_MAX ? octets.size : CONTROL_LINE_MAX;
        const size_t size = (size_t)snprintf(header, sizeof(header), "data %zu\n", part);
        if (client->answer_size + size + part > sizeof(client->answer))
            control_client_flush(client);
        memcpy(client->answer + client->answer_size, header, size);
        memcpy(client->answer + client->answer_size + size, octets.data, part);
        client->answer_size += size + part;
        octets = bytes_of(octets.data + part, octets.size - part);
    }
}

struct bytes
control_body(const struct control_client *client)
{
    return buf_bytes(&client->body);
}

void
control_ok(struct control_client *client, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    answer(client, "ok", format, args);
    va_end(args);
    client->is_answered = true;
}

void
control_error(struct control_client *client, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    answer(client, "error", format, args);
    va_end(args);
    client->is_answered = true;
}

bool
control_client_is_gone(const struct control_client *client)
{
    return client->is_gone;
}

void
control_hold(struct control_client *client, void (*release)(void *held), void *held)
{
    ASSERT(client->release == NULL);
    client->release = release;
    client->held = held;
}
