/* A connection's octets where they are encrypted on the way. */

#include "broker/session/connection_tls.h"

#include "broker/base/log.h"
#include "broker/session/connection.h"
#include "certs/transport.h"

/* Each may cost a signature; what is beyond has its turn in the next pass of the loop. */
#define HANDSHAKES_A_TURN 8

void
connection_begin_tls(struct connection *c, struct tls_profile *tls)
{
    c->transport = transport_create(tls, c->source.fd, &c->worker->tls_scratch);
    connection_move(c, CONNECTION_SECURING);
}

static void
log_established(const struct connection *c)
{
    char identity[TRANSPORT_IDENTITY_SIZE];
    char quoted[TRANSPORT_IDENTITY_SIZE];
    const bool is_known = transport_peer_identity(c->transport, identity, sizeof(identity));
    log_debug("tls.handshake", "conn=%llu peer=%s version=%s cipher=%s identity=\"%s\"",
              (unsigned long long)c->id, c->peer, transport_version(c->transport),
              transport_cipher(c->transport),
              log_quote(bytes_of_string(is_known ? identity : ""), quoted, sizeof(quoted)));
}

bool
connection_shake_hands(struct connection *c)
{
    if (c->worker->tls_handshakes >= HANDSHAKES_A_TURN)
        return false;
    c->worker->tls_handshakes++;
    struct broker_counters *counters = &c->worker->broker->counters;
    switch (transport_handshake(c->transport)) {
    case TRANSPORT_WAITS:
        return false;
    case TRANSPORT_DONE:
        atomic_fetch_add_explicit(&counters->tls_handshakes, 1, memory_order_relaxed);
        if (log_enabled(LOG_LEVEL_DEBUG))
            log_established(c);
        connection_move(c, CONNECTION_AWAITING_HEADER);
        return true;
    case TRANSPORT_FAILED:
        break;
    }
    if (!transport_has_heard(c->transport)) {
        connection_drop(c, NULL);
        return false;
    }
    atomic_fetch_add_explicit(&counters->tls_handshakes_failed, 1, memory_order_relaxed);
    connection_drop(c, transport_problem(c->transport));
    return false;
}

static ssize_t
write_encrypted(void *context, const struct iovec *vectors, int count)
{
    return transport_write(context, vectors, count);
}

enum output_result
connection_write_tls(struct connection *c)
{
    const enum output_result result =
        output_write_through(&c->output, write_encrypted, c->transport);
    if (result != OUTPUT_DONE)
        return result;
    switch (transport_flush(c->transport)) {
    case TRANSPORT_DONE:
        return OUTPUT_DONE;
    case TRANSPORT_WAITS:
        return OUTPUT_FULL;
    case TRANSPORT_FAILED:
        break;
    }
    return OUTPUT_FAILED;
}
