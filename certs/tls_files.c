/* Reading certificates and keys from PEM files. */

#include "broker/base/buf.h"
#include "broker/base/log.h"
#include "broker/base/mem.h"
#include "broker/base/panic.h"
#include "certs/tls_context.h"

#include <dirent.h>
#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

bool
tls_fail(const struct tls_problem *problem, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(problem->text, problem->size, format, args);
    va_end(args);
    ERR_clear_error();
    return false;
}

const char *
tls_reason(void)
{
    const unsigned long code = ERR_peek_last_error();
    const char *reason = code == 0 ? NULL : ERR_reason_error_string(code);
    return reason != NULL ? reason : "the TLS library gives no reason";
}

static char *
copy_string(const char *text)
{
    const size_t size = strlen(text) + 1;
    return memcpy(mem_alloc(size), text, size);
}

static bool
is_pem_text(const char *text)
{
    return strncmp(text, "-----BEGIN ", 11) == 0;
}

static BIO *
open_pem(const char *what, const char *path, const struct tls_problem *problem)
{
    struct stat status;
    errno = 0;
    BIO *bio = BIO_new_file(path, "r");
    if (bio != NULL && stat(path, &status) == 0 && S_ISDIR(status.st_mode)) {
        BIO_free(bio);
        bio = NULL;
        errno = EISDIR;
    }
    if (bio == NULL)
        tls_fail(problem, "cannot read the %s %s: %s", what, path, strerror(errno));
    return bio;
}

