/* The metrics that Prometheus collects. Names are RabbitMQ's where it has the same. */

#include "broker/admin/list_core.h"
#include "broker/admin/prometheus.h"
#include "broker/base/clock.h"
#include "broker/base/log.h"
#include "broker/core/message.h"
#include "broker/session/resources.h"
#include "broker/session/server.h"
#include "certs/tls_profile.h"

#include <stdio.h>
#include <stdlib.h>

/* Queues that are shown one by one; of more only so many, by name. */
#define DETAILED_QUEUES_MAX 10000u

static void
put_process(struct server *s, struct buf *out)
{
    struct resources r;
    const struct config_server *config = &s->setup->config.server;
    const struct prometheus_label node[] = {
        { "rabbitmq_node", bytes_of_string(config->name) },
        { "rabbitmq_cluster", bytes_of_string(config->name) },
        { "rail_version", BYTES_LITERAL(RAIL_VERSION) },
    };
    resources_read(config->data_dir, &r);
    prometheus_family(out, "rabbitmq_identity_info", "gauge", "Who this node is.");
    prometheus_sample(out, "rabbitmq_identity_info", node, 3, 1);
    prometheus_gauge(out, "rail_uptime_seconds", "Time since the broker began to start.",
                     (double)(clock_monotonic_ms() - s->started_ms) / 1e3);
    prometheus_gauge(out, "rail_phase", "0 while it starts, 1 while it runs, 2 while it stops.",
                     atomic_load(&s->phase));
    prometheus_gauge(out, "rabbitmq_process_resident_memory_bytes", "Memory of the process.",
                     (double)r.resident);
    prometheus_gauge(out, "rabbitmq_process_open_fds", "Open file descriptors.",
                     (double)r.descriptors);
    prometheus_gauge(out, "rabbitmq_process_max_fds", "The most descriptors it may have open.",
                     (double)r.descriptors_max);
    prometheus_family(out, "process_cpu_seconds_total", "counter",
                      "Time that the process has computed.");
    prometheus_sample(out, "process_cpu_seconds_total", NULL, 0, r.cpu_seconds);
    prometheus_gauge(out, "rabbitmq_disk_space_available_bytes",
                     "Free on the file system of the data directory.", (double)r.disk_free);
}

static void
put_limits(struct server *s, struct buf *out)
{
    const struct config_limits *limits = &s->setup->config.limits;
    const unsigned alarms = broker_check_alarms(&s->broker);
    const int64_t messages = message_memory();
    prometheus_gauge(out, "rail_message_memory_bytes", "Memory that messages take.",
                     messages > 0 ? (double)messages : 0);
    prometheus_gauge(out, "rabbitmq_resident_memory_limit_bytes",
                     "Memory of messages at which publishers are blocked.",
                     (double)limits->memory_high_watermark);
    prometheus_gauge(out, "rabbitmq_disk_space_available_limit_bytes",
                     "Free space below which publishers are blocked.",
                     (double)limits->disk_free_watermark);
    prometheus_gauge(out, "rabbitmq_alarms_memory_used_watermark",
                     "1 while publishers are blocked because memory is short.",
                     (alarms & ALARM_MEMORY) != 0);
    prometheus_gauge(out, "rabbitmq_alarms_free_disk_space_watermark",
                     "1 while publishers are blocked because the disk is short.",
                     (alarms & ALARM_DISK) != 0);
}

static void
put_counters(struct server *s, struct buf *out)
{
    struct counters sum = { 0 };
    for (unsigned i = 0; i < s->worker_count; i++) {
        struct counters *w = &s->workers[i].counters;
#define COUNTER(member, name, help)                                                                \
    counter_add(&sum.member, atomic_load_explicit(&w->member, memory_order_relaxed));
#include "broker/session/counters.def"
    }
#define COUNTER(member, name, help) prometheus_counter(out, name, help, atomic_load(&sum.member));
#include "broker/session/counters.def"
    const struct broker_counters *c = &s->broker.counters;
    prometheus_counter(out, "rail_log_lines_dropped_total",
                       "Lines of the log that were dropped, because it could not be written fast "
                       "enough.",
                       log_dropped());
    prometheus_counter(out, "rail_connections_refused_total",
                       "Connections refused because of a limit.",
                       atomic_load(&c->connections_refused));
    prometheus_counter(out, "rail_handshakes_failed_total",
                       "Connections that ended before they were open, failed logins included.",
                       atomic_load(&c->handshakes_failed));
    prometheus_counter(out, "rail_logins_refused_total", "Logins that were refused.",
                       atomic_load(&c->logins_refused));
    prometheus_counter(out, "rail_tls_handshakes_total", "TLS handshakes that were completed.",
                       atomic_load(&c->tls_handshakes));
    prometheus_counter(out, "rail_tls_handshakes_failed_total", "TLS handshakes that failed.",
                       atomic_load(&c->tls_handshakes_failed));
    prometheus_counter(out, "rail_heartbeats_missed_total",
                       "Connections closed because the client had gone silent.",
                       atomic_load(&c->heartbeats_missed));
    prometheus_counter(out, "rail_protocol_errors_total",
                       "Connections closed because of an error of the client.",
                       atomic_load(&c->protocol_errors));
}

