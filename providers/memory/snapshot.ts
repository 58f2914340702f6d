/** The truth as sorted text, so that two worlds are compared by their words, and what must always hold of it. */
import { type Cidr, cidrBase, cidrContains, familyOf } from '../../src/core/ip.ts';
import { slotsUsed } from './address-calls.ts';
import type { EniRecord } from './records.ts';
import { ownAddresses, type World } from './world.ts';

const sorted = (lines: string[]): string[] => lines.sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));

/** One line a thing: subnets with what is free, instances, ENIs with attachment and addresses, routes. */
export function snapshot(world: World): string {
  const lines: string[] = [];
  for (const { id, cidr4 } of world.subnets.values())
    lines.push(`subnet ${id} ${cidr4} free ${world.space(id, 4)?.freeCount}`);
  for (const { id, limits, state } of world.instances.values())
    lines.push(`instance ${id} ${limits.instanceType} ${state}`);
  for (const eni of world.enis.values()) lines.push(eniLine(world, eni));
  for (const table of world.routeTables.values())
    for (const [destination, target] of table.routes)
      lines.push(`route ${table.id} ${destination} ${target.kind === 'eni' ? target.eni : target.kind}`);
  return sorted(lines).join('\n');
}

function eniLine(world: World, eni: EniRecord): string {
  const { attachment } = eni;
  const place = attachment
    ? `${attachment.instance}#${attachment.deviceIndex} ${attachment.state}${world.links.has(eni.id) ? ' linked' : ''}`
    : eni.state;
  const check = eni.sourceDestCheck ? '' : ' unchecked';
  const tags = sorted(Object.entries(eni.tags).map(([key, value]) => `${key}=${value}`)).join(',');
  const blocks = sorted([...ownAddresses(eni), ...eni.blocks]).join(' ');
  return `eni ${eni.id} ${eni.subnet} ${place}${check} [${blocks}] {${tags}}`;
}

/** Every broken rule as a sentence; empty when the model is sound. */
export function invariants(world: World): string[] {
  const broken: string[] = [];
  const owners = new Map<Cidr, string>();
  const indexes = new Map<string, string>();
  const takenCount = new Map<string, number>();
  for (const eni of world.enis.values()) {
    for (const cidr of [...ownAddresses(eni), ...eni.blocks]) {
      const other = owners.get(cidr);
      if (other !== undefined) broken.push(`${cidr} is on ${other} and ${eni.id}`);
      owners.set(cidr, eni.id);
      const subnet = world.subnets.get(eni.subnet);
      const range = familyOf(cidr) === 4 ? subnet?.cidr4 : subnet?.cidr6;
      if (range === undefined || !cidrContains(range, cidrBase(cidr)))
        broken.push(`${cidr} is outside of ${eni.subnet}`);
      if (familyOf(cidr) === 4)
        takenCount.set(
          eni.subnet,
          (takenCount.get(eni.subnet) ?? 0) + 2 ** (32 - Number(cidr.slice(cidr.indexOf('/') + 1))),
        );
    }
    broken.push(...brokenAttachment(world, eni, indexes));
  }
  for (const { id, cidr4 } of world.subnets.values()) {
    const size = 2 ** (32 - Number(cidr4.slice(cidr4.indexOf('/') + 1))) - 5;
    const free = world.space(id, 4)?.freeCount;
    if (free !== size - (takenCount.get(id) ?? 0))
      broken.push(`${id} says ${free} free, but its ENIs have ${takenCount.get(id)}`);
  }
  return broken;
}

function brokenAttachment(world: World, eni: EniRecord, indexes: Map<string, string>): string[] {
  const broken: string[] = [];
  const { attachment } = eni;
  if (attachment === undefined) {
    if (eni.state === 'in-use') broken.push(`${eni.id} is in use by nothing`);
    if (world.links.has(eni.id)) broken.push(`${eni.id} is linked, but not attached`);
    return broken;
  }
  if (eni.state !== 'in-use') broken.push(`${eni.id} is attached, but ${eni.state}`);
  const place = `${attachment.instance}#${attachment.deviceIndex}`;
  if (indexes.has(place)) broken.push(`${place} is ${indexes.get(place)} and ${eni.id}`);
  indexes.set(place, eni.id);
  const instance = world.instances.get(attachment.instance);
  if (instance?.state !== 'running')
    broken.push(`${eni.id} is attached to ${attachment.instance}, which is not running`);
  for (const family of [4, 6] as const) {
    const max = instance?.limits.slotsPerEni[family] ?? 0;
    if (slotsUsed(eni, family) > max) broken.push(`${eni.id} has more than ${max} IPv${family} slots in use`);
  }
  return broken;
}
