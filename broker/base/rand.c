#include "broker/base/rand.h"

#include "broker/base/panic.h"

#include <errno.h>
#include <stdint.h>
#include <sys/random.h>

void
rand_bytes(void *out, size_t size)
{
    uint8_t *at = out;
    while (size > 0) {
        const ssize_t got = getrandom(at, size, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            PANIC("the kernel gives no random octets (getrandom: errno %d)", errno);
        at += got;
        size -= (size_t)got;
    }
}

void
rand_name(char out[23])
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint8_t random[22];
    rand_bytes(random, sizeof(random));
    for (size_t i = 0; i < sizeof(random); i++)
        out[i] = digits[random[i] & 63u];
    out[22] = 0;
}
