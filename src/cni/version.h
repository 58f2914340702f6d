/*
 * The versions of the specification that Underway speaks, and the one that a configuration asks for: VERSION is answered
 * and errors are said in it.
 */
#ifndef UNDERWAY_VERSION_H
#define UNDERWAY_VERSION_H

#include "config.h"

/* src/protocol/version.ts has the same; the tests of the binary compare them. */
#define NEWEST_VERSION "1.1.0"
#define VERSIONS(between) "0.3.0" between "0.3.1" between "0.4.0" between "1.0.0" between NEWEST_VERSION

enum { VERSION_LENGTH_MAX = 32 };

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

/* The configuration's cniVersion; the newest version where there is none. */
static void scan_version(char version[VERSION_LENGTH_MAX + 1], const char *json, size_t length) {
  struct slice text = find_text(json, length, "cniVersion");
  strcpy(version, NEWEST_VERSION);
  if (text.bytes != NULL) take_version(version, text.bytes, text.length);
}

static void put_versions(struct text *out, const char *version) {
  put(out, "{\"cniVersion\":");
  put_json(out, version, strlen(version));
  put(out, ",\"supportedVersions\":[\"" VERSIONS("\",\"") "\"]}\n");
}

#endif
