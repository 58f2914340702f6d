/*
 * The daemon's reply: HTTP/1.1, a status, one Content-Length, that many bytes, the end. Anything else is malformed.
 * Strict on purpose: the only server is ours, and a length is what tells a whole reply from a broken one.
 */
#ifndef UNDERWAY_REPLY_H
#define UNDERWAY_REPLY_H

#include <strings.h>

#include "text.h"

enum { HEAD_BYTES_MAX = 8192, BODY_BYTES_MAX = 1 << 20, REPLY_BYTES_MAX = HEAD_BYTES_MAX + BODY_BYTES_MAX };

enum reply_state { REPLY_PARTIAL, REPLY_WHOLE, REPLY_MALFORMED, REPLY_TOO_LARGE };

struct reply {
  unsigned status;
  size_t body;
  size_t body_length;
};

/* "HTTP/1.x NNN", then a space or the line's end. */
static bool parse_status(const char *line, size_t length, unsigned *status) {
  if (length < 12 || memcmp(line, "HTTP/1.", 7) != 0 || line[8] != ' ') return false;
  if (length > 12 && line[12] != ' ') return false;
  if (line[7] != '0' && line[7] != '1') return false;
  *status = 0;
  for (size_t i = 9; i < 12; i++) {
    if (line[i] < '0' || line[i] > '9') return false;
    *status = *status * 10 + (unsigned)(line[i] - '0');
  }
  return *status >= 200;
}

static bool is_header(const char *line, size_t length, const char *name) {
  return length == strlen(name) && strncasecmp(line, name, length) == 0;
}

/* Digits only, at most 9 of them: a larger number is too large anyway. */
static bool parse_length(const char *value, size_t length, size_t *number) {
  while (length > 0 && (*value == ' ' || *value == '\t')) value++, length--;
  while (length > 0 && (value[length - 1] == ' ' || value[length - 1] == '\t')) length--;
  if (length == 0 || length > 9) return false;
  *number = 0;
  for (size_t i = 0; i < length; i++) {
    if (value[i] < '0' || value[i] > '9') return false;
    *number = *number * 10 + (size_t)(value[i] - '0');
  }
  return true;
}

/* One line after the status line. Two lengths, or a chunked body, are malformed. */
static bool take_header(struct reply *reply, bool *has_length, const char *line, size_t length) {
  const char *colon = memchr(line, ':', length);
  if (colon == NULL || colon == line || memchr(line, 0, length) != NULL) return false;
  size_t name = (size_t)(colon - line);
  if (is_header(line, name, "transfer-encoding")) return false;
  if (!is_header(line, name, "content-length")) return true;
  if (*has_length) return false;
  *has_length = true;
  return parse_length(colon + 1, length - name - 1, &reply->body_length);
}

/* The head without its final empty line. */
static bool parse_head(struct reply *reply, const char *bytes, size_t length) {
  bool has_length = false;
  for (size_t at = 0; at < length;) {
    const char *end = memmem(bytes + at, length - at, "\r\n", 2);
    size_t line = end == NULL ? length - at : (size_t)(end - (bytes + at));
    bool good = at == 0 ? parse_status(bytes, line, &reply->status) : take_header(reply, &has_length, bytes + at, line);
    if (!good) return false;
    at += line + 2;
  }
  return has_length;
}

/* Called again with all bytes so far whenever more arrived. */
static enum reply_state parse_reply(struct reply *reply, const char *bytes, size_t length) {
  size_t searched = length < HEAD_BYTES_MAX ? length : HEAD_BYTES_MAX;
  const char *blank = memmem(bytes, searched, "\r\n\r\n", 4);
  if (blank == NULL) return length < HEAD_BYTES_MAX ? REPLY_PARTIAL : REPLY_MALFORMED;
  *reply = (struct reply){0};
  size_t head = (size_t)(blank - bytes);
  if (!parse_head(reply, bytes, head)) return REPLY_MALFORMED;
  if (reply->body_length > BODY_BYTES_MAX) return REPLY_TOO_LARGE;
  reply->body = head + 4;
  size_t arrived = length - reply->body;
  if (arrived > reply->body_length) return REPLY_MALFORMED;
  return arrived == reply->body_length ? REPLY_WHOLE : REPLY_PARTIAL;
}

/* Whether it can be a JSON object; the runtime parses it in full. */
static bool looks_like_object(const char *bytes, size_t length) {
  const char *end = bytes + length;
  while (bytes < end && strchr(" \t\r\n", *bytes) != NULL && *bytes != 0) bytes++;
  while (end > bytes && strchr(" \t\r\n", end[-1]) != NULL && end[-1] != 0) end--;
  return end - bytes >= 2 && *bytes == '{' && end[-1] == '}';
}

#endif
