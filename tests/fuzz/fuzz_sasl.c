/*
 * SASL responses of both mechanisms: a login that is found lies within the response.
 */

#include "amqp/sasl.h"
#include "broker/base/panic.h"
#include "tests/exact.h"
#include "tests/fuzz/fuzz.h"

static void
check_within(struct bytes part, struct bytes whole)
{
    ASSERT(part.data >= whole.data);
    ASSERT(part.size <= whole.size);
    ASSERT(part.data + part.size <= whole.data + whole.size);
}

static void
check_plain(struct bytes response)
{
    struct sasl_login login;
    if (!sasl_plain_parse(response, &login))
        return;
    check_within(login.user, response);
    check_within(login.password, response);
    ASSERT(login.user.size + login.password.size + 2 == response.size);
    ASSERT(memchr(login.user.data, 0, login.user.size) == NULL);
    ASSERT(memchr(login.password.data, 0, login.password.size) == NULL);
}

static void
check_amqplain(struct bytes response)
{
    struct sasl_login login;
    if (!sasl_amqplain_parse(response, &login))
        return;
    check_within(login.user, response);
    check_within(login.password, response);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct exact e = exact_copy(bytes_of(data, size));
    check_plain(e.bytes);
    check_amqplain(e.bytes);
    exact_free(&e);
    return 0;
}
