#include "common/ticket_keys.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <mbedtls/chachapoly.h>
#include <mbedtls/platform_util.h>

#include "common/digest.h"
#include "common/file.h"
#include "common/random.h"

#define KEYS_MAX 8
#define NAME_LEN 16
#define KEY_LEN 32
#define NONCE_LEN 12
#define TAG_LEN 16
#define EXPIRY_LEN 8
#define HEAD_LEN (NAME_LEN + NONCE_LEN + TAG_LEN)
#define CONTEXT_MAX 64
/* A key is dropped when none of its tickets can be alive. */
#define KEY_LIFE_S (TICKET_ROTATION_S + TICKET_LIFE_MAX_S)

_Static_assert(HEAD_LEN + EXPIRY_LEN == TICKET_OVERHEAD, "what a ticket adds");

/* The file is `magic`, the keys, newest first, and the SHA-256 of all before it. */
static const char magic[8] = "PMTKEYS1";
#define RECORD_LEN (EXPIRY_LEN + NAME_LEN + KEY_LEN)
#define FILE_MAX (sizeof(magic) + KEYS_MAX * RECORD_LEN + DIGEST_SHA256_LEN)

struct ticket_key {
    int64_t made_s;
    unsigned char name[NAME_LEN];
    unsigned char key[KEY_LEN];
};

struct ticket_keys {
    pthread_rwlock_t lock;
    struct ticket_key keys[KEYS_MAX]; /* newest first; guarded by lock, as is count */
    size_t count;
    char *path;
};

static void put_64(unsigned char *p, int64_t value)
{
    for (size_t i = 0; i < 8; i++)
        p[i] = (unsigned char)((uint64_t)value >> (56 - 8 * i));
}

static int64_t get_64(const unsigned char *p)
{
    uint64_t value = 0;

    for (size_t i = 0; i < 8; i++)
        value = value << 8 | p[i];
    return (int64_t)value;
}

/* ---- the file ---- */

static enum prober_error save(const struct ticket_keys *k, struct prober_failure *why)
{
    unsigned char bytes[FILE_MAX], *p = bytes;
    enum prober_error err;

    if (!k->path)
        return PROBER_OK;
    memcpy(p, magic, sizeof(magic));
    p += sizeof(magic);
    for (size_t i = 0; i < k->count; i++) {
        put_64(p, k->keys[i].made_s);
        memcpy(p + EXPIRY_LEN, k->keys[i].name, NAME_LEN);
        memcpy(p + EXPIRY_LEN + NAME_LEN, k->keys[i].key, KEY_LEN);
        p += RECORD_LEN;
    }
    digest_sha256(bytes, (size_t)(p - bytes), p);
    p += DIGEST_SHA256_LEN;
    err = file_replace(k->path, bytes, (size_t)(p - bytes), 0600, why);
    mbedtls_platform_zeroize(bytes, sizeof(bytes));
    return err;
}

static bool parse(struct ticket_keys *k, const unsigned char *bytes, size_t len)
{
    const size_t around = sizeof(magic) + DIGEST_SHA256_LEN;
    unsigned char digest[DIGEST_SHA256_LEN];
    size_t count = len < around ? 0 : (len - around) / RECORD_LEN;

    if (count == 0 || count > KEYS_MAX || len != around + count * RECORD_LEN ||
        memcmp(bytes, magic, sizeof(magic)) != 0)
        return false;
    digest_sha256(bytes, len - DIGEST_SHA256_LEN, digest);
    if (!digest_equal(digest, bytes + len - DIGEST_SHA256_LEN, DIGEST_SHA256_LEN))
        return false;
    for (size_t i = 0; i < count; i++) {
        const unsigned char *p = bytes + sizeof(magic) + i * RECORD_LEN;

        k->keys[i].made_s = get_64(p);
        memcpy(k->keys[i].name, p + EXPIRY_LEN, NAME_LEN);
        memcpy(k->keys[i].key, p + EXPIRY_LEN + NAME_LEN, KEY_LEN);
    }
    k->count = count;
    return true;
}

