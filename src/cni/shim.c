/*
 * The CNI binary: carries one request from the runtime to the daemon and its answer back.
 *
 * Invariants: every buffer is fixed and every size limited; every wait has a deadline, but those for the kernel itself
 * (a disk that hangs, its lock for links: docs/cni.md); no child process; no heap;
 * stdout gets one JSON object or nothing; exit status 0 or 1. The specification's 1.1.0 and what containerd and CRI-O
 * make of it decide each verb's manners; the daemon decides everything else.
 */
#include "exchange.h"
#include "fence.h"
#include "request.h"
#include "state.h"
#include "version.h"

#include <signal.h>
#include <stdlib.h>

enum {
  /* How long a runtime may be slow to read a pipe that is already full. */
  OUTPUT_MS = 5000,
  PAUSE_MS_MIN = 10,
  PAUSE_MS_MAX = 160,
};

/* .bss: pages that are never touched cost nothing. */
static char config_bytes[CONFIG_BYTES_MAX];
static char envelope_bytes[ENVELOPE_BYTES_MAX];
static char reply_bytes[REPLY_BYTES_MAX + 1];

struct call {
  const struct verb *verb;
  struct environment env;
  struct settings settings;
  millis start;
  millis deadline;
  millis away_ms;
  char version[VERSION_LENGTH_MAX + 1];
  /* Of config_bytes. */
  size_t config_length;
  struct text envelope;
  /* Of the envelope, what put_envelope wrote. */
  size_t request_length;
  struct exchange exchange;
  struct failure failure;
};

static int print(const char *bytes, size_t length, int status) {
  return write_out(STDOUT_FILENO, bytes, length, now_ms() + OUTPUT_MS) == 0 ? status : 1;
}

static int print_failure(const struct call *call) {
  /* A message of control characters alone grows sixfold. */
  char bytes[8 * sizeof call->failure.bytes];
  struct text out = TEXT_IN(bytes);
  put_failure(&out, &call->failure, call->version);
  return print(out.bytes, out.length, 1);
}

/* The specification says nothing of a call without CNI_COMMAND; every reference plugin says who it is. */
static int print_about(void) {
  static const char about[] =
      "Underway CNI plugin: gives a pod an address of the cloud's VPC. It is called by a container runtime.\n"
      "CNI protocol versions supported: " VERSIONS(", ") "\n";
  write_out(STDERR_FILENO, about, sizeof about - 1, now_ms() + OUTPUT_MS);
  return 0;
}

static int print_versions(const struct call *call) {
  char bytes[256];
  struct text out = TEXT_IN(bytes);
  put_versions(&out, call->version);
  return print(out.bytes, out.length, 0);
}

/* Descriptors 0 to 2 must be open: else the socket would get one of them, and an error be written to the daemon. */
static bool hold_standard_descriptors(void) {
  for (int fd = 0; fd <= 2; fd++)
    if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == 0 ? O_RDONLY : O_WRONLY) != fd) return false;
  return true;
}

static void set_times(struct call *call) {
  unsigned verb = call->verb->deadline_ms, set = call->settings.deadline_ms;
  unsigned deadline = set == 0 ? verb : call->verb == &verbs[ADD] || set < verb ? set : verb;
  call->deadline = call->start + deadline;
  /* A short deadline leaves time to be answered in. */
  call->away_ms = call->verb->away_ms < deadline / 2 ? call->verb->away_ms : deadline / 2;
}

static bool read_config(struct call *call) {
  int error = read_all(STDIN_FILENO, config_bytes, sizeof config_bytes, &call->config_length, call->deadline);
  scan_version(call->version, config_bytes, call->config_length);
  if (error == 0) return true;
  /* VERSION's input may be missing altogether: the reference implementation ignores it. */
  if (call->verb == &verbs[VERSION]) return true;
  struct text *msg = fail(&call->failure, error == E2BIG ? CODE_INVALID_CONFIG : CODE_IO);
  if (error == E2BIG) put(msg, "the network configuration on stdin has more than 1 MiB");
  else put(msg, "cannot read the network configuration from stdin ("), put_errno(msg, error), put(msg, ")");
  return false;
}

static bool build_envelope(struct call *call) {
  call->envelope = (struct text)TEXT_IN(envelope_bytes);
  put_envelope(&call->envelope, call->verb, &call->env, config_bytes, call->config_length);
  call->request_length = call->envelope.length;
  put_envelope_end(&call->envelope, DEADLINE_MS_MAX);
  if (!call->envelope.cut) return true;
  put(fail(&call->failure, CODE_UNDECODABLE),
      "the network configuration on stdin is not JSON: it is full of control characters, which JSON does not hold");
  return false;
}

/* Sends the request until it is answered, the daemon was away for too long, or the time is up. */
static enum outcome carry(struct call *call) {
  struct exchange *exchange = &call->exchange;
  *exchange = (struct exchange){
      .settings = &call->settings,
      .envelope = &call->envelope,
      .deadline = call->deadline,
      .bytes = reply_bytes,
  };
  millis seen = call->start, pause = PAUSE_MS_MIN;
  for (;;) {
    call->envelope.length = call->request_length;
    put_envelope_end(&call->envelope, call->deadline - now_ms());
    enum outcome outcome = try_once(exchange);
    if (outcome != AWAY && outcome != BROKEN) return outcome;
    millis now = now_ms();
    if (outcome == BROKEN) seen = now;
    /* STATUS has no time for a second try. */
    if (call->away_ms == 0 || now - seen >= call->away_ms || now + pause >= call->deadline) return outcome;
    sleep_ms(pause);
    pause = pause * 2 < PAUSE_MS_MAX ? pause * 2 : PAUSE_MS_MAX;
  }
}

