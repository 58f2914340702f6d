/**
 * A wired pod compared with its plan: what differs, in sentences and in the steps that mend it.
 * One comparison serves CHECK, a repeated ADD and self-repair, so what is reported is what is repaired.
 */

import type { FoundLink } from '../../core/events.ts';
import { cidrBase, compareIp, type Ip } from '../../core/ip.ts';
import { isLinkName } from '../../core/link-name.ts';
import { HOST_MAC, type PodPlan } from '../../core/plan.ts';
import { parseAlias } from '../alias.ts';
import type { ActualPod } from '../datapath.ts';
import {
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
import { hostLinkChange, wantedPod, wirePod } from './pod.ts';

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

function differences(plan: PodPlan, actual: ActualPod): Difference[] {
  const { host, pod } = wantedPod(plan);
  return [
    ...linkDifferences(plan, actual),
    ...pod.flatMap((object) => objectDifference({ at: 'pod', object, actual: actual.pod })),
    ...host.flatMap((object) => objectDifference({ at: 'host', object, actual: actual.host })),
  ];
}

function linkDifferences(plan: PodPlan, { host, pod }: ActualPod): Difference[] {
  const linkOf = (state: KernelState, name: string) => state.links.find((link) => link.name === name);
  const { ifname } = plan.attachment;
  const hostSide = linkOf(host, plan.link);
  const podSide = linkOf(pod, ifname);
  // Alias, rp_filter and up go in one message, so a link without its alias may lack the others too.
  const change = hostLinkChange(plan);
  const isSetUp = hostSide?.up === true && hostSide.alias === change.alias;
  const live = { name: plan.link, group: LINK_GROUP.live };
  const rows: { ok: boolean; at: Place; link: LinkChange; says: string }[] = [
    { ok: hostSide?.group === live.group, at: 'host', link: live, says: 'is not in the live group' },
    { ok: isSetUp, at: 'host', link: change, says: hostSide?.up ? `has the alias "${hostSide.alias}"` : 'is down' },
    {
      ok: hostSide?.mtu === plan.mtu,
      at: 'host',
      link: { name: plan.link, mtu: plan.mtu },
      says: `has MTU ${hostSide?.mtu}`,
    },
    { ok: linkOf(pod, 'lo')?.up === true, at: 'pod', link: { name: 'lo', up: true }, says: 'is down' },
    { ok: podSide?.up === true, at: 'pod', link: { name: ifname, up: true }, says: 'is down' },
    {
      ok: podSide?.mtu === plan.mtu,
      at: 'pod',
      link: { name: ifname, mtu: plan.mtu },
      says: `has MTU ${podSide?.mtu}`,
    },
  ];
  return rows
    .filter((row) => !row.ok)
    .map(({ at, link, says }) => ({
      sentence: `link ${link.name} ${PLACE[at]} ${says}`,
      mend: { do: 'set-link', at, link },
    }));
}

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