/* PROBER_OK also when there is no file. */
static enum prober_error load(struct ticket_keys *k, struct prober_failure *why)
{
    enum prober_error err;
    struct stat about;
    char *bytes;
    size_t len;

    if (stat(k->path, &about) == 0 && (about.st_mode & 077))
        return prober_fail(why, PROBER_ERR_DENIED,
                           "%.300s can be read by others: its keys are replaced by new ones",
                           k->path);
    err = file_read(k->path, FILE_MAX, &bytes, &len, why);
    if (err == PROBER_ERR_NOT_FOUND)
        return PROBER_OK;
    if (err)
        return err;
    if (!parse(k, (const unsigned char *)bytes, len))
        err = prober_fail(why, PROBER_ERR_SYNTAX,
                          "%.300s is damaged: its keys are replaced by new ones", k->path);
    mbedtls_platform_zeroize(bytes, len);
    free(bytes);
    return err;
}

/* ---- life of keys ---- */

/* True when something has changed. */
static bool turn(struct ticket_keys *k, int64_t now_s)
{
    bool changed = false;

    for (size_t i = 0; i < k->count; i++)
        if (k->keys[i].made_s > now_s) { /* the clock was set back: it must not live on for that */
            k->keys[i].made_s = now_s;
            changed = true;
        }
    while (k->count && now_s - k->keys[k->count - 1].made_s >= KEY_LIFE_S) {
        mbedtls_platform_zeroize(&k->keys[--k->count], sizeof(k->keys[0]));
        changed = true;
    }
    if (k->count && now_s - k->keys[0].made_s < TICKET_ROTATION_S)
        return changed;
    if (k->count == KEYS_MAX)
        k->count--;
    memmove(k->keys + 1, k->keys, k->count * sizeof(k->keys[0]));
    k->count++;
    k->keys[0].made_s = now_s;
    random_bytes(k->keys[0].name, NAME_LEN);
    random_bytes(k->keys[0].key, KEY_LEN);
    return true;
}

enum prober_error ticket_keys_rotate(struct ticket_keys *keys, int64_t now_s,
                                     struct prober_failure *why)
{
    enum prober_error err = PROBER_OK;

    pthread_rwlock_wrlock(&keys->lock);
    if (turn(keys, now_s))
        err = save(keys, why);
    pthread_rwlock_unlock(&keys->lock);
    return err;
}

enum prober_error ticket_keys_open(struct ticket_keys **out, const char *path, int64_t now_s,
                                   struct prober_failure *why)
{
    struct ticket_keys *k = calloc(1, sizeof(*k));
    struct prober_failure unused;

    if (!why)
        why = &unused;
    why->code = PROBER_OK;
    why->text[0] = '\0';
    if (!k)
        return PROBER_ERR_NOMEM;
    if ((path && !(k->path = strdup(path))) || pthread_rwlock_init(&k->lock, NULL)) {
        free(k->path);
        free(k);
        return PROBER_ERR_NOMEM;
    }
    if (path && load(k, why))
        k->count = 0;
    if (turn(k, now_s))
        save(k, why);
    *out = k;
    return PROBER_OK;
}

void ticket_keys_close(struct ticket_keys *keys)
{
    if (!keys)
        return;
    pthread_rwlock_destroy(&keys->lock);
    free(keys->path);
    mbedtls_platform_zeroize(keys, sizeof(*keys));
    free(keys);
}

/* ---- tickets ---- */

/* What is authenticated beside the ticket's content; 0 when the context is too long. */
static size_t bind(const unsigned char *name, const void *context, size_t context_len,
                   unsigned char out[NAME_LEN + CONTEXT_MAX])
{
    if (context_len > CONTEXT_MAX)
        return 0;
    memcpy(out, name, NAME_LEN);
    if (context_len)
        memcpy(out + NAME_LEN, context, context_len);
    return NAME_LEN + context_len;
}

static void copy_newest(struct ticket_keys *keys, struct ticket_key *out)
{
    pthread_rwlock_rdlock(&keys->lock);
    *out = keys->keys[0];
    pthread_rwlock_unlock(&keys->lock);
}

