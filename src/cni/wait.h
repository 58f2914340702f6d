/*
 * Time and input/output that never wait past a deadline. All times are milliseconds of CLOCK_MONOTONIC.
 */
#ifndef UNDERWAY_WAIT_H
#define UNDERWAY_WAIT_H

#include <limits.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>

#include "failure.h"

typedef long long millis;

static millis now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (millis)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void sleep_ms(millis ms) {
  struct timespec pause = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
  nanosleep(&pause, NULL);
}

/* 0 when `events` (or an error that a read or write will name) came before the deadline; else an errno. */
static int wait_for(int fd, short events, millis deadline) {
  for (;;) {
    millis left = deadline - now_ms();
    if (left <= 0) return ETIMEDOUT;
    struct pollfd waited = {.fd = fd, .events = events};
    int ready = poll(&waited, 1, left > INT_MAX ? INT_MAX : (int)left);
    if (ready > 0) return (waited.revents & POLLNVAL) ? EBADF : 0;
    if (ready < 0 && errno != EINTR) return errno;
  }
}

/* Reads to the end of the input. Returns 0, or an errno; E2BIG when there is more than fits. */
static int read_all(int fd, char *bytes, size_t size, size_t *length, millis deadline) {
  *length = 0;
  for (;;) {
    int error = wait_for(fd, POLLIN, deadline);
    if (error != 0) return error;
    if (*length == size) {
      char more;
      return read(fd, &more, 1) == 0 ? 0 : E2BIG;
    }
    ssize_t got = read(fd, bytes + *length, size - *length);
    if (got == 0) return 0;
    if (got > 0) *length += (size_t)got;
    else if (errno != EINTR && errno != EAGAIN) return errno;
  }
}

/* To a pipe whose reader may have stopped reading: poll promises room for PIPE_BUF bytes, so no write blocks. */
static int write_out(int fd, const char *bytes, size_t length, millis deadline) {
  while (length > 0) {
    int error = wait_for(fd, POLLOUT, deadline);
    if (error != 0) return error;
    ssize_t wrote = write(fd, bytes, length < PIPE_BUF ? length : PIPE_BUF);
    if (wrote < 0 && errno != EINTR && errno != EAGAIN) return errno;
    if (wrote > 0) bytes += wrote, length -= (size_t)wrote;
  }
  return 0;
}

#endif
