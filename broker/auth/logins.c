#include "broker/auth/logins.h"

#include "broker/auth/password.h"
#include "broker/base/clock.h"
#include "broker/base/log.h"
#include "broker/base/mem.h"
#include "broker/base/panic.h"
#include "broker/base/rand.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>

#define WAITING_MAX 4096u
#define PROOF_SIZE 32u
#define PROOF_SLOTS 4096u
#define ADDRESS_SLOTS 1024u
/* So many failures from one address within this time, and the rest of it nobody looks. */
#define FAILURES_MAX 100u
#define FAILURES_MS 10000u
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

    struct lock lock; /* Guards what follows. */
    pthread_cond_t wake;
    struct list waiting;
    size_t waiting_count;
    bool stopping;
    uint8_t proofs[PROOF_SLOTS][PROOF_SIZE];
    struct failures failures[ADDRESS_SLOTS];
};

/* What only those can compute who know the password, and this process. The user's hash is part of
 * it: a new password makes old proofs worthless. */
static void
make_proof(const struct logins *l, struct bytes user, const char *hash, struct bytes password,
           uint8_t proof[PROOF_SIZE])
{
    struct buf text = { 0 };
    unsigned size = PROOF_SIZE;
    buf_printf(&text, "%zu:%.*s", user.size, BYTES_ARGS(user));
    buf_printf(&text, "%zu:%s", strlen(hash), hash);
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
    if (f->address != hash || now_ms > f->since_ms + FAILURES_MS)
        *f = (struct failures){ .address = hash, .since_ms = now_ms };
    return f;
}

void
logins_note_failure(struct logins *l, const char *address)
{
    lock_acquire(&l->lock);
    const bool is_last = ++failures_of(l, address)->count == FAILURES_MAX;
    lock_release(&l->lock);
    if (is_last)
        log_warning("login.blocked",
                    "peer=%s failures=%u msg=\"logins from this address are refused for some "
                    "seconds\"",
                    address, FAILURES_MAX);
}

static bool
is_blocked(struct logins *l, const char *address)
{
    lock_acquire(&l->lock);
    const bool blocked = failures_of(l, address)->count >= FAILURES_MAX;
    lock_release(&l->lock);
    return blocked;
}

/* The long way. An unknown user takes as long as one with a hash of the usual kind. */
static bool
verify(struct logins *l, const struct login *login)
{
    char hash[PASSWORD_TEXT_SIZE];
    uint8_t proof[PROOF_SIZE];
    if (!auth_copy_hash(l->auth, login->user, hash, sizeof(hash)) || hash[0] == 0) {
        password_verify(BYTES_LITERAL(NOBODYS_HASH), login->password);
        return false;
    }
    make_proof(l, login->user, hash, login->password, proof);
    if (is_proven(l, proof))
        return true; /* Somebody was faster. */
    if (!password_verify(bytes_of_string(hash), login->password))
        return false;
    remember(l, proof);
    return true;
}

static void
free_login(struct login *login)
{
    OPENSSL_cleanse((void *)(uintptr_t)login->password.data, login->password.size);
    mem_free_const(login->user.data);
    mem_free_const(login->password.data);
    mem_free(login);
}

void
login_destroy(struct login *login)
{
    free_login(login);
}

static bool
enqueue(struct logins *l, struct login *login)
{
    lock_acquire(&l->lock);
    const bool fits = l->waiting_count < WAITING_MAX && !l->stopping;
    if (fits) {
        list_push(&l->waiting, &login->link);
        l->waiting_count++;
    }
    lock_release(&l->lock);
    if (fits)
        pthread_cond_signal(&l->wake);
    return fits;
}

/* A hash that takes a microsecond is not worth a thread. */
static enum login_answer
check_fast(struct logins *l, const struct login_request *request, const char *hash)
{
    if (password_verify(bytes_of_string(hash), request->password))
        return LOGIN_RIGHT;
    logins_note_failure(l, request->address);
    return LOGIN_WRONG;
}

enum login_answer
logins_check(struct logins *l, const struct login_request *request, struct login **out)
{
    char hash[PASSWORD_TEXT_SIZE] = "";
    uint8_t proof[PROOF_SIZE];
    if (is_blocked(l, request->address))
        return LOGIN_WRONG;
    if (auth_copy_hash(l->auth, request->user, hash, sizeof(hash)) && hash[0] != 0 &&
        request->password.size > 0) {
        make_proof(l, request->user, hash, request->password, proof);
        if (is_proven(l, proof))
            return LOGIN_RIGHT;
        if (!password_is_slow(bytes_of_string(hash)))
            return check_fast(l, request, hash);
    }
    struct login *login = mem_alloc_zeroed(sizeof(*login));
    mail_init(&login->mail, request->deliver);
    list_init(&login->link);
    login->loop = request->loop;
    login->owner = request->owner;
    login->user = bytes_copy(request->user);
    login->password = bytes_copy(request->password);
    snprintf(login->address, sizeof(login->address), "%s", request->address);
    if (enqueue(l, login)) {
        *out = login;
        return LOGIN_LATER;
    }
    free_login(login);
    return LOGIN_BUSY;
}

static struct login *
take(struct logins *l, bool *stopping) UNCHECKED_LOCKING
{
    struct login *login = NULL;
    lock_acquire(&l->lock);
    while (list_is_empty(&l->waiting) && !l->stopping)
        pthread_cond_wait(&l->wake, &l->lock.mutex);
    if (!list_is_empty(&l->waiting)) {
        login = LIST_CONTAINER(l->waiting.next, struct login, link);
        list_unlink(&login->link);
        l->waiting_count--;
    }
    *stopping = l->stopping;
    lock_release(&l->lock);
    return login;
}

static void *
logins_main(void *argument)
{
    struct logins *l = argument;
    struct login *login;
    bool stopping;
    while ((login = take(l, &stopping)) != NULL) {
        const bool is_wanted = !stopping && !atomic_load(&login->is_abandoned);
        login->is_right = is_wanted && verify(l, login);
        if (is_wanted && !login->is_right)
            logins_note_failure(l, login->address);
        loop_post(login->loop, &login->mail); /* The worker's from here on. */
    }
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
    list_init(&l->waiting);
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
