/**
 * The ordered steps from what the host's namespace holds to what a plan wants.
 * Invariants: an equal state gives no step; a way exists before traffic is steered to it, and traffic is steered away
 * before its way goes; a block's fence is the first of it to come and outlives its map element; only what carries
 * our numbers is removed; a pod's route or neighbour is never touched.
 */
import { type Cidr, cidrBase, cidrContains } from '../../core/ip.ts';
import type { EniPlan, NodePlan } from '../../core/plan.ts';
import {
  type AddressObject,
  type KernelObject,
  type KernelState,
  objectIdentity,
  type RouteObject,
  type RuleObject,
  type Step,
} from '../kernel-state.ts';
import type { NftExpr } from '../nft.ts';
import { eniOfTable, isEniTable, NFT_TABLE, POD_TABLE, PROTOCOL } from '../numbering.ts';
import { sameObject } from '../same-object.ts';
import { secondaryEnis, wantedNode } from './node.ts';

export function diffNode(plan: NodePlan, actual: KernelState): Step[] {
  const wanted = new Map(wantedNode(plan).map((object) => [objectIdentity(object), object]));
  const reshaped = reshapedTable(wanted, actual);
  const held = reshaped === undefined ? actual.objects : actual.objects.filter((object) => !isNft(object));
  const there = new Map<string, KernelObject>();
  const stale = new Set<KernelObject>();
  const isOurs = ownership(plan, { ...actual, objects: held });
  for (const object of held) {
    const identity = objectIdentity(object);
    there.set(identity, object);
    if (!wanted.has(identity) && isOurs(object)) stale.add(object);
  }
  const missing: KernelObject[] = [];
  for (const [identity, object] of wanted) {
    const found = there.get(identity);
    if (found === undefined || !sameObject(object, found)) missing.push(object);
  }

  const steps: Step[] = missing.filter(isSysctl).map(put);
  steps.push(...linksUp(plan, actual));
  if (reshaped !== undefined) steps.push(remove(reshaped));
  for (const object of missing.filter((object) => !isSysctl(object))) {
    const changed = there.get(objectIdentity(object));
    if (changed !== undefined && !isReplacedByPut(object)) steps.push(remove(changed));
    for (const old of [...stale].filter((old) => overlap(old, object))) {
      steps.push(remove(old));
      stale.delete(old);
    }
    steps.push(put(object));
  }
  return [...steps, ...[...stale].sort((a, b) => removalRank(a) - removalRank(b)).map(remove)];
}

const put = (object: KernelObject): Step => ({ do: 'put', at: 'host', object });
const remove = (object: KernelObject): Step => ({ do: 'remove', at: 'host', object });

/**
 * The primary's link is the operating system's, and has the MTU of the VPC (DHCP tells it there). A secondary's comes with
 * its driver's own, 1500 as a rule, which is raised as it is brought up; one that is up is as somebody wants it.
 */
function linksUp(plan: NodePlan, actual: KernelState): Step[] {
  const linkOf = (eni: EniPlan) => actual.links.find(({ name }) => name === eni.link);
  const primary = plan.enis.find(({ number }) => number === 1);
  const mtu = (primary && linkOf(primary)?.mtu) ?? 0;
  return secondaryEnis(plan).flatMap((eni): Step[] => {
    const link = linkOf(eni);
    if (link?.up === true) return [];
    const raised = link !== undefined && link.mtu < mtu ? { mtu } : {};
    return [{ do: 'set-link', at: 'host', link: { name: eni.link, up: true, ...raised } }];
  });
}

const isSysctl = (object: KernelObject): boolean => object.kind === 'sysctl';
const isNft = (object: KernelObject): boolean =>
  'table' in object && object.table === NFT_TABLE && object.family === 'inet';

/** What the kernel refuses to change in place: an address's flags (IPv4), a map element's verdict (EEXIST). */
const isReplacedByPut = (object: KernelObject): boolean => object.kind !== 'address' && object.kind !== 'nft-element';

/**
 * The kernel's table, when a set's type or a chain's hook is not as wanted: neither can be changed, so the table is
 * made anew, in one transaction with its removal. Only another version of this program leaves such a table.
 */
