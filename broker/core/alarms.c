#include "broker/core/alarms.h"

bool
alarms_set(struct alarms *alarms, enum alarm alarm, bool on)
{
    const unsigned bit = alarm;
    if (((alarms_on(alarms) & bit) != 0) == on)
        return false;
    const unsigned before =
        on ? atomic_fetch_or(&alarms->on, bit) : atomic_fetch_and(&alarms->on, ~bit);
    return ((before & bit) != 0) != on;
}

const char *
alarms_reason(unsigned on)
{
    if (on == (ALARM_MEMORY | ALARM_DISK))
        return "low on memory & disk";
    return on == ALARM_DISK ? "low on disk" : "low on memory";
}
