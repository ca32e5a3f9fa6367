#ifndef BROKER_CONTROL_CLIENT_H
#define BROKER_CONTROL_CLIENT_H

/*
 * The other end of the control socket: a command of `railmq` asks the broker that runs on a data
 * directory. One request a connection. Owner: the caller; one thread.
 */

#include "broker/base/buf.h"

struct control_connection {
    int fd;        /* -1: not connected. */
    struct buf in; /* What has been received and not read yet. */
    size_t read;
};

enum control_found {
    CONTROL_THERE,
    CONTROL_ABSENT,      /* No broker serves the directory. */
    CONTROL_UNREACHABLE, /* `problem` says why. */
};

/* Close it with control_close in any case. */
enum control_found control_open(struct control_connection *c, const char *directory, char *problem,
                                size_t problem_size);

/* Who wants to see what comes before the answer; each may be NULL. The octets are borrowed. */
struct control_watcher {
    void (*line)(void *context, struct bytes text);
    void (*data)(void *context, struct bytes octets);
    void (*progress)(void *context, uint64_t done, uint64_t total, struct bytes what);
    void *context;
};

/* Sends the request and waits for the answer, for as long as that takes. `text` gets what stands
 * behind "ok", or, if it returns false, what went wrong. What the command holds is held until
 * control_close. */
bool control_ask(struct control_connection *c, const char *request,
                 const struct control_watcher *watcher, char *text, size_t text_size);

/* The same with a document of at most CONTROL_BODY_MAX octets behind the request. */
bool control_ask_about(struct control_connection *c, const char *request, struct bytes body,
                       const struct control_watcher *watcher, char *text, size_t text_size);

void control_close(struct control_connection *c);

#endif
