/** Create, delete, modify and tag: an ENI's life apart from its attachment. */
import type { EniId } from '../../src/core/brand.ts';
import { familyOf, hostCidr } from '../../src/core/ip.ts';
import { slotsMax, slotsUsed, takeBlocks, wishedCount } from './address-calls.ts';
import type { ApiRequest } from './api.ts';
import type { CallMoment, Calls } from './call.ts';
import type { EniRecord } from './records.ts';
import { type Done, done, type Refused, refuse } from './refusal.ts';
import { ownAddresses, ownOf, type World } from './world.ts';

type CreateRequest = ApiRequest<'create-eni'>;

/** Two requests with one token are the same when this text is. */
function fingerprint(request: CreateRequest): string {
  const tags = Object.entries(request.tags).sort(([a], [b]) => (a < b ? -1 : 1));
  const { subnet, groups, description, primary4, primary6, wishes, blocks, deleteWithInstance } = request;
  const counts = wishes.map((wish) => [wish.family, wish.prefixLength, wish.count]);
  return JSON.stringify([subnet, groups, description, primary4, primary6, counts, blocks, deleteWithInstance, tags]);
}

export const createEni: Calls['create-eni'] = (world, request, moment) => {
  const earlier = request.token === undefined ? undefined : world.createdWith.get(request.token);
  if (earlier !== undefined && request.token !== undefined) {
    const same = earlier.fingerprint === fingerprint(request);
    return same ? done(earlier.eni) : refuse({ kind: 'token-mismatch', token: request.token });
  }
  const created = create(world, request, moment);
  if (created.kind === 'done' && request.token !== undefined)
    world.createdWith.set(request.token, { fingerprint: fingerprint(request), eni: created.value });
  return created;
};

function create(world: World, request: CreateRequest, moment: CallMoment): Done<EniRecord> | Refused {
  const subnet = world.subnets.get(request.subnet);
  if (subnet === undefined) return refuse({ kind: 'not-found', what: 'subnet', id: request.subnet });
  const defaultGroup = world.vpcs.get(subnet.vpc)?.defaultGroup;
  const max = world.figures.eniCountMax;
  if (moment.strikes['eni-limit'] !== undefined || world.enis.size >= max) return refuse({ kind: 'eni-limit', max });
  const taken = takeForNewEni(world, request, moment);
  if (taken.kind === 'refused') return taken;
  const eni: EniRecord = {
    id: world.newId('eni') as EniId,
    vpc: subnet.vpc,
    subnet: subnet.id,
    zone: subnet.zone,
    mac: world.newMac(),
    state: 'pending',
    primary: false,
    ...taken.value,
    groups: request.groups.length > 0 || defaultGroup === undefined ? request.groups : [defaultGroup],
    description: request.description ?? '',
    sourceDestCheck: true,
    deleteWithInstance: request.deleteWithInstance ?? false,
    tags: request.tags,
    createdMs: moment.nowMs,
  };
  birth(world, eni, moment);
  return done(eni);
}

type NewAddresses = Pick<EniRecord, 'primary4' | 'primary6' | 'blocks'>;

function takeForNewEni(world: World, request: CreateRequest, moment: CallMoment): Done<NewAddresses> | Refused {
  const { subnet } = request;
  const blocks = request.blocks ?? [];
  const named = request.primary4 === undefined ? [] : [hostCidr(request.primary4)];
  const isOnly6 = world.space(subnet, 4) === undefined;
  // EC2's IPv6-only subnets give one unasked (AssignIpv6AddressOnCreation, which is on there).
  const isUnasked = isOnly6 && request.primary6 !== true && request.wishes.length + blocks.length === 0;
  const wishes = isUnasked ? [{ family: 6, prefixLength: 128, count: 1 } as const] : request.wishes;
  const ownWishes = [
    ...(named.length > 0 || isOnly6 ? [] : [{ family: 4, prefixLength: 32, count: 1 } as const]),
    ...(request.primary6 === true ? [{ family: 6, prefixLength: 128, count: 1 } as const] : []),
  ];
  const own = takeBlocks(world, { subnet, wishes: ownWishes, blocks: named }, moment.strikes);
  if (own.kind === 'refused') return own;
  const result = ownOf(own.value);
  const refused = ([4, 6] as const)
    .map((family) => ({ family, max: slotsMax(world, undefined, family) }))
    .find(({ family, max }) => {
      return slotsUsed({ ...result, blocks }, family) + wishedCount(wishes, family) > max;
    });
  const given = refused
    ? refuse({ kind: 'address-limit', eni: undefined, ...refused })
    : takeBlocks(world, { subnet, wishes, blocks }, moment.strikes);
  if (given.kind === 'done') return done({ ...result, blocks: given.value });
  for (const cidr of own.value) world.space(subnet, familyOf(cidr))?.release(cidr);
  return given;
}

