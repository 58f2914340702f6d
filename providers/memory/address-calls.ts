/**
 * Assign and unassign, and the giving of addresses that create shares with them. All or nothing: a refusal leaves
 * every address where it was.
 */
import type { EniId, SubnetId } from '../../src/core/brand.ts';
import type { BlockWish } from '../../src/core/cloud.ts';
import { type Cidr, cidrBase, cidrContains, cidrLength, type Family, familyOf, hostCidr } from '../../src/core/ip.ts';
import { PREFIX_LENGTH } from './address-space.ts';
import type { Calls } from './call.ts';
import type { Strikes } from './faults.ts';
import type { EniRecord } from './records.ts';
import { type Done, done, type Refused, refuse } from './refusal.ts';
import type { World } from './world.ts';

const SINGLE = { 4: 32, 6: 128 } as const;

interface Wanted {
  readonly subnet: SubnetId;
  readonly wishes: readonly BlockWish[];
  readonly blocks: readonly Cidr[];
}

/** Takes all that is wanted out of the subnet's free addresses, or nothing. */
export function takeBlocks(world: World, wanted: Wanted, strikes: Strikes): Done<Cidr[]> | Refused {
  const taken: Cidr[] = [];
  const refused = takeNamed(world, wanted, taken) ?? takeWished(world, wanted, strikes, taken);
  if (refused === undefined) return done(taken);
  for (const cidr of taken) world.space(wanted.subnet, familyOf(cidr))?.release(cidr);
  return refused;
}

function takeNamed(world: World, { subnet, blocks }: Wanted, taken: Cidr[]): Refused | undefined {
  const record = world.subnets.get(subnet);
  for (const address of blocks) {
    const family = familyOf(address);
    const length = cidrLength(address);
    if (length !== SINGLE[family] && length !== PREFIX_LENGTH[family]) return invalidLength(family, length);
    const range = family === 4 ? record?.cidr4 : record?.cidr6;
    if (range === undefined || !cidrContains(range, cidrBase(address)))
      return refuse({ kind: 'address-not-in-subnet', address, subnet });
    if (world.space(subnet, family)?.takeExactly(address) !== true) return refuse({ kind: 'address-in-use', address });
    taken.push(address);
  }
  return undefined;
}

function takeWished(world: World, wanted: Wanted, strikes: Strikes, taken: Cidr[]): Refused | undefined {
  const { subnet } = wanted;
  const full = strikes['subnet-full'];
  const isFull = full !== undefined && (full.subnet ?? subnet) === subnet;
  for (const { family, prefixLength, count } of wanted.wishes) {
    const space = world.space(subnet, family);
    if (space === undefined) return refuse({ kind: 'invalid', detail: `${subnet} has no IPv${family} range` });
    const single = prefixLength === SINGLE[family];
    if (!single && prefixLength !== PREFIX_LENGTH[family]) return invalidLength(family, prefixLength);
    // An IPv6 range is too large to run out.
    const struck = family === 4 && (isFull || (!single && strikes['no-prefix'] !== undefined));
    const from = world.searchFrom(subnet, family);
    for (let given = 0; given < count; given++) {
      const block = struck ? undefined : single ? space.takeAddress(from) : space.takePrefix(from);
      if (block !== undefined) taken.push(block);
      else if (single)
        return refuse({ kind: 'subnet-full', subnet, wanted: count, free: struck ? 0 : space.freeCount + given });
      else return refuse({ kind: 'no-prefix', subnet, prefixLength });
    }
  }
  return undefined;
}

const invalidLength = (family: Family, length: number): Refused =>
  refuse({
    kind: 'invalid',
    detail: `IPv${family} blocks are /${SINGLE[family]} or /${PREFIX_LENGTH[family]}, not /${length}`,
  });

/** How many address slots of a family the ENI's own addresses and blocks take. */
export function slotsUsed(eni: Pick<EniRecord, 'primary4' | 'primary6' | 'blocks'>, family: Family): number {
  const own = (family === 4 ? eni.primary4 : eni.primary6) === undefined ? 0 : 1;
  return own + eni.blocks.filter((cidr) => familyOf(cidr) === family).length;
}

/** EC2 lets an ENI that is not attached have as many as the largest instance type takes. */
export function slotsMax(world: World, eni: EniRecord | undefined, family: Family): number {
  const instance = eni?.attachment && world.instances.get(eni.attachment.instance);
  if (instance) return instance.limits.slotsPerEni[family];
  let max = 0;
  for (const limits of world.figures.instanceTypes.values()) max = Math.max(max, limits.slotsPerEni[family]);
  return max;
}

export const wishedCount = (wishes: readonly BlockWish[], family: Family): number =>
  wishes.reduce((sum, wish) => (wish.family === family ? sum + wish.count : sum), 0);

