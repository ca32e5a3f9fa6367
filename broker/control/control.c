#include "broker/control/control.h"

#include "broker/base/clock.h"
#include "broker/base/log.h"
#include "broker/base/mem.h"
#include "broker/base/panic.h"
#include "broker/control/control_client.h"
#include "broker/control/socket_path.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#define BACKLOG 64
/* After the system had no descriptor for a client. */
#define ACCEPT_PAUSE_MS 100u

struct control {
    struct control_spec spec;
    pthread_t thread;
    int directory;
    int listener;
    int stop; /* Readable when the thread is to end. */
    uint64_t accept_after_ms;
    struct control_client clients[CONTROL_CLIENTS_MAX];
};

static const struct control_command *
command_find(const struct control_spec *spec, struct bytes name)
{
    for (size_t i = 0; i < spec->command_count; i++) {
        if (bytes_equal(name, bytes_of_string(spec->commands[i].name)))
            return &spec->commands[i];
    }
    return NULL;
}

static void
run_request(struct control *control, struct control_client *client, struct bytes line)
{
    const uint8_t *space = line.size == 0 ? NULL : memchr(line.data, ' ', line.size);
    const size_t name_size = space == NULL ? line.size : (size_t)(space - line.data);
    const struct bytes name = bytes_of(line.data, name_size);
    const struct bytes arguments =
        space == NULL ? BYTES_NONE : bytes_of(space + 1, line.size - name_size - 1);
    const struct control_command *command = command_find(&control->spec, name);
    char quoted[128];
    if (command != NULL)
        command->run(control->spec.context, client, arguments);
    else
        control_error(client, "this broker knows no command \"%s\"; is it older than railmq is?",
                      log_quote(name, quoted, sizeof(quoted)));
    ASSERT(client->is_answered);
}

static void
serve_client(struct control *control, struct control_client *client)
{
    struct bytes line;
    if (client->is_answered) {
        control_client_close(client); /* It has gone, or gives back what it held. */
        return;
    }
    switch (control_client_receive(client, &line)) {
    case REQUEST_PARTIAL:
        return;
    case REQUEST_ENDED:
        control_client_close(client);
        return;
    case REQUEST_OVERLONG:
        control_error(client, "the request is longer than %u octets", CONTROL_REQUEST_MAX);
        break;
    case REQUEST_BODY_OVERLONG:
        control_error(client, "what comes with the request is larger than %u MiB, or of no size",
                      CONTROL_BODY_MAX >> 20);
        break;
    case REQUEST_COMPLETE:
        run_request(control, client, line);
        break;
    }
    control_client_flush(client);
    if (client->release == NULL || client->is_gone)
        control_client_close(client);
}

static struct control_client *
free_place(struct control *control)
{
    for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        if (control->clients[i].fd < 0)
            return &control->clients[i];
    }
    return NULL;
}

/* The directory's permissions are the guard; this is the second one. */
static bool
peer_is_allowed(int fd)
{
    struct ucred peer;
    socklen_t size = sizeof(peer);
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
           (peer.uid == 0 || peer.uid == geteuid());
}

static void
accept_client(struct control *control)
{
    struct control_client *client = free_place(control);
    const int fd = accept4(control->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
            control->accept_after_ms = clock_monotonic_ms() + ACCEPT_PAUSE_MS;
        return;
    }
    control_client_open(client, fd, control->spec.timeout_ms);
    if (peer_is_allowed(fd))
        return;
    control_error(client, "only root and the user that the broker runs as may control it");
    control_client_flush(client);
    control_client_close(client);
}

static void
drop_late_clients(struct control *control, uint64_t now_ms)
{
    for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        struct control_client *client = &control->clients[i];
        if (client->fd >= 0 && !client->is_answered && client->deadline_ms <= now_ms)
            control_client_close(client);
    }
}

/* When something is due without anybody's doing; -1: never. */
static int
wait_ms(const struct control *control, uint64_t now_ms)
{
    uint64_t due_ms = control->accept_after_ms > now_ms ? control->accept_after_ms : UINT64_MAX;
    for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        const struct control_client *client = &control->clients[i];
        if (client->fd >= 0 && !client->is_answered && client->deadline_ms < due_ms)
            due_ms = client->deadline_ms;
    }
    return due_ms == UINT64_MAX ? -1 : (int)(due_ms - now_ms);
}

/* Clients that find no place wait in the socket's queue. */
static void *
control_run(void *argument)
{
    struct control *control = argument;
    struct pollfd wanted[2 + CONTROL_CLIENTS_MAX];
    pthread_setname_np(pthread_self(), "control");
    for (;;) {
        const uint64_t now_ms = clock_monotonic_ms();
        drop_late_clients(control, now_ms);
        const bool accepts = free_place(control) != NULL && control->accept_after_ms <= now_ms;
        wanted[0] = (struct pollfd){ .fd = control->stop, .events = POLLIN };
        wanted[1] = (struct pollfd){ .fd = accepts ? control->listener : -1, .events = POLLIN };
        for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
            wanted[2 + i] = (struct pollfd){ .fd = control->clients[i].fd, .events = POLLIN };
        if (poll(wanted, 2 + CONTROL_CLIENTS_MAX, wait_ms(control, now_ms)) <= 0)
            continue;
        if (wanted[0].revents != 0)
            return NULL;
        for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
            if (wanted[2 + i].revents != 0)
                serve_client(control, &control->clients[i]);
        if (wanted[1].revents != 0)
            accept_client(control);
    }
}

/* The mode is set before the socket has a name, so that there is no moment without it. */
static bool
listen_in(struct control *control)
{
    const struct sockaddr_un address = socket_address(control->directory);
    control->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (control->listener < 0 || fchmod(control->listener, 0600) != 0)
        return false;
    if (unlinkat(control->directory, CONTROL_SOCKET, 0) != 0 && errno != ENOENT)
        return false;
    return bind(control->listener, (const struct sockaddr *)&address, sizeof(address)) == 0 &&
           listen(control->listener, BACKLOG) == 0;
}

static void
control_free(struct control *control)
{
    if (control->stop >= 0)
        close(control->stop);
    if (control->listener >= 0)
        close(control->listener);
    if (control->directory >= 0)
        close(control->directory);
    mem_free(control);
}

struct control *
control_start(const struct control_spec *spec, char *problem, size_t problem_size)
{
    struct control *control = mem_alloc_zeroed(sizeof(*control));
    control->spec = *spec;
    control->listener = -1;
    for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
        control->clients[i].fd = -1;
    control->directory = socket_directory_open(spec->directory);
    control->stop = eventfd(0, EFD_CLOEXEC);
    if (control->directory >= 0 && control->stop >= 0 && listen_in(control)) {
        errno = pthread_create(&control->thread, NULL, control_run, control);
        if (errno == 0)
            return control;
    }
    snprintf(problem, problem_size, "cannot serve %s in %s: %s", CONTROL_SOCKET, spec->directory,
             strerror(errno));
    control_free(control);
    return NULL;
}

void
control_stop(struct control *control)
{
    if (control == NULL)
        return;
    const uint64_t one = 1;
    const ssize_t written = write(control->stop, &one, sizeof(one));
    ASSERT(written == (ssize_t)sizeof(one));
    pthread_join(control->thread, NULL);
    for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
        if (control->clients[i].fd >= 0)
            control_client_close(&control->clients[i]);
    unlinkat(control->directory, CONTROL_SOCKET, 0);
    control_free(control);
}
