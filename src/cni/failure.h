/*
 * What went wrong, for the person who reads the pod's event: a code of the CNI specification, one sentence with
 * numbers, and what to do. The text never holds "not found": containerd's go-cni takes a DEL error with these words
 * for success and forgets the pod, which leaks its address.
 */
#ifndef UNDERWAY_FAILURE_H
#define UNDERWAY_FAILURE_H

#include <errno.h>

#include "text.h"

enum failure_code {
  CODE_BAD_ENVIRONMENT = 4,
  CODE_IO = 5,
  CODE_UNDECODABLE = 6,
  CODE_INVALID_CONFIG = 7,
  CODE_TRY_AGAIN = 11,
  CODE_CANNOT_ADD = 50,
  /* From 100 on codes are the plugin's own; src/protocol/error.ts holds the daemon's. */
  CODE_MALFORMED_REPLY = 120,
  CODE_REPLY_TOO_LARGE = 121,
};

struct failure {
  enum failure_code code;
  struct text msg;
  char bytes[1024];
};

/* Starts a sentence; the caller goes on with put(). A sentence that is cut is still sent, up to the cut. */
static struct text *fail(struct failure *failure, enum failure_code code) {
  failure->code = code;
  failure->msg = (struct text)TEXT_IN(failure->bytes);
  return &failure->msg;
}

/* Names and not strerror(): its "No such file or directory" is, without the capital, another text go-cni swallows. */
static const char *errno_name(int error) {
  switch (error) {
    case EACCES: return "EACCES: permission denied";
    case EAGAIN: return "EAGAIN: its queue is full";
    case EBADF: return "EBADF: closed";
    case ECONNREFUSED: return "ECONNREFUSED: nobody listens";
    case ECONNRESET: return "ECONNRESET: connection closed";
    case EDQUOT: return "EDQUOT: quota used up";
    case EEXIST: return "EEXIST: a file is in the way";
    case EIO: return "EIO: the device failed";
    case EISDIR: return "EISDIR: it is a folder";
    case ELOOP: return "ELOOP: symbolic link";
    case EMFILE: return "EMFILE: too many open files";
    case ENAMETOOLONG: return "ENAMETOOLONG: name too long";
    case ENOENT: return "ENOENT: it does not exist";
    case ENOMEM: return "ENOMEM: out of memory";
    case ENOSPC: return "ENOSPC: disk full";
    case ENOTDIR: return "ENOTDIR: a part of the path is no folder";
    case EPERM: return "EPERM: not permitted";
    case EPIPE: return "EPIPE: closed";
    case EROFS: return "EROFS: read-only file system";
    case ETIMEDOUT: return "ETIMEDOUT: time is up";
    default: return NULL;
  }
}

static void put_errno(struct text *text, int error) {
  const char *name = errno_name(error);
  if (name != NULL) put(text, name);
  else {
    put(text, "errno ");
    put_number(text, (unsigned long)error);
  }
}

/*
 * The words that go-cni's Remove swallows, overwritten in place by as many bytes, whoever wrote them: a daemon, by way of
 * a cloud's own message, or a runtime, in what we show of its environment. Case does not matter here, to be safe against
 * a runtime that folds it.
 */
static void mend_del_error(char *bytes, size_t length) {
  static const struct {
    const char *words, *instead;
  } swallowed[] = {{"not found", "not there"}, {"no such file or directory", "a file or path is missing"}};
  for (size_t i = 0; i < sizeof swallowed / sizeof *swallowed; i++) {
    size_t width = strlen(swallowed[i].words);
    for (size_t at = 0; at + width <= length; at++)
      if (strncasecmp(bytes + at, swallowed[i].words, width) == 0) memcpy(bytes + at, swallowed[i].instead, width);
  }
}

/* The reason's name and page, as src/protocol/error.ts gives them to what the daemon says. */
static const char *reason_of(enum failure_code code) {
  switch (code) {
    case CODE_BAD_ENVIRONMENT:
    case CODE_UNDECODABLE: return "BAD_REQUEST, see docs/errors.md#bad_request: ";
    case CODE_INVALID_CONFIG: return "CONFIG_INVALID, see docs/errors.md#config_invalid: ";
    case CODE_TRY_AGAIN:
    case CODE_CANNOT_ADD: return "DAEMON_STARTING, see docs/errors.md#daemon_starting: ";
    default: return "see docs/errors.md: ";
  }
}

/* The specification's error object, in the version that the configuration asked for. */
static void put_failure(struct text *out, const struct failure *failure, const char *version) {
  put(out, "{\"cniVersion\":");
  put_json(out, version, strlen(version));
  put(out, ",\"code\":");
  put_number(out, failure->code);
  put(out, ",\"msg\":");
  put_json(out, failure->msg.bytes, failure->msg.length);
  put(out, ",\"details\":\""), put(out, reason_of(failure->code)), put(out, "said by the CNI binary\"}\n");
  mend_del_error(out->bytes, out->length);
}

#endif
