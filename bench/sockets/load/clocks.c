/* Time, CPU time and how long messages took. */
#include "load.h"
#include <stdlib.h>
#include <time.h>

double now_s;
static clockid_t watched[64];
static size_t watched_count;

static double seconds(clockid_t clock) {
    struct timespec time;
    if (clock_gettime(clock, &time)) {
        fail("a process of the server has ended");
        return 0;
    }
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

double read_clock(void) {
    return now_s = seconds(CLOCK_MONOTONIC);
}

/* The kernel keeps a clock of each process' CPU time, of all its threads, to the nanosecond: no ticks to round to. */
void watch_processes(const char *pids) {
    watched_count = 0;
    for (char *rest; *pids; pids = *rest ? rest + 1 : rest) {
        pid_t pid = (pid_t)strtol(pids, &rest, 10);
        if (rest == pids || watched_count == sizeof watched / sizeof *watched) return fail("pids can't be read");
        if (clock_getcpuclockid(pid, &watched[watched_count++])) return fail("a process of the server has ended");
    }
}

struct cpu read_cpu(void) {
    struct cpu cpu = {.own_s = seconds(CLOCK_PROCESS_CPUTIME_ID), .at_s = read_clock()};
    for (size_t i = 0; i < watched_count; i++) cpu.server_s += seconds(watched[i]);
    return cpu;
}

/* Buckets of nanoseconds: 64 for each power of two, so that a percentile is right to 1.6 %. */
void record_latency(struct histogram *histogram, double latency_s) {
    uint64_t ns = latency_s > 0 ? (uint64_t)(latency_s * 1e9) + 64 : 64;
    int power = 63 - __builtin_clzll(ns);
    histogram->buckets[(size_t)power * 64 + ((ns >> (power - 6)) & 63)]++;
    histogram->count++;
}

double percentile_us(const struct histogram *histogram, double share) {
    uint64_t rank = (uint64_t)(share * (double)histogram->count), seen = 0;
    for (size_t i = 64 * 6; i < 64 * 64; i++) {
        seen += histogram->buckets[i];
        if (seen > rank) return (double)((64 + (i & 63)) << (i / 64 - 6)) / 1e3;
    }
    return 0;
}
