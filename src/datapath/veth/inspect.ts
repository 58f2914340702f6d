/**
 * A wired pod compared with its plan: what differs, in sentences and in the steps that mend it.
 * One comparison serves CHECK, a repeated ADD and self-repair, so what is reported is what is repaired. Self-repair is
 * unasked: inside the pod, where what differs may be the pod's will, it only brings back what is missing.
 */

import { attachmentKey } from '../../core/brand.ts';
import type { FoundLink } from '../../core/events.ts';
import { cidrBase, compareIp, type Ip } from '../../core/ip.ts';
import { isLinkName, linkName } from '../../core/link-name.ts';
import { HOST_MAC, type PodPlan } from '../../core/plan.ts';
import { parseAlias } from '../alias.ts';
import type { ActualPod } from '../datapath.ts';
import {
  type AddressObject,
  type KernelObject,
  type KernelState,
  type LinkChange,
  type LinkState,
  objectIdentity,
  type Place,
  type Step,
} from '../kernel-state.ts';
import { LINK_GROUP, POD_TABLE, PROTOCOL } from '../numbering.ts';
import { objectText } from '../object-text.ts';
import { sameObject } from '../same-object.ts';
import { hostLinkChange, usableAtOnce, wantedInside, wantedOnHost, wirePod } from './pod.ts';
import { rateOf } from './shaper.ts';

/** One thing that is not as planned. */
interface Difference {
  readonly sentence: string;
  readonly mend: Step;
}

export function checkPod(plan: PodPlan, actual: ActualPod): string[] {
  const broken = brokenPair(plan, actual);
  return broken === undefined ? differences(plan, actual).map(({ sentence }) => sentence) : [broken];
}

export function repairPod(plan: PodPlan, actual: ActualPod): Step[] {
  if (brokenPair(plan, actual) === undefined) return differences(plan, actual).map(({ mend }) => mend);
  const leftOver = actual.host.links.some((link) => link.name === plan.link);
  return [...(leftOver ? [{ do: 'delete-link', at: 'host', name: plan.link } as const] : []), ...wirePod(plan)];
}

/**
 * Without an address of the node's that it has lost the routes lack their source and lead to the pod all the same; the
 * kernel takes no route with a source that is not there (EINVAL).
 */
export function mendHost(plan: PodPlan, host: KernelState): Step[] {
  if (!host.links.some((link) => link.name === plan.link)) return [];
  const has = new Set(host.objects.flatMap((object) => (object.kind === 'address' ? [addressIn(object)] : [])));
  const nodeAddresses = plan.nodeAddresses.filter((ip) => has.has(ip));
  const mends = hostDifferences({ ...plan, nodeAddresses }, host).map(({ mend }) => mend);
  if (nodeAddresses.length === plan.nodeAddresses.length) return mends;
  // What is as it is wanted with its source is right.
  const wrong = new Set(hostDifferences(plan, host).map(({ mend }) => targetOf(mend)));
  return mends.filter((mend) => wrong.has(targetOf(mend)));
}

const targetOf = (step: Step): string => (step.do === 'put' ? objectIdentity(step.object) : JSON.stringify(step));

export function mendPod(plan: PodPlan, pod: KernelState): Step[] {
  const { ifname } = plan.attachment;
  const end = pod.links.find((link) => link.name === ifname);
  const mac = end?.mac === plan.podMac ? [] : [{ name: ifname, mac: plan.podMac }];
  // Another's link of that name, such as a bridge that a virtual machine is put behind, or none: the pod ended. One that
  // is behind a bridge itself has its MAC from who put it there.
  if (mac.length > 0 && (end?.peer !== plan.linkIndex || end.enslaved === true)) return [];
  const down = pod.links.filter((link) => !link.up && (link.name === 'lo' || link.name === ifname));
  const missing = wantedInside(plan).filter((object) => !pod.objects.some((found) => standsFor(found, object)));
  return [
    // First: the link's neighbours go with its MAC.
    ...mac.map((link): Step => ({ do: 'set-link', at: 'pod', link })),
    ...down.map(({ name }): Step => ({ do: 'set-link', at: 'pod', link: { name, up: true } })),
    ...missing.map((object): Step => ({ do: 'put', at: 'pod', object })),
    ...missing.flatMap((object) => (object.kind === 'address' ? usableAtOnce(ifname, addressIn(object)) : [])),
  ];
}

