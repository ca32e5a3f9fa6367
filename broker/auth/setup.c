#include "broker/auth/setup.h"

#include "broker/auth/logins.h"
#include "broker/auth/password.h"
#include "broker/base/panic.h"
#include "broker/core/vhosts.h"

static void
make_guest(struct auth *auth)
{
    char hash[PASSWORD_TEXT_SIZE];
    uint64_t ticket;
    char problem[200];
    /* Everybody knows this password: nothing is gained by a slow hash. */
    const bool hashed = password_hash(PASSWORD_SHA256, BYTES_LITERAL("guest"), hash);
    ASSERT(hashed);
    auth_put_user(auth, &(struct user_spec){ .name = BYTES_LITERAL("guest"),
                                             .hash = bytes_of_string(hash),
                                             .tags = BYTES_LITERAL("administrator\n"),
                                             .loopback_only = true,
                                             .max_connections = NO_LIMIT,
                                             .max_channels = NO_LIMIT });
    const struct bytes all = BYTES_LITERAL(".*");
    const bool permitted =
        auth_put_permission(auth,
                            &(struct permission_spec){ .user = BYTES_LITERAL("guest"),
                                                       .vhost = BYTES_LITERAL("/"),
                                                       .configure = all,
                                                       .write = all,
                                                       .read = all },
                            &ticket, problem, sizeof(problem));
    ASSERT(permitted);
}

bool
auth_setup(struct broker *b, char *problem, size_t problem_size)
{
    bool is_new;
    if (!vhosts_recovered(b, &is_new, problem, problem_size))
        return false;
    b->auth = auth_create(&b->notes, problem, problem_size);
    if (b->auth == NULL)
        return false;
    if (is_new) {
        make_guest(b->auth);
        vhosts_have_begun(b); /* Last: what a crash cuts short is begun again. */
    }
    b->logins = logins_create(b->auth);
    return true;
}

void
auth_stop(struct broker *b)
{
    logins_stop(b->logins);
}

void
auth_teardown(struct broker *b)
{
    logins_destroy(b->logins);
    auth_destroy(b->auth);
}
