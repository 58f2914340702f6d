/*
 * The versions of the specification that Underway speaks, and the one line of the configuration that the shim reads
 * by itself: cniVersion, to answer VERSION and to say errors in the version asked for.
 */
#ifndef UNDERWAY_VERSION_H
#define UNDERWAY_VERSION_H

#include "text.h"

#define NEWEST_VERSION "1.1.0"
#define SUPPORTED_VERSIONS "[\"0.3.0\",\"0.3.1\",\"0.4.0\",\"1.0.0\",\"1.1.0\"]"

enum { VERSION_LENGTH_MAX = 32 };

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

/* True for what may be echoed: the characters of a semantic version, no more than 32 of them. */
static bool take_version(char *version, const char *from, size_t length) {
  if (length == 0 || length > VERSION_LENGTH_MAX) return false;
  for (size_t i = 0; i < length; i++) {
    char byte = from[i];
    bool known = (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
                 byte == '.' || byte == '-' || byte == '+';
    if (!known) return false;
  }
  memcpy(version, from, length);
  version[length] = 0;
  return true;
}

/*
 * The value of the outermost object's cniVersion; the newest version where there is none. The daemon judges whether
 * the text is JSON at all: this only walks strings and brackets, in one pass.
 */
static void scan_version(char version[VERSION_LENGTH_MAX + 1], const char *json, size_t length) {
  static const char key[] = "cniVersion";
  size_t depth = 0;
  strcpy(version, NEWEST_VERSION);
  for (size_t at = 0; at < length; at++) {
    if (json[at] == '{' || json[at] == '[') depth++;
    if ((json[at] == '}' || json[at] == ']') && depth > 0) depth--;
    if (json[at] != '"') continue;
    size_t start = at + 1, end = string_end(json, length, at);
    at = end;
    if (depth != 1 || end - start != sizeof key - 1 || memcmp(json + start, key, sizeof key - 1) != 0) continue;
    size_t value = skip_space(json, length, end + 1);
    if (value >= length || json[value] != ':') continue;
    value = skip_space(json, length, value + 1);
    if (value >= length || json[value] != '"') return;
    take_version(version, json + value + 1, string_end(json, length, value) - value - 1);
    return;
  }
}

static void put_versions(struct text *out, const char *version) {
  put(out, "{\"cniVersion\":");
  put_json(out, version, strlen(version));
  put(out, ",\"supportedVersions\":" SUPPORTED_VERSIONS "}\n");
}

#endif
