#include "amqp/sasl.h"

#include "amqp/table.h"

bool
sasl_plain_parse(struct bytes response, struct sasl_login *out)
{
    if (response.size == 0 || response.data[0] != 0)
        return false;
    const uint8_t *user = response.data + 1;
    const size_t rest = response.size - 1;
    const uint8_t *separator = memchr(user, 0, rest);
    if (separator == NULL)
        return false;
    out->user = bytes_of(user, (size_t)(separator - user));
    out->password = bytes_of(separator + 1, rest - out->user.size - 1);
    return memchr(out->password.data, 0, out->password.size) == NULL;
}

bool
sasl_amqplain_parse(struct bytes response, struct sasl_login *out)
{
    struct table_field login;
    struct table_field password;
    if (!table_is_valid(response) || !table_find(response, BYTES_LITERAL("LOGIN"), &login) ||
        !table_find(response, BYTES_LITERAL("PASSWORD"), &password))
        return false;
    if (login.tag != 'S' || password.tag != 'S')
        return false;
    out->user = login.value;
    out->password = password.value;
    return true;
}
