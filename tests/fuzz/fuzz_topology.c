/*
 * Documents as `railmq apply` sends them: whatever is read without an error is written, and read
 * again as the same objects; against itself it plans nothing but what it says must go.
 */

#include "broker/base/panic.h"
#include "broker/topology/configuration.h"
#include "broker/topology/plan.h"
#include "broker/topology/write.h"
#include "tests/fuzz/fuzz.h"

static void
check_plan(const struct topology *t)
{
    struct plan plan;
    plan_make(&plan, &(const struct plan_request){ .current = t, .wanted = t });
    for (size_t i = 0; i < plan.count; i++) {
        const struct change *c = &plan.changes[i];
        const bool has_password = c->wanted != NULL && c->wanted->kind == TOPOLOGY_USER;
        ASSERT(c->kind == CHANGE_DELETE || has_password);
    }
    plan_fini(&plan);
}

static void
check_writing(const struct topology *t)
{
    struct buf text = { 0 };
    struct configuration again;
    topology_write(t, WRITE_FOR_BROKER, &text);
    const bool is_read = configuration_read_text(&again, "again", buf_bytes(&text), NULL);
    if (is_read) {
        ASSERT(again.topology.count <= t->count);
        for (size_t i = 0; i < again.topology.count; i++)
            ASSERT(topology_find(t, &again.topology.items[i]) != NULL);
    }
    configuration_fini(&again);
    buf_fini(&text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct configuration c;
    struct buf report = { 0 };
    /* Files and variables of the machine are not the input. */
    if (size > 0 && memmem(data, size, "${", 2) != NULL)
        return 0;
    if (configuration_read_text(&c, "fuzz", bytes_of(data, size), NULL)) {
        check_plan(&c.topology);
        check_writing(&c.topology);
    } else {
        ASSERT(c.document.diagnostics.count > 0);
    }
    diagnostics_print(&c.document.diagnostics, &report);
    diagnostics_print_json(&c.document.diagnostics, &report);
    buf_fini(&report);
    configuration_fini(&c);
    return 0;
}
