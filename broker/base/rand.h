#ifndef BROKER_BASE_RAND_H
#define BROKER_BASE_RAND_H

/* The only source of randomness: the kernel's, unguessable. Any thread. */

#include <stddef.h>

void rand_bytes(void *out, size_t size);

/* Writes 22 characters of base64url (128 random bits, as RabbitMQ's amq.gen- names) and a zero. */
void rand_name(char out[23]);

#endif
