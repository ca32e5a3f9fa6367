#include "broker/cli/check_tls.h"

#include "broker/session/server_tls.h"
#include "certs/tls_check.h"

#include <errno.h>
#include <string.h>

struct checking {
    struct diagnostics *diagnostics;
    const struct tree_node *item; /* Of the section. */
};

static const char *const keys[] = {
    [TLS_PART_CERTIFICATE] = "certificate",
    [TLS_PART_PRIVATE_KEY] = "private_key",
    [TLS_PART_CLIENT_CA] = "client_ca",
};

/* The setting that a finding is about, or what it should stand in. */
static const struct tree_node *
node_of(const struct checking *c, const struct tls_finding *f)
{
    const struct tree_node *in = c->item;
    const struct tree_node *more = tree_find(in, "more_certificates");
    if (f->part == TLS_PART_PROFILE)
        return in;
    if (f->certificate > 0 && more != NULL && f->certificate <= more->item_count)
        in = more->items[f->certificate - 1];
    const struct tree_node *value = tree_find(in, keys[f->part]);
    return value == NULL ? in : value;
}

/* Who checks may be somebody else than who serves. */
static const char *
hint_of(const struct tls_finding *f)
{
    return strstr(f->text, strerror(EACCES)) != NULL
               ? "if the broker may read it, check as the broker's user: sudo -u railmq railmq "
                 "check FILE"
               : NULL;
}

static void
on_finding(void *context, const struct tls_finding *f)
{
    const struct checking *c = context;
    const struct place place = node_of(c, f)->place;
    const size_t path = f->part == TLS_PART_PROFILE
                            ? c->diagnostics->path.size
                            : diagnostics_path_push(c->diagnostics, bytes_of_string(keys[f->part]));
    if (f->is_warning)
        diagnostics_warning(c->diagnostics, DIAGNOSTIC_TLS_CARE, place, NULL, "%s", f->text);
    else
        diagnostics_error(c->diagnostics, DIAGNOSTIC_TLS, place, hint_of(f), "%s", f->text);
    diagnostics_path_pop(c->diagnostics, path);
}

void
check_tls(struct document *doc, const struct config *config)
{
    struct diagnostics *d = &doc->diagnostics;
    const struct tree_node *section = config->tls_count == 0 ? NULL : tree_find(doc->root, "tls");
    for (size_t i = 0; section != NULL && i < config->tls_count; i++) {
        const char *name = config->tls[i].name;
        const struct tls_settings settings = server_tls_settings(config, i);
        struct checking c = { d, tree_find(section, name) };
        const size_t path = diagnostics_path_push(d, BYTES_LITERAL("tls"));
        diagnostics_path_push(d, bytes_of_string(name));
        if (c.item != NULL)
            tls_settings_check(&settings, on_finding, &c);
        diagnostics_path_pop(d, path);
    }
}
