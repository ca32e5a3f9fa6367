#include "broker/auth/password.h"

#include "broker/base/panic.h"
#include "broker/base/rand.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <stdio.h>
#include <stdlib.h>

#define SHORT_SALT_SIZE 4u
#define SCRYPT_SALT_SIZE 16u
#define SCRYPT_KEY_SIZE 32u
#define DIGEST_SIZE_MAX 64u
/* 32 MiB and some 60 ms: what OWASP's cheat sheet allows for logins that people wait for. */
#define SCRYPT_LN 15u
#define SCRYPT_R 8u
#define SCRYPT_P 1u
#define SCRYPT_MEMORY_MAX (256u * 1024u * 1024u)

struct kind_row {
    const char *name;
    const char *digest;
    size_t digest_size;
};

static const struct kind_row kinds[] = {
    [PASSWORD_SHA256] = { "sha256", "SHA256", 32 },
    [PASSWORD_SHA512] = { "sha512", "SHA512", 64 },
    [PASSWORD_SCRYPT] = { "scrypt", NULL, SCRYPT_KEY_SIZE },
};

/* A text taken apart. */
struct parsed {
    enum password_kind kind;
    unsigned ln;
    unsigned r;
    unsigned p;
    uint8_t octets[SCRYPT_SALT_SIZE + DIGEST_SIZE_MAX]; /* Salt and result. */
    size_t salt_size;
    size_t result_size;
};

bool
password_kind_find(struct bytes name, enum password_kind *out)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (bytes_equal(name, bytes_of_string(kinds[i].name))) {
            *out = (enum password_kind)i;
            return true;
        }
    }
    return false;
}

static bool
digest(const struct kind_row *kind, struct bytes salt, struct bytes password, uint8_t *out)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    const bool ok = context != NULL &&
                    EVP_DigestInit_ex(context, EVP_get_digestbyname(kind->digest), NULL) == 1 &&
                    EVP_DigestUpdate(context, salt.data, salt.size) == 1 &&
                    EVP_DigestUpdate(context, password.data, password.size) == 1 &&
                    EVP_DigestFinal_ex(context, out, NULL) == 1;
    EVP_MD_CTX_free(context);
    return ok;
}

static bool
compute(const struct parsed *p, struct bytes password, uint8_t out[DIGEST_SIZE_MAX])
{
    const struct bytes salt = bytes_of(p->octets, p->salt_size);
    if (p->kind != PASSWORD_SCRYPT)
        return digest(&kinds[p->kind], salt, password, out);
    return EVP_PBE_scrypt((const char *)password.data, password.size, salt.data, salt.size,
                          UINT64_C(1) << p->ln, p->r, p->p, SCRYPT_MEMORY_MAX, out,
                          p->result_size) == 1;
}

static bool
decode_base64(struct bytes text, struct parsed *p)
{
    uint8_t decoded[((sizeof(p->octets) + 2) / 3) * 3 + 3];
    const size_t wanted = p->salt_size + p->result_size;
    if (text.size != (wanted + 2) / 3 * 4)
        return false;
    const int size = EVP_DecodeBlock(decoded, text.data, (int)text.size);
    if (size < 0 || (size_t)size < wanted)
        return false;
    memcpy(p->octets, decoded, wanted);
    return true;
}

/* As OpenSSL counts it: what costs more than is given to it would never verify. */
static bool
fits_memory(const struct parsed *p)
{
    const uint64_t blocks = UINT64_C(128) * p->r * p->p;
    const uint64_t table = UINT64_C(128) * p->r * ((UINT64_C(1) << p->ln) + 2);
    return blocks + table <= SCRYPT_MEMORY_MAX;
}

/* "15,8,1" */
static bool
parse_costs(struct bytes text, struct parsed *p)
{
    char copy[32];
    int end = 0;
    if (text.size >= sizeof(copy))
        return false;
    memcpy(copy, text.data, text.size);
    copy[text.size] = 0;
    return sscanf(copy, "%2u,%2u,%2u%n", &p->ln, &p->r, &p->p, &end) == 3 &&
           (size_t)end == text.size && p->ln >= 1 && p->ln <= 20 && p->r >= 1 && p->r <= 16 &&
           p->p >= 1 && p->p <= 16 && fits_memory(p);
}

static bool
parse(struct bytes text, struct parsed *p)
{
    const uint8_t *colon = text.size == 0 ? NULL : memchr(text.data, ':', text.size);
    if (colon == NULL ||
        !password_kind_find(bytes_of(text.data, (size_t)(colon - text.data)), &p->kind))
        return false;
    struct bytes rest = bytes_of(colon + 1, text.size - (size_t)(colon - text.data) - 1);
    p->salt_size = SHORT_SALT_SIZE;
    p->result_size = kinds[p->kind].digest_size;
    if (p->kind == PASSWORD_SCRYPT) {
        p->salt_size = SCRYPT_SALT_SIZE;
        colon = rest.size == 0 ? NULL : memchr(rest.data, ':', rest.size);
        if (colon == NULL || !parse_costs(bytes_of(rest.data, (size_t)(colon - rest.data)), p))
            return false;
        rest = bytes_of(colon + 1, rest.size - (size_t)(colon - rest.data) - 1);
    }
    return decode_base64(rest, p);
}

bool
password_hash(enum password_kind kind, struct bytes password, char text[PASSWORD_TEXT_SIZE])
{
    uint8_t encoded[(SCRYPT_SALT_SIZE + DIGEST_SIZE_MAX + 2) / 3 * 4 + 1];
    char costs[32] = "";
    struct parsed p = { .kind = kind, .ln = SCRYPT_LN, .r = SCRYPT_R, .p = SCRYPT_P };
    p.salt_size = kind == PASSWORD_SCRYPT ? SCRYPT_SALT_SIZE : SHORT_SALT_SIZE;
    p.result_size = kinds[kind].digest_size;
    if (password.size == 0 || password.size > PASSWORD_BYTES_MAX)
        return false;
    rand_bytes(p.octets, p.salt_size);
    if (!compute(&p, password, p.octets + p.salt_size))
        return false;
    EVP_EncodeBlock(encoded, p.octets, (int)(p.salt_size + p.result_size));
    if (kind == PASSWORD_SCRYPT)
        snprintf(costs, sizeof(costs), "%u,%u,%u:", p.ln, p.r, p.p);
    snprintf(text, PASSWORD_TEXT_SIZE, "%s:%s%s", kinds[kind].name, costs, (const char *)encoded);
    return true;
}

bool
password_text_is_sound(struct bytes text)
{
    struct parsed p;
    return parse(text, &p);
}

bool
password_is_slow(struct bytes text)
{
    return bytes_start_with(text, BYTES_LITERAL("scrypt:"));
}

bool
password_verify(struct bytes text, struct bytes password)
{
    struct parsed p;
    uint8_t result[DIGEST_SIZE_MAX];
    if (password.size == 0 || password.size > PASSWORD_BYTES_MAX || !parse(text, &p) ||
        !compute(&p, password, result))
        return false;
    const bool is_right = CRYPTO_memcmp(result, p.octets + p.salt_size, p.result_size) == 0;
    OPENSSL_cleanse(result, sizeof(result));
    return is_right;
}
