/** What the parts of the bench share: how long they may take, where they may write, and labs that are taken down. */
import { createLab, type Lab } from '../../src/lab/lab.ts';
import type { LabOptions } from '../../src/lab/options.ts';

export interface RoundCounts {
  readonly warmUp: number;
  readonly quick: number;
  readonly full: number;
}

const QUICK_MS = 55_000;
const QUICK_ROUNDS_MIN = 3;

export class Bench {
  readonly quick: boolean;
  /** A folder that goes with the run. */
  readonly scratch: string;
  readonly #beganMs = performance.now();
  readonly #labs = new Set<Lab>();

  constructor({ quick, scratch }: { readonly quick: boolean; readonly scratch: string }) {
    this.quick = quick;
    this.scratch = scratch;
  }

  get seconds(): number {
    return (performance.now() - this.#beganMs) / 1_000;
  }

  /** Numbers from 0; below it they are for warming up. A quick run on a busy machine has fewer, so that it stays quick. */
  *rounds(what: string, { warmUp, quick, full }: RoundCounts): Generator<number> {
    const count = this.quick ? quick : full;
    let endMs = Number.POSITIVE_INFINITY;
    for (let round = -warmUp; round < count; round++) {
      if (round === 0 && this.quick) endMs = performance.now() + QUICK_MS;
      if (performance.now() > endMs && round >= QUICK_ROUNDS_MIN) return;
      this.progress(`${what}: ${round < 0 ? 'warming up' : `round ${round + 1} of ${count}`}`);
      yield round;
    }
  }

  progress(text: string): void {
    process.stderr.write(`[${this.seconds.toFixed(1).padStart(6)} s] ${text}\n`);
  }

  /** With a cloud that answers at once, names of its own, and the daemon as it is shipped. */
  async lab(options: Partial<LabOptions>): Promise<Lab> {
    const lab = await createLab({ name: `uwb${process.pid.toString(36)}`, fast: true, shipped: true, ...options });
    this.#labs.add(lab);
    return lab;
  }

  async close(lab: Lab): Promise<void> {
    await lab.close();
    this.#labs.delete(lab);
  }

  /** Whatever is up. */
  async closeAll(): Promise<void> {
    for (const lab of this.#labs) await this.close(lab);
  }
}
