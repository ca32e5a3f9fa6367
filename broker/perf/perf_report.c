#include "broker/perf/perf_report.h"

#define NS_PER_S 1e9

static void
counters_add(struct perf_counters *to, const struct perf_counters *from)
{
    const uint64_t first_ns = perf_counter_get(&from->first_ns);
    const uint64_t last_ns = perf_counter_get(&from->last_ns);
    const uint64_t settled_ns = perf_counter_get(&from->settled_ns);
    to->published += perf_counter_get(&from->published);
    to->confirmed += perf_counter_get(&from->confirmed);
    to->nacked += perf_counter_get(&from->nacked);
    to->returned += perf_counter_get(&from->returned);
    to->unexpected += perf_counter_get(&from->unexpected);
    to->consumed += perf_counter_get(&from->consumed);
    to->redelivered += perf_counter_get(&from->redelivered);
    if (first_ns > 0 && (to->first_ns == 0 || first_ns < to->first_ns))
        to->first_ns = first_ns;
    if (last_ns > to->last_ns)
        to->last_ns = last_ns;
    if (settled_ns > to->settled_ns)
        to->settled_ns = settled_ns;
}

void
perf_totals_add_producers(struct perf_totals *t, const struct perf_worker *w, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        counters_add(&t->produced, &w[i].counters);
        histogram_add(&t->confirm_latency, &w[i].latency);
    }
}

void
perf_totals_add_consumers(struct perf_totals *t, const struct perf_worker *w, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        counters_add(&t->consumed, &w[i].counters);
        histogram_add(&t->consumer_latency, &w[i].latency);
    }
}

double
perf_counters_rate(const struct perf_counters *c, uint64_t count, uint64_t last_ns)
{
    if (last_ns <= c->first_ns)
        return 0;
    return (double)count * NS_PER_S / (double)(last_ns - c->first_ns);
}

static void
report_quantiles(FILE *out, const struct perf_options *o, const char *what,
                 const struct histogram *h)
{
    static const double fractions[] = { 0, 0.5, 0.75, 0.95, 0.99 };
    const double unit = o->use_millis ? 1e6 : 1e3;
    fprintf(out, ", min/median/75th/95th/99th %s latency: ", what);
    for (size_t i = 0; i < sizeof(fractions) / sizeof(fractions[0]); i++)
        fprintf(out, "%s%.0f", i > 0 ? "/" : "",
                (double)histogram_quantile(h, fractions[i]) / unit);
    fprintf(out, " %s", o->use_millis ? "ms" : "us");
}

static void
report_rate(FILE *out, const char *what, uint64_t now, uint64_t before, double interval_s)
{
    fprintf(out, ", %s: %.0f msg/s", what, (double)(now - before) / interval_s);
}

void
perf_report_interval(FILE *out, const struct perf_options *o, const char *id,
                     const struct perf_totals *now, struct perf_totals *before, double time_s,
                     double interval_s)
{
    const struct perf_counters *p = &now->produced;
    const struct perf_counters *old = &before->produced;
    fprintf(out, "id: %s, time %.3f s", id, time_s);
    if (o->producers > 0)
        report_rate(out, "sent", p->published, old->published, interval_s);
    if (o->mandatory)
        report_rate(out, "returned", p->returned, old->returned, interval_s);
    if (o->confirm > 0) {
        report_rate(out, "confirmed", p->confirmed, old->confirmed, interval_s);
        report_rate(out, "nacked", p->nacked, old->nacked, interval_s);
    }
    if (o->consumers > 0)
        report_rate(out, "received", now->consumed.consumed, before->consumed.consumed, interval_s);
    struct histogram fresh = now->consumer_latency;
    histogram_subtract(&fresh, &before->consumer_latency);
    if (histogram_count(&fresh) > 0)
        report_quantiles(out, o, "consumer", &fresh);
    fresh = now->confirm_latency;
    histogram_subtract(&fresh, &before->confirm_latency);
    if (histogram_count(&fresh) > 0)
        report_quantiles(out, o, "confirm", &fresh);
    fprintf(out, "\n");
    fflush(out);
    *before = *now;
}

