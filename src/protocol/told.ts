/**
 * What a runtime was told of a pod's interface: `prevResult`, its own copy of the chain's result, which CHECK compares with
 * what is leased. Plugins behind us may have added to it; what we said of our interface has to stand.
 */
import { type Mac, parseMac } from '../core/brand.ts';
import { type Ip, parseIp } from '../core/ip.ts';
import { type Checked, CODE } from './error.ts';
import type { PrevResult } from './network-config.ts';

export interface Told {
  readonly ifname: string;
  /** False: it names no interface of this name inside a pod. */
  readonly isNamed: boolean;
  readonly addresses: readonly Ip[];
  readonly mac?: Mac;
  /** Since 1.1.0. */
  readonly mtu?: number;
}

/** What the interface has; `mtu` 0 where its link has yet to tell. */
export interface Leased {
  readonly addresses: readonly Ip[];
  readonly mac: Mac;
  readonly mtu: number;
}

/** Code 7 for an address that is none. */
export function toldBy(result: PrevResult, ifname: string): Checked<Told> {
  const at = result.interfaces.findIndex((link) => link.name === ifname && link.sandbox);
  const link = result.interfaces[at];
  if (link === undefined) return { value: { ifname, isNamed: false, addresses: [] } };
  const texts = result.ips.filter((entry) => entry.interface === at).map((entry) => entry.address);
  const addresses = texts.map((text) => parseIp(text.split('/')[0] ?? '')).filter((address) => address !== undefined);
  if (addresses.length < texts.length) {
    const details = texts.join(', ').slice(0, 200);
    return { error: { code: CODE.invalidConfig, msg: 'an address in prevResult is none', details } };
  }
  const mac = parseMac(link.mac ?? '');
  return { value: { ifname, isNamed: true, addresses, ...(mac && { mac }), ...(link.mtu && { mtu: link.mtu }) } };
}

/** Sentences; none where the runtime believes what is. */
export function misbeliefs({ ifname, isNamed, addresses, mac, mtu }: Told, leased: Leased): readonly string[] {
  if (!isNamed) return [`the runtime was told of no interface ${ifname} in the pod`];
  const told = new Set<Ip>(addresses);
  const held = new Set<Ip>(leased.addresses);
  const has = (what: string) => `for ${ifname}, which has ${what}`;
  return [
    ...addresses.filter((ip) => !held.has(ip)).map((ip) => `the runtime was told ${ip}, which is not leased to it`),
    ...leased.addresses
      .filter((ip) => !told.has(ip))
      .map((ip) => `the runtime was not told ${ip}, which is leased to it`),
    ...(mac === undefined || mac === leased.mac ? [] : [`the runtime was told MAC ${mac} ${has(leased.mac)}`]),
    ...(mtu === undefined || leased.mtu === 0 || mtu === leased.mtu
      ? []
      : [`the runtime was told an MTU of ${mtu} ${has(String(leased.mtu))}`]),
  ];
}
