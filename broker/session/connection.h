#ifndef BROKER_SESSION_CONNECTION_H
#define BROKER_SESSION_CONNECTION_H

/*
 * A client's connection. Octets come in, are cut into frames and dispatched to handlers; what
 * handlers decide goes to the output, which is written at the end of the turn. Legal moves of its
 * state are data (connection_state.c).
 *
 * Owner: one worker for life; everything here belongs to that thread, except the outbox, which has
 * a lock of its own. An idle connection holds no buffers. It is freed at the end of the turn in
 * which it is closed, so nobody on the worker's stack is left with a dangling pointer.
 */

#include "amqp/content.h"
#include "amqp/exception.h"
#include "amqp/frame.h"
#include "amqp/method.h"
#include "broker/core/outbox.h"
#include "broker/net/output.h"
#include "broker/session/worker.h"

enum connection_state {
    CONNECTION_AWAITING_HEADER,
    CONNECTION_SECURING,   /* The TLS handshake goes on; it comes before the header. */
    CONNECTION_STARTING,   /* connection.start is sent. */
    CONNECTION_LOGGING_IN, /* Whether the password is right is being found out. */
    CONNECTION_TUNING,     /* The client is who it says; connection.tune is sent. */
    CONNECTION_OPENING,    /* Tuned. */
    CONNECTION_RUNNING,    /* connection.open-ok is sent. */
    CONNECTION_CLOSING,    /* We sent connection.close and wait for close-ok. */
    CONNECTION_CONDEMNED,  /* Login failed; closed without a word after a while. */
    CONNECTION_LINGERING,  /* All is said; waiting for the peer to hang up. */
    CONNECTION_CLOSED,     /* Its resources are gone; freed at the end of the turn. */
    CONNECTION_STATE_COUNT,
};

/* Reasons why its input is not read at the moment. */
enum connection_pause {
    PAUSE_COMMIT = 1, /* A reply waits for a commit; what follows waits for the reply. */
    PAUSE_OUTPUT = 2, /* It does not read what we write. */
    PAUSE_ALARM = 4,  /* It publishes, and memory or the disk is short. */
    PAUSE_STORE = 8,  /* It publishes faster than the store commits. */
    PAUSE_GET = 16,   /* Its basic.get waits for a message to come back into memory. */
    PAUSE_LOGIN = 32, /* Its password is being looked at. */
    PAUSE_TURN = 64,  /* It has had its share of the worker's turn. */
};

#define CONNECTION_PEER_SIZE 64

struct tls_profile;
struct transport;

/* Deliveries are encoded until so many octets wait in the output; the rest stays in the outbox. */
#define OUTPUT_ENOUGH (256u * 1024u)

struct access_cache;
struct account;
struct grant;
struct login;

struct connection {
    struct loop_source source;   /* First: the loop hands it back. */
    struct transport *transport; /* Of TLS; NULL if it is plain. */
    struct worker *worker;
    struct vhost *vhost; /* From open on. */
    uint64_t id;
    uint64_t created_ms;
    enum connection_state state;
    unsigned pauses;  /* Set of connection_pause. */
    uint64_t turn_ms; /* When the turn began in which PAUSE_TURN came. */
    uint32_t watched; /* The epoll events we asked for. */

    struct list in_worker;
    struct list in_dirty;
    struct list in_stalled;
    struct list in_blocked;

    /* Input. */
    struct buf partial;           /* Octets that came and could not be handled yet. */
    struct channel *body_channel; /* Of the body frame we are in the middle of. */
    uint32_t body_left;           /* Octets of it still to come, without the end octet. */
    bool body_end_due;            /* The end octet of it is to come. */
    bool received;                /* Something came since the last look. */
    uint8_t silent_intervals;
    uint8_t half_interval; /* Timer ticks are half intervals. */

    /* Output. */
    struct output output;
    struct outbox outbox;
    bool deliveries_wait; /* For the output to be written. */
    bool sent;            /* Something was written since the last look. */

    /* Negotiated. */
    uint32_t frame_max;
    uint16_t channel_max;
    uint16_t heartbeat_s;
    struct timer timer; /* Its meaning depends on the state. */

    struct map channels;          /* Of struct channel, by number. */
    struct channel *last_channel; /* The one used last, to save look-ups. */
    struct channel *borrower;     /* Its publish has names in the read buffer. */
    struct list exclusive_queues;

