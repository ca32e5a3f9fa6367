#include "broker/auth/logins.h"

#include "broker/auth/login_lines.h"
#include "broker/auth/password.h"
#include "broker/base/clock.h"
#include "broker/base/endian.h"
#include "broker/base/log.h"
#include "broker/base/mem.h"
#include "broker/base/panic.h"
#include "broker/base/rand.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>

#define PROOF_SIZE 32u
#define PROOF_SLOTS 4096u
#define ADDRESS_SLOTS 1024u
/* What unknown users are held against, so that they take as long as others: nobody's password. */
#define NOBODYS_HASH                                                                               \
    "scrypt:15,8,1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

struct failures {
    uint64_t address; /* Its hash. */
    uint64_t since_ms;
    uint32_t count;
};

struct logins {
    struct auth *auth;
    pthread_t thread;
    uint8_t key[32]; /* Of proofs; new in each process. */
    _Atomic uint64_t verified;

    struct lock lock; /* Guards what follows. */
    pthread_cond_t wake;
    struct login_lines lines;
    bool stopping;
    uint8_t proofs[PROOF_SLOTS][PROOF_SIZE];
    struct failures failures[ADDRESS_SLOTS];
};

static void
put_part(struct buf *out, struct bytes part)
{
    store_be32(buf_reserve(out, 4), (uint32_t)part.size);
    out->size += 4;
    buf_append_bytes(out, part);
}

/* What only those can compute who know the password, and this process. The user's hash is part of
 * it: a new password makes old proofs worthless. */
static void
make_proof(const struct logins *l, struct bytes user, const char *hash, struct bytes password,
           uint8_t proof[PROOF_SIZE])
{
    struct buf text = { 0 };
    unsigned size = PROOF_SIZE;
    put_part(&text, user);
    put_part(&text, bytes_of_string(hash));
    buf_append_bytes(&text, password);
    HMAC(EVP_sha256(), l->key, sizeof(l->key), text.data, text.size, proof, &size);
    OPENSSL_cleanse(text.data, text.size);
    buf_fini(&text);
}

static uint8_t *
slot_of(struct logins *l, const uint8_t proof[PROOF_SIZE])
{
    uint16_t place;
    memcpy(&place, proof, sizeof(place));
    return l->proofs[place % PROOF_SLOTS];
}

static bool
is_proven(struct logins *l, const uint8_t proof[PROOF_SIZE])
{
    lock_acquire(&l->lock);
    const bool found = CRYPTO_memcmp(slot_of(l, proof), proof, PROOF_SIZE) == 0;
    lock_release(&l->lock);
    return found;
}

static void
remember(struct logins *l, const uint8_t proof[PROOF_SIZE])
{
    lock_acquire(&l->lock);
    memcpy(slot_of(l, proof), proof, PROOF_SIZE);
    lock_release(&l->lock);
}

static struct failures *
failures_of(struct logins *l, const char *address)
{
    const uint64_t hash = bytes_hash(bytes_of_string(address));
    struct failures *f = &l->failures[hash % ADDRESS_SLOTS];
    const uint64_t now_ms = clock_monotonic_ms();
    if (f->address != hash || now_ms > f->since_ms + LOGIN_FAILURES_MS)
        *f = (struct failures){ .address = hash, .since_ms = now_ms };
    return f;
}

void
logins_note_failure(struct logins *l, const char *address)
{
    lock_acquire(&l->lock);
    const bool is_last = ++failures_of(l, address)->count == LOGIN_FAILURES_MAX;
    lock_release(&l->lock);
    if (is_last)
        log_warning("login.blocked",
                    "peer=%s failures=%u msg=\"logins from this address are refused for some "
                    "seconds\"",
                    address, LOGIN_FAILURES_MAX);
}

static bool
is_blocked(struct logins *l, const char *address)
{
    lock_acquire(&l->lock);
    const bool blocked = failures_of(l, address)->count >= LOGIN_FAILURES_MAX;
    lock_release(&l->lock);
    return blocked;
}

static bool
verify(struct logins *l, struct bytes hash, struct bytes password)
{
    atomic_fetch_add_explicit(&l->verified, 1, memory_order_relaxed);
    return password_verify(hash, password);
}

/* The long way, which takes as long for all who fail: it must not tell which users there are. */
static bool
is_right(struct logins *l, const struct login *login)
{
    char hash[PASSWORD_TEXT_SIZE] = "";
    uint8_t proof[PROOF_SIZE];
    if (!auth_copy_hash(l->auth, login->user, hash, sizeof(hash)) ||
        !password_is_slow(bytes_of_string(hash))) {
        verify(l, BYTES_LITERAL(NOBODYS_HASH), login->password);
        return false; /* Other hashes have been looked at before it came here. */
    }
    make_proof(l, login->user, hash, login->password, proof);
    if (is_proven(l, proof))
        return true; /* Somebody was faster. */
    if (!verify(l, bytes_of_string(hash), login->password))
        return false;
    remember(l, proof);
    return true;
}

