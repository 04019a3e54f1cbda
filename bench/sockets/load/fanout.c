/* Fan-out: a publisher keeps so many publishes in flight; the next goes out when all subscribers have one. */
#include "load.h"
#include <stdio.h>
#include <string.h>

enum { RING = 1024 };

static struct window window;
static struct payload payload;
static struct connection *publisher;
static struct group *subscribers;
static uint32_t published, completed;
static uint32_t missing[RING]; /* of each publish in flight: how many subscribers have not got it */
static double sent_s[RING];

static void publish(void) {
    missing[published % RING] = (uint32_t)subscribers->count;
    sent_s[published % RING] = now_s;
    send_payload(&payload, publisher, published++);
}

static void complete(void) {
    completed++;
    if (window.phase == MEASURING) window.messages++;
    advance_window(&window);
    if (window.phase != DRAINING) publish();
}

static void on_delivery(struct connection *c, const char *record, size_t size) {
    uint32_t number;
    if (!read_number(&payload, record, size, &number)) return;
    window.moved_s = now_s;
    if (number != c->expected++ || number >= published) return fail("a message was lost, twice there or out of order");
    if (window.phase == MEASURING) {
        window.units++;
        record_latency(&window.latency, now_s - sent_s[number % RING]);
    }
    if (!--missing[number % RING]) complete();
}

void play_fanout(const struct command *command) {
    struct group *publishers = find_group(text_of(command, "publisher", "publisher"));
    subscribers = find_group(text_of(command, "name", ""));
    uint32_t in_flight = (uint32_t)number_of(command, "in_flight", 1);
    if (failure) return;
    if (in_flight >= RING) return fail("too many in flight");
    publisher = publishers->members[0];
    make_payload(&payload, command);
    begin_window(&window, command);
    published = completed = 0;
    memset(missing, 0, sizeof missing);
    for (size_t i = 0; i < subscribers->count; i++) subscribers->members[i]->expected = 0;
    subscribers->on_record = on_delivery;
    for (uint32_t i = 0; i < in_flight; i++) publish();
    while (!failure && (window.phase != DRAINING || completed < published)) {
        flush(publisher); /* once a turn, so that what completes together is asked for together */
        turn(now_s + window.limit_s);
        if (is_stuck(&window)) fail("a message did not reach all subscribers");
    }
    subscribers->on_record = NULL;
    print_window(&window);
}
