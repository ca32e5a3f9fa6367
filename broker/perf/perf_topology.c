#include "broker/perf/perf_topology.h"

#include "amqp/table.h"
#include "broker/base/mem.h"
#include "broker/base/rand.h"

#include <errno.h>
#include <stdlib.h>

#define QUEUES_MAX 1000000u

/* Writes the pattern with %d (or %4d, %04d) replaced. False if there is no such place in it. */
static bool
pattern_expand(const char *pattern, uint32_t number, char *out, size_t out_size)
{
    const char *percent = strchr(pattern, '%');
    if (percent == NULL)
        return false;
    const bool zeros = percent[1] == '0';
    char *end = NULL;
    const unsigned long width = percent[1] == 'd' ? 0 : strtoul(percent + 1, &end, 10);
    if (end == NULL)
        end = (char *)(uintptr_t)(percent + 1);
    if (*end != 'd' || width > 20)
        return false;
    const int used = snprintf(out, out_size, zeros ? "%.*s%0*u%s" : "%.*s%*u%s",
                              (int)(percent - pattern), pattern, (int)width, number, end + 1);
    return used > 0 && (size_t)used < out_size;
}

static bool
topology_name_queues(struct perf_topology *t, const struct perf_options *o,
                     struct perf_error *error)
{
    char name[AMQP_SHORTSTR_MAX + 1] = "perf-";
    const bool pattern = o->queue_pattern != NULL;
    if (pattern && o->queue_to - o->queue_from >= QUEUES_MAX)
        return perf_error_set(error, "more than %u queues", QUEUES_MAX);
    t->queue_count = pattern ? o->queue_to - o->queue_from + 1 : 1;
    t->queues = mem_alloc_zeroed(t->queue_count * sizeof(*t->queues));
    if (!pattern) {
        if (o->queue == NULL)
            rand_name(name + strlen(name));
        t->made_up = o->queue == NULL && !o->predeclared;
        t->queues[0] = strdup(o->queue != NULL ? o->queue : name);
        if (strlen(t->queues[0]) > AMQP_SHORTSTR_MAX)
            return perf_error_set(error, "--queue: the name is longer than 255 bytes");
        return true;
    }
    for (uint32_t i = 0; i < t->queue_count; i++) {
        if (!pattern_expand(o->queue_pattern, o->queue_from + i, name, sizeof(name)))
            return perf_error_set(error, "--queue-pattern '%s': expected a name with one %%d in it",
                                  o->queue_pattern);
        t->queues[i] = strdup(name);
    }
    return true;
}

static bool
name_check(const char *what, const char *name, struct perf_error *error)
{
    if (name == NULL || strlen(name) <= AMQP_SHORTSTR_MAX)
        return true;
    return perf_error_set(error, "--%s: longer than 255 bytes", what);
}

bool
perf_topology_init(struct perf_topology *t, const struct perf_options *o, struct perf_error *error)
{
    *t = (struct perf_topology){
        .producers = o->producers * o->producer_channels,
        .consumers = o->consumers * o->consumer_channels,
    };
    if (!name_check("exchange", o->exchange, error) || !name_check("type", o->type, error) ||
        !name_check("routing-key", o->routing_key, error))
        return false;
    if (!topology_name_queues(t, o, error)) {
        perf_topology_fini(t);
        return false;
    }
    const bool copies =
        o->routing_key != NULL || strcmp(o->type, "fanout") == 0 || strcmp(o->type, "headers") == 0;
    t->spread = o->exchange[0] != 0 && t->queue_count > 1 && copies;
    return true;
}

void
perf_topology_fini(struct perf_topology *t)
{
    for (uint32_t i = 0; i < t->queue_count; i++)
        mem_free(t->queues[i]);
    mem_free(t->queues);
    *t = (struct perf_topology){ 0 };
}

struct perf_share
perf_share_of(uint32_t index, uint32_t channels, uint32_t queues)
{
    if (channels >= queues)
        return (struct perf_share){ index % queues, queues, 1 };
    return (struct perf_share){ index, channels, (queues - index - 1) / channels + 1 };
}

struct perf_share
perf_topology_routes(const struct perf_topology *t, uint32_t producer)
{
    if (t->spread)
        return (struct perf_share){ 0, 1, 1 };
    return perf_share_of(producer, t->producers, t->queue_count);
}

const char *
perf_topology_key(const struct perf_topology *t, const struct perf_options *o, uint32_t queue)
{
    return o->routing_key != NULL ? o->routing_key : t->queues[queue];
}

uint32_t
perf_topology_writers(const struct perf_topology *t, uint32_t queue)
{
    if (t->spread)
        return t->producers;
    if (t->producers <= t->queue_count)
        return t->producers > 0 ? 1 : 0;
    return (t->producers - queue - 1) / t->queue_count + 1;
}

uint32_t
perf_topology_writer_place(const struct perf_topology *t, uint32_t queue, uint32_t producer)
{
    if (producer >= t->producers)
        return UINT32_MAX;
    if (t->spread)
        return producer;
    if (t->producers <= t->queue_count)
        return queue % t->producers == producer ? 0 : UINT32_MAX;
    return producer % t->queue_count == queue ? producer / t->queue_count : UINT32_MAX;
}