void
login_destroy(struct login *login)
{
    OPENSSL_cleanse((void *)(uintptr_t)login->password.data, login->password.size);
    mem_free_const(login->user.data);
    mem_free_const(login->password.data);
    mem_free(login);
}

void
login_abandon(struct login *login)
{
    login->owner = NULL;
    atomic_store_explicit(&login->is_abandoned, true, memory_order_relaxed);
}

uint64_t
logins_verified(const struct logins *l)
{
    return atomic_load_explicit(&l->verified, memory_order_relaxed);
}

/* The login's worker's from here on. */
static void
answer(struct login *login, enum login_answer answer)
{
    login->answer = answer;
    loop_post(login->loop, &login->mail);
}

static void
enqueue(struct logins *l, struct login *login)
{
    struct login *surplus = login;
    lock_acquire(&l->lock);
    if (!l->stopping)
        surplus = login_lines_add(&l->lines, login);
    lock_release(&l->lock);
    if (surplus != NULL)
        answer(surplus, LOGIN_BUSY);
    pthread_cond_signal(&l->wake);
}

/* Known to be right without the thread: a proof, or a hash that takes a microsecond. */
static bool
is_right_at_once(struct logins *l, const struct login_request *request)
{
    char hash[PASSWORD_TEXT_SIZE] = "";
    uint8_t proof[PROOF_SIZE];
    if (!auth_copy_hash(l->auth, request->user, hash, sizeof(hash)) || hash[0] == 0)
        return false;
    if (!password_is_slow(bytes_of_string(hash)))
        return password_verify(bytes_of_string(hash), request->password);
    make_proof(l, request->user, hash, request->password, proof);
    return is_proven(l, proof);
}

static struct login *
login_create(const struct login_request *request)
{
    struct login *login = mem_alloc_zeroed(sizeof(*login));
    mail_init(&login->mail, request->deliver);
    list_init(&login->link);
    login->loop = request->loop;
    login->owner = request->owner;
    login->user = bytes_copy(request->user);
    login->password = bytes_copy(request->password);
    snprintf(login->address, sizeof(login->address), "%s", request->address);
    return login;
}

enum login_answer
logins_check(struct logins *l, const struct login_request *request, struct login **out)
{
    if (is_blocked(l, request->address))
        return LOGIN_WRONG;
    if (is_right_at_once(l, request))
        return LOGIN_RIGHT;
    /* The worker has it before its mail can come: that is delivered on this thread. */
    *out = login_create(request);
    enqueue(l, *out);
    return LOGIN_LATER;
}

static struct login *
take(struct logins *l, bool *stopping) UNCHECKED_LOCKING
{
    struct login *login;
    lock_acquire(&l->lock);
    while ((login = login_lines_take(&l->lines)) == NULL && !l->stopping)
        pthread_cond_wait(&l->wake, &l->lock.mutex);
    *stopping = l->stopping;
    lock_release(&l->lock);
    return login;
}

/* Its time is spent on those only who wait, and have not guessed too often while they did. */
static enum login_answer
look_at(struct logins *l, const struct login *login)
{
    if (atomic_load_explicit(&login->is_abandoned, memory_order_relaxed) ||
        is_blocked(l, login->address))
        return LOGIN_WRONG;
    if (is_right(l, login))
        return LOGIN_RIGHT;
    logins_note_failure(l, login->address);
    return LOGIN_WRONG;
}

static void *
logins_main(void *argument)
{
    struct logins *l = argument;
    struct login *login;
    bool stopping;
    while ((login = take(l, &stopping)) != NULL)
        answer(login, stopping ? LOGIN_BUSY : look_at(l, login));
    return NULL;
}

struct logins *
logins_create(struct auth *auth)
{
    struct logins *l = mem_alloc_zeroed(sizeof(*l));
    l->auth = auth;
    rand_bytes(l->key, sizeof(l->key));
    /* An empty slot must not be a proof: nobody can make this one but by chance. */
    rand_bytes(l->proofs, sizeof(l->proofs));
    lock_init(&l->lock);
    pthread_cond_init(&l->wake, NULL);
    login_lines_init(&l->lines);
    const int error = pthread_create(&l->thread, NULL, logins_main, l);
    if (error != 0)
        PANIC("cannot start the login thread: error %d; raise the limit of threads", error);
    pthread_setname_np(l->thread, "logins");
    return l;
}

void
logins_stop(struct logins *l)
{
    lock_acquire(&l->lock);
    l->stopping = true;
    lock_release(&l->lock);
    pthread_cond_signal(&l->wake);
    pthread_join(l->thread, NULL);
}

void
logins_destroy(struct logins *l)
{
    OPENSSL_cleanse(l->key, sizeof(l->key));
    pthread_cond_destroy(&l->wake);
    lock_fini(&l->lock);
    mem_free(l);
}
