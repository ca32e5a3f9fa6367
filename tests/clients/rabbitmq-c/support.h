/*
 * What the rabbitmq-c programs share: connecting where the environment says, checks that end the
 * program with status 1, unique names, and the calls of the library with the arguments that these
 * programs never vary left out.
 *
 * Strings that go into calls are ordinary C strings; bodies are text. Every function ends the
 * program when the broker or the library reports an error, so that none returns one, unless its
 * comment says otherwise.
 */
#ifndef TESTS_CLIENTS_RABBITMQ_C_SUPPORT_H
#define TESTS_CLIENTS_RABBITMQ_C_SUPPORT_H

#include <amqp.h>
#include <amqp_tcp_socket.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Ends the program, saying where, unless the condition holds. */
#define CHECK(condition) check_that((condition), #condition, __FILE__, __LINE__)

enum { CHANNEL = 1, NAME_SIZE = 128 };

struct name {
    char text[NAME_SIZE];
};

void check_that(bool holds, const char *condition, const char *file, int line);

/* Ends the program unless the reply is a normal one. */
void expect_normal(amqp_rpc_reply_t reply, const char *action);

/* Ends the program unless the reply is a channel.close or connection.close with this code. */
void expect_closed(amqp_rpc_reply_t reply, int code, const char *action);

/* Arms the watchdog: after 30 seconds the program ends with status 1. */
void watchdog_start(void);

/* A name no other program and no other run uses. */
struct name unique_name(const char *subject);

/* Value of an environment variable, or the fallback when it is not set. */
const char *setting(const char *variable, const char *fallback);

/* A new connection on which the login has not happened yet; the socket is open. */
amqp_connection_state_t connection_start(void);

/* Logs in with the password and returns the library's reply, whatever it is. */
amqp_rpc_reply_t connection_login(amqp_connection_state_t connection, const char *password,
                                  int heartbeat_s);

/* A connection with CHANNEL open. */
amqp_connection_state_t connection_open(void);

/* Closes CHANNEL and the connection, and frees it. */
void connection_close(amqp_connection_state_t connection);

/* Declares an exclusive queue that the server names. */
struct name declare_private_queue(amqp_connection_state_t connection);

void declare_exchange(amqp_connection_state_t connection, const char *exchange, const char *type);
void delete_exchange(amqp_connection_state_t connection, const char *exchange);
void bind_queue(amqp_connection_state_t connection, const char *queue, const char *exchange,
                const char *key);

/* Number of messages ready in the queue. */
uint32_t count_messages(amqp_connection_state_t connection, const char *queue);

/* Publishes a text; the properties may be NULL. */
void publish(amqp_connection_state_t connection, const char *exchange, const char *key,
             const amqp_basic_properties_t *properties, const char *body);

/* Starts a consumer on CHANNEL. */
void consume(amqp_connection_state_t connection, const char *queue, bool no_ack);

/* Waits for the next delivery; the caller destroys the envelope. */
amqp_envelope_t next_delivery(amqp_connection_state_t connection);

/* Whether the bytes are exactly the text. */
bool bytes_equal(amqp_bytes_t bytes, const char *text);

/*
 * Consumes from the queue until the body "end" and checks that the bodies before it are exactly
 * these, a list that NULL ends. The "end" sent after all others shows what did not arrive.
 */
void expect_bodies_then_end(amqp_connection_state_t connection, const char *queue,
                            const char *const *bodies);

#endif
