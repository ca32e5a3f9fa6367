/* Logging in: what is offered to a client, who it is, whether that is true, and its place among the
 * open connections of its user and its virtual host. */

#include "broker/session/connection_login.h"

#include "amqp/sasl.h"
#include "amqp/table.h"
#include "broker/auth/logins.h"
#include "broker/base/log.h"
#include "broker/session/access.h"
#include "broker/session/channel.h"
#include "broker/session/peer.h"
#include "certs/transport.h"

#include <stdio.h>

#define CONDEMNED_MS 3000
/* Whoever guesses waits as long for each. */
#define REFUSAL_MS 250
#define IDENTITY_SIZE 256

/* How a client may say who it is. */
enum mechanism {
    MECHANISM_PLAIN,
    MECHANISM_AMQPLAIN,
    MECHANISM_EXTERNAL,  /* The certificate says it. */
    MECHANISM_ANONYMOUS, /* It does not. */
    MECHANISM_COUNT,
};

static const char *const mechanism_names[] = { "PLAIN", "AMQPLAIN", "EXTERNAL", "ANONYMOUS" };

static bool
is_offered(const struct connection *c, enum mechanism mechanism)
{
    char identity[IDENTITY_SIZE];
    switch (mechanism) {
    case MECHANISM_EXTERNAL:
        return c->transport != NULL &&
               transport_peer_identity(c->transport, identity, sizeof(identity));
    case MECHANISM_ANONYMOUS:
        return c->worker->broker->config->server.anonymous_user[0] != 0;
    case MECHANISM_PLAIN:
    case MECHANISM_AMQPLAIN:
    case MECHANISM_COUNT:
        return true;
    }
    UNREACHABLE();
}

/* Names of what is offered to this connection, with blanks between them. */
void
connection_mechanisms(const struct connection *c, struct buf *out)
{
    for (unsigned i = 0; i < MECHANISM_COUNT; i++)
        if (is_offered(c, (enum mechanism)i))
            buf_printf(out, "%s%s", out->size == 0 ? "" : " ", mechanism_names[i]);
}

static bool
mechanism_find(const struct connection *c, struct bytes name, enum mechanism *out)
{
    for (unsigned i = 0; i < MECHANISM_COUNT; i++) {
        if (!bytes_equal(name, bytes_of_string(mechanism_names[i])))
            continue;
        *out = (enum mechanism)i;
        return is_offered(c, *out);
    }
    return false;
}

