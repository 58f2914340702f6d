/**
 * What pods are told of the pool's subnets: full, in pieces, or not there.
 */
import type { SubnetId } from './brand.ts';
import { nodeRow } from './eni.ts';
import { enisOf, waitersOf } from './pool.ts';
import type { Reason } from './reasons.ts';
import type { PoolRow, SubnetRow } from './rows.ts';
import { hasRange, openForEniMs, subnetFor, subnetsOf, UNLISTED_RETRY_MS } from './subnet.ts';
import type { Turn } from './turn.ts';

export function exhaustedReason(turn: Turn, pool: PoolRow, rows: readonly SubnetRow[]): Reason {
  const subnets = rows.map(({ id }) => id);
  const idle = enisOf(turn.state, pool).reduce((sum, { key, state }) => {
    const { ready, held } = turn.state.tally(key, 4);
    return state === 'draining' ? sum + ready - held : sum;
  }, 0);
  const soonestMs = Math.min(...rows.map((row) => openForEniMs(turn, pool, row)));
  const retryMs = Number.isFinite(soonestMs) ? Math.max(0, soonestMs - turn.nowMs) : 0;
  return { code: 'SUBNET_EXHAUSTED', subnets, waiting: waitersOf(turn.state, pool), idleElsewhere: idle, retryMs };
}

/** The cloud has none of these subnets, as far as it told. */
export function unlistedReason(turn: Turn, ids: Iterable<SubnetId>): Reason | undefined {
  const rows = [...ids].flatMap((id) => turn.state.get('unlisted', id) ?? []);
  if (rows.length === 0) return undefined;
  const detail = `it does not list ${rows.map(({ id }) => id).join(', ')}`;
  const retryMs = Math.max(0, Math.min(...rows.map(({ atMs }) => atMs)) + UNLISTED_RETRY_MS - turn.nowMs);
  return { code: 'CLOUD_MISCONFIGURED', action: 'listSubnets', cloudCode: 'NOT_LISTED', detail, retryMs };
}

/** The instance can have ENIs in none of these subnets, which the cloud has. */
export function otherZoneReason(turn: Turn, ids: readonly SubnetId[]): Reason {
  const rows = ids.flatMap((id) => turn.state.get('subnet', id) ?? []);
  const where = rows.map(({ id, zone }) => `${id} is in ${zone}`).join(', ');
  const detail = `${where}, and the node in ${nodeRow(turn).zone}`;
  const retryMs = Math.max(0, Math.min(...rows.map(({ readAtMs }) => readAtMs)) - turn.nowMs);
  return { code: 'CLOUD_MISCONFIGURED', action: 'create', cloudCode: 'OTHER_ZONE', detail, retryMs };
}

/** None of these subnets has addresses of all the pool's families. */
export function noRangeReason(turn: Turn, { families }: PoolRow, rows: readonly SubnetRow[]): Reason {
  const lacking = rows.flatMap((row) => {
    const lacks = families.filter((family) => !hasRange(row, family));
    return lacks.length === 0 ? [] : `${row.id} has no ${lacks.map((family) => `IPv${family}`).join(' and no ')} range`;
  });
  const retryMs = Math.max(0, Math.min(...rows.map(({ readAtMs }) => readAtMs)) - turn.nowMs);
  const detail = lacking.join(', ');
  return { code: 'CLOUD_MISCONFIGURED', action: 'create', cloudCode: 'NO_RANGE', detail, retryMs };
}

/** Single addresses are asked for instead, so this holds only until they are there. */
export function noPrefixReason(turn: Turn, pool: PoolRow): Reason | undefined {
  const rows = subnetsOf(turn, pool).flatMap((id) => turn.state.get('subnet', id) ?? []);
  if (subnetFor(turn, pool) === undefined) return undefined;
  for (const family of pool.families) {
    const fragmented = rows.find((subnet) => subnet.noPrefixUntilMs[family] > turn.nowMs);
    if (fragmented === undefined) continue;
    const retryMs = fragmented.noPrefixUntilMs[family] - turn.nowMs;
    const prefixLength = Math.min(...turn.capabilities.prefixLengths[family]);
    return { code: 'NO_PREFIX', subnet: fragmented.id, prefixLength, retryMs };
  }
  return undefined;
}
