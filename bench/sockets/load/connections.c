/* Connections: from connect() by handshake and steps to records; and the one epoll under all of them. */
#include "load.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* A fixed key, and its answer (RFC 6455, section 1.3): whether a server computes it is not in question here. */
#define KEY "dGhlIHNhbXBsZSBub25jZQ=="
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
enum { SLOW_BUFFER_BYTES = 4096, TRICKLE_BYTES = 64, TRICKLE_MS = 10 };

struct histogram handshakes;
uint64_t reads;
static int epoll = -1;
static char inbox[1 << 18];
static struct connection *tricklers[64];
static size_t trickler_count;
static double trickled_s;

static void watch(struct connection *c, int operation, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = c};
    if (epoll_ctl(epoll, operation, c->fd, &event)) fail("epoll_ctl failed");
}

struct connection *start_connection(struct group *group, uint32_t number) {
    struct connection *c = calloc(1, sizeof *c);
    *c = (struct connection){.group = group, .number = number, .state = CONNECTING, .awaits_room = true};
    if (epoll < 0) epoll = epoll_create1(EPOLL_CLOEXEC);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) {
        fail("no more sockets: ulimit -n");
        c->state = GONE;
        return c;
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    if (group->reading != READS_ALL)
        setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &(int){SLOW_BUFFER_BYTES}, sizeof(int));
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)group->port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->began_s = read_clock();
    if (connect(c->fd, (struct sockaddr *)&address, sizeof address) && errno != EINPROGRESS) fail("connect failed");
    watch(c, EPOLL_CTL_ADD, EPOLLOUT);
    return c;
}

void end_connection(struct connection *c) {
    if (c->state != GONE) close(c->fd);
    for (size_t i = 0; i < trickler_count; i++)
        if (tricklers[i] == c) tricklers[i--] = tricklers[--trickler_count];
    c->state = GONE;
    free(c->unread);
    free(c->unsent);
    c->unread = c->unsent = NULL;
    c->unread_bytes = c->unsent_bytes = c->unread_room = c->unsent_room = 0;
}

static void lose(struct connection *c) {
    c->group->lost++;
    if (c->state != READY || c->group->reading == READS_ALL) fail("the server closed a connection");
    end_connection(c);
}

/* Whether there is room for more bytes after those that a buffer has. */
static void reserve(char **buffer, size_t *room, size_t bytes) {
    if (bytes <= *room) return;
    *room = 2 * bytes;
    *buffer = realloc(*buffer, *room);
}

void flush(struct connection *c) {
    if (!c->unsent_bytes || c->state == GONE) return;
    ssize_t sent = send(c->fd, c->unsent, c->unsent_bytes, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) return lose(c);
    size_t left = c->unsent_bytes - (size_t)(sent > 0 ? sent : 0);
    memmove(c->unsent, c->unsent + c->unsent_bytes - left, left);
    c->unsent_bytes = left;
    if ((left > 0) == c->awaits_room) return;
    c->awaits_room = left > 0;
    watch(c, EPOLL_CTL_MOD, EPOLLIN | (left ? EPOLLOUT : 0));
}

static void send_frame(struct connection *c, enum opcode opcode, const char *payload, size_t size) {
    reserve(&c->unsent, &c->unsent_room, c->unsent_bytes + size + FRAME_OVERHEAD);
    c->unsent_bytes += encode_frame(c->unsent + c->unsent_bytes, opcode, payload, size);
}

void send_text(struct connection *c, const char *text, size_t size) {
    send_frame(c, TEXT, text, size);
}

static void become_ready(struct connection *c) {
    c->state = READY;
    c->group->ready++;
    if (c->group->reading == READS_ALL) return;
    flush(c);
    epoll_ctl(epoll, EPOLL_CTL_DEL, c->fd, NULL);
    if (c->group->reading == TRICKLES && trickler_count < sizeof tricklers / sizeof *tricklers)
        tricklers[trickler_count++] = c;
}

void take_steps(struct connection *c) {
    const struct group *group = c->group;
    for (; c->step < group->step_count && group->steps[c->step].is_send; c->step++) {
        char text[4096];
        const char *from = group->steps[c->step].text, *mark = strstr(from, "{n}");
        int before = mark ? (int)(mark - from) : (int)strlen(from);
        int size = snprintf(text, sizeof text, mark ? "%.*s%u%s" : "%.*s", before, from, c->number, mark ? mark + 3 : "");
        send_text(c, text, (size_t)size);
    }
    if (c->step == group->step_count) become_ready(c);
}

