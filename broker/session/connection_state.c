/* The states of a connection and their legal moves. */

#include "broker/base/log.h"
#include "broker/session/connection.h"

#define TO(state) (1u << CONNECTION_##state)
#define TO_AN_END (TO(CLOSING) | TO(CONDEMNED) | TO(LINGERING) | TO(CLOSED))

static const struct state_row {
    const char *name;
    unsigned next;
} states[CONNECTION_STATE_COUNT] = {
    [CONNECTION_AWAITING_HEADER] = { "awaiting-header", TO(STARTING) | TO(SECURING) | TO_AN_END },
    [CONNECTION_SECURING] = { "tls-handshake", TO(AWAITING_HEADER) | TO_AN_END },
    [CONNECTION_STARTING] = { "starting", TO(LOGGING_IN) | TO(TUNING) | TO_AN_END },
    [CONNECTION_LOGGING_IN] = { "logging-in", TO(TUNING) | TO_AN_END },
    [CONNECTION_TUNING] = { "tuning", TO(OPENING) | TO_AN_END },
    [CONNECTION_OPENING] = { "opening", TO(RUNNING) | TO_AN_END },
    [CONNECTION_RUNNING] = { "running", TO_AN_END },
    [CONNECTION_CLOSING] = { "closing", TO(LINGERING) | TO(CLOSED) },
    [CONNECTION_CONDEMNED] = { "condemned", TO(CLOSED) },
    [CONNECTION_LINGERING] = { "lingering", TO(CLOSED) },
    [CONNECTION_CLOSED] = { "closed", 0 },
};

const char *
connection_state_name(enum connection_state state)
{
    return states[state].name;
}

void
connection_move(struct connection *c, enum connection_state next)
{
    ASSERT(states[c->state].next & (1u << next));
    log_debug("connection.state", "conn=%llu from=%s to=%s", (unsigned long long)c->id,
              states[c->state].name, states[next].name);
    c->state = next;
}
