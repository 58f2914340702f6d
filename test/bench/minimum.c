/*
 * The netlink-only minimum of one pod's wiring: no daemon, no journal, no pool, no JSON. It sends the datagrams that our
 * datapath sends for such a pod, each to the namespace that it is for, and waits for the kernel's answers.
 *
 * Standard input has the datagrams, each ended by a semicolon: `host` or `pod`, a blank, its bytes in hexadecimal. Of the
 * environment NETNS is the path of the pod's namespace, NETNS_FD the descriptor by which the messages name it. Prints the
 * ms from main to its end, exec and exit left out.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/netlink.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { INPUT_MAX = 1 << 16, ANSWER_MAX = 1 << 15 };

static char input[INPUT_MAX + 1];
static _Alignas(struct nlmsghdr) char datagram[INPUT_MAX], answer[ANSWER_MAX];

static double now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}

static void check(int failed, const char *what) {
  if (!failed) return;
  perror(what);
  exit(1);
}

static int open_socket(void) {
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  check(fd < 0, "socket");
  return fd;
}

/* As the datapath does: into the pod's namespace, a socket, and back. */
static int open_socket_in(int namespace) {
  int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  check(home < 0 || setns(namespace, CLONE_NEWNET) != 0, "setns");
  int fd = open_socket();
  check(setns(home, CLONE_NEWNET) != 0, "setns");
  close(home);
  return fd;
}

static int nibble(char digit) { return digit <= '9' ? digit - '0' : digit - 'a' + 10; }

/* How many bytes. */
static size_t decode(const char *hex) {
  size_t length = 0;
  for (; hex[0] != 0; hex += 2) datagram[length++] = (char)(nibble(hex[0]) << 4 | nibble(hex[1]));
  return length;
}

/* Who asked for no acknowledgement asked a question, to which ENODEV may be the answer. */
static void await(int fd, const struct nlmsghdr *last) {
  for (;;) {
    ssize_t got = recv(fd, answer, sizeof answer, 0);
    check(got < 0, "recv");
    for (struct nlmsghdr *at = (struct nlmsghdr *)answer; NLMSG_OK(at, got); at = NLMSG_NEXT(at, got)) {
      const struct nlmsgerr *said = NLMSG_DATA(at);
      if (at->nlmsg_type == NLMSG_ERROR && said->error != 0 && (last->nlmsg_flags & NLM_F_ACK)) {
        fprintf(stderr, "message %u: %s\n", at->nlmsg_seq, strerror(-said->error));
        exit(1);
      }
      if (at->nlmsg_seq == last->nlmsg_seq) return;
    }
  }
}

static void ask(int fd, size_t length) {
  struct nlmsghdr *last = (struct nlmsghdr *)datagram;
  size_t left = length;
  for (struct nlmsghdr *at = last; NLMSG_OK(at, left); at = NLMSG_NEXT(at, left)) last = at;
  check(send(fd, datagram, length, 0) != (ssize_t)length, "send");
  await(fd, last);
}

int main(void) {
  double began = now_ms();
  size_t length = 0;
  for (ssize_t got; length < INPUT_MAX && (got = read(0, input + length, INPUT_MAX - length)) > 0;) length += got;
  const char *path = getenv("NETNS"), *number = getenv("NETNS_FD");
  int host = open_socket(), pod = -1;
  if (path != NULL && number != NULL) {
    int namespace = open(path, O_RDONLY | O_CLOEXEC);
    check(namespace < 0 || dup2(namespace, atoi(number)) < 0, path);
    pod = open_socket_in(namespace);
  }
  for (char *rest = input, *line; (line = strsep(&rest, ";")) != NULL && line[0] != 0;) {
    int to_pod = strncmp(line, "pod ", 4) == 0;
    ask(to_pod ? pod : host, decode(strchr(line, ' ') + 1));
  }
  printf("%.4f", now_ms() - began);
  return 0;
}
