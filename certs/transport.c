#include "certs/transport.h"

#include "broker/base/mem.h"
#include "broker/base/panic.h"
#include "certs/transport_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>

#define INPUT_SIZE (128u * 1024u)
#define RECORD_SIZE (16u * 1024u)
/* A record that had not come whole before adds to what one read gives. */
#define RECORD_ROOM (20u * 1024u)
/* So much is encrypted before it is sent. */
#define OUTPUT_ENOUGH (128u * 1024u)
/* Far more than one write can leave behind. */
#define UNSENT_MAX (512u * 1024u)

static pthread_once_t method_once = PTHREAD_ONCE_INIT;
static BIO_METHOD *method;

/* The library's side of the socket: it reads what has been received, and what it writes is sent
 * when it is done. So it never waits in the middle of a record. */
static int
side_read(BIO *bio, char *out, int size)
{
    struct transport *t = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (t->input.size == 0) {
        if (t->ended)
            return 0;
        BIO_set_retry_read(bio);
        return -1;
    }
    const size_t n = t->input.size < (size_t)size ? t->input.size : (size_t)size;
    memcpy(out, t->input.data, n);
    t->input = bytes_of(t->input.data + n, t->input.size - n);
    return (int)n;
}

static int
side_write(BIO *bio, const char *data, int size)
{
    struct transport *t = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    buf_append(&t->scratch->output, data, (size_t)size);
    return size;
}

static long
side_control(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

static void
make_method(void)
{
    method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "rail transport");
    ASSERT(method != NULL);
    BIO_meth_set_read(method, side_read);
    BIO_meth_set_write(method, side_write);
    BIO_meth_set_ctrl(method, side_control);
}

void
transport_scratch_fini(struct transport_scratch *s)
{
    mem_free(s->input);
    buf_fini(&s->output);
    *s = (struct transport_scratch){ 0 };
}

void
transport_use(struct transport *t, struct transport_scratch *s)
{
    t->scratch = s;
    if (s->input == NULL)
        s->input = mem_alloc(INPUT_SIZE + RECORD_SIZE);
}

static struct transport *
transport_new(struct tls_profile *p, int fd, struct transport_scratch *s)
{
    pthread_once(&method_once, make_method);
    struct transport *t = mem_alloc_zeroed(sizeof(*t));
    SSL_CTX *context = tls_profile_context(p);
    BIO *bio = BIO_new(method);
    t->ssl = SSL_new(context);
    SSL_CTX_free(context);
    if (t->ssl == NULL || bio == NULL)
        PANIC("out of memory for a TLS connection");
    t->fd = fd;
    BIO_set_data(bio, t);
    BIO_set_init(bio, 1);
    SSL_set_bio(t->ssl, bio, bio);
    SSL_set_app_data(t->ssl, t);
    transport_use(t, s);
    return t;
}

struct transport *
transport_create(struct tls_profile *p, int fd, struct transport_scratch *s)
{
    struct transport *t = transport_new(p, fd, s);
    SSL_set_accept_state(t->ssl);
    return t;
}

struct transport *
transport_create_client(struct tls_profile *p, int fd, const char *host,
                        struct transport_scratch *s)
{
    struct transport *t = transport_new(p, fd, s);
    uint8_t address[sizeof(struct in6_addr)];
    t->is_client = true;
    if (inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1) {
        X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(t->ssl), host);
    } else {
        SSL_set1_host(t->ssl, host);
        SSL_set_tlsext_host_name(t->ssl, (uintptr_t)host); /* It would cast the const away. */
    }
    SSL_set_connect_state(t->ssl);
    return t;
}

void
transport_destroy(struct transport *t)
{
    if (t == NULL)
        return;
    SSL_free(t->ssl);
    buf_fini(&t->held);
    buf_fini(&t->unsent);
    mem_free(t->problem);
    mem_free(t);
}

bool
transport_is_established(const struct transport *t)
{
    return t->established;
}

bool
transport_waits(const struct transport *t)
{
    return t->unsent.size > 0;
}

/* Sends from memory; how many octets went. A socket that is broken takes everything, for nobody. */
static size_t
send_some(struct transport *t, const uint8_t *data, size_t size)
{
    size_t sent = 0;
    while (sent < size && t->error == 0) {
        const ssize_t n = send(t->fd, data + sent, size - sent, MSG_NOSIGNAL);
        if (n >= 0)
            sent += (size_t)n;
        else if (errno == EAGAIN)
            return sent;
        else if (errno != EINTR)
            t->error = errno;
    }
    return size;
}

