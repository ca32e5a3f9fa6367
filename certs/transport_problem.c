/* What went wrong with a TLS connection, in words that say what to do. */

#include "broker/base/bytes.h"
#include "broker/base/log.h"
#include "broker/base/mem.h"
#include "certs/transport_internal.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void
transport_fail(struct transport *t, const char *format, ...)
{
    t->failed = true;
    if (t->problem != NULL)
        return;
    va_list args;
    va_start(args, format);
    t->problem = mem_alloc(TRANSPORT_PROBLEM_SIZE);
    vsnprintf(t->problem, TRANSPORT_PROBLEM_SIZE, format, args);
    va_end(args);
}

bool
transport_check_beginning(struct transport *t, struct bytes octets)
{
    static const char *const http[] = { "GET ", "POST", "PUT ", "HEAD", "OPTI", "PRI " };
    if (octets.size == 0 || octets.data[0] == 0x16)
        return true; /* A hello, or the end. */
    if (bytes_start_with(octets, BYTES_LITERAL("AMQP"))) {
        transport_fail(t, "the client speaks plain AMQP on a port that speaks TLS: let it use "
                          "amqps://, or another port");
        return false;
    }
    for (size_t i = 0; i < sizeof(http) / sizeof(http[0]); i++) {
        if (!bytes_start_with(octets, bytes_of_string(http[i])))
            continue;
        transport_fail(t, "the client speaks HTTP; this port speaks AMQP over TLS");
        return false;
    }
    transport_fail(t, "the client does not speak TLS, its first octet is 0x%02x", octets.data[0]);
    return false;
}

int
transport_verify(int is_fine, X509_STORE_CTX *store)
{
    const SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct transport *t = SSL_get_app_data(ssl);
    X509 *certificate = X509_STORE_CTX_get0_cert(store);
    if (is_fine)
        return 1;
    char raw[120] = "";
    char subject[120];
    const char *why = X509_verify_cert_error_string(X509_STORE_CTX_get_error(store));
    if (certificate != NULL)
        X509_NAME_oneline(X509_get_subject_name(certificate), raw, sizeof(raw));
    log_quote(bytes_of_string(raw), subject, sizeof(subject));
    if (t->is_client)
        transport_fail(t, "the server's certificate %s is not accepted: %s", subject, why);
    else
        transport_fail(t,
                       "the client's certificate %s is not accepted: %s (client_ca says whom to "
                       "trust)",
                       subject, why);
    return 0;
}

/* Reasons for which there is more to say than the library says. */
static const struct reason {
    int code;
    const char *text;
} reasons[] = {
    { SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE,
      "the client shows no certificate, and this port demands one (verify_client: required)" },
    { SSL_R_UNSUPPORTED_PROTOCOL,
      "the peer speaks no version of TLS that is allowed here; TLS 1.2 is the oldest" },
    { SSL_R_VERSION_TOO_LOW,
      "the peer speaks no version of TLS that is allowed here; TLS 1.2 is the oldest" },
    { SSL_R_TLSV1_ALERT_PROTOCOL_VERSION,
      "the peer says that it speaks none of the versions of TLS that are allowed here" },
    { SSL_R_NO_SHARED_CIPHER, "the peer offers no cipher that is allowed here (ciphers)" },
    { SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE,
      "the peer finds nothing in common: ciphers, curves, or a certificate is missing" },
    { SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED,
      "the server demands a certificate from its clients" },
    { SSL_R_TLSV1_ALERT_UNKNOWN_CA, "the peer does not trust our certificate: give it the "
                                    "certificate of the authority (ca.pem)" },
    { SSL_R_SSLV3_ALERT_BAD_CERTIFICATE,
      "the peer does not accept our certificate: does the name it connects to stand in it?" },
    { SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN,
      "the peer does not accept our certificate: give it the certificate of the authority, and "
      "connect to a name that stands in it" },
    { SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED, "the peer finds our certificate expired" },
    { SSL_R_WRONG_VERSION_NUMBER, "the peer does not speak TLS; is this the port for plain AMQP?" },
};

static const char *
find_reason(unsigned long code)
{
    for (size_t i = 0; ERR_GET_LIB(code) == ERR_LIB_SSL && i < sizeof(reasons) / sizeof(reasons[0]);
         i++) {
        if (reasons[i].code == ERR_GET_REASON(code))
            return reasons[i].text;
    }
    return NULL;
}

void
transport_explain(struct transport *t)
{
    const unsigned long code = ERR_peek_error();
    const char *known = find_reason(code);
    if (t->error != 0)
        transport_fail(t, "the connection is broken: %s", strerror(t->error));
    else if (t->ended && !t->established)
        transport_fail(t, "the peer hung up in the middle of the TLS handshake");
    else if (t->ended)
        return; /* Many say no goodbye. */
    else if (known != NULL)
        transport_fail(t, "%s", known);
    else
        transport_fail(t, "TLS failed: %s", tls_reason());
    ERR_clear_error();
}
