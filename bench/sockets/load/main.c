/* Reads commands and plays them, until its input ends. A command that fails is answered {"error": "why"}. */
#include "load.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *failure;

void fail(const char *why) {
    if (!failure) failure = why;
}

static void play(const struct command *command) {
    static const struct {
        const char *verb;
        void (*play)(const struct command *);
    } verbs[] = {
        {"open", play_open}, {"ask", play_ask},       {"hold", play_hold},
        {"echo", play_echo}, {"fanout", play_fanout}, {"close", play_close},
    };
    watch_processes(text_of(command, "pids", ""));
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (!strcmp(command->verb, verbs[i].verb)) return verbs[i].play(command);
    fail("there is no such command");
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (;;) {
        char *line = NULL; /* not freed: groups keep the texts of their steps */
        size_t room = 0;
        if (getline(&line, &room, stdin) < 0) return 0;
        struct command command;
        if (parse_command(line, &command)) play(&command);
        else fail("a command that can't be read");
        if (failure) printf("{\"error\": \"%s\"}\n", failure);
        failure = NULL;
    }
}
