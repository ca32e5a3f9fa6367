#include "certs/tls_context.h"

#include "broker/base/mem.h"
#include "broker/base/panic.h"
#include "certs/transport_internal.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <string.h>

#define DEPTH_DEFAULT 3

static pthread_once_t index_once = PTHREAD_ONCE_INIT;
static int material_index = -1;

static void
free_material(void *parent, void *data, CRYPTO_EX_DATA *all, int index, long argl, void *argp)
{
    (void)parent;
    (void)all;
    (void)index;
    (void)argl;
    (void)argp;
    tls_material_destroy(data);
}

static void
make_index(void)
{
    material_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, free_material);
    ASSERT(material_index >= 0);
}

const struct tls_material *
tls_context_material(const SSL_CTX *context)
{
    return SSL_CTX_get_ex_data(context, material_index);
}

/* An empty context of ours, which owns the material. */
static SSL_CTX *
context_new(const SSL_METHOD *method, struct tls_material **material)
{
    pthread_once(&index_once, make_index);
    SSL_CTX *context = SSL_CTX_new(method);
    if (context == NULL)
        PANIC("the TLS library cannot be used: %s", tls_reason());
    *material = tls_material_create();
    const int is_set = SSL_CTX_set_ex_data(context, material_index, *material);
    ASSERT(is_set == 1);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    return context;
}

/* The certificate that has the name the client asks for; without one the first stays. */
static int
choose_certificate(SSL *ssl, int *alert, void *context)
{
    (void)alert;
    (void)context;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    const struct tls_material *m = tls_context_material(SSL_get_SSL_CTX(ssl));
    if (name == NULL || m->bundle_count < 2)
        return SSL_TLSEXT_ERR_OK;
    for (size_t i = 0; i < m->bundle_count; i++) {
        const struct tls_bundle *b = &m->bundles[i];
        if (X509_check_host(b->leaf, name, 0, 0, NULL) != 1)
            continue;
        if (i > 0 && SSL_use_cert_and_key(ssl, b->leaf, b->key, b->chain, 1) != 1)
            return SSL_TLSEXT_ERR_ALERT_FATAL;
        break;
    }
    return SSL_TLSEXT_ERR_OK;
}

static bool
use_first(SSL_CTX *context, const struct tls_bundle *b, const struct tls_problem *problem)
{
    if (SSL_CTX_use_cert_and_key(context, b->leaf, b->key, b->chain, 1) == 1)
        return true;
    return tls_fail(problem, "the certificate %s cannot be used: %s", b->path, tls_reason());
}

static bool
load_certificates(SSL_CTX *context, struct tls_material *m, const struct tls_settings *s,
                  const struct tls_problem *problem)
{
    for (size_t i = 0; i < s->certificate_count && i < TLS_CERTIFICATES_MAX; i++) {
        if (!tls_bundle_load(&m->bundles[m->bundle_count], &s->certificates[i], problem))
            return false;
        m->bundle_count++;
        /* Each is tried as the one that is shown: the library may find it too weak. */
        if (!use_first(context, &m->bundles[i], problem))
            return false;
    }
    if (m->bundle_count == 0)
        return tls_fail(problem, "a certificate and its private key are missing");
    return use_first(context, &m->bundles[0], problem);
}

static bool
trust(SSL_CTX *context, struct tls_material *m, const char *path, const struct tls_problem *problem)
{
    m->authorities = tls_authorities_load(path, problem);
    if (m->authorities == NULL)
        return false;
    m->authorities_path = memcpy(mem_alloc(strlen(path) + 1), path, strlen(path) + 1);
    X509_STORE *store = SSL_CTX_get_cert_store(context);
    /* An authority below another may be trusted without the one above. */
    X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
    for (int i = 0; i < sk_X509_num(m->authorities); i++) {
        X509 *authority = sk_X509_value(m->authorities, i);
        if (X509_STORE_add_cert(store, authority) != 1 ||
            SSL_CTX_add_client_CA(context, authority) != 1)
            return tls_fail(problem, "an authority in %s cannot be used: %s", path, tls_reason());
    }
    return true;
}

