/* Payloads: a text whose first 8 digits number it, so that each that is lost, or comes twice, is seen. */
#include "load.h"
#include <stdlib.h>
#include <string.h>

enum { DIGITS = 8 };

void make_payload(struct payload *payload, const struct command *command) {
    const char *before = text_of(command, "before", ""), *after = text_of(command, "after", "");
    size_t bytes = (size_t)number_of(command, "bytes", 128);
    payload->digits_at = strlen(before);
    payload->size = payload->digits_at + bytes + strlen(after);
    payload->text = realloc(payload->text, payload->size + 1);
    memcpy(payload->text, before, payload->digits_at);
    memset(payload->text + payload->digits_at, 'x', bytes);
    strcpy(payload->text + payload->digits_at + bytes, after);
    payload->record = text_of(command, "record", "");
    payload->record_size = strlen(payload->record);
}

void send_payload(struct payload *payload, struct connection *connection, uint32_t number) {
    char *digits = payload->text + payload->digits_at;
    for (int i = DIGITS; i-- > 0; number /= 10) digits[i] = (char)('0' + number % 10);
    send_text(connection, payload->text, payload->size);
}

bool read_number(const struct payload *payload, const char *record, size_t size, uint32_t *number) {
    size_t head = payload->record_size, at = head;
    bool is_ours = size >= head + DIGITS && !memcmp(record, payload->record, head);
    for (*number = 0; is_ours && at < head + DIGITS && record[at] >= '0' && record[at] <= '9'; at++)
        *number = *number * 10 + (uint32_t)(record[at] - '0');
    if (at == head + DIGITS) return true;
    fail("the server sent something unexpected");
    return false;
}
