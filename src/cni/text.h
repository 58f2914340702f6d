/*
 * Text in a fixed buffer. Invariant: nothing is ever written past the end; what does not fit is left out whole and
 * `cut` stays true, so a caller looks once, at the end.
 */
#ifndef UNDERWAY_TEXT_H
#define UNDERWAY_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct text {
  char *bytes;
  size_t length;
  size_t size;
  bool cut;
};

#define TEXT_IN(array) {.bytes = (array), .length = 0, .size = sizeof(array), .cut = false}

static void put_bytes(struct text *text, const char *bytes, size_t length) {
  if (text->cut || length > text->size - text->length) {
    text->cut = true;
    return;
  }
  memcpy(text->bytes + text->length, bytes, length);
  text->length += length;
}

static void put(struct text *text, const char *string) { put_bytes(text, string, strlen(string)); }

static void put_number(struct text *text, unsigned long number) {
  char digits[20];
  size_t at = sizeof digits;
  do digits[--at] = (char)('0' + number % 10);
  while ((number /= 10) > 0);
  put_bytes(text, digits + at, sizeof digits - at);
}

/* The lowest 4 * `digits` bits, at most 64. */
static void put_hex(struct text *text, unsigned long long number, size_t digits) {
  char hex[16];
  for (size_t at = digits; at-- > 0; number >>= 4) hex[at] = "0123456789abcdef"[number & 15];
  put_bytes(text, hex, digits);
}

/* 16 hex digits by which two texts are told apart (FNV-1a, 64 bits). */
static void put_digest(struct text *text, const struct text *of) {
  unsigned long long hash = 0xcbf29ce484222325ull;
  for (size_t at = 0; at < of->length; at++) hash = (hash ^ (unsigned char)of->bytes[at]) * 0x100000001b3ull;
  put_hex(text, hash, 16);
}

/* For system calls: the bytes with a final zero, or NULL when they were cut. */
static const char *as_string(struct text *text) {
  put_bytes(text, "", 1);
  return text->cut ? NULL : text->bytes;
}

/* Bytes of the valid UTF-8 sequence at `at`; 0 when there is none (RFC 3629: no overlong form, no surrogate). */
static size_t utf8_length(const unsigned char *at, size_t left) {
  unsigned char first = at[0];
  if (first < 0x80) return 1;
  size_t length = 0;
  if (first >= 0xc2 && first <= 0xdf) length = 2;
  else if (first >= 0xe0 && first <= 0xef) length = 3;
  else if (first >= 0xf0 && first <= 0xf4) length = 4;
  if (length == 0 || length > left) return 0;
  for (size_t i = 1; i < length; i++)
    if ((at[i] & 0xc0) != 0x80) return 0;
  if (first == 0xe0 && at[1] < 0xa0) return 0;
  if (first == 0xed && at[1] > 0x9f) return 0;
  if (first == 0xf0 && at[1] < 0x90) return 0;
  if (first == 0xf4 && at[1] > 0x8f) return 0;
  return length;
}

/* Plain in a JSON string: printable ASCII but the quote and the backslash. */
static bool is_plain(unsigned char byte) { return byte >= 0x20 && byte < 0x7f && byte != '"' && byte != '\\'; }

static void put_escaped(struct text *text, unsigned char byte) {
  static const char hex[] = "0123456789abcdef";
  char escaped[6] = {'\\', 'u', '0', '0', hex[byte >> 4], hex[byte & 15]};
  switch (byte) {
    case '"': put(text, "\\\""); break;
    case '\\': put(text, "\\\\"); break;
    case '\n': put(text, "\\n"); break;
    case '\r': put(text, "\\r"); break;
    case '\t': put(text, "\\t"); break;
    default: put_bytes(text, escaped, sizeof escaped);
  }
}

/* The bytes as a JSON string, quotes included. What is not UTF-8 becomes U+FFFD, as Go's encoder does. */
static void put_json(struct text *text, const char *bytes, size_t length) {
  const unsigned char *at = (const unsigned char *)bytes, *end = at + length;
  put(text, "\"");
  while (at < end) {
    const unsigned char *run = at;
    while (at < end && is_plain(*at)) at++;
    put_bytes(text, (const char *)run, (size_t)(at - run));
    if (at == end) break;
    if (*at < 0x80) {
      put_escaped(text, *at++);
      continue;
    }
    size_t sequence = utf8_length(at, (size_t)(end - at));
    if (sequence == 0) put(text, "\\ufffd");
    else put_bytes(text, (const char *)at, sequence);
    at += sequence == 0 ? 1 : sequence;
  }
  put(text, "\"");
}

#endif
