/*
 * One request, one connection, one reply. Says only what happened; what follows from it is each verb's business.
 */
#ifndef UNDERWAY_EXCHANGE_H
#define UNDERWAY_EXCHANGE_H

#include <sys/socket.h>
#include <sys/uio.h>

#include "reply.h"
#include "settings.h"
#include "wait.h"

enum outcome {
  /* A whole reply is in the buffer. */
  ANSWERED,
  /* Nobody took the connection. */
  AWAY,
  /* The connection ended before a whole reply did: the daemon may have done the work. */
  BROKEN,
  /* Connected, and the time is up. */
  LATE,
  MALFORMED,
  TOO_LARGE,
};

struct exchange {
  const struct settings *settings;
  const struct text *envelope;
  millis deadline;
  struct reply reply;
  /* The whole reply, head and body; one byte more than it may have. */
  char *bytes;
  /* Why AWAY or BROKEN. */
  int error;
};

/* A connected socket, or -1. A full queue of connections (EAGAIN) is told like an absent daemon: try again. */
static int connect_to(struct exchange *exchange) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  strcpy(address.sun_path, exchange->settings->socket);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0) return fd;
  exchange->error = errno;
  if (fd >= 0) close(fd);
  return -1;
}

/* 0 when all was sent, else an errno. */
static int send_request(int fd, const struct exchange *exchange) {
  char bytes[256];
  struct text head = TEXT_IN(bytes);
  put(&head, "POST /v1/cni HTTP/1.1\r\nHost: underway\r\nConnection: close\r\nContent-Type: application/json\r\n"
             "Content-Length: ");
  put_number(&head, exchange->envelope->length);
  put(&head, "\r\n\r\n");
  struct iovec parts[2] = {{head.bytes, head.length}, {exchange->envelope->bytes, exchange->envelope->length}};
  struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
  while (parts[0].iov_len + parts[1].iov_len > 0) {
    ssize_t sent = sendmsg(fd, &message, MSG_NOSIGNAL);
    if (sent < 0) {
      int error = errno == EAGAIN ? wait_for(fd, POLLOUT, exchange->deadline) : errno == EINTR ? 0 : errno;
      if (error != 0) return error;
      continue;
    }
    for (int i = 0; i < 2; i++) {
      size_t part = (size_t)sent < parts[i].iov_len ? (size_t)sent : parts[i].iov_len;
      parts[i].iov_base = (char *)parts[i].iov_base + part;
      parts[i].iov_len -= part;
      sent -= (ssize_t)part;
    }
  }
  return 0;
}

static enum outcome receive_reply(int fd, struct exchange *exchange) {
  size_t length = 0;
  for (;;) {
    int error = wait_for(fd, POLLIN, exchange->deadline);
    if (error == ETIMEDOUT) return LATE;
    ssize_t got = error != 0 ? -1 : recv(fd, exchange->bytes + length, REPLY_BYTES_MAX + 1 - length, 0);
    if (got < 0 && error == 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (got <= 0) {
      exchange->error = got == 0 ? ECONNRESET : error != 0 ? error : errno;
      return BROKEN;
    }
    length += (size_t)got;
    switch (parse_reply(&exchange->reply, exchange->bytes, length)) {
      case REPLY_WHOLE: return ANSWERED;
      case REPLY_MALFORMED: return MALFORMED;
      case REPLY_TOO_LARGE: return TOO_LARGE;
      case REPLY_PARTIAL: break;
    }
  }
}

static enum outcome try_once(struct exchange *exchange) {
  int fd = connect_to(exchange);
  if (fd < 0) return AWAY;
  int error = send_request(fd, exchange);
  /* A daemon that refuses a request closes while it is being sent: its answer is there to be read all the same. */
  enum outcome outcome = error == ETIMEDOUT ? LATE : receive_reply(fd, exchange);
  close(fd);
  return outcome;
}

#endif
