/**
 * What the kernel tells of itself, as events of the core: what it holds when a process starts, and its changes since.
 */
import type { LeaseId } from '../core/brand.ts';
import type { Event, NicLink } from '../core/events.ts';
import { isLinkName } from '../core/link-name.ts';
import type { State } from '../core/state.ts';
import type { Datapath } from '../datapath/datapath.ts';
import type { Kernel, KernelEvent } from '../ports/kernel.ts';

/** The first event: pods' links, the ENIs' links, fences, and which leases' namespaces are still who they were. */
export async function startedEvent(state: State, kernel: Kernel, datapath: Datapath): Promise<Event> {
  const host = await kernel.read();
  if (host === undefined) throw new Error('the host namespace cannot be read');
  const aliveLeases: LeaseId[] = [];
  for (const lease of state.all('lease')) {
    // The path may have been taken by another pod since: identity decides.
    if (lease.netns.path !== '' && (await kernel.identify(lease.netns.path)) === lease.netns.id)
      aliveLeases.push(lease.id);
  }
  const numbers = datapath.eniNumbers(host);
  const eniLinks = host.links.filter(isNic).map(({ mac, name, index }): NicLink => {
    const number = numbers.get(name);
    return { mac, name, index, ...(number !== undefined && { number }) };
  });
  // Of two with one MAC the core believes the first: a NIC is older than what is made upon it.
  eniLinks.sort((a, b) => a.index - b.index);
  return { kind: 'started', links: datapath.adopt(host), aliveLeases, eniLinks, fenced: datapath.fenced(host) };
}

/**
 * May be an ENI's: hardware, or the lab's veth. A VLAN, ipvlan, macvlan, bridge or bond may have the MAC of the NIC under
 * it, and steers no packet of the ENI's own.
 */
const isNic = ({ name, type }: { readonly name: string; readonly type: string }): boolean =>
  (type === '' || type === 'veth') && name !== 'lo' && !isLinkName(name);

/** The core's view of a kernel event; undefined when it is none of its business. */
export function coreEvent(event: KernelEvent): Event | undefined {
  if (event.kind === 'changed') return { kind: 'kernel-changed' };
  const { mac, name, index } = event;
  if (event.kind === 'link-gone') return { kind: 'link-gone', mac, name, index };
  return isNic(event) ? { kind: 'link-seen', mac, name, index } : undefined;
}
