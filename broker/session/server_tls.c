#include "broker/session/server_tls.h"

#include "broker/base/log.h"
#include "broker/session/server.h"

#include <stdio.h>
#include <string.h>

static const enum tls_verify verify_of[] = {
    [CONFIG_VERIFY_NONE] = TLS_VERIFY_NONE,
    [CONFIG_VERIFY_OPTIONAL] = TLS_VERIFY_OPTIONAL,
    [CONFIG_VERIFY_REQUIRED] = TLS_VERIFY_REQUIRED,
};

static const enum tls_version version_of[] = {
    [CONFIG_TLS_1_2] = TLS_VERSION_1_2,
    [CONFIG_TLS_1_3] = TLS_VERSION_1_3,
};

static const enum tls_identity identity_of[] = {
    [CONFIG_LOGIN_COMMON_NAME] = TLS_IDENTITY_COMMON_NAME,
    [CONFIG_LOGIN_DISTINGUISHED_NAME] = TLS_IDENTITY_DISTINGUISHED_NAME,
    [CONFIG_LOGIN_SAN_DNS] = TLS_IDENTITY_SAN_DNS,
    [CONFIG_LOGIN_SAN_EMAIL] = TLS_IDENTITY_SAN_EMAIL,
    [CONFIG_LOGIN_SAN_URI] = TLS_IDENTITY_SAN_URI,
};

struct tls_settings
server_tls_settings(const struct config *config, size_t index)
{
    const struct config_tls *tls = &config->tls[index];
    struct tls_settings s = {
        .name = tls->name,
        .certificates = { { tls->certificate, tls->private_key } },
        .certificate_count = 1,
        .client_ca = tls->client_ca,
        .verify = verify_of[tls->verify_client],
        .depth = tls->verify_depth,
        .min_version = version_of[tls->min_version],
        .max_version = version_of[tls->max_version],
        .ciphers = tls->ciphers,
        .ciphersuites = tls->ciphersuites,
        .curves = tls->curves,
        .session_tickets = tls->session_tickets,
        .identity = identity_of[tls->login_from],
    };
    for (size_t i = 0; i < config->certificate_count; i++) {
        const struct config_certificate *c = &config->certificates[i];
        if (c->tls == index && s.certificate_count < TLS_CERTIFICATES_MAX)
            s.certificates[s.certificate_count++] =
                (struct tls_certificate){ c->certificate, c->private_key };
    }
    return s;
}

bool
server_tls_open(struct server *s, char *problem, size_t problem_size)
{
    const struct config *config = &s->setup->config;
    for (size_t i = 0; i < config->tls_count; i++) {
        char why[1400];
        const struct tls_settings settings = server_tls_settings(config, i);
        s->tls[i] = tls_profile_create(&settings, why, sizeof(why));
        if (s->tls[i] != NULL)
            continue;
        snprintf(problem, problem_size, "tls.%s: %s", settings.name, why);
        server_tls_close(s);
        return false;
    }
    server_tls_log_expiry(s);
    return true;
}

struct tls_profile *
server_tls_find(const struct server *s, const char *name)
{
    const struct config *config = &s->setup->config;
    const struct config_tls *tls = config_tls_find(config, bytes_of_string(name));
    ASSERT(tls != NULL);
    return s->tls[tls - config->tls];
}

static void
reload_profile(struct tls_profile *p, const struct tls_settings *settings)
{
    char why[1400];
    char quoted[1400];
    if (tls_profile_reload(p, settings, why, sizeof(why)))
        log_info("tls.reloaded", "tls=%s msg=\"new connections get the new certificates\"",
                 settings->name);
    else
        log_error("tls.reload_refused",
                  "tls=%s msg=\"%s; the certificates from before stay in use\"", settings->name,
                  log_quote(bytes_of_string(why), quoted, sizeof(quoted)));
}

/* Those of the command line are not in the file. */
static struct tls_settings
fresh_settings(const struct server *s, size_t index, const struct config *config)
{
    const struct config *old = &s->setup->config;
    const struct config_tls *tls = config_tls_find(config, bytes_of_string(old->tls[index].name));
    return tls != NULL ? server_tls_settings(config, (size_t)(tls - config->tls))
                       : server_tls_settings(old, index);
}

void
server_tls_reload(struct server *s, const struct config *config)
{
    const struct config *old = &s->setup->config;
    for (size_t i = 0; i < old->tls_count; i++) {
        const struct tls_settings settings = fresh_settings(s, i, config);
        reload_profile(s->tls[i], &settings);
    }
    for (size_t i = 0; i < config->tls_count; i++) {
        if (config_tls_find(old, bytes_of_string(config->tls[i].name)) == NULL)
            log_warning("config.restart_needed",
                        "key=tls.%s msg=\"it is new in the file and counts after a restart\"",
                        config->tls[i].name);
    }
    server_tls_log_expiry(s);
}

void
server_tls_log_expiry(struct server *s)
{
    for (size_t i = 0; i < s->setup->config.tls_count; i++)
        tls_profile_log_expiry(s->tls[i]);
}

void
server_tls_close(struct server *s)
{
    for (size_t i = 0; i < CONFIG_TLS_MAX; i++) {
        tls_profile_destroy(s->tls[i]);
        s->tls[i] = NULL;
    }
}
