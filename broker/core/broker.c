#include "broker/core/broker.h"

#include "broker/base/log.h"
#include "broker/core/dead_letters.h"
#include "broker/core/message.h"

/* The alarm is lifted only when this share of the watermark is free again, so it does not flap. */
#define ALARM_HYSTERESIS 16

void
broker_init(struct broker *b, const struct config *config, struct door *door, struct pager *pager)
{
    message_set_budget(config->limits.message_memory);
    *b = (struct broker){ .config = config, .door = door, .pager = pager };
    atomic_init(&b->next_connection_id, 1);
    replies_init(&b->replies);
    notes_init(&b->notes, door);
    policies_init(&b->policies, &b->notes);
    b->vhost = vhost_create(BYTES_LITERAL("/"), door);
    b->vhost->pager = pager;
    b->dead_letters = dead_letters_create(door);
    b->vhost->dead_letters = b->dead_letters;
}

void
broker_stop(struct broker *b)
{
    dead_letters_stop(b->dead_letters);
}

void
broker_fini(struct broker *b)
{
    vhost_destroy(b->vhost);
    dead_letters_destroy(b->dead_letters);
    replies_fini(&b->replies);
    policies_fini(&b->policies);
    notes_fini(&b->notes);
}

struct vhost *
broker_find_vhost(struct broker *b, struct bytes name)
{
    return bytes_equal(b->vhost->name, name) ? b->vhost : NULL;
}

static bool
equal_in_constant_time(struct bytes given, struct bytes secret)
{
    uint8_t difference = given.size != secret.size;
    for (size_t i = 0; i < given.size; i++)
        difference = (uint8_t)(difference | (given.data[i] ^ secret.data[i % secret.size]));
    return difference == 0;
}

bool
broker_authenticate(const struct broker *b, struct bytes user, struct bytes password)
{
    (void)b; /* Users become part of the configuration together with permissions. */
    const struct bytes guest = BYTES_LITERAL("guest");
    const bool password_is_right = equal_in_constant_time(password, guest);
    return bytes_equal(user, guest) && password_is_right;
}

bool
broker_is_behind(const struct broker *b)
{
    return door_is_full(b->door) || (b->pager != NULL && pager_is_behind(b->pager));
}

static void
check_memory(struct broker *b)
{
    const int64_t watermark = (int64_t)b->config->limits.memory_high_watermark;
    const int64_t used = message_memory();
    const bool was_on = alarms_on(&b->alarms) & ALARM_MEMORY;
    const bool is_on = used > (was_on ? watermark - watermark / ALARM_HYSTERESIS : watermark);
    if (!alarms_set(&b->alarms, ALARM_MEMORY, is_on))
        return;
    if (is_on)
        log_warning("alarm.memory",
                    "state=on used=%lld watermark=%lld msg=\"publishers are blocked until "
                    "messages are consumed\"",
                    (long long)used, (long long)watermark);
    else
        log_info("alarm.memory", "state=off used=%lld", (long long)used);
}

unsigned
broker_check_alarms(struct broker *b)
{
    check_memory(b);
    /* Whoever measures it has logged it. */
    alarms_set(&b->alarms, ALARM_DISK, door_is_short(b->door));
    return alarms_on(&b->alarms);
}
