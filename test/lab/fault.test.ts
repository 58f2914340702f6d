/** Each fault by name, and what a pod on the node hears of it: the reason's code, or nothing because it is mended. */
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { FAULTS } from '../../src/lab/fault.ts';
import type { Lab } from '../../src/lab/lab.ts';
import { netnsPath } from '../../src/lab/namespaces.ts';
import { NETWORK_NAME } from '../../src/lab/node/files.ts';
import type { LabNode } from '../../src/lab/node/node.ts';
import { smallLab, until } from './stand.ts';

const LIMIT_MS = 60_000;
/** Nothing is kept warm, so that a pod needs the cloud. */
const CONFIG = { addDeadlineMs: 2_500, cooldownMs: 1_000, pool: { families: [4], targets: { floor: 0, headroom: 0 } } };
let lab: Lab;
let node: LabNode;
let podCount = 0;

async function start(instanceType: string): Promise<void> {
  lab = await smallLab({ instanceType, vmCount: 0, daemons: true, ipv6: false, daemonConfig: CONFIG });
  const [first] = lab.nodes;
  if (first === undefined) throw new Error('a lab without a node');
  node = first;
  podCount = 0;
}

async function end(): Promise<void> {
  expect((await lab.status()).problems).toEqual([]);
  expect(await lab.close()).toEqual({ processes: 0, namespaces: 0, mounts: 0, files: 0 });
}

interface Pod {
  readonly id: string;
  readonly netns: string;
}

async function newPod(): Promise<Pod> {
  const id = `pod-${++podCount}`;
  const netns = netnsPath(lab.name, id);
  await lab.networks.createNamespace(netns);
  return { id, netns };
}

/** As containerd runs the plugin. `ok`, or the code of the reason why not. */
async function add({ id, netns }: Pod): Promise<string> {
  const env = { CNI_COMMAND: 'ADD', CNI_CONTAINERID: id, CNI_NETNS: netns, CNI_IFNAME: 'eth0', CNI_PATH: '/' };
  const child = spawn(join(node.folder.cniBin, 'underway'), [], { env });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text) => {
    output += text;
  });
  child.stdin.on('error', () => {}).end(JSON.stringify({ cniVersion: '1.0.0', name: NETWORK_NAME, type: 'underway' }));
  const code = await new Promise((resolve) => child.on('close', resolve));
  if (code === 0) return 'ok';
  const { details, msg } = JSON.parse(output) as { readonly details?: string; readonly msg: string };
  return details?.split(',')[0] ?? msg;
}

/** Again and again, as kubelet does. */
const addInTheEnd = (pod: Pod) => until('the pod has its address', async () => (await add(pod)) === 'ok', LIMIT_MS / 2);

const freeBlocks = () =>
  lab.cloud.truth.enisOf(node.instance.id).reduce((sum, { blocks }) => sum + blocks.length, 0) - podCount;

/** Pods take what is there: the next one needs the cloud. */
async function useUp(): Promise<void> {
  while (freeBlocks() > 0) await addInTheEnd(await newPod());
}

const rulesOf = async () => {
  const state = await lab.networks.read(node.instance.netns);
  return state?.objects.filter((object) => object.kind === 'rule' && object.protocol === 117).length ?? 0;
};

