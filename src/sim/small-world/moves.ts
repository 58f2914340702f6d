/**
 * Everything that can happen next in a small world, within its bounds: pods come and go, the cloud answers, refuses or
 * is not heard, the kernel answers, a link is seen, a dead process's call lands, time passes, the process ends.
 */
import { type Answer, type CloudResult, isRead } from '../../core/cloud.ts';
import { NIC_MTU } from '../kernel.ts';
import { CAPABILITIES, macOf, perform } from './cloud.ts';
import type { Move, Stepper } from './small-world.ts';
import type { Call, Pod, Surroundings } from './surroundings.ts';

const failure = (kind: 'transient' | 'ambiguous'): Answer<CloudResult> => ({
  ok: false,
  failure: { kind, code: kind, message: '' },
});

export function movesOf(around: Surroundings): Move[] {
  const moves: Move[] = [];
  for (const pod of around.pods) moves.push(...podMoves(around, pod));
  for (const [at, call] of around.calls.entries()) moves.push(...callMoves(around, call, at));
  for (const [at, call] of around.orphans.entries()) moves.push(landing(call, at));
  for (const [at, work] of around.work.entries()) moves.push(kernelMove(at, work.kind));
  moves.push(...linkMoves(around));
  if (mayWake(around)) moves.push({ label: 'wake', make: wake });
  if (around.crashesLeft > 0) {
    moves.push({ label: 'crash, the kernel had done nothing', make: (world) => world.crash(false) });
    if (around.work.length > 0)
      moves.push({ label: 'crash, the kernel had done all', make: (world) => world.crash(true) });
  }
  return moves;
}

/** Pods are alike, so they are born in order. */
function podMoves(around: Surroundings, pod: Pod): Move[] {
  const mayAdd =
    (pod.state === 'unborn' && around.pods.every((other) => other.n >= pod.n || other.state !== 'unborn')) ||
    ((pod.state === 'adding' || pod.state === 'deleting') && pod.request === undefined);
  const mayDel =
    pod.state === 'adding' ||
    pod.state === 'running' ||
    pod.state === 'refused' ||
    (pod.state === 'deleting' && pod.request === undefined);
  return [
    ...(mayAdd ? [{ label: `ADD ${pod.n}`, make: (world: Stepper) => ask(world, pod, 'adding') }] : []),
    ...(pod.request !== undefined && around.hangUpsLeft > 0
      ? [{ label: `hang-up of ${pod.n}`, make: (world: Stepper) => hangUp(world, pod) }]
      : []),
    ...(mayDel ? [{ label: `DEL ${pod.n}`, make: (world: Stepper) => ask(world, pod, 'deleting') }] : []),
  ];
}

function ask(world: Stepper, pod: Pod, state: 'adding' | 'deleting'): void {
  const request = world.newRequest();
  const asking: Pod = { ...pod, state, request };
  world.putPod(state === 'deleting' ? { ...asking, addresses: [] } : asking);
  world.step(state === 'adding' ? world.addEvent(pod, request) : world.delEvent(pod, request));
}

function hangUp(world: Stepper, { request, ...pod }: Pod): void {
  if (request === undefined) return;
  const { around } = world;
  world.around = { ...around, hungUp: [...around.hungUp, request], hangUpsLeft: around.hangUpsLeft - 1 };
  world.putPod(pod);
  world.step({ kind: 'hang-up', request });
}

function callMoves(around: Surroundings, call: Call, at: number): Move[] {
  const what = `${call.call.action} (${call.operation})`;
  const hear = (world: Stepper, answer: Answer<CloudResult>): void => {
    world.around = { ...world.around, calls: world.around.calls.filter((other) => other !== call) };
    world.unplug();
    world.step({ kind: 'cloud-answered', operation: call.operation, answer });
  };
  const moves: Move[] = [{ label: `${at} ${what}: done`, make: (world) => hear(world, world.land(call)) }];
  const isStale = call.call.action === 'listEnis' && call.before !== around.cloud;
  if (isStale)
    moves.push({
      label: `${at} ${what}: an older read`,
      make: (world) => hear(world, perform(call.before, call.operation, call.call).answer),
    });
  if (around.failuresLeft === 0 || isRead(call.call.action)) return moves;
  const unlucky = (world: Stepper, answer: Answer<CloudResult>): void => {
    world.around = { ...world.around, failuresLeft: world.around.failuresLeft - 1 };
    hear(world, answer);
  };
  moves.push({ label: `${at} ${what}: failed`, make: (world) => unlucky(world, failure('transient')) });
  moves.push({ label: `${at} ${what}: request lost`, make: (world) => unlucky(world, failure('ambiguous')) });
  moves.push({
    label: `${at} ${what}: reply lost`,
    make: (world) => {
      world.land(call);
      unlucky(world, failure('ambiguous'));
    },
  });
  return moves;
}

const landing = (call: Call, at: number): Move => ({
  label: `${at} ${call.call.action} of a dead process lands`,
  make: (world) => {
    world.around = { ...world.around, orphans: world.around.orphans.filter((other) => other !== call) };
    world.land(call);
    world.unplug();
  },
});

const kernelMove = (at: number, kind: string): Move => ({
  label: `${at} ${kind}: done`,
  make: (world) => {
    const work = world.around.work[at];
    if (work === undefined) return;
    world.around = { ...world.around, work: world.around.work.filter((other) => other !== work) };
    world.step(world.deed(work));
  },
});

function linkMoves(around: Surroundings): Move[] {
  return around.cloud.enis.flatMap((eni) => {
    if (!eni.attached || around.plugged.includes(eni.n)) return [];
    const make = (world: Stepper): void => {
      world.around = { ...world.around, plugged: [...world.around.plugged, eni.n] };
      world.step({ kind: 'link-seen', mac: macOf(eni.n), name: `eth${eni.n}`, index: eni.n + 2, mtu: NIC_MTU });
    };
    return [{ label: `link of ${eni.id} seen`, make }];
  });
}

/** The kernel answers within milliseconds, a call before its deadline: time does not pass them by. */
function mayWake({ wakeAtMs, work, calls }: Surroundings): boolean {
  if (wakeAtMs === undefined || work.length > 0) return false;
  return calls.every((call) => wakeAtMs <= call.startedMs + CAPABILITIES.callDeadlineMs);
}

/** Time jumps to the next thing that the core waits for; a dead process's call that has not landed by its deadline never does. */
function wake(world: Stepper): void {
  const { around } = world;
  const nowMs = Math.max(around.nowMs, around.wakeAtMs ?? 0);
  const orphans = around.orphans.filter((call) => nowMs < call.startedMs + CAPABILITIES.callDeadlineMs);
  world.around = { ...around, nowMs, orphans };
  world.step({ kind: 'wake' });
}
