/** The desk alone, on time that the test moves: what the core hears of requests, and in which order. */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Event } from '../../../src/core/events.ts';
import { State } from '../../../src/core/state.ts';
import { Desk } from '../../../src/daemon/desk.ts';
import type { Clock } from '../../../src/ports/clock.ts';
import type { NamespaceId } from '../../../src/ports/kernel.ts';

class Stand {
  nowMs = 0;
  /** As they came: those of one turn of the loop together. */
  readonly batches: (readonly Event[])[] = [];
  readonly answers: string[] = [];
  private readonly looks: (() => void)[] = [];
  private readonly clock: Clock = {
    nowMs: () => this.nowMs,
    wallMs: () => this.nowMs,
    timer: () => () => undefined,
  };
  readonly desk = new Desk({
    clock: this.clock,
    kernel: {
      identify: (path) =>
        new Promise((resolve) => {
          this.looks.push(() => resolve(path.startsWith('/ns/') ? (`4:${path}` as NamespaceId) : undefined));
        }),
    },
    hostNetns: '/host',
    addDeadlineMs: () => 60_000,
    servedBefore: () => false,
    handled: () => undefined,
  });

  ask(command: string, containerId = 'c1', netns = `/ns/${containerId}`): () => void {
    const config = { cniVersion: '1.0.0', name: 'n', type: 'underway' };
    const envelope = { command, containerId, netns, ifname: 'eth0', deadlineMs: 65_000, config };
    return this.desk.ask(JSON.stringify(envelope), ({ body }) => void this.answers.push(body));
  }

  open(): void {
    this.desk.open({ state: new State(), enqueue: (...events) => void this.batches.push(events) });
  }

  /** The kernel answers what it was asked so far, and who waited for that goes on. */
  async kernelAnswers(): Promise<readonly Event['kind'][]> {
    for (const look of this.looks.splice(0)) look();
    await this.turn();
    return this.heard.map(({ kind }) => kind);
  }

  /** What was asked was looked into, and the core has heard of it. */
  async turn(): Promise<void> {
    for (let n = 0; n < 2; n++) await new Promise((resolve) => setImmediate(resolve));
  }

  get heard(): readonly Event[] {
    return this.batches.flat();
  }
}

test('an ADD that waited for the core is answered by when its caller gives up, not a whole budget later', async () => {
  const stand = new Stand();
  stand.ask('ADD');
  expect(stand.desk.adds).toMatchObject([{ deadlineMs: 60_000 }]);
  stand.nowMs = 50_000;
  stand.open();
  await stand.kernelAnswers();
  expect(stand.heard).toMatchObject([{ kind: 'add', deadlineMs: 60_000 }]);
});

test('a DEL reaches the core after the ADD that it ends, which waited for the core and then for the kernel', async () => {
  const stand = new Stand();
  stand.ask('ADD');
  stand.ask('DEL');
  stand.open();
  expect(await stand.kernelAnswers()).toEqual(['add', 'del']);
});

test('a DEL waits for no ADD but its own, and is heard also where the caller of that one is gone', async () => {
  const stand = new Stand();
  stand.open();
  const hangUp = stand.ask('ADD');
  stand.ask('DEL', 'c2');
  await stand.turn();
  expect(stand.heard).toMatchObject([{ kind: 'del', attachment: { containerId: 'c2' } }]);
  hangUp();
  stand.ask('DEL');
  expect(await stand.kernelAnswers()).toEqual(['del', 'hang-up', 'del']);
  stand.ask('DEL');
  await stand.turn();
  expect(stand.heard).toHaveLength(4);
});

test('what is asked for in one turn of the loop is one batch of the core: one commit for all', async () => {
  const stand = new Stand();
  stand.open();
  for (const id of ['c1', 'c2', 'c3']) stand.ask('DEL', id);
  await stand.turn();
  stand.ask('DEL', 'c4');
  await stand.turn();
  expect(stand.batches.map((batch) => batch.length)).toEqual([3, 1]);
});

test('a namespace that may not be read is not taken for one that is gone', async () => {
  const stand = new Stand();
  const closed = mkdtempSync(join(tmpdir(), 'underway-closed-'));
  const isRoot = process.geteuid?.() === 0;
  try {
    chmodSync(closed, 0);
    // Root reads everything: for a moment this is somebody else.
    if (isRoot) process.seteuid?.(65_534);
    stand.open();
    stand.ask('ADD', 'c1', join(closed, 'net'));
    await stand.kernelAnswers();
  } finally {
    if (isRoot) process.seteuid?.(0);
    rmSync(closed, { recursive: true });
  }
  expect(stand.answers.map((body) => JSON.parse(body))).toMatchObject([
    { code: 4, msg: expect.stringMatching(/^CNI_NETNS .*\/net cannot be read \(EACCES\): .* SYS_PTRACE .* hostPID$/) },
  ]);
});