function reshapedTable(wanted: ReadonlyMap<string, KernelObject>, actual: KernelState): KernelObject | undefined {
  const shape = (object: KernelObject): KernelObject =>
    object.kind === 'nft-chain' ? { ...object, chain: { ...object.chain, rules: [] } } : object;
  const isReshaped = (object: KernelObject) => {
    if (object.kind !== 'nft-set' && object.kind !== 'nft-chain') return false;
    const want = wanted.get(objectIdentity(object));
    return want !== undefined && !sameObject(shape(want), shape(object));
  };
  return actual.objects.some(isReshaped)
    ? actual.objects.find((object) => object.kind === 'nft-table' && isNft(object))
    : undefined;
}

/** Two intervals of one map may not overlap, so the old one goes first: a block split in two, or grown. */
function overlap(old: KernelObject, object: KernelObject): boolean {
  if (old.kind !== 'nft-element' || object.kind !== 'nft-element' || old.set.name !== object.set.name) return false;
  const [a] = old.element.key;
  const [b] = object.element.key;
  if (!object.set.interval || typeof a !== 'string' || typeof b !== 'string') return false;
  return cidrContains(a as Cidr, cidrBase(b as Cidr)) || cidrContains(b as Cidr, cidrBase(a as Cidr));
}

/**
 * Which of the kernel's objects the node's part answers for. Neighbours, limits, and the pod table's unicast routes, are
 * pods'; what a link has left behind is nobody's.
 */
function ownership(plan: NodePlan, { links, objects }: KernelState): (object: KernelObject) => boolean {
  const ownAddresses = new Set(
    objects.filter(isOurRule).flatMap((rule) => (rule.from === undefined ? [] : [rule.from])),
  );
  const own = objects.filter((object) => object.kind === 'address').filter((a) => ownAddresses.has(a.address as Cidr));
  const served = new Set(secondaryEnis(plan).map((eni) => eni.link));
  const left = new Set(own.map((address) => address.link).filter((link) => !served.has(link)));
  return (object) => {
    switch (object.kind) {
      case 'address':
        return own.includes(object) || (left.has(object.link) && isOurLinkLocal(object));
      case 'route':
        return object.protocol === PROTOCOL && (isEniTable(object.table) || isFence(object));
      case 'rule':
        return isOurRule(object);
      case 'neighbour':
      case 'qdisc':
      case 'sysctl':
        return false;
      case 'policer':
        return !links.some(({ name }) => name === object.link);
      case 'nft-table':
      case 'nft-set':
      case 'nft-chain':
      case 'nft-element':
        return isNft(object);
    }
  };
}

/** The number by which the node's part knows each secondary ENI, by the link that has its address. */
export function eniNumbers({ objects }: KernelState): ReadonlyMap<string, number> {
  const tables = new Map<string, number>();
  for (const object of objects)
    if (isOurRule(object) && object.from !== undefined) tables.set(object.from, object.table);
  const numbers = new Map<string, number>();
  for (const object of objects) {
    const table = object.kind === 'address' ? tables.get(object.address) : undefined;
    if (object.kind === 'address' && table !== undefined) numbers.set(object.link, eniOfTable(table));
  }
  return numbers;
}

/** Our own rule says which address we gave an ENI: addresses carry no protocol on kernels before 5.18. */
const isOurRule = (object: KernelObject): object is RuleObject =>
  object.kind === 'rule' && object.protocol === PROTOCOL && isEniTable(object.table);

const isFence = (route: RouteObject): boolean => route.table === POD_TABLE && route.type === 'unreachable';

const isOurLinkLocal = (address: AddressObject): boolean => address.scope === 'link' && address.noDad;

/**
 * Traffic is steered away first (elements, then chains before those they go to), then the ways go; rules last, since
 * a `from` rule is what tells our addresses from others' when the process dies in between.
 */
function removalRank(object: KernelObject): number {
  switch (object.kind) {
    case 'nft-element':
      return 0;
    case 'nft-chain':
      return object.chain.hook !== undefined ? 1 : object.chain.rules.flat().some(isGoto) ? 2 : 3;
    case 'nft-set':
      return 4;
    case 'route':
      return 5;
    case 'address':
      // The link-local first: it is known as ours by the ENI's own address beside it.
      return object.scope === 'link' ? 6 : 7;
    default:
      return 8;
  }
}

const isGoto = (expr: NftExpr): boolean =>
  expr.op === 'verdict' && (expr.verdict === 'goto' || expr.verdict === 'jump');
