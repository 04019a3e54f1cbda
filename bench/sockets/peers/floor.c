/* The floor: what a server costs that does nothing but what the kernel asks for. It parses what its clients send,
   and sends frames that are ready-made: what is published while a turn of the loop lasts, joined, in one send() for
   each subscriber. No protocol errors, no closing handshake, no limits, and the one key that our generator uses. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANSWER "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" \
               "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
enum { MOST = 20000, EVENTS = 1024 };

static char inbox[1 << 16], outbox[1 << 20], published[1 << 20];
static size_t published_bytes;
static int subscribers[MOST];
static size_t subscriber_count;
static struct connection {
    int is_open;
    char *rest; /* the beginning of a frame whose end has not come */
    size_t rest_bytes;
} connections[MOST];

static void send_all(int fd, const char *data, size_t size) {
    if (size && send(fd, data, size, MSG_NOSIGNAL) != (ssize_t)size) perror("floor: a client does not read");
}

static size_t put_frame(char *out, const char *text, size_t size) {
    size_t at = 0;
    out[at++] = (char)129;
    if (size > 125) {
        out[at++] = 126;
        out[at++] = (char)(size >> 8);
    }
    out[at++] = (char)size;
    memcpy(out + at, text, size);
    return at + size;
}

static void leave(int fd) {
    for (size_t i = 0; i < subscriber_count; i++)
        if (subscribers[i] == fd) subscribers[i] = subscribers[--subscriber_count];
    connections[fd].is_open = 0;
    connections[fd].rest_bytes = 0;
    close(fd);
}

/* `j`: join, and say so; `p` and a text: publish it; anything else comes back. */
static size_t handle_text(int fd, const char *text, size_t size, char *reply) {
    if (size && *text == 'p') {
        if (published_bytes + size + 8 < sizeof published)
            published_bytes += put_frame(published + published_bytes, text + 1, size - 1);
        return 0;
    }
    if (size && *text == 'j') {
        subscribers[subscriber_count++] = fd;
        return put_frame(reply, "j", 1);
    }
    return put_frame(reply, text, size);
}

static size_t handle_frames(int fd, char *data, size_t size) {
    size_t used = 0, replies = 0;
    while (size - used >= 6) {
        uint8_t *head = (uint8_t *)data + used;
        size_t length = head[1] & 127, header = length == 126 ? 8 : 6;
        if (size - used < header) break;
        if (length == 126) length = (size_t)head[2] << 8 | head[3];
        if (size - used < header + length) break;
        char *text = data + used + header, *mask = text - 4;
        for (size_t i = 0; i < length; i++) text[i] ^= mask[i & 3];
        used += header + length;
        if ((head[0] & 15) == 1) replies += handle_text(fd, text, length, outbox + replies);
    }
    send_all(fd, outbox, replies);
    return used;
}

static void read_some(int fd) {
    struct connection *c = &connections[fd];
    memcpy(inbox, c->rest, c->rest_bytes);
    ssize_t got = recv(fd, inbox + c->rest_bytes, sizeof inbox - c->rest_bytes, 0);
    if (got <= 0) return leave(fd);
    size_t size = c->rest_bytes + (size_t)got, used = 0;
    if (c->is_open) {
        used = handle_frames(fd, inbox, size);
    } else if (memmem(inbox, size, "\r\n\r\n", 4)) { /* a client that waits for the answer sends no more before */
        send_all(fd, ANSWER, strlen(ANSWER));
        c->is_open = 1;
        used = size;
    }
    c->rest_bytes = size - used;
    c->rest = realloc(c->rest, c->rest_bytes + 1);
    memcpy(c->rest, inbox + used, c->rest_bytes);
}

static void accept_all(int listener, int epoll) {
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
        if (fd >= MOST) {
            close(fd);
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
        epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &(struct epoll_event){.events = EPOLLIN, .data.fd = fd});
    }
}

int main(void) {
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), epoll = epoll_create1(EPOLL_CLOEXEC);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    if (bind(listener, (struct sockaddr *)&address, size) || listen(listener, 1024)) return perror("floor"), 1;
    getsockname(listener, (struct sockaddr *)&address, &size);
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &(struct epoll_event){.events = EPOLLIN, .data.fd = listener});
    printf("ready %d\n", ntohs(address.sin_port));
    fflush(stdout);
    for (struct epoll_event events[EVENTS];;) {
        int count = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == listener) accept_all(listener, epoll);
            else read_some(events[i].data.fd);
        }
        for (size_t i = 0; published_bytes && i < subscriber_count; i++)
            send_all(subscribers[i], published, published_bytes);
        published_bytes = 0;
    }
}
