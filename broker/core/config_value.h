#ifndef BROKER_CORE_CONFIG_VALUE_H
#define BROKER_CORE_CONFIG_VALUE_H

/*
 * The kinds of values a setting can have: how each is written, read and stored. The one place that
 * knows the units. Used through config_field_set; the kinds are public for the tables and tests.
 * Pure, except that a percentage of memory asks the system how much there is. Any thread.
 */

#include "broker/core/config.h"

struct config_kind {
    const char *what; /* "a size", for "must be a size". */
    const char *hint;
    /* Numbers: reads the value into the member's unit. NULL for other kinds. */
    bool (*number)(struct bytes text, uint64_t *value);
    /* Everything else: reads and stores `size` octets at `member`. NULL for numbers. */
    bool (*store)(struct bytes text, void *member, size_t size);
    /* A list of words is the same as a text of them with commas between. */
    bool takes_list;
};

/* Named as in the fourth column of config.def. */
extern const struct config_kind config_kind_text;
extern const struct config_kind config_kind_version;
extern const struct config_kind config_kind_fault;
extern const struct config_kind config_kind_count;
extern const struct config_kind config_kind_size;
extern const struct config_kind config_kind_memory;
extern const struct config_kind config_kind_milliseconds;
extern const struct config_kind config_kind_seconds;
extern const struct config_kind config_kind_boolean;
extern const struct config_kind config_kind_log_level;
extern const struct config_kind config_kind_log_format;
extern const struct config_kind config_kind_protocol;
extern const struct config_kind config_kind_serve;
extern const struct config_kind config_kind_address;
extern const struct config_kind config_kind_mode;
extern const struct config_kind config_kind_pem;
extern const struct config_kind config_kind_verify;
extern const struct config_kind config_kind_tls_version;
extern const struct config_kind config_kind_login_from;

#endif