/** pending -> available a little after the answer, unless it was attached or deleted before. */
function birth(world: World, eni: EniRecord, moment: CallMoment): void {
  const { figures, streams } = world;
  const [unlucky, late] = [streams.uniform(`fresh/${moment.caller}`), streams.uniform(`fresh/${moment.caller}`)];
  if (unlucky < figures.freshNotFoundRate) world.knownFromMs.set(eni.id, moment.nowMs + late * moment.lagMs);
  world.putEni(eni, moment.lagMs);
  world.tell({ kind: 'eni-created', eni });
  for (const cidr of [...ownAddresses(eni), ...eni.blocks]) world.tell({ kind: 'address-added', eni: eni.id, cidr });
  world.clock.timer(moment.answerMs + figures.availableMs, () => {
    const now = world.enis.get(eni.id);
    if (now?.state === 'pending') world.putEni({ ...now, state: 'available' });
  });
}

export const deleteEni: Calls['delete-eni'] = (world, request, moment) => {
  const eni = moment.find(request.eni);
  if (eni.kind === 'refused') return eni;
  const { attachment } = eni.value;
  if (attachment !== undefined) {
    const { instance, state } = attachment;
    return refuse({ kind: 'eni-in-use', eni: request.eni, instance, state });
  }
  world.removeEni(eni.value, moment.lagMs);
  return done(undefined);
};

export const modifyEni: Calls['modify-eni'] = (world, request, moment) => {
  const found = moment.find(request.eni);
  if (found.kind === 'refused') return found;
  const eni = found.value;
  const { deleteOnTermination, sourceDestCheck, groups, description } = request;
  let { attachment } = eni;
  if (deleteOnTermination !== undefined) {
    if (attachment === undefined) return refuse({ kind: 'not-attached', eni: eni.id });
    if (request.attachment !== undefined && request.attachment !== attachment.id)
      return refuse({ kind: 'not-found', what: 'attachment', id: request.attachment });
    attachment = { ...attachment, deleteOnTermination };
  }
  world.putEni(
    {
      ...eni,
      ...(attachment === undefined ? {} : { attachment }),
      sourceDestCheck: sourceDestCheck ?? eni.sourceDestCheck,
      groups: groups ?? eni.groups,
      description: description ?? eni.description,
    },
    moment.lagMs,
  );
  if (sourceDestCheck !== undefined && sourceDestCheck !== eni.sourceDestCheck)
    world.tell({ kind: 'source-dest-check', eni: eni.id, on: sourceDestCheck });
  return done(undefined);
};

export const tag: Calls['tag'] = (world, request, moment) =>
  retag(world, request.enis, moment, (eni) => ({ ...eni, tags: { ...eni.tags, ...request.tags } }));

export const untag: Calls['untag'] = (world, request, moment) =>
  retag(world, request.enis, moment, (eni) => {
    const kept = Object.entries(eni.tags).filter(([key]) => !request.keys.includes(key));
    return { ...eni, tags: Object.fromEntries(kept) };
  });

/** All the ENIs or none: each is found before any is changed. */
function retag(
  world: World,
  ids: readonly EniId[],
  moment: CallMoment,
  change: (eni: EniRecord) => EniRecord,
): Done<undefined> | Refused {
  const found = ids.map((id) => moment.find(id));
  const missing = found.find((eni) => eni.kind === 'refused');
  if (missing !== undefined) return missing;
  for (const eni of found) if (eni.kind === 'done') world.putEni(change(eni.value), moment.lagMs);
  return done(undefined);
}
