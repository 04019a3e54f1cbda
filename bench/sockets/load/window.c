/* The window in which is measured: after a warm-up, from one boundary between messages to another. */
#include "load.h"
#include <stdio.h>
#include <string.h>

void begin_window(struct window *window, const struct command *command) {
    memset(window, 0, sizeof *window);
    window->warm_s = number_of(command, "warm_s", 0.3);
    window->run_s = number_of(command, "run_s", 1);
    window->limit_s = number_of(command, "limit_s", 10);
    window->begin.at_s = window->moved_s = read_clock();
}

void advance_window(struct window *window) {
    if (window->phase == WARMING && now_s - window->begin.at_s >= window->warm_s) {
        window->phase = MEASURING;
        window->begin = read_cpu();
        window->begin_reads = reads;
    } else if (window->phase == MEASURING && now_s - window->begin.at_s >= window->run_s) {
        window->phase = DRAINING;
        window->end = read_cpu();
        window->end_reads = reads;
    }
}

bool is_stuck(const struct window *window) {
    return read_clock() - window->moved_s > window->limit_s;
}

void print_window(const struct window *window) {
    if (failure) return;
    printf("{\"units\": %llu, \"messages\": %llu, \"reads\": %llu, \"wall_s\": %.6f, \"server_cpu_s\": %.9f, \"own_cpu_s\": %.9f, "
           "\"p50_us\": %.1f, \"p99_us\": %.1f}\n",
           (unsigned long long)window->units, (unsigned long long)window->messages,
           (unsigned long long)(window->end_reads - window->begin_reads),
           window->end.at_s - window->begin.at_s, window->end.server_s - window->begin.server_s,
           window->end.own_s - window->begin.own_s, percentile_us(&window->latency, 0.5),
           percentile_us(&window->latency, 0.99));
}
