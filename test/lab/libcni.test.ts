/**
 * The CNI contract with the library that runtimes call us by: the list that the daemon wrote, every version, plugins before
 * and behind us, every verb that a runtime may call, and a daemon that is away.
 */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { runIn } from '../../src/lab/launch.ts';
import { netnsPath } from '../../src/lab/namespaces.ts';
import type { LabNode } from '../../src/lab/node/node.ts';
import { type Call, type CniResult, libcni, libcniLack, type Outcome, PLUGINS, type Place } from './libcni/driver.ts';
import { found, PodLab, until } from './pod-lab.ts';

const LIMIT_MS = 60_000;
const PODS_MAX = 6;
const lack = await libcniLack();
// `npm test` names what is skipped, and how to get it.
const describeLibcni = lack === undefined ? describe : describe.skip;

describeLibcni('libcni', () => {
  let whole: PodLab;
  let node: LabNode;
  let place: Place;
  const namespaces: string[] = [];

  beforeAll(async () => {
    whole = await PodLab.up({
      nodeCount: 1,
      vmCount: 0,
      daemonConfig: {
        pool: { targets: { floor: 4, headroom: 2, ceiling: PODS_MAX } },
        cooldownMs: 1_000,
        cooldownUnflushedMs: 1_000,
        cooldownUnderPressureMs: 1_000,
      },
    });
    node = found(whole.lab.nodes[0], 'node');
    const { cniBin, cniConf, path } = node.folder;
    place = {
      netns: node.instance.netns,
      confDir: cniConf,
      binDir: cniBin,
      cacheDir: join(path, 'cache'),
      network: 'underway',
    };
  }, LIMIT_MS);

  afterAll(async () => {
    for (const netns of namespaces) await whole.lab.networks.deleteNamespace(netns);
    await whole.down();
  }, LIMIT_MS);

  async function sandbox(id: string): Promise<Call & { readonly containerID: string; readonly netNS: string }> {
    const netNS = netnsPath(whole.lab.name, id);
    await whole.lab.networks.createNamespace(netNS);
    namespaces.push(netNS);
    const args = [
      ['K8S_POD_NAME', id],
      ['IgnoreUnknown', '1'],
      ['K8S_POD_NAMESPACE', 'shop'],
    ] as const;
    return { verb: 'ADD', containerID: id, netNS, ifName: 'eth0', args };
  }

  /** Our binary beside the reference plugins. */
  function chainFolder(): string {
    const folder = join(node.folder.path, 'plugins');
    if (!existsSync(folder)) {
      mkdirSync(folder);
      symlinkSync(join(place.binDir, 'underway'), join(folder, 'underway'));
      for (const plugin of ['loopback', 'portmap']) symlinkSync(join(PLUGINS, plugin), join(folder, plugin));
    }
    return folder;
  }

  const did = async (call: Call, where = place): Promise<CniResult | undefined> => {
    const { result, error } = await libcni(where, call);
    expect(error).toBeUndefined();
    return result;
  };
  const refused = async (call: Call): Promise<NonNullable<Outcome['error']>> =>
    found((await libcni(place, call)).error, 'error');
  const leased = async (): Promise<string> => found(await node.daemon.get('/v1/state'), 'state').body;
  const addressIn = (result: CniResult | undefined): string => {
    const at = result?.interfaces.findIndex(({ name, sandbox: inside }) => name === 'eth0' && inside) ?? -1;
    return found(result?.ips.find((ip) => ip.interface === at)?.address, 'address on eth0');
  };

  test('takes the list of the daemon, in the newest version', async () => {
    expect(await libcni(place, { verb: 'VALIDATE' })).toEqual({ cniVersion: '1.1.0' });
    expect(await did({ verb: 'STATUS' })).toBeUndefined();
  });

  test(
    'ADD, ADD again, CHECK, DEL, DEL again, DEL without a namespace',
    async () => {
      const pod = await sandbox('life');
      const result = await did(pod);
      expect(result).toMatchObject({
        cniVersion: '1.1.0',
        interfaces: [{ mtu: 9001 }, { name: 'eth0', sandbox: pod.netNS }],
      });
      expect(await did({ ...pod, verb: 'CHECK' })).toBeUndefined();
      expect(addressIn(await did(pod))).toBe(addressIn(result));
      expect(await leased()).toContain('"containerId":"life"');
      await did({ ...pod, verb: 'DEL' });
      await did({ ...pod, verb: 'DEL' });
      await did({ ...pod, verb: 'DEL', netNS: '' });
      expect(await leased()).not.toContain('"containerId":"life"');
    },
    LIMIT_MS,
  );

  // Debian 12's reference plugins know no 1.1.0.
  test.each(['0.3.1', '0.4.0', '1.0.0'])(
    'version %s, with a plugin before us and one behind us',
    async (cniVersion) => {
      const confDir = join(node.folder.path, `net-${cniVersion}`);
      mkdirSync(confDir);
      const plugins = [
        { type: 'loopback' },
        { type: 'underway' },
        { type: 'portmap', capabilities: { portMappings: true } },
      ];
      writeFileSync(join(confDir, '1.conflist'), JSON.stringify({ cniVersion, name: 'chained', plugins }));
      const chained = { ...place, confDir, binDir: chainFolder(), network: 'chained' };
      const pod = await sandbox(`v${cniVersion}`);
      const result = await did(pod, chained);
      expect(result?.cniVersion).toBe(cniVersion);
      expect(result?.interfaces.map(({ name }) => name)).toEqual([
        'lo',
        expect.stringMatching(/^uw[0-9a-f]{13}$/),
        'eth0',
      ]);
      expect(addressIn(result)).toMatch(/^10\..*\/32$/);
      // loopback's own, passed on.
      expect(result?.ips.map(({ address }) => address)).toContain('127.0.0.1/8');
      if (cniVersion !== '0.3.1') await did({ ...pod, verb: 'CHECK' }, chained);
      await did({ ...pod, verb: 'DEL' }, chained);
    },
    LIMIT_MS,
  );

  test(
    'CHECK names what the runtime believes and is not so',
    async () => {
      const pod = await sandbox('differs');
      const address = addressIn(await did(pod)).split('/')[0] ?? '';
      const remembered = join(place.cacheDir, 'results', 'underway-differs-eth0');
      const text = readFileSync(remembered, 'utf8');
      writeFileSync(remembered, text.replaceAll(address, '10.9.9.9'));
      const error = await refused({ ...pod, verb: 'CHECK' });
      expect(error).toMatchObject({ code: 101, msg: expect.stringContaining(`was not told ${address}`) });
      expect(error.msg).toContain('was told 10.9.9.9');
      writeFileSync(remembered, text);
      await did({ ...pod, verb: 'CHECK' });
      await did({ ...pod, verb: 'DEL' });
    },
    LIMIT_MS,
  );

  test(
    'GC: what the runtime remembers and does not name is deleted by its library; what is young is spared by us',
    async () => {
      const [kept, forgotten, young] = [await sandbox('kept'), await sandbox('forgotten'), await sandbox('young')];
      for (const pod of [kept, forgotten, young]) await did(pod);
      // Another runtime's: this library knows nothing of it.
      for (const name of readdirSync(join(place.cacheDir, 'results')).filter((entry) => entry.includes('young')))
        rmSync(join(place.cacheDir, 'results', name));
      await did({ verb: 'GC', valid: [{ containerID: 'kept', ifname: 'eth0' }] });
      const rows = await leased();
      expect(['kept', 'forgotten', 'young'].map((id) => rows.includes(`"containerId":"${id}"`))).toEqual([
        true,
        false,
        true,
      ]);
      for (const pod of [kept, young]) await did({ ...pod, verb: 'DEL' });
    },
    LIMIT_MS,
  );

  test(
    'errors come with their code and where they are explained',
    async () => {
      const pod = await sandbox('wrong');
      const gone = await refused({ ...pod, netNS: '/run/netns/nobody-made-this' });
      expect(gone).toMatchObject({ code: 103, details: 'NETNS_GONE, see docs/errors.md#netns_gone' });
      expect(await refused({ ...pod, capabilityArgs: { mac: '02:00:00:00:00:01' } })).toMatchObject({ code: 2 });
      await did({ ...pod, verb: 'DEL' });
    },
    LIMIT_MS,
  );

  test(
    'STATUS: a node full of pods is fine, so is one whose daemon restarts; one whose daemon is gone for two minutes is not',
    async () => {
      // As many addresses as there may be, and one pod more.
      const pods = await Promise.all(Array.from({ length: PODS_MAX + 1 }, (_, n) => sandbox(`full${n}`)));
      const outcomes: Outcome[] = [];
      for (const pod of pods) outcomes.push(await libcni(place, { ...pod, verb: 'ADD' }));
      const refusals = outcomes.flatMap(({ error }) => error?.code ?? []);
      expect(refusals.length).toBeGreaterThanOrEqual(1);
      expect(new Set(refusals)).toEqual(new Set([114]));
      await did({ verb: 'STATUS' });
      for (const pod of pods) await did({ ...pod, verb: 'DEL' });

      await node.daemon.kill();
      const age = (seconds: number) => {
        const wall = Date.now() / 1_000 - seconds;
        utimesSync(join(node.folder.state, 'heartbeat'), wall, wall);
      };
      age(30);
      await did({ verb: 'STATUS' });
      age(120);
      expect(await refused({ verb: 'STATUS' })).toMatchObject({ code: 50 });
      const left = await sandbox('left');
      await did({ ...left, verb: 'DEL' });
      expect(readdirSync(join(node.folder.state, 'del')).filter((name) => name.startsWith('left@'))).toHaveLength(1);
      node.daemon.start();
      await node.daemon.ready();
      await did({ verb: 'STATUS' });
      await until('the DEL is done', () => readdirSync(join(node.folder.state, 'del')).length === 0);
    },
    LIMIT_MS,
  );

  test(
    'portmap is chained where a daemon that starts finds it, in a version that it speaks',
    async () => {
      symlinkSync(join(PLUGINS, 'portmap'), join(place.binDir, 'portmap'));
      await node.daemon.stop();
      node.daemon.start();
      await node.daemon.ready();
      expect(await libcni(place, { verb: 'VALIDATE' })).toEqual({ cniVersion: '1.0.0' });
      const pod = await sandbox('ports');
      const capabilityArgs = { portMappings: [{ HostPort: 18080, ContainerPort: 80, Protocol: 'tcp', HostIP: '' }] };
      const asked = { ...pod, capabilityArgs };
      const result = await did(asked);
      const rules = await runIn(place.netns, ['iptables', '-w', '-t', 'nat', '-S']);
      expect(rules.stdout).toContain(`--to-destination ${addressIn(result).split('/')[0]}:80`);
      // No CHECK: that portmap looks for the IPv4 rules of a pod with both families among those of IPv6.
      await did({ ...asked, verb: 'DEL' });
    },
    LIMIT_MS,
  );
});
