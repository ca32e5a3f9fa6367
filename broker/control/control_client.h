#ifndef BROKER_CONTROL_CONTROL_CLIENT_H
#define BROKER_CONTROL_CONTROL_CLIENT_H

/*
 * A connection to the control socket as the broker sees it: what has come of the request, what is
 * left of the answer. For the files of this folder; others know it by control.h alone. Thread:
 * control.
 */

#include "broker/base/buf.h"
#include "broker/control/control.h"

struct control_client {
    int fd; /* -1: this place is free. */
    uint32_t timeout_ms;
    uint64_t deadline_ms; /* For the request. */
    bool is_gone;
    bool is_answered;
    void (*release)(void *held); /* NULL: nothing is held. */
    void *held;
    size_t request_size;
    bool has_line;
    size_t line_size;   /* Of the request, without its end. */
    size_t body_wanted; /* Octets behind the line. */
    struct buf body;
    size_t answer_size;
    char request[CONTROL_REQUEST_MAX + 1];
    char answer[CONTROL_LINE_MAX * 4];
};

void control_client_open(struct control_client *c, int fd, uint32_t timeout_ms);

/* Releases what is held, and frees the place. */
void control_client_close(struct control_client *c);

enum request_state {
    REQUEST_PARTIAL,
    REQUEST_COMPLETE, /* `line` is the request, without the line end. */
    REQUEST_OVERLONG,
    REQUEST_BODY_OVERLONG,
    REQUEST_ENDED, /* The client has gone. */
};

/* Takes what has come in. Does not block. */
enum request_state control_client_receive(struct control_client *c, struct bytes *line);

/* Sends what is left of the answer; waits for the client, but not longer than its timeout. */
void control_client_flush(struct control_client *c);

#endif
