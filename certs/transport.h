#ifndef CERTS_TRANSPORT_H
#define CERTS_TRANSPORT_H

/*
 * TLS over one connection's socket, which stays the caller's and may be blocking or not. Between
 * two calls nothing that could be read is hidden here: a socket that is not readable means that
 * there is nothing to read, so the transport needs no other wake-up than its socket's. Octets that
 * were encrypted and not taken by the socket wait here: while transport_waits, watch for output.
 *
 * Owner: one connection. All transports of a thread share its scratch, so that an idle one has no
 * buffers.
 */

#include "broker/base/buf.h"
#include "certs/tls_profile.h"

#include <sys/types.h>
#include <sys/uio.h>

#define TRANSPORT_IDENTITY_SIZE 512
#define TRANSPORT_PROBLEM_SIZE 256

/* Room for the octets of one call. Zeroed is empty. */
struct transport_scratch {
    uint8_t *input;
    struct buf output;
};

struct transport;

enum transport_result {
    TRANSPORT_DONE,
    TRANSPORT_WAITS,  /* For the socket. */
    TRANSPORT_FAILED, /* transport_problem tells why. */
};

void transport_scratch_fini(struct transport_scratch *s);

/* The server's end. */
struct transport *transport_create(struct tls_profile *p, int fd, struct transport_scratch *s);

/* The client's end, towards a server that has to prove to be `host` (a name or an address). */
struct transport *transport_create_client(struct tls_profile *p, int fd, const char *host,
                                          struct transport_scratch *s);

/* From now on the transport's calls come from the thread of that scratch. */
void transport_use(struct transport *t, struct transport_scratch *s);

/* The socket is closed by its owner. */
void transport_destroy(struct transport *t);

/* Goes on with the handshake as far as the socket allows. */
enum transport_result transport_handshake(struct transport *t);

bool transport_is_established(const struct transport *t);

/* What is said instead of octets: as recv, 0 is the end, and -1 sets errno, EAGAIN if there is
 * nothing, EPROTO if the peer does not keep to TLS. Reads the socket at most once, and only if
 * `vectors` have room for everything that may come of it: TRANSPORT_ROOM_LEAST at least in the last
 * one. */
ssize_t transport_read(struct transport *t, const struct iovec *vectors, int count);
#define TRANSPORT_ROOM_LEAST (64u * 1024u)

/* As sendmsg: how many octets it took, which may be fewer, or -1 with errno. */
ssize_t transport_write(struct transport *t, const struct iovec *vectors, int count);

/* Encrypted octets wait for the socket. */
bool transport_waits(const struct transport *t);

/* Writes them. */
enum transport_result transport_flush(struct transport *t);

/* Says to the peer that nothing follows. As far as the socket takes it; nobody waits for it. */
void transport_shutdown(struct transport *t);

/* Who the peer is, by a certificate that was verified and the profile's choice of what in it is the
 * name. False if it showed none, or it has no such name, or one that is not clean text. */
bool transport_peer_identity(const struct transport *t, char *out, size_t size);

/* "TLSv1.3" and "TLS_AES_256_GCM_SHA384"; valid while the transport is. */
const char *transport_version(const struct transport *t);
const char *transport_cipher(const struct transport *t);

/* Whether the peer has sent anything at all; those who look whether a port is open do not. */
bool transport_has_heard(const struct transport *t);

/* A sentence for people: what went wrong, and what to do about it. */
const char *transport_problem(const struct transport *t);

#endif
