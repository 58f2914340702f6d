/*
 * libFuzzer over everything in the shim that reads bytes it did not write. The input's first byte chooses the parser;
 * what each must promise is asserted, so a wrong answer counts as a crash too. Run it with run.sh.
 */
#define UNDERWAY_FUZZ
#include "../../src/cni/shim.c"

#include <stdint.h>

#define PROMISE(what) \
  do { if (!(what)) __builtin_trap(); } while (0)

static bool is_safe_json(const struct text *text) {
  for (size_t i = 0; i < text->length;) {
    size_t sequence = utf8_length((const unsigned char *)text->bytes + i, text->length - i);
    if (sequence == 0 || (unsigned char)text->bytes[i] < ' ') return false;
    i += sequence;
  }
  return true;
}

static void fuzz_settings(const char *bytes, size_t length) {
  struct settings settings = default_settings;
  if (parse_settings(&settings, bytes, length) != 0) return;
  PROMISE(settings.socket[0] == '/' && strlen(settings.socket) <= SOCKET_PATH_MAX);
  PROMISE(settings.state[0] == '/' && strlen(settings.state) <= STATE_PATH_MAX);
  PROMISE(settings.deadline_ms <= DEADLINE_MS_MAX);
}

/* However the bytes are cut on their way, the verdict is the same: a prefix of a whole reply is only ever partial. */
static void fuzz_reply(const char *bytes, size_t length) {
  struct reply reply;
  enum reply_state state = parse_reply(&reply, bytes, length);
  if (state == REPLY_WHOLE) {
    PROMISE(reply.status >= 200 && reply.status <= 999);
    PROMISE(reply.body + reply.body_length == length && reply.body_length <= BODY_BYTES_MAX);
    looks_like_object(bytes + reply.body, reply.body_length);
  }
  if (state == REPLY_MALFORMED || state == REPLY_TOO_LARGE) return;
  struct reply earlier;
  for (size_t cut = 0; cut < length; cut++) PROMISE(parse_reply(&earlier, bytes, cut) == REPLY_PARTIAL);
}

static void fuzz_escape(const char *bytes, size_t length) {
  char whole[8192], small[64];
  struct text text = TEXT_IN(whole), narrow = TEXT_IN(small);
  put_json(&text, bytes, length);
  PROMISE(text.cut ? 6 * length + 2 > sizeof whole : text.length >= length + 2 && is_safe_json(&text));
  put_json(&narrow, bytes, length);
  PROMISE(narrow.length <= sizeof small && is_safe_json(&narrow));
}

static bool is_version(const char *text) {
  return strspn(text, "0123456789.+-abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") == strlen(text);
}

static void fuzz_version(const char *bytes, size_t length) {
  char version[VERSION_LENGTH_MAX + 1], out[256];
  struct text text = TEXT_IN(out);
  scan_version(version, bytes, length);
  PROMISE(version[0] != 0 && is_version(version));
  put_versions(&text, version);
  PROMISE(!text.cut && is_safe_json(&(struct text){.bytes = text.bytes, .length = text.length - 1}));
}

/* Six strings, separated by zero bytes, and what follows as the configuration. */
static void fuzz_environment(const char *bytes, size_t length) {
  static char copy[1 << 16], out[1 << 17];
  struct failure failure;
  struct environment env = {0};
  const char **fields[] = {
      &env.command, &env.container_id, &env.netns, &env.ifname, &env.args, &env.path, &env.traceparent,
  };
  if (length >= sizeof copy) return;
  memcpy(copy, bytes, length);
  copy[length] = 0;
  size_t at = 0;
  for (size_t i = 0; i < sizeof fields / sizeof *fields && at < length; i++) {
    /* "-" stands for a variable that is not set. */
    *fields[i] = strcmp(copy + at, "-") == 0 ? NULL : copy + at;
    at += strlen(copy + at) + 1;
  }
  if (env.command == NULL) return;
  const struct verb *verb = check_environment(&env, &failure);
  struct text text = TEXT_IN(out);
  if (verb == NULL) {
    put_failure(&text, &failure, NEWEST_VERSION);
    PROMISE(!text.cut && failure.code == CODE_BAD_ENVIRONMENT && !failure.msg.cut);
    PROMISE(is_safe_json(&(struct text){.bytes = text.bytes, .length = text.length - 1}));
    PROMISE(text.length < sizeof out && (text.bytes[text.length] = 0, strcasestr(text.bytes, "not found") == NULL));
    return;
  }
  if (verb->needs & NEEDS_CONTAINER_ID) {
    char name_bytes[256];
    struct text name = TEXT_IN(name_bytes);
    put_spool_name(&name, &env, &(struct text){.bytes = copy, .length = length});
    PROMISE(!name.cut && name.length <= 166 && memchr(name.bytes, '/', name.length) == NULL && name.bytes[0] != '.');
  }
  at = at < length ? at : length;
  char link[IFNAMSIZ];
  if ((verb->needs & NEEDS_IFNAME) && link_of(link, &env, copy + at, length - at))
    PROMISE(strlen(link) == 15 && strncmp(link, "uw", 2) == 0 && strspn(link + 2, "0123456789abcdef") == 13);
  put_envelope(&text, verb, &env, copy + at, length - at);
  put_envelope_end(&text, -1);
  PROMISE(text.cut || is_safe_json(&text));
}

static void fuzz_del_error(const char *bytes, size_t length) {
  static char copy[1 << 16];
  if (length >= sizeof copy) return;
  memcpy(copy, bytes, length);
  mend_del_error(copy, length);
  copy[length] = 0;
  PROMISE(strlen(copy) < length || strcasestr(copy, "not found") == NULL);
  PROMISE(strlen(copy) < length || strcasestr(copy, "no such file or directory") == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static void (*const parsers[])(const char *, size_t) = {
      fuzz_settings, fuzz_reply, fuzz_escape, fuzz_version, fuzz_environment, fuzz_del_error,
  };
  if (size == 0) return 0;
  parsers[data[0] % (sizeof parsers / sizeof *parsers)]((const char *)data + 1, size - 1);
  return 0;
}
