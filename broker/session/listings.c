#include "broker/session/listings.h"

#include "broker/admin/list_core.h"
#include "broker/config/text.h"
#include "broker/session/list_connections.h"
#include "broker/session/list_users.h"
#include "broker/session/server.h"

#include <stdio.h>

#define ANSWER_TIMEOUT_MS 5000u

static bool
ask_workers(struct server *s, survey_visit *visit, struct bytes vhost,
            const struct selection *selection, struct rows *r, char *problem, size_t problem_size)
{
    struct survey_question question = { .visit = visit, .selection = *selection };
    question.vhost_size = vhost.size;
    if (vhost.size > 0)
        memcpy(question.vhost, vhost.data, vhost.size);
    if (survey_ask(s, &question, ANSWER_TIMEOUT_MS, r))
        return true;
    snprintf(problem, problem_size,
             "not every worker answered within %u seconds; the broker stops, or is overloaded",
             ANSWER_TIMEOUT_MS / 1000u);
    return false;
}

#define RUN(run_name, call)                                                                        \
    static bool run_name(struct server *s, struct bytes vhost, const struct selection *selection,  \
                         struct rows *r, char *problem, size_t problem_size)                       \
    {                                                                                              \
        (void)vhost;                                                                               \
        (void)problem;                                                                             \
        (void)problem_size;                                                                        \
        return call;                                                                               \
    }
#define OF_VHOST(list) (list(&s->broker, broker_find_vhost(&s->broker, vhost), selection, r), true)
#define OF_WORKERS(visit) ask_workers(s, visit, vhost, selection, r, problem, problem_size)

RUN(run_queues, OF_VHOST(list_queues))
RUN(run_exchanges, OF_VHOST(list_exchanges))
RUN(run_bindings, OF_VHOST(list_bindings))
RUN(run_policies, OF_VHOST(list_policies))
RUN(run_operator_policies, OF_VHOST(list_operator_policies))
RUN(run_users, (list_users(&s->broker, selection, r), true))
RUN(run_permissions, OF_VHOST(list_permissions))
RUN(run_topic_permissions, OF_VHOST(list_topic_permissions))
RUN(run_vhosts, (list_vhosts(&s->broker, selection, r), true))
RUN(run_connections, OF_WORKERS(visit_connections))
RUN(run_channels, OF_WORKERS(visit_channels))
RUN(run_consumers, OF_WORKERS(visit_consumers))

const struct listing listings[] = {
    { "queues", "Queues of a virtual host.", true, QUEUE_DETAIL, queue_columns, &queue_column_count,
      run_queues },
    { "exchanges", "Exchanges of a virtual host.", true, NULL, exchange_columns,
      &exchange_column_count, run_exchanges },
    { "bindings",
      "Bindings of a virtual host. Those from the default exchange, which every queue has under "
      "its name, are left out.",
      true, NULL, binding_columns, &binding_column_count, run_bindings },
    { "policies", "Policies of a virtual host.", true, NULL, policy_columns, &policy_column_count,
      run_policies },
    { "operator-policies", "Operator policies of a virtual host.", true, NULL, policy_columns,
      &policy_column_count, run_operator_policies },
    { "users", "Users. Passwords and their hashes are not shown.", false, NULL, user_columns,
      &user_column_count, run_users },
    { "permissions", "What users may do in a virtual host.", true, NULL, permission_columns,
      &permission_column_count, run_permissions },
    { "topic-permissions",
      "The routing keys that users may use with exchanges of a virtual host. Without an entry all "
      "are allowed.",
      true, NULL, topic_permission_columns, &topic_permission_column_count, run_topic_permissions },
    { "vhosts", "Virtual hosts.", false, NULL, vhost_columns, &vhost_column_count, run_vhosts },
    { "connections", "Connections of clients.", false, NULL, connection_columns,
      &connection_column_count, run_connections },
    { "channels", "Channels of all connections.", false, NULL, channel_columns,
      &channel_column_count, run_channels },
    { "consumers", "Consumers of the queues of a virtual host.", true, NULL, consumer_columns,
      &consumer_column_count, run_consumers },
};
const size_t listing_count = sizeof(listings) / sizeof(listings[0]);

const struct listing *
listing_find(struct bytes name)
{
    for (size_t i = 0; i < listing_count; i++) {
        if (bytes_equal(name, bytes_of_string(listings[i].name)))
            return &listings[i];
    }
    return NULL;
}

static bool
vhost_exists(struct server *s, struct bytes name, char *problem, size_t problem_size)
{
    if (name.size <= UINT8_MAX && broker_find_vhost(&s->broker, name) != NULL)
        return true;
    struct buf quoted = { 0 };
    text_quote(&quoted, name);
    snprintf(problem, problem_size, "there is no virtual host %.*s; railmq list-vhosts lists them",
             BYTES_ARGS(buf_bytes(&quoted)));
    buf_fini(&quoted);
    return false;
}

static bool
answer(struct server *s, const struct listing *listing, struct bytes vhost, struct bytes words,
       struct rows *r, char *problem, size_t problem_size)
{
    struct selection selection;
    if (!selection_parse(&selection, listing->columns, *listing->column_count, words, problem,
                         problem_size))
        return false;
    if (listing->in_vhost && !vhost_exists(s, vhost, problem, problem_size))
        return false;
    selection_put_header(&selection, r);
    return listing->run(s, listing->in_vhost ? vhost : BYTES_NONE, &selection, r, problem,
                        problem_size);
}

bool
listing_answer(struct server *s, struct bytes words, struct rows *r, char *problem,
               size_t problem_size)
{
    struct buf name_scratch = { 0 };
    struct buf vhost_scratch = { 0 };
    struct bytes name;
    struct bytes vhost;
    const struct listing *listing = NULL;
    bool is_fine = false;
    if (words_next(&words, &name_scratch, &name))
        listing = listing_find(name);
    if (listing == NULL || !words_next(&words, &vhost_scratch, &vhost))
        snprintf(problem, problem_size, "this broker cannot list that; is it older than railmq?");
    else
        is_fine = answer(s, listing, vhost, words, r, problem, problem_size);
    buf_fini(&name_scratch);
    buf_fini(&vhost_scratch);
    return is_fine;
}