/* Appends the certificates of a file. False if one of them is damaged; none at all is fine here. */
static bool
read_certificates(BIO *bio, STACK_OF(X509) * out)
{
    X509 *certificate;
    ERR_clear_error();
    while ((certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
        if (sk_X509_push(out, certificate) == 0)
            PANIC("out of memory");
    }
    const unsigned long code = ERR_peek_last_error();
    const bool at_end =
        ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE;
    if (at_end)
        ERR_clear_error();
    return at_end;
}

bool
tls_bundle_load_chain(struct tls_bundle *b, const char *path, const struct tls_problem *problem)
{
    BIO *bio = open_pem("certificate", path, problem);
    if (bio == NULL)
        return false;
    b->path = copy_string(path);
    b->chain = sk_X509_new_null();
    const bool fine = read_certificates(bio, b->chain);
    BIO_free(bio);
    if (!fine)
        return tls_fail(problem, "the certificate %s is damaged: %s", path, tls_reason());
    b->leaf = sk_X509_shift(b->chain);
    if (b->leaf == NULL)
        return tls_fail(problem,
                        "no certificate is in %s; a PEM file with -----BEGIN CERTIFICATE----- is "
                        "due",
                        path);
    return true;
}

static int
no_password(char *out, int size, int writing, void *context)
{
    (void)out;
    (void)size;
    (void)writing;
    *(bool *)context = true;
    return -1;
}

unsigned
tls_key_exposure(const char *source)
{
    struct stat status;
    const bool is_exposed =
        !is_pem_text(source) && stat(source, &status) == 0 && (status.st_mode & S_IRWXO) != 0;
    return is_exposed ? (unsigned)status.st_mode & 07777u : 0;
}

static void
warn_of_readers(const char *source)
{
    char quoted[256];
    const unsigned mode = tls_key_exposure(source);
    if (mode != 0)
        log_warning("tls.key_exposed",
                    "file=\"%s\" mode=%04o msg=\"everybody on this machine can read the private "
                    "key; chmod o-rwx it\"",
                    log_quote(bytes_of_string(source), quoted, sizeof(quoted)), mode);
}

bool
tls_bundle_load_key(struct tls_bundle *b, const char *source, const struct tls_problem *problem)
{
    const bool inline_text = is_pem_text(source);
    const char *shown = inline_text ? "given in the configuration" : source;
    BIO *bio = inline_text ? BIO_new_mem_buf(source, -1) : open_pem("private key", source, problem);
    bool is_encrypted = false;
    if (bio == NULL)
        return false;
    ERR_clear_error();
    b->key = PEM_read_bio_PrivateKey(bio, NULL, no_password, &is_encrypted);
    BIO_free(bio);
    if (is_encrypted)
        return tls_fail(problem,
                        "the private key %s is encrypted; write it without a password with openssl "
                        "pkey -in KEY -out NEW, and let only the broker read it",
                        shown);
    if (b->key == NULL)
        return tls_fail(problem, "no usable private key is in %s: %s", shown, tls_reason());
    return true;
}

bool
tls_bundle_check_key(const struct tls_bundle *b, const struct tls_certificate *files,
                     const struct tls_problem *problem)
{
    if (X509_check_private_key(b->leaf, b->key) == 1)
        return true;
    return tls_fail(problem,
                    "the private key %s does not belong to the certificate %s; they must be made "
                    "together",
                    is_pem_text(files->private_key) ? "given in the configuration"
                                                    : files->private_key,
                    files->certificate);
}

void
tls_bundle_fini(struct tls_bundle *b)
{
    X509_free(b->leaf);
    sk_X509_pop_free(b->chain, X509_free);
    EVP_PKEY_free(b->key);
    mem_free(b->path);
    *b = (struct tls_bundle){ 0 };
}

bool
tls_bundle_load(struct tls_bundle *b, const struct tls_certificate *files,
                const struct tls_problem *problem)
{
    *b = (struct tls_bundle){ 0 };
    const bool fine = tls_bundle_load_chain(b, files->certificate, problem) &&
                      tls_bundle_load_key(b, files->private_key, problem) &&
                      tls_bundle_check_key(b, files, problem);
    if (fine)
        warn_of_readers(files->private_key);
    else
        tls_bundle_fini(b);
    return fine;
}

static bool
load_authorities_of(const char *path, STACK_OF(X509) * out, const struct tls_problem *problem)
{
    BIO *bio = open_pem("certificates of authorities", path, problem);
    if (bio == NULL)
        return false;
    const bool fine = read_certificates(bio, out);
    BIO_free(bio);
    return fine || tls_fail(problem, "a certificate in %s is damaged: %s", path, tls_reason());
}

static bool
load_directory(const char *path, STACK_OF(X509) * out, const struct tls_problem *problem)
{
    DIR *directory = opendir(path);
    bool fine = true;
    if (directory == NULL)
        return tls_fail(problem, "cannot read the directory %s: %s", path, strerror(errno));
    const struct dirent *entry;
    while (fine && (entry = readdir(directory)) != NULL) {
        struct buf file = { 0 };
        struct stat status;
        buf_printf(&file, "%s/%s", path, entry->d_name);
        buf_append(&file, "", 1);
        const char *name = (const char *)file.data;
        if (entry->d_name[0] != '.' && stat(name, &status) == 0 && S_ISREG(status.st_mode))
            fine = load_authorities_of(name, out, problem);
        buf_fini(&file);
    }
    closedir(directory);
    return fine;
}

STACK_OF(X509) * tls_authorities_load(const char *path, const struct tls_problem *problem)
{
    struct stat status;
    STACK_OF(X509) *out = sk_X509_new_null();
    const bool is_directory = stat(path, &status) == 0 && S_ISDIR(status.st_mode);
    bool fine =
        is_directory ? load_directory(path, out, problem) : load_authorities_of(path, out, problem);
    if (fine && sk_X509_num(out) == 0)
        fine = tls_fail(problem, "no certificate is in %s", path);
    if (fine)
        return out;
    sk_X509_pop_free(out, X509_free);
    return NULL;
}

struct tls_material *
tls_material_create(void)
{
    return mem_alloc_zeroed(sizeof(struct tls_material));
}

void
tls_material_destroy(struct tls_material *m)
{
    if (m == NULL)
        return;
    for (size_t i = 0; i < m->bundle_count; i++)
        tls_bundle_fini(&m->bundles[i]);
    sk_X509_pop_free(m->authorities, X509_free);
    mem_free(m->authorities_path);
    mem_free(m);
}
