/** A lab with daemons and pods, under a name of its own. Whatever a test did, nothing of it is left after `down`. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Ground } from '../../src/lab/demo/leftovers.ts';
import { DemoPods } from '../../src/lab/demo/pods.ts';
import { createLab, type Lab } from '../../src/lab/lab.ts';
import type { LabNode } from '../../src/lab/node/node.ts';
import type { LabOptions } from '../../src/lab/options.ts';

/** How many pods are added or deleted at a time. */
export const PARALLEL = 8;
const POLL_MS = 50;

export class PodLab {
  readonly lab: Lab;
  readonly pods: DemoPods;
  /** The nodes' kernels before the first pod. */
  readonly ground: Ground;
  readonly #stateRoot: string;

  private constructor({ lab, ground, stateRoot }: { lab: Lab; ground: Ground; stateRoot: string }) {
    this.lab = lab;
    this.pods = new DemoPods(lab.networks, lab.name);
    this.ground = ground;
    this.#stateRoot = stateRoot;
  }

  /** A cloud that answers at once; a daemon on each node, ready. */
  static async up(options: Partial<LabOptions>): Promise<PodLab> {
    const stateRoot = mkdtempSync(join(tmpdir(), 'uwt'));
    const lab = await createLab({ name: labName(), fast: true, stateRoot, ...options });
    return new PodLab({ lab, ground: await Ground.of(lab), stateRoot });
  }

  /** Deletes every pod; then the lab must be one without defects, of which nothing is left. */
  async down(): Promise<void> {
    this.lab.heal();
    this.lab.cloud.faults.clear();
    const errors = await this.pods.remove([...this.pods.all], PARALLEL);
    const { problems } = await this.lab.status();
    const invariants = this.lab.cloud.invariants();
    const breaches = this.lab.nodes.flatMap((node) => logOf(node, '"level":"fatal"'));
    const left = await this.lab.close();
    rmSync(this.#stateRoot, { recursive: true, force: true });
    expect({ errors, problems, invariants, breaches, left }).toEqual({
      errors: [],
      problems: [],
      invariants: [],
      breaches: [],
      left: { processes: 0, namespaces: 0, mounts: 0, files: 0 },
    });
  }
}

/** No two runs share a name. */
export const labName = (): string => `uwl${process.pid.toString(36)}${Math.floor(Math.random() * 1e4).toString(36)}`;

/** Lines of the daemon's log with this text; none where none was ever started. */
export const logOf = ({ folder: { log } }: LabNode, text: string): string[] =>
  existsSync(log)
    ? readFileSync(log, 'utf8')
        .split('\n')
        .filter((line) => line.includes(text))
    : [];

export function found<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new Error(`there is no ${what}`);
  return value;
}

/** Rejects when it does not become true in time. */
export async function until(what: string, isTrue: () => Promise<boolean> | boolean, limitMs = 20_000): Promise<void> {
  const endMs = performance.now() + limitMs;
  while (performance.now() < endMs) {
    if (await isTrue()) return;
    await sleep(POLL_MS);
  }
  throw new Error(`not within ${limitMs} ms: ${what}`);
}
