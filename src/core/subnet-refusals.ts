/**
 * What a refused call tells of the subnet that it was for: of which family it has no address, or no whole prefix. The
 * next plan then takes another subnet, or single addresses, and the other family is asked for as before.
 */
import type { BlockWish, CloudCall, CloudFailure, ExhaustedScope } from './cloud.ts';
import type { Family } from './ip.ts';
import { isPresent } from './pool.ts';
import type { OperationRow, SubnetRow } from './rows.ts';
import { askedOf } from './subnet.ts';
import { wishSize } from './tally.ts';
import type { Turn } from './turn.ts';

const SUBNET_RETRY_MS = 30_000;
const PREFIX_RETRY_MS = 60_000;

/** The next plan knows: it takes another subnet, single addresses, or another ENI. */
export function isMarked(call: CloudCall, scope: ExhaustedScope): boolean {
  if (scope === 'prefix') return asksForPrefixes(call);
  return call.action === 'assign' || (call.action === 'create' && scope === 'subnet');
}

export const asksForPrefixes = (call: CloudCall): boolean => wishesOf(call).some(isOfPrefixes);

const wishesOf = (call: CloudCall): readonly BlockWish[] =>
  call.action === 'assign' ? [call.wish] : call.action === 'create' ? call.blocks : [];

const isOfPrefixes = ({ family, prefixLength }: BlockWish): boolean => wishSize(family, prefixLength) > 1;

export function markSubnet(turn: Turn, operation: OperationRow, failure: CloudFailure): void {
  if (failure.kind !== 'exhausted' || (failure.scope !== 'subnet' && failure.scope !== 'prefix')) return;
  const { call } = operation;
  const subnet = isMarked(call, failure.scope) ? subnetOf(turn, operation) : undefined;
  if (subnet === undefined) return;
  const family = scarcerOf(call, failure.scope, subnet);
  if (failure.scope === 'prefix') {
    const noPrefixUntilMs = { ...subnet.noPrefixUntilMs, [family]: turn.nowMs + PREFIX_RETRY_MS };
    return turn.tx.put('subnet', { ...subnet, noPrefixUntilMs });
  }
  const exhaustedUntilMs = { ...subnet.exhaustedUntilMs, [family]: turn.nowMs + SUBNET_RETRY_MS };
  if (family === 6) return turn.tx.put('subnet', { ...subnet, exhaustedUntilMs });
  const refused = askedOf(call);
  // Some are left where fewer than were asked for are: how many is read.
  const readAtMs = refused > 1 ? turn.nowMs : subnet.readAtMs;
  turn.tx.put('subnet', { ...subnet, exhaustedUntilMs, readAtMs, refused });
}

function subnetOf(turn: Turn, { call, eni: key }: OperationRow): SubnetRow | undefined {
  if (call.action === 'create') return turn.state.get('subnet', call.subnet);
  const eni = turn.state.get('eni', key ?? '');
  return eni !== undefined && isPresent(eni) ? turn.state.get('subnet', eni.subnet) : undefined;
}

/** Of a create, which asks for both: IPv4, of which a subnet has so many fewer. */
function scarcerOf(call: CloudCall, scope: 'subnet' | 'prefix', { cidr4 }: SubnetRow): Family {
  if (call.action === 'assign') return call.wish.family;
  const prefixes4 = wishesOf(call).some((wish) => wish.family === 4 && isOfPrefixes(wish));
  return (scope === 'subnet' ? cidr4 !== undefined : prefixes4) ? 4 : 6;
}
