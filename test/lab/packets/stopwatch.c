/*
 * Starts the programs that its standard input names and answers with a line each: how long from exec to exit.
 *
 * As small as it is so that it measures them and not itself: a child shares its memory until it has called exec (vfork,
 * as a runtime in Go does). Node forks, which for a process of its size took 2 ms of each figure, exec not yet reached.
 *
 * A request is one line, fields by tabs: program, standard input, then the environment's NAME=VALUE. An answer is
 * `<ms> <exit code> <what the program printed, its line ends as blanks>`.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { FIELDS_MAX = 32, SAID_MAX = 1 << 16 };

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

/* What it reads, and what it says, fit a pipe: nobody has to wait on the other side. */
static void run(char *program, const char *input, char **environment) {
  static char said[SAID_MAX + 1];
  int in[2], out[2], status;
  pid_t child;
  /* Close-on-exec: the child has them as 0, 1 and 2 only. */
  check(pipe2(in, O_CLOEXEC) | pipe2(out, O_CLOEXEC), "pipe2");
  check(write(in[1], input, strlen(input)) != (ssize_t)strlen(input), "write");
  close(in[1]);
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_adddup2(&files, in[0], 0);
  posix_spawn_file_actions_adddup2(&files, out[1], 1);
  posix_spawn_file_actions_adddup2(&files, out[1], 2);
  char *arguments[] = {program, NULL};
  double began = now_ms();
  check((errno = posix_spawn(&child, program, &files, NULL, arguments, environment)) != 0, "posix_spawn");
  check(waitpid(child, &status, 0) != child, "waitpid");
  double ms = now_ms() - began;
  posix_spawn_file_actions_destroy(&files);
  close(in[0]);
  close(out[1]);
  size_t length = 0;
  for (ssize_t got; length < SAID_MAX && (got = read(out[0], said + length, SAID_MAX - length)) > 0;) length += got;
  close(out[0]);
  said[length] = 0;
  for (char *at = said; (at = strpbrk(at, "\r\n")) != NULL;) *at = ' ';
  printf("%.3f %d %s\n", ms, WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), said);
  fflush(stdout);
}

int main(void) {
  char *line = NULL;
  size_t size = 0;
  for (ssize_t length; (length = getline(&line, &size, stdin)) > 0;) {
    if (line[length - 1] == '\n') line[length - 1] = 0;
    char *fields[FIELDS_MAX + 1], *rest = line;
    int count = 0;
    while (count < FIELDS_MAX && (fields[count] = strsep(&rest, "\t")) != NULL) count++;
    fields[count] = NULL;
    if (count < 2) return 1;
    run(fields[0], fields[1], fields + 2);
  }
  free(line);
  return 0;
}
