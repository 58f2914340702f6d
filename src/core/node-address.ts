/** What the node itself lacks of the families that its pods have. It is the operator's to give: nothing here asks for it. */
import { type Family, familyOf } from './ip.ts';
import { primaryOf } from './pool.ts';
import type { PoolRow } from './rows.ts';
import type { State } from './state.ts';
import { hasRange } from './subnet.ts';
import type { Turn } from './turn.ts';

/** A sentence a family; none while the primary ENI is not known. */
export function missingNodeAddresses({ state }: Turn, { families }: Pick<PoolRow, 'families'>): string[] {
  const primary = primaryOf(state);
  if (primary === undefined || primary.state === 'creating') return [];
  const { id, subnet, primary4, primary6 } = primary;
  const facts = state.get('subnet', subnet);
  const own: Readonly<Record<Family, unknown>> = { 4: primary4, 6: primary6 };
  return families
    .filter((family) => own[family] === undefined)
    .map((family) => {
      const isBare = facts !== undefined && !hasRange(facts, family);
      const lacks = `the primary ENI ${id} has no IPv${family} address${isBare ? `, and its subnet ${subnet} no IPv${family} range` : ''}`;
      const give = isBare ? 'give the subnet a range and the ENI an address' : 'give the ENI one';
      return `${lacks}: the node has no address to reach its pods from by IPv${family}, so the kubelet's probes fail: ${give}, or take ${family} out of pool.families`;
    });
}

/** What the operating system's side of the primary ENI lacks of what pools need, a sentence an address. */
export function lostNodeAddresses(
  state: State,
  pools: Iterable<Pick<PoolRow, 'families'>> = state.all('pool'),
): string[] {
  const { absent = [] } = state.runtime.sync;
  const primary = absent.length === 0 ? undefined : primaryOf(state);
  if (primary === undefined || primary.state === 'creating') return [];
  const on = state.get('link', primary.mac)?.name ?? 'its link';
  const families = new Set([...pools].flatMap((pool) => pool.families));
  return absent
    .filter((ip) => families.has(familyOf(ip)))
    .map(
      (ip) =>
        `the node's own address ${ip} is not on ${on}, and the routes by it went with it: new pods are refused, and those that run may have no way out by ${on}: the operating system's network manager has to put it back`,
    );
}
