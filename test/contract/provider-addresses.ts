/** Contract cases about addresses: assign new ones only, run out in every way, unassign what may be gone. */
import type { Capabilities } from '../../src/core/cloud.ts';
import { type Cidr, cidrLength } from '../../src/core/ip.ts';
import { type Scene, wish } from './provider-world.ts';

type Case = (name: string, run: (scene: Scene) => Promise<void>) => void;

export function addressCases(it: Case, able: Capabilities): void {
  it('assigns, and answers only what is new', async (scene) => {
    const { id } = scene.primary;
    const first = await scene.value(scene.assign(id, wish(4, 32, 2)));
    const second = await scene.value(scene.assign(id, wish(4, 32, 3)));
    expect(first).toHaveLength(2);
    expect(second).toHaveLength(3);
    expect([...first, ...second].sort()).toEqual([...scene.primary.blocks].sort());
    expect(new Set([...first, ...second]).size).toBe(5);
  });

  it('assigns the very addresses it is asked for', async (scene) => {
    const { id } = scene.primary;
    const blocks = ['10.0.1.77/32' as Cidr, '10.0.1.78/32' as Cidr];
    const given = await scene.value(scene.assign(id, { ...wish(4, 32, 2), blocks }));
    expect([...given].sort()).toEqual(blocks);
    expect([...scene.primary.blocks].sort()).toEqual(blocks);
  });

  it('never takes an address that another ENI has', async (scene) => {
    const eni = await scene.settledEni({ blocks: [wish(4, 32, 1)] });
    const asked = { ...wish(4, 32, 1), blocks: eni.blocks };
    expect((await scene.failure(scene.assign(scene.primary.id, asked))).kind).toBe('conflict');
    expect(scene.truth(eni.id)?.blocks).toEqual(eni.blocks);
  });

  if (able.prefixLengths[4].includes(28))
    it('assigns prefixes', async (scene) => {
      const given = await scene.value(scene.assign(scene.primary.id, wish(4, 28, 2)));
      expect(given.map(cidrLength)).toEqual([28, 28]);
      expect([...scene.primary.blocks].sort()).toEqual([...given].sort());
    });

  if (able.ipv6 && able.prefixLengths[6].includes(80))
    it('assigns and unassigns IPv6 addresses and prefixes', async (scene) => {
      const { id } = scene.primary;
      const [single] = await scene.value(scene.assign(id, wish(6, 128, 1)));
      const [prefix] = await scene.value(scene.assign(id, wish(6, 80, 1)));
      if (single === undefined || prefix === undefined) throw new Error('nothing assigned');
      expect([cidrLength(single), cidrLength(prefix)]).toEqual([128, 80]);
      await scene.settle();
      const enis = await scene.value(scene.provider.listEnis(scene.options()));
      expect([...(enis[0]?.blocks ?? [])].sort()).toEqual([single, prefix].sort());
      await scene.value(scene.provider.unassign(id, [prefix], scene.options()));
      expect(scene.primary.blocks).toEqual([single]);
    });

  it('says when the ENI has no slot left, having assigned nothing', async (scene) => {
    const { id } = scene.primary;
    await scene.value(scene.assign(id, wish(4, 32, 8)));
    expect(await scene.failure(scene.assign(id, wish(4, 32, 2)))).toMatchObject({ kind: 'exhausted', scope: 'eni' });
    expect(scene.primary.blocks).toHaveLength(8);
    expect(await scene.value(scene.assign(id, wish(4, 32, 1)))).toHaveLength(1);
    expect(await scene.failure(scene.assign(id, wish(4, 32, 1)))).toMatchObject({ kind: 'exhausted', scope: 'eni' });
  });

  if (able.ipv6 && able.prefixLengths[6].includes(80))
    it('counts a /80 as one slot of its own family', async (scene) => {
      const { id } = scene.primary;
      await scene.value(scene.assign(id, wish(6, 80, 9)));
      expect(await scene.failure(scene.assign(id, wish(6, 80, 1)))).toMatchObject({ kind: 'exhausted', scope: 'eni' });
      expect(await scene.failure(scene.assign(id, wish(6, 128, 1)))).toMatchObject({ kind: 'exhausted', scope: 'eni' });
      expect(await scene.value(scene.assign(id, wish(4, 32, 9)))).toHaveLength(9);
    });

  it('says when the subnet is full, having created nothing', async (scene) => {
    const { small, cloud } = scene.world;
    const asked = scene.createWish({ subnet: small, blocks: [wish(4, 32, 8)] });
    await scene.value(scene.provider.createEni(asked, scene.options()));
    const more = scene.createWish({ subnet: small, blocks: [wish(4, 32, 4)] });
    expect(await scene.failure(scene.provider.createEni(more, scene.options()))).toMatchObject({
      kind: 'exhausted',
      scope: 'subnet',
    });
    expect(cloud.truth.freeCount(small)).toBe(2);
  });

  it('says when the subnet is full, having assigned nothing', async (scene) => {
    const { small, cloud } = scene.world;
    const eni = await scene.settledEni({ subnet: small, blocks: [wish(4, 32, 8)] });
    expect(await scene.failure(scene.assign(eni.id, wish(4, 32, 5)))).toMatchObject({
      kind: 'exhausted',
      scope: 'subnet',
    });
    expect(cloud.truth.freeCount(small)).toBe(2);
  });

  if (able.prefixLengths[4].includes(28))
    it('tells a subnet without a whole prefix from a full one', async (scene) => {
      const eni = await scene.settledEni({ subnet: scene.world.small });
      expect(await scene.failure(scene.assign(eni.id, wish(4, 28, 1)))).toMatchObject({
        kind: 'exhausted',
        scope: 'prefix',
      });
      expect(await scene.value(scene.assign(eni.id, wish(4, 32, 1)))).toHaveLength(1);
    });

  it('unassigns', async (scene) => {
    const { id } = scene.primary;
    const [first, ...rest] = await scene.value(scene.assign(id, wish(4, 32, 3)));
    if (first === undefined) throw new Error('nothing assigned');
    await scene.settle();
    await scene.value(scene.provider.unassign(id, [first], scene.options()));
    expect([...scene.primary.blocks].sort()).toEqual([...rest].sort());
  });

  it('calls an unassign of what is not there done', async (scene) => {
    const { id } = scene.primary;
    const blocks = await scene.value(scene.assign(id, wish(4, 32, 2)));
    await scene.settle();
    await scene.value(scene.provider.unassign(id, blocks, scene.options()));
    await scene.settle();
    await scene.value(scene.provider.unassign(id, blocks, scene.options()));
    expect(scene.primary.blocks).toEqual([]);
  });

  it('unassigns what is there of blocks that are partly gone', async (scene) => {
    const { id } = scene.primary;
    const blocks = await scene.value(scene.assign(id, wish(4, 32, 3)));
    const [first] = blocks;
    if (first === undefined) throw new Error('nothing assigned');
    await scene.settle();
    scene.world.cloud.takeBlock(id, first);
    await scene.settle();
    await scene.value(scene.provider.unassign(id, blocks, scene.options()));
    expect(scene.primary.blocks).toEqual([]);
  });

  if (able.token.assign)
    it('assigns once for a repeated token', async (scene) => {
      const { id } = scene.primary;
      const token = scene.token();
      const first = await scene.value(scene.assign(id, wish(4, 32, 2), token));
      expect(await scene.value(scene.assign(id, wish(4, 32, 2), token))).toEqual(first);
      expect(scene.primary.blocks).toEqual(first);
      expect((await scene.failure(scene.assign(id, wish(4, 32, 3), token))).kind).toBe('parameterMismatch');
    });
}
