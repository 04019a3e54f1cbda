/* Echo, and requests with replies: each connection keeps so many outstanding, and sends the next when one is answered. */
#include "load.h"
#include <string.h>

enum { MOST_OUTSTANDING = 64, MOST_CONNECTIONS = 1024 };

static struct window window;
static struct payload payload;
static uint32_t sent[MOST_CONNECTIONS];
static double sent_s[MOST_CONNECTIONS][MOST_OUTSTANDING];
static uint64_t outstanding;

static void request(struct connection *c) {
    sent_s[c->number][sent[c->number] % MOST_OUTSTANDING] = now_s;
    send_payload(&payload, c, sent[c->number]++);
    outstanding++;
}

static void on_reply(struct connection *c, const char *record, size_t size) {
    uint32_t number;
    if (!read_number(&payload, record, size, &number)) return;
    window.moved_s = now_s;
    outstanding--;
    if (number != c->expected++) return fail("a reply was lost, twice there or out of order");
    if (window.phase == MEASURING) {
        window.units++;
        window.messages++;
        record_latency(&window.latency, now_s - sent_s[c->number][number % MOST_OUTSTANDING]);
    }
    advance_window(&window);
    if (window.phase != DRAINING) request(c);
}

void play_echo(const struct command *command) {
    struct group *group = find_group(text_of(command, "name", ""));
    uint32_t each = (uint32_t)number_of(command, "in_flight", 1);
    if (!group) return;
    if (each > MOST_OUTSTANDING || group->count > MOST_CONNECTIONS) return fail("too many outstanding");
    make_payload(&payload, command);
    begin_window(&window, command);
    outstanding = 0;
    memset(sent, 0, sizeof sent);
    group->on_record = on_reply;
    for (size_t i = 0; i < group->count; i++) {
        group->members[i]->expected = 0;
        for (uint32_t j = 0; j < each; j++) request(group->members[i]);
        flush(group->members[i]);
    }
    while (!failure && (window.phase != DRAINING || outstanding)) {
        turn(now_s + window.limit_s);
        if (is_stuck(&window)) fail("a reply did not come");
    }
    group->on_record = NULL;
    print_window(&window);
}
