#include "certs/tls_profile.h"

#include "broker/base/lock.h"
#include "broker/base/mem.h"
#include "certs/tls_context.h"

#include <stdio.h>

struct tls_profile {
    struct lock lock;
    SSL_CTX *context; /* Under the lock; what it points at does not change. */
    char name[64];
};

static struct tls_profile *
profile_of(SSL_CTX *context, const char *name)
{
    if (context == NULL)
        return NULL;
    struct tls_profile *p = mem_alloc_zeroed(sizeof(*p));
    lock_init(&p->lock);
    p->context = context;
    snprintf(p->name, sizeof(p->name), "%s", name);
    return p;
}

struct tls_profile *
tls_profile_create(const struct tls_settings *settings, char *problem, size_t problem_size)
{
    const struct tls_problem out = { problem, problem_size };
    return profile_of(tls_context_create(settings, &out), settings->name);
}

struct tls_profile *
tls_profile_create_client(const char *ca, bool insecure, const struct tls_certificate *certificate,
                          char *problem, size_t problem_size)
{
    const struct tls_problem out = { problem, problem_size };
    return profile_of(tls_context_create_client(ca, insecure, certificate, &out), "client");
}

SSL_CTX *
tls_profile_context(struct tls_profile *p)
{
    lock_acquire(&p->lock);
    SSL_CTX *context = p->context;
    SSL_CTX_up_ref(context);
    lock_release(&p->lock);
    return context;
}

bool
tls_profile_reload(struct tls_profile *p, const struct tls_settings *settings, char *problem,
                   size_t problem_size)
{
    const struct tls_problem out = { problem, problem_size };
    SSL_CTX *context = tls_context_create(settings, &out);
    if (context == NULL)
        return false;
    if (!tls_material_check_dates(tls_context_material(context), &out)) {
        SSL_CTX_free(context);
        return false;
    }
    lock_acquire(&p->lock);
    SSL_CTX *old = p->context;
    p->context = context;
    lock_release(&p->lock);
    SSL_CTX_free(old);
    return true;
}

void
tls_profile_destroy(struct tls_profile *p)
{
    if (p == NULL)
        return;
    SSL_CTX_free(p->context);
    lock_fini(&p->lock);
    mem_free(p);
}

int64_t
tls_profile_expires(struct tls_profile *p)
{
    SSL_CTX *context = tls_profile_context(p);
    const int64_t expires = tls_material_expires(tls_context_material(context));
    SSL_CTX_free(context);
    return expires;
}

void
tls_profile_log_expiry(struct tls_profile *p)
{
    SSL_CTX *context = tls_profile_context(p);
    tls_material_log_expiry(tls_context_material(context), p->name);
    SSL_CTX_free(context);
}
