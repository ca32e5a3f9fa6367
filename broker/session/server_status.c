#include "broker/session/server_status.h"

#include "broker/admin/list_core.h"
#include "broker/base/clock.h"
#include "broker/core/memory_total.h"
#include "broker/core/message.h"
#include "broker/session/resources.h"
#include "broker/session/server.h"

#include <stdio.h>
#include <unistd.h>

struct sheet {
    struct rows *rows;
    const char *section;
};

static void
begin(const struct sheet *sheet, const char *name)
{
    cell_put_string(sheet->rows, sheet->section);
    cell_put_string(sheet->rows, name);
}

static void
put_text(const struct sheet *sheet, const char *name, const char *text)
{
    begin(sheet, name);
    cell_put_string(sheet->rows, text);
    rows_end(sheet->rows);
}

static void
put_number(const struct sheet *sheet, const char *name, uint64_t number)
{
    begin(sheet, name);
    cell_put_number(sheet->rows, number);
    rows_end(sheet->rows);
}

static void
put_nothing(const struct sheet *sheet)
{
    cell_put_string(sheet->rows, sheet->section);
    cell_put_none(sheet->rows);
    cell_put_none(sheet->rows);
    rows_end(sheet->rows);
}

static void
put_broker(struct server *s, struct rows *r)
{
    const struct sheet sheet = { r, "broker" };
    const struct config_server *config = &s->setup->config.server;
    put_text(&sheet, "name", config->name);
    put_text(&sheet, "version", RAIL_VERSION);
    put_number(&sheet, "pid", (uint64_t)getpid());
    put_text(&sheet, "state", atomic_load(&s->phase) == SERVER_STOPPING ? "stopping" : "running");
    put_number(&sheet, "uptime_seconds", (clock_monotonic_ms() - s->started_ms) / 1000u);
    put_number(&sheet, "workers", s->worker_count);
    put_text(&sheet, "data_dir", config->data_dir);
}

static void
put_listener(const struct sheet *sheet, const struct config_listener *l, uint16_t port)
{
    static const char *const protocols[] = {
        [CONFIG_PROTOCOL_AMQP] = "amqp",
        [CONFIG_PROTOCOL_AMQPS] = "amqps",
        [CONFIG_PROTOCOL_HTTP] = "http",
    };
    char address[sizeof(l->bind.host) + 16];
    if (l->bind.is_path)
        snprintf(address, sizeof(address), "unix:%s", l->bind.host);
    else if (strchr(l->bind.host, ':') != NULL)
        snprintf(address, sizeof(address), "[%s]:%u", l->bind.host, port);
    else
        snprintf(address, sizeof(address), "%s:%u", l->bind.host, port);
    put_text(sheet, address, protocols[l->protocol]);
}

/* As they were opened: the ones that listen belong to a worker, which closes them in the end. */
static void
put_listeners(struct server *s, struct rows *r)
{
    const struct sheet sheet = { r, "listeners" };
    const struct config *config = &s->setup->config;
    size_t amqp = 0;
    size_t http = 0;
    for (size_t i = 0; i < config->listener_count; i++) {
        const struct config_listener *l = &config->listeners[i];
        const bool is_http = l->protocol == CONFIG_PROTOCOL_HTTP;
        put_listener(&sheet, l, is_http ? s->http[http++].port : s->ports[amqp++]);
    }
}

static void
put_alarms(struct server *s, const struct resources *resources, struct rows *r)
{
    const struct sheet sheet = { r, "alarms" };
    const struct config_limits *limits = &s->setup->config.limits;
    const unsigned on = broker_check_alarms(&s->broker);
    const bool has_failed = door_has_failed(s->door);
    char text[256];
    if (on == 0 && !has_failed) {
        put_nothing(&sheet);
        return;
    }
    if (on & ALARM_MEMORY) {
        snprintf(text, sizeof(text),
                 "messages take %llu MiB of the %llu MiB that limits.memory_high_watermark allows; "
                 "publishers are blocked",
                 (unsigned long long)message_memory() >> 20,
                 (unsigned long long)limits->memory_high_watermark >> 20);
        put_text(&sheet, "memory", text);
    }
    if (on & ALARM_DISK) {
        snprintf(text, sizeof(text),
                 "%llu MiB are free, less than the store needs or limits.disk_free_watermark "
                 "(%llu MiB) asks for; publishers are blocked",
                 (unsigned long long)resources->disk_free >> 20,
                 (unsigned long long)limits->disk_free_watermark >> 20);
        put_text(&sheet, "disk", text);
    }
    if (has_failed)
        put_text(&sheet, "store", "a write has failed: nothing more is confirmed, and it stops");
}

static const char *
store_state(struct server *s)
{
    if (s->store == NULL)
        return "keeps nothing";
    if (door_has_failed(s->door))
        return "failed";
    if (door_is_short(s->door))
        return "short of room";
    return broker_is_behind(&s->broker) ? "behind" : "working";
}

static void
put_resources(struct server *s, const struct resources *resources, struct rows *r)
{
    const struct config_limits *limits = &s->setup->config.limits;
    const int64_t messages = message_memory();
    const struct sheet memory = { r, "memory" };
    put_number(&memory, "resident_bytes", resources->resident);
    put_number(&memory, "messages_bytes", messages > 0 ? (uint64_t)messages : 0);
    put_number(&memory, "high_watermark_bytes", limits->memory_high_watermark);
    put_number(&memory, "available_to_process_bytes", memory_total_bytes());
    const struct sheet disk = { r, "disk" };
    put_number(&disk, "free_bytes", resources->disk_free);
    put_number(&disk, "total_bytes", resources->disk_total);
    put_number(&disk, "free_watermark_bytes", limits->disk_free_watermark);
    const struct sheet store = { r, "store" };
    put_text(&store, "state", store_state(s));
    const struct sheet descriptors = { r, "descriptors" };
    put_number(&descriptors, "open", resources->descriptors);
    put_number(&descriptors, "limit", resources->descriptors_max);
}

static void
count_vhost(void *context, struct vhost *v)
{
    uint64_t *count = context;
    (void)v;
    (*count)++;
}

static void
put_counts(struct server *s, struct rows *r)
{
    const struct sheet sheet = { r, "counts" };
    struct queue_totals totals;
    uint64_t vhosts = 0;
    admin_each_vhost(&s->broker, count_vhost, &vhosts);
    admin_totals(&s->broker, NULL, &totals);
    put_number(&sheet, "connections", atomic_load(&s->broker.connection_count));
    put_number(&sheet, "vhosts", vhosts);
    put_number(&sheet, "exchanges", totals.exchanges);
    put_number(&sheet, "queues", totals.queues);
    put_number(&sheet, "consumers", totals.consumers);
    put_number(&sheet, "messages_ready", totals.ready);
    put_number(&sheet, "messages_unacknowledged", totals.unacked);
}

void
server_status(struct server *s, struct rows *r)
{
    struct resources resources;
    resources_read(s->setup->config.server.data_dir, &resources);
    put_broker(s, r);
    put_listeners(s, r);
    put_alarms(s, &resources, r);
    put_counts(s, r);
    put_resources(s, &resources, r);
}
