/**
 * A node's events at a steady rate of pods, recorded from a real driver over the cloud in memory, and stepped again by
 * the core alone: deterministic, so a step can be looked at as often as one likes.
 */
import { ec2Capabilities } from '../../../providers/memory/capabilities.ts';
import { MemoryCloud } from '../../../providers/memory/cloud.ts';
import { AWS_2026 } from '../../../providers/memory/figures.ts';
import { MemoryProvider } from '../../../providers/memory/provider.ts';
import { Streams } from '../../../providers/memory/random.ts';
import { openState } from '../../core/boot.ts';
import type { Capabilities } from '../../core/cloud.ts';
import type { Event } from '../../core/events.ts';
import type { Cidr } from '../../core/ip.ts';
import type { NodeRow } from '../../core/rows.ts';
import { type State, Tx } from '../../core/state.ts';
import { step } from '../../core/step.ts';
import { VirtualClock } from '../clock.ts';
import { MemoryJournal } from '../journal.ts';
import { FakeKernel } from '../kernel.ts';
import { SimNode } from '../node.ts';
import { Pods } from '../pods.ts';

/** 60 ENIs of 50 addresses, as a p4d.24xlarge has: 1,000 single addresses and room for more. */
const INSTANCE_TYPE = 'p4d.24xlarge';
const LIMITS = { instanceType: INSTANCE_TYPE, eniCountMax: 60, slotsPerEni: { 4: 50, 6: 50 }, prefixes: true };
/** Until every address is there and half of them are used. */
const SETTLE_MS = 600_000;
const LENGTH_MS = 3_600_000;
/** One pod ends and one comes: three addresses cool, whatever the size of the pool. */
const POD_EVERY_MS = 10_000;
/** The floor goes up by one address and down again: an assign, and a minute later an unassign. */
const RELOAD_EVERY_MS = 900_000;

export interface RecordedEvent {
  readonly event: Event;
  readonly nowMs: number;
}

export interface Recording {
  readonly addressCount: number;
  readonly node: NodeRow;
  readonly openedMs: number;
  readonly capabilities: Capabilities;
  readonly events: readonly RecordedEvent[];
  /** Where in `events` the steady hour begins. */
  readonly steadyFrom: number;
}

/** Half of the addresses are used, by pods that live so long that one ends every ten seconds. */
export async function record(addressCount: number): Promise<Recording> {
  const clock = new VirtualClock();
  const figures = { ...AWS_2026, spread: 0, instanceTypes: new Map([[INSTANCE_TYPE, LIMITS]]) };
  const cloud = new MemoryCloud({ clock, seed: 1, figures });
  const vpc = cloud.addVpc({ cidrs4: ['10.0.0.0/16' as Cidr], cidrs6: [] });
  const subnet = cloud.addSubnet({ vpc: vpc.id, zone: 'a', cidr4: '10.0.0.0/16' as Cidr });
  const { id: instance } = cloud.launch({ instanceType: INSTANCE_TYPE, subnet: subnet.id });
  const kernel = new FakeKernel({ clock });
  let linkCount = 0;
  for (const eni of cloud.truth.enisOf(instance)) kernel.plug(`eth${linkCount++}`, eni.mac);
  cloud.listen((fact) => {
    if (fact.kind === 'link-seen') kernel.plug(`eth${linkCount++}`, fact.eni.mac);
    else if (fact.kind === 'link-gone') kernel.unplug(fact.eni.mac);
  });
  const capabilities = ec2Capabilities(figures);
  const events: RecordedEvent[] = [];
  let opened: { readonly node: NodeRow; readonly openedMs: number } | undefined;
  const targets = { floor: addressCount, headroom: 0, ceiling: 2_000 };
  const node = new SimNode({
    clock,
    cloud,
    provider: new MemoryProvider({ cloud, instance, capabilities, clock }),
    instance,
    kernel,
    journal: new MemoryJournal(),
    pool: { subnets: [], groups: [], families: [4], prefixes: 'never', primaryEni: 'use', targets },
    crashHere: () => false,
    onReply: (request, reply) => pods.answer(request, reply),
    onCrash: () => undefined,
    onError: (error) => {
      throw error;
    },
    onEvent: () => undefined,
    observe: (seen) => {
      if (seen.kind === 'event') events.push({ event: seen.event, nowMs: seen.nowMs });
    },
    onOpen: (state) => {
      const row = state.get('node', 'node');
      if (row !== undefined) opened = { node: row, openedMs: clock.nowMs() };
    },
  });
  const pods = new Pods({
    clock,
    kernel,
    streams: new Streams(1),
    send: (event) => node.send(event),
    up: () => node.driver !== undefined,
    onRunning: () => undefined,
    onStopped: () => undefined,
  });
  void node.start();
  await clock.run(clock.nowMs() + SETTLE_MS / 2);
  const running = addressCount / 2;
  const lifeMs = running * POD_EVERY_MS;
  for (let n = 0; n < running; n++) pods.create(SETTLE_MS / 2 + n * POD_EVERY_MS);
  await clock.run(clock.nowMs() + SETTLE_MS / 2);
  const steadyFrom = events.length;
  const endMs = clock.nowMs() + LENGTH_MS;
  for (let atMs = clock.nowMs(); atMs < endMs; atMs += POD_EVERY_MS) clock.timer(atMs, () => void pods.create(lifeMs));
  let floor = addressCount;
  for (let atMs = clock.nowMs() + RELOAD_EVERY_MS; atMs < endMs; atMs += RELOAD_EVERY_MS)
    clock.timer(atMs, () => {
      floor = floor === addressCount ? addressCount + 1 : addressCount;
      node.configure({ targets: { ...targets, floor } });
    });
  await clock.run(endMs);
  if (opened === undefined) throw new Error('the journal in memory can be opened');
  return { addressCount, ...opened, capabilities, events, steadyFrom };
}

/** The recorded events through the core once more, from the journal's beginning. */
export class Replay {
  readonly state: State;
  private readonly recording: Recording;
  private at = 0;

  constructor(recording: Recording) {
    this.recording = recording;
    const { node, openedMs } = recording;
    this.state = openState({ rows: [], identity: node, nowMs: openedMs }).state;
  }

  /** Steps the next event: `around` runs the step itself. False when there was none. */
  next(around: (step: () => void, event: Event) => void): boolean {
    const { events, capabilities } = this.recording;
    const recorded = events[this.at];
    if (recorded === undefined) return false;
    this.at++;
    const { event, nowMs } = recorded;
    const tx = new Tx(this.state);
    around(() => step(tx, event, { nowMs, wallMs: nowMs, capabilities }), event);
    return true;
  }

  /** Up to the steady hour. */
  settle(): void {
    while (this.at < this.recording.steadyFrom) this.next((run) => run());
  }
}
