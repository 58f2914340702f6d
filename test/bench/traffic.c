/*
 * Both ends of what is sent through a datapath, small so that the datapath is most of what it costs.
 *
 *   traffic serve NETNS                          answers in the namespace until its standard input ends
 *   traffic tcp|rr|smallPackets NETNS TO MS      sends from the namespace for so long, and prints how many a second:
 *                                                bytes that were taken, bytes that were answered one by one, packets
 *
 * The sender is on the first CPU, the server on the second, as two pods are that both have something to do. A packet goes
 * all its way, to the socket's full buffer, on its sender's CPU.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { SINK_PORT = 7001, ECHO_PORT = 7002, CHUNK = 1 << 17, PACKET = 64, BURST = 64, WAIT_S = 5 };

static char bytes[CHUNK];

static double now_s(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec + now.tv_nsec / 1e9;
}

static void check(int failed, const char *what) {
  if (!failed) return;
  perror(what);
  exit(1);
}

static void enter(const char *namespace) {
  int fd = open(namespace, O_RDONLY | O_CLOEXEC);
  check(fd < 0 || setns(fd, CLONE_NEWNET) != 0, namespace);
  close(fd);
}

static void pin(int cpu) {
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  CPU_SET(cpu % (int)sysconf(_SC_NPROCESSORS_ONLN), &cpus);
  check(sched_setaffinity(0, sizeof cpus, &cpus) != 0, "sched_setaffinity");
}

static void set(int fd, int level, int name, int value) {
  check(setsockopt(fd, level, name, &value, sizeof value) != 0, "setsockopt");
}

static struct sockaddr_in address_of(const char *text, int port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
  check(inet_pton(AF_INET, text, &address.sin_addr) != 1, text);
  return address;
}

static int bound(int type, int port) {
  struct sockaddr_in address = address_of("0.0.0.0", port);
  int fd = socket(AF_INET, type, 0);
  set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  check(bind(fd, (struct sockaddr *)&address, sizeof address) != 0, "bind");
  return fd;
}

/* One connection after the other. What is only to be counted is not copied. */
static void serve_tcp(int port) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  pin(1);
  int listening = bound(SOCK_STREAM, port);
  check(listen(listening, 8) != 0, "listen");
  for (;;) {
    int fd = accept(listening, NULL, NULL);
    check(fd < 0, "accept");
    set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    if (port == SINK_PORT) while (recv(fd, bytes, CHUNK, MSG_TRUNC) > 0);
    else while (recv(fd, bytes, 1, 0) == 1 && send(fd, bytes, 1, MSG_NOSIGNAL) == 1);
    close(fd);
  }
}

/* Nobody reads what comes to the UDP socket: the kernel drops it where it would wake a reader. */
static void serve(void) {
  int sink = bound(SOCK_DGRAM, SINK_PORT);
  set(sink, SOL_SOCKET, SO_RCVBUF, 1);
  if (fork() == 0) serve_tcp(SINK_PORT);
  if (fork() == 0) serve_tcp(ECHO_PORT);
  printf("ready\n");
  fflush(stdout);
  while (read(0, bytes, 1) > 0);
}

static int connected(int type, const char *to, int port) {
  struct sockaddr_in address = address_of(to, port);
  struct timeval wait = {.tv_sec = WAIT_S};
  int fd = socket(AF_INET, type, 0);
  check(fd < 0, "socket");
  check(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait) != 0, "setsockopt");
  check(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait) != 0, "setsockopt");
  check(connect(fd, (struct sockaddr *)&address, sizeof address) != 0, to);
  return fd;
}

static double tcp(const char *to, double seconds) {
  int fd = connected(SOCK_STREAM, to, SINK_PORT);
  double began = now_s(), now = began, sent = 0;
  for (; now - began < seconds; now = now_s()) {
    ssize_t some = send(fd, bytes, CHUNK, 0);
    check(some <= 0, "send");
    sent += (double)some;
  }
  return sent / (now - began);
}

static double rr(const char *to, double seconds) {
  int fd = connected(SOCK_STREAM, to, ECHO_PORT), count = 0;
  set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  double began = now_s(), now = began;
  for (; now - began < seconds; now = now_s(), count++)
    check(send(fd, bytes, 1, 0) != 1 || recv(fd, bytes, 1, 0) != 1, "request");
  return count / (now - began);
}

static double small_packets(const char *to, double seconds) {
  int fd = connected(SOCK_DGRAM, to, SINK_PORT), count = 0;
  double began = now_s(), now = began;
  for (; now - began < seconds; now = now_s())
    for (int at = 0; at < BURST; at++, count++) check(send(fd, bytes, PACKET, 0) != PACKET, "send");
  return count / (now - began);
}

int main(int count, char **words) {
  if (count < 3) return 64;
  enter(words[2]);
  if (strcmp(words[1], "serve") == 0) serve();
  if (count < 5) return 0;
  pin(0);
  double seconds = atof(words[4]) / 1e3;
  double rate = strcmp(words[1], "tcp") == 0  ? tcp(words[3], seconds)
                : strcmp(words[1], "rr") == 0 ? rr(words[3], seconds)
                                              : small_packets(words[3], seconds);
  printf("%.1f\n", rate);
  return 0;
}
