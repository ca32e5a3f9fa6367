#ifndef AMQP_SASL_H
#define AMQP_SASL_H

/* Parsing of SASL responses: what a client says about itself, not whether it is true. Pure. */

#include "broker/base/bytes.h"

struct sasl_login {
    struct bytes user;
    struct bytes password;
};

/* PLAIN (RFC 4616): NUL user NUL password; the authorization identity must be empty.
 * The results point into `response`. False if it has another form. */
bool sasl_plain_parse(struct bytes response, struct sasl_login *out);

/* AMQPLAIN: the fields of a table, without its length, with long strings LOGIN and PASSWORD. */
bool sasl_amqplain_parse(struct bytes response, struct sasl_login *out);

#endif
