/**
 * The suite every Provider must pass. A case is left out only where a declared capability says that the cloud cannot;
 * after each case the cloud model's own invariants are checked, so a case that bent the truth fails too.
 */
import type { Capabilities } from '../../src/core/cloud.ts';
import { addressCases } from './provider-addresses.ts';
import { eniCases } from './provider-enis.ts';
import { failureCases } from './provider-failures.ts';
import { readCases } from './provider-reads.ts';
import { type MakeWorld, Scene } from './provider-world.ts';

/** `capabilities` are those the worlds' providers declare: jest wants to know its cases before it makes a world. */
export function providerContract(name: string, capabilities: Capabilities, makeWorld: MakeWorld): void {
  const it = (title: string, run: (scene: Scene) => Promise<void>) => {
    test(title, async () => {
      const world = await makeWorld();
      try {
        expect(world.provider.capabilities).toEqual(capabilities);
        await run(new Scene(world));
        expect(world.cloud.invariants()).toEqual([]);
      } finally {
        await world.close();
      }
    });
  };
  describe(`${name} reads`, () => readCases(it));
  describe(`${name} keeps ENIs`, () => eniCases(it, capabilities));
  describe(`${name} keeps addresses`, () => addressCases(it, capabilities));
  describe(`${name} fails honestly`, () => failureCases(it));
}
