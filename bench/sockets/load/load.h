/* The load generator: what its files share.

   It opens groups of WebSockets to one server and plays scenarios on them, one after the other, in one thread around
   one epoll. A command is a line on standard input (command.c), its answer a line of JSON on standard output. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* command.c: one line, `verb key=value key=value`, its values percent-encoded */
struct pair {
    const char *key, *value;
};
struct command {
    const char *verb;
    struct pair pairs[48];
    size_t count;
};
bool parse_command(char *line, struct command *command); /* which points into the line from then on */
const char *text_of(const struct command *command, const char *key, const char *otherwise);
double number_of(const struct command *command, const char *key, double otherwise);

/* failing: the first reason stands until it is told as the answer to the command */
extern const char *failure;
void fail(const char *why);

/* clocks.c */
extern double now_s; /* monotonic, read once for all that one read brought */
double read_clock(void);
struct cpu {
    double server_s, own_s, at_s; /* CPU time of the server's processes and of this one; when */
};
void watch_processes(const char *pids); /* separated by commas */
struct cpu read_cpu(void);
struct histogram {
    uint64_t buckets[64 * 64], count;
};
void record_latency(struct histogram *histogram, double seconds);
double percentile_us(const struct histogram *histogram, double share);

/* frames.c: RFC 6455, client's side */
enum opcode { TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10 };
struct frame {
    uint8_t opcode;
    const char *payload;
    size_t size;
};
size_t parse_frame(const char *data, size_t size, struct frame *frame); /* 0: more must come */
size_t encode_frame(char *out, enum opcode opcode, const char *payload, size_t size);
enum { FRAME_OVERHEAD = 14 };

/* connections.c */
struct connection;
typedef void on_record(struct connection *connection, const char *record, size_t size);
struct step { /* of what a connection says and waits for, in turn; `{n}` in a text is its number */
    bool is_send;
    const char *text;
};
enum reading { READS_ALL, READS_NOTHING, TRICKLES };
struct group {
    char name[32];
    int port;
    const char *path;
    enum reading reading; /* once ready */
    struct step steps[16];
    size_t step_count;
    struct connection **members;
    size_t count, ready, lost;
    on_record *on_record; /* of the scenario that plays */
};
struct connection {
    struct group *group;
    uint32_t number;
    int fd;
    enum { CONNECTING, HANDSHAKING, STEPPING, READY, GONE } state;
    size_t step;
    char *unread, *unsent; /* the beginning of a frame; what the kernel did not take yet */
    size_t unread_bytes, unsent_bytes, unread_room, unsent_room;
    bool awaits_room; /* to send on */
    uint32_t expected; /* the sequence number that is to come next */
    double began_s;
};
struct connection *start_connection(struct group *group, uint32_t number);
void end_connection(struct connection *connection);
void take_steps(struct connection *connection);
void send_text(struct connection *connection, const char *text, size_t size); /* goes out by flush() */
void flush(struct connection *connection);
void turn(double deadline_s); /* wait for events, until the deadline at most, and serve them */
extern struct histogram handshakes;
extern uint64_t reads; /* that brought something */

/* opening.c */
struct group *find_group(const char *name); /* NULL, with a failure, where there is none */
void play_open(const struct command *command);
void play_ask(const struct command *command);
void play_close(const struct command *command);
void play_hold(const struct command *command);

/* payload.c: a numbered text in what the server's protocol puts around it */
struct payload {
    char *text; /* before, 8 digits, filler, after */
    size_t size, digits_at;
    const char *record; /* what a server's record begins with, its 8 digits following */
    size_t record_size;
};
void make_payload(struct payload *payload, const struct command *command);
void send_payload(struct payload *payload, struct connection *connection, uint32_t number);
bool read_number(const struct payload *payload, const char *record, size_t size, uint32_t *number); /* or a failure */

/* window.c: warm up, measure, drain */
struct window {
    enum { WARMING, MEASURING, DRAINING } phase;
    double warm_s, run_s, limit_s, moved_s; /* how long each; after how long without a move it is stuck */
    struct cpu begin, end;
    uint64_t begin_reads, end_reads;
    uint64_t units, messages; /* deliveries or replies; publishes or requests */
    struct histogram latency;
};
void begin_window(struct window *window, const struct command *command);
void advance_window(struct window *window); /* at a boundary: between two messages */
bool is_stuck(const struct window *window);
void print_window(const struct window *window);

/* fanout.c, echo.c */
void play_fanout(const struct command *command);
void play_echo(const struct command *command);
