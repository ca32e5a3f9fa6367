#ifndef BROKER_AUTH_PASSWORD_H
#define BROKER_AUTH_PASSWORD_H

/*
 * Passwords as they are kept: one line of text that names the way it was made. RabbitMQ's salted
 * SHA-256 and SHA-512, so that exported definitions go on working, and scrypt (RFC 7914), which is
 * slow and takes memory on purpose, for new ones. Pure; any thread, but scrypt not on a worker.
 *
 *     sha256:BASE64      salt(4) and SHA-256 of salt and password
 *     sha512:BASE64      the same with SHA-512
 *     scrypt:LN,R,P:BASE64      salt(16) and key(32); N is 2 to the LN
 */

#include "broker/base/bytes.h"

#define PASSWORD_TEXT_SIZE 256
#define PASSWORD_BYTES_MAX 1024u

enum password_kind {
    PASSWORD_SHA256,
    PASSWORD_SHA512,
    PASSWORD_SCRYPT,
};

/* "sha256", "sha512", "scrypt"; false for other words. */
bool password_kind_find(struct bytes name, enum password_kind *out);

/* The text of a new salt. False if there is no memory for it, or the password is empty or longer
 * than PASSWORD_BYTES_MAX. */
bool password_hash(enum password_kind kind, struct bytes password, char text[PASSWORD_TEXT_SIZE]);

/* Whether the text is of one of these forms. */
bool password_text_is_sound(struct bytes text);

/* Whether it takes long to verify against. */
bool password_is_slow(struct bytes text);

/* In constant time. False, too, if the text is of no known form, or the password is empty: blank
 * passwords are always refused. */
bool password_verify(struct bytes text, struct bytes password);

#endif