static bool copy_named(struct ticket_keys *keys, const unsigned char *name, struct ticket_key *out)
{
    bool found = false;

    pthread_rwlock_rdlock(&keys->lock);
    for (size_t i = 0; i < keys->count && !found; i++) {
        found = memcmp(keys->keys[i].name, name, NAME_LEN) == 0;
        if (found)
            *out = keys->keys[i];
    }
    pthread_rwlock_unlock(&keys->lock);
    return found;
}

enum prober_error ticket_keys_seal(struct ticket_keys *keys, int64_t now_s, int64_t expires_s,
                                   const void *context, size_t context_len, const void *plain,
                                   size_t len, unsigned char *ticket, size_t room,
                                   size_t *ticket_len)
{
    unsigned char *nonce = ticket + NAME_LEN, *tag = nonce + NONCE_LEN, *sealed = tag + TAG_LEN;
    unsigned char bound[NAME_LEN + CONTEXT_MAX];
    struct ticket_key key;
    mbedtls_chachapoly_context cipher;
    size_t bound_len;
    int rc;

    if (expires_s > now_s + TICKET_LIFE_MAX_S)
        expires_s = now_s + TICKET_LIFE_MAX_S;
    if (expires_s <= now_s || room < TICKET_OVERHEAD || len > room - TICKET_OVERHEAD)
        return PROBER_ERR_RANGE;
    copy_newest(keys, &key);
    memmove(sealed + EXPIRY_LEN, plain, len); /* first: it may lie where the ticket will */
    memcpy(ticket, key.name, NAME_LEN);
    random_bytes(nonce, NONCE_LEN);
    put_64(sealed, expires_s);
    bound_len = bind(key.name, context, context_len, bound);
    mbedtls_chachapoly_init(&cipher);
    rc = bound_len ? mbedtls_chachapoly_setkey(&cipher, key.key) : -1;
    if (!rc)
        rc = mbedtls_chachapoly_encrypt_and_tag(&cipher, EXPIRY_LEN + len, nonce, bound, bound_len,
                                                sealed, sealed, tag);
    mbedtls_chachapoly_free(&cipher);
    mbedtls_platform_zeroize(&key, sizeof(key));
    if (rc) {
        mbedtls_platform_zeroize(ticket, TICKET_OVERHEAD + len);
        return PROBER_ERR_IO;
    }
    *ticket_len = TICKET_OVERHEAD + len;
    return PROBER_OK;
}

enum prober_error ticket_keys_unseal(struct ticket_keys *keys, int64_t now_s, const void *context,
                                     size_t context_len, unsigned char *ticket, size_t len,
                                     unsigned char **plain, size_t *plain_len)
{
    unsigned char *nonce = ticket + NAME_LEN, *tag = nonce + NONCE_LEN, *sealed = tag + TAG_LEN;
    unsigned char bound[NAME_LEN + CONTEXT_MAX];
    struct ticket_key key;
    mbedtls_chachapoly_context cipher;
    size_t bound_len;
    int64_t expires_s;
    int rc;

    if (len < TICKET_OVERHEAD || !copy_named(keys, ticket, &key))
        return PROBER_ERR_NOT_FOUND;
    bound_len = bind(key.name, context, context_len, bound);
    mbedtls_chachapoly_init(&cipher);
    rc = bound_len ? mbedtls_chachapoly_setkey(&cipher, key.key) : -1;
    if (!rc)
        rc = mbedtls_chachapoly_auth_decrypt(&cipher, len - HEAD_LEN, nonce, bound, bound_len, tag,
                                             sealed, sealed);
    mbedtls_chachapoly_free(&cipher);
    mbedtls_platform_zeroize(&key, sizeof(key));
    if (rc)
        return PROBER_ERR_PROTOCOL;
    expires_s = get_64(sealed);
    /* What would live for more than a day was sealed when the clock was ahead. */
    if (now_s >= expires_s || expires_s - now_s > TICKET_LIFE_MAX_S)
        return PROBER_ERR_TIMEOUT;
    *plain = sealed + EXPIRY_LEN;
    *plain_len = len - TICKET_OVERHEAD;
    return PROBER_OK;
}
