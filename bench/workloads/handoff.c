/* SPDX-License-Identifier: MIT */
/* handoff.c -- one thread allocates, another frees. */
#include "../harness.h"
#include "../ring.h"
#include "../workload.h"

#include <math.h>
#include <pthread.h>

struct handoff {
    struct ring ring;
    const struct peer *peer;
    size_t pages;
};

/* A NULL run is the end. */
static void *consume(void *argument)
{
    struct handoff *handoff = argument;
    void (*release)(void *, size_t) = handoff->peer->release;
    size_t pages = handoff->pages;
    void *run;

    while ((run = ring_pop(&handoff->ring)) != NULL)
        release(run, pages);
    return NULL;
}

static size_t step_produce(void *state, size_t ops)
{
    struct handoff *handoff = state;
    void *(*alloc)(size_t) = handoff->peer->alloc;
    size_t pages = handoff->pages;

    for (size_t i = 0; i < ops; i++) {
        void *run = alloc(pages);

        if (run == NULL)
            return 0;
        ring_push(&handoff->ring, run);
    }
    return ops;
}

/* The ring is bounded, so the pace of the producer is that of the slower of the two. */
int workload_handoff(const struct workload_run *run, double *ret_values)
{
    static struct handoff handoff;
    pthread_t consumer;

    handoff.peer = run->peer;
    handoff.pages = run->workload->pages_max;
    if (pthread_create(&consumer, NULL, consume, &handoff) != 0)
        return -1;
    ret_values[0] = measure_ns_per_op(step_produce, &handoff, run->budget_ns, RING_SLOTS);
    ring_push(&handoff.ring, NULL);
    pthread_join(consumer, NULL);
    return isnan(ret_values[0]) ? -1 : 0;
}
