/**
 * Which kernel objects are in the fabric, group by group, and the steps to what a group should hold.
 *
 * Invariant: an object that two groups hold goes when the last of them lets it go; an address that moves from one ENI
 * to another is in both for a moment, in whatever order the two are looked at.
 */
import type { KernelObject, Step } from '../../datapath/kernel-state.ts';

export class ObjectStore {
  readonly #groups = new Map<string, ReadonlyMap<string, KernelObject>>();
  readonly #holders = new Map<string, number>();

  /** Puts before removals. Contents of a chain change in place. */
  steps(group: string, wanted: readonly KernelObject[]): Step[] {
    const before = this.#groups.get(group) ?? new Map<string, KernelObject>();
    const after = new Map(wanted.map((object) => [JSON.stringify(object), object]));
    this.#groups.set(group, after);
    const puts = [...after].filter(([key]) => !before.has(key)).map(([key, object]) => this.#hold(key, object));
    const removals = [...before].filter(([key]) => !after.has(key)).flatMap(([key, object]) => this.#drop(key, object));
    return [...puts, ...removals];
  }

  /** The link is gone, and its routes, neighbours and addresses with it: what is left names it from elsewhere. */
  stepsWithoutLink(group: string): Step[] {
    return this.steps(group, []).filter(
      (step) => step.do === 'remove' && (step.object.kind === 'rule' || step.object.kind === 'nft-element'),
    );
  }

  #hold(key: string, object: KernelObject): Step {
    this.#holders.set(key, (this.#holders.get(key) ?? 0) + 1);
    return { do: 'put', at: 'host', object };
  }

  #drop(key: string, object: KernelObject): Step[] {
    const left = (this.#holders.get(key) ?? 1) - 1;
    if (left > 0) this.#holders.set(key, left);
    else this.#holders.delete(key);
    return left > 0 || object.kind === 'nft-chain' ? [] : [{ do: 'remove', at: 'host', object }];
  }
}
