/** Contract cases about what a provider reads: the node, its subnets, its ENIs, and how old a read may be. */
import { OWNER_TAGS } from '../../src/core/cloud.ts';
import { type Cidr, parseCidr } from '../../src/core/ip.ts';
import { GROUP, type Scene } from './provider-world.ts';

type Case = (name: string, run: (scene: Scene) => Promise<void>) => void;

export function readCases(it: Case): void {
  it('describes its own node', async (scene) => {
    const node = await scene.value(scene.provider.describeNode(scene.options()));
    expect(node).toMatchObject({
      instanceId: scene.world.instance,
      primaryEni: scene.primary.id,
      zone: 'us-east-1a',
      limits: { instanceType: 'm5.large', eniCountMax: 3, slotsPerEni: { 4: 10, 6: 10 }, prefixes: true },
    });
    expect(node.vpcCidrs).toContain('10.0.0.0/16');
  });

  it('tells of its primary ENI, where it does without a list, what a list tells', async (scene) => {
    const { primary } = await scene.value(scene.provider.describeNode(scene.options()));
    if (primary === undefined) return;
    const enis = await scene.value(scene.provider.listEnis(scene.options()));
    const listed = enis.find((eni) => eni.primary);
    expect({ ...primary.eni, tags: listed?.tags }).toEqual(listed);
    const [subnet] = await scene.value(scene.provider.listSubnets({ ids: [primary.subnet.id] }, scene.options()));
    expect({ ...primary.subnet, freeCount4: subnet?.freeCount4 }).toEqual(subnet);
  });

  it('lists subnets by id, leaving out what it does not know', async (scene) => {
    const { subnet, small } = scene.world;
    const unknown = 'subnet-0ffffffffffffffff' as typeof subnet;
    const listed = await scene.value(scene.provider.listSubnets({ ids: [small, unknown, subnet] }, scene.options()));
    expect(listed.map(({ id }) => id).sort()).toEqual([subnet, small].sort());
    expect(listed.find(({ id }) => id === small)).toMatchObject({
      cidr4: '10.0.2.0/28',
      freeCount4: 11,
      zone: 'us-east-1a',
    });
    expect(listed.find(({ id }) => id === subnet)).toMatchObject({ gateway4: '10.0.1.1', freeCount4: 249 });
  });

  it('tells a subnet without IPv4 by having neither range nor router of it', async (scene) => {
    const { only6 } = scene.world;
    const [listed] = await scene.value(scene.provider.listSubnets({ ids: [only6] }, scene.options()));
    expect(listed).toEqual({
      id: only6,
      zone: 'us-east-1a',
      cidr6: '2001:db8:7:6::/64',
      gateway6: expect.any(String),
      freeCount4: 0,
    });
  });

  it('lists subnets by tags', async (scene) => {
    const listed = await scene.value(scene.provider.listSubnets({ tags: { role: 'pods' } }, scene.options()));
    expect(listed.map(({ id }) => id)).toEqual([scene.world.subnet]);
    expect(await scene.value(scene.provider.listSubnets({ tags: { role: 'none' } }, scene.options()))).toEqual([]);
  });

  it('tells which addresses of a subnet are taken', async (scene) => {
    const { subnet } = scene.world;
    const query = { subnet, cidr4: '10.0.1.0/24' as Cidr };
    const before = await scene.value(scene.provider.listUse(query, scene.options()));
    const reserved = ['10.0.1.0/32', '10.0.1.1/32', '10.0.1.2/32', '10.0.1.3/32', '10.0.1.255/32'];
    expect(before).toEqual(expect.arrayContaining([...reserved, `${scene.primary.primary4}/32`]));
    const eni = await scene.attachedEni(1);
    const wish = { family: 4, prefixLength: 32, count: 2, token: scene.token() } as const;
    const given = await scene.value(scene.provider.assign(eni.id, wish, scene.options()));
    await scene.settle();
    const after = await scene.value(scene.provider.listUse(query, scene.options()));
    expect(after).toEqual(expect.arrayContaining([...before, `${eni.primary4}/32`, ...given]));
    expect(after).toHaveLength(before.length + 3);
  });

  it('lists the primary ENI as what it is', async (scene) => {
    const enis = await scene.value(scene.provider.listEnis(scene.options()));
    expect(enis).toHaveLength(1);
    expect(enis[0]).toMatchObject({
      id: scene.primary.id,
      mac: scene.primary.mac,
      subnet: scene.world.subnet,
      groups: [GROUP],
      primary4: scene.primary.primary4,
      blocks: [],
      primary: true,
      attachment: { instance: scene.world.instance, deviceIndex: 0, state: 'attached' },
    });
  });

  it('lists an ENI that is only tagged with this instance, and none of a neighbour', async (scene) => {
    const eni = await scene.settledEni();
    const enis = await scene.value(scene.provider.listEnis(scene.options()));
    expect(enis.map(({ id }) => id).sort()).toEqual([scene.primary.id, eni.id].sort());
    const listed = enis.find(({ id }) => id === eni.id);
    expect(listed).toMatchObject({ primary: false, tags: { [OWNER_TAGS.instance]: scene.world.instance } });
    expect(listed?.attachment).toBeUndefined();
  });

  it('lists an ENI that is attached here without any tag of ours', async (scene) => {
    const eni = await scene.attachedEni(1);
    const untag = { enis: [eni.id], keys: [OWNER_TAGS.instance, OWNER_TAGS.intent] };
    scene.world.cloud.call('untag', untag, { respond: () => {} });
    await scene.until(() => Object.keys(scene.truth(eni.id)?.tags ?? {}).length === 0);
    await scene.settle();
    const enis = await scene.value(scene.provider.listEnis(scene.options()));
    expect(enis.find(({ id }) => id === eni.id)?.attachment?.state).toBe('attached');
  });

  it('reads the old or the new, and after `listLagMs` only the new, through whatever replica', async (scene) => {
    const { id } = scene.primary;
    const [block] = await scene.value(scene.assign(id, { family: 4, prefixLength: 32, count: 1 }));
    if (block === undefined) throw new Error('nothing assigned');
    for (let read = 0; read < 8; read++) {
      const enis = await scene.value(scene.provider.listEnis(scene.options()));
      expect([[], [block]]).toContainEqual(enis.find((eni) => eni.id === id)?.blocks);
    }
    await scene.settle();
    for (let read = 0; read < 8; read++) {
      const enis = await scene.value(scene.provider.listEnis(scene.options()));
      expect(enis.find((eni) => eni.id === id)?.blocks).toEqual([block]);
    }
    await scene.value(scene.provider.unassign(id, [block], scene.options()));
    await scene.settle();
    for (let read = 0; read < 8; read++) {
      const enis = await scene.value(scene.provider.listEnis(scene.options()));
      expect(enis.find((eni) => eni.id === id)?.blocks).toEqual([]);
    }
  });

  it('lists more ENIs than fit one page of any API', async (scene) => {
    const created = [];
    for (let n = 0; n < 12; n++) created.push((await scene.create()).id);
    await scene.settle();
    const enis = await scene.value(scene.provider.listEnis(scene.options()));
    expect(enis.map(({ id }) => id).sort()).toEqual([...created, scene.primary.id].sort());
  });

  it('tags', async (scene) => {
    const eni = await scene.settledEni();
    await scene.value(scene.provider.tag(eni.id, { colour: 'blue', [OWNER_TAGS.intent]: 'changed' }, scene.options()));
    await scene.settle();
    const enis = await scene.value(scene.provider.listEnis(scene.options()));
    expect(enis.find(({ id }) => id === eni.id)?.tags).toEqual({
      [OWNER_TAGS.instance]: scene.world.instance,
      [OWNER_TAGS.intent]: 'changed',
      colour: 'blue',
    });
  });

  it('speaks canonical addresses', async (scene) => {
    const eni = await scene.create({ blocks: [{ family: 4, prefixLength: 32, count: 2 }] });
    for (const block of eni.blocks) expect(parseCidr(block)).toBe(block);
  });
}
