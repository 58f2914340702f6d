/**
 * What may be asked for by name and is not ours to give: refused with code 2 and never ignored in silence, since a pod
 * would run with something else than it was promised. docs/parameters.md says why of each.
 */
import { type CniError, CODE } from './error.ts';
import type { NetworkConfig } from './network-config.ts';

const ADDRESS = "addresses are the cloud's, and the pool hands them out";
const MAC = "a pod's MAC follows from its address, and nobody but its node sees it";
const DEVICE = 'a pod gets a veth, and no device of its own';

/** Of the first field that asks for such a thing; the message has its key and value, as the specification wants it. */
export function unsupportedField({ runtimeConfig, args }: NetworkConfig): CniError | undefined {
  const cni = isObject(args?.cni) ? args.cni : {};
  const asked: readonly (readonly [key: string, value: unknown, why: string])[] = [
    ['runtimeConfig.ips', runtimeConfig?.ips, ADDRESS],
    ['runtimeConfig.ipRanges', runtimeConfig?.ipRanges, ADDRESS],
    ['runtimeConfig.mac', runtimeConfig?.mac, MAC],
    ['runtimeConfig.infinibandGUID', runtimeConfig?.infinibandGuid, DEVICE],
    ['runtimeConfig.deviceID', runtimeConfig?.deviceId, DEVICE],
    ['args.cni.ips', cni.ips, ADDRESS],
    ['args.cni.mac', cni.mac, MAC],
  ];
  for (const [key, value, why] of asked) {
    if (isEmpty(value)) continue;
    const msg = `${key} is ${JSON.stringify(value).slice(0, 200)}, which is not supported: ${why}`;
    return { code: CODE.unsupportedField, msg, details: 'docs/parameters.md says why' };
  }
  return undefined;
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** A runtime writes what it was not asked for as null, '' or an empty list. */
const isEmpty = (value: unknown): boolean =>
  value === undefined || value === null || value === '' || (Array.isArray(value) && value.length === 0);