/** What is wanted, or what somebody has put in its place: another way to where it led, the address elsewhere. */
function standsFor(found: KernelObject, wanted: KernelObject): boolean {
  if (wanted.kind === 'address') return found.kind === 'address' && addressIn(found) === addressIn(wanted);
  // A limit is not the pod's to choose.
  if (wanted.kind === 'qdisc') return sameObject(wanted, found);
  if (objectIdentity(found) === objectIdentity(wanted)) return true;
  if (wanted.kind !== 'route' || found.kind !== 'route' || found.protocol === PROTOCOL) return false;
  return found.family === wanted.family && found.table === wanted.table && found.destination === wanted.destination;
}

const addressIn = ({ address }: AddressObject): Ip => address.slice(0, address.indexOf('/')) as Ip;

/** A link's alias says whose it is. */
export function nameBack({ links }: KernelState): Extract<Step, { do: 'rename-link' }>[] {
  const taken = new Set(links.map(({ name }) => name));
  return links.flatMap(({ name, group, alias }) => {
    const owner = isLinkName(name) || !POD_GROUPS.includes(group) ? undefined : parseAlias(alias);
    const to = owner && linkName(attachmentKey(owner.attachment));
    return to === undefined || taken.has(to) ? [] : [{ do: 'rename-link', at: 'host', name, to }];
  });
}

const POD_GROUPS: readonly number[] = Object.values(LINK_GROUP);

