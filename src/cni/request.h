/*
 * What the runtime asks: the verb and its environment, checked as the specification's reference (skel) checks it,
 * and the JSON envelope that carries it to the daemon. Pure: the environment comes as pointers.
 */
#ifndef UNDERWAY_REQUEST_H
#define UNDERWAY_REQUEST_H

#include "failure.h"

enum {
  CONFIG_BYTES_MAX = 1 << 20,
  /*
   * The daemon writes network, container id and ifname into the link's alias (255 bytes, IFALIASZ): 128 here and 80
   * for the network's name leave room for the lease's id. containerd and CRI-O use 64 hex digits.
   */
  CONTAINER_ID_MAX = 128,
  IFNAME_MAX = 15,
  NETNS_MAX = 4095,
  ARGS_MAX = 16384,
  PATH_BYTES_MAX = 16384,
  TRACEPARENT_LENGTH = 55,
  /* Of a wrong value, in the sentence about it. */
  SHOWN_MAX = 64,
  /*
   * Escaping doubles quotes, backslashes and line ends at most; only control characters grow sixfold, and JSON holds
   * none of those. So a configuration that does not fit is not JSON.
   */
  ENVELOPE_BYTES_MAX = 2 * CONFIG_BYTES_MAX + 256 * 1024,
};

enum needs { NEEDS_CONTAINER_ID = 1, NEEDS_NETNS = 2, NEEDS_IFNAME = 4, NEEDS_PATH = 8 };

struct verb {
  const char *name;
  unsigned needs;
  /* From start to answer. */
  unsigned deadline_ms;
  /* How long the daemon may be unreachable before the shim answers by itself. */
  unsigned away_ms;
};

enum { ADD, DEL, CHECK, GC, STATUS, VERSION, VERB_COUNT };

static const struct verb verbs[VERB_COUNT] = {
    /* The daemon gives up after 60 s with its reason, which must still arrive; kubelet waits 240 s. A rolling
     * upgrade keeps the daemon away for 5 to 15 s. */
    [ADD] = {"ADD", NEEDS_CONTAINER_ID | NEEDS_NETNS | NEEDS_IFNAME | NEEDS_PATH, 65000, 20000},
    /* Spooling is as good as an answer, so the pod's end is not held up. */
    [DEL] = {"DEL", NEEDS_CONTAINER_ID | NEEDS_IFNAME | NEEDS_PATH, 10000, 1000},
    /* "A runtime may assume that a failed CHECK means permanently misconfigured": bear a restart. */
    [CHECK] = {"CHECK", NEEDS_CONTAINER_ID | NEEDS_NETNS | NEEDS_IFNAME | NEEDS_PATH, 10000, 5000},
    /* CRI-O gives GC 30 s. */
    [GC] = {"GC", NEEDS_PATH, 25000, 1000},
    /* containerd asks without a deadline of its own: a hanging STATUS turns the node NotReady. At most 1 s, with
     * what a busy machine takes to start and to end a program. */
    [STATUS] = {"STATUS", NEEDS_PATH, 800, 0},
    [VERSION] = {"VERSION", 0, 800, 0},
};

/* NULL where the variable is not set. */
struct environment {
  const char *command, *container_id, *netns, *ifname, *args, *path, *traceparent;
};

static const struct verb *find_verb(const char *name) {
  for (size_t i = 0; i < VERB_COUNT; i++)
    if (strcmp(verbs[i].name, name) == 0) return &verbs[i];
  return NULL;
}

static bool is_letter_or_digit(char byte) {
  return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9');
}

/* The specification's ^[a-zA-Z0-9][a-zA-Z0-9_.\-]*$, at most 128 bytes. */
static bool is_container_id(const char *id) {
  if (!is_letter_or_digit(id[0])) return false;
  size_t length = 1;
  for (; id[length] != 0; length++) {
    if (length >= CONTAINER_ID_MAX) return false;
    if (!is_letter_or_digit(id[length]) && strchr("_.-", id[length]) == NULL) return false;
  }
  return true;
}

