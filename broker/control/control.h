#ifndef BROKER_CONTROL_CONTROL_H
#define BROKER_CONTROL_CONTROL_H

/*
 * The control socket of a running broker: <data-dir>/control.sock, for the commands of `railmq` on
 * the same machine. It is reached by whoever may enter the directory, and serves only processes of
 * the broker's own user and of root.
 *
 * A connection carries one request: a line of at most CONTROL_REQUEST_MAX octets, the name of a
 * command and, behind a space, its arguments. "body N " in front of the name says that N octets
 * follow the line, at most CONTROL_BODY_MAX: a document that the command is about. The answer is
 * lines of text. "= TEXT" is a line of output, "data N" is followed by N octets of output as they
 * are, "progress DONE TOTAL WHAT" tells how far it is, and the last line is "ok TEXT" or
 * "error TEXT"; TEXT and WHAT are for people. Then the broker closes the connection, unless the
 * command holds something for the client until that closes it.
 *
 * One thread, `control`, serves all clients, one command at a time. A client that sends its request
 * slowly is dropped after a while; one that does not read its answer stops the thread for at most
 * as long, and nothing else of the broker at all.
 */

#include "broker/base/bytes.h"

#define CONTROL_SOCKET "control.sock"
#define CONTROL_REQUEST_MAX 4096u
#define CONTROL_BODY_MAX (16u << 20)
/* Of an answer; text beyond is cut. */
#define CONTROL_LINE_MAX 4096u
#define CONTROL_CLIENTS_MAX 16

struct control;
struct control_client;

struct control_command {
    const char *name;
    /* Answers with any number of control_line and control_progress, and with one control_ok or
     * control_error at the end. On control's thread. */
    void (*run)(void *context, struct control_client *client, struct bytes arguments);
};

struct control_spec {
    const char *directory;
    const struct control_command *commands;
    size_t command_count;
    void *context;       /* For the commands. */
    uint32_t timeout_ms; /* For a request to come, and for an answer to be taken. */
};

/* Listens, and starts the thread. A socket that a dead broker left behind is replaced: the caller
 * has made sure that no other process uses the directory. The spec's pointers are borrowed. NULL
 * with a line for people in `problem`. */
struct control *control_start(const struct control_spec *spec, char *problem, size_t problem_size);

/* Ends the thread, after the command that runs, and removes the socket. NULL is fine. */
void control_stop(struct control *control);

/* For commands. Line ends in the text become spaces. */
void control_line(struct control_client *client, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Output of any length and content. */
void control_data(struct control_client *client, struct bytes octets);
void control_progress(struct control_client *client, uint64_t done, uint64_t total,
                      const char *what);
void control_ok(struct control_client *client, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void control_error(struct control_client *client, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* What came with the request; empty if nothing did. Borrowed for the command. */
struct bytes control_body(const struct control_client *client);

/* The client has gone, or does not read: a long command may end. */
bool control_client_is_gone(const struct control_client *client);

/* Leaves the connection open after the answer. `release` gets `held` on control's thread, once:
 * when the client closes or sends anything, or when control stops. Once a request. */
void control_hold(struct control_client *client, void (*release)(void *held), void *held);

#endif
