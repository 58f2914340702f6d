/*
 * Where the daemon's socket and the state folder are: compiled in, or said by `underway.conf` beside the binary.
 * A file and not the environment: every runtime passes its own environment, none passes ours.
 */
#ifndef UNDERWAY_SETTINGS_H
#define UNDERWAY_SETTINGS_H

#include <fcntl.h>
#include <sys/un.h>
#include <unistd.h>

#include "failure.h"

enum {
  SOCKET_PATH_MAX = sizeof(((struct sockaddr_un *)0)->sun_path) - 1,
  STATE_PATH_MAX = 512,
  SETTINGS_BYTES_MAX = 4096,
  DEADLINE_MS_MIN = 10,
  DEADLINE_MS_MAX = 600000,
};

struct settings {
  char socket[SOCKET_PATH_MAX + 1];
  char state[STATE_PATH_MAX + 1];
  /* 0: each verb's own. */
  unsigned deadline_ms;
};

static const struct settings default_settings = {
    .socket = "/run/underway/cni.sock",
    .state = "/var/lib/underway",
    .deadline_ms = 0,
};

static bool is_key(const char *line, size_t length, const char *key) {
  return length == strlen(key) && memcmp(line, key, length) == 0;
}

/* An absolute path without a zero byte, copied with a final zero. */
static bool take_path(char *to, size_t size, const char *value, size_t length) {
  if (length == 0 || length >= size || value[0] != '/' || memchr(value, 0, length) != NULL) return false;
  memcpy(to, value, length);
  to[length] = 0;
  return true;
}

static bool take_deadline(unsigned *to, const char *value, size_t length) {
  unsigned number = 0;
  if (length == 0 || length > 6) return false;
  for (size_t i = 0; i < length; i++) {
    if (value[i] < '0' || value[i] > '9') return false;
    number = number * 10 + (unsigned)(value[i] - '0');
  }
  if (number < DEADLINE_MS_MIN || number > DEADLINE_MS_MAX) return false;
  *to = number;
  return true;
}

static bool take_line(struct settings *settings, const char *line, size_t length) {
  while (length > 0 && (line[length - 1] == ' ' || line[length - 1] == '\t' || line[length - 1] == '\r')) length--;
  const char *equals = memchr(line, '=', length);
  if (equals == NULL) return true;
  size_t key = (size_t)(equals - line), rest = length - key - 1;
  if (is_key(line, key, "socket")) return take_path(settings->socket, sizeof settings->socket, equals + 1, rest);
  if (is_key(line, key, "state")) return take_path(settings->state, sizeof settings->state, equals + 1, rest);
  if (is_key(line, key, "deadline_ms")) return take_deadline(&settings->deadline_ms, equals + 1, rest);
  return true;
}

/* Lines `key=value`. Unknown keys and lines without `=` are skipped. Returns 0, or the number of the bad line. */
static unsigned parse_settings(struct settings *settings, const char *bytes, size_t length) {
  unsigned number = 0;
  for (size_t at = 0; at < length;) {
    const char *end = memchr(bytes + at, '\n', length - at);
    size_t line = end == NULL ? length - at : (size_t)(end - (bytes + at));
    number++;
    if (!take_line(settings, bytes + at, line)) return number;
    at += line + 1;
  }
  return 0;
}

/* `underway.conf` beside the running binary, also when that was replaced meanwhile ("... (deleted)"). */
static bool settings_path(char *path, size_t size) {
  static const char name[] = "underway.conf";
  ssize_t length = readlink("/proc/self/exe", path, size);
  if (length <= 0 || (size_t)length >= size) return false;
  while (length > 0 && path[length - 1] != '/') length--;
  if ((size_t)length + sizeof name > size) return false;
  memcpy(path + length, name, sizeof name);
  return true;
}

/* No such file means the defaults. */
static bool load_settings(struct settings *settings, struct failure *failure) {
  char path[4096], bytes[SETTINGS_BYTES_MAX + 1];
  *settings = default_settings;
  if (!settings_path(path, sizeof path)) return true;
  int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0 && (errno == ENOENT || errno == ENOTDIR)) return true;
  ssize_t length = file < 0 ? -1 : read(file, bytes, sizeof bytes);
  int error = errno;
  if (file >= 0) close(file);
  if (length < 0) {
    struct text *msg = fail(failure, CODE_IO);
    put(msg, "cannot read "), put(msg, path), put(msg, " ("), put_errno(msg, error), put(msg, ")");
    return false;
  }
  unsigned bad = length > SETTINGS_BYTES_MAX ? 1 : parse_settings(settings, bytes, (size_t)length);
  if (bad == 0) return true;
  struct text *msg = fail(failure, CODE_INVALID_CONFIG);
  put(msg, path), put(msg, " line "), put_number(msg, bad);
  put(msg, ": socket and state are absolute paths of at most 107 and 512 bytes, deadline_ms is 10 to 600000, "
           "and the file has at most 4096 bytes");
  return false;
}

#endif