/** With a token, a repeat answers what the first call gave, as ECS does; EC2's endpoint sends none. */
export const assign: Calls['assign'] = (world, request, moment) => {
  const { token } = request;
  if (token === undefined) return give(world, request, moment);
  const counts = request.wishes.map((wish) => [wish.family, wish.prefixLength, wish.count]);
  const fingerprint = JSON.stringify([request.eni, request.family, counts, request.blocks]);
  const earlier = world.assignedWith.get(token);
  if (earlier !== undefined)
    return earlier.fingerprint === fingerprint ? done(earlier.blocks) : refuse({ kind: 'token-mismatch', token });
  const given = give(world, request, moment);
  if (given.kind === 'done') world.assignedWith.set(token, { fingerprint, blocks: given.value });
  return given;
};

const give: Calls['assign'] = (world, request, moment) => {
  const eni = moment.find(request.eni);
  if (eni.kind === 'refused') return eni;
  const blocks = request.blocks ?? [];
  const { family } = request;
  const asked = wishedCount(request.wishes, family) + blocks.length;
  if (asked === 0 || blocks.some((cidr) => familyOf(cidr) !== family))
    return refuse({ kind: 'invalid', detail: `no IPv${family} address or prefix asked for` });
  const isNew = blocks.filter((cidr) => !eni.value.blocks.includes(cidr));
  const max = slotsMax(world, eni.value, family);
  if (slotsUsed(eni.value, family) + asked - (blocks.length - isNew.length) > max)
    return refuse({ kind: 'address-limit', eni: request.eni, family, max });
  const lent = request.reassign === true ? blocksOfOthers(world, eni.value, isNew) : [];
  const named = isNew.filter((cidr) => !lent.some((block) => block.cidr === cidr));
  const given = takeBlocks(world, { subnet: eni.value.subnet, wishes: request.wishes, blocks: named }, moment.strikes);
  if (given.kind === 'refused') return given;
  for (const { cidr, owner } of lent) takeFrom(world, owner, cidr, moment.lagMs);
  const added = [...lent.map(({ cidr }) => cidr), ...given.value];
  addBlocks(world, request.eni, added, moment.lagMs);
  return done(added);
};

/** AllowReassignment moves a secondary address that another ENI of the subnet has, live or not; never a primary one. */
function blocksOfOthers(world: World, eni: EniRecord, blocks: readonly Cidr[]): { cidr: Cidr; owner: EniId }[] {
  const found: { cidr: Cidr; owner: EniId }[] = [];
  for (const other of world.enis.values()) {
    if (other.id === eni.id || other.subnet !== eni.subnet) continue;
    for (const cidr of blocks) if (other.blocks.includes(cidr)) found.push({ cidr, owner: other.id });
  }
  return found;
}

function takeFrom(world: World, owner: EniId, cidr: Cidr, lagMs: number): void {
  const eni = world.enis.get(owner);
  if (eni === undefined) return;
  world.putEni({ ...eni, blocks: eni.blocks.filter((block) => block !== cidr) }, lagMs);
  world.tell({ kind: 'address-removed', eni: owner, cidr });
}

function addBlocks(world: World, id: EniId, blocks: readonly Cidr[], lagMs: number): void {
  const eni = world.enis.get(id);
  if (eni === undefined || blocks.length === 0) return;
  world.putEni({ ...eni, blocks: [...eni.blocks, ...blocks] }, lagMs);
  for (const cidr of blocks) world.tell({ kind: 'address-added', eni: id, cidr });
}

export const unassign: Calls['unassign'] = (world, request, moment) => {
  const eni = moment.find(request.eni);
  if (eni.kind === 'refused') return eni;
  if (request.blocks.length === 0 || request.blocks.some((cidr) => familyOf(cidr) !== request.family))
    return refuse({ kind: 'invalid', detail: `no IPv${request.family} address or prefix named` });
  const own = [eni.value.primary4, eni.value.primary6].find((ip) => ip && request.blocks.includes(hostCidr(ip)));
  if (own !== undefined) return refuse({ kind: 'primary-address', eni: request.eni, ip: own });
  const missing = request.blocks.filter((cidr) => !eni.value.blocks.includes(cidr));
  if (missing.length > 0) return refuse({ kind: 'address-not-on-eni', eni: request.eni, missing });
  dropBlocks(world, eni.value, request.blocks, moment.lagMs);
  return done(undefined);
};

export function dropBlocks(world: World, eni: EniRecord, blocks: readonly Cidr[], lagMs?: number): void {
  world.putEni({ ...eni, blocks: eni.blocks.filter((cidr) => !blocks.includes(cidr)) }, lagMs);
  for (const cidr of blocks) world.freeBlock(eni, cidr);
}
