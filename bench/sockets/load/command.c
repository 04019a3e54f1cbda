/* Commands: a verb and pairs, each value percent-encoded, so that JSON fits into one word. */
#include "load.h"
#include <stdlib.h>
#include <string.h>

static int digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

static void decode(char *text) {
    char *to = text;
    for (; *text; text++, to++) {
        *to = *text;
        if (*text == '%' && digit(text[1]) >= 0 && digit(text[2]) >= 0) {
            *to = (char)(digit(text[1]) * 16 + digit(text[2]));
            text += 2;
        }
    }
    *to = 0;
}

bool parse_command(char *line, struct command *command) {
    char *rest = NULL;
    command->verb = strtok_r(line, " \n", &rest);
    command->count = 0;
    if (!command->verb) return false;
    for (char *word; (word = strtok_r(NULL, " \n", &rest));) {
        char *equals = strchr(word, '=');
        if (!equals || command->count == sizeof command->pairs / sizeof *command->pairs) return false;
        *equals = 0;
        decode(equals + 1);
        command->pairs[command->count++] = (struct pair){word, equals + 1};
    }
    return true;
}

const char *text_of(const struct command *command, const char *key, const char *otherwise) {
    for (size_t i = 0; i < command->count; i++)
        if (!strcmp(command->pairs[i].key, key)) return command->pairs[i].value;
    return otherwise;
}

double number_of(const struct command *command, const char *key, double otherwise) {
    const char *text = text_of(command, key, NULL);
    return text ? strtod(text, NULL) : otherwise;
}
