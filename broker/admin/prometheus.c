#include "broker/admin/prometheus.h"

#include <math.h>
#include <stdio.h>

void
prometheus_family(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* The format wants UTF-8; what is none of it becomes U+FFFD, octet for octet. */
static void
put_label_value(struct buf *out, struct bytes value)
{
    const bool is_text = bytes_are_utf8(value);
    for (size_t i = 0; i < value.size; i++) {
        const uint8_t c = value.data[i];
        if (c == '\\' || c == '"')
            buf_printf(out, "\\%c", c);
        else if (c == '\n')
            buf_printf(out, "\\n");
        else if (c >= 0x80 && !is_text)
            buf_printf(out, "\xEF\xBF\xBD");
        else
            buf_append(out, &c, 1);
    }
}

static void
put_name(struct buf *out, const char *name, const struct prometheus_label *labels,
         size_t label_count)
{
    buf_printf(out, "%s", name);
    for (size_t i = 0; i < label_count; i++) {
        buf_printf(out, "%c%s=\"", i == 0 ? '{' : ',', labels[i].name);
        put_label_value(out, labels[i].value);
        buf_append(out, "\"", 1);
    }
    buf_printf(out, label_count > 0 ? "} " : " ");
}

static void
put_double(struct buf *out, double value)
{
    if (isnan(value))
        buf_printf(out, "NaN");
    else if (isinf(value))
        buf_printf(out, value > 0 ? "+Inf" : "-Inf");
    else
        buf_printf(out, "%.15g", value);
}

void
prometheus_sample(struct buf *out, const char *name, const struct prometheus_label *labels,
                  size_t label_count, double value)
{
    put_name(out, name, labels, label_count);
    put_double(out, value);
    buf_append(out, "\n", 1);
}

void
prometheus_count(struct buf *out, const char *name, const struct prometheus_label *labels,
                 size_t label_count, uint64_t value)
{
    put_name(out, name, labels, label_count);
    buf_printf(out, "%llu\n", (unsigned long long)value);
}

void
prometheus_gauge(struct buf *out, const char *name, const char *help, double value)
{
    prometheus_family(out, name, "gauge", help);
    prometheus_sample(out, name, NULL, 0, value);
}

void
prometheus_counter(struct buf *out, const char *name, const char *help, uint64_t value)
{
    prometheus_family(out, name, "counter", help);
    prometheus_count(out, name, NULL, 0, value);
}

static void
put_bucket(struct buf *out, const char *name, double bound, uint64_t count)
{
    buf_printf(out, "%s_bucket{le=\"", name);
    put_double(out, bound);
    buf_printf(out, "\"} %llu\n", (unsigned long long)count);
}

void
prometheus_histogram(struct buf *out, const char *name, const char *help, const double *bounds,
                     const uint64_t *counts, size_t bound_count, double sum)
{
    uint64_t total = 0;
    prometheus_family(out, name, "histogram", help);
    for (size_t i = 0; i < bound_count; i++) {
        total += counts[i];
        put_bucket(out, name, bounds[i], total);
    }
    total += counts[bound_count];
    put_bucket(out, name, (double)INFINITY, total);
    buf_printf(out, "%s_sum ", name);
    put_double(out, sum);
    buf_printf(out, "\n%s_count %llu\n", name, (unsigned long long)total);
}
