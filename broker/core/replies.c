#include "broker/core/replies.h"

#include "broker/base/mem.h"
#include "broker/base/rand.h"

/* A requester's worker takes what has come every turn; more than this waits for nobody. */
#define REPLIES_WAITING_MAX 4096

void
replies_init(struct replies *r)
{
    lock_init(&r->lock);
    r->consumers = (struct map){ 0 };
}

void
replies_fini(struct replies *r)
{
    ASSERT(r->consumers.count == 0);
    lock_fini(&r->lock);
}

static bool
token_matches(const struct map_node *node, const void *key)
{
    const struct reply_consumer *c =
        (const struct reply_consumer *)((const char *)node -
                                        offsetof(struct reply_consumer, by_token));
    return bytes_equal(bytes_of(c->token, REPLY_TOKEN_SIZE), *(const struct bytes *)key);
}

static struct reply_consumer *
consumer_find(struct replies *r, struct bytes token) REQUIRES(r->lock)
{
    struct map_node *node = map_find(&r->consumers, bytes_hash(token), token_matches, &token);
    return node == NULL ? NULL : MAP_CONTAINER(node, struct reply_consumer, by_token);
}

void
replies_register(struct replies *r, struct reply_consumer *c, struct loop *loop,
                 void (*deliver)(struct mail *mail))
{
    rand_name(c->token);
    c->loop = loop;
    c->messages = NULL;
    c->message_count = 0;
    c->message_capacity = 0;
    mail_init(&c->mail, deliver);
    lock_acquire(&r->lock);
    map_insert(&r->consumers, &c->by_token, bytes_hash(bytes_of(c->token, REPLY_TOKEN_SIZE)));
    lock_release(&r->lock);
}

void
replies_unregister(struct replies *r, struct reply_consumer *c)
{
    lock_acquire(&r->lock);
    map_remove(&r->consumers, &c->by_token);
    lock_release(&r->lock);
    loop_unpost(c->loop, &c->mail);
    for (size_t i = 0; i < c->message_count; i++)
        message_unref(c->messages[i]);
    mem_free(c->messages);
}

bool
replies_parse(struct bytes address, struct bytes *token)
{
    const struct bytes prefix = BYTES_LITERAL(REPLIES_PREFIX);
    if (!bytes_start_with(address, prefix))
        return false;
    *token = bytes_of(address.data + prefix.size, address.size - prefix.size);
    return true;
}

bool
replies_exist(struct replies *r, struct bytes token)
{
    lock_acquire(&r->lock);
    const bool found = consumer_find(r, token) != NULL;
    lock_release(&r->lock);
    return found;
}

bool
replies_send(struct replies *r, struct bytes token, struct message *m)
{
    lock_acquire(&r->lock);
    struct reply_consumer *c = consumer_find(r, token);
    const bool has_room = c != NULL && c->message_count < REPLIES_WAITING_MAX;
    if (has_room) {
        if (c->message_count == c->message_capacity) {
            c->message_capacity = c->message_capacity == 0 ? 4 : c->message_capacity * 2;
            c->messages = mem_resize(c->messages, c->message_capacity * sizeof(struct message *));
        }
        message_ref(m);
        c->messages[c->message_count++] = m;
        loop_post(c->loop, &c->mail);
    }
    lock_release(&r->lock);
    return c != NULL;
}

struct message **
replies_take(struct replies *r, struct reply_consumer *c, size_t *count)
{
    lock_acquire(&r->lock);
    struct message **messages = c->messages;
    *count = c->message_count;
    c->messages = NULL;
    c->message_count = 0;
    c->message_capacity = 0;
    lock_release(&r->lock);
    return messages;
}
