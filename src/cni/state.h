/*
 * The state folder that shim and daemon share: `del/` holds the DELs that no daemon took, `heartbeat` says that one
 * lived a moment ago.
 */
#ifndef UNDERWAY_STATE_H
#define UNDERWAY_STATE_H

#include <stdio.h>
#include <sys/stat.h>

#include "request.h"
#include "settings.h"

enum { HEARTBEAT_AGE_MAX_S = 60 };

static int open_folder(int parent, const char *name) {
  return openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* A name outlives a power cut only after the folder that holds it was synced. */
static void sync_parent(int folder) {
  int parent = open_folder(folder, "..");
  if (parent < 0) return;
  fsync(parent);
  close(parent);
}

/* The folder, made where it is missing. Returns its descriptor, or -1 with errno. */
static int make_folder(int parent, const char *name) {
  bool made = mkdirat(parent, name, 0700) == 0;
  if (!made && errno != EEXIST) return -1;
  int folder = open_folder(parent, name);
  if (folder >= 0 && made) sync_parent(folder);
  return folder;
}

/* `<state>/del`. Returns its descriptor, or -1 with errno. */
static int open_spool(const char *state) {
  int parent = make_folder(AT_FDCWD, state);
  if (parent < 0) return -1;
  int folder = make_folder(parent, "del");
  int error = errno;
  close(parent);
  errno = error;
  return folder;
}

/* 0, or an errno; on success the file's bytes are on the disk. */
static int write_durably(int folder, const char *name, const struct text *content) {
  int file = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (file < 0) return errno;
  int error = 0;
  for (size_t at = 0; at < content->length && error == 0;) {
    ssize_t wrote = write(file, content->bytes + at, content->length - at);
    if (wrote >= 0) at += (size_t)wrote;
    else if (errno != EINTR) error = errno;
  }
  if (error == 0 && fsync(file) != 0) error = errno;
  if (close(file) != 0 && error == 0) error = errno;
  return error;
}

/*
 * One file a request, so a repeated DEL replaces its own and nothing else: `<containerID>@<ifname>@<digest>.json`. The
 * digest is of the envelope: the network's name is in the configuration, which only the daemon reads, and one that
 * cannot be read must not replace one that can. A reader skips names that begin with a dot: a file that was being
 * written when the power went.
 */
static void put_spool_name(struct text *name, const struct environment *env, const struct text *request) {
  put(name, env->container_id), put(name, "@"), put(name, env->ifname), put(name, "@");
  put_digest(name, request), put(name, ".json");
}

/*
 * 0 when the envelope will be there after a power cut; else an errno, and nothing is left behind. `request` is what does
 * not change from one try to the next.
 */
static int spool_del(const char *state, const struct environment *env, const struct text *request,
                     const struct text *envelope) {
  char name_bytes[256], draft_bytes[256];
  struct text name = TEXT_IN(name_bytes), draft = TEXT_IN(draft_bytes);
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  put(&draft, "."), put_spool_name(&draft, env, request), put_spool_name(&name, env, request);
  put(&draft, "."), put_number(&draft, (unsigned long)getpid());
  put(&draft, "."), put_number(&draft, (unsigned long)now.tv_sec), put_number(&draft, (unsigned long)now.tv_nsec);
  if (as_string(&name) == NULL || as_string(&draft) == NULL) return ENAMETOOLONG;
  int folder = open_spool(state);
  if (folder < 0) return errno;
  int error = write_durably(folder, draft.bytes, envelope);
  if (error == 0 && renameat(folder, draft.bytes, folder, name.bytes) != 0) error = errno;
  if (error != 0) unlinkat(folder, draft.bytes, 0);
  else if (fsync(folder) != 0) error = errno;
  close(folder);
  return error;
}

/*
 * True when a daemon of this boot wrote its heartbeat less than 60 s ago. A heartbeat from before the boot says
 * nothing: a machine can be back sooner than that. One from the future (the clock was set back) counts as old.
 */
static bool heartbeat_is_fresh(const char *state) {
  char bytes[STATE_PATH_MAX + 16];
  struct text path = TEXT_IN(bytes);
  struct stat file;
  struct timespec now, up;
  put(&path, state), put(&path, "/heartbeat");
  if (as_string(&path) == NULL || stat(path.bytes, &file) != 0) return false;
  clock_gettime(CLOCK_REALTIME, &now);
  clock_gettime(CLOCK_BOOTTIME, &up);
  time_t age = now.tv_sec - file.st_mtim.tv_sec;
  return age >= -1 && age < HEARTBEAT_AGE_MAX_S && age <= up.tv_sec;
}

#endif