/* Sentence and code for every outcome but ANSWERED. */
static void explain(struct call *call, enum outcome outcome) {
  enum failure_code code = outcome == MALFORMED   ? CODE_MALFORMED_REPLY
                           : outcome == TOO_LARGE ? CODE_REPLY_TOO_LARGE
                                                  : CODE_TRY_AGAIN;
  struct text *msg = fail(&call->failure, code);
  if (outcome == MALFORMED) put(msg, "the answer is not Underway's (what listens there?)");
  else if (outcome == TOO_LARGE) put(msg, "the answer has more than 1 MiB");
  else if (outcome == LATE) put(msg, "the Underway daemon took the request but did not answer");
  else if (outcome == AWAY) put(msg, "the Underway daemon cannot be reached");
  else put(msg, "the Underway daemon broke the connection off");
  put(msg, " on "), put(msg, call->settings.socket);
  put(msg, " after "), put_number(msg, (unsigned long)(now_ms() - call->start)), put(msg, " ms");
  if (outcome == AWAY || outcome == BROKEN) put(msg, " ("), put_errno(msg, call->exchange.error), put(msg, ")");
  put(msg, code == CODE_TRY_AGAIN
               ? ": see whether the underway daemon on this node runs and what it logs; the runtime tries again"
               : ": see that shim and daemon are of versions that fit each other");
}

/* Passes the daemon's answer on. An ADD must have a result, an error must be one: what else comes is malformed. */
static int pass_on(struct call *call) {
  const struct reply *reply = &call->exchange.reply;
  char *body = reply_bytes + reply->body;
  bool empty = reply->body_length == 0;
  bool may_be_empty = reply->status == 200 && call->verb != &verbs[ADD];
  if (empty ? !may_be_empty : !looks_like_object(body, reply->body_length)) {
    struct text *msg = fail(&call->failure, CODE_MALFORMED_REPLY);
    put(msg, "the Underway daemon answered "), put(msg, call->verb->name), put(msg, " with status ");
    put_number(msg, reply->status), put(msg, " and no JSON object: see what it logs");
    return print_failure(call);
  }
  if (reply->status != 200 && call->verb == &verbs[DEL]) mend_del_error(body, reply->body_length);
  return print(body, reply->body_length, reply->status == 200 ? 0 : 1);
}

/*
 * No answer to a DEL is no failure: the pod is cut off now, and the daemon does the rest as soon as it is back. Whatever
 * came of the writing, the fence follows: the kernel may be long about it, and a runtime kill us meanwhile.
 */
static int spool(struct call *call) {
  char link[IFNAMSIZ];
  struct text request = {.bytes = call->envelope.bytes, .length = call->request_length};
  int error = spool_del(call->settings.state, &call->env, &request, &call->envelope);
  if (link_of(link, &call->env, config_bytes, call->config_length)) fence(link);
  if (error == 0) return 0;
  struct text *msg = fail(&call->failure, CODE_IO);
  put(msg, "the Underway daemon does not answer on "), put(msg, call->settings.socket);
  put(msg, ", and the DEL cannot be kept for it in "), put(msg, call->settings.state), put(msg, "/del (");
  put_errno(msg, error), put(msg, "): ");
  put(msg, error == ENOSPC || error == EDQUOT ? "free space there" : "make that folder writable");
  put(msg, "; the runtime tries again");
  return print_failure(call);
}

/* A daemon that restarts is no reason to turn the node NotReady; one that is gone is. */
static int answer_status(struct call *call, enum outcome outcome) {
  bool absent = outcome == AWAY || outcome == BROKEN || outcome == LATE;
  if (absent && heartbeat_is_fresh(call->settings.state)) return 0;
  explain(call, outcome);
  call->failure.code = absent ? CODE_CANNOT_ADD : call->failure.code;
  return print_failure(call);
}

static int run(struct call *call) {
  call->verb = check_environment(&call->env, &call->failure);
  if (call->verb == NULL || !load_settings(&call->settings, &call->failure)) return print_failure(call);
  set_times(call);
  if (!read_config(call)) return print_failure(call);
  if (call->verb == &verbs[VERSION]) return print_versions(call);
  if (!build_envelope(call)) return print_failure(call);
  enum outcome outcome = carry(call);
  if (outcome == ANSWERED) return pass_on(call);
  if (call->verb == &verbs[DEL]) return spool(call);
  if (call->verb == &verbs[STATUS]) return answer_status(call, outcome);
  explain(call, outcome);
  return print_failure(call);
}

#ifndef UNDERWAY_FUZZ
int main(void) {
  static struct call call;
  signal(SIGPIPE, SIG_IGN);
  umask(077);
  if (!hold_standard_descriptors()) return 1;
  call.start = now_ms();
  strcpy(call.version, NEWEST_VERSION);
  call.env = (struct environment){
      .command = getenv("CNI_COMMAND"),
      .container_id = getenv("CNI_CONTAINERID"),
      .netns = getenv("CNI_NETNS"),
      .ifname = getenv("CNI_IFNAME"),
      .args = getenv("CNI_ARGS"),
      .path = getenv("CNI_PATH"),
      .traceparent = getenv("TRACEPARENT"),
  };
  return is_set(call.env.command) ? run(&call) : print_about();
}
#endif
