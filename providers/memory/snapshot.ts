/** The truth as sorted text, so that two worlds are compared by their words. */
import type { EniRecord } from './records.ts';
import { ownAddresses, type World } from './world.ts';

const sorted = (lines: string[]): string[] => lines.sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));

/** One line a thing: subnets with what is free, instances, ENIs with attachment and addresses, routes. */
export function snapshot(world: World): string {
  const lines: string[] = [];
  for (const { id, cidr4, cidr6 } of world.subnets.values())
    lines.push(`subnet ${id} ${cidr4 ?? cidr6} free ${world.space(id, 4)?.freeCount ?? 'no IPv4'}`);
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
