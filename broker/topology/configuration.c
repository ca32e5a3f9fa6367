#include "broker/topology/configuration.h"

static bool
interpret(struct configuration *c, struct config *config)
{
    struct config unused;
    config_init(&unused);
    c->is_definitions = topology_is_definitions(&c->document);
    if (c->is_definitions)
        return definitions_read(&c->document, &c->topology) &&
               topology_lint(&c->topology, &c->document.diagnostics);
    struct config changed = config == NULL ? unused : *config;
    config_read(&c->document, &changed);
    /* What the topology is about is not clear while it has errors. */
    if (topology_read(&c->document, &c->topology))
        topology_lint(&c->topology, &c->document.diagnostics);
    if (c->document.diagnostics.count > 0)
        return false;
    if (config != NULL)
        *config = changed;
    return true;
}

bool
configuration_read(struct configuration *c, const char *path, struct config *config)
{
    *c = (struct configuration){ 0 };
    topology_init(&c->topology);
    return document_read(&c->document, path) && interpret(c, config);
}

bool
configuration_read_text(struct configuration *c, const char *name, struct bytes text,
                        struct config *config)
{
    *c = (struct configuration){ 0 };
    topology_init(&c->topology);
    return document_read_text(&c->document, name, text) && interpret(c, config);
}

void
configuration_fini(struct configuration *c)
{
    topology_fini(&c->topology);
    document_fini(&c->document);
}