static void
learn_client(struct connection *c, struct bytes properties)
{
    struct table_field f;
    if (table_find(properties, BYTES_LITERAL("connection_name"), &f) && f.tag == 'S')
        c->name = bytes_copy(f.value.size > 255 ? bytes_of(f.value.data, 255) : f.value);
    if (!table_find(properties, BYTES_LITERAL("capabilities"), &f) || f.tag != 'F')
        return;
    const struct bytes capabilities = f.value;
    const struct {
        struct bytes name;
        bool *known;
    } rows[] = {
        { BYTES_LITERAL("consumer_cancel_notify"), &c->can_cancel_notify },
        { BYTES_LITERAL("connection.blocked"), &c->can_blocked },
        { BYTES_LITERAL("authentication_failure_close"), &c->can_close_on_auth_failure },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (table_find(capabilities, rows[i].name, &f))
            table_field_bool(&f, rows[i].known);
}

/* 403 for those who can hear it; nothing, and then the end, for the others. */
static void
refuse(struct connection *c)
{
    struct amqp_exception ex = { 0 };
    if (!c->can_close_on_auth_failure) {
        connection_move(c, CONNECTION_CONDEMNED);
        connection_start_timer(c, CONDEMNED_MS);
        return;
    }
    amqp_raise(&ex, AMQP_ACCESS_REFUSED,
               "Login was refused using authentication mechanism %s. For details see the broker "
               "logfile.",
               c->mechanism);
    connection_raise(c, &ex);
}

/* The input stands still until then. */
static void
refuse_later(struct connection *c)
{
    if (c->state != CONNECTION_LOGGING_IN)
        connection_move(c, CONNECTION_LOGGING_IN);
    c->login_refused = true;
    connection_pause(c, PAUSE_LOGIN);
    connection_start_timer(c, REFUSAL_MS);
}

static void
count_refusal(const struct connection *c, const char *why)
{
    char user[64];
    struct broker_counters *counters = &c->worker->broker->counters;
    atomic_fetch_add_explicit(&counters->handshakes_failed, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&counters->logins_refused, 1, memory_order_relaxed);
    log_warning("connection.login_refused", "conn=%llu peer=%s user=\"%s\" mechanism=%s msg=\"%s\"",
                (unsigned long long)c->id, c->peer, log_quote(c->user, user, sizeof(user)),
                c->mechanism, why);
}

void
connection_login_timeout(struct connection *c)
{
    if (!c->login_refused) {
        connection_drop(c, "handshake timeout");
        return;
    }
    refuse(c);
    connection_resume(c, PAUSE_LOGIN);
}

static void
login_failed(struct connection *c, const char *why)
{
    count_refusal(c, why);
    if (c->can_close_on_auth_failure)
        refuse_later(c);
    else
        refuse(c); /* Which takes its time. */
}

/* It has shown who it is. */
static void
login_succeeded(struct connection *c)
{
    char network[LOGIN_ADDRESS_SIZE];
    const struct broker *b = c->worker->broker;
    struct account *account = auth_find_account(b->auth, c->user);
    if (account == NULL) {
        login_failed(c, "there is no such user");
        return;
    }
    if (atomic_load(&account->loopback_only) && !peer_is_loopback(c->peer)) {
        peer_network(c->peer, network, sizeof(network));
        logins_note_failure(b->logins, network);
        account_unref(account);
        login_failed(c, "this user can only connect via localhost");
        return;
    }
    c->account = account;
    connection_tune(c);
}

static void
take_answer(struct connection *c, enum login_answer answer)
{
    switch (answer) {
    case LOGIN_RIGHT:
        login_succeeded(c);
        return;
    case LOGIN_WRONG:
        login_failed(c, "user and password do not fit");
        return;
    case LOGIN_LATER:
        connection_move(c, CONNECTION_LOGGING_IN);
        connection_pause(c, PAUSE_LOGIN);
        return;
    case LOGIN_BUSY:
        connection_drop(c, "too many logins wait to be looked at, or the broker stops");
        return;
    }
}

static void
login_delivered(struct mail *mail)
{
    struct login *login = LIST_CONTAINER(mail, struct login, mail);
    struct worker *w = LIST_CONTAINER(login->loop, struct worker, loop);
    struct connection *c = login->owner;
    const enum login_answer answer = login->answer;
    login_destroy(login);
    w->logins_under_way--;
    if (c == NULL)
        return; /* It did not wait. */
    c->login = NULL;
    take_answer(c, answer);
    if (!c->login_refused)
        connection_resume(c, PAUSE_LOGIN);
}

static void
log_in(struct connection *c, const struct sasl_login *sasl)
{
    char network[LOGIN_ADDRESS_SIZE];
    peer_network(c->peer, network, sizeof(network));
    const struct login_request request = {
        .user = sasl->user,
        .password = sasl->password,
        .address = network,
        .loop = &c->worker->loop,
        .deliver = login_delivered,
        .owner = c,
    };
    const enum login_answer answer = logins_check(c->worker->broker->logins, &request, &c->login);
    if (answer == LOGIN_LATER)
        c->worker->logins_under_way++;
    take_answer(c, answer);
}

static bool
raise_unknown_mechanism(const struct connection *c, struct bytes name, struct amqp_exception *ex)
{
    struct buf offered = { 0 };
    connection_mechanisms(c, &offered);
    amqp_raise(ex, AMQP_COMMAND_INVALID,
               "authentication mechanism '%.*s' is not supported; use one of: %.*s",
               BYTES_ARGS(name), BYTES_ARGS(buf_bytes(&offered)));
    buf_fini(&offered);
    return false;
}

/* Somebody who need not prove what is known already. */
static bool
log_in_without_password(struct connection *c, const char *user)
{
    c->user = bytes_copy(bytes_of_string(user));
    login_succeeded(c);
    return true;
}

bool
on_connection_start_ok(struct connection *c, const struct amqp_connection_start_ok *m,
                       struct amqp_exception *ex)
{
    char identity[IDENTITY_SIZE];
    struct sasl_login login = { BYTES_NONE, BYTES_NONE };
    enum mechanism mechanism;
    learn_client(c, m->client_properties);
    if (!mechanism_find(c, m->mechanism, &mechanism))
        return raise_unknown_mechanism(c, m->mechanism, ex);
    c->mechanism = mechanism_names[mechanism];
    if (mechanism == MECHANISM_ANONYMOUS)
        return log_in_without_password(c, c->worker->broker->config->server.anonymous_user);
    if (mechanism == MECHANISM_EXTERNAL) {
        transport_peer_identity(c->transport, identity, sizeof(identity));
        return log_in_without_password(c, identity);
    }
    if (!(mechanism == MECHANISM_AMQPLAIN ? sasl_amqplain_parse(m->response, &login)
                                          : sasl_plain_parse(m->response, &login)))
        return amqp_raise(ex, AMQP_SYNTAX_ERROR, "malformed response to mechanism %s",
                          c->mechanism);
    c->user = bytes_copy(login.user);
    log_in(c, &login);
    return true;
}

bool
connection_take_place(struct connection *c, struct amqp_exception *ex)
{
    struct vhost *v = c->vhost;
    struct account *a = c->account;
    if (!limit_take(&v->connections, &v->max_connections))
        return amqp_raise(ex, AMQP_NOT_ALLOWED,
                          "access to vhost '%.*s' refused for user '%.*s': connection limit (%lld) "
                          "is reached",
                          BYTES_ARGS(v->name), BYTES_ARGS(c->user),
                          (long long)atomic_load(&v->max_connections));
    if (!limit_take(&a->connections, &a->max_connections)) {
        atomic_fetch_sub(&v->connections, 1);
        return amqp_raise(ex, AMQP_NOT_ALLOWED,
                          "connection refused for user '%.*s': user connection limit (%lld) is "
                          "reached",
                          BYTES_ARGS(c->user), (long long)atomic_load(&a->max_connections));
    }
    c->counts_for_user = true;
    return true;
}

void
connection_log_out(struct connection *c)
{
    if (c->counts_for_user) {
        atomic_fetch_sub(&c->vhost->connections, 1);
        atomic_fetch_sub(&c->account->connections, 1);
    }
    c->counts_for_user = false;
    if (c->login != NULL)
        login_abandon(c->login); /* The worker frees it when the answer comes. */
    c->login = NULL;
}