    uint64_t stall_ticket; /* PAUSE_COMMIT ends with this round. */
    struct buf stalled_reply;
    struct pending_get *pending_get; /* Of PAUSE_GET; NULL if there is none. */

    const char *mechanism; /* That it logs in by; NULL before. */
    bool login_refused;    /* Which it will be told. */
    bool can_cancel_notify;
    bool can_blocked;
    bool can_close_on_auth_failure;
    bool blocked_notified;
    char peer[CONNECTION_PEER_SIZE];
    struct bytes user;
    struct login *login;     /* Under way, or NULL. */
    struct account *account; /* Of the user, once logged in. A reference. */
    struct grant *grant;     /* In the vhost, as of an epoch. A reference. */
    uint64_t grant_epoch;
    struct access_cache *access; /* Answers that the grant gave; NULL: none yet. */
    bool counts_for_user;        /* Among the open connections of user and vhost. */
    struct bytes name;           /* The client's own, for people. */
};

/* Takes over the socket, which speaks TLS unless `tls` is NULL. NULL if the loop cannot watch it;
 * the socket is closed then. */
struct connection *connection_create(struct worker *w, int fd, struct tls_profile *tls,
                                     const char *peer);

/* The only writer of the state. */
void connection_move(struct connection *c, enum connection_state next);
const char *connection_state_name(enum connection_state state);

/* Sends connection.close for the exception and waits for the answer. */
void connection_raise(struct connection *c, const struct amqp_exception *ex);

/* Ends it at once: unacked messages return, exclusive queues go, the socket closes. `why` is for
 * the log; NULL says that nothing is wrong. */
void connection_drop(struct connection *c, const char *why);

/* Everything is said: the rest of the output is written, then it hangs up. */
void connection_linger(struct connection *c);

/* Channels, consumers and exclusive queues go; messages return to their queues. */
void connection_release(struct connection *c);

/* connection_drop's second half, at the end of the turn. */
void connection_destroy(struct connection *c);

/* Encodes what the outbox holds, as far as the socket keeps up and its share of the turn goes. */
void connection_deliver(struct connection *c);

/* Output has been added: it is written at the end of the turn. */
void connection_touch(struct connection *c);

/* Writes; called for dirty connections at the end of the turn. */
void connection_flush(struct connection *c);

void connection_pause(struct connection *c, enum connection_pause reason);
void connection_resume(struct connection *c, enum connection_pause reason);

/* connection_io.c: consumes what it can of the octets and returns how much. */
size_t connection_feed(struct connection *c, const uint8_t *data, size_t size);

/* Sends a method on a channel (0 for the connection's own). */
void connection_send(struct connection *c, uint16_t channel, const union amqp_method *m);

/* A method without fields. */
void connection_send_empty(struct connection *c, uint16_t channel, uint32_t method_id);

/* The same once `ticket` is committed; the input stands still until then, so order is kept. */
void connection_send_after(struct connection *c, uint16_t channel, uint64_t ticket,
                           const union amqp_method *m);

/* The round it waited for may be committed. */
void connection_unstall(struct connection *c, uint64_t committed);

/* It is publishing: if an alarm is on or the store behind, its input pauses, and it is told if it
 * wants to know. Consumers and their acks go on. */
void connection_check_pressure(struct connection *c);
void connection_unblock(struct connection *c);

/* Handlers of class connection, and what belongs to the handshake. */
bool connection_dispatch(struct connection *c, uint32_t method_id, struct bytes arguments,
                         struct amqp_exception *ex);
/* The exception for a method whose arguments do not decode. Always false. */
bool connection_raise_wire(uint32_t method_id, enum wire_error error, struct bytes arguments,
                           struct amqp_exception *ex);
void connection_start_handshake(struct connection *c);
void connection_start_timer(struct connection *c, uint64_t after_ms);
void connection_timer_fire(struct timer *timer);

/* What it counts as open in its user and its virtual host goes. */
void connection_log_out(struct connection *c);

/* The timer while it logs in: the handshake takes too long, or it is told that it is refused. */
void connection_login_timeout(struct connection *c);

struct channel *connection_find_channel(struct connection *c, uint16_t number);

#endif
