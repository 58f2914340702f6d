/** What a count of leftovers and leaks sees: each kind is planted in a node's kernel, and told by name. */
import type { Cidr, Ip } from '../../../src/core/ip.ts';
import type { KernelObject } from '../../../src/datapath/kernel-state.ts';
import { POD_TABLE, PROTOCOL, ROUTE_METRIC } from '../../../src/datapath/numbering.ts';

import { found, until } from '../pod-lab.ts';
import { Stage } from './stage.ts';

const LIMIT_MS = 60_000;
const COOLDOWN_MS = 30_000;
const LINK = 'uw0123456789abc';
const LOST = '10.9.9.9' as Ip;
const MACS = ['02:00:00:00:09:01', '02:00:00:00:09:02'] as const;
let stage: Stage;

beforeAll(async () => {
  stage = await Stage.up({ daemonConfig: { pool: { primaryEni: 'skip', targets: { floor: 4, headroom: 0 } } } });
}, LIMIT_MS);
afterAll(() => stage.down(), LIMIT_MS);

const rule: KernelObject = {
  kind: 'rule',
  family: 4,
  priority: 720,
  table: 7_799,
  from: '10.9.9.9/32' as Cidr,
  protocol: PROTOCOL,
};
const route: KernelObject = {
  kind: 'route',
  family: 4,
  table: POD_TABLE,
  type: 'unicast',
  destination: `${LOST}/32` as Cidr,
  link: LINK,
  metric: ROUTE_METRIC[4],
  scope: 'link',
  protocol: PROTOCOL,
};
const neighbour: KernelObject = { kind: 'neighbour', link: LINK, address: LOST, mac: MACS[1] as never };

test(
  'a pool that grew leaves nothing; a link, a way to nobody, a rule and a block that is not the node’s are seen',
  async () => {
    await stage.remove(await stage.run(8));
    await stage.atRest();
    expect(await stage.leftovers()).toEqual([]);
    expect(await stage.count()).toEqual({ lost: 0, doubled: 0, leaked: 0, details: [] });

    // Nobody mends.
    await stage.node.daemon.stop();
    const { networks } = stage.lab;
    const { netns } = stage.node.instance;
    const blocks = stage.cloudBlocks();
    await stage.lab.break('address-gone');
    const [host, pod] = MACS.map((mac) => ({ netns, mac: mac as never, mtu: 1500 }));
    await networks.createVeth({ ...found(host, 'end'), name: LINK }, { ...found(pod, 'end'), name: 'planted' });
    await networks.apply([{ do: 'set-link', at: 'host', link: { name: LINK, up: true } }], { netns });
    await networks.put(netns, [rule, neighbour, route]);

    const block = found(blocks.find((each) => !stage.cloudBlocks().includes(each))?.split(' ')[1], 'block taken');
    expect(new Set(await stage.leftovers())).toEqual(
      new Set([
        `link ${LINK}`,
        'link planted',
        'rule IPv4 720 from 10.9.9.9/32 to table 7799',
        `neighbour ${LOST} on ${LINK}`,
        `unicast route ${LOST}/32 by ${LINK} in table ${POD_TABLE}`,
        `unreachable route ${block} by nothing in table ${POD_TABLE}`,
        `nft element ${block} of from4`,
      ]),
    );
    expect(await stage.count()).toEqual({
      lost: 0,
      doubled: 0,
      leaked: 2,
      details: [`a route to ${LOST} is left`, `a link ${LINK} is left`],
    });

    await networks.apply([{ do: 'delete-link', at: 'host', name: LINK }], { netns });
    await networks.remove(netns, [rule]);
    stage.node.daemon.start();
    await stage.node.daemon.ready();
    await stage.atRest();
    // An address of the block that was taken may still cool, and its fence with it.
    await until('nothing is left', async () => (await stage.leftovers()).length === 0, COOLDOWN_MS + 10_000);
  },
  LIMIT_MS + COOLDOWN_MS,
);
