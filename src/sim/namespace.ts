/**
 * One network namespace in memory: its links, and what hangs on them. It refuses an object whose link, table or chain is
 * not there.
 */
import type { Mac } from '../core/brand.ts';
import { type KernelObject, type LinkState, objectIdentity } from '../datapath/kernel-state.ts';

export class Namespace {
  readonly id: string;
  readonly links = new Map<string, LinkState>();
  /** The other ends of veth pairs, by the name of this one. */
  readonly peers = new Map<string, { readonly namespace: Namespace; readonly name: string }>();
  /** By identity. */
  readonly objects = new Map<string, KernelObject>();
  /** Identities of what goes with each link. */
  private readonly onLink = new Map<string, Set<string>>();

  constructor(id: string) {
    this.id = id;
    this.links.set('lo', {
      name: 'lo',
      index: 1,
      mac: '00:00:00:00:00:00' as Mac,
      mtu: 65_536,
      up: false,
      group: 0,
      alias: '',
      type: '',
    });
  }

  put(identity: string, object: KernelObject): void {
    const before = this.objects.get(identity);
    if (before !== undefined) this.onLink.get(linkOf(before) ?? '')?.delete(identity);
    this.objects.set(identity, object);
    const link = linkOf(object);
    if (link === undefined) return;
    const on = this.onLink.get(link);
    if (on === undefined) this.onLink.set(link, new Set([identity]));
    else on.add(identity);
  }

  remove(identity: string): void {
    const object = this.objects.get(identity);
    if (object === undefined) return;
    this.objects.delete(identity);
    this.onLink.get(linkOf(object) ?? '')?.delete(identity);
  }

  removeLink(name: string): void {
    this.links.delete(name);
    this.peers.delete(name);
    for (const identity of this.onLink.get(name) ?? []) this.objects.delete(identity);
    this.onLink.delete(name);
  }
}

const linkOf = (object: KernelObject): string | undefined =>
  object.kind === 'address' || object.kind === 'neighbour' || object.kind === 'qdisc'
    ? object.link
    : object.kind === 'route'
      ? object.link
      : undefined;

export function put(namespace: Namespace, object: KernelObject): string | undefined {
  // A policer goes on without its link, but does not come without.
  const link = object.kind === 'policer' ? object.link : linkOf(object);
  if (link !== undefined && !namespace.links.has(link)) return 'ENODEV';
  if (object.kind === 'nft-set' || object.kind === 'nft-chain') {
    if (!namespace.objects.has(`nft-table ${object.family} ${object.table}`)) return 'ENOENT';
  }
  if (object.kind === 'nft-element') {
    if (!namespace.objects.has(`nft-set ${object.family} ${object.table} ${object.set.name}`)) return 'ENOENT';
    const { verdict } = object.element;
    const chain = verdict !== undefined && 'chain' in verdict ? verdict.chain : undefined;
    if (chain !== undefined && !namespace.objects.has(`nft-chain ${object.family} ${object.table} ${chain}`))
      return 'ENOENT';
  }
  namespace.put(objectIdentity(object), object);
  return undefined;
}

export function remove(namespace: Namespace, object: KernelObject): string | undefined {
  const identity = objectIdentity(object);
  const held = namespace.objects.get(identity);
  // A route is named with its link: another link's route to the same address is not this one.
  if (held?.kind === 'route' && object.kind === 'route' && object.link !== undefined && held.link !== object.link)
    return undefined;
  if (object.kind === 'nft-chain' && chainInUse(namespace, object.chain.name)) return 'EBUSY';
  namespace.remove(identity);
  return undefined;
}

function chainInUse(namespace: Namespace, chain: string): boolean {
  for (const object of namespace.objects.values()) {
    if (object.kind !== 'nft-element') continue;
    const { verdict } = object.element;
    if (verdict !== undefined && 'chain' in verdict && verdict.chain === chain) return true;
  }
  return false;
}
