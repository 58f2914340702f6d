/*
 * What the shim reads of the network configuration by itself: single texts of its outermost object. It walks strings and
 * brackets in one pass and parses nothing: whether this is JSON at all, the daemon judges.
 */
#ifndef UNDERWAY_CONFIG_H
#define UNDERWAY_CONFIG_H

#include "text.h"

struct slice {
  const char *bytes;
  size_t length;
};

static size_t skip_space(const char *json, size_t length, size_t at) {
  while (at < length && (json[at] == ' ' || json[at] == '\t' || json[at] == '\n' || json[at] == '\r')) at++;
  return at;
}

/* Where the string that opens at `at` closes, or `length`. */
static size_t string_end(const char *json, size_t length, size_t at) {
  for (at++; at < length && json[at] != '"'; at++)
    if (json[at] == '\\') at++;
  return at < length ? at : length;
}

/* The text that the outermost object has under the key, its escapes as they stand; NULL where it has none. */
static struct slice find_text(const char *json, size_t length, const char *key) {
  const struct slice none = {NULL, 0};
  size_t depth = 0, key_length = strlen(key);
  for (size_t at = 0; at < length; at++) {
    if (json[at] == '{' || json[at] == '[') depth++;
    if ((json[at] == '}' || json[at] == ']') && depth > 0) depth--;
    if (json[at] != '"') continue;
    size_t start = at + 1, end = string_end(json, length, at);
    at = end;
    if (depth != 1 || end - start != key_length || memcmp(json + start, key, key_length) != 0) continue;
    size_t value = skip_space(json, length, end + 1);
    if (value >= length || json[value] != ':') continue;
    value = skip_space(json, length, value + 1);
    if (value >= length || json[value] != '"') return none;
    return (struct slice){json + value + 1, string_end(json, length, value) - value - 1};
  }
  return none;
}

#endif
