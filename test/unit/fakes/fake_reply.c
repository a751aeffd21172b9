#include "test/unit/fakes/fake_reply.h"

#include <pthread.h>
#include <stdio.h>

#include "serverd/reply.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t came = PTHREAD_COND_INITIALIZER;
static struct fake_reply replies[FAKE_REPLIES_MAX];
static size_t count;

void fake_reply_reset(void)
{
    pthread_mutex_lock(&lock);
    count = 0;
    pthread_mutex_unlock(&lock);
}

size_t fake_reply_count(void)
{
    size_t n;

    pthread_mutex_lock(&lock);
    n = count;
    pthread_mutex_unlock(&lock);
    return n;
}

struct fake_reply fake_reply_at(size_t i)
{
    struct fake_reply reply;

    pthread_mutex_lock(&lock);
    reply = replies[i];
    pthread_mutex_unlock(&lock);
    return reply;
}

void fake_reply_await(size_t wanted)
{
    pthread_mutex_lock(&lock);
    while (count < wanted)
        pthread_cond_wait(&came, &lock);
    pthread_mutex_unlock(&lock);
}

static void keep(struct fake_reply *kept, const struct link_call *call,
                 const struct wire_reply *reply)
{
    const char *certificate = reply->call == WIRE_JOIN    ? reply->as.join.certificate
                              : reply->call == WIRE_RENEW ? reply->as.renew.certificate
                                                          : "";

    kept->call = call;
    kept->reply = *reply;
    kept->reply.message = "";
    snprintf(kept->message, sizeof(kept->message), "%s", reply->message ? reply->message : "");
    snprintf(kept->certificate, sizeof(kept->certificate), "%s", certificate);
}

void reply_send(struct link_call *call, const struct wire_reply *reply)
{
    pthread_mutex_lock(&lock);
    if (count < FAKE_REPLIES_MAX)
        keep(&replies[count++], call, reply);
    pthread_cond_broadcast(&came);
    pthread_mutex_unlock(&lock);
}

void reply_send_body(struct link_call *call, const struct strbuf *body)
{
    (void)call;
    (void)body;
}
