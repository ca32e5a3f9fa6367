#ifndef CERTS_TRANSPORT_INTERNAL_H
#define CERTS_TRANSPORT_INTERNAL_H

/* What a transport is made of, for the files that share the work. Private to this folder. */

#include "certs/tls_context.h"
#include "certs/transport.h"

struct transport {
    SSL *ssl;
    int fd;
    struct transport_scratch *scratch;
    struct bytes input; /* Received and not used; of the scratch, or of `held`. */
    struct buf held;    /* What is left of it between two calls. */
    struct buf unsent;  /* Encrypted; the socket has not taken it. */
    size_t unsent_used;
    bool is_client;
    bool established;
    bool began;  /* The peer's first octets were looked at, or we have begun. */
    bool heard;  /* There were octets. */
    bool ended;  /* The socket gave the end, or an error. */
    bool closed; /* The peer said that nothing follows. */
    bool failed;
    int error; /* Of the socket. */
    char *problem;
};

/* Remembers why it failed. The first reason stays. */
void transport_fail(struct transport *t, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The library finds the peer's certificate wanting: says which one and why. */
int transport_verify(int is_fine, X509_STORE_CTX *store);

/* Turns what the library says about its last failure into transport_problem. */
void transport_explain(struct transport *t);

/* False, with the problem, if a peer's first octets are not TLS. */
bool transport_check_beginning(struct transport *t, struct bytes octets);

#endif