enum transport_result
transport_flush(struct transport *t)
{
    struct buf *b = &t->unsent;
    t->unsent_used += send_some(t, b->data + t->unsent_used, b->size - t->unsent_used);
    if (t->error != 0)
        return TRANSPORT_FAILED;
    if (t->unsent_used < b->size)
        return TRANSPORT_WAITS;
    buf_fini(b);
    t->unsent_used = 0;
    return TRANSPORT_DONE;
}

/* Sends what the library has written; what the socket does not take stays with the transport. */
static void
send_output(struct transport *t)
{
    struct buf *out = &t->scratch->output;
    const size_t sent = t->unsent.size > 0 ? 0 : send_some(t, out->data, out->size);
    if (sent < out->size)
        buf_append(&t->unsent, out->data + sent, out->size - sent);
    out->size = 0;
}

/* One recv, for the library to read. False with errno set if there is nothing. */
static bool
receive(struct transport *t, size_t max)
{
    ssize_t got;
    if (t->held.size > 0) {
        t->input = buf_bytes(&t->held);
        return true;
    }
    do {
        got = recv(t->fd, t->scratch->input, max < INPUT_SIZE ? max : INPUT_SIZE, 0);
    } while (got < 0 && errno == EINTR);
    if (got < 0 && errno == EAGAIN)
        return false;
    if (got < 0)
        t->error = errno;
    if (got <= 0)
        t->ended = true;
    else
        t->input = bytes_of(t->scratch->input, (size_t)got);
    t->heard = t->heard || got > 0;
    return true;
}

/* Nothing of the shared scratch is kept beyond a call. */
static void
hold_rest(struct transport *t)
{
    struct buf rest = { 0 };
    if (t->input.size > 0 && !t->failed)
        buf_append_bytes(&rest, t->input);
    buf_fini(&t->held);
    t->held = rest;
    t->input = BYTES_NONE;
}

enum transport_result
transport_handshake(struct transport *t)
{
    if (t->failed)
        return TRANSPORT_FAILED;
    const enum transport_result flushed = transport_flush(t);
    if (flushed == TRANSPORT_WAITS)
        return TRANSPORT_WAITS;
    const bool speaks_first = t->is_client && !t->began;
    if (!speaks_first && !receive(t, INPUT_SIZE))
        return TRANSPORT_WAITS;
    if (!t->is_client && !t->began && !transport_check_beginning(t, t->input))
        return TRANSPORT_FAILED;
    t->began = true;
    ERR_clear_error();
    const int result = SSL_do_handshake(t->ssl);
    const int why = SSL_get_error(t->ssl, result);
    t->established = result == 1;
    if (!t->established && why != SSL_ERROR_WANT_READ)
        transport_explain(t);
    send_output(t);
    hold_rest(t);
    if (t->failed)
        return TRANSPORT_FAILED;
    return t->established ? TRANSPORT_DONE : TRANSPORT_WAITS;
}

/* Decrypts into the space until it is full or nothing is left. False: no more for now. */
static bool
decrypt(struct transport *t, uint8_t *out, size_t size, size_t *total)
{
    size_t used = 0;
    while (used < size) {
        size_t got = 0;
        ERR_clear_error();
        const int result = SSL_read_ex(t->ssl, out + used, size - used, &got);
        used += got;
        *total += got;
        if (result == 1)
            continue;
        const int why = SSL_get_error(t->ssl, result);
        if (why == SSL_ERROR_ZERO_RETURN)
            t->closed = true;
        else if (why != SSL_ERROR_WANT_READ)
            transport_explain(t);
        return false;
    }
    return true;
}

/* What is answered without being asked for by us, such as to attempts to renegotiate, piles up if
 * the peer does not read it. */
static bool
check_unsent(struct transport *t)
{
    if (t->unsent.size <= UNSENT_MAX)
        return true;
    transport_fail(t, "the peer makes TLS answer and does not read the answers");
    return false;
}

static size_t
room_in(const struct iovec *vectors, int count)
{
    size_t room = 0;
    for (int i = 0; i < count; i++)
        room += vectors[i].iov_len;
    return room;
}

