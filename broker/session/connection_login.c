/* Logging in: what is offered to a client, who it is, whether that is true, and its place among the
 * open connections of its user and its virtual host. */

#include "broker/session/connection_login.h"

#include "amqp/sasl.h"
#include "amqp/table.h"
#include "broker/auth/logins.h"
#include "broker/base/log.h"
#include "broker/session/access.h"
#include "broker/session/channel.h"
#include "certs/transport.h"

#include <stdio.h>

#define CONDEMNED_MS 3000
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

void
connection_refuse_login(struct connection *c, struct bytes mechanism)
{
    char user[64];
    atomic_fetch_add_explicit(&c->worker->broker->counters.handshakes_failed, 1,
                              memory_order_relaxed);
    log_warning("connection.login_refused",
                "conn=%llu peer=%s user=\"%s\" mechanism=%.*s msg=\"login refused\"",
                (unsigned long long)c->id, c->peer, log_quote(c->user, user, sizeof(user)),
                BYTES_ARGS(mechanism));
    if (!c->can_close_on_auth_failure) {
        connection_move(c, CONNECTION_CONDEMNED);
        connection_start_timer(c, CONDEMNED_MS);
        return;
    }
    struct amqp_exception ex = { 0 };
    amqp_raise(&ex, AMQP_ACCESS_REFUSED,
               "Login was refused using authentication mechanism %.*s. For details see the broker "
               "logfile.",
               BYTES_ARGS(mechanism));
    connection_raise(c, &ex);
}

static bool
is_loopback(const struct connection *c)
{
    return strncmp(c->peer, "127.", 4) == 0 || strncmp(c->peer, "[::1]", 5) == 0 ||
           strncmp(c->peer, "[::ffff:127.", 12) == 0 || strncmp(c->peer, "unix", 4) == 0;
}

/* Without the port. */
static void
peer_address(const struct connection *c, char out[CONNECTION_PEER_SIZE])
{
    snprintf(out, CONNECTION_PEER_SIZE, "%s", c->peer);
    char *colon = strrchr(out, ':');
    if (colon != NULL)
        *colon = 0;
}

static void
login_done(struct connection *c, bool is_right, struct bytes mechanism)
{
    struct broker *b = c->worker->broker;
    char address[CONNECTION_PEER_SIZE];
    char user[128];
    c->account = is_right ? auth_find_account(b->auth, c->user) : NULL;
    if (c->account != NULL && atomic_load(&c->account->loopback_only) && !is_loopback(c)) {
        peer_address(c, address);
        logins_note_failure(b->logins, address);
        log_warning("connection.login_refused",
                    "conn=%llu peer=%s user=\"%s\" msg=\"the user can only connect via "
                    "localhost\"",
                    (unsigned long long)c->id, c->peer, log_quote(c->user, user, sizeof(user)));
        account_unref(c->account);
        c->account = NULL;
    }
    if (c->account == NULL) {
        connection_refuse_login(c, mechanism);
        return;
    }
    connection_tune(c);
}

/* The mechanism is known by whether its name fits: only these two ask for passwords. */
static struct bytes
mechanism_of(const struct connection *c)
{
    return c->uses_amqplain ? BYTES_LITERAL("AMQPLAIN") : BYTES_LITERAL("PLAIN");
}

static void
login_delivered(struct mail *mail)
{
    struct login *login = LIST_CONTAINER(mail, struct login, mail);
    struct worker *w = LIST_CONTAINER(login->loop, struct worker, loop);
    struct connection *c = login->owner;
    const bool is_right = login->is_right;
    login_destroy(login);
    w->logins_under_way--;
    if (c == NULL)
        return; /* It did not wait. */
    c->login = NULL;
    login_done(c, is_right, mechanism_of(c));
    connection_resume(c, PAUSE_LOGIN);
}

static void
log_in(struct connection *c, const struct sasl_login *sasl, struct bytes mechanism)
{
    char address[CONNECTION_PEER_SIZE];
    peer_address(c, address);
    const struct login_request request = {
        .user = sasl->user,
        .password = sasl->password,
        .address = address,
        .loop = &c->worker->loop,
        .deliver = login_delivered,
        .owner = c,
    };
    switch (logins_check(c->worker->broker->logins, &request, &c->login)) {
    case LOGIN_RIGHT:
        login_done(c, true, mechanism);
        return;
    case LOGIN_WRONG:
        login_done(c, false, mechanism);
        return;
    case LOGIN_LATER:
        c->worker->logins_under_way++;
        connection_move(c, CONNECTION_LOGGING_IN);
        connection_pause(c, PAUSE_LOGIN);
        return;
    case LOGIN_BUSY:
        connection_drop(c, "too many logins wait to be looked at; try again later");
        return;
    }
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
static void
log_in_without_password(struct connection *c, const char *user, struct bytes mechanism)
{
    c->user = bytes_copy(bytes_of_string(user));
    login_done(c, true, mechanism);
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
    if (mechanism == MECHANISM_EXTERNAL) {
        transport_peer_identity(c->transport, identity, sizeof(identity));
        log_in_without_password(c, identity, m->mechanism);
        return true;
    }
    if (mechanism == MECHANISM_ANONYMOUS) {
        log_in_without_password(c, c->worker->broker->config->server.anonymous_user, m->mechanism);
        return true;
    }
    c->uses_amqplain = mechanism == MECHANISM_AMQPLAIN;
    if (!(c->uses_amqplain ? sasl_amqplain_parse(m->response, &login)
                           : sasl_plain_parse(m->response, &login)))
        return amqp_raise(ex, AMQP_SYNTAX_ERROR, "malformed response to mechanism %.*s",
                          BYTES_ARGS(m->mechanism));
    c->user = bytes_copy(login.user);
    log_in(c, &login, m->mechanism);
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
    if (c->login != NULL) { /* The worker frees it when the answer comes. */
        c->login->owner = NULL;
        atomic_store(&c->login->is_abandoned, true);
    }
    c->login = NULL;
}
