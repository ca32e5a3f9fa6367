#ifndef BROKER_CORE_CONFIG_H
#define BROKER_CORE_CONFIG_H

/*
 * The settings of the node. struct config is plain data: it owns no memory, may be copied, and does
 * not change once the broker runs, so any thread may read it. config_init gives the defaults; the
 * configuration file and the command line write over them through config_field_set, which checks.
 *
 * Members, units, defaults, bounds and meaning of all settings stand in config.def. In short:
 *
 *     config->server.{name, product, version, data_dir, anonymous_user, workers, log_level}
 *     config->limits.{max_connections, channel_max, frame_max, max_message_size, heartbeat_s,
 *                     handshake_timeout_ms, consumer_timeout_ms, table_depth, table_entries,
 *                     outbox_bytes, output_bytes_max, memory_high_watermark, message_memory,
 *                     disk_free_watermark}
 *     config->testing.{commit_delay_ms, simulate, disk_free, journal_bytes, fault}
 *     config->listeners[i].{protocol, bind.host, bind.port, mode, serve, tls}, i <
 * config->listener_count config->tls[i].{name, certificate, private_key, ...}, i <
 * config->tls_count config->certificates[i].{tls, certificate, private_key}, i <
 * config->certificate_count
 */

#include "broker/base/buf.h"
#include "broker/base/log.h"

#define CONFIG_LISTENERS_MAX 32
#define CONFIG_TLS_MAX 8
#define CONFIG_CERTIFICATES_MAX 16

enum config_protocol {
    CONFIG_PROTOCOL_AMQP,
    CONFIG_PROTOCOL_AMQPS,
    CONFIG_PROTOCOL_HTTP,
};

/* As a set. */
enum config_serve {
    CONFIG_SERVE_METRICS = 1,
    CONFIG_SERVE_HEALTH = 2,
};

enum config_verify {
    CONFIG_VERIFY_NONE,
    CONFIG_VERIFY_OPTIONAL,
    CONFIG_VERIFY_REQUIRED,
};

enum config_tls_version {
    CONFIG_TLS_1_2,
    CONFIG_TLS_1_3,
};

enum config_login_from {
    CONFIG_LOGIN_COMMON_NAME,
    CONFIG_LOGIN_DISTINGUISHED_NAME,
    CONFIG_LOGIN_SAN_DNS,
    CONFIG_LOGIN_SAN_EMAIL,
    CONFIG_LOGIN_SAN_URI,
};

/* A numeric IPv4 or IPv6 address as inet_pton takes it (no brackets), and a port; 0 = any free. Or
 * the path of a socket in the file system. */
struct config_address {
    char host[108]; /* As long as a path of a socket may be, the end included. */
    uint16_t port;
    bool is_path;
};

#define CONFIG_MEMBER(key, member, type, ...) __typeof__(type) member;

struct config_server {
#define CONFIG_SERVER CONFIG_MEMBER
#include "broker/core/config.def"
};

struct config_limits {
#define CONFIG_LIMITS CONFIG_MEMBER
#include "broker/core/config.def"
};

struct config_testing {
#define CONFIG_TESTING CONFIG_MEMBER
#include "broker/core/config.def"
};

struct config_listener {
#define CONFIG_LISTENER CONFIG_MEMBER
#include "broker/core/config.def"
};

struct config_tls {
    char name[64];
#define CONFIG_TLS CONFIG_MEMBER
#include "broker/core/config.def"
};

/* A certificate beyond the first of config.tls[tls]. */
struct config_certificate {
    size_t tls;
#define CONFIG_CERTIFICATE CONFIG_MEMBER
#include "broker/core/config.def"
};

#undef CONFIG_MEMBER

struct config {
    struct config_server server;
    struct config_limits limits;
    struct config_testing testing;
    struct config_listener listeners[CONFIG_LISTENERS_MAX];
    size_t listener_count;
    struct config_tls tls[CONFIG_TLS_MAX];
    size_t tls_count;
    struct config_certificate certificates[CONFIG_CERTIFICATES_MAX];
    size_t certificate_count;
};

/* A row of config.def. */
struct config_field {
    const char *path; /* "limits.frame_max"; of a listener just "bind", and so for TLS. */
    const struct config_kind *kind;
    const char *unit;
    const char *fallback; /* As text; NULL if config_init works it out. */
    const char *min;      /* NULL: the kind alone decides. */
    const char *max;
    const char *doc;
    size_t offset; /* In struct config; of a listener in struct config_listener, ... */
    size_t size;
    bool hidden; /* Not for operators. */
};

/* Why a value was refused. */
struct config_problem {
    bool out_of_range; /* Of the right form, but too small or too large. */
    char text[160];    /* Goes after the setting's name: "must be a size". */
    const char *hint;  /* What to write instead; may be NULL. Static. */
};

extern const struct config_field config_fields[];
extern const size_t config_field_count;
extern const struct config_field config_listener_fields[];
extern const size_t config_listener_field_count;
extern const struct config_field config_tls_fields[];
extern const size_t config_tls_field_count;
extern const struct config_field config_certificate_fields[];
extern const size_t config_certificate_field_count;

/* All defaults, one listener included. */
void config_init(struct config *config);

/* NULL if there is no such setting. */
const struct config_field *config_field_find(const char *path);

/* Appends what is told of it: its doc, and what bounds it has. */
void config_field_doc(const struct config_field *field, struct buf *out);

/* Reads `text` and stores it in `base`: a struct config, or for a listener's field a struct
 * config_listener, and so for TLS. False leaves the member alone and fills `problem`. */
bool config_field_set(void *base, const struct config_field *field, struct bytes text,
                      struct config_problem *problem);

/* Appends a listener with its defaults; NULL if CONFIG_LISTENERS_MAX are in. */
struct config_listener *config_listener_add(struct config *config);

/* Appends TLS settings of that name with their defaults; NULL if CONFIG_TLS_MAX are in. */
struct config_tls *config_tls_add(struct config *config, struct bytes name);

/* NULL if there are none of that name. */
const struct config_tls *config_tls_find(const struct config *config, struct bytes name);

/* Appends a further certificate of config->tls[tls]; NULL if CONFIG_CERTIFICATES_MAX are in. */
struct config_certificate *config_certificate_add(struct config *config, size_t tls);

#endif
