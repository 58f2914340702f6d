/*
 * Cuts a pod off whose DEL no daemon takes: its host side goes into the dead group, from which our first nft rule drops every
 * packet (src/datapath/veth/ruleset.ts). The link goes by itself with the pod's namespace, and the daemon does the rest when
 * it is back, so this is tried once, and after the DEL was written down: sendto sleeps, deaf to signals, until whoever has
 * the kernel's lock for links (RTNL) gives it back, and no socket option bounds that.
 */
#ifndef UNDERWAY_FENCE_H
#define UNDERWAY_FENCE_H

#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdint.h>
#include <sys/socket.h>

#include "config.h"
#include "request.h"

enum {
  /* src/datapath/numbering.ts has all groups. */
  DEAD_GROUP = 0x55570001,
  /* What the daemon takes for a network's name (src/protocol/network-config.ts). */
  NETWORK_NAME_MAX = 80,
  ATTACHMENT_MAX = NETWORK_NAME_MAX + CONTAINER_ID_MAX + IFNAME_MAX + 2,
};

/* MurmurHash3's finaliser over two lanes, as in src/core/link-name.ts. */
static uint32_t finish(uint32_t lane, uint32_t other) {
  uint32_t mixed = lane ^ ((other ^ (other >> 16)) * 0x21f0aaadu);
  mixed = (mixed ^ (mixed >> 16)) * 0x85ebca6bu;
  mixed = (mixed ^ (mixed >> 13)) * 0xc2b2ae35u;
  return mixed ^ (mixed >> 16);
}

/* `uw` and 13 hex digits: src/core/link-name.ts gives every attachment's host side this name. */
static void put_link_name(struct text *name, const struct text *attachment) {
  uint32_t high = 0x9e3779b9u, low = 0x7f4a7c15u;
  for (size_t at = 0; at < attachment->length; at++) {
    uint32_t code = (unsigned char)attachment->bytes[at];
    high = (high ^ code) * 0x85ebca6bu;
    high ^= high >> 15;
    low = (low ^ code) * 0xc2b2ae35u;
    low ^= low >> 13;
  }
  uint32_t first = finish(high, low);
  put(name, "uw"), put_hex(name, first, 5), put_hex(name, finish(low, first), 8);
}

/* The name of the link of this DEL; false where the configuration names no network in plain characters. */
static bool link_of(char link[IFNAMSIZ], const struct environment *env, const char *config, size_t length) {
  char bytes[ATTACHMENT_MAX];
  struct text attachment = TEXT_IN(bytes), name = {.bytes = link, .length = 0, .size = IFNAMSIZ, .cut = false};
  struct slice network = find_text(config, length, "name");
  if (network.bytes == NULL || network.length == 0 || network.length > NETWORK_NAME_MAX) return false;
  put_bytes(&attachment, network.bytes, network.length), put(&attachment, "/");
  put(&attachment, env->container_id), put(&attachment, "/"), put(&attachment, env->ifname);
  put_link_name(&name, &attachment);
  return !attachment.cut && as_string(&name) != NULL;
}

/* The kernel does it before sendto returns; a link that is not there is as well cut off. */
static void fence(const char link[IFNAMSIZ]) {
  struct {
    struct nlmsghdr head;
    struct ifinfomsg link;
    struct rtattr name_head;
    char name[IFNAMSIZ];
    struct rtattr group_head;
    uint32_t group;
  } message = {
      .head = {.nlmsg_len = sizeof message, .nlmsg_type = RTM_SETLINK, .nlmsg_flags = NLM_F_REQUEST},
      .name_head = {.rta_len = RTA_LENGTH(IFNAMSIZ), .rta_type = IFLA_IFNAME},
      .group_head = {.rta_len = RTA_LENGTH(sizeof(uint32_t)), .rta_type = IFLA_GROUP},
      .group = DEAD_GROUP,
  };
  struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
  memcpy(message.name, link, IFNAMSIZ);
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (fd < 0) return;
  sendto(fd, &message, sizeof message, 0, (struct sockaddr *)&kernel, sizeof kernel);
  close(fd);
}

#endif
