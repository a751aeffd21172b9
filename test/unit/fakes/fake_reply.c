#include "test/unit/fakes/fake_reply.h"

#include <pthread.h>

#include "serverd/reply.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
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

void reply_send(struct link_call *call, const struct wire_reply *reply)
{
    pthread_mutex_lock(&lock);
    if (count < FAKE_REPLIES_MAX) {
        replies[count].call = call;
        replies[count].reply = *reply;
        replies[count++].reply.message = "";
    }
    pthread_mutex_unlock(&lock);
}

void reply_send_body(struct link_call *call, const struct strbuf *body)
{
    (void)call;
    (void)body;
}
