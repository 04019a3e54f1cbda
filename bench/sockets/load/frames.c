/* RFC 6455, section 5: what a client sends is masked, what it gets is not. */
#include "load.h"
#include <string.h>

size_t parse_frame(const char *data, size_t size, struct frame *frame) {
    const uint8_t *head = (const uint8_t *)data;
    if (size < 2) return 0;
    size_t header = 2, length = head[1] & 127;
    if (head[1] & 128) fail("the server sent a masked frame");
    if (length > 125) {
        size_t bytes = length == 126 ? 2 : 8;
        header += bytes;
        if (size < header) return 0;
        length = 0;
        for (size_t i = 2; i < header; i++) length = length << 8 | head[i];
    }
    if (size - header < length) return 0;
    if (!(head[0] & 128) || !(head[0] & 15) || head[0] & 112)
        fail("the server sent a fragmented or compressed message");
    *frame = (struct frame){head[0] & 15, data + header, length};
    return header + length;
}

static uint32_t next_mask(void) { /* xorshift: it need not be secret here, but it must not be zero */
    static uint32_t mask = 2463534242;
    mask ^= mask << 13;
    mask ^= mask >> 17;
    return mask ^= mask << 5;
}

size_t encode_frame(char *out, enum opcode opcode, const char *payload, size_t size) {
    size_t at = 0;
    uint32_t mask = next_mask();
    out[at++] = (char)(128 | opcode);
    if (size < 126) {
        out[at++] = (char)(128 | size);
    } else { /* nothing here is larger than 64 KiB */
        out[at++] = (char)(128 | 126);
        out[at++] = (char)(size >> 8);
        out[at++] = (char)size;
    }
    memcpy(out + at, &mask, 4);
    at += 4;
    for (size_t i = 0; i < size; i++) out[at + i] = payload[i] ^ ((const char *)&mask)[i & 3];
    return at + size;
}
