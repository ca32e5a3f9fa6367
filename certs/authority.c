#include "certs/authority.h"

#include "broker/base/mem.h"
#include "broker/base/panic.h"

#include <arpa/inet.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>

#define SERIAL_BITS 127

struct authority {
    X509 *certificate;
    EVP_PKEY *key;
};

static bool
set_serial(X509 *x)
{
    BIGNUM *number = BN_new();
    const bool fine = number != NULL &&
                      BN_rand(number, SERIAL_BITS, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1 &&
                      BN_to_ASN1_INTEGER(number, X509_get_serialNumber(x)) != NULL;
    BN_free(number);
    return fine;
}

static bool
set_period(X509 *x, const struct authority_period *period)
{
    return ASN1_TIME_set(X509_getm_notBefore(x), (time_t)period->from) != NULL &&
           ASN1_TIME_set(X509_getm_notAfter(x), (time_t)period->to) != NULL;
}

static bool
set_name(X509 *x, const char *name)
{
    return X509_NAME_add_entry_by_NID(X509_get_subject_name(x), NID_commonName, MBSTRING_UTF8,
                                      (const unsigned char *)name, -1, -1, 0) == 1;
}

/* `text` is in the form of openssl.cnf. */
static bool
add_extension(X509 *x, X509V3_CTX *context, int nid, const char *text)
{
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, context, nid, text);
    const bool added = e != NULL && X509_add_ext(x, e, -1) == 1;
    X509_EXTENSION_free(e);
    return added;
}

static GENERAL_NAME *
name_of_host(const char *host)
{
    uint8_t address[16];
    GENERAL_NAME *name = GENERAL_NAME_new();
    const size_t size = inet_pton(AF_INET, host, address) == 1    ? 4
                        : inet_pton(AF_INET6, host, address) == 1 ? 16
                                                                  : 0;
    ASN1_STRING *value = size > 0 ? ASN1_OCTET_STRING_new() : ASN1_IA5STRING_new();
    if (name == NULL || value == NULL)
        PANIC("out of memory");
    const void *data = size > 0 ? (const void *)address : (const void *)host;
    if (ASN1_STRING_set(value, data, size > 0 ? (int)size : -1) != 1)
        PANIC("out of memory");
    GENERAL_NAME_set0_value(name, size > 0 ? GEN_IPADD : GEN_DNS, value);
    return name;
}

static bool
add_hosts(X509 *x, const struct authority_subject *subject)
{
    if (subject->host_count == 0)
        return true;
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    for (size_t i = 0; i < subject->host_count; i++) {
        if (sk_GENERAL_NAME_push(names, name_of_host(subject->hosts[i])) == 0)
            PANIC("out of memory");
    }
    const bool added = X509_add1_ext_i2d(x, NID_subject_alt_name, names, 0, 0) == 1;
    GENERAL_NAMES_free(names);
    return added;
}

/* What all certificates have. The issuer's name must be set and its key in place. */
static bool
fill(X509 *x, EVP_PKEY *key, const char *name, const struct authority_period *period)
{
    return X509_set_version(x, X509_VERSION_3) == 1 && set_serial(x) && set_period(x, period) &&
           set_name(x, name) && X509_set_pubkey(x, key) == 1;
}

static bool
make_authority(struct authority *a, const char *name, const struct authority_period *period)
{
    X509V3_CTX context;
    a->key = EVP_EC_gen("P-256");
    a->certificate = X509_new();
    X509 *x = a->certificate;
    if (a->key == NULL || x == NULL || !fill(x, a->key, name, period) ||
        X509_set_issuer_name(x, X509_get_subject_name(x)) != 1)
        return false;
    X509V3_set_ctx(&context, x, x, NULL, NULL, 0);
    return add_extension(x, &context, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
           add_extension(x, &context, NID_key_usage, "critical,keyCertSign,cRLSign") &&
           add_extension(x, &context, NID_subject_key_identifier, "hash") &&
           X509_sign(x, a->key, EVP_sha256()) > 0;
}

struct authority *
authority_create(const char *name, const struct authority_period *period)
{
    struct authority *a = mem_alloc_zeroed(sizeof(*a));
    if (make_authority(a, name, period))
        return a;
    ERR_clear_error();
    authority_destroy(a);
    return NULL;
}

void
authority_destroy(struct authority *a)
{
    if (a == NULL)
        return;
    X509_free(a->certificate);
    EVP_PKEY_free(a->key);
    mem_free(a);
}

/* Appends what was written to a memory BIO, and frees that. */
static void
take_text(BIO *bio, struct buf *out)
{
    char *text = NULL;
    const long size = BIO_get_mem_data(bio, &text);
    buf_append(out, text, (size_t)size);
    BIO_free(bio);
}

static void
append_certificate(X509 *x, struct buf *out)
{
    BIO *bio = BIO_new(BIO_s_mem());
    if (bio == NULL || PEM_write_bio_X509(bio, x) != 1)
        PANIC("a certificate cannot be written to memory");
    take_text(bio, out);
}

static void
append_key(EVP_PKEY *key, struct buf *out)
{
    BIO *bio = BIO_new(BIO_s_secmem());
    if (bio == NULL || PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) != 1)
        PANIC("a key cannot be written to memory");
    take_text(bio, out);
}

void
authority_certificate(const struct authority *a, struct buf *out)
{
    append_certificate(a->certificate, out);
}

static bool
make_certificate(const struct authority *a, const struct authority_subject *s, X509 *x,
                 EVP_PKEY *key)
{
    X509V3_CTX context;
    if (!fill(x, key, s->name, &s->period) ||
        X509_set_issuer_name(x, X509_get_subject_name(a->certificate)) != 1)
        return false;
    X509V3_set_ctx(&context, a->certificate, x, NULL, NULL, 0);
    return add_extension(x, &context, NID_basic_constraints, "critical,CA:FALSE") &&
           add_extension(x, &context, NID_key_usage, "critical,digitalSignature") &&
           add_extension(x, &context, NID_ext_key_usage,
                         s->is_client ? "clientAuth" : "serverAuth") &&
           add_extension(x, &context, NID_subject_key_identifier, "hash") &&
           add_extension(x, &context, NID_authority_key_identifier, "keyid") && add_hosts(x, s) &&
           X509_sign(x, a->key, EVP_sha256()) > 0;
}

bool
authority_issue(const struct authority *a, const struct authority_subject *subject,
                struct buf *certificate, struct buf *key)
{
    EVP_PKEY *new_key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    const bool made = new_key != NULL && x != NULL && make_certificate(a, subject, x, new_key);
    if (made) {
        append_certificate(x, certificate);
        append_key(new_key, key);
    }
    ERR_clear_error();
    X509_free(x);
    EVP_PKEY_free(new_key);
    return made;
}
