/* Who a peer is, by its certificate. What is not clean text is nobody's name: a zero octet in the
 * middle must not make one user of another. */

#include "broker/base/bytes.h"
#include "certs/transport_internal.h"

#include <openssl/x509v3.h>
#include <string.h>

/* False if it does not fit whole, or is not what a person could have typed. */
static bool
take_name(struct bytes name, char *out, size_t size)
{
    if (name.size == 0 || name.size >= size || !bytes_are_utf8(name))
        return false;
    for (size_t i = 0; i < name.size; i++) {
        if (name.data[i] < 0x20 || name.data[i] == 0x7f)
            return false;
    }
    memcpy(out, name.data, name.size);
    out[name.size] = 0;
    return true;
}

static bool
take_string(const ASN1_STRING *string, char *out, size_t size)
{
    unsigned char *text = NULL;
    const int length = ASN1_STRING_to_UTF8(&text, string);
    if (length < 0)
        return false;
    const bool taken = take_name(bytes_of(text, (size_t)length), out, size);
    OPENSSL_free(text);
    return taken;
}

/* With two of them nobody could say which is meant. */
static bool
take_common_name(const X509 *certificate, char *out, size_t size)
{
    const X509_NAME *subject = X509_get_subject_name(certificate);
    const int first = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    if (first < 0 || X509_NAME_get_index_by_NID(subject, NID_commonName, first) >= 0)
        return false;
    return take_string(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, first)), out, size);
}

static bool
take_distinguished_name(const X509 *certificate, char *out, size_t size)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL;
    const unsigned long flags = XN_FLAG_RFC2253 & ~(unsigned long)ASN1_STRFLGS_ESC_MSB;
    bool taken = false;
    if (bio == NULL)
        return false;
    if (X509_NAME_print_ex(bio, X509_get_subject_name(certificate), 0, flags) >= 0) {
        const long length = BIO_get_mem_data(bio, &text);
        taken = length > 0 && take_name(bytes_of(text, (size_t)length), out, size);
    }
    BIO_free(bio);
    return taken;
}

static bool
take_alternative_name(const X509 *certificate, int kind, char *out, size_t size)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    bool taken = false;
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type != kind)
            continue;
        taken = take_string(name->d.ia5, out, size);
        break;
    }
    GENERAL_NAMES_free(names);
    return taken;
}

static bool
take_identity(const X509 *certificate, enum tls_identity identity, char *out, size_t size)
{
    switch (identity) {
    case TLS_IDENTITY_COMMON_NAME:
        return take_common_name(certificate, out, size);
    case TLS_IDENTITY_DISTINGUISHED_NAME:
        return take_distinguished_name(certificate, out, size);
    case TLS_IDENTITY_SAN_DNS:
        return take_alternative_name(certificate, GEN_DNS, out, size);
    case TLS_IDENTITY_SAN_EMAIL:
        return take_alternative_name(certificate, GEN_EMAIL, out, size);
    case TLS_IDENTITY_SAN_URI:
        return take_alternative_name(certificate, GEN_URI, out, size);
    }
    return false;
}

bool
transport_peer_identity(const struct transport *t, char *out, size_t size)
{
    const X509 *certificate = SSL_get0_peer_certificate(t->ssl);
    if (!t->established || certificate == NULL || SSL_get_verify_result(t->ssl) != X509_V_OK)
        return false;
    const struct tls_material *m = tls_context_material(SSL_get_SSL_CTX(t->ssl));
    return take_identity(certificate, m->identity, out, size);
}
