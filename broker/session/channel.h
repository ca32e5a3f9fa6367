#ifndef BROKER_SESSION_CHANNEL_H
#define BROKER_SESSION_CHANNEL_H

/*
 * A channel: one conversation inside a connection, with its own delivery tags, consumers, prefetch,
 * confirm or transaction mode and content assembly. Owner: its connection; worker's thread.
 */

#include "amqp/content.h"
#include "broker/core/consumer.h"
#include "broker/core/replies.h"
#include "broker/session/confirms.h"
#include "broker/session/connection.h"
#include "broker/session/tx.h"
#include "broker/session/unacked.h"

enum channel_state {
    CHANNEL_OPEN,
    CHANNEL_CLOSING, /* We sent channel.close: all but its answer is ignored. */
};

enum channel_mode {
    CHANNEL_PLAIN,
    CHANNEL_CONFIRM,
    CHANNEL_TX,
};

/* The basic.publish whose content is coming in. */
struct publish {
    struct bytes exchange; /* In the read buffer, or in `names`. */
    struct bytes key;
    uint8_t *names; /* Owned copies of the two, if the header did not come with the method. */
    bool mandatory;
    bool immediate;
    struct message *message; /* NULL while there is no header, and if the content is dropped. */
};

/* Deliveries of a channel by tag: what has been seen to so that messages may leave memory. */
struct shed_state {
    uint64_t done;   /* Up to this one they have let go, if they can. */
    uint64_t safe;   /* Up to this one their records are committed, */
    uint64_t next;   /* and up to this one once `ticket` is. */
    uint64_t ticket; /* 0: of nothing yet. */
    uint64_t octets; /* Delivered since `next`, while memory was short. */
};

struct channel {
    struct map_node by_number;
    struct connection *connection;
    uint16_t number;
    bool is_open; /* channel.open was answered. */
    enum channel_state state;
    enum channel_mode mode;

    struct content content;
    struct publish publish;
    uint64_t body_at; /* Octets of the body that are in the message. */

    uint64_t delivery_tag; /* The last one given. */
    struct unacked unacked;
    struct shed_state shed;
    struct list consumers;       /* In the order in which they came. */
    struct map consumers_by_tag; /* The same. */
    uint32_t prefetch;           /* For consumers to come; 0: unlimited. */
    struct shared_credit shared;
    bool shares_credit;

    uint64_t publish_number; /* The last one, in confirm mode. */
    struct confirms confirms;
    struct list in_confirming;
    struct tx *tx;
    bool partial_commit; /* A queue rejected a message of the transaction being committed. */

    struct bytes last_queue;      /* Name declared last; owned. */
    struct reply_consumer *reply; /* Direct reply-to; NULL without. */
    struct bytes reply_tag;
};

struct channel *channel_create(struct connection *c, uint16_t number);

/* Cancels consumers, returns unacked messages in order, drops transactions and unsent confirms.
 * The channel stays, for the closing handshake. */
void channel_release(struct channel *ch);

/* Releases, unlinks and frees. */
void channel_destroy(struct channel *ch);

/* Sends channel.close and goes quiet. */
void channel_raise(struct channel *ch, const struct amqp_exception *ex);

/* Closes the channel with 406 if its oldest delivery has waited too long for its acknowledgement.
 */
void channel_check_timeout(struct channel *ch, uint64_t now_ms, uint64_t timeout_ms);

/* A method frame for an existing channel. */
bool channel_dispatch(struct channel *ch, uint32_t method_id, struct bytes arguments,
                      struct amqp_exception *ex);

/* Content frames. `payload` of a header; `size` octets of body are announced first, then come in
 * pieces. All return false with a connection exception. */
bool channel_accept_header(struct channel *ch, struct bytes payload, struct amqp_exception *ex);
bool channel_begin_body(struct channel *ch, uint64_t size, struct amqp_exception *ex);
void channel_add_body(struct channel *ch, const uint8_t *data, size_t size);
/* A body frame is over; if it was the last, the message is published. */
bool channel_end_body(struct channel *ch, struct amqp_exception *ex);

/* Where the next octets of the body go, and how many of them are due; NULL if they are dropped. */
uint8_t *channel_body_space(struct channel *ch, size_t *space);
void channel_body_received(struct channel *ch, size_t size);

/* The read buffer is about to be used again: names that lie in it are copied. */
void channel_own_names(struct channel *ch);

