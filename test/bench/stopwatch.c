/*
 * Starts programs, as many at a time as asked, and answers with a line each: how long from exec to exit.
 *
 * As small as it is so that it measures them and not itself: a child shares its memory until it has called exec (vfork,
 * as a runtime in Go does). Node forks, which for a process of its size took 2 ms of each figure, exec not yet reached.
 *
 * A batch is a line `<namespace's path>\t<how many at a time>\t<how many>`, then a line for each, fields by tabs:
 * program, standard input, then the environment's NAME=VALUE. It is answered in the same order, a line each:
 * `<ms> <exit code> <what the program printed, its line ends as blanks>`; and then how many ms all of it took.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Each has three descriptors of ours: 1,024 are enough. */
enum { FIELDS_MAX = 32, SAID_MAX = 1 << 16, BATCH_MAX = 256 };

struct call {
  char *line;
  size_t size;
  char *fields[FIELDS_MAX + 1];
  /* Read ends of its input and its output, and the output's write end. */
  int in, out, out_end;
  pid_t child;
  double began, ms;
  int status;
};

static struct call calls[BATCH_MAX];

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

static void enter(const char *namespace) {
  int fd = open(namespace, O_RDONLY | O_CLOEXEC);
  check(fd < 0 || setns(fd, CLONE_NEWNET) != 0, namespace);
  close(fd);
}

/* What it reads, and what it says, fit a pipe: nobody has to wait on the other side. */
static int prepare(struct call *call) {
  ssize_t length = getline(&call->line, &call->size, stdin);
  if (length <= 0) return 0;
  if (call->line[length - 1] == '\n') call->line[length - 1] = 0;
  char *rest = call->line;
  int count = 0, in[2], out[2];
  while (count < FIELDS_MAX && (call->fields[count] = strsep(&rest, "\t")) != NULL) count++;
  call->fields[count] = NULL;
  if (count < 2) return 0;
  /* Close-on-exec: the child has them as 0, 1 and 2 only. */
  check(pipe2(in, O_CLOEXEC) | pipe2(out, O_CLOEXEC), "pipe2");
  check(write(in[1], call->fields[1], strlen(call->fields[1])) != (ssize_t)strlen(call->fields[1]), "write");
  close(in[1]);
  call->in = in[0];
  call->out = out[0];
  call->out_end = out[1];
  return 1;
}

static void start(struct call *call) {
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_adddup2(&files, call->in, 0);
  posix_spawn_file_actions_adddup2(&files, call->out_end, 1);
  posix_spawn_file_actions_adddup2(&files, call->out_end, 2);
  char *arguments[] = {call->fields[0], NULL};
  call->began = now_ms();
  errno = posix_spawn(&call->child, call->fields[0], &files, NULL, arguments, call->fields + 2);
  check(errno != 0, call->fields[0]);
  posix_spawn_file_actions_destroy(&files);
}

static void await_one(int count) {
  int status;
  pid_t child = waitpid(-1, &status, 0);
  double now = now_ms();
  check(child < 0, "waitpid");
  for (struct call *call = calls; call < calls + count; call++) {
    if (call->child != child) continue;
    call->ms = now - call->began;
    call->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    call->child = 0;
  }
}

static void tell(struct call *call) {
  static char said[SAID_MAX + 1];
  size_t length = 0;
  close(call->in);
  close(call->out_end);
  for (ssize_t got; length < SAID_MAX && (got = read(call->out, said + length, SAID_MAX - length)) > 0;) length += got;
  close(call->out);
  said[length] = 0;
  for (char *at = said; (at = strpbrk(at, "\r\n")) != NULL;) *at = ' ';
  printf("%.4f %d %s\n", call->ms, call->status, said);
}

int main(void) {
  char *line = NULL;
  size_t size = 0;
  while (getline(&line, &size, stdin) > 0) {
    char *rest = line, *namespace = strsep(&rest, "\t");
    int ways = 0, count = 0, started = 0;
    if (rest == NULL || sscanf(rest, "%d\t%d", &ways, &count) != 2 || ways < 1 || count < 1 || count > BATCH_MAX)
      return 1;
    for (int at = 0; at < count; at++)
      if (!prepare(&calls[at])) return 1;
    enter(namespace);
    double began = now_ms();
    for (int ended = 0; ended < count; ended++) {
      while (started < count && started - ended < ways) start(&calls[started++]);
      await_one(count);
    }
    double all = now_ms() - began;
    for (int at = 0; at < count; at++) tell(&calls[at]);
    printf("%.4f\n", all);
    fflush(stdout);
  }
  return 0;
}