static void handle_record(struct connection *c, const char *record, size_t size) {
    if (size == 1 && *record == '2') return send_text(c, "3", 1);         /* a ping of Engine.IO's */
    if (size == 2 && !memcmp(record, "{}", 2)) return send_text(c, "{}", 2); /* and of centrifuge's */
    if (c->state == READY) {
        if (c->group->on_record) c->group->on_record(c, record, size);
    } else if (c->step < c->group->step_count) {
        const char *awaited = c->group->steps[c->step].text;
        if (size < strlen(awaited) || memcmp(record, awaited, strlen(awaited))) return;
        c->step++;
        take_steps(c);
    }
}

static void handle_frame(struct connection *c, const struct frame *frame) {
    if (frame->opcode == PING) return send_frame(c, PONG, frame->payload, frame->size);
    if (frame->opcode == CLOSE) return lose(c);
    if (frame->opcode == PONG) return;
    const char *at = frame->payload, *end = at + frame->size;
    while (c->state != GONE && at < end) { /* centrifuge puts several records into a message, a line each */
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *stop = newline ? newline : end;
        handle_record(c, at, (size_t)(stop - at));
        at = stop + 1;
    }
}

/* Returns how many bytes the handshake's answer has, 0 where more must come. */
static size_t handle_handshake(struct connection *c, const char *data, size_t size) {
    const char *end = memmem(data, size, "\r\n\r\n", 4);
    if (!end) return 0;
    size_t header = (size_t)(end - data) + 4;
    if (!memmem(data, header, " 101 ", 5) || !memmem(data, header, ACCEPT, strlen(ACCEPT)))
        fail("the server refused a handshake");
    record_latency(&handshakes, now_s - c->began_s);
    c->state = STEPPING;
    take_steps(c);
    return header;
}

static void read_some(struct connection *c) {
    size_t have = c->unread_bytes, used = 0;
    if (have) memcpy(inbox, c->unread, have);
    ssize_t got = recv(c->fd, inbox + have, sizeof inbox - have, 0);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) return lose(c);
    reads++;
    read_clock();
    size_t size = have + (size_t)got;
    if (c->state == HANDSHAKING) used = handle_handshake(c, inbox, size);
    while (!failure && c->state != GONE && c->state != HANDSHAKING) {
        struct frame frame;
        size_t whole = parse_frame(inbox + used, size - used, &frame);
        if (!whole) break;
        used += whole;
        handle_frame(c, &frame);
    }
    if (c->state == GONE) return;
    c->unread_bytes = size - used;
    reserve(&c->unread, &c->unread_room, c->unread_bytes);
    if (c->unread_bytes) memcpy(c->unread, inbox + used, c->unread_bytes);
    flush(c);
}

static void send_handshake(struct connection *c) {
    int error = 0;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &(socklen_t){sizeof error});
    if (error) return fail("the server refused a connection");
    reserve(&c->unsent, &c->unsent_room, 1024);
    c->unsent_bytes = (size_t)snprintf(c->unsent, c->unsent_room,
        "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: " KEY "\r\nSec-WebSocket-Version: 13\r\n\r\n", c->group->path, c->group->port);
    flush(c);
    c->state = HANDSHAKING;
}

static void trickle(void) {
    if (read_clock() < trickled_s + TRICKLE_MS / 1e3) return;
    trickled_s = now_s;
    for (size_t i = trickler_count; i-- > 0;) {
        ssize_t got = recv(tricklers[i]->fd, inbox, TRICKLE_BYTES, 0);
        if (!got || (got < 0 && errno != EAGAIN)) lose(tricklers[i]);
    }
}

void turn(double deadline_s) {
    struct epoll_event events[1024];
    double left_ms = (deadline_s - read_clock()) * 1e3;
    int wait_ms = left_ms < 0 ? 0 : left_ms > 100 ? 100 : (int)left_ms + 1;
    if (trickler_count && wait_ms > TRICKLE_MS) wait_ms = TRICKLE_MS;
    int count = epoll_wait(epoll, events, 1024, wait_ms);
    for (int i = 0; i < count && !failure; i++) {
        struct connection *c = events[i].data.ptr;
        if (c->state == CONNECTING) send_handshake(c);
        else if (events[i].events & EPOLLOUT) flush(c);
        if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR) && c->state != CONNECTING) read_some(c);
    }
    if (trickler_count) trickle();
}