/* As the kernel's dev_valid_name, but printable ASCII only: the name also goes into a file's name and into logs. */
static bool is_ifname(const char *name) {
  size_t length = 0;
  for (; name[length] != 0; length++) {
    if (length >= IFNAME_MAX || name[length] <= ' ' || name[length] > '~') return false;
    if (strchr("/:", name[length]) != NULL) return false;
  }
  return length > 0 && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static bool is_set(const char *value) { return value != NULL && value[0] != 0; }

static bool too_long(const char *value, size_t max) { return value != NULL && strnlen(value, max + 1) > max; }

static void put_missing(struct text *names, bool missing, const char *name) {
  if (!missing) return;
  if (names->length > 0) put(names, ", ");
  put(names, name);
}

/* Code 4 with every missing name, as the specification asks. */
static bool check_present(const struct environment *env, const struct verb *verb, struct failure *failure) {
  char bytes[128];
  struct text names = TEXT_IN(bytes);
  put_missing(&names, (verb->needs & NEEDS_CONTAINER_ID) && !is_set(env->container_id), "CNI_CONTAINERID");
  put_missing(&names, (verb->needs & NEEDS_NETNS) && !is_set(env->netns), "CNI_NETNS");
  put_missing(&names, (verb->needs & NEEDS_IFNAME) && !is_set(env->ifname), "CNI_IFNAME");
  put_missing(&names, (verb->needs & NEEDS_PATH) && !is_set(env->path), "CNI_PATH");
  if (names.length == 0) return true;
  struct text *msg = fail(failure, CODE_BAD_ENVIRONMENT);
  put(msg, verb->name), put(msg, " needs these environment variables, which are missing: ");
  put_bytes(msg, names.bytes, names.length);
  return false;
}

/* Whatever a runtime may have put there, as JSON shows it. */
static void put_shown(struct text *text, const char *value) {
  size_t length = strnlen(value, SHOWN_MAX);
  put_json(text, value, length);
  if (value[length] != 0) put(text, "...");
}

static bool check_values(const struct environment *env, const struct verb *verb, struct failure *failure) {
  const char *bad = NULL, *shown = NULL;
  if ((verb->needs & NEEDS_CONTAINER_ID) && !is_container_id(env->container_id))
    shown = env->container_id,
    bad = "CNI_CONTAINERID must match ^[a-zA-Z0-9][a-zA-Z0-9_.-]*$ and have at most 128 characters";
  else if ((verb->needs & NEEDS_IFNAME) && !is_ifname(env->ifname))
    shown = env->ifname,
    bad = "CNI_IFNAME must have 1 to 15 printable ASCII characters without '/', ':' and space, and not be '.' or '..'";
  else if (too_long(env->netns, NETNS_MAX)) bad = "CNI_NETNS is longer than 4095 bytes";
  else if (too_long(env->args, ARGS_MAX)) bad = "CNI_ARGS is longer than 16384 bytes";
  else if (too_long(env->path, PATH_BYTES_MAX)) bad = "CNI_PATH is longer than 16384 bytes";
  if (bad == NULL) return true;
  struct text *msg = fail(failure, CODE_BAD_ENVIRONMENT);
  put(msg, bad);
  if (shown != NULL) put(msg, "; it is "), put_shown(msg, shown);
  return false;
}

/* The verb, or NULL with the failure filled in. */
static const struct verb *check_environment(const struct environment *env, struct failure *failure) {
  const struct verb *verb = find_verb(env->command);
  if (verb == NULL) {
    struct text *msg = fail(failure, CODE_BAD_ENVIRONMENT);
    put(msg, "CNI_COMMAND is none of ADD, DEL, CHECK, GC, STATUS and VERSION, which are all this plugin knows; it is ");
    put_shown(msg, env->command);
    return NULL;
  }
  return check_present(env, verb, failure) && check_values(env, verb, failure) ? verb : NULL;
}

static void put_field(struct text *text, const char *name, const char *value) {
  if (value == NULL) return;
  put(text, ",\""), put(text, name), put(text, "\":");
  put_json(text, value, strlen(value));
}

/* The envelope up to what changes from one try to the next. */
static void put_envelope(struct text *text, const struct verb *verb, const struct environment *env, const char *config,
                         size_t config_length) {
  put(text, "{\"command\":");
  put_json(text, verb->name, strlen(verb->name));
  /* Only what this verb is about was checked: GC and STATUS name no container. */
  if (verb->needs & NEEDS_CONTAINER_ID) {
    put_field(text, "containerId", env->container_id);
    put_field(text, "netns", env->netns);
    put_field(text, "ifname", env->ifname);
  }
  put_field(text, "args", env->args);
  put_field(text, "path", env->path);
  /* W3C Trace Context's version 00; another length is not one, and a trace is never worth a failure. */
  if (env->traceparent != NULL && strnlen(env->traceparent, TRACEPARENT_LENGTH + 1) == TRACEPARENT_LENGTH)
    put_field(text, "traceparent", env->traceparent);
  put(text, ",\"config\":");
  put_json(text, config, config_length);
}

/* Ends the envelope: `deadlineMs` is how long the shim goes on waiting. */
static void put_envelope_end(struct text *text, long long remaining_ms) {
  put(text, ",\"deadlineMs\":"), put_number(text, remaining_ms > 0 ? (unsigned long)remaining_ms : 0), put(text, "}");
}

#endif
