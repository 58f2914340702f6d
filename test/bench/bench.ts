/** What the parts of the bench share: how long they may take, where they may write, and labs that are taken down. */
import { createLab, type Lab } from '../../src/lab/lab.ts';
import type { LabOptions } from '../../src/lab/options.ts';

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
