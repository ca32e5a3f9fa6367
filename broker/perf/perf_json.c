#include "broker/perf/perf_report.h"

static void
json_string(FILE *out, const char *text)
{
    if (text == NULL) {
        fputs("null", out);
        return;
    }
    fputc('"', out);
    for (; *text != 0; text++) {
        const unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            fprintf(out, "\\%c", c);
        else if (c < 0x20)
            fprintf(out, "\\u%04x", c);
        else
            fputc(c, out);
    }
    fputc('"', out);
}

/* The password is nobody's business, so the URI is told without it. */
static void
json_uri(FILE *out, const struct perf_uri *uri)
{
    char text[4 * PERF_URI_PART_MAX];
    snprintf(text, sizeof(text), "amqp://%s@%s:%s/%s", uri->user, uri->host, uri->port, uri->vhost);
    json_string(out, text);
}

static void
json_option(FILE *out, const struct perf_options *o, const struct perf_option *row)
{
    const void *place = (const char *)o + row->offset;
    switch (row->kind) {
    case PERF_OPTION_SWITCH:
    case PERF_OPTION_BOOL:
        fputs(*(const bool *)place ? "true" : "false", out);
        return;
    case PERF_OPTION_U32:
        fprintf(out, "%u", *(const uint32_t *)place);
        return;
    case PERF_OPTION_U64:
        fprintf(out, "%llu", (unsigned long long)*(const uint64_t *)place);
        return;
    case PERF_OPTION_RATE:
        fprintf(out, "%.9g", *(const double *)place);
        return;
    case PERF_OPTION_TEXT:
        if (row->offset == offsetof(struct perf_options, uri))
            json_uri(out, &o->target);
        else
            json_string(out, *(const char *const *)place);
        return;
    case PERF_OPTION_FLAG:
        fprintf(out, "[%s%s%s]", o->persistent ? "\"persistent\"" : "",
                o->persistent && o->mandatory ? "," : "", o->mandatory ? "\"mandatory\"" : "");
        return;
    }
}

static void
json_options(FILE *out, const struct perf_options *o)
{
    fputs(",\n  \"options\": {", out);
    const char *comma = "";
    for (size_t i = 0; i < perf_options_count; i++) {
        const struct perf_option *row = &perf_options_table[i];
        if (row->offset == offsetof(struct perf_options, help) && row->kind == PERF_OPTION_SWITCH)
            continue;
        fprintf(out, "%s\"%s\": ", comma, row->longer);
        json_option(out, o, row);
        comma = ", ";
    }
    fputs("}", out);
}

static void
json_number(FILE *out, const char *name, uint64_t value)
{
    fprintf(out, ",\n  \"%s\": %llu", name, (unsigned long long)value);
}

static void
json_latency(FILE *out, const char *name, const struct histogram *h)
{
    static const struct {
        const char *name;
        double fraction;
    } rows[] = { { "min", 0 },    { "median", 0.5 }, { "p75", 0.75 }, { "p95", 0.95 },
                 { "p99", 0.99 }, { "p999", 0.999 }, { "max", 1 } };
    const uint64_t count = histogram_count(h);
    fprintf(out, ",\n  \"%s\": ", name);
    if (count == 0) {
        fputs("null", out);
        return;
    }
    fprintf(out, "{\"count\": %llu", (unsigned long long)count);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        fprintf(out, ", \"%s\": %.1f", rows[i].name,
                (double)histogram_quantile(h, rows[i].fraction) / 1e3);
    fputs("}", out);
}

static void
json_cpu(FILE *out, const char *name, const struct perf_cpu *cpu, uint64_t messages)
{
    const double total = cpu->user_s + cpu->system_s;
    fprintf(out, ",\n  \"%s\": {\"user_s\": %.6f, \"system_s\": %.6f", name, cpu->user_s,
            cpu->system_s);
    if (messages > 0)
        fprintf(out, ", \"us_per_message\": %.4f", total * 1e6 / (double)messages);
    fputs("}", out);
}

static void
json_order(FILE *out, const struct perf_result *r)
{
    const struct perf_order_totals *t = &r->order;
    fprintf(out, ",\n  \"order_watched\": %s", t->watched ? "true" : "false");
    if (t->watched) {
        json_number(out, "out_of_order", t->out_of_order);
        json_number(out, "duplicates", t->duplicates);
        json_number(out, "lost", t->lost);
        json_number(out, "unwatched", t->unwatched);
        fprintf(out, ",\n  \"order_exact\": %s", t->inexact ? "false" : "true");
    }
    if (r->accounted)
        json_number(out, "not_received", r->missing);
    json_number(out, "foreign", t->foreign);
}

void
perf_report_json(FILE *out, const struct perf_result *r)
{
    const struct perf_counters *p = &r->totals.produced;
    const struct perf_counters *c = &r->totals.consumed;
    fputs("{\n  \"id\": ", out);
    json_string(out, r->id);
    fputs(",\n  \"version\": ", out);
    json_string(out, RAIL_VERSION);
    fputs(",\n  \"failure\": ", out);
    json_string(out, r->failure);
    fprintf(out, ",\n  \"time_s\": %.3f", r->time_s);
    json_number(out, "published", p->published);
    json_number(out, "confirmed", p->confirmed);
    json_number(out, "nacked", p->nacked);
    json_number(out, "unexpected_confirms", p->unexpected);
    json_number(out, "returned", p->returned);
    json_number(out, "consumed", c->consumed);
    json_number(out, "redelivered", c->redelivered);
    fprintf(out, ",\n  \"rates\": {\"published\": %.1f, \"confirmed\": %.1f, \"consumed\": %.1f}",
            perf_counters_rate(p, p->published, p->last_ns),
            perf_counters_rate(p, p->confirmed, p->settled_ns),
            perf_counters_rate(c, c->consumed, c->last_ns));
    json_latency(out, "consumer_latency_us", &r->totals.consumer_latency);
    json_latency(out, "confirm_latency_us", &r->totals.confirm_latency);
    json_order(out, r);
    json_cpu(out, "cpu", &r->process, 0);
    json_cpu(out, "cpu_producers", &r->producers, p->published);
    json_cpu(out, "cpu_consumers", &r->consumers, c->consumed);
    json_options(out, r->options);
    fputs("\n}\n", out);
    fflush(out);
}
