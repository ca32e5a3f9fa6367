#include "broker/base/fault.h"

#include "broker/base/panic.h"

#include <signal.h>
#include <unistd.h>

#define COUNT_DIGITS_MAX 9u

static const char *const names[] = {
#define FAULT(name, what) name,
#include "broker/base/fault.def"
};
#define NAME_COUNT (sizeof(names) / sizeof(names[0]))

const char fault_names[] = "the points are:"
#define FAULT(name, what) " " name
#include "broker/base/fault.def"
    ;

atomic_bool fault_is_armed;
static const char *armed_name;
static _Atomic uint32_t left;

static const char *
name_find(struct bytes name)
{
    for (size_t i = 0; i < NAME_COUNT; i++)
        if (bytes_equal(name, bytes_of_string(names[i])))
            return names[i];
    return NULL;
}

bool
fault_parse(struct bytes text, struct fault *out)
{
    const uint8_t *colon = text.size == 0 ? NULL : memchr(text.data, ':', text.size);
    if (colon == NULL)
        return false;
    const size_t name_size = (size_t)(colon - text.data);
    const size_t digits = text.size - name_size - 1;
    out->name = name_find(bytes_of(text.data, name_size));
    out->count = 0;
    for (size_t i = 0; i < digits && digits <= COUNT_DIGITS_MAX; i++) {
        if (colon[1 + i] < '0' || colon[1 + i] > '9')
            return false;
        out->count = out->count * 10 + (colon[1 + i] - (uint32_t)'0');
    }
    return out->name != NULL && out->count > 0;
}

void
fault_arm(const struct fault *fault)
{
    armed_name = fault->name;
    atomic_store(&left, fault->count);
    atomic_store(&fault_is_armed, true);
}

void
fault_reach(const char *name)
{
    ASSERT(name_find(bytes_of_string(name)) != NULL);
    if (strcmp(name, armed_name) != 0 || atomic_fetch_sub(&left, 1) != 1)
        return;
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}