export function adopt(host: KernelState): FoundLink[] {
  return host.links
    .filter((link) => isLinkName(link.name))
    .map((link): FoundLink => {
      const lease = parseAlias(link.alias);
      return {
        name: link.name,
        index: link.index,
        fenced: link.group === LINK_GROUP.dead || link.group === LINK_GROUP.reap,
        ...(lease === undefined ? {} : { lease }),
        addresses: podAddresses(host.objects, link),
        mtu: link.mtu,
        ...podBandwidth(host.objects, link),
      };
    })
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** By its routes, or by its neighbours where somebody removed a route: an address in use must not be overlooked. */
function podAddresses(objects: readonly KernelObject[], link: LinkState): Ip[] {
  const found = objects.flatMap((object) => {
    if (object.kind === 'neighbour' && object.link === link.name && !object.address.startsWith('fe80:'))
      return [object.address];
    const isPodRoute =
      object.kind === 'route' &&
      object.table === POD_TABLE &&
      object.protocol === PROTOCOL &&
      object.type === 'unicast';
    return isPodRoute && object.link === link.name ? [cidrBase(object.destination)] : [];
  });
  return [...new Set(found)].sort(compareIp);
}

/** Of both ways: the host's end has the one's queue, and the other's policer. */
function podBandwidth(objects: readonly KernelObject[], link: LinkState): Pick<FoundLink, 'bandwidth'> {
  const rate = (kind: 'qdisc' | 'policer') => {
    const found = objects.find((object) => object.kind === kind && object.link === link.name);
    return found?.kind === kind ? rateOf(found, link.mtu) : undefined;
  };
  const [ingress, egress] = [rate('qdisc'), rate('policer')];
  if (ingress === undefined && egress === undefined) return {};
  return { bandwidth: { ...(ingress && { ingress }), ...(egress && { egress }) } };
}

/** What cannot be set on a link that is there: the pair is made anew. */
function brokenPair(plan: PodPlan, { host, pod }: ActualPod): string | undefined {
  const { ifname } = plan.attachment;
  const hostSide = host.links.find((link) => link.name === plan.link);
  const podSide = pod.links.find((link) => link.name === ifname);
  if (hostSide === undefined) return `link ${plan.link} is missing on the host`;
  if (podSide === undefined) return `link ${ifname} is missing in the pod`;
  if (hostSide.mac !== HOST_MAC) return `link ${plan.link} on the host has MAC ${hostSide.mac}, not ${HOST_MAC}`;
  if (podSide.mac !== plan.podMac) return `link ${ifname} in the pod has MAC ${podSide.mac}, not ${plan.podMac}`;
  return undefined;
}

function differences(plan: PodPlan, { host, pod }: ActualPod): Difference[] {
  return [...podDifferences(plan, pod), ...hostDifferences(plan, host)];
}

function podDifferences(plan: PodPlan, pod: KernelState): Difference[] {
  const { ifname } = plan.attachment;
  const linkOf = (name: string) => pod.links.find((link) => link.name === name);
  const links = linkDifferences('pod', [
    { ok: linkOf('lo')?.up === true, link: { name: 'lo', up: true }, says: 'is down' },
    { ok: linkOf(ifname)?.up === true, link: { name: ifname, up: true }, says: 'is down' },
    mtuRow(plan, { name: ifname, link: linkOf(ifname) }),
  ]);
  return [...links, ...wantedInside(plan).flatMap((object) => objectDifference({ at: 'pod', object, actual: pod }))];
}

function hostDifferences(plan: PodPlan, host: KernelState): Difference[] {
  const link = host.links.find(({ name }) => name === plan.link);
  // Alias, rp_filter and up go in one message, so a link without its alias may lack the others too.
  const change = hostLinkChange(plan);
  const isSetUp = link?.up === true && link.alias === change.alias;
  const live = { name: plan.link, group: LINK_GROUP.live };
  const links = linkDifferences('host', [
    // First: the link's neighbours go with its MAC.
    { ok: link?.mac === HOST_MAC, link: { name: plan.link, mac: HOST_MAC }, says: `has MAC ${link?.mac}` },
    { ok: link?.group === live.group, link: live, says: 'is not in the live group' },
    { ok: isSetUp, link: change, says: link?.up ? `has the alias "${link.alias}"` : 'is down' },
    mtuRow(plan, { name: plan.link, link }),
  ]);
  return [...links, ...wantedOnHost(plan).flatMap((object) => objectDifference({ at: 'host', object, actual: host }))];
}

interface LinkRow {
  readonly ok: boolean;
  readonly link: LinkChange;
  readonly says: string;
}

const mtuRow = ({ mtu }: PodPlan, { name, link }: { name: string; link: LinkState | undefined }): LinkRow => ({
  ok: link?.mtu === mtu,
  link: { name, mtu },
  says: `has MTU ${link?.mtu}`,
});

const linkDifferences = (at: Place, rows: readonly LinkRow[]): Difference[] =>
  rows
    .filter(({ ok }) => !ok)
    .map(({ link, says }) => ({
      sentence: `link ${link.name} ${PLACE[at]} ${says}`,
      mend: { do: 'set-link', at, link },
    }));

const PLACE = { host: 'on the host', pod: 'in the pod' } as const;

function objectDifference({
  at,
  object,
  actual,
}: {
  at: Place;
  object: KernelObject;
  actual: KernelState;
}): Difference[] {
  const identity = objectIdentity(object);
  const found = actual.objects.find(
    (candidate) => candidate.kind === object.kind && objectIdentity(candidate) === identity,
  );
  if (found !== undefined && sameObject(object, found)) return [];
  // A sysctl of a link that is there cannot be missing: the read left it out.
  if (found === undefined && object.kind === 'sysctl') return [];
  const says = found === undefined ? 'is missing' : `differs: found ${objectText(found)}`;
  return [{ sentence: `${objectText(object)} ${PLACE[at]} ${says}`, mend: { do: 'put', at, object } }];
}