describe('on a node with slots to fill', () => {
  beforeAll(() => start('t3.xlarge'), LIMIT_MS);
  afterAll(end, LIMIT_MS);
  afterEach(() => lab.heal());

  test.each([
    ['throttle', 'THROTTLED'],
    ['deny', 'DENIED'],
    ['subnet-full', 'SUBNET_EXHAUSTED'],
    ['api-down', 'CLOUD_UNREACHABLE'],
    ['disk-full', 'JOURNAL_UNWRITABLE'],
  ])(
    '%s: a pod hears %s, and gets its address when that is over',
    async (fault, code) => {
      await useUp();
      const pod = await newPod();
      await lab.break(fault);
      expect(await add(pod)).toBe(code);
      lab.heal();
      await addInTheEnd(pod);
    },
    LIMIT_MS,
  );

  test.each(['lost-reply', 'stale-reads', 'no-prefix', 'api-latency'])(
    '%s: pods get their addresses all the same, each its own',
    async (fault) => {
      await useUp();
      const pod = await newPod();
      await lab.break(fault);
      await addInTheEnd(pod);
      const wired = await podAddresses();
      expect(new Set(wired).size).toBe(wired.length);
      expect(wired).toHaveLength(podCount);
    },
    LIMIT_MS,
  );

  test(
    'rule-gone: the daemon puts its rules back within a second',
    async () => {
      const before = await rulesOf();
      expect(before).toBeGreaterThan(0);
      await lab.break('rule-gone');
      await until('the rules are back', async () => (await rulesOf()) === before, 1_000);
    },
    LIMIT_MS,
  );

  test(
    'metadata-down: a daemon without a journal says METADATA_UNREACHABLE, and serves when that is over',
    async () => {
      await node.daemon.stop();
      for (const file of readdirSync(node.folder.state).filter((name) => name.startsWith('underway.db')))
        rmSync(join(node.folder.state, file));
      await lab.break('metadata-down');
      node.daemon.start();
      await until('the socket is there', async () => (await node.daemon.get('/livez')) !== undefined);
      expect(await add(await newPod())).toBe('METADATA_UNREACHABLE');
      lab.heal();
      await node.daemon.ready();
    },
    LIMIT_MS,
  );
});

/** What the pods have, read from their own namespaces. */
async function podAddresses(): Promise<string[]> {
  const found: string[] = [];
  for (let n = 1; n <= podCount; n++) {
    const state = await lab.networks.read(netnsPath(lab.name, `pod-${n}`));
    for (const object of state?.objects ?? [])
      if (object.kind === 'address' && object.link === 'eth0' && object.scope === 'global') found.push(object.address);
  }
  return found;
}

/** Two ENIs with one address for a pod each: the second pod needs the second ENI. */
describe('on a node that needs another ENI', () => {
  beforeEach(async () => {
    await start('t3.micro');
    await addInTheEnd(await newPod());
  }, LIMIT_MS);
  afterEach(end, LIMIT_MS);

  test.each([
    ['eni-limit', 'ACCOUNT_QUOTA'],
    ['attach-stuck', 'ATTACHING'],
    ['link-late', 'ATTACHING'],
  ])(
    '%s: a pod hears %s',
    async (fault, code) => {
      await lab.break(fault);
      expect(await add(await newPod())).toBe(code);
    },
    LIMIT_MS,
  );

  test(
    'address-gone: a running pod’s lease is ADDRESS_LOST until the daemon has the same address again',
    async () => {
      const blocks = () => lab.cloud.truth.enisOf(node.instance.id).flatMap((eni) => eni.blocks);
      const before = blocks();
      await node.daemon.stop();
      await lab.break('address-gone');
      expect(blocks()).toEqual([]);
      // It asks for the very address at once, and `subnet-full` is no reason against one that is named.
      const lift = lab.cloud.faults.arm({ kind: 'throttle' }, { actions: ['assign'] });
      node.daemon.start();
      const running = { id: 'pod-1', netns: netnsPath(lab.name, 'pod-1') };
      await until('the loss is noticed', async () => (await add(running)) === 'ADDRESS_LOST', LIMIT_MS / 2);
      lift();
      await until('the address is back', () => blocks().length > 0, LIMIT_MS);
      expect(blocks()).toEqual(before);
      await addInTheEnd(running);
    },
    LIMIT_MS * 2,
  );

  test(
    'reboot: no lease outlives the boot, and a pod of the new boot is served',
    async () => {
      await lab.break(`reboot:${node.name}`);
      await node.daemon.ready();
      const state = await lab.networks.read(node.instance.netns);
      expect(state?.links.filter(({ name }) => name.startsWith('uw'))).toEqual([]);
      await addInTheEnd(await newPod());
    },
    LIMIT_MS,
  );
});

test('every fault is in one of the tests above', () => {
  const source = readFileSync(import.meta.filename, 'utf8');
  expect(Object.keys(FAULTS).filter((name) => !source.includes(`'${name}`) && !source.includes(`\`${name}`))).toEqual(
    [],
  );
});
