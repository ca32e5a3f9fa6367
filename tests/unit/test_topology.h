#ifndef TESTS_UNIT_TEST_TOPOLOGY_H
#define TESTS_UNIT_TEST_TOPOLOGY_H

/* What the tests of the topology share: reading text, and failing with its report. */

#include "broker/topology/configuration.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Reads a copy of its exact size. */
static inline bool
read_text(struct configuration *c, const char *text)
{
    return configuration_read_text(c, "broker.yaml", bytes_of_string(text), NULL);
}

static inline void
expect_read(struct configuration *c, const char *text)
{
    if (read_text(c, text))
        return;
    struct buf report = { 0 };
    diagnostics_print(&c->document.diagnostics, &report);
    fail_msg("%.*s\nof:\n%s", BYTES_ARGS(buf_bytes(&report)), text);
}

#endif