ssize_t
transport_read(struct transport *t, const struct iovec *vectors, int count)
{
    const size_t room = room_in(vectors, count);
    size_t total = 0;
    ASSERT(t->established && room >= TRANSPORT_ROOM_LEAST);
    if (!t->failed && !t->closed && !t->ended && check_unsent(t)) {
        if (!receive(t, room - RECORD_ROOM))
            return -1;
        bool more = true;
        for (int i = 0; i < count && more; i++)
            more = decrypt(t, vectors[i].iov_base, vectors[i].iov_len, &total);
        hold_rest(t);
        send_output(t);
    }
    if (total > 0)
        return (ssize_t)total;
    if (t->error != 0 || t->failed) {
        errno = t->error != 0 ? t->error : EPROTO;
        return -1;
    }
    if (t->closed || t->ended)
        return 0;
    errno = EAGAIN;
    return -1;
}

/* Copies short pieces together, so that each does not become a record of its own. */
static struct bytes
gather(const struct transport *t, const struct iovec *vectors, int count)
{
    uint8_t *record = t->scratch->input + INPUT_SIZE;
    size_t used = 0;
    for (int i = 0; i < count && used < RECORD_SIZE; i++) {
        const size_t left = RECORD_SIZE - used;
        const size_t n = vectors[i].iov_len < left ? vectors[i].iov_len : left;
        memcpy(record + used, vectors[i].iov_base, n);
        used += n;
    }
    return bytes_of(record, used);
}

/* What is encrypted next, beginning with the first vector: a long piece as it lies there. */
static struct bytes
next_piece(const struct transport *t, const struct iovec *vectors, int count)
{
    const size_t size = vectors[0].iov_len;
    if (count > 1 && size < RECORD_SIZE)
        return gather(t, vectors, count);
    const size_t whole = count > 1 ? size - size % RECORD_SIZE : size;
    return bytes_of(vectors[0].iov_base, whole < OUTPUT_ENOUGH ? whole : OUTPUT_ENOUGH);
}

/* Moves `vectors` on by `size` octets; how many of them are used up. */
static int
skip(struct iovec *vectors, size_t size)
{
    int used = 0;
    while (size > 0 && size >= vectors[used].iov_len)
        size -= vectors[used++].iov_len;
    if (size > 0) {
        vectors[used].iov_base = (uint8_t *)vectors[used].iov_base + size;
        vectors[used].iov_len -= size;
    }
    return used;
}

static bool
encrypt(struct transport *t, struct bytes piece)
{
    size_t written = 0;
    ERR_clear_error();
    const int result = SSL_write_ex(t->ssl, piece.data, piece.size, &written);
    if (result == 1 && written == piece.size)
        return true;
    transport_explain(t);
    return false;
}

#define VECTORS_A_WRITE 64

ssize_t
transport_write(struct transport *t, const struct iovec *vectors, int count)
{
    struct iovec left[VECTORS_A_WRITE];
    size_t total = 0;
    int at = 0;
    count = count < VECTORS_A_WRITE ? count : VECTORS_A_WRITE;
    const enum transport_result flushed = transport_flush(t);
    if (flushed == TRANSPORT_WAITS) {
        errno = EAGAIN;
        return -1;
    }
    memcpy(left, vectors, (size_t)count * sizeof(left[0]));
    while (at < count && !t->failed && t->scratch->output.size < OUTPUT_ENOUGH) {
        if (left[at].iov_len == 0) {
            at++;
            continue;
        }
        const struct bytes piece = next_piece(t, left + at, count - at);
        if (!encrypt(t, piece))
            break;
        total += piece.size;
        at += skip(left + at, piece.size);
    }
    send_output(t);
    if (!t->failed && t->error == 0)
        return (ssize_t)total;
    errno = t->error != 0 ? t->error : EPROTO;
    return -1;
}

void
transport_shutdown(struct transport *t)
{
    if (!t->established || t->failed || t->error != 0)
        return;
    ERR_clear_error();
    SSL_shutdown(t->ssl);
    send_output(t);
}

const char *
transport_version(const struct transport *t)
{
    return SSL_get_version(t->ssl);
}

const char *
transport_cipher(const struct transport *t)
{
    return SSL_get_cipher_name(t->ssl);
}

bool
transport_has_heard(const struct transport *t)
{
    return t->heard;
}

const char *
transport_problem(const struct transport *t)
{
    return t->problem != NULL ? t->problem : "";
}
