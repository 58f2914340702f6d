/** What must hold of the truth whatever was asked of it: a broken rule is a bug of the model, never of its client. */
import { type Cidr, cidrBase, cidrContains, cidrLength, cidrOf, cidrSize, familyOf } from '../../src/core/ip.ts';
import { slotsUsed } from './address-calls.ts';
import { PREFIX_LENGTH } from './address-space.ts';
import type { EniRecord } from './records.ts';
import { ownAddresses, type World } from './world.ts';

const RESERVED_COUNT = 5;

/** Every broken rule as a sentence; empty when the model is sound. */
export function invariants(world: World): string[] {
  const owners = new Map<Cidr, EniRecord>();
  const indexes = new Map<string, EniRecord>();
  const broken: string[] = [];
  for (const eni of world.enis.values()) {
    for (const cidr of [...ownAddresses(eni), ...eni.blocks]) {
      broken.push(...brokenAddress(world, eni, cidr), ...doubled(owners, eni, cidr));
      owners.set(cidr, eni);
    }
    broken.push(...brokenAttachment(world, eni, indexes));
  }
  return [...broken, ...overlaps(owners), ...brokenCounts(world, owners)];
}

function doubled(owners: ReadonlyMap<Cidr, EniRecord>, eni: EniRecord, cidr: Cidr): string[] {
  const other = owners.get(cidr);
  return other === undefined ? [] : [`${cidr} is on ${other.id} and ${eni.id}`];
}

function brokenAddress(world: World, eni: EniRecord, cidr: Cidr): string[] {
  const subnet = world.subnets.get(eni.subnet);
  const range = familyOf(cidr) === 4 ? subnet?.cidr4 : subnet?.cidr6;
  const inside = range !== undefined && cidrContains(range, cidrBase(cidr));
  return inside ? [] : [`${cidr} of ${eni.id} is outside of ${eni.subnet}`];
}

function overlaps(owners: ReadonlyMap<Cidr, EniRecord>): string[] {
  const broken: string[] = [];
  for (const [cidr, eni] of owners) {
    const prefix = cidrOf(cidrBase(cidr), PREFIX_LENGTH[familyOf(cidr)]);
    const holder = prefix === cidr ? undefined : owners.get(prefix);
    if (holder !== undefined) broken.push(`${cidr} of ${eni.id} lies in ${prefix} of ${holder.id}`);
  }
  return broken;
}

function brokenCounts(world: World, owners: ReadonlyMap<Cidr, EniRecord>): string[] {
  const taken = new Map<string, number>();
  for (const [cidr, { subnet }] of owners)
    if (familyOf(cidr) === 4) taken.set(subnet, (taken.get(subnet) ?? 0) + cidrSize(cidr));
  const broken: string[] = [];
  for (const { id, cidr4 } of world.subnets.values()) {
    if (cidr4 === undefined) continue;
    const says = world.space(id, 4)?.freeCount;
    const has = 2 ** (32 - cidrLength(cidr4)) - RESERVED_COUNT - (taken.get(id) ?? 0);
    if (says !== has) broken.push(`${id} says ${says} free, but has ${has}`);
  }
  return broken;
}

function brokenAttachment(world: World, eni: EniRecord, indexes: Map<string, EniRecord>): string[] {
  const broken: string[] = [];
  const { attachment } = eni;
  if (attachment === undefined) {
    if (eni.state === 'in-use') broken.push(`${eni.id} is in use by nothing`);
    if (world.links.has(eni.id)) broken.push(`${eni.id} is linked, but not attached`);
    return broken;
  }
  if (eni.state !== 'in-use') broken.push(`${eni.id} is attached, but ${eni.state}`);
  const place = `${attachment.instance}#${attachment.deviceIndex}`;
  if (indexes.has(place)) broken.push(`${place} is ${indexes.get(place)?.id} and ${eni.id}`);
  indexes.set(place, eni);
  const instance = world.instances.get(attachment.instance);
  if (instance?.state !== 'running')
    broken.push(`${eni.id} is attached to ${attachment.instance}, which is not running`);
  for (const family of [4, 6] as const) {
    const max = instance?.limits.slotsPerEni[family] ?? 0;
    if (slotsUsed(eni, family) > max) broken.push(`${eni.id} has more than ${max} IPv${family} slots in use`);
  }
  return broken;
}