static bool
set_verify(SSL_CTX *context, struct tls_material *m, const struct tls_settings *s,
           const struct tls_problem *problem)
{
    static const int modes[] = {
        [TLS_VERIFY_NONE] = SSL_VERIFY_NONE,
        [TLS_VERIFY_OPTIONAL] = SSL_VERIFY_PEER,
        [TLS_VERIFY_REQUIRED] = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
    };
    const bool has_ca = s->client_ca != NULL && s->client_ca[0] != 0;
    if (s->verify == TLS_VERIFY_NONE)
        return true;
    if (!has_ca)
        return tls_fail(problem,
                        "clients shall show certificates, but client_ca does not say whose "
                        "are good");
    SSL_CTX_set_verify(context, modes[s->verify], transport_verify);
    SSL_CTX_set_verify_depth(context, s->depth > 0 ? (int)s->depth : DEPTH_DEFAULT);
    m->identity = s->identity;
    return trust(context, m, s->client_ca, problem);
}

static bool
is_given(const char *text)
{
    return text != NULL && text[0] != 0;
}

static bool
set_algorithms(SSL_CTX *context, const struct tls_settings *s, const struct tls_problem *problem)
{
    static const int versions[] = {
        [TLS_VERSION_1_2] = TLS1_2_VERSION,
        [TLS_VERSION_1_3] = TLS1_3_VERSION,
    };
    if (s->min_version > s->max_version)
        return tls_fail(problem, "min_version is above max_version");
    SSL_CTX_set_min_proto_version(context, versions[s->min_version]);
    SSL_CTX_set_max_proto_version(context, versions[s->max_version]);
    if (is_given(s->ciphers) && SSL_CTX_set_cipher_list(context, s->ciphers) != 1)
        return tls_fail(problem,
                        "ciphers \"%s\": none of them is known; openssl ciphers -v lists "
                        "those of TLS 1.2",
                        s->ciphers);
    if (is_given(s->ciphersuites) && SSL_CTX_set_ciphersuites(context, s->ciphersuites) != 1)
        return tls_fail(problem,
                        "ciphersuites \"%s\": not known; write for instance "
                        "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256",
                        s->ciphersuites);
    /* The library's macros cast the const away, which the compiler would see. */
    if (is_given(s->curves) && SSL_CTX_set1_groups_list(context, (uintptr_t)s->curves) != 1)
        return tls_fail(problem, "curves \"%s\": not known; write for instance X25519:P-256",
                        s->curves);
    return true;
}

/* A ticket would let a client come back without its certificate being looked at again, so it is not
 * given where certificates are. Tickets end with the context: a reload forgets them all. */
static void
set_sessions(SSL_CTX *context, const struct tls_settings *s)
{
    static const unsigned char context_id[] = "rail";
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_session_id_context(context, context_id, sizeof(context_id));
    if (s->session_tickets && s->verify == TLS_VERIFY_NONE) {
        SSL_CTX_set_num_tickets(context, 1);
        return;
    }
    SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
    SSL_CTX_set_num_tickets(context, 0);
}

SSL_CTX *
tls_context_create(const struct tls_settings *s, const struct tls_problem *problem)
{
    struct tls_material *m;
    SSL_CTX *context = context_new(TLS_server_method(), &m);
    SSL_CTX_set_options(context, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_tlsext_servername_callback(context, choose_certificate);
    set_sessions(context, s);
    if (set_algorithms(context, s, problem) && load_certificates(context, m, s, problem) &&
        set_verify(context, m, s, problem))
        return context;
    SSL_CTX_free(context);
    return NULL;
}

static bool
load_client(SSL_CTX *context, struct tls_material *m, const char *ca,
            const struct tls_certificate *certificate, const struct tls_problem *problem)
{
    if (ca == NULL)
        SSL_CTX_set_default_verify_paths(context);
    else if (!trust(context, m, ca, problem))
        return false;
    if (certificate == NULL)
        return true;
    if (!tls_bundle_load(&m->bundles[0], certificate, problem))
        return false;
    m->bundle_count = 1;
    return use_first(context, &m->bundles[0], problem);
}

SSL_CTX *
tls_context_create_client(const char *ca, bool insecure, const struct tls_certificate *certificate,
                          const struct tls_problem *problem)
{
    struct tls_material *m;
    SSL_CTX *context = context_new(TLS_client_method(), &m);
    SSL_CTX_set_verify(context, insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER,
                       insecure ? NULL : transport_verify);
    if (load_client(context, m, ca, certificate, problem))
        return context;
    SSL_CTX_free(context);
    return NULL;
}
