/** A small lab for tests, with names of its own; and what a test does to it beyond its API. */
import type { ApiAction, ApiRequest, ApiResult } from '../../providers/memory/api.ts';
import type { EniRecord } from '../../providers/memory/records.ts';
import type { Cidr, Ip } from '../../src/core/ip.ts';
import { cidrLength } from '../../src/core/ip.ts';
import type { AddressObject, RouteObject } from '../../src/datapath/kernel-state.ts';
import type { Instance } from '../../src/lab/instance.ts';
import { createLab, type Lab } from '../../src/lab/lab.ts';
import { ping } from '../../src/lab/probe/probe.ts';
import { found, labName, until } from './pod-lab.ts';

/** Two VMs and a node without a daemon, in a cloud that answers at once. */
export function smallLab(options: Parameters<typeof createLab>[0] = {}): Promise<Lab> {
  return createLab({ name: labName(), nodeCount: 1, vmCount: 2, fast: true, daemons: false, ...options });
}

export function instance(lab: Lab, name: string): Instance {
  return found(
    lab.instances.find((candidate) => candidate.name === name),
    name,
  );
}

export function primaryEni(lab: Lab, name: string): EniRecord {
  const enis = lab.cloud.truth.enisOf(instance(lab, name).id);
  return found(
    enis.find(({ primary }) => primary),
    `primary ENI of ${name}`,
  );
}

/** The ENI's own address of the family. */
export function own(eni: EniRecord, family: 4 | 6): Ip {
  const ip = family === 4 ? eni.primary4 : eni.primary6;
  if (ip === undefined) throw new Error(`${eni.id} has no IPv${family} address`);
  return ip;
}

/** One call of the cloud, and then what it changed is true for packets. */
export async function call<A extends ApiAction>(lab: Lab, action: A, request: ApiRequest<A>): Promise<ApiResult<A>> {
  const value = await new Promise<ApiResult<A>>((resolve, reject) => {
    lab.cloud.call(action, request, {
      respond: (outcome) =>
        outcome.kind === 'done' ? resolve(outcome.value) : reject(new Error(JSON.stringify(outcome))),
    });
  });
  await lab.settled();
  return value;
}

const hostAddress = (link: string, ip: Ip): AddressObject => ({
  kind: 'address',
  link,
  address: `${ip}/${ip.includes(':') ? 128 : 32}`,
  scope: 'global',
  noPrefixRoute: true,
  noDad: true,
  deprecated: false,
});

/**
 * Gives the instance the address, and waits until it answers itself there: the kernel makes an IPv6 address usable from a
 * work queue, and of single packets sent at once a quarter met an instance that did not know its address yet.
 */
export async function giveAddress(lab: Lab, netns: string, ip: Ip): Promise<AddressObject> {
  const address = hostAddress('lo', ip);
  await lab.networks.put(netns, [address]);
  await until(`${ip} is usable`, async () => (await ping({ netns, to: ip, timeoutMs: 100 })).ok);
  return address;
}

/** To one host by the primary link, from this source. */
export function routeFrom({ to, source, gateway }: { to: Cidr; source: Ip; gateway?: Ip }): RouteObject {
  const family = to.includes(':') ? 6 : 4;
  return {
    kind: 'route',
    family,
    table: 254,
    type: 'unicast',
    destination: to,
    link: 'eth0',
    ...(gateway === undefined ? {} : { gateway, onLink: true }),
    source,
    metric: family === 4 ? 0 : 1024,
    scope: cidrLength(to) === 32 && gateway === undefined ? 'link' : 'global',
    protocol: 4,
  };
}

/** How many packets each reason took since `before`, those that took none left out. */
export async function dropsSince(lab: Lab, before: Readonly<Record<string, number>>): Promise<Record<string, number>> {
  const now = await lab.drops();
  return Object.fromEntries(
    Object.entries(now).flatMap(([name, count]) =>
      count > (before[name] ?? 0) ? [[name, count - (before[name] ?? 0)]] : [],
    ),
  );
}
