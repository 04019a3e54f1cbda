/* Groups of connections: opened, asked for something, kept, closed. */
#include "load.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct group *groups[16];
static size_t group_count;

static struct group *look_up(const char *name) {
    for (size_t i = 0; i < group_count; i++)
        if (!strcmp(groups[i]->name, name)) return groups[i];
    return NULL;
}

struct group *find_group(const char *name) {
    struct group *group = look_up(name);
    if (!group) fail("there is no such group");
    return group;
}

static enum reading reading_of(const struct command *command) {
    const char *reading = text_of(command, "reading", "all");
    return !strcmp(reading, "nothing") ? READS_NOTHING : !strcmp(reading, "trickle") ? TRICKLES : READS_ALL;
}

/* The pairs `send` and `await`, in their order. The texts stay: a command's line is never freed. */
static void set_steps(struct group *group, const struct command *command) {
    group->step_count = 0;
    for (size_t i = 0; i < command->count; i++) {
        bool is_send = !strcmp(command->pairs[i].key, "send");
        if (!is_send && strcmp(command->pairs[i].key, "await")) continue;
        if (group->step_count == sizeof group->steps / sizeof *group->steps) return fail("too many steps");
        group->steps[group->step_count++] = (struct step){is_send, command->pairs[i].value};
    }
}

static struct group *make_group(const struct command *command) {
    if (group_count == sizeof groups / sizeof *groups) {
        fail("too many groups");
        return groups[0];
    }
    struct group *group = groups[group_count++] = calloc(1, sizeof *group);
    snprintf(group->name, sizeof group->name, "%s", text_of(command, "name", ""));
    group->port = (int)number_of(command, "port", 0);
    group->path = text_of(command, "path", "/");
    group->reading = reading_of(command);
    return group;
}

/* Wait until all of a group are ready, no more than `at_once` of those that are to come being under way. */
static void bring_up(struct group *group, size_t wanted, size_t at_once, double limit_s) {
    double deadline_s = read_clock() + limit_s;
    while (!failure && group->ready < wanted) {
        while (!failure && group->count < wanted && group->count - group->ready < at_once) {
            group->members[group->count] = start_connection(group, (uint32_t)group->count);
            group->count++;
        }
        if (!failure) turn(deadline_s);
        if (now_s > deadline_s) fail("not all connections got ready in time");
    }
}

static void print_opening(struct cpu before, size_t count) {
    struct cpu after = read_cpu();
    if (failure) return;
    printf("{\"units\": %zu, \"wall_s\": %.6f, \"server_cpu_s\": %.9f, \"own_cpu_s\": %.9f, \"p50_us\": %.1f, "
           "\"p99_us\": %.1f}\n", count, after.at_s - before.at_s, after.server_s - before.server_s,
           after.own_s - before.own_s, percentile_us(&handshakes, 0.5), percentile_us(&handshakes, 0.99));
}

/* `open`: make a group, or bring it to a larger count. */
void play_open(const struct command *command) {
    struct group *group = look_up(text_of(command, "name", ""));
    if (!group) group = make_group(command);
    size_t before = group->count, wanted = (size_t)number_of(command, "count", 1);
    set_steps(group, command);
    group->members = realloc(group->members, wanted * sizeof *group->members);
    memset(&handshakes, 0, sizeof handshakes);
    struct cpu cpu = read_cpu();
    bring_up(group, wanted, (size_t)number_of(command, "at_once", 64), number_of(command, "limit_s", 60));
    print_opening(cpu, wanted - before);
}

/* `ask`: each of a group takes further steps. */
void play_ask(const struct command *command) {
    struct group *group = find_group(text_of(command, "name", ""));
    if (!group) return;
    set_steps(group, command);
    group->ready = 0;
    struct cpu cpu = read_cpu();
    for (size_t i = 0; i < group->count && !failure; i++) {
        group->members[i]->state = STEPPING;
        group->members[i]->step = 0;
        take_steps(group->members[i]);
        flush(group->members[i]);
    }
    bring_up(group, group->count, 0, number_of(command, "limit_s", 60));
    print_opening(cpu, group->count);
}

void play_close(const struct command *command) {
    struct group *group = find_group(text_of(command, "name", ""));
    if (!group) return;
    for (size_t i = 0; i < group->count; i++) end_connection(group->members[i]);
    group->count = group->ready = 0;
    printf("{}\n");
}

/* `hold`: stay connected for a while, and answer pings. */
void play_hold(const struct command *command) {
    struct cpu before = read_cpu();
    double until_s = now_s + number_of(command, "run_s", 1);
    while (!failure && now_s < until_s) turn(until_s);
    print_opening(before, 0);
}
