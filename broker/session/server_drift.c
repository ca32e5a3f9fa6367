#include "broker/session/server_drift.h"

#include "broker/auth/auth.h"
#include "broker/auth/password.h"
#include "broker/base/clock.h"
#include "broker/session/server.h"
#include "broker/topology/current.h"
#include "broker/topology/plan.h"

/* So many times as long as the last comparison took nobody compares again. */
#define PAUSE_FACTOR 20u

void
server_drift_init(struct server *s)
{
    lock_init(&s->drift.lock);
    topology_init(&s->drift.wanted);
}

void
server_drift_fini(struct server *s)
{
    topology_fini(&s->drift.wanted);
    lock_fini(&s->drift.lock);
}

/* A password in clear would have to be hashed at each look. */
static void
keep_hash(struct server *s, struct topology *t, struct topology_item *user, bool is_applied)
{
    char hash[PASSWORD_TEXT_SIZE];
    if (user->values[USER_PASSWORD].data == NULL)
        return;
    user->values[USER_PASSWORD] = BYTES_NONE;
    if (is_applied && auth_copy_hash(s->broker.auth, user->name, hash, sizeof(hash)))
        topology_set_text(t, user, USER_PASSWORD_HASH, hash);
}

void
server_drift_keep(struct server *s, const struct topology *wanted, bool is_applied)
{
    struct drift *d = &s->drift;
    struct topology copy;
    topology_copy(wanted, &copy);
    for (size_t i = 0; i < copy.count; i++)
        if (copy.items[i].kind == TOPOLOGY_USER)
            keep_hash(s, &copy, &copy.items[i], is_applied);
    lock_acquire(&d->lock);
    struct topology old = d->wanted;
    d->wanted = copy;
    d->is_known = true;
    d->looked_ns = 0;
    lock_release(&d->lock);
    topology_fini(&old);
}

static bool
compare(struct server *s, const struct topology *wanted)
{
    struct topology current;
    struct plan plan;
    const bool prunes = wanted->rules.prune != PRUNE_NONE;
    topology_init(&current);
    current_read(&s->broker, prunes ? bytes_of_string(s->setup->file) : BYTES_NONE, &current);
    plan_make(&plan, &(const struct plan_request){
                         .current = &current,
                         .wanted = wanted,
                         .rules = wanted->rules,
                     });
    const bool differs = plan.count > 0;
    plan_fini(&plan);
    topology_fini(&current);
    return differs;
}

bool
server_drift_look(struct server *s, bool *differs)
{
    struct drift *d = &s->drift;
    const uint64_t now_ns = clock_monotonic_ns();
    lock_acquire(&d->lock);
    if (d->is_known && (d->looked_ns == 0 || now_ns - d->looked_ns > PAUSE_FACTOR * d->took_ns)) {
        d->differs = compare(s, &d->wanted);
        d->looked_ns = clock_monotonic_ns();
        d->took_ns = d->looked_ns - now_ns;
    }
    const bool is_known = d->is_known;
    *differs = d->differs;
    lock_release(&d->lock);
    return is_known;
}