static void
put_store(struct server *s, struct buf *out)
{
    const struct door_counters *c = door_counters(s->door);
    uint64_t counts[DOOR_COMMIT_BOUNDS + 1];
    for (size_t i = 0; i <= DOOR_COMMIT_BOUNDS; i++)
        counts[i] = atomic_load_explicit(&c->commits[i], memory_order_relaxed);
    prometheus_histogram(
        out, "rail_commit_seconds", "Time from handing a round to the store until it is committed.",
        door_commit_bounds, counts, DOOR_COMMIT_BOUNDS, (double)atomic_load(&c->commit_ns) / 1e9);
    prometheus_counter(out, "rail_committed_bytes_total", "Octets committed to the store.",
                       atomic_load(&c->commit_bytes));
    prometheus_gauge(out, "rail_commit_pending_bytes", "Octets that wait for a commit.",
                     (double)door_bytes_pending(s->door));
    prometheus_gauge(out, "rail_store_failed", "1 once a write has failed.",
                     door_has_failed(s->door));
}

static void
put_totals(struct server *s, struct buf *out)
{
    struct queue_totals t;
    admin_totals(&s->broker, NULL, &t);
    prometheus_gauge(out, "rabbitmq_queues", "Queues.", (double)t.queues);
    prometheus_gauge(out, "rabbitmq_exchanges", "Exchanges.", (double)t.exchanges);
    prometheus_gauge(out, "rabbitmq_consumers", "Consumers.", (double)t.consumers);
    prometheus_gauge(out, "rabbitmq_connections", "Connections.",
                     atomic_load(&s->broker.connection_count));
    prometheus_gauge(out, "rabbitmq_queue_messages_ready", "Messages that wait for a consumer.",
                     (double)t.ready);
    prometheus_gauge(out, "rabbitmq_queue_messages_unacked", "Messages sent and not settled.",
                     (double)t.unacked);
    prometheus_gauge(out, "rabbitmq_queue_messages", "Both together.",
                     (double)(t.ready + t.unacked));
    prometheus_gauge(out, "rabbitmq_queue_messages_ready_bytes",
                     "Octets of the bodies of messages that wait.", (double)t.ready_octets);
}

struct detail {
    struct broker *broker;
    struct buf *ready;
    struct buf *unacked;
    struct buf *consumers;
    size_t shown;
    size_t hidden;
};

static int
name_order(const void *a, const void *b)
{
    const struct queue *const *x = a;
    const struct queue *const *y = b;
    return bytes_compare((*x)->name, (*y)->name);
}

static void
put_queue(struct detail *d, const struct vhost *v, struct queue *q)
{
    const struct queue_counts counts = queue_counts(q);
    const struct prometheus_label labels[] = { { "vhost", v->name }, { "queue", q->name } };
    prometheus_count(d->ready, "rabbitmq_queue_messages_ready", labels, 2, counts.ready);
    prometheus_count(d->unacked, "rabbitmq_queue_messages_unacked", labels, 2, counts.unacked);
    prometheus_count(d->consumers, "rabbitmq_queue_consumers", labels, 2, counts.consumers);
}

static void
put_vhost(void *context, struct vhost *v)
{
    struct detail *d = context;
    size_t count;
    struct queue **queues = admin_queues(v, &count);
    qsort(queues, count, sizeof(struct queue *), name_order);
    for (size_t i = 0; i < count; i++) {
        if (d->shown < DETAILED_QUEUES_MAX) {
            put_queue(d, v, queues[i]);
            d->shown++;
        } else {
            d->hidden++;
        }
    }
    admin_queues_release(queues, count);
}

/* A family's samples must stand together, so each is gathered by itself. */
static void
put_queues(struct server *s, struct buf *out)
{
    struct buf ready = { 0 };
    struct buf unacked = { 0 };
    struct buf consumers = { 0 };
    struct detail d = { &s->broker, &ready, &unacked, &consumers, 0, 0 };
    admin_each_vhost(&s->broker, put_vhost, &d);
    prometheus_family(out, "rabbitmq_queue_messages_ready", "gauge",
                      "Messages that wait for a consumer.");
    buf_append_bytes(out, buf_bytes(&ready));
    prometheus_family(out, "rabbitmq_queue_messages_unacked", "gauge",
                      "Messages sent and not settled.");
    buf_append_bytes(out, buf_bytes(&unacked));
    prometheus_family(out, "rabbitmq_queue_consumers", "gauge", "Consumers.");
    buf_append_bytes(out, buf_bytes(&consumers));
    prometheus_gauge(out, "rail_queues_not_shown", "Queues beyond those that are shown here.",
                     (double)d.hidden);
    buf_fini(&ready);
    buf_fini(&unacked);
    buf_fini(&consumers);
}

static void
put_certificates(struct server *s, struct buf *out)
{
    static const char name[] = "rail_tls_certificate_expires_timestamp_seconds";
    const struct config *config = &s->setup->config;
    if (config->tls_count == 0)
        return;
    prometheus_family(out, name, "gauge",
                      "When the first certificate of the TLS settings of that name expires.");
    for (size_t i = 0; i < config->tls_count; i++) {
        const struct prometheus_label label = { "tls", bytes_of_string(config->tls[i].name) };
        prometheus_sample(out, name, &label, 1, (double)tls_profile_expires(s->tls[i]));
    }
}

static void
put_drift(struct server *s, struct buf *out)
{
    bool differs;
    if (server_drift_look(s, &differs))
        prometheus_gauge(out, "rail_topology_drift",
                         "1 while what exists differs from what the configuration file says; "
                         "railmq plan shows how.",
                         differs);
}

void
server_metrics_starting(struct server *s, struct buf *out)
{
    put_process(s, out);
}

void
server_metrics(struct server *s, bool is_detailed, struct buf *out)
{
    if (is_detailed) {
        put_queues(s, out);
        return;
    }
    put_process(s, out);
    put_limits(s, out);
    put_totals(s, out);
    put_counters(s, out);
    put_certificates(s, out);
    put_drift(s, out);
    put_store(s, out);
}