/* One "key=value" of --queue-args. */
static void
argument_append(struct buf *out, char *name, const char *value)
{
    char *end = NULL;
    errno = 0;
    const long long number = strtoll(value, &end, 10);
    if (value[0] != 0 && *end == 0 && errno == 0) {
        /* 64 bits, as PerfTest sends them. */
        const size_t size = strlen(name);
        uint8_t *at = buf_reserve(out, size + 10);
        at[0] = (uint8_t)size;
        memcpy(at + 1, name, size);
        at[size + 1] = 'l';
        store_be64(at + size + 2, (uint64_t)number);
        out->size += size + 10;
    } else if (strcmp(value, "true") == 0 || strcmp(value, "false") == 0) {
        table_put_bool(out, name, value[0] == 't');
    } else {
        table_put_string(out, name, bytes_of_string(value));
    }
}

static bool
arguments_build(const char *text, struct buf *out, struct perf_error *error)
{
    if (text == NULL)
        return true;
    char *copy = strdup(text);
    char *rest = copy;
    bool fine = true;
    for (char *pair = strsep(&rest, ","); pair != NULL && fine; pair = strsep(&rest, ",")) {
        char *value = strchr(pair, '=');
        fine = value != NULL && value != pair && value - pair <= AMQP_SHORTSTR_MAX;
        if (!fine)
            break;
        *value = 0;
        argument_append(out, pair, value + 1);
    }
    mem_free(copy);
    return fine || perf_error_set(error, "--queue-args '%s': expected name=value,...", text);
}

static bool
exchange_declare(struct perf_connection *c, const struct perf_options *o, struct perf_error *error)
{
    if (o->exchange[0] == 0 || strncmp(o->exchange, "amq.", 4) == 0)
        return true;
    const union amqp_method m = { .exchange_declare = {
                                      .id = AMQP_ID_exchange_declare,
                                      .exchange = bytes_of_string(o->exchange),
                                      .type = bytes_of_string(o->type),
                                      .durable = o->persistent,
                                      .auto_delete = o->auto_delete,
                                  } };
    return perf_connection_call(c, 1, &m, AMQP_ID_exchange_declare_ok, NULL, error);
}

static bool
queue_declare(struct perf_connection *c, const struct perf_topology *t,
              const struct perf_options *o, uint32_t queue, struct bytes arguments,
              struct perf_error *error)
{
    const struct bytes name = bytes_of_string(t->queues[queue]);
    const union amqp_method declare = { .queue_declare = {
                                            .id = AMQP_ID_queue_declare,
                                            .queue = name,
                                            .durable = o->persistent,
                                            .auto_delete = o->auto_delete,
                                            .arguments = arguments,
                                        } };
    if (!perf_connection_call(c, 1, &declare, AMQP_ID_queue_declare_ok, NULL, error))
        return false;
    if (o->exchange[0] == 0)
        return true;
    const union amqp_method bind = { .queue_bind = { .id = AMQP_ID_queue_bind,
                                                     .queue = name,
                                                     .exchange = bytes_of_string(o->exchange),
                                                     .routing_key = bytes_of_string(
                                                         perf_topology_key(t, o, queue)) } };
    return perf_connection_call(c, 1, &bind, AMQP_ID_queue_bind_ok, NULL, error);
}

bool
perf_topology_declare(const struct perf_topology *t, const struct perf_broker *b,
                      struct perf_error *error)
{
    const struct perf_options *o = b->options;
    if (o->predeclared || t->producers + t->consumers == 0)
        return true;
    struct perf_connection c = { .fd = -1 };
    struct buf arguments = { 0 };
    bool done = arguments_build(o->queue_arguments, &arguments, error) &&
                perf_connection_open(&c, b, "perf-control", error) &&
                perf_connection_open_channel(&c, 1, error) && exchange_declare(&c, o, error);
    for (uint32_t i = 0; done && i < t->queue_count; i++)
        done = queue_declare(&c, t, o, i, buf_bytes(&arguments), error);
    perf_connection_say_close(&c);
    perf_connection_await_close(&c);
    buf_fini(&arguments);
    return done;
}

void
perf_topology_remove(const struct perf_topology *t, const struct perf_broker *b)
{
    if (!t->made_up || t->producers + t->consumers == 0)
        return;
    struct perf_connection c = { .fd = -1 };
    struct perf_error ignored;
    const union amqp_method m = { .queue_delete = { .id = AMQP_ID_queue_delete,
                                                    .queue = bytes_of_string(t->queues[0]) } };
    if (perf_connection_open(&c, b, "perf-control", &ignored) &&
        perf_connection_open_channel(&c, 1, &ignored))
        perf_connection_call(&c, 1, &m, AMQP_ID_queue_delete_ok, NULL, &ignored);
    perf_connection_say_close(&c);
    perf_connection_await_close(&c);
}
