/** Contract cases about an ENI's life: create with its token, attach, modify, detach, delete. */
import type { Capabilities } from '../../src/core/cloud.ts';
import { cidrLength } from '../../src/core/ip.ts';
import { type Scene, wish } from './provider-world.ts';

type Case = (name: string, run: (scene: Scene) => Promise<void>) => void;

export function eniCases(it: Case, able: Capabilities): void {
  it('creates an ENI whose answer already holds its addresses and tags', async (scene) => {
    const eni = await scene.create({ blocks: [wish(4, 32, 3)] });
    const truth = scene.truth(eni.id);
    expect(eni.blocks).toHaveLength(3);
    expect([...eni.blocks].sort()).toEqual([...(truth?.blocks ?? [])].sort());
    expect(eni).toMatchObject({ mac: truth?.mac, primary4: truth?.primary4, tags: truth?.tags, primary: false });
    expect(eni.blocks.map(cidrLength)).toEqual([32, 32, 32]);
  });

  if (able.prefixLengths[4].includes(28))
    it('creates an ENI with a prefix in the answer', async (scene) => {
      const eni = await scene.create({ blocks: [wish(4, 28, 1)] });
      expect(eni.blocks.map(cidrLength)).toEqual([28]);
      expect(scene.truth(eni.id)?.blocks).toEqual(eni.blocks);
    });

  if (able.ipv6) {
    it('creates an ENI with both families, its own IPv6 address apart from the blocks', async (scene) => {
      const eni = await scene.create({ blocks: [wish(4, 32, 1), wish(6, 128, 2)] });
      expect(eni.blocks.map(cidrLength).sort()).toEqual([128, 128, 32]);
      expect(eni.primary6).toBeDefined();
      expect(eni.primary6).toBe(scene.truth(eni.id)?.primary6);
      expect(eni.blocks).not.toContain(`${eni.primary6}/128`);
    });

    if (able.prefixLengths[6].includes(80))
      it('creates an ENI with an IPv6 prefix in the answer', async (scene) => {
        const eni = await scene.create({ blocks: [wish(6, 80, 1)] });
        expect(eni.blocks.map(cidrLength)).toEqual([80]);
        expect(eni.blocks).toEqual(scene.truth(eni.id)?.blocks);
        expect(eni.primary6).toBe(scene.truth(eni.id)?.primary6);
      });

    if (able.prefixLengths[4].includes(28) && able.prefixLengths[6].includes(80))
      it('creates an ENI with a prefix of each family, in one call', async (scene) => {
        const eni = await scene.create({ blocks: [wish(4, 28, 1), wish(6, 80, 1)] });
        expect(eni.blocks.map(cidrLength).sort()).toEqual([28, 80]);
        expect([...eni.blocks].sort()).toEqual([...(scene.truth(eni.id)?.blocks ?? [])].sort());
      });

    it('creates an ENI in a subnet without IPv4, which has no IPv4 address', async (scene) => {
      const eni = await scene.settledEni({ subnet: scene.world.only6, blocks: [wish(6, 128, 2)] });
      expect(eni.primary4).toBeUndefined();
      expect(eni.blocks.map(cidrLength)).toEqual([128, 128]);
      const enis = await scene.value(scene.provider.listEnis(scene.options()));
      const { id, primary6, blocks } = eni;
      const listed = enis.find((each) => each.id === id);
      expect(listed).toMatchObject({ primary6, subnet: scene.world.only6 });
      expect([listed?.primary4, [...(listed?.blocks ?? [])].sort()]).toEqual([undefined, [...blocks].sort()]);
    });
  }

  if (able.token.create) {
    it('makes one ENI of a repeated token', async (scene) => {
      const asked = scene.createWish({ blocks: [wish(4, 32, 2)] });
      const first = await scene.value(scene.provider.createEni(asked, scene.options()));
      const second = await scene.value(scene.provider.createEni(asked, scene.options()));
      expect(second.id).toBe(first.id);
      expect([...second.blocks].sort()).toEqual([...first.blocks].sort());
      expect(scene.world.cloud.truth.enis()).toHaveLength(3);
    });

    it('refuses a token with other parameters', async (scene) => {
      const asked = scene.createWish();
      await scene.value(scene.provider.createEni(asked, scene.options()));
      const other = { ...asked, subnet: scene.world.small };
      expect((await scene.failure(scene.provider.createEni(other, scene.options()))).kind).toBe('parameterMismatch');
      expect(scene.world.cloud.truth.enis()).toHaveLength(3);
    });
  }

  it('attaches, and the link arrives', async (scene) => {
    const eni = await scene.attachedEni(1);
    expect(scene.truth(eni.id)?.attachment).toMatchObject({ instance: scene.world.instance, deviceIndex: 1 });
    const enis = await scene.value(scene.provider.listEnis(scene.options()));
    expect(enis.find(({ id }) => id === eni.id)?.attachment).toEqual({
      instance: scene.world.instance,
      deviceIndex: 1,
      state: 'attached',
    });
  });

  it('calls an ENI that is attached here attached', async (scene) => {
    const eni = await scene.attachedEni(1);
    await scene.value(scene.attach(eni.id, 1));
    expect(scene.truth(eni.id)?.attachment?.deviceIndex).toBe(1);
  });

  it('refuses to attach an ENI that another instance has', async (scene) => {
    const theirs = scene.world.cloud.truth.enisOf(scene.world.neighbour)[0];
    if (theirs === undefined) throw new Error('the neighbour has no ENI');
    expect((await scene.failure(scene.attach(theirs.id, 1))).kind).toBe('conflict');
  });

  if (able.deviceIndex === 'caller')
    it('refuses a device index that is taken', async (scene) => {
      await scene.attachedEni(1);
      const eni = await scene.settledEni();
      expect((await scene.failure(scene.attach(eni.id, 1))).kind).toBe('conflict');
      expect(scene.truth(eni.id)?.attachment).toBeUndefined();
    });

  it('says when the instance has all its ENIs', async (scene) => {
    await scene.attachedEni(1);
    await scene.attachedEni(2);
    const eni = await scene.settledEni();
    expect(await scene.failure(scene.attach(eni.id, 3))).toMatchObject({ kind: 'exhausted', scope: 'instance' });
  });

  it('says when the node is gone', async (scene) => {
    const eni = await scene.settledEni();
    scene.world.cloud.terminate(scene.world.instance);
    await scene.settle();
    expect((await scene.failure(scene.attach(eni.id, 1))).kind).toBe('nodeGone');
  });

  it('modifies one thing at a time', async (scene) => {
    const eni = await scene.attachedEni(1);
    await scene.value(scene.provider.modifyEni(eni.id, { sourceDestCheck: false }, scene.options()));
    expect(scene.truth(eni.id)?.sourceDestCheck).toBe(false);
    await scene.settle();
    await scene.value(scene.provider.modifyEni(eni.id, { deleteOnTermination: true }, scene.options()));
    expect(scene.truth(eni.id)).toMatchObject({ sourceDestCheck: false, attachment: { deleteOnTermination: true } });
    scene.world.cloud.terminate(scene.world.instance);
    expect(scene.truth(eni.id)).toBeUndefined();
  });

  if (able.deleteOnTerminationAtCreate)
    it('creates ENIs that die with their instance', async (scene) => {
      const eni = await scene.attachedEni(1);
      scene.world.cloud.terminate(scene.world.instance);
      expect(scene.truth(eni.id)).toBeUndefined();
    });

  it('detaches, and the link goes', async (scene) => {
    const eni = await scene.attachedEni(1);
    await scene.value(scene.provider.detachEni(eni.id, { force: false }, scene.options()));
    await scene.until(() => scene.truth(eni.id)?.attachment === undefined);
    expect(scene.world.cloud.truth.linked(eni.id)).toBe(false);
    expect(scene.truth(eni.id)?.state).toBe('available');
  });

  it('detaches by force what never became attached', async (scene) => {
    scene.world.cloud.faults.arm({ kind: 'attach-stuck' }, { calls: 1 });
    const eni = await scene.settledEni();
    await scene.value(scene.attach(eni.id, 1));
    await scene.settle();
    await scene.value(scene.provider.detachEni(eni.id, { force: true }, scene.options()));
    await scene.until(() => scene.truth(eni.id)?.attachment === undefined);
  });

  it('calls a detach of what is not attached done', async (scene) => {
    const eni = await scene.settledEni();
    await scene.value(scene.provider.detachEni(eni.id, { force: false }, scene.options()));
    expect(scene.truth(eni.id)?.state).toBe('available');
  });

  it('deletes, and a second time it is not found', async (scene) => {
    const eni = await scene.settledEni({ blocks: [wish(4, 32, 2)] });
    await scene.value(scene.provider.deleteEni(eni.id, scene.options()));
    expect(scene.truth(eni.id)).toBeUndefined();
    expect(scene.world.cloud.truth.freeCount(scene.world.subnet)).toBe(249);
    await scene.settle();
    expect((await scene.failure(scene.provider.deleteEni(eni.id, scene.options()))).kind).toBe('notFound');
  });

  it('refuses to delete an ENI in use', async (scene) => {
    const eni = await scene.attachedEni(1);
    expect((await scene.failure(scene.provider.deleteEni(eni.id, scene.options()))).kind).toBe('conflict');
    expect(scene.truth(eni.id)?.attachment?.state).toBe('attached');
  });
}