/* A publish of the batch has been applied. */
void channel_publish_done(struct channel *ch, uint64_t number, uint64_t ticket, bool rejected);

/* Answers publishes whose rounds are committed. */
void channel_confirm(struct channel *ch, uint64_t committed);

/* Routes a message of a transaction that is being committed, and puts it into the batch; takes over
 * the reference. `mandatory` messages that reach no queue are returned. */
bool channel_route(struct channel *ch, struct message *m, bool mandatory,
                   struct amqp_exception *ex);

/* The whole message came in: checks, rewriting, and on to the mode's way. */
bool channel_publish(struct channel *ch, struct message *m, struct amqp_exception *ex);

/* Sends content: the method is encoded, then header and body follow, with a header more unless
 * `added` is NULL. */
void channel_send_content(struct channel *ch, const union amqp_method *m, struct message *message,
                          const struct added_header *added);

/* One delivery to a consumer of this channel. */
void channel_deliver(struct channel *ch, struct consumer *consumer, const struct entry *e);

/* Deliveries whose records are committed let go of their messages while memory is short: of the
 * oldest, as much as is too much, and no more than `items_max`. Returns how many were looked at. */
size_t channel_shed(struct channel *ch, size_t items_max);

/* A delivery has become unacked. */
void channel_add_unacked(struct channel *ch, const struct unacked_item *item);

/* The same for one that is about to go back to its queue. */
void channel_shed_item(const struct channel *ch, struct unacked_item *item);

/* Settles one item: its batch goes to the queue. */
void channel_settle(struct channel *ch, const struct unacked_item *item);

/* A delivery is over, one way or another; takes over what the item owns. */
void channel_end_delivery(struct channel *ch, struct unacked_item *item, enum tx_fate fate);

/* Shared credit came back: consumers that wait for it are tried. */
void channel_retry_consumers(struct channel *ch);

/* Ends the consumer: deliveries not yet encoded return to the queue, unacked ones stay. */
void channel_remove_consumer(struct channel *ch, struct consumer *consumer);

/* Ends the direct reply-to consumer, if there is one. */
void channel_drop_replies(struct channel *ch);

/* Unacked deliveries go back to their places, marked as redelivered: one that was taken from the
 * list, or all up to a tag. */
void channel_requeue(struct channel *ch, struct unacked_item *item);
void channel_requeue_up_to(struct channel *ch, uint64_t up_to);

/* A method with all its fields zero but those named. */
#define CHANNEL_SEND(ch, symbol, ...)                                                              \
    connection_send(                                                                               \
        (ch)->connection, (ch)->number,                                                            \
        &(const union amqp_method){ .symbol = { .id = AMQP_ID_##symbol, __VA_ARGS__ } })
#define CHANNEL_SEND_AFTER(ch, ticket, symbol, ...)                                                \
    connection_send_after(                                                                         \
        (ch)->connection, (ch)->number, ticket,                                                    \
        &(const union amqp_method){ .symbol = { .id = AMQP_ID_##symbol, __VA_ARGS__ } })

/* Handlers: on_queue_declare(channel, method, exception) and so on. */
#define METHOD_BEGIN(symbol, class_id, method_id, name, sender, content, state)                    \
    HANDLER_##state(symbol)
#define HANDLER_CHANNEL(symbol)                                                                    \
    bool on_##symbol(struct channel *ch, const struct amqp_##symbol *m, struct amqp_exception *ex);
#define HANDLER_CONNECTION(symbol)                                                                 \
    bool on_##symbol(struct connection *c, const struct amqp_##symbol *m,                          \
                     struct amqp_exception *ex);
#define HANDLER_NEVER(symbol)
#define HANDLER_STARTING HANDLER_CONNECTION
#define HANDLER_SECURING HANDLER_NEVER
#define HANDLER_TUNING HANDLER_CONNECTION
#define HANDLER_OPENING HANDLER_CONNECTION
#define HANDLER_RUNNING HANDLER_CONNECTION
#define HANDLER_ALWAYS HANDLER_CONNECTION
#include "amqp/methods.def"
#undef HANDLER_CHANNEL
#undef HANDLER_CONNECTION
#undef HANDLER_NEVER
#undef HANDLER_STARTING
#undef HANDLER_SECURING
#undef HANDLER_TUNING
#undef HANDLER_OPENING
#undef HANDLER_RUNNING
#undef HANDLER_ALWAYS

#endif
