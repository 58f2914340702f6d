/**
 * Attach and detach. The call only starts it; the rest comes on its own:
 * attaching -> attached `attachedMs` after the answer, the link seen `linkSeenMs` after it;
 * detaching -> available, the link gone, `detachedMs` after the answer.
 */
import { slotsUsed } from './address-calls.ts';
import type { ApiRequest } from './api.ts';
import type { CallMoment, Calls } from './call.ts';
import type { EniRecord, InstanceRecord } from './records.ts';
import { type Done, done, type Refused, refuse } from './refusal.ts';
import type { World } from './world.ts';

export const attachEni: Calls['attach-eni'] = (world, request, moment) => {
  const eni = moment.find(request.eni);
  if (eni.kind === 'refused') return eni;
  const instance = world.instances.get(request.instance);
  if (instance === undefined) return refuse({ kind: 'not-found', what: 'instance', id: request.instance });
  const refused = whyNot(world, eni.value, instance);
  if (refused !== undefined) return refused;
  const deviceIndex = freeIndex(world, instance, request.deviceIndex);
  if (typeof deviceIndex !== 'number') return deviceIndex;
  const attachment = world.newId('eni-attach');
  const row = {
    id: attachment,
    instance: instance.id,
    deviceIndex,
    deleteOnTermination: eni.value.deleteWithInstance,
    sinceMs: moment.nowMs,
  };
  world.putEni({ ...eni.value, state: 'in-use', attachment: { ...row, state: 'attaching' } }, moment.lagMs);
  scheduleArrival(world, eni.value, { attachment, instance }, moment);
  return done({ attachment, deviceIndex });
};

function whyNot(world: World, eni: EniRecord, instance: InstanceRecord): Refused | undefined {
  if (instance.state !== 'running') return refuse({ kind: 'instance-state', instance: instance.id });
  if (eni.attachment !== undefined) {
    const { instance: holder, state } = eni.attachment;
    return refuse({ kind: 'eni-in-use', eni: eni.id, instance: holder, state });
  }
  if (eni.zone !== instance.zone)
    return refuse({ kind: 'zone-mismatch', eniZone: eni.zone, instanceZone: instance.zone });
  if (eni.vpc !== instance.vpc) return refuse({ kind: 'invalid', detail: `${eni.id} is in another VPC` });
  if (world.enisOf(instance.id).length >= instance.limits.eniCountMax)
    return refuse({ kind: 'attachment-limit', instance: instance.id, max: instance.limits.eniCountMax });
  for (const family of [4, 6] as const) {
    const max = instance.limits.slotsPerEni[family];
    if (slotsUsed(eni, family) > max) return refuse({ kind: 'address-limit', eni: eni.id, family, max });
  }
  return undefined;
}

function freeIndex(world: World, instance: InstanceRecord, wanted: number | undefined): number | Refused {
  const taken = new Set(world.enisOf(instance.id).map((eni) => eni.attachment?.deviceIndex));
  if (wanted === undefined) {
    let lowest = 0;
    while (taken.has(lowest)) lowest++;
    return lowest;
  }
  if (!Number.isInteger(wanted) || wanted < 0)
    return refuse({ kind: 'invalid', detail: `device index ${wanted} is no whole number from 0` });
  if (taken.has(wanted)) return refuse({ kind: 'device-index-in-use', instance: instance.id, deviceIndex: wanted });
  return wanted;
}

function scheduleArrival(
  world: World,
  eni: EniRecord,
  { attachment, instance }: { readonly attachment: string; readonly instance: InstanceRecord },
  moment: CallMoment,
): void {
  const { figures, streams, clock } = world;
  const { strikes } = moment;
  // Drawn whatever strikes, so that a fault changes nothing else.
  const attachedMs = streams.around(`attached/${instance.id}`, figures.attachedMs, figures.spread);
  const linkMs = streams.around(`link/${instance.id}`, figures.linkSeenMs, figures.spread);
  if (strikes['attach-stuck'] !== undefined) return;
  const undone = strikes['attach-undone'] !== undefined;
  clock.timer(moment.answerMs + attachedMs, () => {
    const now = world.enis.get(eni.id);
    if (now?.attachment?.id !== attachment || now.attachment.state !== 'attaching') return;
    if (undone) world.unattach(now);
    else world.putAttachment(eni.id, attachment, { state: 'attached' });
  });
  if (undone || strikes['link-never'] !== undefined) return;
  clock.timer(moment.answerMs + linkMs + (strikes['link-late']?.byMs ?? 0), () => world.link(eni.id, attachment));
}

export const detachEni: Calls['detach-eni'] = (world, request, moment) => {
  const found = attachedEni(world, request, moment);
  if (found.kind === 'refused') return found;
  const eni = found.value;
  const { attachment } = eni;
  if (attachment === undefined) return refuse({ kind: 'not-attached', eni: eni.id });
  if (eni.primary) return refuse({ kind: 'primary-eni', eni: eni.id });
  const { state } = attachment;
  if (state === 'detaching' || (state === 'attaching' && !request.force))
    return refuse({ kind: 'attachment-state', attachment: attachment.id, state });
  world.putAttachment(eni.id, attachment.id, { state: 'detaching' }, moment.lagMs);
  const { figures, streams, clock } = world;
  const detachedMs = streams.around(`detached/${attachment.instance}`, figures.detachedMs, figures.spread);
  clock.timer(moment.answerMs + detachedMs, () => {
    const now = world.enis.get(eni.id);
    if (now?.attachment?.id === attachment.id) world.unattach(now);
  });
  return done(undefined);
};

function attachedEni(world: World, request: ApiRequest<'detach-eni'>, moment: CallMoment): Done<EniRecord> | Refused {
  if ('eni' in request) return moment.find(request.eni);
  for (const eni of world.enis.values()) if (eni.attachment?.id === request.attachment) return done(eni);
  return refuse({ kind: 'not-found', what: 'attachment', id: request.attachment });
}