static void
summary_latency(FILE *out, const struct perf_result *r, const char *what, const struct histogram *h)
{
    static const double fractions[] = { 0, 0.5, 0.75, 0.95, 0.99, 0.999, 1 };
    const bool millis = r->options->use_millis;
    if (histogram_count(h) == 0)
        return;
    fprintf(out, "id: %s, %s latency min/median/75th/95th/99th/99.9th/max: ", r->id, what);
    for (size_t i = 0; i < sizeof(fractions) / sizeof(fractions[0]); i++)
        fprintf(out, "%s%.0f", i > 0 ? "/" : "",
                (double)histogram_quantile(h, fractions[i]) / (millis ? 1e6 : 1e3));
    fprintf(out, " %s\n", millis ? "ms" : "us");
}

static void
summary_counts(FILE *out, const struct perf_result *r)
{
    const struct perf_options *o = r->options;
    const struct perf_counters *p = &r->totals.produced;
    const struct perf_counters *c = &r->totals.consumed;
    fprintf(out, "id: %s, time %.3f s", r->id, r->time_s);
    if (o->producers > 0)
        fprintf(out, ", published: %llu", (unsigned long long)p->published);
    if (o->confirm > 0)
        fprintf(out, ", confirmed: %llu, nacked: %llu", (unsigned long long)p->confirmed,
                (unsigned long long)p->nacked);
    if (p->unexpected > 0)
        fprintf(out, ", unexpected confirms: %llu", (unsigned long long)p->unexpected);
    if (o->mandatory)
        fprintf(out, ", returned: %llu", (unsigned long long)p->returned);
    if (o->consumers > 0)
        fprintf(out, ", consumed: %llu", (unsigned long long)c->consumed);
    if (c->redelivered > 0)
        fprintf(out, ", redelivered: %llu", (unsigned long long)c->redelivered);
    fprintf(out, "\n");
    if (p->published > 0)
        fprintf(out, "id: %s, sending rate avg: %.0f msg/s\n", r->id,
                perf_counters_rate(p, p->published, p->last_ns));
    if (p->confirmed > 0)
        fprintf(out, "id: %s, confirm rate avg: %.0f msg/s\n", r->id,
                perf_counters_rate(p, p->confirmed, p->settled_ns));
    if (c->consumed > 0)
        fprintf(out, "id: %s, receiving rate avg: %.0f msg/s\n", r->id,
                perf_counters_rate(c, c->consumed, c->last_ns));
}

static void
summary_order(FILE *out, const struct perf_result *r)
{
    const struct perf_order_totals *t = &r->order;
    if (!t->watched && !r->accounted)
        return;
    fprintf(out, "id: %s", r->id);
    if (t->watched)
        fprintf(out, ", out of order: %llu, duplicates: %llu, lost: %llu",
                (unsigned long long)t->out_of_order, (unsigned long long)t->duplicates,
                (unsigned long long)t->lost);
    if (r->accounted)
        fprintf(out, ", not received: %llu", (unsigned long long)r->missing);
    if (t->unwatched > 0)
        fprintf(out, ", not checked: %llu", (unsigned long long)t->unwatched);
    if (t->foreign > 0)
        fprintf(out, ", of other runs: %llu", (unsigned long long)t->foreign);
    fprintf(out, "%s\n", t->inexact ? " (too many gaps: late ones may count as duplicates)" : "");
}

static void
summary_cpu(FILE *out, const struct perf_result *r, const char *what, const struct perf_cpu *cpu,
            uint64_t messages)
{
    if (messages == 0)
        return;
    const double each = 1e6 / (double)messages;
    fprintf(out, "id: %s, own CPU %s: %.3f us a message (user %.3f, system %.3f)\n", r->id, what,
            (cpu->user_s + cpu->system_s) * each, cpu->user_s * each, cpu->system_s * each);
}

void
perf_report_summary(FILE *out, const struct perf_result *r)
{
    summary_counts(out, r);
    summary_latency(out, r, "consumer", &r->totals.consumer_latency);
    summary_latency(out, r, "confirm", &r->totals.confirm_latency);
    summary_order(out, r);
    summary_cpu(out, r, "producers", &r->producers, r->totals.produced.published);
    summary_cpu(out, r, "consumers", &r->consumers, r->totals.consumed.consumed);
    fflush(out);
}
