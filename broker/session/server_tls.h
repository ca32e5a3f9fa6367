#ifndef BROKER_SESSION_SERVER_TLS_H
#define BROKER_SESSION_SERVER_TLS_H

/*
 * The server's TLS profiles: one for each item of the configuration's section tls. Made before the
 * listeners are opened; after that on the main thread only.
 */

#include "certs/tls_profile.h"

struct config;
struct server;

/* What config->tls[index] says, with its further certificates behind the first. Its strings are the
 * configuration's. */
struct tls_settings server_tls_settings(const struct config *config, size_t index);

/* False with a line for people in `problem`, if a certificate cannot be used. */
bool server_tls_open(struct server *s, char *problem, size_t problem_size);

/* The profile of that name; the configuration has been checked, so there is one. */
struct tls_profile *server_tls_find(const struct server *s, const char *name);

/* Reads all certificates again, with the settings that `config` now has for them; items that it
 * does not have stay as they were. What does not do is refused, the old ones stay, and the log
 * tells why. Connections that are open go on with what they have. */
void server_tls_reload(struct server *s, const struct config *config);

/* Logs certificates that will expire soon. */
void server_tls_log_expiry(struct server *s);

void server_tls_close(struct server *s);

#endif
