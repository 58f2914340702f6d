/**
 * The messages of one pod's wiring, as `minimum.c` sends them: what src/kernel really sent for the steps of the veth
 * datapath, recorded, so that nothing of it is written twice.
 */
import type { LeaseId, Mac } from '../../src/core/brand.ts';
import type { Ip } from '../../src/core/ip.ts';
import type { PodPlan } from '../../src/core/plan.ts';
import type { Step } from '../../src/datapath/kernel-state.ts';
import { veth } from '../../src/datapath/veth.ts';
import { apply } from '../../src/kernel/apply.ts';
import { attributeMap, parseMessages } from '../../src/kernel/netlink.ts';
import { NetlinkSocket } from '../../src/kernel/netlink-socket.ts';
import { LINK_HEADER, RTM_LINK } from '../../src/kernel/rtnetlink/link.ts';
import { Session } from '../../src/kernel/session.ts';

export interface Wiring {
  /** The datagrams of an ADD and of a DEL, as standard input. */
  readonly add: string;
  readonly del: string;
  /** The descriptor by which the ADD's messages name the pod's namespace. */
  readonly netnsFd: number;
}

interface Datagram {
  readonly socket: NetlinkSocket;
  readonly bytes: Buffer;
}

/** linux/if_link.h: where a message that creates a veth has its peer's namespace. */
const [IFLA_LINKINFO, IFLA_INFO_DATA, VETH_INFO_PEER, IFLA_NET_NS_FD] = [18, 2, 1, 28];
/** The host's namespace is the recording's own, so any number will do. */
const FIRST_INDEX = 1_000;
export const NODE_ADDRESS = '10.98.255.1' as Ip;

/** Wires the `n`th pod, whose namespace is at `netns`, and cuts it off again. */
export function recordWiring(n: number, { host, netns }: { readonly host: string; readonly netns: string }): Wiring {
  const plan = planOf(n, netns);
  const session = new Session(host);
  try {
    const add = recorded(() => run(veth.wirePod(plan), session, netns));
    const del = recorded(() => run(veth.fencePod(plan), session));
    const text = (datagrams: readonly Datagram[]) =>
      datagrams
        .map(({ socket, bytes }) => `${socket === session.route ? 'host' : 'pod'} ${bytes.toString('hex')};`)
        .join('');
    return { add: text(add), del: text(del), netnsFd: netnsFdIn(add) };
  } finally {
    session.close();
  }
}

function run(steps: readonly Step[], host: Session, podPath?: string): void {
  const [failure] = apply(steps, { host, podPath });
  if (failure !== undefined) throw new Error(`the wiring cannot be recorded: ${failure.errno} ${failure.message}`);
}

/** All that goes through sockets meanwhile. */
function recorded(deed: () => void): Datagram[] {
  const sent: Datagram[] = [];
  const { request, query } = NetlinkSocket.prototype;
  NetlinkSocket.prototype.request = function (messages) {
    const answers = request.call(this, messages);
    // Numbered by now, and the last one asks for an acknowledgement.
    sent.push({ socket: this, bytes: Buffer.concat(messages) });
    return answers;
  };
  NetlinkSocket.prototype.query = function (message) {
    const answer = query.call(this, message);
    sent.push({ socket: this, bytes: Buffer.from(message) });
    return answer;
  };
  try {
    deed();
  } finally {
    Object.assign(NetlinkSocket.prototype, { request, query });
  }
  return sent;
}

function netnsFdIn(datagrams: readonly Datagram[]): number {
  const created = datagrams.flatMap(({ bytes }) => parseMessages(bytes)).find(({ type }) => type === RTM_LINK.NEW);
  const none = Buffer.alloc(0);
  const info = attributeMap(created?.payload ?? none, LINK_HEADER).get(IFLA_LINKINFO);
  const data = attributeMap(info ?? none).get(IFLA_INFO_DATA);
  const peer = attributeMap(data ?? none).get(VETH_INFO_PEER);
  const fd = attributeMap(peer ?? none, LINK_HEADER).get(IFLA_NET_NS_FD);
  if (fd === undefined) throw new Error('no veth was created in a namespace');
  return fd.readUInt32LE(0);
}

/** As the core makes it for a pod with one IPv4 address; the numbers are the bench's. */
function planOf(n: number, netns: string): PodPlan {
  const hex = n.toString(16).padStart(4, '0');
  return {
    lease: `1-${n}` as LeaseId,
    attachment: { network: 'underway', containerId: `minimum${n}`, ifname: 'eth0' },
    link: `uw${hex.padStart(13, '0')}`,
    linkIndex: FIRST_INDEX + n,
    netns,
    addresses: [`10.98.${n >> 8}.${n & 255}` as Ip],
    podMac: `02:98:00:00:${hex.slice(0, 2)}:${hex.slice(2)}` as Mac,
    mtu: 9001,
    nodeAddresses: [NODE_ADDRESS],
  };
}
